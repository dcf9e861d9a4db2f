"""What estimators read: arrays, lists and frames become frames whose columns a formula can name.

Arrays have no names. Their columns are ``x0``, ``x1``, ... by position, or what ``columns`` calls them; columns beyond
those named keep their position (a learner may append the treatment). Frames are taken as they are, categories included,
but for names that are numbers, which a formula would read as numbers: these columns are called by position too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from mixedfx.design.frame import to_pandas
from mixedfx.errors import DataError, OptionError
from mixedfx.formula.names import quote
from mixedfx.formula.parse import parse_formula
from mixedfx.formula.variables import free_names

OUTCOME = "outcome_"
"""Name of the response beside the columns of X."""


def is_frame(X: Any) -> bool:
    """Whether X has named columns."""
    return hasattr(X, "columns") and not hasattr(X, "toarray")


def as_frame(X: Any, columns: Sequence[str] | None) -> pd.DataFrame:
    """Make a frame with text as names of columns.

    Parameters
    ----------
    X
        (n, p) array or frame.
    columns
        Names of the columns of an array, as far as they go; a frame has its own.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.base_frame import as_frame
    >>> list(as_frame(np.zeros((2, 3)), ["age", "school"]).columns)
    ['age', 'school', 'x2']
    """
    if is_frame(X):
        frame = X if isinstance(X, pd.DataFrame) else to_pandas(X)
        names = [c if isinstance(c, str) and not c.isdigit() else f"x{i}" for i, c in enumerate(frame.columns)]
        return frame if names == list(frame.columns) else frame.set_axis(pd.Index(names), axis=1)
    array = np.asarray(X)
    given = [] if columns is None else list(columns)
    if len(given) > array.shape[1]:
        raise OptionError(
            f"columns names {len(given)} columns; X has {array.shape[1]}", hint="Name no more than there are."
        )
    return pd.DataFrame(array, columns=pd.Index([*given, *(f"x{i}" for i in range(len(given), array.shape[1]))]))


def find_column(frame: pd.DataFrame, which: str | int) -> str:
    """Name of a column given by its name or position.

    Raises
    ------
    OptionError
        There is none.
    """
    names = list(frame.columns)
    if isinstance(which, str) and which in names:
        return which
    if isinstance(which, int | np.integer) and not isinstance(which, bool) and -len(names) <= which < len(names):
        return names[which]
    raise OptionError(f"X has no column {which!r}", hint=f"Columns: {', '.join(names)}; or a position from 0.")


def right_side(formula: str | None, groups: Any, frame: pd.DataFrame) -> str:
    """The right side of the model: what was written, or all columns and an intercept for each group.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.learn.base_frame import right_side
    >>> right_side(None, "school", pd.DataFrame({"age": [1.0], "school": [2]}))
    '1 + age + (1 | school)'
    """
    if formula is not None:
        if not isinstance(formula, str):
            raise OptionError(f"formula={formula!r} is no text", hint='Write formula="1 + x1 + (1 | school)".')
        if groups is not None:
            raise OptionError("formula and groups were both given", hint="Write (1 | group) in the formula.")
        head, tilde, tail = formula.partition("~")
        if tilde and head.strip():
            raise OptionError(
                f"{formula!r} has a left side, but the response is the y of fit", hint=f"Write {tail.strip()!r}."
            )
        return (tail if tilde else head).strip()
    asked = [] if groups is None else [groups] if isinstance(groups, str | int | np.integer) else list(groups)
    by = [find_column(frame, cast(Any, one)) for one in asked]
    fixed = [quote(name) for name in frame.columns if name not in by]
    return " + ".join(["1", *fixed, *(f"(1 | {quote(name)})" for name in by)])


def with_outcome(frame: pd.DataFrame, y: Any, right: str) -> pd.DataFrame:
    """The frame with the response beside it, rows numbered; `right` is the right side of the model.

    Raises
    ------
    DataError
        X has a column of that name, or missing values in columns that the model reads.
    """
    check_complete(frame, free_names(parse_formula(f"{OUTCOME} ~ {right}"), None))
    if OUTCOME in frame.columns:
        raise DataError(f"X has a column {OUTCOME!r}, which is the name of the response here", hint="Rename it.")
    return frame.reset_index(drop=True).assign(**{OUTCOME: np.asarray(y)})


def check_complete(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse missing values in columns that a model reads, by counts (`DataError`)."""
    counts = {name: int(np.asarray(pd.isna(frame[name])).sum()) for name in names if name in frame.columns}
    told = ", ".join(f"{count} in {name!r}" for name, count in counts.items() if count)
    if told:
        raise DataError(f"X has missing values (NaN): {told}", hint="Drop or impute these rows.")
