"""How levels of factors are written: as text, the same text whatever type the column has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


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


def quoted(levels: Sequence[str], limit: int = 8) -> str:
    """Levels for a message: quoted, the first few only."""
    shown = ", ".join(f"'{level}'" for level in levels[:limit])
    return shown + (f", ... ({len(levels)} in all)" if len(levels) > limit else "")
