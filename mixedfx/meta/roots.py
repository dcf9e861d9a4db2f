"""Roots of functions of tau^2: of many data sets at once by Newton's method in a bracket, of one by bisection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.meta.measure import Array

CLOSE = 1e-12  # of a step, relative to where it leads: Newton's next one is below rounding
STEPS = 200


def between(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes its sign between two numbers is zero (Brent's method), to 13 digits."""
    from scipy.optimize import brentq

    brent: Any = brentq
    return float(brent(f, low, high, xtol=1e-15 + 1e-13 * abs(high), rtol=1e-13))


def root(
    f: Callable[[Array, NDArray[np.intp]], tuple[Array, Array]], start: Array, scale: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Where a function of tau^2 that goes from negative to positive is zero, by Newton's method kept in a bracket.

    Parameters
    ----------
    f
        (values of tau^2, the data sets they belong to) -> (values, slopes). Where it is not negative at 0, the answer
        is 0.
    start
        (B,) first values, from 0.
    scale
        (B,) size of a small tau^2, such as the smallest sampling variance.

    Returns
    -------
    tuple
        (B,) tau^2, and whether each was found.
    """
    if len(start) == 1:
        return _root_of_one(f, float(start[0]), float(scale[0]))
    x = np.maximum(start, 0.0)
    low, high = np.full(len(x), -1.0), np.full(len(x), np.inf)
    done = ~np.isfinite(x)
    left = np.flatnonzero(~done)
    for _ in range(STEPS):
        if not len(left):
            break
        at = x[left]
        value, slope = f(at, left)
        known = np.isfinite(value)
        zero = known & ((value == 0) | ((at == 0) & (value >= 0)))
        low[left] = np.where(known & (value < 0), at, low[left])
        high[left] = np.where(known & (value >= 0), at, high[left])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = at - value / slope
        lowest, highest = low[left], high[left]
        middle = np.where(np.isfinite(highest), (np.maximum(lowest, 0.0) + highest) / 2, 4 * at + scale[left])
        outside = ~np.isfinite(step) | (step >= highest) | ((step <= lowest) & (lowest >= 0)) | ~(slope > 0)
        new = np.where(outside, middle, np.maximum(step, 0.0))
        new = np.where(zero, at, new)
        close = np.abs(new - at) <= CLOSE * (new + scale[left] * 1e-3)
        x[left] = np.where(known, new, np.nan)
        done[left] = zero | close
        left = left[~(zero | close | ~known)]
    return x, done


def _root_of_one(
    f: Callable[[Array, NDArray[np.intp]], tuple[Array, Array]], start: float, scale: float
) -> tuple[Array, NDArray[np.bool_]]:
    """`root` of one data set, in numbers, which is several times as fast."""
    x, low, high, only = max(start, 0.0), -1.0, np.inf, np.zeros(1, dtype=np.intp)
    before = np.inf
    for _ in range(STEPS):
        value, slope = (float(part[0]) for part in f(np.array([x]), only))
        if not np.isfinite(value):
            break
        if value == 0 or (x == 0 and value >= 0):
            return np.array([x]), np.ones(1, dtype=bool)
        low, high = (x, high) if value < 0 else (low, x)
        new = max(x - value / slope, 0.0) if slope > 0 else -1.0
        if not np.isfinite(new) or new >= high or new < 0 or (new <= low and low >= 0):
            new = (max(low, 0.0) + high) / 2 if np.isfinite(high) else 4 * x + scale
        step, size = abs(new - x), new + 1e-3 * scale
        # Newton's steps shrink quadratically: after one that is short and shorter than the last, the next is rounding
        if step <= CLOSE * size or (step <= 1e-8 * size and step <= 1e-3 * before):
            return np.array([new]), np.ones(1, dtype=bool)
        x, before = new, step
    return np.array([x]), np.zeros(1, dtype=bool)
