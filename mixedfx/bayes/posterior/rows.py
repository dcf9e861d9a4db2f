"""Rows of the linear predictors of a model: one functional for all, or two, of counts with a model of their zeros.

Whatever is about rows asks `rows_for`; one `Functional` serves linear predictors that read the same columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.inference.new_predictors import new_rows
from mixedfx.results.protocol import NewLevels


@dataclass(frozen=True, eq=False)
class PairedRows:
    """The same m rows of the linear predictor of the counts and of that of the zeros."""

    count: Functional
    zero: Functional

    @property
    def estimable(self) -> NDArray[np.bool_]:
        """(m,) whether the data determine both."""
        return self.count.estimable & self.zero.estimable

    def take(self, rows: NDArray[np.intp] | slice) -> PairedRows:
        """Some rows, in the order given."""
        return PairedRows(self.count.take(rows), self.zero.take(rows))

    def without_random(self) -> PairedRows:
        """The same rows with every random effect at its population mean of zero."""
        return PairedRows(self.count.without_random(), self.zero.without_random())

    def __len__(self) -> int:
        return len(self.count)


Rows = Functional | PairedRows


def rows_for(design: Design, newdata: Any = None, new_levels: NewLevels = "error") -> Rows:
    """Rows of the linear predictors, for the rows of the fit or for new ones, as `functional_for` has them."""
    count = functional_for(design, newdata, new_levels)
    return count if design.zero is None else PairedRows(count, functional_for(design.zero, newdata, new_levels))


def rows_of_new_groups(design: Design, frame: pd.DataFrame) -> Rows:
    """New rows, levels that the fit has not seen as columns of their own, as `new_rows` has them."""
    count = new_rows(design, frame)
    return count if design.zero is None else PairedRows(count, new_rows(design.zero, frame))


def functionals(rows: Rows) -> tuple[Functional, ...]:
    """The functional of each linear predictor, or the one that serves all."""
    return (rows.count, rows.zero) if isinstance(rows, PairedRows) else (rows,)
