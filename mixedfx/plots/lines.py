"""Lines with bands: an effect that changes with a number, for one group or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, fold, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 3)))


def effect_lines(
    table: pd.DataFrame,
    x: str,
    group: str | None = None,
    *,
    null: float | None = None,
    ylabel: str = "effect",
    rug: pd.Series | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates over a number with bands from lower to upper, one line for each group.

    Parameters
    ----------
    table
        Columns named by `x` and `group`, estimate, lower, upper (and lower_50, upper_50 for an inner band).
    x
        Column of the horizontal axis.
    group
        Column whose values are lines of their own.
    null
        Where the line of no effect is drawn.
    ylabel
        Text.
    rug
        Values of `x` in the data, as ticks at the bottom: where the line rests on nothing there are none.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.lines import effect_lines
    >>> table = pd.DataFrame({"age": [1, 2], "estimate": [0.1, 0.2], "lower": [0, 0.1], "upper": [0.2, 0.3]})
    >>> effect_lines(table, "age").get_xlabel()
    'age'
    """
    for name in (x, "estimate", "lower", "upper", *([] if group is None else [group])):
        if name not in table:
            raise DataError(f"the table has no column {name!r}; it has {', '.join(map(str, table.columns))}")
    axes = new_axes(width, 2.5) if ax is None else ax
    names = [None] if group is None else list(dict.fromkeys(table[group]))
    for k, name in enumerate(names):
        own = np.arange(len(table)) if name is None else np.flatnonzero(table[group] == name)
        part = table.iloc[own[np.argsort(table[x].to_numpy()[own], kind="stable")]]
        at, colour = part[x].to_numpy(), COLOURS[k % len(COLOURS)]
        axes.fill_between(at, part["lower"], part["upper"], color=colour, alpha=0.16, linewidth=0)
        if {"lower_50", "upper_50"} <= set(part.columns):
            axes.fill_between(at, part["lower_50"], part["upper_50"], color=colour, alpha=0.22, linewidth=0)
        label = None if name is None else str(name)
        axes.plot(at, part["estimate"], color=colour, linewidth=1.6, linestyle=STYLES[k % len(STYLES)], label=label)
    if null is not None:
        axes.axhline(null, color=GREY, linewidth=0.8, zorder=0)
    if rug is not None:
        values = np.unique(rug.to_numpy(dtype=float))
        shown = values if len(values) <= 300 else np.quantile(values, np.linspace(0, 1, 300))
        axes.plot(shown, np.full(len(shown), 0.015), "|", color=GREY, markersize=5, markeredgewidth=0.5,
                  transform=axes.get_xaxis_transform())  # fmt: skip
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=FONT - 1)
    axes.set_xlabel(x, fontsize=FONT - 1)
    axes.set_ylabel(fold(ylabel, 36), fontsize=FONT - 1)
    if group is not None:
        axes.legend(fontsize=FONT - 1, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
    return axes
