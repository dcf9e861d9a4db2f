r"""Gauss-Legendre rules in windows, and draws from a density that is known at their nodes.

A smooth density f on [a, b], known at the n nodes of the rule, is the polynomial sum_l c_l P_l(x), c_l = (l + 1/2)
sum_i w_i P_l(x_i) f(x_i), up to the digits of the rule itself. Its distribution function is again a sum of Legendre
polynomials, since int P_l = (P_{l+1} - P_{l-1}) / (2 l + 1). A joint density on a grid of nodes is drawn from one
coordinate after the other: the first from its marginal, the next from the conditional density, which is interpolated
in those before. The draws of a coordinate are then put in the place of quantiles of its marginal, which are exact, in
the order that they have (`spread_out`): so every coordinate has its marginal, and their ranks the joint distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import legendre

from mixedfx.meta.measure import Array

FINE = 161  # points at which conditional distribution functions are tabulated
EXACT = 2001  # points at which those of marginals are
CHUNK = 2_000_000  # numbers of one temporary array


@cache
def _rule(n: int) -> tuple[Array, Array, Array]:
    """Nodes and weights on [-1, 1], and (n, n) coefficients of the Legendre series of nodal values."""
    x, w = legendre.leggauss(n)
    series = (np.arange(n)[:, None] + 0.5) * legendre.legvander(x, n - 1).T * w
    return x, w, series


@cache
def _to_cdf(n: int) -> Array:
    """(n, FINE) that makes distribution functions on an even grid of [-1, 1] of nodal values."""
    grid = np.linspace(-1, 1, FINE)
    antiderivative = np.stack([legendre.legval(grid, legendre.legint(row, lbnd=-1)) for row in np.eye(n)], axis=1)
    return (antiderivative @ _rule(n)[2]).T


@dataclass(frozen=True, eq=False)
class Axis:
    """One coordinate of a rule: a window with Gauss-Legendre nodes, or a point.

    Attributes
    ----------
    nodes
        (n,) values of the coordinate.
    log_weights
        (n,) logs of the weights; 0 of a point.
    low, high
        Ends of the window; the same of a point.
    """

    nodes: Array
    log_weights: Array
    low: float
    high: float

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def fixed(self) -> bool:
        """Whether it is a point."""
        return self.low == self.high


def axis(n: int, low: float, high: float) -> Axis:
    """Gauss-Legendre nodes in a window."""
    x, w, _ = _rule(n)
    half = (high - low) / 2
    return Axis(low + half * (x + 1), np.log(half * w), low, high)


def point(at: float) -> Axis:
    """A coordinate that is known."""
    return Axis(np.array([at]), np.zeros(1), at, at)


def axis_or_point(n: int, low: float, high: float) -> Axis:
    """Nodes in a window, or the point that it is."""
    return point(low) if low == high else axis(n, low, high)


def log_sum(logs: Array) -> float:
    """Log of the sum of exponentials."""
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).sum())) if np.isfinite(top) else -np.inf


def outer(axes: Sequence[Axis]) -> Array:
    """Logs of the product weights, one dimension for each axis."""
    total = np.zeros((1,) * len(axes))
    for i, one in enumerate(axes):
        shape = [1] * len(axes)
        shape[i] = one.n
        total = total + one.log_weights.reshape(shape)
    return total


def draw(logs: Array, axes: Sequence[Axis], uniform: Array) -> Array:
    """(N, d) points of a density known at the nodes.

    Parameters
    ----------
    logs
        Log density at the product of the nodes.
    axes
        The d coordinates.
    uniform
        (N, d) numbers between 0 and 1.
    """
    free = [i for i, one in enumerate(axes) if not one.fixed]
    out = np.empty((len(uniform), len(axes)))
    for i, one in enumerate(axes):
        if one.fixed:
            out[:, i] = one.low
    if not free:
        return out
    values = np.exp(logs - logs.max()).reshape([axes[i].n for i in free])
    rules = [_rule(axes[i].n) for i in free]
    step = max(1, CHUNK // max(1, int(np.prod(values.shape[1:]))))
    for begin in range(0, len(uniform), step):
        at = slice(begin, begin + step)
        block = np.broadcast_to(values, (1, *values.shape))
        for j, i in enumerate(free):
            marginal = block
            for later in range(len(free) - 1, j, -1):
                marginal = marginal @ rules[later][1]
            x = _inverted(marginal, axes[i].n, uniform[at, i])
            out[at, i] = axes[i].low + (axes[i].high - axes[i].low) * (x + 1) / 2
            if j + 1 < len(free):
                at_x = legendre.legvander(x, axes[i].n - 1) @ rules[j][2]
                block = np.maximum(_contracted(at_x, block), 0.0)
    for j, i in enumerate(free):
        weights = np.ones(())
        for other in range(len(free)):
            weights = np.multiply.outer(weights, rules[other][1] if other != j else np.ones(axes[free[other]].n))
        marginal = (values * weights).sum(axis=tuple(a for a in range(len(free)) if a != j))
        x = _exact(marginal, axes[i].n, (np.arange(len(uniform)) + 0.5) / len(uniform))
        out[:, i] = spread_out(out[:, i], axes[i].low + (axes[i].high - axes[i].low) * (x + 1) / 2)
    return out


def _contracted(at_x: Array, block: Array) -> Array:
    """Interpolate the first coordinate of a block of conditional densities, (1 or N, n, ...), at a point of each."""
    if len(block) == 1:
        flat = at_x @ block[0].reshape(block.shape[1], -1)
    else:
        flat = np.einsum("ni,nij->nj", at_x, block.reshape(len(block), block.shape[1], -1))
    return flat.reshape(len(at_x), *block.shape[2:])


def spread_out(drawn: Array, quantiles: Array) -> Array:
    """Rising quantiles in the order of draws.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.averaging.legendre import spread_out
    >>> spread_out(np.array([0.3, -2.0, 0.9]), np.array([-1.0, 0.0, 1.0]))
    array([ 0., -1.,  1.])
    """
    out = np.empty_like(drawn)
    out[np.argsort(drawn, kind="stable")] = quantiles
    return out


def _exact(density: Array, n: int, u: Array) -> Array:
    """(N,) quantiles u in [-1, 1] of a density (n,) at the nodes."""
    grid = np.cos(np.pi * (1 - np.arange(EXACT) / (EXACT - 1)))
    coefficients = _rule(n)[2] @ density
    cdf = legendre.legval(grid, legendre.legint(coefficients, lbnd=-1))
    cdf = np.maximum.accumulate(np.maximum(cdf, 0.0))
    return np.interp(u * cdf[-1], cdf, grid)


def _inverted(density: Array, n: int, u: Array) -> Array:
    """(N,) points of [-1, 1] at which distribution functions are u; density (1 or N, n) at the nodes."""
    grid = np.linspace(-1, 1, FINE)
    cdf = np.maximum.accumulate(np.maximum(density, 0.0) @ _to_cdf(n), axis=-1)
    cdf = np.maximum(cdf, 0.0)
    wanted = u * cdf[:, -1]
    if len(cdf) == 1:
        at = np.clip(np.searchsorted(cdf[0], wanted), 1, FINE - 1)
        low, high = cdf[0, at - 1], cdf[0, at]
    else:
        rows = np.arange(len(u))
        at = np.clip((cdf < wanted[:, None]).sum(axis=1), 1, FINE - 1)
        low, high = cdf[rows, at - 1], cdf[rows, at]
    share = np.where(high > low, (wanted - low) / np.where(high > low, high - low, 1.0), 0.5)
    return grid[at - 1] + np.clip(share, 0.0, 1.0) * (grid[at] - grid[at - 1])


def windows(logs: Array, grids: Sequence[Array], drop: float) -> list[tuple[float, float]]:
    """For each coordinate where a function on a grid is within `drop` of its top, and one grid point on either side."""
    inside = logs > logs.max() - drop
    found = []
    for i, grid in enumerate(grids):
        others = tuple(j for j in range(len(grids)) if j != i)
        where = np.flatnonzero(inside.any(axis=others))
        found.append((float(grid[max(where[0] - 1, 0)]), float(grid[min(where[-1] + 1, len(grid) - 1)])))
    return found
