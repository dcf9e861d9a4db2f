"""REML and maximum likelihood estimates of a design: start, optimise, certify, answer in the user's terms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import IterativeSolverError, ModelError, OptionError
from mixedfx.inference.parameters import factors_of
from mixedfx.pls.exact_fit import refuse_exact
from mixedfx.pls.factors import LARGE, second_level_columns
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import Problem, build_problem
from mixedfx.reml.control import OptimiserControl
from mixedfx.reml.starting import moment_start
from mixedfx.reml.trust_region import DEFAULT, minimise
from mixedfx.results.monte_carlo import MonteCarlo
from mixedfx.results.optimization import Optimization

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
    monte_carlo
        The errors of probes, of a solution by iteration; None of an exact one.
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
    monte_carlo: MonteCarlo | None = None

    @cached_property
    def par(self) -> Vector:
        """(r,) the estimate in the parameters of `problem`; theta says the same of the columns as given."""
        return self.problem.lower(self.joint.evaluation.factorization.T)

    @property
    def bases(self) -> tuple[Vector, ...]:
        """For each random term the triangle B of the columns its engine used."""
        return self.problem.bases


def solve(
    design: Design, REML: bool = True, start: Vector | None = None, control: OptimiserControl = DEFAULT
) -> RemlSolution:  # fmt: skip
    """Fit `design` by REML or maximum likelihood.

    Parameters
    ----------
    design
        Response, X and random terms; at least one random term.
    REML
        REML criterion, or -2 log likelihood.
    start
        (r,) starting theta; by default that of `control`, else from moments.
    control
        Options of the optimiser.

    Raises
    ------
    OptionError
        A starting theta of another length.
    """
    problem = chosen_problem(design, REML, control)
    if start is None and control.start is not None:
        start = np.array(control.start)
    if start is not None and len(start) != problem.n_parameters:
        raise OptionError(
            f"start= has {len(start)} numbers, and theta has {problem.n_parameters}",
            hint="Give fit.theta of a fit of the same random part.",
        )
    return solve_problem(design, problem, None if start is None else problem.parameters(start), control)


def chosen_problem(design: Design, REML: bool, control: OptimiserControl = DEFAULT) -> Problem:
    """Cross-products of a design for the solver that `control` names.

    Raises
    ------
    MemoryForecastError
        If neither fits in the memory that is free.
    IterativeSolverError
        A model that the iterative solver, asked for, does not take.
    """
    iterative = control.solver == "iterative"
    if not design.held:
        problem = build_problem(design, REML)
        if control.solver not in ("auto", "iterative" if problem.iterative else "direct"):
            raise IterativeSolverError(
                "rows that are read in batches were read for the other solver",
                hint=f'Say control={{"solver": "{control.solver}"}} in the call that reads them.',
            )
        return problem
    if not iterative and second_level_columns(design) >= LARGE:
        from mixedfx.pls.choice import choose

        iterative = choose(design, control.solver)
    if iterative:
        from mixedfx.pls.iterative_problem import build_iterative

        return build_iterative(design, REML)
    return build_problem(design, REML)


def _square(design: Design) -> float:
    """Sum of the squares of the response."""
    return float(design.y @ design.y) if design.streamed is None else design.streamed.facts.square


def solve_problem(
    design: Design, problem: Problem, start: Vector | None = None, control: OptimiserControl = DEFAULT
) -> RemlSolution:  # fmt: skip
    """Optimise a problem whose cross-products are there already, from parameters `start` (r,) of it.

    Raises
    ------
    ModelError
        If the fixed part reproduces the response exactly: no variance is left to estimate.
    """
    if problem.sigma is None:
        refuse_exact(float(problem.ww[-1, -1]), _square(design), problem.p)
    noise, kind = None, Joint
    try:
        if problem.iterative:
            from mixedfx.pls.iterative_joint import IterativeJoint
            from mixedfx.reml.iterative import minimise_by_probes

            kind = IterativeJoint
            par = moment_start(problem) if start is None else start
            evaluation, optimization, noise = minimise_by_probes(problem, par, control, design)
        else:
            evaluation, optimization = minimise(problem, moment_start(problem) if start is None else start, control)
    except np.linalg.LinAlgError as error:
        where = "" if start is None else f" from start={np.round(start, 6).tolist()}"
        raise ModelError(
            f"the criterion cannot be evaluated{where}: the factorisation broke down, as it does for standard "
            "deviations many million times the residual one",
            hint="Centre and scale the covariates." if start is None else "Leave start= out, or start nearer to zero.",
        ) from error
    exact = noise is None and optimization.steps
    theta = optimization.accepted.theta if exact else problem.natural_theta(evaluation.factorization.T)
    factors = tuple(factors_of(design, theta))
    joint = kind(design, problem, evaluation)
    return RemlSolution(
        evaluation.criterion, joint.sigma, joint.beta, joint.u, factors, theta, joint.vcov,
        optimization, problem.REML, problem.dof, joint, problem, noise,
    )  # fmt: skip
