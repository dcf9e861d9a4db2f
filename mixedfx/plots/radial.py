"""Radial plot: z against precision, in which the mean is a slope (Galbraith 1988, Statistics in Medicine 7(8))."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def radial(table: pd.DataFrame, mean: float, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Draw estimates over their standard deviations against the inverse of these, and the slope of the mean.

    Parameters
    ----------
    table
        precision (1 / sd), z (estimate / sd).
    mean
        The slope.
    level
        Of the band around it, which is of constant width.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.radial import radial
    >>> radial(pd.DataFrame({"precision": [2.0, 5.0], "z": [0.4, 2.0]}), 0.3).get_ylabel()
    'estimate / standard deviation'
    """
    axes = new_axes(1.3 * COLUMN, COLUMN) if ax is None else ax
    plain(axes)
    end = 1.1 * float(table["precision"].to_numpy().max())
    x, half = np.array([0.0, end]), NormalDist().inv_cdf((1 + level) / 2)
    axes.fill_between(x, mean * x - half, mean * x + half, color=FAINT, linewidth=0)
    axes.plot(x, mean * x, color=GREY, linewidth=1.0)
    axes.plot(table["precision"].to_numpy(), table["z"].to_numpy(), "o", color=COLOURS[0], markersize=4)
    axes.set_xlim(0.0, end)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel("precision (1 / standard deviation)", fontsize=FONT)
    axes.set_ylabel("estimate / standard deviation", fontsize=FONT)
    return axes
