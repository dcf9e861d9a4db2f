"""What pooling does: arrows from raw to pooled estimates, and the funnel of noise they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, LINE_OF_TEXT, align_left, fold, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.2
CHARACTERS = 26
SHORT = 0.03  # of the width of the axis: no head of an arrow fits between two dots that are nearer


def pooling_arrows(
    table: pd.DataFrame,
    *,
    overall: float | None = None,
    xlabel: str = "effect",
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw an arrow from the raw estimate of each subgroup to its pooled one, largest subgroup on top.

    Parameters
    ----------
    table
        Columns label, n, raw, raw_se (NaN where a subgroup has no raw estimate) and pooled.
    overall
        Where the line of the overall effect is drawn.
    xlabel
        Text.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.pooling import pooling_arrows
    >>> table = pd.DataFrame({"label": ["a", "b"], "n": [9, 90], "raw": [4.0, 1.0], "raw_se": [2.0, 0.5],
    ...                       "pooled": [1.5, 1.1]})
    >>> [text.get_text() for text in pooling_arrows(table).get_yticklabels()]
    ['b (90)', 'a (9)']
    """
    _refuse_empty(table)
    table = table.sort_values("n", ascending=False, kind="stable")
    labels = [fold(f"{label} ({n:,.0f})", CHARACTERS) for label, n in zip(table["label"], table["n"], strict=True)]
    line = max(LINE, LINE_OF_TEXT * max(label.count("\n") + 1 for label in labels) + 0.03)  # no label covers another
    axes = new_axes(width, line * len(table) + 0.75) if ax is None else ax
    place = np.arange(len(table))[::-1]
    raw, pooled, se = (table[c].to_numpy(dtype=float) for c in ("raw", "pooled", "raw_se"))
    axes.errorbar(raw, place, xerr=se, fmt="none", ecolor="#bdbdbd", elinewidth=1.0, zorder=1)
    axes.scatter(raw, place, s=16, facecolors="white", edgecolors=GREY, zorder=3, label="raw ± standard error")
    ends = np.concatenate([raw - np.nan_to_num(se), raw + np.nan_to_num(se), pooled])
    short = SHORT * float(np.nanmax(ends) - np.nanmin(ends))
    for y, start, end in zip(place, raw, pooled, strict=True):
        if np.isfinite(start):
            # the head ends at the edge of the dot: under it nobody saw which way an arrow goes
            head = "-|>" if abs(end - start) > short else "-"
            style: dict[str, Any] = {"arrowstyle": head, "color": COLOURS[0], "lw": 1.0, "mutation_scale": 8}
            gap = 2.2 if head == "-|>" else 0.0
            axes.annotate("", (end, y), (start, y), arrowprops=style | {"shrinkA": gap, "shrinkB": gap}, zorder=4)
    axes.scatter(pooled, place, s=16, color=COLOURS[0], zorder=5, label="pooled")
    if overall is not None:
        axes.axvline(overall, color=COLOURS[1], linewidth=1.0, linestyle=(0, (4, 3)), label="overall", zorder=0)
    plain(axes)
    axes.set_yticks(place, labels)
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.set_xlabel(xlabel, fontsize=FONT - 1)
    # From the right end, so that it may lie above the labels: the axes alone may be too narrow for it.
    axes.legend(fontsize=FONT - 2, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0,
                handletextpad=0.3, columnspacing=0.9)  # fmt: skip
    if ax is None:
        align_left(axes)
    return axes


def funnel(
    table: pd.DataFrame,
    *,
    overall: float,
    noise: float | None = None,
    ylabel: str = "effect",
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates against the number of rows behind them, raw and pooled, in the funnel that noise alone fills.

    Parameters
    ----------
    table
        Columns n, raw and pooled.
    overall
        The overall effect: the axis of the funnel.
    noise
        Standard error of a raw estimate from one row; the funnel is ``overall +- 1.96 noise / sqrt(n)``. From `raw_se`
        (the median of ``raw_se * sqrt(n)``) where None; no funnel without either.
    ylabel
        Text.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.pooling import funnel
    >>> table = pd.DataFrame({"n": [9, 90], "raw": [4.0, 1.0], "raw_se": [2.0, 0.6], "pooled": [1.5, 1.1]})
    >>> funnel(table, overall=1.0).get_xlabel()
    'rows in the subgroup'
    """
    _refuse_empty(table)
    table = table.loc[(table["n"] > 0).to_numpy()]
    _refuse_empty(table)
    axes = new_axes(width, 2.6) if ax is None else ax
    n = table["n"].to_numpy(dtype=float)
    errors = table["raw_se"].to_numpy(dtype=float) if "raw_se" in table else np.full(len(table), np.nan)
    if noise is None and np.isfinite(errors).any():
        noise = float(np.nanmedian(errors * np.sqrt(n)))
    if noise is not None:
        grid = np.geomspace(n.min() * 0.85, n.max() * 1.15, 200)
        half = 1.96 * noise / np.sqrt(grid)
        axes.fill_between(grid, overall - half, overall + half, color="#efefef", linewidth=0, zorder=0,
                          label="noise alone (95 %)")  # fmt: skip
    axes.axhline(overall, color=COLOURS[1], linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.vlines(n, table["raw"], table["pooled"], color="#bdbdbd", linewidth=0.8, zorder=1)
    axes.scatter(n, table["raw"], s=14, facecolors="white", edgecolors=GREY, label="raw", zorder=2)
    axes.scatter(n, table["pooled"], s=14, color=COLOURS[0], label="pooled", zorder=3)
    axes.set_xscale("log")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=FONT - 1)
    _plain_ticks(axes)
    axes.set_xlabel("rows in the subgroup", fontsize=FONT - 1)
    axes.set_ylabel(ylabel, fontsize=FONT - 1)
    axes.legend(fontsize=FONT - 2, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0,
                handletextpad=0.4, columnspacing=1.0)  # fmt: skip
    return axes


def _plain_ticks(axes: Axes) -> None:
    """Numbers of rows as 10, 20, 50, 100, not as powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _refuse_empty(table: pd.DataFrame) -> None:
    if len(table) == 0:
        raise DataError("nothing to draw: the table has no rows with data")
