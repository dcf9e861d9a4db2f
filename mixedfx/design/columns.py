"""Columns of a data frame, each taken out of it once.

A design asks for every column several times: for missing values, for its kind, for the response, X, Z and the levels.
Taking a column out of a pandas frame and making a frame of columns cost more than all that is done with them where the
rows are few, so the columns stand in a dict here, and become a frame once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Columns:
    """Columns of equal length and index under their names.

    Parameters
    ----------
    series
        Name -> column; None where a frame has them.
    n
        Number of rows.
    attrs
        What the frame made of them has for `pandas.DataFrame.attrs`.
    """

    __slots__ = ("_frame", "_series", "attrs", "n")

    def __init__(self, series: Mapping[str, pd.Series] | None, n: int, attrs: Mapping[Any, Any]) -> None:
        self._series = None if series is None else dict(series)
        self._frame: pd.DataFrame | None = None
        self.n, self.attrs = n, dict(attrs)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Columns:
        """The columns of a frame whose names are distinct texts."""
        made = cls(None, len(frame), frame.attrs)
        made._frame = frame
        return made

    @property
    def series(self) -> dict[str, pd.Series]:
        """Name -> column."""
        if self._series is None:
            assert self._frame is not None
            self._series = {str(name): values for name, values in self._frame.items()}
        return self._series

    @property
    def columns(self) -> KeysView[str]:
        """Their names, in order."""
        return self.series.keys()

    def __getitem__(self, name: str) -> pd.Series:
        """One column."""
        return self.series[name]

    def __iter__(self) -> Iterator[str]:
        """Their names, as of a frame."""
        return iter(self.series)

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of this name."""
        return name in self.series

    def __len__(self) -> int:
        """Number of rows, as of a frame."""
        return self.n

    @property
    def index(self) -> pd.Index:
        """The index that all of them have."""
        if self._frame is not None:
            return self._frame.index
        return next(iter(self.series.values())).index if self.series else pd.RangeIndex(self.n)

    @property
    def frame(self) -> pd.DataFrame:
        """All of them, made a frame at the first call; the memory is shared."""
        if self._frame is None:
            self._frame = pd.DataFrame(self.series, index=self.index, copy=False)
            self._frame.attrs = self.attrs
        return self._frame

    def assign(self, changed: Mapping[str, pd.Series]) -> Columns:
        """The same with some columns replaced, or added behind the others."""
        return Columns({**self.series, **changed}, self.n, self.attrs) if changed else self

    def with_values(self, name: str, values: NDArray[Any]) -> Columns:
        """The same with a column of these values (n,)."""
        return self.assign({name: pd.Series(values, self.index, name=name)})

    def without(self, names: Iterable[str]) -> Columns:
        """The same without some columns."""
        gone = set(names)
        return Columns({c: v for c, v in self.series.items() if c not in gone}, self.n, self.attrs) if gone else self


Frame = pd.DataFrame | Columns


def column(frame: Frame, name: str) -> pd.Series:
    """Take one column; its name is known to be there once."""
    return cast(pd.Series, frame[name])


def category_codes(values: pd.Series) -> NDArray[np.signedinteger[Any]]:
    """(n,) codes of a categorical column, -1 where it is missing; not to be written to."""
    return cast(pd.Categorical, values.array).codes


def as_frame(frame: Frame) -> pd.DataFrame:
    """The columns as pandas has them."""
    return frame.frame if isinstance(frame, Columns) else frame
