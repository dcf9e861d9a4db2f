"""Numbers as text: one number of decimals for a whole column, so that decimal points stand below each other."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, isfinite, log10

import numpy as np

LARGEST_WIDTH = 9


def decimals(values: Iterable[float], digits: int = 4) -> int:
    """Decimals with which the smallest value of a column shows `digits` significant digits.

    The largest value limits the number, to `LARGEST_WIDTH` digits in all; values too small for it are written in
    scientific notation by `column`.

    Examples
    --------
    >>> from mixedfx.results.numbers import decimals
    >>> decimals([6.825, 1.546]), decimals([1234.5, 20.7]), decimals([1e5, 1e-3])
    (3, 2, 3)
    """
    sizes = [abs(v) for v in values if isfinite(v) and v != 0]
    if not sizes:
        return 2
    wanted = digits - 1 - floor(log10(min(sizes)))
    room = LARGEST_WIDTH - 1 - max(0, floor(log10(max(sizes))))
    return int(min(max(wanted, 0), max(room, 0)))


def column(values: Iterable[float], digits: int = 4, places: int | None = None) -> list[str]:
    """Text of a column of numbers; empty for NaN.

    Parameters
    ----------
    values
        The numbers.
    digits
        Significant digits of the smallest value, see `decimals`.
    places
        Number of decimals, where it is decided elsewhere.

    Examples
    --------
    >>> from mixedfx.results.numbers import column
    >>> column([251.405, 10.467, float("nan")])
    ['251.41', '10.47', '']
    >>> column([12345.678, 1e-7])
    ['12345.6780', '1.0e-07']
    """
    numbers = [float(v) for v in values]
    places = decimals(numbers, digits) if places is None else places
    return [_cell(v, places) for v in numbers]


def _cell(value: float, places: int) -> str:
    if np.isnan(value):
        return ""
    if not isfinite(value):
        return "inf" if value > 0 else "-inf"
    # fewer than two significant digits left, or more than fifteen: the notation of the column does not serve
    if value != 0 and ((abs(value) < 10.0 ** (1 - places) / 2 and places >= 4) or abs(value) >= 1e12):
        return f"{value:.1e}"
    return f"{value:.{places}f}"


def p_values(values: Iterable[float]) -> list[str]:
    """Text of p values: three decimals, or two significant digits where those would be 0.000; empty for NaN.

    Examples
    --------
    >>> from mixedfx.results.numbers import p_values
    >>> p_values([0.25, 0.00012, 0.0])
    ['0.250', '1.2e-04', '<1e-300']
    """
    return ["" if np.isnan(p) else "<1e-300" if p < 1e-300 else f"{p:.1e}" if p < 0.001 else f"{p:.3f}" for p in values]
