"""Estimates with their intervals along something that was assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sensitivity(table: pd.DataFrame, x: str, assumed: str, what: str, ax: Axes | None = None) -> Axes:
    """Draw estimates and intervals by what was assumed.

    Parameters
    ----------
    table
        A row for each assumption: `x`, estimate, conf_low, conf_high.
    x
        Column of what was assumed.
    assumed, what
        Labels of the axes.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.sensitivity import sensitivity
    >>> table = pd.DataFrame({"rho": [0.2, 0.8], "estimate": 0.3, "conf_low": 0.1, "conf_high": 0.5})
    >>> sensitivity(table, "rho", "correlation", "mean effect").get_xlabel()
    'correlation'
    """
    axes = new_axes(COLUMN, 0.7 * COLUMN) if ax is None else ax
    place = table[x].to_numpy(dtype=np.float64)
    axes.axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    axes.vlines(place, table["conf_low"], table["conf_high"], color=COLOURS[0], linewidth=1.5)
    axes.plot(place, table["estimate"], "o", color=COLOURS[0], markersize=5)
    axes.set_xticks(place)
    axes.set_xlabel(assumed, fontsize=FONT)
    axes.set_ylabel(what, fontsize=FONT)
    plain(axes)
    return axes
