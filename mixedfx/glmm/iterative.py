r"""The optimiser of a model that is solved by iteration: the zero of a stochastic score with common probes.

The course is that of `mixedfx.glmm.course`: far steps by the average information with gamma at the joint mode, then all
parameters together, what the average information lacks being learnt from the scores (SR1). Probes are the same in every
evaluation, so that the score is a smooth function of the parameters. What a step gained is the integral of the score by
the trapezoidal rule, -(g(a) + g(a + s))'s / 2, whose error is of the third order in s: the criterion, whose estimate
has another derivative (`mixedfx.glmm.stochastic`), is not used. Of far steps, which are long and gain much, it is the
fall of the criterion with the determinant of the blocks of A in the place of A's.

At the zero the Monte Carlo covariance of the parameters is H^{-1} C H^{-1}, C that of the score; where an estimate is
known worse than `monte_carlo` times its standard error, probes are added to those that are there, as many as the ratio
asks for, and the search goes on from where it is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import MonteCarloWarning, outside
from mixedfx.glmm.control import GlmmControl
from mixedfx.glmm.course import (
    FAR_DECREMENT,
    FIRST_RADIUS,
    MOST_PIVOTS,
    NEAR,
    NEAR_RADIUS,
    NEAR_ZERO,
    WORTH,
    in_frames,
    predicted_mode,
)
from mixedfx.glmm.hessian import free_parameters
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import DECREMENT
from mixedfx.glmm.stochastic import StochasticEvaluation, evaluate_by_probes, with_criterion
from mixedfx.linalg.trust_region import next_radius, trust_region_step, with_secant
from mixedfx.pls.iterative import BATCH, SINGLE_FROM
from mixedfx.pls.pivoting import SMALL_PIVOT, pivot
from mixedfx.pls.standard_deviations import jacobian, standard_deviations
from mixedfx.progress import Progress
from mixedfx.results.monte_carlo import MonteCarlo
from mixedfx.results.optimization import Optimization, Outcome, Step

Vector = NDArray[np.float64]

FIRST, FIRST_OF_MANY = 2 * BATCH, BATCH  # probes of near steps to begin with, and where the rows are many
MOST_PROBES = 1024
CLOSE = 0.05  # of the Monte Carlo error asked for, how near to the zero of its score a fit comes
MARGIN = 1.15  # times the probes that the ratio of errors asks for
AT_LIMIT = 1e-4  # promised gain at which a parameter that runs to a limit of the family is let go
REGULAR = 1e-9  # smallest eigenvalue, in units of information, that says something


@dataclass(frozen=True)
class _Search:
    """Where the search stands."""

    model: Model
    best: StochasticEvaluation
    learnt: Vector
    radius: float
    far: bool
    ratio: float
    steps: tuple[Step, ...]

    @property
    def second(self) -> Vector:
        """(d, d) second derivatives, the best that is known."""
        return self.best.average if self.far else self.best.average + self.learnt

    @property
    def scale(self) -> Vector:
        """(d,) unit of each parameter: the standard deviation that its information promises."""
        return 1.0 / np.sqrt(np.maximum(np.abs(np.diag(self.best.average)), 1e-8) / 2.0)


def minimise_by_probes(
    model: Model, psi: Vector, control: GlmmControl
) -> tuple[Model, StochasticEvaluation, Optimization, MonteCarlo]:
    """Estimate a model that is solved by iteration, from psi (d,); it may come back with other frames.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the start has no mode.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a step too far is taken back
        return _minimised(model, psi, control)


def _minimised(
    model: Model, psi: Vector, control: GlmmControl
) -> tuple[Model, StochasticEvaluation, Optimization, MonteCarlo]:
    d = len(psi)
    with Progress(control.progress, "glmer", control.max_evaluations, "evaluations at most") as report:
        best = evaluate_by_probes(model, psi, BATCH, joint=True, decrement=FAR_DECREMENT)
        state = _Search(model, best, np.zeros((d, d)), FIRST_RADIUS, True, 1.0, (_record(model, best, np.inf, True),))
        state, outcome = _certified(*_search(state, control, report))
        while True:
            found = monte_carlo(state.model, state.best)
            probes = state.best.probes
            if not outcome.converged or found.largest <= control.monte_carlo or probes >= MOST_PROBES:
                break
            wanted = int(np.ceil(MARGIN * probes * (found.largest / control.monte_carlo) ** 2 / BATCH)) * BATCH
            state = _with_probes(state, min(MOST_PROBES, max(probes + BATCH, wanted)))
            state, outcome = _certified(*_search(state, control, report))
    best, found = with_errors(state.model, state.best)
    if found.largest > control.monte_carlo:
        warnings.warn(
            f"the Monte Carlo error of an estimate is {found.largest:.1%} of its standard error after {best.probes} "
            f'probes, and {control.monte_carlo:.1%} was asked for. Fit with control={{"solver": "direct"}} where '
            "memory allows.",
            MonteCarloWarning,
            stacklevel=outside(),
        )
    scale = state.scale
    values = np.linalg.eigvalsh(state.second * np.outer(scale, scale)) if d else np.ones(1)
    steps = (*state.steps[:-1], replace(state.steps[-1], criterion=best.criterion))
    return state.model, best, Optimization(steps, outcome, best.gradient, float(values[0])), found


def with_errors(model: Model, best: StochasticEvaluation) -> tuple[StochasticEvaluation, MonteCarlo]:
    """The evaluation with its criterion, and the Monte Carlo errors."""
    logs = best.factorization.log_determinants(0, best.probes)
    spread = float(logs.std(ddof=1) / np.sqrt(len(logs)))
    return with_criterion(best, logs), replace(monte_carlo(model, best), criterion_error=spread)


def _search(state: _Search, control: GlmmControl, report: Progress) -> tuple[_Search, Outcome]:
    """Steps until the score is zero within a small part of the Monte Carlo error that is asked for."""
    enough, pivots = max(control.tolerance, (CLOSE * control.monte_carlo) ** 2), MOST_PIVOTS
    while len(state.steps) < control.max_evaluations:
        if report.shown:
            report(len(state.steps), note=_so_far(state))
        best, scale = state.best, state.scale
        scaled, gain = trust_region_step(best.gradient * scale, state.second * np.outer(scale, scale), state.radius)
        length = float(np.linalg.norm(scaled))
        if state.far and (gain < NEAR or state.ratio < 0.5):
            state = replace(state, far=False, ratio=1.0, radius=NEAR_RADIUS)
            if state.best.probes < _first(state.model):
                state = _with_probes(state, _first(state.model))
            continue
        if gain <= enough and length < 0.99 * state.radius:
            return state, Outcome.INTERIOR
        if state.model.likelihood.at_limit(state.model.split(best.psi)[2]).any() and gain < AT_LIMIT:
            return state, Outcome.INTERIOR
        if state.radius < 1e-8:
            return state, Outcome.STALLED
        state = _advance(state, scaled * scale, length, gain, enough)
        if pivots:
            turned = _turned(state)
            if turned is not None:
                state, pivots = turned, pivots - 1
    return state, Outcome.EVALUATIONS


def _first(model: Model) -> int:
    return FIRST_OF_MANY if model.problem.n >= SINGLE_FROM else FIRST


def _with_probes(state: _Search, probes: int) -> _Search:
    """The best point again, with another number of probes and its mode to the last digits."""
    best = evaluate_by_probes(state.model, state.best.psi, probes, _mode_of(state.best))
    return replace(state, best=best, steps=(*state.steps, _record(state.model, best, state.radius, True)))


def _mode_of(at: StochasticEvaluation) -> tuple[Vector, Vector]:
    mode = at.mode
    return mode.v[0] + mode.step[0], mode.v[1] + mode.step[1]


def _advance(state: _Search, move: Vector, length: float, gain: float, enough: float) -> _Search:
    """Try a step: move if it gains, learn from the score, adapt the radius."""
    best, model = state.best, state.model
    psi = best.psi + move
    try:
        start = predicted_mode(model, best, psi)
        decrement = FAR_DECREMENT if state.far else DECREMENT
        new = evaluate_by_probes(model, psi, best.probes, start, state.far, decrement)
    except np.linalg.LinAlgError:
        return replace(state, ratio=-1.0, radius=0.25 * length, far=False)
    moved = new.psi - best.psi
    paid = best.rough - new.rough if state.far else -float((best.gradient + new.gradient) @ moved) / 2.0
    ratio = (paid + enough) / (gain + enough)
    learnt, scale = state.learnt, state.scale
    if not state.far and ratio > 0.0:
        rest = new.gradient - best.gradient - ((best.average + new.average) / 2.0 + learnt) @ moved
        learnt = with_secant(learnt, rest, moved, WORTH * float(np.linalg.norm(rest * scale)) * length)
    radius = next_radius(state.radius, ratio, length)
    accepted = ratio > 0.0
    return replace(
        state, best=new if accepted else best, learnt=learnt, radius=radius, ratio=ratio,
        steps=(*state.steps, _record(model, new, state.radius, accepted)),
    )  # fmt: skip


def _turned(state: _Search) -> _Search | None:
    """The same point in another order of the columns, where a pivot has become small; see `mixedfx.pls.pivoting`."""
    gamma, par, phi = state.model.split(state.best.psi)
    found = pivot(state.model.problem, par, SMALL_PIVOT)
    if found is None:
        return None
    model = state.model.with_frames(found[0])
    psi = np.concatenate([gamma, found[1], phi])
    start = in_frames(state.model, model, state.best, found[1])
    new = evaluate_by_probes(model, psi, state.best.probes, start)
    d = len(psi)
    steps = (*state.steps, _record(model, new, state.radius, True))
    return replace(state, model=model, best=new, learnt=np.zeros((d, d)), steps=steps)


def _certified(state: _Search, outcome: Outcome) -> tuple[_Search, Outcome]:
    """Put diagonal entries within rounding of zero on zero, and judge the point by its curvature."""
    model, best = state.model, state.best
    gamma, par, phi = model.split(best.psi)
    there = model.problem.snapped(par, NEAR_ZERO)
    if not np.array_equal(there, par):
        zero = evaluate_by_probes(model, np.concatenate([gamma, there, phi]), best.probes, best.mode.v)
        scale = state.scale
        if np.linalg.eigvalsh(zero.average * np.outer(scale, scale))[0] >= -1e-6:
            steps = (*state.steps, _record(model, zero, state.radius, True))
            state = replace(state, best=zero, steps=steps)
    scale = state.scale
    values = np.linalg.eigvalsh(state.second * np.outer(scale, scale)) if len(scale) else np.ones(1)
    if outcome is Outcome.INTERIOR:
        if values[0] < -1e-4 * max(1.0, float(values[-1])):
            outcome = Outcome.SADDLE
        elif model.problem.on_boundary(model.split(state.best.psi)[1], 0.0):
            outcome = Outcome.BOUNDARY
    return state, outcome


def _record(model: Model, at: StochasticEvaluation, radius: float, accepted: bool) -> Step:
    largest = float(np.abs(at.gradient).max(initial=0.0))
    return Step(model.problem.natural_theta(at.mode.T), np.nan, largest, radius, accepted)


def _so_far(state: _Search) -> str:
    """Current standard deviations, for the bar of progress."""
    model = state.model
    sds = standard_deviations(model.problem, model.split(state.best.psi)[1])
    names = [term.label for term in model.design.random for _ in term.columns]
    return ", ".join(f"{group} {sd:.4g}" for group, sd in zip(names, sds, strict=True))


# --- how well estimates are known -------------------------------------------------------------------------------------
def estimates(model: Model, psi: Vector) -> Vector:
    """Standard deviations of the random effects, coefficients, and parameters of the family, as users read them."""
    gamma, par, phi = model.split(psi)
    return np.concatenate(
        [standard_deviations(model.problem, par), model.beta(gamma), model.likelihood.parameters.natural(phi)]
    )


def monte_carlo(model: Model, at: StochasticEvaluation) -> MonteCarlo:
    """Monte Carlo error, and standard error by the average information, of each estimate; that of the criterion is NaN.

    What the search left of the last step is part of the Monte Carlo error. What is on a boundary, or flat, has neither.
    """
    free = free_parameters(model, at.psi, at.mode.eta)
    J = jacobian(lambda psi: estimates(model, psi), at.psi)[:, free]
    H = at.average[np.ix_(free, free)] / 2.0
    scale = 1.0 / np.sqrt(np.maximum(np.diag(H), 1e-300))
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale)) if len(H) else (np.zeros(0), np.zeros((0, 0)))
    good = values > REGULAR
    root = J @ (scale[:, None] * vectors[:, good])
    inverse = (root / values[good]) @ (scale[:, None] * vectors[:, good]).T  # J H^{-1}
    noise, left = at.noise[np.ix_(free, free)], inverse @ at.gradient[free] / 2.0
    errors = np.sqrt(np.clip(np.einsum("sa,ab,sb->s", inverse, noise, inverse) / 4.0, 0.0, None) + left**2)
    standard_errors = np.sqrt((root**2 / values[good]).sum(axis=1))
    pairs = [(term.label, column) for term in model.design.random for column in term.columns]
    pairs += [("(fixed)", name) for name in model.design.fixed_names]
    pairs += [("(family)", name) for name in model.likelihood.names]
    names = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    return MonteCarlo(at.probes, *names, errors, standard_errors, float("nan"), "estimates")
