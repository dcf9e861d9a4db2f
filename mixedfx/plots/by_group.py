"""Small pictures, one for each group: observed against fitted values, and the lines of random slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, new_axes, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 1.15  # inches
MOST_POINTS = 5000


def observed_against_fitted(
    table: pd.DataFrame, *, response: str = "response", note: str | None = None, columns: int = 5
) -> Figure:
    """Draw observed over fitted values, a panel for each group, all on one scale.

    Parameters
    ----------
    table
        Columns group, fitted, observed; groups in the order of their first rows.
    response
        Name of the response, for the axes.
    note
        What to say below, such as how many groups are left out.
    columns
        Panels side by side.

    Returns
    -------
    Figure
        Save with ``figure.savefig("fitted.png")``.
    """
    _need(table, ("group", "fitted", "observed"))
    groups = list(dict.fromkeys(table["group"]))
    columns = min(columns, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(0.4 + PANEL * columns, 0.55 + PANEL * rows)
    values = table[["fitted", "observed"]].to_numpy()
    low, high = values.min(), values.max()
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for k, axes in enumerate(grid.ravel()):
        if k >= len(groups):
            axes.set_visible(False)
            continue
        part = table[table["group"] == groups[k]]
        _panel(axes)
        axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=1)
        axes.scatter(part["fitted"], part["observed"], s=5, color=COLOURS[0], alpha=0.6, linewidths=0)
        axes.set_xlim(limits)
        axes.set_ylim(limits)
        axes.set_title(str(groups[k]), fontsize=FONT - 1, pad=2)
        if k + columns >= len(groups):
            axes.tick_params(axis="x", labelbottom=True)
    figure.supxlabel(f"fitted {response}" + (f"\n{note}" if note else ""), fontsize=FONT)
    figure.supylabel(f"observed {response}", fontsize=FONT)
    return figure


def slopes(
    lines: pd.DataFrame,
    population: pd.DataFrame,
    points: pd.DataFrame | None = None,
    *,
    xlabel: str = "x",
    ylabel: str = "y",
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw the line of every group, and of the population over them.

    Parameters
    ----------
    lines
        Columns group, x, y: points of each group's line, in the order of x.
    population
        Columns x, y.
    points
        Columns x, y: the data, drawn faint; none where None.
    xlabel, ylabel, title
        Texts.
    width
        In inches.
    ax
        Axes to draw on; new ones where None.
    """
    _need(lines, ("group", "x", "y"))
    axes = new_axes(width, 0.8 * width) if ax is None else ax
    _panel(axes)
    if points is not None:
        shown = points if len(points) <= MOST_POINTS else points.sample(MOST_POINTS, random_state=1)
        axes.scatter(shown["x"], shown["y"], s=4, color=GREY, alpha=0.35, linewidths=0, zorder=1)
    n = lines["group"].nunique()
    for _, part in lines.groupby("group", observed=True, sort=False):
        axes.plot(part["x"], part["y"], color=COLOURS[0], linewidth=0.8, alpha=float(np.clip(12 / n, 0.15, 0.7)))
    axes.plot([], [], color=COLOURS[0], linewidth=0.8, label="groups")
    axes.plot(population["x"], population["y"], color=COLOURS[1], linewidth=2.2, label="population")
    axes.legend(fontsize=FONT - 1, frameon=False, loc="best")
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    if title is not None:
        axes.set_title(title, fontsize=FONT + 1, loc="left")
    return axes


def _need(table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in table.columns:
            raise DataError(f"this picture needs a column {column!r}; the table has {list(table.columns)}")
    if len(table) == 0:
        raise DataError("this picture needs a table with rows")


def _panel(axes: Axes) -> None:
    """Axes with both directions meaningful."""
    plain(axes)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="both", labelsize=FONT - 1.5, length=2)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
