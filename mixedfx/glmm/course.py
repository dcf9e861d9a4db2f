r"""The optimiser: far from the optimum average information with gamma at the joint mode, near it Newton's method.

*Far*: a step of (par, phi) by the average information, gamma dragged along by the joint mode of (gamma, v), where the
criterion is all but stationary in gamma. *Near*, from the step on that promises less than `NEAR` units of deviance or
paid less than half of what it promised: all parameters together with the best second derivatives; what these lack
(with several grouping factors, or auxiliary parameters) a symmetric matrix of rank-one corrections learns from the
gradients (SR1; Conn, Gould & Toint 1991, Mathematical Programming 50:177). Steps are the minimisers of the quadratic
model within a radius of trust, in parameters scaled to unit information. The next mode is predicted from the last by
one solve, so that two or three Newton steps remain.

As in `mixedfx.reml.trust_region` standard deviations may change sign, the criterion is stationary in them at zero, and
the curvature there, the derivative in the variance, tells a minimum on the boundary from a saddle; entries within
rounding of zero are put there in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm import nested
from mixedfx.glmm.control import DEFAULT, GlmmControl
from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.model import Model, inner, plus
from mixedfx.glmm.modes import DECREMENT, flattest
from mixedfx.glmm.pairs import PairLikelihood
from mixedfx.linalg.threads import blas_threads
from mixedfx.linalg.trust_region import next_radius, trust_region_step, with_secant
from mixedfx.pls.factorization import Pair
from mixedfx.pls.pivoting import SMALL_PIVOT, pivot
from mixedfx.progress import Progress
from mixedfx.results.optimization import Optimization, Outcome, Step

Vector = NDArray[np.float64]
Evaluate = Callable[..., Evaluation]

NEAR = 2.0  # promised gain below which all parameters move together
FAR_DECREMENT = 1e-6  # of the modes of far steps, which gain a million times that
FIRST_RADIUS = 1e3  # of the far steps, in units of information
NEAR_RADIUS = 3.0  # of the first near step
CLOSE = 1e-4  # promised gain of a step that leaves second derivatives as they are
WORTH = 0.05  # share of the gradient's change that a correction must explain
NEAR_ZERO = 1e-3  # diagonal entries up to here are tried at zero in the end
ROUNDING = 1e-11  # relative error of the criterion that the modes leave
AT_LIMIT = 1e-4  # promised gain at which a parameter that runs to a limit of the family is let go
GONE = 1e-6  # promised gain at which what has no finite estimate is let go, where it adds nothing to any row
SLOW = 1e-6  # gain over `PATIENCE` evaluations, and promise, at which a curved valley is given up
PATIENCE = 6
TRIED = 15  # evaluations after which it is looked whether there is a maximum
FLAT = 0.05  # precision, relative to that before the data, of random effects in the direction that is known least
MOST_PIVOTS = 4


@dataclass(frozen=True)
class State:
    """Where the course stands.

    `second` is where its second derivatives are of: the best point, or, once steps have become so short that exact ones
    change no more, the one before.
    """

    model: Model
    best: Evaluation
    second: Evaluation
    learnt: Vector
    radius: float
    far: bool
    ratio: float
    warm: bool
    steps: tuple[Step, ...]
    gains: tuple[float, ...] = ()

    @property
    def scale(self) -> Vector:
        """(d,) unit of each parameter: the standard deviation that its information promises."""
        return 1.0 / np.sqrt(np.maximum(np.abs(np.diag(self.second.average)), 1e-8) / 2.0)

    def step(self) -> tuple[Vector, Vector, float]:
        """The next step in scaled parameters, in parameters, and the decrease that it promises."""
        scale = self.scale
        full = self.second.curvature if self.second.exact else self.second.curvature + self.learnt
        second = self.second.average if self.far else full
        scaled, gain = trust_region_step(self.best.gradient * scale, second * np.outer(scale, scale), self.radius)
        return scaled, scaled * scale, gain


def predicted_mode(model: Model, at: Evaluation, psi: Vector) -> Pair:
    """The mode expected at psi: one solve with the factor that is there."""
    mode = at.mode
    gamma, par, phi = model.split(psi)
    T = model.problem.matrices(par)
    if model.tree is not None and isinstance(mode.factorization, nested.TreeFactorization):
        t = [float(one[0, 0]) for one in T]
        return nested.pair(model.tree, nested.predicted(model.tree, mode, at.beside, gamma, t, phi))
    dT = [new - old for new, old in zip(T, mode.T, strict=True)]
    change = np.concatenate([gamma - mode.gamma, phi - mode.phi])[:, None]
    moved = mode.factorization.gram(model.scaled(dT, mode.v))
    moved = plus(moved, (at.beside[0] @ change, at.beside[1] @ change))
    right = plus(model.scaled(dT, mode.h, transposed=True), model.scaled(mode.T, moved, transposed=True), -1.0)
    right = plus(right, mode.gradient)  # and what was left of Newton's method
    return plus(mode.v, mode.factorization.solve(right))


def minimise(
    model: Model, psi: Vector, evaluate: Evaluate, control: GlmmControl = DEFAULT
) -> tuple[Model, Evaluation, Optimization]:  # fmt: skip
    """Minimise the criterion from psi (d,); the model may come back with other frames.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the start has no mode.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a step too far is taken back
        return _minimise(model, psi, evaluate, control)


def _minimise(
    model: Model, psi: Vector, evaluate: Evaluate, control: GlmmControl
) -> tuple[Model, Evaluation, Optimization]:  # fmt: skip
    first = evaluate(model, psi, None, True, FAR_DECREMENT)
    d = len(psi)
    state = State(
        model, first, first, np.zeros((d, d)), FIRST_RADIUS, True, 1.0, True, (_record(model, first, np.inf, True),)
    )
    with (
        blas_threads(_dense_size(model), control.threads),
        Progress(control.progress, "glmer", control.max_evaluations, "evaluations at most") as report,
    ):
        stopped = Outcome.EVALUATIONS
        pivots = MOST_PIVOTS
        while len(state.steps) < control.max_evaluations:
            if report.shown:
                report(len(state.steps), note=f"criterion {state.best.criterion:.6g}")
            scaled, move, gain = state.step()
            length = float(np.linalg.norm(scaled))
            if state.far and (gain < NEAR or state.ratio < 0.5):
                state = replace(state, far=False, ratio=1.0, radius=NEAR_RADIUS)
                continue
            if _finished(state, gain, length, control.tolerance):
                if _loose(state.best):
                    state = _tightened(state, evaluate)
                    continue
                stopped = Outcome.INTERIOR
                break
            if model.likelihood.at_limit(model.split(state.best.psi)[2]).any() and gain < AT_LIMIT:
                stopped = Outcome.INTERIOR
                break
            if gain < GONE and model.likelihood.vanished(state.best.mode.eta):
                stopped = Outcome.INTERIOR
                break
            if state.radius < 1e-8:
                stopped = Outcome.STALLED
                break
            state = _advance(state, evaluate, move, length, gain)
            if len(state.steps) > TRIED and _flat(state):
                stopped = Outcome.FLAT
                break
            if pivots:
                turned = _turned(state, evaluate)
                if turned is not None:
                    state, pivots = turned, pivots - 1
        return _certified(state, evaluate, stopped, control.tolerance)


def _dense_size(model: Model) -> int:
    """Size of the matrix that is factored densely."""
    coupling = None if model.tree is not None else model.problem.coupling
    return 0 if coupling is None else coupling.size


def _finished(state: State, gain: float, length: float, tolerance: float) -> bool:
    rounding = ROUNDING * abs(state.best.criterion)
    if length >= 0.99 * state.radius:
        return False
    if gain <= tolerance + rounding:
        return True
    return len(state.gains) >= PATIENCE and sum(state.gains[-PATIENCE:]) <= SLOW and gain <= SLOW


def _flat(state: State) -> bool:
    """Whether the density of the random effects is all but flat in some direction at the mode, log|A| without end.

    So it is at a mode about to vanish, as one of two: of a group all of whose zeros may be of either source, say.
    """
    if not isinstance(state.model.likelihood, PairLikelihood) or not state.model.design.random:
        return False
    return flattest(state.model, state.best.mode) < FLAT


def _loose(at: Evaluation) -> bool:
    """Whether its mode is one of a far step, good to a small share of what that gains."""
    return inner(at.mode.gradient, at.mode.step) >= DECREMENT


def _tightened(state: State, evaluate: Evaluate) -> State:
    """The best point again, its mode found to the last digits."""
    best = evaluate(state.model, state.best.psi, plus(state.best.mode.v, state.best.mode.step), False)
    return replace(state, best=best, second=best, steps=(*state.steps, _record(state.model, best, state.radius, True)))


def _advance(state: State, evaluate: Evaluate, move: Vector, length: float, gain: float) -> State:
    """Try a step: move if the criterion falls, learn from the gradient, adapt the radius."""
    best, model = state.best, state.model
    psi = best.psi + move
    try:
        start = predicted_mode(model, best, psi) if state.warm else best.mode.v
        new = evaluate(model, psi, start, state.far, FAR_DECREMENT if state.far else DECREMENT)
    except np.linalg.LinAlgError:
        return replace(state, ratio=-1.0, warm=False, radius=0.25 * length, far=False)
    ratio = (best.criterion - new.criterion) / gain
    learnt = state.learnt
    if not state.far and ratio > 0.0 and not best.exact:
        rest = new.gradient - best.gradient - (new.curvature + learnt) @ move
        learnt = with_secant(learnt, rest, move, WORTH * float(np.linalg.norm(rest * state.scale)) * length)
    radius = next_radius(state.radius, ratio, length)
    noise = ROUNDING * abs(best.criterion) if gain < 1e-6 else 0.0
    accepted = new.criterion < best.criterion + noise
    kept = not accepted or (best.exact and not state.far and gain < CLOSE and 0.5 < ratio < 1.5)
    return replace(
        state, best=new if accepted else best, second=state.second if kept else new, learnt=learnt, radius=radius,
        ratio=ratio, warm=accepted, steps=(*state.steps, _record(model, new, state.radius, accepted)),
        gains=(*state.gains, max(best.criterion - new.criterion, 0.0)),
    )  # fmt: skip


def _turned(state: State, evaluate: Evaluate) -> State | None:
    """The same point in another order of the columns, where a pivot has become small; see `mixedfx.pls.pivoting`."""
    gamma, par, phi = state.model.split(state.best.psi)
    found = pivot(state.model.problem, par, SMALL_PIVOT)
    if found is None:
        return None
    model = state.model.with_frames(found[0])
    psi = np.concatenate([gamma, found[1], phi])
    new = evaluate(model, psi, in_frames(state.model, model, state.best, found[1]), False)
    d = len(psi)
    steps = (*state.steps, _record(model, new, state.radius, True))
    return replace(state, model=model, best=new, second=new, learnt=np.zeros((d, d)), steps=steps)


def in_frames(old: Model, new: Model, at: Evaluation, par: Vector) -> Pair:
    """V in other frames: the same u, to rounding where T is regular."""
    T = new.problem.matrices(par)
    u = old.by_factor(old.scaled(at.mode.T, at.mode.v))
    parts = [np.linalg.lstsq(t, x[:, :, 0].T, rcond=1e-10)[0].T[:, :, None] for t, x in zip(T, u, strict=True)]
    out = new.zero()
    out[0][:] = parts[0]
    if new.problem.coupling is not None:
        for position, part in zip(new.problem.coupling.positions, parts[1:], strict=True):
            out[1][position] = part
    return out


def _certified(
    state: State, evaluate: Evaluate, stopped: Outcome, tolerance: float
) -> tuple[Model, Evaluation, Optimization]:  # fmt: skip
    """Put what is within rounding of the boundary there, and judge the point by its curvature."""
    model, best, steps = state.model, state.best, state.steps
    gamma, par, phi = model.split(best.psi)
    there = model.problem.snapped(par, NEAR_ZERO)
    if not np.array_equal(there, par):
        psi = np.concatenate([gamma, there, phi])
        zero = evaluate(model, psi, best.mode.v, False)
        if zero.criterion <= best.criterion + tolerance + ROUNDING * abs(best.criterion):
            best, steps = zero, (*steps, _record(model, zero, state.radius, True))
    scale = state.scale
    at = state.second if best is state.best else best
    second = at.curvature if at.exact else at.curvature + state.learnt
    values = np.linalg.eigvalsh(second * np.outer(scale, scale)) if len(scale) else np.ones(1)
    outcome = stopped
    if stopped is Outcome.INTERIOR:
        if values[0] < -1e-4 * max(1.0, float(values[-1])):
            outcome = Outcome.SADDLE
        elif model.problem.on_boundary(model.split(best.psi)[1], 0.0):
            outcome = Outcome.BOUNDARY
    return model, best, Optimization(steps, outcome, best.gradient, float(values[0]))


def _record(model: Model, at: Evaluation, radius: float, accepted: bool) -> Step:
    theta = model.problem.natural_theta(at.mode.T) if model.sizes[1] else np.zeros(0)
    largest = float(np.abs(at.gradient).max(initial=0.0))
    return Step(theta, at.criterion, largest, radius, accepted)
