"""REML and maximum likelihood estimates of a design: start, optimise, certify, answer in the user's terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.structures import factor, parameters
from mixedfx.design.design import Design
from mixedfx.errors import ModelError
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import Problem, build_problem
from mixedfx.reml.optimization import Optimization
from mixedfx.reml.starting import moment_start
from mixedfx.reml.trust_region import minimise

NOTHING_LEFT = 1e-26  # residual sum of squares of the fixed part, relative to y'y, that is rounding

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class RemlSolution:
    """Estimates of one design.

    Attributes
    ----------
    criterion
        REML criterion or -2 log likelihood at the estimate.
    sigma
        Residual standard deviation.
    beta
        (p,) fixed effects.
    u
        (q,) conditional modes, ordered as the design orders them.
    factors
        For each random term, the (k, k) lower-triangular T with a non-negative diagonal; a level's effects have
        covariance sigma^2 T T'.
    theta
        (r,) parameters: for each term the lower triangle of T by columns, or its diagonal for ``||``.
    vcov
        (p, p) covariance of the fixed effects.
    optimization
        The course of the optimiser and its certificate.
    REML
        Whether the criterion is REML's.
    dof
        Divisor of sigma^2: n - p or n.
    joint
        Covariances and draws of (beta, u).
    problem
        The cross-products; a refit needs nothing else.
    """

    criterion: float
    sigma: float
    beta: Vector
    u: Vector
    factors: tuple[Vector, ...]
    theta: Vector
    vcov: Vector
    optimization: Optimization
    REML: bool
    dof: int
    joint: Joint
    problem: Problem


def solve(design: Design, REML: bool = True, start: Vector | None = None) -> RemlSolution:
    """Fit `design` by REML or maximum likelihood.

    Parameters
    ----------
    design
        Response, X and random terms; at least one random term.
    REML
        REML criterion, or -2 log likelihood.
    start
        (r,) starting theta; by default from moments.
    """
    return solve_problem(design, build_problem(design, REML), start)


def solve_problem(design: Design, problem: Problem, start: Vector | None = None) -> RemlSolution:
    """Optimise a problem whose cross-products are there already.

    Raises
    ------
    ModelError
        If the fixed part reproduces the response exactly: no variance is left to estimate.
    """
    if problem.sigma is None and problem.ww[-1, -1] <= NOTHING_LEFT * float(design.y @ design.y):
        raise ModelError(
            "the fixed part reproduces the response exactly, so there is no variance to estimate",
            mend="Look for a column of the fixed part that was computed from the response.",
        )
    par = moment_start(problem) if start is None else problem.parameters(start)
    evaluation, optimization = minimise(problem, par)
    raw = _by_term(design, problem, problem.theta(evaluation.par))
    factors = tuple(structure.canonical(factor(structure, values)) for structure, values in raw)
    theta = np.concatenate([parameters(s, T) for (s, _), T in zip(raw, factors, strict=True)])
    joint = Joint(design, problem, evaluation)
    return RemlSolution(
        evaluation.criterion, joint.sigma, joint.beta, joint.u, factors, theta, joint.vcov,
        optimization, problem.REML, problem.dof, joint, problem,
    )  # fmt: skip


def _by_term(design: Design, problem: Problem, theta: Vector):
    """Structure and parameters of each random term, in the order of the design."""
    blocks = {block.term: block for group in problem.factors for block in group.blocks}
    out = []
    for t in range(len(design.random)):
        structure, first = blocks[t].structure, blocks[t].par
        out.append((structure, theta[first : first + structure.n_parameters]))
    return out
