r"""Derivatives of compositions and of logarithms to the fourth order: the calculus that families share.

For h = f(g(eta)), f_j the derivatives of f at g(eta) and g_j those of g at eta (Faa di Bruno's formula),

    h_1 = f_1 g_1
    h_2 = f_2 g_1^2 + f_1 g_2
    h_3 = f_3 g_1^3 + 3 f_2 g_1 g_2 + f_1 g_3
    h_4 = f_4 g_1^4 + 6 f_3 g_1^2 g_2 + f_2 (3 g_2^2 + 4 g_1 g_3) + f_1 g_4,

and with r_j = g_j / g the derivatives l_j of log g follow from g_j / g being a polynomial in them:

    r_1 = l_1,  r_2 = l_2 + l_1^2,  r_3 = l_3 + 3 l_1 l_2 + l_1^3,
    r_4 = l_4 + 4 l_1 l_3 + 3 l_2^2 + 6 l_1^2 l_2 + l_1^4.

A `Ladder` is the tuple of the derivatives of orders 1, 2, ..., as many as are wanted, at most four.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ladder = tuple[Array, ...]

HIGHEST = 4


def compose(outer: Ladder, inner: Ladder) -> Ladder:
    """Derivatives of f(g(eta)) from those of f at g(eta) and of g at eta; as many as both have.

    Examples
    --------
    The logarithm of exp(2 eta) has slope two and no curvature:

    >>> import numpy as np
    >>> from mixedfx.families.derivatives import compose
    >>> g = np.exp(np.array([0.6]))  # eta = 0.3
    >>> slope, curvature = compose((1 / g, -1 / g**2), (2 * g, 4 * g))
    >>> slope, np.abs(curvature) < 1e-15
    (array([2.]), array([ True]))
    """
    order = min(len(outer), len(inner))
    f, g = outer, inner
    out = [f[0] * g[0]] if order else []
    if order > 1:
        out.append(f[1] * g[0] ** 2 + f[0] * g[1])
    if order > 2:
        out.append(f[2] * g[0] ** 3 + 3 * f[1] * g[0] * g[1] + f[0] * g[2])
    if order > 3:
        out.append(
            f[3] * g[0] ** 4 + 6 * f[2] * g[0] ** 2 * g[1] + f[1] * (3 * g[1] ** 2 + 4 * g[0] * g[2]) + f[0] * g[3]
        )
    return tuple(out)


def of_logarithm(ratios: Ladder) -> Ladder:
    """Derivatives of log g from the ratios g_j / g."""
    r, order = ratios, len(ratios)
    out = [r[0]] if order else []
    if order > 1:
        out.append(r[1] - out[0] ** 2)
    if order > 2:
        out.append(r[2] - 3 * out[0] * out[1] - out[0] ** 3)
    if order > 3:
        out.append(r[3] - 4 * out[0] * out[2] - 3 * out[1] ** 2 - 6 * out[0] ** 2 * out[1] - out[0] ** 4)
    return tuple(out)


def stacked(ladder: Ladder, shape: tuple[int, ...]) -> Array:
    """One (orders, *shape) array of a ladder whose rungs broadcast to `shape`."""
    out = np.empty((len(ladder), *shape))
    for j, rung in enumerate(ladder):
        out[j] = rung
    return out
