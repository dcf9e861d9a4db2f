"""Caterpillar plot: the effects of the levels of a grouping factor, ordered, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = 60  # levels whose names can still be read on a page
LINE = 0.13  # inches


def caterpillar(
    table: pd.DataFrame,
    *,
    order: bool = True,
    xlabel: str | None = None,
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw one effect of every level with its interval, smallest at the bottom.

    Parameters
    ----------
    table
        Columns level, estimate, lower, upper.
    order
        Whether to order by the estimate; False keeps the order of the table, first at the top.
    xlabel, title
        Texts.
    width
        In inches; the height follows from the number of levels, and beyond 60 of them they are not named.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.caterpillar import caterpillar
    >>> table = pd.DataFrame({"level": ["a", "b"], "estimate": [1.0, -2.0], "lower": [0.0, -3.0], "upper": [2.0, -1.0]})
    >>> [text.get_text() for text in caterpillar(table).get_yticklabels()]
    ['b', 'a']
    """
    for column in ("level", "estimate", "lower", "upper"):
        if column not in table.columns:
            raise DataError(f"a caterpillar plot needs a column {column!r}; the table has {list(table.columns)}")
    shown = cast(pd.DataFrame, table.sort_values("estimate") if order else table.iloc[::-1])
    n = len(shown)
    named = n <= LABELLED
    axes = new_axes(width, 0.75 + max(LINE * n if named else 4.5, 0.5)) if ax is None else ax
    plain(axes)
    at = np.arange(n)
    lower, upper = shown["lower"].to_numpy(), shown["upper"].to_numpy()
    away = (lower > 0) | (upper < 0)
    for which, colour in ((away, COLOURS[0]), (~away, GREY)):
        style: dict[str, Any] = {"color": colour, "linewidth": 1.2 if named else 0.6}
        axes.hlines(at[which], lower[which], upper[which], **style)
        axes.plot(shown["estimate"].to_numpy()[which], at[which], "o", color=colour, markersize=3 if named else 1.6)
    if away.any() and not away.all():
        for colour, text in ((COLOURS[0], "interval leaves 0 out"), (GREY, "interval holds 0")):
            axes.plot([], [], "o-", color=colour, markersize=3, linewidth=1.2, label=text)
        below = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2, "borderaxespad": 0.1}
        axes.legend(fontsize=FONT - 2, frameon=False, handlelength=1.4, columnspacing=1.0, **below)
    axes.axvline(0.0, color="black", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.set_ylim(-0.8, n - 0.2)
    axes.set_yticks(at if named else [], [str(v) for v in shown["level"]] if named else [])
    axes.tick_params(axis="y", labelsize=FONT - 1.5)
    axes.set_xlabel(xlabel or "effect", fontsize=FONT)
    if title is not None:
        axes.set_title(title, fontsize=FONT + 1, loc="left", pad=14 if axes.get_legend() is not None else None)
    return axes
