"""Estimates of weighted fits: one response with the full weights, or many responses with many sets of weights at once.

`solve_all` and `replicated` take any number of responses for the rows of one design (plausible values, imputed
responses), which share levels and weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.pls.exact_fit import refuse_exact
from mixedfx.progress import Asked, Progress
from mixedfx.results.optimization import Outcome
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.maximum import Maximum, evaluate, maximise, start
from mixedfx.surveys.problem import Products, WeightedProblem, products, weighted_problem
from mixedfx.surveys.replication import ReplicateWeights, level_weights
from mixedfx.surveys.weights import LevelWeights, SampleWeights

Array = NDArray[np.float64]

BLOCK = 1_500_000  # numbers in one array of cross-products of replicates, that caches hold


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates of F fits of one design.

    Attributes
    ----------
    beta
        (F, p).
    par
        (F, r) parameters of random terms, of the columns as given.
    sigma
        (F,) residual standard deviations.
    criterion
        (F,) -2 log pseudo likelihoods.
    converged
        (F,) which are certified.
    gamma, used
        (F, p) and (F, r) the same in the basis of the problem.
    """

    beta: Array
    par: Array
    sigma: Array
    criterion: Array
    converged: NDArray[np.bool_]
    gamma: Array
    used: Array

    def take(self, fits: slice) -> Estimates:
        """Some of the fits."""
        return Estimates(*(getattr(self, name)[fits] for name in Estimates.__annotations__))


@dataclass(frozen=True, eq=False)
class Solved:
    """One response with the full weights.

    Attributes
    ----------
    problem, given
        Rows and cross-products.
    maximum
        Where the optimiser stopped, of all responses.
    response
        Which of them this is.
    estimates
        One fit.
    """

    problem: WeightedProblem
    given: Products
    maximum: Maximum
    response: int
    estimates: Estimates


@dataclass(frozen=True, eq=False)
class SolvedAll:
    """M responses with the full weights.

    Attributes
    ----------
    problem
        Rows.
    given
        Cross-products of all of them.
    maximum
        Where the optimiser stopped.
    estimates
        M fits.
    """

    problem: WeightedProblem
    given: Products
    maximum: Maximum
    estimates: Estimates

    def one(self, response: int) -> Solved:
        """One of the responses, with cross-products of its own."""
        given = self.given if self.given.fits == 1 else self.given.take(np.array([response]))
        estimates = self.estimates.take(slice(response, response + 1))
        return Solved(self.problem, given, self.maximum, response, estimates)


def solve_all(design: Design, nesting: Nesting, weights: LevelWeights, Y: Array | None = None) -> SolvedAll:
    """Fit M responses (n, M), rows as in the design (its own where None), with one set of weights.

    Raises
    ------
    ModelError
        If the fixed part reproduces a response exactly.
    """
    problem = weighted_problem(design, nesting, Y)
    _refuse_exact(problem, design.y[:, None] if Y is None else Y)
    responses = list(range(problem.responses.shape[1]))
    given = products(problem, weights, responses)
    maximum = maximise(problem, given, start(problem, len(responses)))
    return SolvedAll(problem, given, maximum, _estimates(problem, maximum, np.array(responses)))


def solved_at(
    design: Design, nesting: Nesting, weights: LevelWeights, par: Array, outcome: Outcome, curvature: float
) -> Solved:  # fmt: skip
    """The fit whose parameters (r,) of the columns as given are known, by one evaluation."""
    problem = weighted_problem(design, nesting)
    _refuse_exact(problem, design.y[:, None])
    given = products(problem, weights)
    point = evaluate(problem, given, problem.used(par[None]))
    maximum = Maximum(point, (outcome,), np.array([curvature]))
    return Solved(problem, given, maximum, 0, _estimates(problem, maximum, np.zeros(1, dtype=np.intp)))


def refits_of(
    problem: WeightedProblem, beta: Array, par: Array, sigma: Array, converged: NDArray[np.bool_]
) -> Estimates:  # fmt: skip
    """Estimates of R refits of one response from coefficients, parameters of the columns as given, and sigma."""
    gamma = beta @ problem.R.T - problem.shifts[0]
    return Estimates(beta, par, sigma, np.full(len(beta), np.nan), converged, gamma, problem.used(par))


def replicated(
    problem: WeightedProblem, weights: SampleWeights, replicates: ReplicateWeights, full: Estimates,
    progress: Asked = None,
) -> Estimates:  # fmt: skip
    """Estimates (M * R) of every response with every set of replicate weights, responses slow.

    Parameters
    ----------
    problem
        Rows with M responses.
    weights, replicates
        Full weights and replicates.
    full
        Estimates of the M responses with the full weights, from which refits start.
    progress
        Whether to show how many are done.
    """
    M, R = len(full.beta), replicates.count
    levels = problem.nesting.levels
    c, units = problem.columns.shape[1] + 1, levels[0].size if levels else len(problem.columns)
    size = int(np.clip(BLOCK // max(c * c * units, 1), 1, R))
    found: list[list[Estimates]] = [[] for _ in range(M)]
    with Progress(progress, "replicate weights", M * R, "fits") as report:
        for first in range(0, R, size):
            block = level_weights(weights, problem.nesting, replicates.factors[first : first + size])
            for m, own in enumerate(found):
                given = products(problem, block, (m,))
                maximum = maximise(problem, given, np.repeat(full.used[m : m + 1], given.fits, axis=0))
                own.append(_estimates(problem, maximum, np.full(given.fits, m)))
                report(first * M + (m + 1) * given.fits)
    every = [one for own in found for one in own]
    return Estimates(*(np.concatenate([getattr(one, name) for one in every]) for name in Estimates.__annotations__))


def _estimates(problem: WeightedProblem, maximum: Maximum, response: NDArray[np.intp]) -> Estimates:
    point = maximum.point
    beta = np.stack([problem.beta(g, m) for g, m in zip(point.gamma, response, strict=True)])
    return Estimates(
        beta, problem.natural(point.par), point.sigma, point.criterion, maximum.converged, point.gamma, point.par
    )


def _refuse_exact(problem: WeightedProblem, Y: Array) -> None:
    refuse_exact((problem.responses**2).sum(axis=0), (Y**2).sum(axis=0), problem.p)
