"""Sums whose error does not grow with the number of their terms (Neumaier 1974, ZAMM 54:39)."""

from __future__ import annotations

from typing import Any

import numpy as np


class Sum:
    """A sum of numbers, or of arrays of one shape, that keeps what rounding loses beside it.

    Examples
    --------
    >>> from mixedfx.linalg.sums import Sum
    >>> total = Sum()
    >>> for x in (1.0, 1e100, 1.0, -1e100):
    ...     total.add(x)
    >>> float(total.value)
    2.0
    """

    def __init__(self) -> None:
        self._sum: Any = None
        self._lost: Any = None

    def add(self, x: Any) -> None:
        """Take in a term; an array belongs to the sum from now on."""
        if self._sum is None:
            self._sum = np.asarray(x, dtype=np.float64)
            return
        total = self._sum + x
        larger = np.abs(self._sum) >= np.abs(x)
        lost = np.where(larger, (self._sum - total) + x, (x - total) + self._sum)
        self._lost = lost if self._lost is None else self._lost + lost
        self._sum = total

    @property
    def value(self) -> Any:
        """The sum; zero where nothing was added."""
        if self._sum is None:
            return np.float64(0.0)
        return self._sum if self._lost is None else self._sum + self._lost
