"""L'Abbe plot: the outcome of one group against that of the other (L'Abbe, Detsky and O'Rourke 1987)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, new_axes, plain, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def labbe(
    table: pd.DataFrame,
    line: pd.DataFrame,
    *,
    xlabel: str = "second group",
    ylabel: str = "first group",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the studies, the diagonal of no effect and the curve of the mean effect.

    Parameters
    ----------
    table
        x, y (outcomes of the second and the first group), weight.
    line
        x, y of the mean effect.
    xlabel, ylabel
        Of the axes.
    log
        Whether the axes are logarithmic.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.labbe import labbe
    >>> studies = pd.DataFrame({"x": [0.2, 0.4], "y": [0.1, 0.3], "weight": [50.0, 50.0]})
    >>> labbe(studies, pd.DataFrame({"x": [0.0, 0.5], "y": [0.0, 0.4]})).get_xlabel()
    'second group'
    """
    axes = new_axes(COLUMN, COLUMN) if ax is None else ax
    plain(axes)
    weight = table["weight"].to_numpy()
    values = table[["x", "y"]].to_numpy(dtype=np.float64)
    low, high = float(values[values > 0 if log else np.isfinite(values)].min()), float(values.max())
    room = 0.06 * (high - low)
    ends = (low / 1.3, high * 1.3) if log else (low - room, high + room)
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.plot(line["x"].to_numpy(), line["y"].to_numpy(), color=COLOURS[1], linewidth=1.2, linestyle=(0, (4, 2)))
    axes.scatter(
        table["x"].to_numpy(), table["y"].to_numpy(), s=8 + 90 * weight / weight.max(), facecolor="none",
        edgecolor=COLOURS[0], linewidth=1.0, zorder=3,
    )  # fmt: skip
    if log:
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            plain_log_ticks(axis)
    axes.set(xlim=ends, ylim=ends, aspect="equal")  # the diagonal of no effect at 45 degrees
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    return axes
