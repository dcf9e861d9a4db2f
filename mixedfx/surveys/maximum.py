r"""Maximum of the pseudo likelihood of many fits at once: Newton's method within radii of trust.

With S over [Q, r] and D of the whole sample at theta, v = [-gamma; 1], gamma = S_QQ^-1 S_Qr, RSS = v'Sv and sigma^2 =
RSS / N, the criterion N log(2 pi sigma^2) + N + D has (by the envelope theorem, and by elimination of gamma and sigma
from the Hessian of all parameters)

    g_a  = D_a + v'S_a v / sigma^2
    g_ab = D_ab + v'S_ab v / sigma^2 - 2 (S_a v)_Q' S_QQ^-1 (S_b v)_Q / sigma^2 - (v'S_a v)(v'S_b v) / (N sigma^4).

The Hessian is exact, so that where a variance is zero, and the criterion stationary by symmetry, positive curvature
certifies the boundary and negative curvature leads away from it. Fits take their steps side by side; one that is done
leaves. For the criteria of samples with large weights to compare with tolerances they are divided by the mean weight of
a row, N / n, which moves no minimum. A step that promises less than `TOLERANCE` is still taken, and is the last:
convergence is quadratic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.trust_region import next_radii, trust_region_steps
from mixedfx.results.optimization import Optimization, Outcome, Step
from mixedfx.surveys.layout import Layout
from mixedfx.surveys.problem import Products, WeightedProblem, whole

Array = NDArray[np.float64]

TOLERANCE = 1e-7  # decrease of the criterion, at a mean weight of one, whose step is the last
NOISE = 1e-13  # relative rounding error of the criterion
NEAR_ZERO = 1e-3  # stationary parameters up to here are tried at zero in the end
START = 0.5  # relative standard deviations to start from
MOST = 100
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Point:
    """Criterion, gradient and Hessian of F fits, gamma and sigma profiled out.

    Attributes
    ----------
    par
        (F, r).
    criterion
        (F,) -2 log pseudo likelihood.
    gradient, hessian
        (F, r) and (F, r, r).
    gamma, sigma
        (F, p) and (F,).
    """

    par: Array
    criterion: Array
    gradient: Array
    hessian: Array
    gamma: Array
    sigma: Array

    def put(self, at: NDArray[np.intp], other: Point) -> None:
        """Replace some fits by those of another point, in order."""
        for name in ("par", "criterion", "gradient", "hessian", "gamma", "sigma"):
            getattr(self, name)[at] = getattr(other, name)


def evaluate(problem: WeightedProblem, given: Products, par: Array) -> Point:
    """Profiled criterion with exact derivatives at parameters (F, r) of the optimiser."""
    jet = whole(problem, given, problem.factors(par))
    p, r, N = problem.p, par.shape[1], given.total
    S = np.ascontiguousarray(jet.S.transpose(2, 0, 1))
    gamma = np.linalg.solve(S[:, :p, :p], S[:, :p, p:])[..., 0] if p else np.zeros((len(S), 0))
    v = np.concatenate([-gamma, np.ones((len(S), 1))], axis=1)
    rss = np.einsum("fc,fcd,fd->f", v, S, v)
    sigma2 = rss / N
    # a response that is reproduced exactly, or weights that are all zero, have no criterion
    with np.errstate(divide="ignore", invalid="ignore"):
        criterion = N * (LOG_2PI + np.log(sigma2) + 1.0) + jet.D - given.constant
    gradient, hessian = np.zeros((len(S), r)), np.zeros((len(S), r, r))
    if r:
        Sv = np.stack([np.einsum("cdf,fd->fc", jet.S1[a], v) for a in range(r)])  # (r, F, p + 1)
        squares = np.einsum("afc,fc->fa", Sv, v)
        gradient = np.stack([jet.D1[a] for a in range(r)], axis=1) + squares / sigma2[:, None]
        solved = np.linalg.solve(S[:, :p, :p], Sv[:, :, :p].transpose(1, 2, 0)) if p else np.zeros((len(S), 0, r))
        hessian -= 2.0 * np.einsum("afc,fcb->fab", Sv[:, :, :p], solved) / sigma2[:, None, None]
        hessian -= squares[:, :, None] * squares[:, None] / (N * sigma2**2)[:, None, None]
        for (a, b), D_ab in jet.D2.items():
            own = D_ab + np.einsum("fc,cdf,fd->f", v, jet.S2[a, b], v) / sigma2
            hessian[:, a, b] += own
            if a != b:
                hessian[:, b, a] += own
    return Point(par, criterion, gradient, hessian, np.asarray(gamma, dtype=np.float64), np.sqrt(sigma2))


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where F fits stopped.

    Attributes
    ----------
    point
        The best points.
    outcomes
        (F,) why each stopped.
    curvature
        (F,) smallest eigenvalue of the Hessian, at a mean weight of one.
    steps
        The course of the first fit: parameters, criterion, largest derivative, radius, whether it moved.
    """

    point: Point
    outcomes: tuple[Outcome, ...]
    curvature: Array
    steps: list[tuple[Array, float, float, float, bool]] = field(default_factory=list)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """(F,) which are certified."""
        return np.array([outcome.converged for outcome in self.outcomes], dtype=bool)

    def course(self, natural: Callable[[Array], Array], fit: int = 0) -> Optimization:
        """That of one fit, its parameters as users read them; the steps of the first one are known."""
        steps: tuple[Step, ...] = ()
        if fit == 0 and self.steps:
            theta = natural(np.array([step[0] for step in self.steps]))
            steps = tuple(Step(row, *step[1:]) for row, step in zip(theta, self.steps, strict=True))
        return Optimization(steps, self.outcomes[fit], self.point.gradient[fit], float(self.curvature[fit]))


def start(problem: WeightedProblem, fits: int) -> Array:
    """(F, r) parameters to start from: equal standard deviations, uncorrelated."""
    par = np.zeros((fits, problem.n_parameters))
    for level in problem.blocks:
        for block in level:
            par[:, block.parameters] = block.structure.parameters(START * np.eye(block.structure.k))
    return par


def maximise(problem: WeightedProblem, given: Products, par: Array, most: int = MOST) -> Maximum:
    """Maximise the pseudo likelihood of F fits from parameters (F, r) of the optimiser."""
    best = evaluate(problem, given, par.copy())
    F, r = par.shape
    if r == 0:
        return Maximum(best, (Outcome.NO_PARAMETERS,) * F, np.full(F, np.inf))
    unit = given.total / len(problem.columns)  # of the criterion, at a mean weight of one
    radius = np.maximum(np.linalg.norm(par, axis=1), 0.2)
    steps: list[tuple[Array, float, float, float, bool]] = [_told(best, radius, True)]
    live, last = np.arange(F), np.zeros(F, dtype=bool)
    stopped = np.full(F, -1)
    for _ in range(most):
        u = unit[live]
        step, promised = trust_region_steps(
            best.gradient[live] / u[:, None], best.hessian[live] / u[:, None, None], radius[live]
        )
        length = np.linalg.norm(step, axis=1)
        noise = NOISE * np.abs(best.criterion[live]) / u
        last[live] = (promised <= TOLERANCE + noise) & (length < 0.99 * radius[live])
        trial = evaluate(problem, given if len(live) == F else given.take(live), best.par[live] + step)
        gain = (best.criterion[live] - trial.criterion) / u
        gain = np.where(np.isfinite(gain), gain, -np.inf)
        ratio = (gain + noise) / (promised + noise)
        moved = gain > -noise
        radius[live] = next_radii(radius[live], ratio, length)
        at = np.flatnonzero(moved)
        best.put(live[at], _some(trial, at))
        if live[0] == 0:
            steps.append(_told(trial, radius, bool(moved[0])))
        stopped[live[radius[live] < 1e-10]] = 1
        stopped[live[last[live]]] = 0
        live = live[stopped[live] < 0]
        if len(live) == 0:
            break
    return _certified(problem, given, best, stopped, unit, steps)


def _told(point: Point, radius: Array, moved: bool) -> tuple[Array, float, float, float, bool]:
    return (
        point.par[0].copy(),
        float(point.criterion[0]),
        float(np.abs(point.gradient[0]).max()),
        float(radius[0]),
        moved,
    )


def _some(point: Point, at: NDArray[np.intp]) -> Point:
    return Point(
        point.par[at], point.criterion[at], point.gradient[at], point.hessian[at], point.gamma[at], point.sigma[at]
    )


def _certified(
    problem: WeightedProblem, given: Products, best: Point, stopped: NDArray[np.intp], unit: Array,
    steps: list[tuple[Array, float, float, float, bool]],
) -> Maximum:  # fmt: skip
    """Put parameters within rounding of zero on zero, and judge each point by its curvature."""
    there = snapped(problem, best.par, NEAR_ZERO)
    near = np.flatnonzero((there != best.par).any(axis=1))
    if len(near):
        zero = evaluate(problem, given.take(near), there[near])
        slack = TOLERANCE * unit[near] + 10 * NOISE * np.abs(best.criterion[near])
        kept = np.flatnonzero(zero.criterion <= best.criterion[near] + slack)
        best.put(near[kept], _some(zero, kept))
    curvature = np.asarray(np.linalg.eigvalsh(best.hessian / unit[:, None, None]), dtype=np.float64)
    on_boundary = (snapped(problem, best.par, 0.0) != best.par).any(axis=1) | (
        problem.stationary & (best.par == 0.0)
    ).any(axis=1)
    outcomes = []
    for f, why in enumerate(stopped):
        if why != 0:
            outcomes.append(Outcome.STALLED if why == 1 else Outcome.EVALUATIONS)
        elif curvature[f, 0] < -1e-6 * max(1.0, curvature[f, -1]):
            outcomes.append(Outcome.SADDLE)
        else:
            outcomes.append(Outcome.BOUNDARY if on_boundary[f] else Outcome.INTERIOR)
    return Maximum(best, tuple(outcomes), curvature[:, 0], steps)


def snapped(problem: Layout, par: Array, near: float) -> Array:
    """(F, r) parameters of the optimiser, those within `near` of an end of their range put there."""
    out = par.copy()
    for level in problem.blocks:
        for block in level:
            out[:, block.parameters] = block.structure.snapped(par[:, block.parameters], near)
    return out
