"""What was observed: outcomes, arms, covariates and groups, read and checked once for everything in this layer."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import aligned
from mixedfx.design.frame import to_pandas
from mixedfx.errors import DataError, OneArmWarning, OptionError, outside, some_rows
from mixedfx.learn.base_frame import is_frame
from mixedfx.learn.folds import group_codes

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows of people.

    Attributes
    ----------
    X
        (n, p) covariates: a pandas frame, an array or a sparse matrix.
    y
        (n,) outcomes.
    arm
        (n,) codes of the arms, 0 for the control.
    arms
        Labels of the K arms, the control first.
    group, groups
        (n,) codes of the groups and their labels; None where there are none.
    names
        What outcome and treatment are called.
    taken
        Columns of the frame given that are outcome or treatment, and so no covariates.
    """

    X: Any
    y: Array
    arm: Codes
    arms: tuple[Hashable, ...]
    group: Codes | None = None
    groups: pd.Index | None = None
    names: tuple[str, str] = ("outcome", "treatment")
    taken: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def binary(self) -> bool:
        """Whether outcomes are zeros and ones."""
        return bool(np.isin(self.y, (0.0, 1.0)).all())

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Names of the K - 1 effects."""
        return tuple(f"{arm} - {self.arms[0]}" for arm in self.arms[1:])

    def covariates(self, X: Any) -> Any:
        """Covariates of other people as models read them: the columns learnt from, in their order.

        Raises
        ------
        DataError
            Columns that are not there, or dates.
        """
        rows = as_covariates(X)
        if not rows.shape[0]:
            raise DataError("X has no rows", hint="Give people to predict for.")
        if not isinstance(rows, pd.DataFrame) or not isinstance(self.X, pd.DataFrame):
            if rows.shape[1] != self.X.shape[1]:
                raise DataError(
                    f"X has {rows.shape[1]} columns; {self.X.shape[1]} were learnt from",
                    hint="Give these, in their order.",
                )
            return rows
        missing = [str(name) for name in self.X.columns if name not in rows.columns]
        if missing:
            raise DataError(f"X lacks columns that were learnt from: {', '.join(missing)}")
        return rows[list(self.X.columns)]


def read_trial(X: Any, y: Any, w: Any, groups: Any = None) -> Trial:
    """Read and check what was observed.

    Parameters
    ----------
    X
        (n, p) covariates in any frame, array or sparse matrix.
    y, w
        (n,) outcomes and treatments, or names of columns of X, which are then no covariates. The values of a pandas
        Series go to the rows of their labels where X is a pandas frame.
    groups
        (n,) groups, or the name of a column of X, which remains a covariate.

    Raises
    ------
    DataError
        Lengths that differ, outcomes or treatments that are missing (by counts), a treatment with one value, dates.

    Warns
    -----
    OneArmWarning
        Groups whose rows are all in one arm, by counts.
    """
    if is_frame(X) and not isinstance(X, pd.DataFrame):
        X = to_pandas(X)
    names = (y if isinstance(y, str) else _name(y, "outcome"), w if isinstance(w, str) else _name(w, "treatment"))
    taken = [name for name in (y, w) if isinstance(name, str)]
    y, w, groups = _column(X, y, "y"), _column(X, w, "w"), _column(X, groups, "groups")
    if len(taken) > len(set(taken)):
        raise OptionError(f"outcome and treatment are one column, {taken[0]!r}", hint="Name two.")
    if taken:
        X = X.drop(columns=taken)
    X = as_covariates(X)
    n, p = X.shape
    if not p:
        raise DataError("X has no columns to learn from", hint="Outcome and treatment are no covariates.")
    outcome = read_outcome(in_order(y, X, "y"), n)
    arm, arms = read_arms(in_order(w, X, "w"), n)
    group, labels = group_codes(in_order(groups, X, "groups"), n)
    if group is not None and labels is not None:
        warn_one_arm(group, labels, arm, len(arms))
    return Trial(X, outcome, arm, arms, group, labels, names, tuple(taken))


def in_order(values: Any, X: Any, what: str) -> Any:
    """A pandas Series in the order of the rows of a pandas frame; all else as it is.

    Raises
    ------
    DataError
        A Series whose labels do not say which value belongs to which row.
    """
    return aligned(values, X.index, len(X), what) if isinstance(X, pd.DataFrame) else values


def as_covariates(X: Any) -> Any:
    """A frame, an array of numbers or a sparse matrix, as models read it: text and other objects become categories.

    Raises
    ------
    DataError
        Dates and times, by column; arrays of text or not of rows and columns; columns of one name.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.learn.trial import as_covariates
    >>> as_covariates(pd.DataFrame({"kind": ["a", "b"], "age": [3, 4]})).dtypes.astype(str).tolist()
    ['category', 'int64']
    """
    if hasattr(X, "toarray"):
        return X
    if not is_frame(X):
        try:
            array = np.asarray(X)
        except ValueError:  # rows of several lengths
            raise DataError("X is no table", hint="Give rows and columns: a frame, or an array (n, p).") from None
        if array.ndim != 2 or array.dtype.kind == "c":
            what = "holds complex numbers" if array.dtype.kind == "c" else f"has shape {array.shape}"
            raise DataError(f"X {what}", hint="Give rows and columns: a frame, or an array (n, p).")
        if array.dtype.kind in "fiub":
            return array
        _refuse_dates(pd.DataFrame({"X": array.ravel()}))
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError("X is an array of text", hint="Give a frame, whose columns have types.") from None
    frame = X if isinstance(X, pd.DataFrame) else to_pandas(X)
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice):
        raise DataError(f"X has several columns of one name: {', '.join(map(str, twice))}", hint="Rename or drop them.")
    changed: dict[int, pd.Series] = {}
    for at, dtype in enumerate(frame.dtypes):
        column = frame.iloc[:, at]
        if pd.api.types.is_object_dtype(dtype):
            column = column.infer_objects()
        if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
            column = column.astype("category")
        if column.dtype != dtype:
            changed[at] = column
    if changed:
        columns = [changed[at] if at in changed else frame.iloc[:, at] for at in range(frame.shape[1])]
        frame = pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)
    _refuse_dates(frame)
    return frame


def _refuse_dates(frame: pd.DataFrame) -> None:
    """Refuse columns of dates and times (`DataError`)."""
    dates = [
        str(name)
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
        if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype)
    ]
    if dates:
        raise DataError(
            f"X holds dates or times, which models do not read: {', '.join(dates)}",
            hint="Make numbers of them (days since a date) or categories (month), or leave them out.",
        )


def read_outcome(y: Any, n: int) -> Array:
    """(n,) outcomes as numbers (`DataError` by counts where they are none)."""
    try:
        values = (
            y.to_numpy(np.float64, na_value=np.nan) if isinstance(y, pd.Series) else np.asarray(y, dtype=np.float64)
        )
    except (TypeError, ValueError):
        raise DataError("outcomes must be numbers", hint="Code two classes as 0 and 1.") from None
    if values.shape != (n,):
        raise DataError(f"y has shape {values.shape}; there are {n} rows", hint="One outcome for each row.")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{len(bad)} outcomes are missing or infinite: {some_rows(bad)}", hint="Drop these rows.")
    return values


def read_arms(w: Any, n: int, labels: tuple[Hashable, ...] | None = None) -> tuple[Codes, tuple[Hashable, ...]]:
    """(n,) codes of the arms, and their labels: categories in their order, else sorted; the first is the control.

    Raises
    ------
    DataError
        Another length, missing values, one value only.

    Examples
    --------
    >>> from mixedfx.learn.trial import read_arms
    >>> read_arms(["b", "a", "b"], 3)
    (array([1, 0, 1]), ('a', 'b'))
    """
    if not isinstance(w, pd.Series) and np.ndim(w) != 1:
        raise DataError(f"w has shape {np.shape(w)}; there are {n} rows", hint="One treatment for each row.")
    values = w if isinstance(w, pd.Series) else pd.Series(w if isinstance(w, pd.Categorical) else np.asarray(w))
    if len(values) != n:
        raise DataError(f"w has {len(values)} values; there are {n} rows", hint="One treatment for each row.")
    missing = np.flatnonzero(np.asarray(pd.isna(values)))
    if len(missing):
        raise DataError(f"the treatment is missing in {some_rows(missing)}", hint="Drop these rows.")
    if isinstance(values.dtype, pd.CategoricalDtype):
        categories = values.cat.remove_unused_categories().cat
        codes = np.asarray(categories.codes, dtype=np.intp)
        found: tuple[Hashable, ...] = tuple(categories.categories)
    else:
        try:
            found_array, codes = np.unique(values.to_numpy(), return_inverse=True)
        except TypeError:  # what cannot be put in order
            kinds = sorted({type(one).__name__ for one in values})
            raise DataError(
                f"the treatment holds values of several kinds: {', '.join(kinds)}", hint="Give numbers, or text."
            ) from None
        codes, found = codes.astype(np.intp), tuple(found_array.tolist())
    if labels is None and len(found) < 2:
        what = f"the treatment has one value, {', '.join(map(repr, found))}, in all {n} rows"
        raise DataError(what if n else "there are no rows", hint="Effects compare two arms or more.")
    if len(found) > 20:
        raise DataError(
            f"the treatment has {len(found)} values", hint="It is taken as arms: give 0/1, or a few named arms."
        )
    return codes, found


def warn_one_arm(group: Codes, labels: pd.Index, arm: Codes, n_arms: int) -> None:
    """Count groups whose rows are all in one arm (`OneArmWarning`)."""
    present = np.zeros((len(labels), n_arms), dtype=bool)
    present[group, arm] = True
    alone = np.flatnonzero(present.sum(axis=1) == 1)
    if len(alone):
        named = ", ".join(map(str, labels[alone[:5]])) + (", ..." if len(alone) > 5 else "")
        rows = int(np.isin(group, alone).sum())
        warnings.warn(
            f"{len(alone)} of {len(labels)} groups hold one arm only ({named}; {rows} rows): what is said of the "
            "effect there rests on other groups",
            OneArmWarning,
            stacklevel=outside(),
        )


def _name(values: Any, otherwise: str) -> str:
    name = getattr(values, "name", None)
    return name if isinstance(name, str) else otherwise


def _column(X: Any, given: Any, argument: str) -> Any:
    """Values, or those of the column that a text names."""
    if not isinstance(given, str):
        return given
    if not is_frame(X):
        raise OptionError(f"{argument}={given!r} names a column, but X has no names", hint="Give the values.")
    if given not in X.columns:
        raise OptionError(f"X has no column {given!r}", hint=f"Columns: {', '.join(map(str, X.columns))}.")
    return X[given]
