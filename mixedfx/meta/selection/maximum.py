r"""Maximum likelihood of selection models: a bounded quasi-Newton method, Newton's method, covariance.

The likelihood may have several maxima: one with a large mean and no selection, one with a small mean, strong selection
or much heterogeneity. L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995, SIAM Journal on Scientific Computing 16(5)) starts from
each, in coordinates of similar size: coefficients and variances in units of their errors, variances from 0, weights of
intervals as logarithms. Newton's method, its Hessian from differences of the exact gradient, takes the best point to
where its next step is below 1e-9 standard errors. Variances (or parameters of weights) at 0 whose gradient points
outside stay there: they are on the boundary and have no standard error.

The covariance is the inverse of minus the Hessian in the parameters themselves, from differences of the gradient at
two distances, whose errors cancel to the fourth order (Richardson).

Integrals over clusters are done with twice as many nodes at the maximum; where that moves the log likelihood by more
than 1e-9, the maximum is sought again with these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.meta.measure import Array
from mixedfx.meta.selection.likelihood import SelectionProblem, loglik
from mixedfx.meta.selection.normalisers import StepWeights

LOWEST, HIGHEST = -18.0, 12.0  # of logs of weights
LARGEST = 1e4  # of parameters of smooth weights
STEPS = 40
CLOSE = 1e-18  # of the squared length of Newton's step in standard errors
EXACT = 1e-9  # of the log likelihood
FINEST = 32.0
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where a likelihood is largest.

    Attributes
    ----------
    theta
        All parameters, known ones as they were given.
    loglik
        There.
    covariance
        Of all parameters; NaN in rows of those that are known or on the boundary.
    free
        Which are estimated and not on the boundary.
    bound
        Which are estimated and on the boundary.
    converged
        Whether Newton's method came to its end at a maximum.
    fine
        How many times as many nodes the integrals needed.
    """

    theta: Array
    loglik: float
    covariance: Array
    free: Mask
    bound: Mask
    converged: bool
    fine: float = 1.0


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Parameters of similar size: theta = scale u, or exp(u) of weights, within bounds."""

    problem: SelectionProblem
    known: Array
    scale: Array
    logs: Mask
    fine: float = 1.0

    @property
    def estimated(self) -> NDArray[np.intp]:
        """Parameters that are not known."""
        return np.flatnonzero(np.isnan(self.known))

    @property
    def low(self) -> Array:
        """Lower bounds of the coordinates."""
        free, p = np.full(len(self.scale), -np.inf), self.problem.p
        free[p:] = 0.0
        return np.where(self.logs, LOWEST, free)[self.estimated]

    @property
    def high(self) -> Array:
        """Upper bounds."""
        free = np.full(len(self.scale), np.inf)
        free[self.problem.p + self.problem.spreads :] = LARGEST
        return np.where(self.logs, HIGHEST, free)[self.estimated]

    def theta(self, u: Array) -> Array:
        """Parameters at coordinates."""
        found, at = self.known.copy(), self.estimated
        found[at] = np.where(self.logs[at], np.exp(np.minimum(u, HIGHEST)), u * self.scale[at])
        return found

    def inverse(self, theta: Array) -> Array:
        """Coordinates of parameters."""
        at = self.estimated
        u = np.where(self.logs[at], np.log(np.maximum(theta[at], 1e-300)), theta[at] / self.scale[at])
        return np.clip(u, self.low, self.high)

    def value(self, u: Array) -> tuple[float, Array]:
        """Minus the log likelihood, and its gradient."""
        theta = self.theta(u)
        value, slope = loglik(self.problem, theta, self.fine)
        at = self.estimated
        slope = slope[at] * np.where(self.logs[at], theta[at], self.scale[at])
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return 1e10, np.zeros(len(u))
        return -value, -slope


def maximise(
    problem: SelectionProblem, known: Array, starts: Iterable[Array], scale: Array, errors: bool = True
) -> Maximum:
    """The largest likelihood that is found from several starts.

    Parameters
    ----------
    problem
        What is fitted.
    known
        (size,) parameters that are known, NaN for the others.
    starts
        Parameters (size,) to start from.
    scale
        (size,) sizes of the parameters.
    errors
        Whether the covariance is wanted.
    """
    from scipy.optimize import minimize

    space = Coordinates(problem, known, scale, _log_weights(problem))
    minimizer = minimize
    best, least = None, np.inf
    for start in starts:
        u = space.inverse(start)
        if not len(u):
            best = u
            break
        found = minimizer(
            space.value, u, jac=True, method="L-BFGS-B", bounds=list(zip(space.low, space.high, strict=True)),
            options={"maxiter": 200, "ftol": 1e-9, "gtol": 1e-3},
        )  # fmt: skip
        if found.fun < least:
            best, least = np.asarray(found.x), float(found.fun)
    assert best is not None
    while True:
        best, converged = newton(space, best)
        theta = space.theta(best)
        value = loglik(problem, theta, space.fine)[0]
        if problem.shared is None or problem.weights is None:
            break
        if abs(loglik(problem, theta, 2 * space.fine)[0] - value) <= EXACT:
            break
        if space.fine >= FINEST:
            converged = False
            break
        space = replace(space, fine=2 * space.fine)
    bound = np.zeros(len(theta), dtype=bool)
    at_low = (best <= space.low) | (best >= space.high)
    bound[space.estimated[at_low]] = True
    free = np.isnan(known) & ~bound
    runaway = bool(np.any(at_low & space.logs[space.estimated]) or np.any(best >= space.high))
    nothing = np.full((len(theta), len(theta)), np.nan)
    covariance, positive = curvature(problem, theta, free, space) if errors else (nothing, True)
    return Maximum(theta, value, covariance, free, bound, converged and positive and not runaway, space.fine)


def _log_weights(problem: SelectionProblem) -> Mask:
    """Which parameters are weights, or exponents, whose logarithms are free."""
    logs = np.zeros(problem.size, dtype=bool)
    if isinstance(problem.weights, StepWeights) or (problem.weights is not None and problem.weights.function.clip > 0):
        logs[problem.p + problem.spreads :] = True
    return logs


def newton(space: Coordinates, u: Array) -> tuple[Array, bool]:
    """Newton's method from a point near the minimum; whether its steps came to an end."""
    if not len(u):
        return u, True
    value, slope = space.value(u)
    for _ in range(STEPS):
        held = ((u <= space.low) & (slope > 0)) | ((u >= space.high) & (slope < 0))
        moving = np.flatnonzero(~held)
        if not len(moving):
            return u, True
        H = _differences(space, u, moving)
        lowest, vectors = np.linalg.eigh(H)
        size = np.maximum(np.abs(lowest), 1e-10 * max(1.0, float(np.abs(lowest).max())))
        step = np.zeros(len(u))
        step[moving] = -vectors @ ((vectors.T @ slope[moving]) / size)
        decrement = float(-slope @ step)
        if decrement <= CLOSE:
            return u, bool((lowest > 0).all())
        length, moved = 1.0, False
        while length > 1e-8:
            trial = np.clip(u + length * step, space.low, space.high)
            new, new_slope = space.value(trial)
            # below rounding of the likelihood the gradient alone tells
            if new < value - 1e-4 * length * decrement or (
                decrement < 1e-9 and new <= value + 1e-11 * (1 + abs(value)) and _smaller(new_slope, slope, moving)
            ):
                u, value, slope, moved = trial, new, new_slope, True
                break
            length /= 2
        if not moved:
            return u, decrement < 1e-12
    return u, False


def _smaller(new: Array, old: Array, moving: NDArray[np.intp]) -> bool:
    return float(np.abs(new[moving]).max()) < float(np.abs(old[moving]).max())


def _differences(space: Coordinates, u: Array, moving: NDArray[np.intp]) -> Array:
    """Hessian of the moving coordinates, central differences of the gradient."""
    H = np.empty((len(moving), len(moving)))
    for row, i in enumerate(moving):
        h = 1e-5 * max(1.0, abs(u[i]))
        up, down = u.copy(), u.copy()
        up[i], down[i] = min(u[i] + h, space.high[i]), max(u[i] - h, space.low[i])
        H[row] = ((space.value(up)[1] - space.value(down)[1]) / (up[i] - down[i]))[moving]
    return (H + H.T) / 2


def curvature(problem: SelectionProblem, theta: Array, free: Mask, space: Coordinates) -> tuple[Array, bool]:
    """Covariance of the free parameters, and whether the Hessian is that of a maximum."""
    at, n = np.flatnonzero(free), len(theta)
    covariance = np.full((n, n), np.nan)
    if not len(at):
        return covariance, True
    H = np.empty((len(at), len(at)))
    for row, i in enumerate(at):
        size = theta[i] if space.logs[i] else space.scale[i]
        h = 2e-3 * abs(size)
        if problem.p <= i:
            h = min(h, abs(theta[i]) / 4)

        def slope(distance: float, i: int = int(i)) -> Array:
            up, down = theta.copy(), theta.copy()
            up[i] += distance
            down[i] -= distance
            return (loglik(problem, up, space.fine)[1] - loglik(problem, down, space.fine)[1])[at] / (2 * distance)

        H[row] = (4 * slope(h / 2) - slope(h)) / 3
    H = -(H + H.T) / 2
    units = 1 / np.sqrt(np.abs(np.diag(H)) + 1e-300)
    values, vectors = np.linalg.eigh(H * units[:, None] * units)
    if not (values > 1e-12).all():
        return covariance, False
    inverse = (vectors / values) @ vectors.T * units[:, None] * units
    covariance[np.ix_(at, at)] = inverse
    return covariance, True
