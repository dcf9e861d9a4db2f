"""Data frames as they are printed: one number of decimals a column, at most sixty rows, and how many were left out."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from mixedfx.results.numbers import column, p_values
from mixedfx.results.render import MOST_ROWS, SummaryTable

DIGITS = 4


def frame_table(
    frame: pd.DataFrame, title: str, most: int = MOST_ROWS, digits: int = DIGITS, whole: str = ".table"
) -> SummaryTable:
    """A frame as a table of a summary.

    Parameters
    ----------
    frame
        Text, whole numbers and numbers; columns called p_value are written as p values. Named indices come first.
    title
        Heading.
    most
        Rows shown; the table says how many there are besides.
    digits
        Significant digits of the smallest number of a column.
    whole
        Where all rows are.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.results.frames import frame_table
    >>> from mixedfx.results.render import SummaryContent
    >>> frame = pd.DataFrame({"group": ["a", "b"], "n": [1200, 7], "estimate": [251.40512, -10.46723]})
    >>> print(SummaryContent("Means", (frame_table(frame, "By group", most=1),)))
    Means
    <BLANKLINE>
    By group
     group      n  estimate
     a      1,200    251.41
     1 more row in .table
    """
    if frame.index.nlevels > 1 or frame.index.name is not None:
        frame = frame.reset_index()
    cells, align = text_columns(frame, digits)
    rows = tuple(zip(*cells.values(), strict=True))
    return SummaryTable(title, tuple(cells), rows[:most], align, max(0, len(rows) - most), whole)


def text_columns(
    frame: pd.DataFrame, digits: int = DIGITS, places: Mapping[str, int] | None = None, whole: str = ","
) -> tuple[dict[str, list[str]], str]:
    """The columns of a frame as text, missing values blank, and the sides they are aligned to.

    Parameters
    ----------
    frame
        The rows; the index is left out.
    digits
        Significant digits of the smallest number of a column.
    places
        Decimals of columns where they are decided.
    whole
        Format of whole numbers.
    """
    cells, align = {}, ""
    for name in map(str, frame.columns):
        values = frame[name]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if name == "p_value":
            cells[name] = p_values(values)
        elif pd.api.types.is_float_dtype(values):
            cells[name] = column(values, digits, (places or {}).get(name))
        else:
            form = whole if numeric else ""
            cells[name] = ["" if pd.isna(value) else format(value, form) if numeric else str(value) for value in values]
        align += "r" if numeric else "l"
    return cells, align
