"""Bubble plot of a meta-regression: estimates by weight over a moderator, the fitted line with its bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bubble(
    table: pd.DataFrame,
    line: pd.DataFrame,
    *,
    xlabel: str = "moderator",
    ylabel: str = "effect",
    null: float | None = None,
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates as circles whose area is their weight.

    Parameters
    ----------
    table
        x, estimate, weight of the studies.
    line
        x, estimate, conf_low, conf_high, and pred_low, pred_high where there are such, in the order of x.
    xlabel, ylabel
        Of the axes.
    null
        Where the line of no effect is.
    note
        What is said above the picture, such as where other moderators are held.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.bubble import bubble
    >>> studies = pd.DataFrame({"x": [1, 2], "estimate": [0.1, 0.4], "weight": [60, 40]})
    >>> line = pd.DataFrame({"x": [1, 2], "estimate": [0.1, 0.4], "conf_low": [0, 0.2], "conf_high": [0.2, 0.6]})
    >>> len(bubble(studies, line).collections)
    2
    """
    axes = new_axes(1.3 * COLUMN, COLUMN) if ax is None else ax
    plain(axes)
    x = line["x"].to_numpy()
    if "pred_low" in line and np.isfinite(line["pred_low"].to_numpy()).all():
        for side in ("pred_low", "pred_high"):
            axes.plot(x, line[side].to_numpy(), color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.fill_between(x, line["conf_low"].to_numpy(), line["conf_high"].to_numpy(), color=COLOURS[0], alpha=0.15, lw=0)
    axes.plot(x, line["estimate"].to_numpy(), color=COLOURS[0], linewidth=1.4)
    if note:
        axes.set_title(note, fontsize=FONT - 1, loc="left", color=GREY)
    if null is not None:
        axes.axhline(null, color=GREY, linewidth=0.8)
    weight = table["weight"].to_numpy()
    axes.scatter(
        table["x"].to_numpy(), table["estimate"].to_numpy(), s=8 + 110 * weight / weight.max(), facecolor="none",
        edgecolor=COLOURS[1], linewidth=1.0, zorder=3,
    )  # fmt: skip
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    return axes
