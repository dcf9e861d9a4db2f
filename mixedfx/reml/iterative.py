r"""(RE)ML by the stochastic score: Newton's steps with average information within a radius of trust, common probes.

The score is an estimate with fixed probes (`mixedfx.pls.stochastic`), a smooth function of theta whose zero is looked
for. Its steps are those of `mixedfx.reml.trust_region`; what the criterion gained by a step is taken from the scores at
both ends, the integral of the score by the trapezoidal rule,

    f(a) - f(a + s) = -(g(a) + g(a + s))'s / 2,

whose error is of the third order in s. At the zero the Monte Carlo covariance of theta is H^{-1} C H^{-1}; where one of
the standard deviations is known worse than `monte_carlo` times its standard error, probes are added to those that are
there, as many as the ratio asks for, and the search goes on from where it is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import MonteCarloWarning, outside
from mixedfx.linalg.trust_region import next_radius, trust_region_step
from mixedfx.pls.iterative import BATCH, SINGLE_FROM, IterativeFactorization
from mixedfx.pls.pivoting import SMALL_START, pivot
from mixedfx.pls.problem import Problem
from mixedfx.pls.standard_deviations import jacobian, standard_deviations
from mixedfx.pls.stochastic import StochasticEvaluation, evaluate_by_probes, with_criterion
from mixedfx.progress import Progress
from mixedfx.reml.control import OptimiserControl
from mixedfx.results.monte_carlo import MonteCarlo, largest_share
from mixedfx.results.optimization import Optimization, Outcome, Step

Vector = NDArray[np.float64]

FIRST, FIRST_OF_MANY = 2 * BATCH, BATCH  # probes to begin with, and where the rows are many
MOST_PROBES = 1024
CLOSE = 0.05  # of the Monte Carlo error asked for, how near to the zero of its score a fit comes
MARGIN = 1.15  # times the probes that the ratio of errors asks for
NEAR_ZERO = 1e-3  # diagonal entries up to here are tried at zero in the end
MOST_PIVOTS = 4


@dataclass(frozen=True)
class _Search:
    """Where the search stands."""

    problem: Problem
    best: StochasticEvaluation
    radius: float
    steps: tuple[Step, ...]


def minimise_by_probes(
    problem: Problem, par: Vector, control: OptimiserControl, design: Design
) -> tuple[StochasticEvaluation, Optimization, MonteCarlo]:
    """Estimate a problem that is solved by iteration, from scaled parameters `par` (r,)."""
    problem, par = pivot(problem, par, SMALL_START) or (problem, par)
    with Progress(control.progress, "lmer", control.max_evaluations, "evaluations at most") as report:
        best = evaluate_by_probes(problem, par, FIRST_OF_MANY if problem.n >= SINGLE_FROM else FIRST)
        state = _Search(problem, best, control.radius * max(float(np.linalg.norm(par)), 0.2), ())
        state = replace(state, steps=(_record(state, best, True),))
        while True:
            state, outcome = _search(state, control, report, design)
            errors, standard_errors = sd_errors(state.problem, state.best)
            share = largest_share(errors, standard_errors)
            probes = state.best.probes
            if outcome is not Outcome.INTERIOR or share <= control.monte_carlo or probes >= MOST_PROBES:
                break
            wanted = int(np.ceil(MARGIN * probes * (share / control.monte_carlo) ** 2 / BATCH)) * BATCH
            more = min(MOST_PROBES, max(probes + BATCH, wanted))
            state = replace(state, best=evaluate_by_probes(state.problem, state.best.par, more))
        state, outcome = _certify(state, outcome, control)
    best, found = with_errors(state.problem, state.best, design)
    if found.largest > control.monte_carlo:
        warnings.warn(
            f"the Monte Carlo error of a standard deviation is {found.largest:.1%} of its standard error after "
            f"{best.probes} probes, and {control.monte_carlo:.1%} was asked for. Fit with "
            'control={"solver": "direct"} where memory allows.',
            MonteCarloWarning,
            stacklevel=outside(),
        )
    assert best.gradient is not None
    assert best.information is not None
    curvature = float(np.linalg.eigvalsh(best.information)[0])
    steps = (*state.steps[:-1], replace(state.steps[-1], criterion=best.criterion))
    course = Optimization(steps, outcome, best.gradient, curvature)
    if state.problem.frames:
        par = state.problem.lower(best.factorization.T)
        best = replace(best, par=par, gradient=None, information=None)
    return best, course, found


def with_errors(
    problem: Problem, best: StochasticEvaluation, design: Design
) -> tuple[StochasticEvaluation, MonteCarlo]:  # fmt: skip
    """The evaluation with its criterion, and the Monte Carlo errors."""
    at = best.factorization
    assert isinstance(at, IterativeFactorization)
    errors, standard_errors = sd_errors(problem, best)
    logs = at.log_determinants(0, best.probes)
    spread = float(logs.std(ddof=1) / np.sqrt(len(logs)))
    found = MonteCarlo(best.probes, *_names(problem, design), errors, standard_errors, spread)
    return with_criterion(best, logs), found


def _search(
    state: _Search, control: OptimiserControl, report: Progress, design: Design
) -> tuple[_Search, Outcome]:  # fmt: skip
    """Steps until the score is zero within a small part of the Monte Carlo error that is asked for."""
    enough, pivots = max(control.tolerance, (CLOSE * control.monte_carlo) ** 2), MOST_PIVOTS
    while len(state.steps) < control.max_evaluations:
        if report.shown:
            report(len(state.steps), note=_sds_so_far(state.problem, state.best, design))
        best, problem = state.best, state.problem
        assert best.gradient is not None
        assert best.information is not None
        step, decrease = trust_region_step(best.gradient, best.information, state.radius)
        length = float(np.linalg.norm(step))
        if decrease <= enough and length < 0.99 * state.radius:
            return state, Outcome.INTERIOR
        if state.radius < 1e-10:
            return state, Outcome.STALLED
        at = best.par + step
        better = pivot(problem, at) if pivots else None
        turned, at = better or (problem, at)
        try:
            trial = evaluate_by_probes(turned, at, best.probes)
        except np.linalg.LinAlgError:
            state = replace(state, radius=0.25 * length)
            continue
        assert trial.gradient is not None
        if better is not None:  # other parameters: the scores cannot be compared
            pivots -= 1
            state = _moved(replace(state, problem=turned), trial, state.radius)
            continue
        gain = -float((best.gradient + trial.gradient) @ step) / 2.0
        ratio = (gain + enough) / (decrease + enough)
        radius = next_radius(state.radius, ratio, length)
        if ratio > 0.0:
            state = _moved(state, trial, radius)
        else:
            state = replace(state, radius=radius, steps=(*state.steps, _record(state, trial, False)))
    return state, Outcome.EVALUATIONS


def _moved(state: _Search, trial: StochasticEvaluation, radius: float) -> _Search:
    steps = (*state.steps, _record(state, trial, True))
    return replace(state, best=trial, radius=radius, steps=steps)


def _record(state: _Search, at: StochasticEvaluation, accepted: bool) -> Step:
    assert at.gradient is not None
    largest = float(np.abs(at.gradient).max(initial=0.0))
    return Step(state.problem.natural_theta(at.factorization.T), np.nan, largest, state.radius, accepted)


def _certify(state: _Search, outcome: Outcome, control: OptimiserControl) -> tuple[_Search, Outcome]:
    """Put diagonal entries within rounding of zero on zero, and judge the point by its curvature."""
    best, problem = state.best, state.problem
    there = problem.snapped(best.par, NEAR_ZERO)
    if not np.array_equal(there, best.par):
        zero = evaluate_by_probes(problem, there, best.probes)
        assert zero.information is not None
        if np.linalg.eigvalsh(zero.information)[0] >= -1e-6:
            state = _moved(state, zero, state.radius)
            best = zero
    assert best.information is not None
    values = np.linalg.eigvalsh(best.information) if len(best.par) else np.zeros(0)
    if outcome is Outcome.INTERIOR:
        if len(values) and values[0] < -1e-6 * max(1.0, float(values[-1])):
            outcome = Outcome.SADDLE
        elif problem.on_boundary(best.par, 0.0):
            outcome = Outcome.BOUNDARY
    return state, outcome


# --- how well standard deviations are known ---------------------------------------------------------------------------
def sd_errors(problem: Problem, at: StochasticEvaluation) -> tuple[Vector, Vector]:
    """Monte Carlo error and standard error of each standard deviation, the residual one last (none where it is known).

    By the delta method: the residual variance moves with theta by the derivative of y'Py / nu. What the search left of
    the last step is part of the error.
    """
    assert at.information is not None
    assert at.gradient is not None
    par, sigma = at.par, float(np.sqrt(at.sigma2))
    relative = standard_deviations(problem, par)
    J = jacobian(partial(standard_deviations, problem), par)
    J *= sigma
    own = 0.0
    if problem.sigma is None:
        of_sigma = -at.vPy / (problem.dof * 2.0 * sigma)
        J = np.vstack([J + np.outer(relative, of_sigma), of_sigma])
        own = sigma**2 / (2.0 * problem.dof)
    values, vectors = np.linalg.eigh(at.information)
    good = values > 1e-10 * max(float(values[-1]), 1e-300) if len(values) else np.zeros(0, dtype=bool)
    root = J @ vectors[:, good]
    inverse = root / values[good]
    noise = vectors[:, good].T @ at.noise @ vectors[:, good]
    left = inverse @ (vectors[:, good].T @ at.gradient)
    errors = np.sqrt(np.clip(np.einsum("sa,ab,sb->s", inverse, noise, inverse), 0.0, None) + left**2)
    variances = 2.0 * (root * inverse).sum(axis=1)
    shares = np.append(relative, 1.0)[: len(J)] ** 2
    standard_errors = np.sqrt(np.where(shares > 0.0, variances + shares * own, 0.0))
    return errors, standard_errors


def _names(problem: Problem, design: Design) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pairs = [(term.label, column) for term in design.random for column in term.columns]
    if problem.sigma is None:
        pairs.append(("Residual", ""))
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def _sds_so_far(problem: Problem, at: StochasticEvaluation, design: Design) -> str:
    """Current standard deviations, for the bar of progress."""
    sds = np.sqrt(at.sigma2) * standard_deviations(problem, at.par)
    names = [(term.label, column) for term in design.random for column in term.columns]
    own = [f"{group} {sd:.4g}" for (group, _), sd in zip(names, sds, strict=True)]
    return ", ".join([*own, f"residual {np.sqrt(at.sigma2):.4g}"])
