r"""Quasi-Newton ascent from several starting points at once.

BFGS (Nocedal & Wright 2006, section 6.1) with a backtracking line search, each start with a curvature of its own:
where a density at many points costs little more than at one, all of them cost little more than the slowest. Steps are
bounded, since on logarithmic scales a step of many units leads to where nothing is known; curvature is learned only
from steps along which the gradient fell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Density = Callable[[Array], tuple[Array, Array]]

LONGEST = 2.0  # step in any coordinate
GAIN = 1e-4  # share of the promised gain that a step must keep (Armijo)
MOST_HALVINGS = 30
NEGLIGIBLE = 1e-9  # promised gain in log density at which nothing is left to climb


@dataclass(frozen=True, eq=False)
class Summits:
    """Where s ascents ended.

    Attributes
    ----------
    phi
        (s, d) points.
    value, gradient
        (s,) log densities, minus infinity where a start had none, and (s, d) gradients.
    """

    phi: Array
    value: Array
    gradient: Array


def ascend(density: Density, starts: Array, scale: Array, tolerance: float = 1e-3, most: int = 200) -> Summits:
    """Climb from each start until the gradient is flat, or the density can no longer be raised.

    Parameters
    ----------
    density
        Maps (m, d) points to (m,) log densities and (m, d) gradients; minus infinity where there is none.
    starts
        (s, d) points.
    scale
        First guess at the inverse of minus the second derivatives: (d,) its diagonal, or (s, d, d) for each start.
    tolerance
        Largest derivative of a flat gradient.
    most
        Largest number of steps.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.sampling.ascent import ascend
    >>> def two_hills(x):
    ...     return -((x[:, 0] ** 2 - 1) ** 2), -4 * x * (x**2 - 1)
    >>> ascend(two_hills, np.array([[-1.5], [0.5]]), np.full(1, 0.1)).phi.round(2)
    array([[-1.],
           [ 1.]])
    """
    phi = np.array(starts, dtype=np.float64)
    s = len(phi)
    value, gradient = (np.array(a) for a in density(phi))
    H = np.tile(np.diag(scale), (s, 1, 1)) if scale.ndim == 1 else scale.copy()
    climbing = np.flatnonzero(np.isfinite(value))
    for _ in range(most):
        climbing = climbing[np.abs(gradient[climbing]).max(axis=1, initial=0.0) > tolerance]
        if len(climbing) == 0:
            break
        g = gradient[climbing]
        step = (H[climbing] @ g[:, :, None])[:, :, 0]
        promised = (step * g).sum(axis=1)
        step *= np.minimum(1.0, LONGEST / np.maximum(np.abs(step).max(axis=1), 1e-300))[:, None]
        ahead = promised > NEGLIGIBLE
        climbing, step, g = climbing[ahead], step[ahead], g[ahead]
        share = _line_search(density, phi, value, gradient, climbing, step, g)
        moved = share > 0
        rows, taken = climbing[moved], step[moved] * share[moved, None]
        _learn(H, rows, taken, g[moved] - gradient[rows])
        climbing = rows
    return Summits(phi, value, gradient)


def _line_search(
    density: Density, phi: Array, value: Array, gradient: Array, rows: NDArray[np.intp], step: Array, g: Array
) -> Array:
    """Move rows of (phi, value, gradient) along their steps; (m,) shares of the steps taken, zero where none helped."""
    share, slope = np.zeros(len(rows)), (step * g).sum(axis=1)
    open_, size = np.arange(len(rows)), np.ones(len(rows))
    for _ in range(MOST_HALVINGS):
        if len(open_) == 0:
            break
        at = rows[open_]
        points = phi[at] + size[open_, None] * step[open_]
        new_value, new_gradient = density(points)
        good = new_value >= value[at] + GAIN * size[open_] * slope[open_]
        done = open_[good]
        share[done] = size[done]
        phi[rows[done]], value[rows[done]], gradient[rows[done]] = points[good], new_value[good], new_gradient[good]
        # the highest point of the parabola through both values, between a tenth and a half of the way
        left = open_[~good]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            top = 0.5 * slope[left] * size[left] / (slope[left] - (new_value[~good] - value[rows[left]]) / size[left])
        size[left] = np.where(np.isfinite(top), np.clip(top, 0.1 * size[left], 0.5 * size[left]), 0.1 * size[left])
        open_ = left
    return share


def _learn(H: Array, rows: NDArray[np.intp], s: Array, y: Array) -> None:
    """The BFGS update of (., d, d) inverse curvatures from steps s and falls of the gradient y."""
    sy = (s * y).sum(axis=1)
    curved = sy > 1e-10 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    rows, s, y, sy = rows[curved], s[curved], y[curved], sy[curved]
    if len(rows) == 0:
        return
    Hy = (H[rows] @ y[:, :, None])[:, :, 0]
    spread = (1.0 + (y * Hy).sum(axis=1) / sy) / sy
    cross = s[:, :, None] * Hy[:, None, :]
    H[rows] += (
        spread[:, None, None] * s[:, :, None] * s[:, None, :] - (cross + cross.transpose(0, 2, 1)) / sy[:, None, None]
    )
