"""How levels of factors are written: as text, the same text whatever type the column has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.files.recognised import VARIABLE_LABELS

LONGEST = 60  # characters of a variable's label in a picture


def level_label(value: Any) -> str:
    """Text of one level.

    Whole numbers lose their decimal point, so that a column of identifiers read as floating point (as pandas does
    where one is missing) has the levels it would have as integers.

    Examples
    --------
    >>> from mixedfx.design.labels import level_label
    >>> level_label(17.0), level_label(0.5), level_label(True), level_label("boy")
    ('17', '0.5', 'True', 'boy')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, (pd.Timestamp, np.datetime64)):
        return str(pd.Timestamp(value)).removesuffix(" 00:00:00")
    return str(value)


def is_number(text: str) -> bool:
    """Whether a text is written as a number.

    Examples
    --------
    >>> from mixedfx.design.labels import is_number
    >>> is_number("2.5"), is_number("boy")
    (True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_levels(values: pd.Series, levels: Collection[Any]) -> pd.Series:
    """Values that are written as one of `levels` as that level: text "2019" as the number 2019, and the reverse.

    Parameters
    ----------
    values
        Any column; one whose values are all among the levels is returned as it is.
    levels
        Levels of a factor. Where two of them are written alike, nothing is changed.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.labels import as_levels
    >>> as_levels(pd.Series(["2019", "2020", "unknown"]), [2019, 2020]).tolist()
    [2019, 2020, 'unknown']
    """
    known = {level_label(level): level for level in levels}
    given = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else pd.unique(values.dropna())
    if len(known) < len(levels) or set(given) <= set(levels):
        return values
    place = {value: known.get(level_label(value), value) for value in given}
    if isinstance(values.dtype, pd.CategoricalDtype) and len(set(place.values())) == len(place):
        return values.cat.rename_categories(place)
    return values.astype(object).map(place)


def value_label(column: str, value: Any) -> str:
    """Text of one value of a column where the column's name does not stand above: numbers and truth need it.

    Examples
    --------
    >>> from mixedfx.design.labels import value_label
    >>> value_label("small", 1), value_label("gender", "boy")
    ('small 1', 'boy')
    """
    bare = not isinstance(value, (bool, int, float, np.number, np.bool_))
    return level_label(value) if bare else f"{column} {level_label(value)}"


def variable_label(frame: pd.DataFrame, name: str) -> str:
    """What pictures call a column: the label that its file gave it (`mixedfx.read`), else its name.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.labels import variable_label
    >>> frame = pd.DataFrame({"q1": [1], "q2": [2]})
    >>> frame.attrs["variable_labels"] = {"q1": "Trust in people"}
    >>> variable_label(frame, "q1"), variable_label(frame, "q2")
    ('Trust in people', 'q2')
    """
    given = frame.attrs.get(VARIABLE_LABELS)
    text = given.get(name) if isinstance(given, Mapping) else None
    return shorten(text, LONGEST, placeholder=" ...") if isinstance(text, str) and text.strip() else name


def variable_labels(frame: pd.DataFrame, names: Collection[Any]) -> dict[Any, Any]:
    """``attrs`` of a frame of these columns of another one: their labels, where it has some."""
    given = frame.attrs.get(VARIABLE_LABELS)
    kept = {n: given[n] for n in names if isinstance(given.get(n), str)} if isinstance(given, Mapping) else {}
    return {VARIABLE_LABELS: kept} if kept else {}


def quoted(levels: Sequence[str], limit: int = 8) -> str:
    """Levels for a message: quoted, the first few only."""
    shown = ", ".join(f"'{level}'" for level in levels[:limit])
    return shown + (f", ... ({len(levels)} in all)" if len(levels) > limit else "")
