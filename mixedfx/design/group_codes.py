"""Codes of the levels of a grouping factor for one batch of rows after another, the levels being known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import category_codes, column
from mixedfx.design.grouping import Grouping, level_codes
from mixedfx.errors import DataError

Codes = NDArray[np.intp]

TABLE = 2**24  # range of whole numbers up to which a table of it is held


class GroupCodes:
    """Codes of a grouping factor, as `mixedfx.design.grouping.group` gives them to all rows at once.

    Parameters
    ----------
    grouping
        What it learnt from all rows.
    distinct
        Every combination of its columns, one a row.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.group_codes import GroupCodes
    >>> from mixedfx.design.grouping import group
    >>> rows = pd.DataFrame({"school": [7, 3, 7], "class": list("aab")})
    >>> codes = GroupCodes(group(rows, ["school", "class"])[1], rows)
    >>> codes.of(rows.iloc[[2, 1]]).tolist()
    [2, 0]
    """

    def __init__(self, grouping: Grouping, distinct: pd.DataFrame) -> None:
        self.grouping = grouping
        self._columns = [_column_codes(column(distinct, name)) for name in grouping.columns]
        self._keys = [_lookup(keys, np.arange(len(keys))) for keys in grouping.keys]

    def of(self, frame: pd.DataFrame) -> Codes:
        """(m,) codes of the rows of a batch.

        Raises
        ------
        DataError
            For a level that the first reading did not have.
        """
        codes: Codes | None = None
        for step, (name, ask) in enumerate(zip(self.grouping.columns, self._columns, strict=True)):
            own = ask(column(frame, name))
            if codes is None:
                codes = own
            else:
                width = len(self.grouping.column_levels[step])
                codes = self._keys[step - 1](np.where((codes < 0) | (own < 0), -1, codes * width + own))
        assert codes is not None
        if (codes < 0).any():
            raise other_rows()
        return codes


def other_rows() -> DataError:
    """The error of a source that gives other rows when it is read again."""
    return DataError(
        "the source gives other rows each time it is read",
        hint="Write what it gives to a Parquet file once (a query that draws a sample, say), and fit that.",
    )


def _column_codes(values: pd.Series) -> Callable[[pd.Series], Codes]:
    """What codes the values of one plain column, -1 where they are no level."""
    codes, labels = level_codes(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        of_category = np.full(len(values.cat.categories) + 1, -1, dtype=np.intp)
        of_category[category_codes(values)] = codes
        return lambda new: of_category[category_codes(new)]
    first = np.zeros(len(labels), dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    levels = values.iloc[first]
    if values.dtype.kind in "iu" and values.dtype != np.uint64:
        ask = _lookup(levels.to_numpy(dtype=np.int64), np.arange(len(labels)))
        return lambda new: ask(new.to_numpy(dtype=np.int64))
    index = pd.Index(levels)

    def of_new(new: pd.Series) -> Codes:
        numbers, distinct = pd.factorize(new)
        return index.get_indexer(distinct)[numbers]

    return of_new


def _lookup(keys: NDArray[np.int64], codes: Codes) -> Callable[[NDArray[np.int64]], Codes]:
    """From whole numbers to their codes, the keys ascending."""
    low, high = int(keys[0]), int(keys[-1])
    if high - low <= max(TABLE, 4 * len(keys)):
        table = np.full(high - low + 1, -1, dtype=np.intp)
        table[keys - low] = codes

        def tabled(new: NDArray[np.int64]) -> Codes:
            place = new - low
            inside = place.view(np.uint64) < len(table)  # what is below `low` is very large without its sign
            return table[place] if inside.all() else np.where(inside, table[np.where(inside, place, 0)], -1)

        return tabled

    def searched(new: NDArray[np.int64]) -> Codes:
        place = np.minimum(np.searchsorted(keys, new), len(keys) - 1)
        return np.where(keys[place] == new, codes[place], -1)

    return searched
