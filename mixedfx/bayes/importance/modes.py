r"""Modes of Laplace's approximation of the posterior of psi, from values alone.

The density is evaluated at many points at once, so that differences in all directions cost little more than one value,
and the quasi-Newton search of `mixedfx.sampling.ascent` climbs with them from several starts: random effects that move
the linear predictor by little, and by much. Curvature at starts and tops is by second differences, its eigenvalues
bounded (`mixedfx.sampling.mode.bounded`), as a proposal made from it is adapted afterwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.importance.target import GlmmTarget, Point
from mixedfx.errors import ModelError
from mixedfx.sampling.ascent import ascend
from mixedfx.sampling.mode import RELEVANT, SAME, Mode, Modes, bounded

Array = NDArray[np.float64]

SHARES = (1.0, 0.2)  # movement of the linear predictor by random effects, root mean square, at the starts
STEP, SECOND_STEP = 1e-4, 1e-2  # of first and of second differences
FLAT = 0.1  # largest derivative at a top: the proposal is adapted afterwards


def find_modes(target: GlmmTarget) -> tuple[Modes, Point]:
    """Climb from every start, and keep the modes that matter; with the effects at the best one.

    Raises
    ------
    ModelError
        Where no start has a positive density.
    """
    d, near = target.size, target.nowhere
    count = 2 * d * (d + 1) * len(SHARES)
    ends = STEP * np.eye(d)

    def density(psi: Array) -> tuple[Array, Array]:
        nonlocal count, near
        points = (psi[:, None] + np.concatenate([np.zeros((1, d)), ends, -ends])).reshape(-1, d)
        count += len(points)
        found, near = target.laplace(points, near)
        values = found.reshape(len(psi), -1)
        with np.errstate(invalid="ignore"):
            gradient = (values[:, 1 : d + 1] - values[:, d + 1 :]) / (2 * STEP)
        fine = np.isfinite(gradient).all(axis=1)
        value, slope = values[:, 0].copy(), gradient.copy()
        value[~fine], slope[~fine] = -np.inf, 0.0
        return value, slope

    starts = starting_points(target)
    scale = np.array([_covariance(target, near, psi) for psi in starts])
    tops = ascend(density, starts, scale, FLAT)
    order = np.argsort(-tops.value)
    order = order[np.isfinite(tops.value[order])]
    if not len(order):
        raise ModelError(
            "the posterior density is zero or not a number at every starting point",
            hint="Look for values in the response or the predictors that differ by many powers of ten.",
        )
    near = target.effects(tops.phi[order[0]], near)
    modes: list[Mode] = []
    for top in order:
        psi = tops.phi[top]
        if all(mode.distance(psi[None])[0] > SAME for mode in modes):
            modes.append(Mode(psi, float(tops.value[top]), _covariance(target, near, psi)))
            count += 2 * d * (d + 1)
    modes.sort(key=lambda mode: -mode.log_mass)
    kept = tuple(mode for mode in modes if mode.log_mass > modes[0].log_mass - RELEVANT)
    return Modes(kept, len(starts), count), target.effects(kept[0].phi, near, np.sqrt(np.diag(kept[0].covariance)))


def starting_points(target: GlmmTarget) -> Array:
    """(s, d) the mean response for every row, and effects of several sizes; auxiliary parameters one above the least.

    The standard deviation of a response begins at that of its responses.
    """
    density, rows = target.rows.density, target.rows
    mean = float(density.y.sum() / density.trials.sum())
    with np.errstate(all="ignore"):
        eta = float(density.family.link.link(np.array(np.log(max(mean, 1e-8)) if density.family.log_scale else mean)))
    gamma = target.Q.T @ ((eta if np.isfinite(eta) else 0.0) - target.offset) / rows.n
    values = [np.log(max(density.y.std(), 1e-8)) if name == "sigma" else 0.0 for name in target.auxiliary]
    return np.array([np.concatenate([gamma, target.coordinates.even(1.0, share), values]) for share in SHARES])


def _covariance(target: GlmmTarget, near: Point, psi: Array) -> Array:
    """(d, d) inverse of the negative Hessian by second differences of values."""
    d = len(psi)
    i, j = np.triu_indices(d)
    one, other = SECOND_STEP * np.eye(d)[i], SECOND_STEP * np.eye(d)[j]
    points = np.concatenate([one + other, one - other, other - one, -one - other])
    values = target.laplace(psi + points, near)[0].reshape(4, -1)
    hessian = np.empty((d, d))
    with np.errstate(invalid="ignore"):
        hessian[i, j] = hessian[j, i] = (values[1] + values[2] - values[0] - values[3]) / (4 * SECOND_STEP**2)
    return bounded(hessian)
