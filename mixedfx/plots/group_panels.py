"""The data of a grouped experiment: rows as points, groups as means, arms as panels, all on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, FAINT, FONT, GREY, fold, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches
ACROSS = 4  # panels side by side, at most
NAMED = 30  # groups of a panel whose names can still be read
MOST_POINTS = 3000  # of a panel


def group_panels(
    table: pd.DataFrame,
    *,
    response: str = "response",
    group: str | None = None,
    panel: str | None = None,
    seed: int = 0,
    width: float = WIDTH,
    height: float = 2.9,
) -> Figure:
    """Draw one panel for each arm: its rows as points, a bar at the mean of each group, a line at the mean of the arm.

    Parameters
    ----------
    table
        Columns y, group and panel (text; groups in a panel are ordered by their means, panels as they are in the
        categories or come).
    response, group, panel
        Names, for the axes; None where there is no group, or one panel.
    seed
        Of the sideways jitter of points.
    width, height
        In inches, of the figure and of a row of panels.

    Returns
    -------
    Figure
        Save with ``figure.savefig("groups.png")``.

    Raises
    ------
    DataError
        A table without rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.group_panels import group_panels
    >>> table = pd.DataFrame({"y": [1.0, 2.0, 4.0, 5.0], "group": list("abcd"), "panel": ["old", "old", "new", "new"]})
    >>> [ax.get_title(loc="left").splitlines()[0] for ax in group_panels(table, panel="plan").axes]
    ['old', 'new']
    """
    if len(table) == 0:
        raise DataError("a picture of groups needs rows")
    panels = _ordered(table["panel"])
    across = min(ACROSS, len(panels))
    rows = -(-len(panels) // across)
    figure = new_figure(width, height * rows + 0.35)
    grid = figure.subplots(rows, across, squeeze=False, sharey=True)
    jitter = np.random.default_rng(seed)
    for k, axes in enumerate(grid.ravel()):
        if k >= len(panels):
            axes.set_visible(False)
            continue
        part = table.loc[(table["panel"] == panels[k]).to_numpy()]
        _panel(axes, part, jitter, COLOURS[k % len(COLOURS)], named=group is not None)
        heading = fold(str(panels[k]), max(12, int(58 / across))) if panel is not None else ""
        axes.set_title(f"{heading}\nmean {part['y'].mean():.3g}, {len(part):,} rows".strip(), fontsize=FONT, loc="left")
        if k % across == 0:
            axes.set_ylabel(response, fontsize=FONT)
    if group is not None:
        bars = f"{group}: bars are means, " if group else ""
        figure.supxlabel(f"{bars}ordered; dashed: the mean of the panel", fontsize=FONT)
    return figure


def _panel(axes: Any, part: Any, jitter: np.random.Generator, colour: str, *, named: bool) -> None:
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(GREY)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", labelsize=FONT - 1, length=0)
    means = part.groupby("group", observed=True, sort=False)["y"].mean().sort_values()
    place = pd.Series(np.arange(len(means)), index=means.index)
    shown = part if len(part) <= MOST_POINTS else part.sample(MOST_POINTS, random_state=0)
    at = place.loc[shown["group"].tolist()].to_numpy() + jitter.uniform(-0.22, 0.22, len(shown))
    axes.scatter(at, shown["y"], s=7, color=colour, alpha=0.5, linewidths=0, zorder=2)
    axes.axhline(float(part["y"].mean()), color=GREY, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    axes.hlines(
        means.to_numpy(), place.to_numpy() - 0.36, place.to_numpy() + 0.36, color="black", linewidth=1.8, zorder=3
    )
    readable = named and len(means) <= NAMED
    names = [str(name) for name in means.index] if readable else []
    long = any(len(name) > 3 for name in names) or len(names) > 12
    axes.set_xticks(place.to_numpy() if readable else [], names, rotation=90 if long else 0)
    axes.set_xlim(-0.6, len(means) - 0.4)


def _ordered(column: Any) -> list[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = set(column.dropna())
        return [c for c in column.cat.categories if c in present]
    return list(dict.fromkeys(column))
