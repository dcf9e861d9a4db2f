"""Importance of predictors: one point a line, the largest on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, LINE_OF_TEXT, fold, literal, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 50


def importance(
    table: pd.DataFrame, *, name: str = "moderator", xlabel: str = "importance", ax: Axes | None = None
) -> Axes:
    """Draw importance as points on lines from zero; negative ones hollow.

    Parameters
    ----------
    table
        `name` and importance, the largest first; at most the first 50 rows are drawn.
    name
        Column of the labels.
    xlabel
        Of the axis.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.importance import importance
    >>> axes = importance(pd.DataFrame({"moderator": ["weeks", "noise"], "importance": [0.02, -0.001]}))
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['weeks', 'noise']
    """
    shown = table.head(MOST)
    values = shown["importance"].to_numpy(dtype=np.float64)
    labels = [literal(fold(str(label), 32)) for label in shown[name]]
    lines = np.array([0.35 + 1 + label.count("\n") for label in labels])  # that a label takes, with what parts them
    height = max(1.2, LINE_OF_TEXT * lines.sum() + 0.6)
    axes = new_axes(1.2 * COLUMN, height) if ax is None else ax
    plain(axes)
    y = lines.sum() - np.cumsum(lines) + lines / 2
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    axes.hlines(y, 0.0, values, color=GREY, linewidth=0.8)
    positive = values > 0
    axes.plot(values[positive], y[positive], "o", color=COLOURS[0], markersize=4.5)
    axes.plot(values[~positive], y[~positive], "o", color=COLOURS[0], markerfacecolor="white", markersize=4.5)
    axes.set_yticks(y, labels)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylim(-0.2, lines.sum() + 0.2)
    if len(table) > MOST:
        axes.set_title(f"the first {MOST} of {len(table)}", fontsize=FONT, loc="left")
    return axes
