"""Profile plot: zeta of each parameter with its intervals, or the density that belongs to it.

Where zeta is a straight line the Wald interval would do; a bend shows what it gets wrong. The density is that of a
value whose zeta is standard normal, phi(zeta) dzeta/dvalue (Bates, Maechler, Bolker & Walker 2015, section 5.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 1.35  # inches, the height of one panel
LEVELS = (0.5, 0.8, 0.95)


def profile(
    table: pd.DataFrame,
    *,
    density: bool = False,
    levels: Sequence[float] = LEVELS,
    columns: int = 2,
    width: float = 2 * COLUMN,
) -> Figure:
    """Draw profiles, a panel for each parameter.

    Parameters
    ----------
    table
        Columns parameter, value, zeta and slope (dzeta/dvalue), as `Profile.table` has them.
    density
        False: zeta against the parameter, with vertical lines that show the intervals. True: the density.
    levels
        Levels of the intervals, drawn as far as the profile goes.
    columns
        Panels side by side.
    width
        In inches; the height follows from the number of parameters.

    Returns
    -------
    Figure
        Save with ``figure.savefig("profile.png")``.

    Raises
    ------
    DataError
        A table without rows or without a column that is needed.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.plots.profile import profile
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> figure = profile(fit.profile("ran_pars").table)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['sd__Intercept|professor', 'sigma']
    """
    missing = [c for c in ("parameter", "value", "zeta", "slope") if c not in table.columns]
    if missing or len(table) == 0:
        raise DataError(f"a profile plot needs rows with parameter, value, zeta and slope; missing: {missing}")
    names = list(dict.fromkeys(table["parameter"]))
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(width * columns / 2, PANEL * rows + 0.35)
    for k, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, k + 1)
        points = table.loc[table["parameter"] == name, ["value", "zeta"]].to_numpy(dtype=float)
        _panel(axes, points[np.argsort(points[:, 0])], density, levels)
        axes.set_title(_title(name), fontsize=FONT, loc="left")
        if k % columns == 0:
            axes.set_ylabel("density" if density else "zeta", fontsize=FONT)
    return figure


def _title(name: object) -> str:
    text = str(name)
    return text if len(text) <= 40 else text[:37] + "..."


def _panel(axes: Axes, points: NDArray[np.float64], density: bool, levels: Sequence[float]) -> None:
    from scipy.interpolate import PchipInterpolator

    value, zeta = points.T
    rising = np.concatenate([[True], np.diff(zeta) > 1e-12])
    value, zeta = value[rising], zeta[rising]
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=FONT - 1, length=3, width=0.8)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    if len(value) < 2:
        return
    fine = np.linspace(value[0], value[-1], 300)
    curve = PchipInterpolator(value, zeta)
    along = np.asarray(curve(fine), dtype=float)
    if density:
        height = np.exp(-(along**2) / 2) / np.sqrt(2 * np.pi) * np.asarray(curve.derivative()(fine), dtype=float)
        axes.fill_between(fine, height, color=COLOURS[0], alpha=0.15, linewidth=0)
        axes.plot(fine, height, color=COLOURS[0], linewidth=1.3)
        axes.set_ylim(bottom=0)
        return
    back = PchipInterpolator(zeta, value)
    for level in levels:
        z = NormalDist().inv_cdf((1 + level) / 2)
        for end in (-z, z):
            if zeta[0] <= end <= zeta[-1]:
                at = float(back(end))
                axes.plot([at, at], [0, end], color=GREY, linewidth=0.9, zorder=1)
    axes.axhline(0, color=GREY, linewidth=0.9)
    axes.plot(fine, along, color=COLOURS[0], linewidth=1.3, zorder=2)
    axes.plot(value, zeta, "o", color=COLOURS[0], markersize=2.4, zorder=3)
