"""Marginal means or contrasts: a point and an interval each, in blocks, with comparison arrows where there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.design.labels import level_label, value_label
from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, align_left, fold, fold_to_axes, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.2  # inches


def marginal_means(
    table: pd.DataFrame,
    keys: Sequence[str],
    by: Sequence[str] = (),
    *,
    level: float = 0.95,
    null: float | None = None,
    contrasts: bool = True,
    xlabel: str | None = None,
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw the rows of a table from top to bottom, blocks under headings.

    Parameters
    ----------
    table
        Columns `keys`, estimate, lower, upper; and arrow_left, arrow_right (ends of the comparison arrows, NaN for
        none) where there. Rows without an estimate get a label only.
    keys
        Columns that name a row.
    by
        Those of `keys` that make up the heading of a block.
    level
        Probability inside the intervals, for the axis label.
    null
        Where the line of no effect is drawn.
    contrasts
        False for means that a reader will compare: the label then says that overlapping intervals decide nothing.
    xlabel, title
        Texts.
    width
        In inches; the height follows from the number of rows.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.marginal_means import marginal_means
    >>> table = pd.DataFrame({"style": ["a", "b"], "estimate": [1.0, 2.0], "lower": [0.0, 1.0], "upper": [2.0, 3.0]})
    >>> [text.get_text() for text in marginal_means(table, ["style"]).get_yticklabels()]
    ['a', 'b']
    """
    for column in (*keys, "estimate", "lower", "upper"):
        if column not in table.columns:
            raise DataError(f"this picture needs a column {column!r}; the table has {list(table.columns)}")
    lines = _lines(table, [k for k in keys if k not in by], by)
    own = ax is None
    arrows = "arrow_left" in table.columns
    axes = new_axes(width, LINE * len(lines) + 0.7 + 0.2 * (title is not None)) if ax is None else ax
    plain(axes)
    if null is not None:
        axes.axvline(null, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    for at, (_, i) in enumerate(lines):
        if i is not None and not np.isnan(table["estimate"].to_numpy()[i]):
            _draw(axes, table.iloc[i], at, arrows)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [fold(text, 30) if i is None else text for text, i in lines])
    for tick, (_, i) in zip(axes.get_yticklabels(), lines, strict=True):
        if i is None:
            tick.set_fontweight("bold")
    said = f"{100 * level:g} % intervals"
    if arrows:
        said += "; arrows that do not overlap: means differ"
    elif contrasts is False:
        said += ", which may overlap where means differ"
    axes.set_xlabel(f"{xlabel}\n({said})" if xlabel else said, fontsize=FONT)
    if title is not None:
        axes.set_title(title, fontsize=FONT + 1, loc="left")
    if own:
        align_left(axes)
        fold_to_axes(axes, width)
    return axes


def _lines(table: pd.DataFrame, labels: Sequence[str], by: Sequence[str]) -> list[tuple[str, int | None]]:
    """Text of each line, and the row drawn on it; None for a heading."""
    lines: list[tuple[str, int | None]] = []
    heading = None
    for i in range(len(table)):
        row = table.iloc[i]
        above = ", ".join(f"{c} = {level_label(row[c])}" for c in by)
        if by and above != heading:
            lines.append((above, None))
            heading = above
        text = ", ".join(value_label(c, row[c]) for c in labels) or "overall"
        lines.append((("   " if by else "") + text, i))
    return lines


def _draw(axes: Axes, row: pd.Series, at: float, arrows: bool) -> None:
    thick: dict[str, Any] = {"color": COLOURS[5], "linewidth": 5.0, "solid_capstyle": "butt", "zorder": 2}
    thin: dict[str, Any] = {"color": COLOURS[0], "linewidth": 1.4, "solid_capstyle": "butt", "zorder": 2}
    axes.plot([row["lower"], row["upper"]], [at, at], **(thick if arrows else thin))
    axes.plot([row["estimate"]], [at], "o", color=COLOURS[0], markersize=4.4, markeredgecolor="white", zorder=4)
    if arrows:
        for end in (row["arrow_left"], row["arrow_right"]):
            if not np.isnan(end):
                shape = {"arrowstyle": "-|>", "color": COLOURS[1], "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (end, at), (row["estimate"], at), arrowprops=shape, zorder=3)
