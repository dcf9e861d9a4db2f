"""The mode of a density near a point that is close to it already, and the curvature there.

After a fit the estimate is such a point: the mode of likelihood times a weak prior lies within a standard error or two.
One quasi-Newton search from there costs a few dozen evaluations, and need not be exact, since a proposal made from it
is adapted to the density afterwards. `mixedfx.sampling.mode` searches where nothing is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.sampling.mode import bounded
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

TOLERANCE = 0.02  # of the gradient of the log density
MOST_STEPS = 100
LOOSE, FEW_STEPS = 0.3, 6  # the same where evaluations are expensive
STEP = 1e-4  # of first differences
SECOND_STEP = 3e-3  # of second differences of the density
NOWHERE = 1e10  # stands for minus the log of a density that is zero


def mode_near(target: Target, start: Array, guess: Array | None = None) -> tuple[Array, Array]:
    """(d,) mode and (d, d) inverse of the negative Hessian there, its eigenvalues bounded from above.

    Parameters
    ----------
    target
        The density.
    start
        (d,) point where it is positive.
    guess
        (d, d) approximation of the inverse of the negative Hessian, where evaluations are expensive: the search begins
        with it, and what the search has learnt of the curvature takes the place of differences.
    """
    from scipy import optimize

    options: dict[str, object] = {"gtol": TOLERANCE, "maxiter": MOST_STEPS}
    if guess is not None:
        options |= {"gtol": LOOSE, "maxiter": FEW_STEPS, "hess_inv0": guess}
    found = optimize.minimize(
        _minus_log_density, start, args=(target,), jac=True, method="BFGS", options=options
    )  # fmt: skip
    phi = np.asarray(found.x) if found.fun < NOWHERE else start
    if guess is not None:
        return phi, bounded(np.linalg.inv(np.asarray(found.hess_inv)))
    return phi, bounded(_negative_hessian(target, phi))


def _minus_log_density(phi: Array, target: Target) -> tuple[float, Array]:
    """Minus the log density and its gradient: differences where many points cost as little as one."""
    d = len(phi)
    if target.batch is None:
        value, gradient = target.value_and_gradient(phi)
    else:
        values = target.log_density(phi + STEP * np.vstack([np.zeros(d), np.eye(d), -np.eye(d)]))
        value, gradient = float(values[0]), (values[1 : d + 1] - values[d + 1 :]) / (2 * STEP)
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        return NOWHERE, np.zeros(d)
    return -value, -gradient


def _negative_hessian(target: Target, phi: Array) -> Array:
    d = len(phi)
    if target.batch is None:
        steps = STEP * np.eye(d)
        ends = [(target.value_and_gradient(phi + s)[1], target.value_and_gradient(phi - s)[1]) for s in steps]
        return np.array([(low - high) / (2 * STEP) for high, low in ends])
    i, j = np.triu_indices(d)
    one, other = SECOND_STEP * np.eye(d)[i], SECOND_STEP * np.eye(d)[j]
    points = np.concatenate([one + other, one - other, other - one, -one - other])
    values = target.log_density(phi + points).reshape(4, -1)
    out = np.empty((d, d))
    out[i, j] = out[j, i] = (values[1] + values[2] - values[0] - values[3]) / (4 * SECOND_STEP**2)
    return out
