"""A trust-region Newton method for the profiled criterion: start, step, stop.

The quadratic model uses the exact gradient and the information of `mixedfx.pls.evaluate`; its minimiser inside the
radius is found exactly (`mixedfx.linalg.trust_region`), so that negative curvature, as at a saddle, is followed
downhill. Parameters are unconstrained: the diagonal of T may change sign.

By symmetry the criterion is stationary in T_bb wherever T_bb and the rest of its column are zero, minimum or not; but
the information holds Q_bb, the derivative with respect to T_bb^2, which tells them apart: positive curvature
certifies the boundary, negative curvature leads away from it. A boundary is approached as fast as an interior
minimum; once the iteration has stopped, diagonal entries within rounding of zero are set to zero.

Near an interior minimum the information is a mean of observed and expected curvature, and the convergence linear: fast
with many rows, slow with some fifty estimates of known variance. A symmetric rank-one matrix learns the difference from
the gradients of the steps (Conn, Gould & Toint 1991), added to the information for steps, never for the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.threads import blas_threads
from mixedfx.linalg.trust_region import next_radius, step_within
from mixedfx.pls.evaluate import Evaluation, evaluate
from mixedfx.pls.factorization import Factorization
from mixedfx.pls.pivoting import SMALL_START, pivot
from mixedfx.pls.problem import Problem
from mixedfx.progress import Progress
from mixedfx.reml.control import OptimiserControl
from mixedfx.results.optimization import Optimization, Outcome, Step

Vector = NDArray[np.float64]

SLOW = 100.0  # times the tolerance: the same where the last `PATIENCE` evaluations gained no more, in a curved valley
PATIENCE = 4
EXACT_FIT = 1e-14  # share of the response's variation, beyond the fixed part, that is left unexplained
MOST_PIVOTS = 4  # times that the order of the columns may change in one optimisation
NEAR = 0.1  # decrease promised, up to which a step tells what the information leaves out of the curvature
LAST = 0.01  # times the tolerance, where convergence is superlinear and one step more brings all digits there are
CONVEX = 1e-4  # share of the largest curvature that the smallest must have for the information to be added to
INTERIOR = 0.05  # diagonal entries above which the criterion is far from its quartic at zero
NEAR_ZERO = 1e-3  # diagonal entries up to here are tried at zero in the end
DEFAULT = OptimiserControl()
ROUNDING = 2e-15  # relative rounding error of the criterion
NOISE = 10.0  # times its rounding error: differences of the criterion that say nothing


@dataclass(frozen=True)
class Trial:
    """One evaluation of the course: a `Step`, its theta still as the factors T of the columns used."""

    T: list[Vector]
    criterion: float
    max_gradient: float
    radius: float
    accepted: bool


@dataclass(frozen=True)
class State:
    """Where the iteration stands: best evaluation, radius of trust, the course so far, what was learnt of curvature."""

    best: Evaluation
    radius: float
    trials: tuple[Trial, ...]
    control: OptimiserControl = DEFAULT
    learnt: Vector | None = None

    @cached_property
    def _spectrum(self) -> tuple[Vector, Vector]:
        assert self.best.information is not None
        return np.linalg.eigh(self.best.information + (0.0 if self.learnt is None else self.learnt))

    def within(self, radius: float) -> tuple[Vector, float]:
        """The step of the quadratic model at the best point within a radius, and the decrease it promises."""
        assert self.best.gradient is not None
        return step_within(self.best.gradient, *self._spectrum, radius)


def _record(evaluation: Evaluation, radius: float, accepted: bool) -> Trial:
    assert evaluation.gradient is not None
    largest = float(np.abs(evaluation.gradient).max(initial=0.0))
    return Trial(evaluation.factorization.T, evaluation.criterion, largest, radius, accepted)


def _steps(problem: Problem, trials: tuple[Trial, ...]) -> tuple[Step, ...]:
    """The course as users read it, its thetas found together."""
    theta = problem.natural_theta([np.array(T) for T in zip(*(trial.T for trial in trials), strict=True)])
    return tuple(
        Step(row, t.criterion, t.max_gradient, t.radius, t.accepted) for row, t in zip(theta, trials, strict=True)
    )


def start(problem: Problem, par: Vector, control: OptimiserControl = DEFAULT) -> State:
    """First evaluation."""
    first = evaluate(problem, par)
    radius = control.radius * max(float(np.linalg.norm(par)), 0.2)
    return State(first, radius, (_record(first, radius, True),), control)


def predicted(state: State) -> tuple[Vector, float]:
    """The next step and the decrease it promises."""
    return state.within(state.radius)


def finished(state: State, step: Vector, decrease: float) -> bool:
    """Whether the decrease promised is not worth an evaluation, and the radius is not what makes it small."""
    rounding = ROUNDING * abs(state.best.criterion)
    worth = state.control.tolerance
    if state.learnt is not None:
        worth = min(worth, max(LAST * worth, NOISE * rounding))
    if float(np.linalg.norm(step)) < 0.99 * state.radius and decrease <= worth + rounding:
        return True
    earlier = [t.criterion for t in state.trials[:-PATIENCE] if t.accepted]
    if not earlier:
        return False
    _, promised = state.within(0.1 * max(1.0, float(np.linalg.norm(state.best.par))))
    slow = SLOW * state.control.tolerance
    return earlier[-1] - state.best.criterion <= slow and promised <= slow + rounding


def advance(problem: Problem, state: State, at: Vector, length: float, decrease: float) -> State:
    """Try the point `at`, a step of some length away: move if the criterion falls, and adapt the radius.

    `problem` may have other frames than that of the best point: the covariances are those the step led to.
    """
    state.best.factorization.forget()
    try:
        trial = evaluate(problem, at)
    except np.linalg.LinAlgError:
        return replace(state, radius=0.25 * length)
    noise = NOISE * ROUNDING * abs(trial.criterion)
    gain = state.best.criterion - trial.criterion
    ratio = (gain + noise) / (decrease + noise)
    radius = next_radius(state.radius, ratio, length)
    accepted = gain > -noise
    trials = (*state.trials, _record(trial, state.radius, accepted))
    if not accepted:
        return replace(state, radius=radius, trials=trials)
    near = decrease < NEAR and not problem.on_boundary(trial.par, INTERIOR)
    same = problem.frames is state.best.factorization.problem.frames  # else the parameters are other ones
    learnt = _learnt(state, trial) if near and same else None
    return replace(state, best=trial, radius=radius, trials=trials, learnt=learnt)


def _learnt(state: State, trial: Evaluation) -> Vector | None:
    """What the information leaves out of the curvature, once a step more is known."""
    assert state.best.gradient is not None
    assert trial.gradient is not None
    assert trial.information is not None
    values = np.linalg.eigvalsh(trial.information)
    if values[0] < CONVEX * values[-1]:  # a ridge or a saddle: what the certificate asks must not be hidden
        return None
    known = trial.information + (0.0 if state.learnt is None else state.learnt)
    step = trial.par - state.best.par
    rest = trial.gradient - state.best.gradient - known @ step
    along = float(rest @ step)
    if abs(along) <= 0.05 * float(np.linalg.norm(rest)) * float(np.linalg.norm(step)):
        return state.learnt  # None: nothing yet, which `finished` asks
    return (0.0 if state.learnt is None else state.learnt) + np.outer(rest, rest) / along


def minimise(problem: Problem, par: Vector, control: OptimiserControl = DEFAULT) -> tuple[Evaluation, Optimization]:
    """Minimise the criterion of `problem` from scaled parameters `par` (r,)."""
    if problem.n_parameters == 0:
        only = evaluate(problem, par)
        return only, Optimization((), Outcome.NO_PARAMETERS, np.zeros(0), np.inf)
    problem, par = pivot(problem, par, SMALL_START) or (problem, par)
    threads = blas_threads(0 if problem.coupling is None else problem.coupling.size, control.threads)
    with threads, Progress(control.progress, "lmer", control.max_evaluations, "evaluations at most") as report:
        return certify(*_iterate(problem, start(problem, par, control), report))


def _iterate(problem: Problem, state: State, report: Progress) -> tuple[Problem, State, Outcome]:
    """Step until there is nothing to gain, and say why the iteration stopped."""
    stopped = Outcome.EVALUATIONS
    pivots = MOST_PIVOTS
    while len(state.trials) < state.control.max_evaluations:
        if report.shown:
            report(len(state.trials), note=f"criterion {state.best.criterion:.6g}")
        if problem.sigma is None and state.best.residual < EXACT_FIT * problem.ww[-1, -1]:
            stopped = Outcome.EXACT
            break
        step, decrease = predicted(state)
        if finished(state, step, decrease):
            stopped = Outcome.INTERIOR
            break
        if state.radius < 1e-10:
            stopped = Outcome.STALLED
            break
        at = state.best.par + step
        better = pivot(problem, at) if pivots else None
        turned, at = better or (problem, at)
        after = advance(turned, state, at, float(np.linalg.norm(step)), decrease)
        if after.best is not state.best and better is not None:
            problem, pivots = turned, pivots - 1
        state = after
    return problem, state, stopped


def certify(problem: Problem, state: State, stopped: Outcome) -> tuple[Evaluation, Optimization]:
    """Put diagonal entries within rounding of zero on zero, and judge the point by its curvature."""
    best, trials = state.best, state.trials
    there = problem.snapped(best.par, NEAR_ZERO)
    if not np.array_equal(there, best.par):
        best.factorization.forget()
        zero = evaluate(problem, there)
        if zero.criterion <= best.criterion + state.control.tolerance + NOISE * ROUNDING * abs(best.criterion):
            trials = (*trials, _record(zero, state.radius, True))
            best = zero
    if best.factorization.forgotten:
        best = replace(best, factorization=Factorization(best.factorization.problem, best.factorization.T))
    assert best.gradient is not None
    assert best.information is not None
    values = np.linalg.eigvalsh(best.information)
    outcome = stopped
    if stopped is Outcome.INTERIOR:
        if values[0] < -1e-6 * max(1.0, float(values[-1])):
            outcome = Outcome.SADDLE
        elif problem.on_boundary(best.par, 0.0):
            outcome = Outcome.BOUNDARY
    course = Optimization(_steps(problem, trials), outcome, best.gradient, float(values[0]))
    if problem.frames:  # derivatives belong to the order the optimiser worked in
        best = replace(best, par=problem.lower(best.factorization.T), gradient=None, information=None)
    return best, course
