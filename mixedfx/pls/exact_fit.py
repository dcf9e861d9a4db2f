"""Responses that the fixed part reproduces exactly, which leave no variance to estimate.

Least squares leave a share of y'y that is rounding: of levels that say the response 6e-30 with 50 columns, 5e-27 with
600 and 1.5e-26 with 1,501. Beyond a few columns the bound grows with their number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import ModelError

NOTHING_LEFT = 1e-26  # residual sum of squares of the fixed part, relative to y'y, that is rounding
FEW = 10  # columns up to which it is


def refuse_exact(left: float | NDArray[np.float64], square: float | NDArray[np.float64], p: int) -> None:
    """Refuse residual sums of squares of p columns that are nothing beside y'y (`ModelError`), of one fit or many."""
    if np.any(left <= NOTHING_LEFT * max(1.0, p / FEW) * square):
        raise ModelError(
            "the fixed part reproduces the response exactly, so there is no variance to estimate",
            hint="Look for a column of the fixed part that was computed from the response.",
        )
