r"""Finite mixtures of normal distributions: shares below a number, and quantiles.

What is not known of variance parameters is integrated over by nodes k of weight w_k: given the node a quantity is
normal with mean m_k and standard deviation s_k, and altogether

    F(x) = sum_k w_k Phi((x - m_k) / s_k),    variance = sum_k w_k { s_k^2 + (m_k - m)^2 },    m = sum_k w_k m_k.

A quantile is the root of F(x) = q. It lies between the smallest and the largest quantile of the components, and F is
smooth, so that Newton's steps, held inside the bracket by bisection, find it in a few passes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

NARROWEST = 1e-9  # standard deviation that stands for zero, relative to the spread of the mixture
SMALL = 1e-6  # Newton's step, relative to the spread of the mixture, that leaves an error of its square
MOST_STEPS = 200  # bisection alone needs some sixty
CHUNK = 2**16  # numbers of one temporary array


def moments(weights: Array, means: Array, sds: Array) -> tuple[Array, Array]:
    """(s,) means and variances of s mixtures.

    Parameters
    ----------
    weights
        (K,) weights, sum 1.
    means, sds
        (K, s) moments of the components.
    """
    centre = weights @ means
    return centre, weights @ (sds**2 + (means - centre) ** 2)


def share_between(weights: Array, means: Array, sds: Array, low: Array | float, high: Array | float) -> Array:
    """(s,) probability of lying between two numbers, (s,) or the same for all; as differences of the nearer tails.

    A component without spread counts where it lies strictly between.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.sampling.mixture import share_between
    >>> half = np.array([0.5, 0.5])
    >>> share_between(half, np.array([[0.0], [9.0]]), np.ones((2, 1)), 0.0, 4.0).round(4)
    array([0.25])
    """
    safe = np.where(sds > 0, sds, 1.0)
    a, b = (low - means) / safe, (high - means) / safe
    inside = np.where(a > 0, special.ndtr(-a) - special.ndtr(-b), special.ndtr(b) - special.ndtr(a))
    return np.asarray(weights @ np.where(sds > 0, inside, (means > low) & (means < high)))


def quantiles(weights: Array, means: Array, sds: Array, q: Array | float) -> Array:
    """(s,) quantiles of s mixtures, at one probability or (s,) of them.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.sampling.mixture import quantiles
    >>> quantiles(np.array([0.3, 0.7]), np.zeros((2, 1)), np.ones((2, 1)), 0.975).round(4)
    array([1.96])
    """
    s = means.shape[1]
    q = np.broadcast_to(np.asarray(q, dtype=np.float64), (s,))
    step = max(1, CHUNK // max(len(weights), 1))
    parts = [slice(begin, begin + step) for begin in range(0, s, step)]
    return np.concatenate([np.zeros(0), *(_quantiles(weights, means[:, at], sds[:, at], q[at]) for at in parts)])


def _quantiles(weights: Array, means: Array, sds: Array, q: Array) -> Array:
    """Quantiles of a few mixtures, all of whose numbers fit near the processor."""
    centre, variance = moments(weights, means, sds)
    unit = np.sqrt(variance)
    # where nothing varies the quantile is the constant
    out = centre.copy()
    rows = np.flatnonzero(unit > 1e-14 * np.abs(centre))
    used = np.maximum(sds, NARROWEST * np.where(unit > 0, unit, 1.0))
    z = special.ndtri(q)
    low, high = (means + z * used).min(axis=0), (means + z * used).max(axis=0)
    out[rows] = np.clip(centre + z * unit, low, high)[rows]
    for _ in range(MOST_STEPS):
        if len(rows) == 0:
            break
        x = out[rows]
        every = len(rows) == len(out)
        m, sd = (means, used) if every else (means[:, rows], used[:, rows])
        standard = (x - m) / sd
        gap = weights @ special.ndtr(standard) - q[rows]
        density = weights @ (np.exp(-0.5 * standard**2) / sd) / np.sqrt(2 * np.pi)
        high[rows] = np.where(gap > 0, x, high[rows])
        low[rows] = np.where(gap > 0, low[rows], x)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = x - gap / density
        inside = (step > low[rows]) & (step < high[rows])
        moved = np.where(inside, step, (low[rows] + high[rows]) / 2)
        out[rows] = moved
        last = inside & (np.abs(moved - x) <= SMALL * unit[rows])
        rows = rows[~last & (high[rows] - low[rows] > 1e-12 * unit[rows])]
    return out
