"""Reading what a caller names: a column of the data, or values beside them, as one array for the rows of the data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.alignment import aligned, per_row, row_labels
from mixedfx.design.frame import column, opened, to_pandas
from mixedfx.errors import DataError, ModelError, RankDeficiencyWarning
from mixedfx.meta.measure import Array

# Without copy-on-write a shallow copy would follow later changes that the caller makes to the data.
_COPY = int(pd.__version__.split(".")[0]) < 3


def fetched(data: Any, given: Mapping[str, Any], whole: bool = False) -> tuple[pd.DataFrame, pd.Index | None]:
    """The columns of `data` that are named, or all of them, read once; and labels of its rows.

    Parameters
    ----------
    data
        Any frame, or None where `given` holds values only.
    given
        Argument -> name of a column, or values.
    whole
        Whether all columns are needed.
    """
    if data is not None:
        labels = row_labels(data)
        names = dict.fromkeys(value for value in given.values() if isinstance(value, str))
        return to_pandas(opened(data), None if whole else list(names)), labels
    named = [name for name, value in given.items() if isinstance(value, str)]
    if named:
        raise DataError(f"{named[0]}='{given[named[0]]}' names a column, and there are no data", hint="Give data=.")
    sizes = [len(np.atleast_1d(np.asarray(value))) for value in given.values() if value is not None]
    n = max(sizes, default=0)
    return pd.DataFrame(index=pd.RangeIndex(n)), None


def kept(data: Any) -> pd.DataFrame:
    """A frame to which a fit can come back: read once, and not changed by what happens to `data` later.

    Pandas keeps its index. Of others the columns are left out that no analysis can read, such as lists.
    """
    frame = opened(data)
    if isinstance(frame, pd.DataFrame):
        return frame.copy(deep=_COPY)
    import narwhals as nw

    odd = (nw.List, nw.Array, nw.Struct, nw.Object, nw.Unknown, nw.Int128, nw.UInt128)
    return to_pandas(frame, [name for name, dtype in frame.collect_schema().items() if not isinstance(dtype, odd)])


def numbers(value: Any, frame: pd.DataFrame, labels: pd.Index | None, what: str) -> Array:
    """(n,) float64; one number is that of every row, missing values become NaN."""
    if isinstance(value, str):
        return per_row(named(value, frame), frame.index, len(frame), f"{what}='{value}'")
    if isinstance(value, Real):
        return np.full(len(frame), float(value))
    return per_row(value, labels, len(frame), what)


def values(value: Any, frame: pd.DataFrame, labels: pd.Index | None, what: str) -> Array:
    """(n,) objects of any type, such as labels."""
    if isinstance(value, str):
        return named(value, frame).to_numpy(dtype=object)
    found = np.asarray(aligned(value, labels, len(frame), what), dtype=object)
    if found.shape != (len(frame),):
        raise DataError(f"{what} has {found.size} values, the data have {len(frame)} rows")
    return found


def named(name: str, frame: pd.DataFrame) -> pd.Series:
    """The column of a name."""
    if name not in frame.columns:
        from mixedfx.design.frame import nearest

        raise DataError(f"the data have no column '{name}'", hint=nearest(name, frame.columns))
    return column(frame, name)


@contextmanager
def moderators_refused() -> Iterator[None]:
    """Refuse moderators that are combinations of others, which other models drop with a warning.

    Raises
    ------
    ModelError
        With the columns, and those they are combinations of.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", RankDeficiencyWarning)
        try:
            yield
        except RankDeficiencyWarning as said:
            listed = str(said).partition("\n")[2]
            raise ModelError(
                f"moderators say the same as others, and their effects cannot be told apart:\n{listed}",
                hint="Leave one of each out of the formula.",
            ) from None
