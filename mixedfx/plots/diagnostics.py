"""Pictures of how well a model describes its data: residuals, their spread, quantiles, modes, influence.

Every function takes a table and returns the Axes it drew on; `check_panels` sets the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, FAINT, FONT, GREY, MARKERS, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 5000  # more are a black cloud: a fixed sample of them is drawn
PANEL = (2.9, 2.3)  # inches


def residuals_against_fitted(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Standardised residuals over fitted values, with running means.

    Parameters
    ----------
    table
        Columns fitted and residual.
    ax
        Axes to draw on; new ones where None.
    """
    ax = new_axes(*PANEL) if ax is None else ax
    shown = _some(table)
    ax.scatter(shown["fitted"], shown["residual"], s=5, color=COLOURS[0], alpha=0.45, linewidths=0)
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    middle, mean = _running(table["fitted"].to_numpy(), table["residual"].to_numpy())
    ax.plot(middle, mean, color=COLOURS[1], linewidth=1.5)
    return _labelled(ax, "Residuals", "fitted value", "standardised residual")


def response_against_fitted(table: pd.DataFrame, ax: Axes | None = None, response: str = "response") -> Axes:
    """Observed over fitted values, with the line where they are equal and running means.

    Parameters
    ----------
    table
        Columns fitted and observed.
    ax
        Axes to draw on; new ones where None.
    response
        Name of the response, for the axis.
    """
    ax = new_axes(*PANEL) if ax is None else ax
    shown = _some(table)
    ax.scatter(shown["fitted"], shown["observed"], s=5, color=COLOURS[0], alpha=0.45, linewidths=0)
    ends = [table["fitted"].min(), table["fitted"].max()]
    ax.plot(ends, ends, color=GREY, linewidth=0.8)
    middle, mean = _running(table["fitted"].to_numpy(), table["observed"].to_numpy())
    ax.plot(middle, mean, color=COLOURS[1], linewidth=1.5)
    return _labelled(ax, "Observed and fitted", "fitted value", f"observed {response}")


def spread_against_fitted(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Roots of absolute standardised residuals over fitted values: flat where the variance is constant."""
    ax = new_axes(*PANEL) if ax is None else ax
    root = np.sqrt(np.abs(table["residual"].to_numpy()))
    shown = _some(table.assign(root=root))
    ax.scatter(shown["fitted"], shown["root"], s=5, color=COLOURS[0], alpha=0.45, linewidths=0)
    middle, mean = _running(table["fitted"].to_numpy(), root)
    ax.plot(middle, mean, color=COLOURS[1], linewidth=1.5)
    return _labelled(ax, "Spread", "fitted value", "root of |residual|")


def normal_quantiles(values: Mapping[str, np.ndarray], ax: Axes | None = None, title: str = "Quantiles") -> Axes:
    """Ordered values over normal quantiles, one sign for each series; on the line where they are normal."""
    from scipy.special import ndtri

    ax = new_axes(*PANEL) if ax is None else ax
    limit = 1.0
    for k, (name, raw) in enumerate(values.items()):
        ordered = np.sort(raw[np.isfinite(raw)])
        n = len(ordered)
        if n == 0:
            continue
        quantile = ndtri((np.arange(1, n + 1) - 0.5) / n)
        keep = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
        style: dict[str, Any] = {"s": 9, "linewidths": 0, "marker": MARKERS[k % len(MARKERS)]}
        ax.scatter(quantile[keep], ordered[keep], color=COLOURS[k % len(COLOURS)], label=name, alpha=0.7, **style)
        limit = max(limit, float(np.abs(quantile).max()))
    ax.plot([-limit, limit], [-limit, limit], color=GREY, linewidth=0.8, zorder=0)
    if len(values) > 1:
        ax.legend(fontsize=FONT - 2, frameon=False, loc="upper left", handletextpad=0.2)
    return _labelled(ax, title, "normal quantile", "standardised value")


def residual_histogram(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Histogram of standardised residuals under the normal density."""
    ax = new_axes(*PANEL) if ax is None else ax
    r = table["residual"].to_numpy()
    ax.hist(r, bins="fd" if len(r) < 10_000 else 80, density=True, color=FAINT, edgecolor=GREY, linewidth=0.4)
    x = np.linspace(min(-4.0, r.min()), max(4.0, r.max()), 300)
    ax.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=COLOURS[1], linewidth=1.5)
    return _labelled(ax, "Distribution", "standardised residual", "density")


def influence_of_groups(table: pd.DataFrame, ax: Axes | None = None, most: int = 12) -> Axes:
    """Cook's distance of the most influential groups, the largest on top.

    Parameters
    ----------
    table
        Columns group and cooks_distance.
    ax
        Axes to draw on; new ones where None.
    most
        Number of groups shown.
    """
    ax = new_axes(*PANEL) if ax is None else ax
    shown = table.sort_values("cooks_distance").tail(most)
    place = np.arange(len(shown))
    ax.hlines(place, 0, shown["cooks_distance"], color=FAINT, linewidth=2)
    ax.scatter(shown["cooks_distance"], place, s=16, color=COLOURS[0], zorder=2)
    ax.set_yticks(place, [str(g) for g in shown["group"]])
    ax.set_xlim(left=0)
    _labelled(ax, "Influence", "Cook's distance", "")
    ax.tick_params(axis="y", labelsize=FONT - 2, length=0)
    return ax


def check_panels(pictures: Mapping[str, pd.DataFrame]) -> Figure:
    """Up to six panels on one page from the tables of a `CheckReport`; what has nothing to show is left out."""
    residuals = pictures["residuals"]
    table = pictures["modes"]
    series = table["group"].astype(str) + " (" + table["column"].astype(str) + ")"
    modes = {name: table["mode"].to_numpy()[(series == name).to_numpy()] for name in dict.fromkeys(series)}
    modes = {name: values for name, values in modes.items() if np.isfinite(values).any()}
    distances = pictures["influence"]
    panels: list[Callable[[Axes], Axes]] = [
        lambda ax: residuals_against_fitted(residuals, ax),
        lambda ax: spread_against_fitted(residuals, ax),
        lambda ax: residual_histogram(residuals, ax),
        lambda ax: normal_quantiles({"residuals": residuals["residual"].to_numpy()}, ax, "Quantiles of residuals"),
    ]
    if modes:
        panels.append(lambda ax: normal_quantiles(modes, ax, "Quantiles of random effects"))
    if np.isfinite(distances["cooks_distance"].to_numpy(dtype=float)).any():
        panels.append(lambda ax: influence_of_groups(distances.dropna(subset="cooks_distance"), ax))
    figure = new_figure(3 * PANEL[0], 2 * PANEL[1])
    across = 2 if len(panels) == 4 else 3
    grid = figure.subplots(2, across).ravel()
    for ax in grid[len(panels) :]:
        ax.remove()
    for draw, ax in zip(panels, grid, strict=False):
        draw(ax)
    return figure


def _some(table: pd.DataFrame) -> pd.DataFrame:
    return table if len(table) <= MOST_POINTS else table.sample(MOST_POINTS, random_state=0)


def _running(x: np.ndarray, y: np.ndarray, bins: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Means of y in bins of x with equal numbers of rows."""
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(bins, max(2, len(x) // 10)))
    return np.array([x[p].mean() for p in parts]), np.array([y[p].mean() for p in parts])


def _labelled(ax: Axes, title: str, x: str, y: str) -> Axes:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_title(title, fontsize=FONT, loc="left")
    ax.set_xlabel(x, fontsize=FONT - 1)
    ax.set_ylabel(y, fontsize=FONT - 1)
    ax.tick_params(labelsize=FONT - 2)
    return ax
