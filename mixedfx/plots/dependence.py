"""Predictions along a moderator: mean, band and the effect sizes behind them; along two, a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, fold, literal, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONG = 40  # characters of an axis label in a line


def dependence(
    table: pd.DataFrame, points: pd.DataFrame, *, xlabel: str, ylabel: str = "effect", title: str = "",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw predictions along a number as a line with a band, along a category as points with bars.

    Parameters
    ----------
    table
        x, mean, low, high, in the order of x.
    points
        x, y and weight of the effect sizes; a circle's area is its weight.
    xlabel, ylabel, title
        Words.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.dependence import dependence
    >>> line = pd.DataFrame({"x": [1.0, 2.0], "mean": [0.1, 0.3], "low": [0.0, 0.2], "high": [0.2, 0.4]})
    >>> points = pd.DataFrame({"x": [1.0, 2.0], "y": [0.1, 0.4], "weight": [1.0, 2.0]})
    >>> dependence(line, points, xlabel="weeks").get_xlabel()
    'weeks'
    """
    axes = new_axes(1.1 * COLUMN, 0.9 * COLUMN) if ax is None else ax
    plain(axes)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    category = table["x"].dtype == object or isinstance(table["x"].iloc[0], str)
    levels = list(table["x"]) if category else []
    place = np.arange(len(levels), dtype=np.float64) if category else table["x"].to_numpy(dtype=np.float64)
    at = points["x"].map(levels.index).to_numpy() if category else points["x"].to_numpy(dtype=np.float64)
    if category:
        at = at + np.random.default_rng(0).uniform(-0.18, 0.18, len(at))
    weight = points["weight"].to_numpy(dtype=np.float64)
    axes.scatter(
        at,
        points["y"],
        s=30.0 * weight / max(weight.max(), 1e-300),
        facecolors="none",
        edgecolors=GREY,
        lw=0.5,
        alpha=0.6,
    )
    mean, low, high = (table[name].to_numpy(dtype=np.float64) for name in ("mean", "low", "high"))
    if category:
        axes.vlines(place, low, high, color=COLOURS[0], linewidth=1.6)
        axes.plot(place, mean, "s", color=COLOURS[0], markersize=5)
        axes.set_xticks(place, [literal(fold(level, 14)) for level in levels], fontsize=FONT - 1)
        axes.set_xlim(-0.5, len(levels) - 0.5)
    else:
        axes.fill_between(place, low, high, color=COLOURS[0], alpha=0.15, lw=0)
        axes.plot(place, mean, color=COLOURS[0], linewidth=1.5)
    axes.set_xlabel(literal(fold(xlabel, LONG)), fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    if title:
        axes.set_title(literal(title), fontsize=FONT, loc="left")
    return axes


def dependence_map(table: pd.DataFrame, names: tuple[str, str], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw mean predictions along two moderators as a map with a key.

    Parameters
    ----------
    table
        The two moderators and mean, a row for each combination.
    names
        The moderators: along, and up.
    title
        Words.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.dependence import dependence_map
    >>> table = pd.DataFrame({"a": [0.0, 0.0, 1.0, 1.0], "b": ["x", "y", "x", "y"], "mean": [0.1, 0.2, 0.3, 0.4]})
    >>> dependence_map(table, ("a", "b")).get_ylabel()
    'b'
    """
    axes = new_axes(1.3 * COLUMN, COLUMN) if ax is None else ax
    first, second = names
    along, up = list(dict.fromkeys(table[first])), list(dict.fromkeys(table[second]))
    grid = table["mean"].to_numpy(dtype=np.float64).reshape(len(along), len(up)).T
    drawn = axes.pcolormesh(np.arange(len(along) + 1), np.arange(len(up) + 1), grid, cmap="cividis")
    for axis, values in ((axes.xaxis, along), (axes.yaxis, up)):
        shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), 6)).astype(int))
        words = [f"{values[i]:.3g}" if not isinstance(values[i], str) else fold(values[i], 14) for i in shown]
        axis.set_ticks(shown + 0.5, [literal(word) for word in words], fontsize=FONT - 1)
    axes.set_xlabel(literal(fold(first, LONG)), fontsize=FONT)
    axes.set_ylabel(literal(fold(second, LONG)), fontsize=FONT)
    key = axes.figure.colorbar(drawn, ax=axes)  # pyright: ignore[reportAttributeAccessIssue]
    key.set_label("mean prediction", fontsize=FONT)
    key.ax.tick_params(labelsize=FONT - 1)
    if title:
        axes.set_title(title, fontsize=FONT, loc="left")
    return axes
