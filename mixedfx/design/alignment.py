"""One value for each row, given beside the data: by the index where it is a pandas Series, by position otherwise.

A pandas Series carries the names of its rows. Taken by position it would give rows the values of others, without a
word, wherever it was sorted, sampled or filtered apart from the data; so its values go to the rows of the same label,
and where labels do not tell which rows these are the Series is refused. Lists, arrays and the columns of libraries
without an index have positions only, and are taken by them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError

Array = NDArray[np.float64]


def row_labels(data: Any) -> pd.Index | None:
    """Labels of the rows of a frame; None where it has positions only."""
    return data.index if isinstance(data, pd.DataFrame) else None


def aligned(values: Any, labels: pd.Index | None, n: int, what: str) -> Any:
    """Values in the order of the rows they are for.

    Parameters
    ----------
    values
        A pandas Series, which is put in order, or anything else, which is returned as it is.
    labels
        (n,) labels of the rows; None where they have positions only.
    n
        Number of rows.
    what
        The argument, for messages.

    Returns
    -------
    Series or as given

    Raises
    ------
    DataError
        A Series of another length, or whose index does not say which value belongs to which row.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.alignment import aligned
    >>> aligned(pd.Series([1.0, 2.0], index=["b", "a"]), pd.Index(["a", "b"]), 2, "weights").tolist()
    [2.0, 1.0]
    """
    if not isinstance(values, pd.Series):
        return values
    given = f"{what} is a pandas Series"
    by_position = f"If its values stand in the order of the rows, pass its .to_numpy() as {what}; or name a column."
    own = values.index
    if len(own) != n:
        raise DataError(
            f"{what} has {len(own)} values, the data have {n} rows",
            hint="Give one value for each row; of a longer Series, series.loc[data.index].",
        )
    if labels is None:
        if isinstance(own, pd.RangeIndex) and own.start == 0 and own.step == 1:
            return values
        raise DataError(f"{given} with an index, and the rows it is for have no labels to match it", hint=by_position)
    if own.equals(labels):
        return values
    for index, whose in ((own, "its"), (labels, "the data's")):
        if not index.is_unique:
            twice = index[index.duplicated()][0]
            raise DataError(
                f"{given} whose index is not that of the data, and {whose} label {twice!r} stands for several rows",
                hint=by_position,
            )
    at = own.get_indexer(labels)
    if (at < 0).any():
        lacking = labels[at < 0]
        raise DataError(
            f"{given} whose index has no {lacking[0]!r}, a row of the data ({len(lacking)} are lacking)",
            hint=by_position,
        )
    return values.iloc[at]


def beside(values: Any, data: Any, what: str) -> Any:
    """`aligned` with the rows of a frame; how many these are where they have no labels is left to its reader."""
    labels = row_labels(data)
    if not isinstance(values, pd.Series):
        return values
    return aligned(values, labels, len(values) if labels is None else len(labels), what)


def per_row(values: Any, labels: pd.Index | None, n: int, what: str) -> Array:
    """(n,) float64 from what the caller gave for each row of the data; missing values become NaN.

    Parameters
    ----------
    values, labels, n, what
        As `aligned` has them.

    Raises
    ------
    DataError
        Where it is not one number for each row, or cannot be aligned.
    """
    values = aligned(values, labels, n, what)
    try:
        series = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
        array = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers, one for each row, or the name of a column") from None
    if array.shape != (n,) or np.ndim(values) == 0:
        raise DataError(f"{what} has {len(array)} values, the data have {n} rows", hint="Give one value for each row.")
    return array
