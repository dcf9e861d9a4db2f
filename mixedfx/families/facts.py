"""What is known of each row besides its response and its linear predictor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RowFacts:
    """Known numbers of m rows; None where there is nothing to know.

    The offset is not among them: it is part of the linear predictor.

    Attributes
    ----------
    trials
        (m,) numbers of trials (binomial).
    weights
        (m,) precision weights: the scale of a row is sigma / sqrt(weight).
    known_sd
        (m,) known standard deviations, which take the place of sigma.
    """

    trials: Array | None = None
    weights: Array | None = None
    known_sd: Array | None = None

    def take(self, rows: slice | NDArray[np.intp]) -> RowFacts:
        """The same of some rows."""
        kept = (None if values is None else values[rows] for values in (self.trials, self.weights, self.known_sd))
        return RowFacts(*kept)


NO_FACTS = RowFacts()
"""Nothing is known."""
