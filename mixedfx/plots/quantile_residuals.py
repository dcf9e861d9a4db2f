"""Pictures of quantile residuals, which are uniform on (0, 1) where the model holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.plots.style import COLOURS, FAINT, FONT, GREY, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (3.1, 2.7)  # inches
MOST_POINTS = 5000
BINS = 12
BAND = 1.36  # times 1 / root n: 95 of 100 samples of independent rows stay within (Kolmogorov and Smirnov)


def uniform_quantiles(residual: NDArray[np.float64], ax: Axes | None = None) -> Axes:
    """Ordered residuals over uniform quantiles, with the band that holds 95 % of samples of independent rows.

    Parameters
    ----------
    residual
        (n,) numbers between 0 and 1.
    ax
        Axes to draw on; new ones where None.
    """
    ax = new_axes(*PANEL) if ax is None else ax
    ordered, n = np.sort(residual), len(residual)
    expected = (np.arange(n) + 0.5) / n
    half = BAND / np.sqrt(n)
    ends = np.array([0.0, 1.0])
    ax.fill_between(ends, ends - half, ends + half, color=FAINT, alpha=0.6, linewidth=0, zorder=0)
    ax.plot(ends, ends, color=GREY, linewidth=0.8, zorder=1)
    keep = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    ax.scatter(expected[keep], ordered[keep], s=7, color=COLOURS[0], linewidths=0, zorder=2)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    return _labelled(ax, "Quantiles", "uniform quantile", "quantile residual")


def residuals_by_rank(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Residuals over the ranks of the fitted values, with running quartiles: at 1/4, 1/2 and 3/4 where all is well.

    Parameters
    ----------
    table
        Columns fitted and residual.
    ax
        Axes to draw on; new ones where None.
    """
    ax = new_axes(*PANEL) if ax is None else ax
    order = np.argsort(table["fitted"].to_numpy(), kind="stable")
    residual, n = table["residual"].to_numpy()[order], len(table)
    rank = (np.arange(n) + 0.5) / n
    keep = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    ax.scatter(rank[keep], residual[keep], s=5, color=COLOURS[0], alpha=0.35, linewidths=0)
    parts = np.array_split(np.arange(n), min(BINS, max(2, n // 20)))
    middle = [rank[part].mean() for part in parts]
    for q in (0.25, 0.5, 0.75):
        ax.axhline(q, color=GREY, linewidth=0.8, linestyle=":" if q != 0.5 else "-")
        ax.plot(middle, [np.quantile(residual[part], q) for part in parts], color=COLOURS[1], linewidth=1.5)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    return _labelled(ax, "Running quartiles", "rank of the linear predictor", "quantile residual")


def quantile_panels(table: pd.DataFrame) -> Figure:
    """Both pictures side by side; `table` has the columns fitted and residual."""
    figure = new_figure(2 * PANEL[0], PANEL[1])
    left, right = figure.subplots(1, 2)
    uniform_quantiles(table["residual"].to_numpy(), left)
    residuals_by_rank(table, right)
    return figure


def _labelled(ax: Axes, title: str, x: str, y: str) -> Axes:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_title(title, fontsize=FONT, loc="left")
    ax.set_xlabel(x, fontsize=FONT - 1)
    ax.set_ylabel(y, fontsize=FONT - 1)
    ax.tick_params(labelsize=FONT - 2)
    return ax
