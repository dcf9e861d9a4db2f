"""Weight function of a selection model: how likely an estimate is published, by its p value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import DataError, check_option
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLOSEST = 0.045  # labels of the axis, as a share of its width


def weight_function(
    table: pd.DataFrame,
    *,
    prior: pd.DataFrame | None = None,
    spacing: Literal["equal", "p"] = "equal",
    estimate: str = "mean",
    xlabel: str = "p value (one-sided)",
    ylabel: str = "relative probability of publication",
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw weights with their interval as steps over intervals of p, or as a curve.

    Parameters
    ----------
    table
        Steps: one row for each interval, low and high (its ends, p values that follow each other), `estimate`, lower,
        upper, and k (estimates in it) where there is such. A curve: p in the place of low and high.
    prior
        The same columns but k, drawn as dashed lines.
    spacing
        ``"equal"``: every interval is as wide as every other, since most of what happens is below .1. ``"p"``: the axis
        is p. A curve has ``"p"``, with a logarithmic axis where p begins below .01.
    estimate
        Column of the line: ``"mean"``, ``"median"``.
    xlabel, ylabel, title
        Texts.
    width
        In inches.
    ax
        Axes to draw on; new ones where None.

    Raises
    ------
    DataError
        A table without rows or without a column that is needed; intervals with gaps, or that are no p values.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.weight_function import weight_function
    >>> table = pd.DataFrame({"low": [0, 0.025], "high": [0.025, 1], "mean": [1, 0.4], "lower": [1, 0.2],
    ...                       "upper": [1, 0.8], "k": [12, 5]})
    >>> ax = weight_function(table)
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['0', '.025', '1']
    """
    check_option("spacing", spacing, ("equal", "p"))
    steps = "low" in table
    _check(table, steps, estimate)
    if prior is not None:
        _check(prior, steps, estimate)
    axes = new_axes(width, 0.72 * width) if ax is None else ax
    from matplotlib.ticker import LogLocator

    plain(axes)
    if steps:
        tables = [t for t in (table, prior) if t is not None]
        cuts = np.unique(np.concatenate([t[["low", "high"]].to_numpy(dtype=np.float64).ravel() for t in tables]))
        place = np.arange(len(cuts), dtype=np.float64) if spacing == "equal" else cuts
        _steps(axes, table, cuts, place, estimate, posterior=True)
        if prior is not None:
            _steps(axes, prior, cuts, place, estimate, posterior=False)
        axes.set_xlim(place[0], place[-1])
        axes.set_xticks(place, _told_apart(place, [_p(cut) for cut in cuts]))
        if "k" in table:
            _counts(axes, table, cuts, place)
    else:
        _curve(axes, table, estimate, posterior=True)
        if prior is not None:
            _curve(axes, prior, estimate, posterior=False)
        p = table["p"].to_numpy(dtype=np.float64)
        axes.set_xlim(p[0], p[-1])
        if 0 < p[0] < 0.01:
            axes.set_xscale("log")
            plain_log_ticks(axes.xaxis)
            axes.xaxis.set_major_locator(LogLocator())
    top = max(float(t["upper"].to_numpy(dtype=np.float64).max()) for t in (table, prior) if t is not None)
    axes.set_ylim(0.0, max(1.0, top) * (1.12 if "k" in table else 1.05))
    axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    if prior is not None:
        axes.legend(fontsize=FONT - 1, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0),
                    borderaxespad=0.0)  # fmt: skip
    if title:
        axes.set_title(title, fontsize=FONT + 1, loc="left", pad=16.0 if prior is not None else None)
    return axes


def _check(table: pd.DataFrame, steps: bool, estimate: str) -> None:
    needed = [*(("low", "high") if steps else ("p",)), estimate, "lower", "upper"]
    lacking = [name for name in needed if name not in table]
    if lacking or len(table) == 0:
        what = f"a column {lacking[0]!r}; the table has {list(table.columns)}" if lacking else "a table with rows"
        raise DataError(f"a weight function needs {what}")
    values = table[needed].to_numpy(dtype=np.float64)
    ends = values[:, :2] if steps else values[:, :1]
    if not np.isfinite(values).all() or (values[:, -3:] < 0).any() or (ends < 0).any() or (ends > 1).any():
        raise DataError("weights are numbers from 0, and p values from 0 to 1; some are not, or are missing")
    follow = (ends[1:, 0] == ends[:-1, 1]).all() if steps else True
    if not (follow and (np.diff(ends.ravel()) >= 0).all() and (not steps or (ends[:, 1] > ends[:, 0]).all())):
        raise DataError("intervals of p values must follow each other, the smallest first")


def _steps(
    axes: Axes, table: pd.DataFrame, cuts: np.ndarray, place: np.ndarray, estimate: str, *, posterior: bool
) -> None:
    """Weights as levels between the places of their intervals."""
    low = place[np.searchsorted(cuts, table["low"].to_numpy(dtype=np.float64))]
    high = place[np.searchsorted(cuts, table["high"].to_numpy(dtype=np.float64))]
    x = np.column_stack([low, high]).ravel()
    lines = {name: np.repeat(table[name].to_numpy(dtype=np.float64), 2) for name in (estimate, "lower", "upper")}
    _band(axes, x, lines[estimate], lines["lower"], lines["upper"], posterior=posterior)


def _curve(axes: Axes, table: pd.DataFrame, estimate: str, *, posterior: bool) -> None:
    x, mean, lower, upper = (table[c].to_numpy(dtype=np.float64) for c in ("p", estimate, "lower", "upper"))
    _band(axes, x, mean, lower, upper, posterior=posterior)


def _band(
    axes: Axes, x: np.ndarray, mean: np.ndarray, lower: np.ndarray, upper: np.ndarray, *, posterior: bool
) -> None:
    if posterior:
        axes.fill_between(x, lower, upper, color=COLOURS[5], alpha=0.45, linewidth=0, zorder=2)
        axes.plot(x, mean, color=COLOURS[0], linewidth=1.6, zorder=4, label="posterior")
        return
    dashed = (0, (4, 2))
    axes.plot(x, mean, color=COLOURS[1], linewidth=1.2, linestyle=dashed, zorder=3, label="prior")
    for end in (lower, upper):
        axes.plot(x, end, color=COLOURS[1], linewidth=0.6, linestyle=dashed, zorder=3)


def _counts(axes: Axes, table: pd.DataFrame, cuts: np.ndarray, place: np.ndarray) -> None:
    """How many estimates lie in each interval, above it."""
    left = place[np.searchsorted(cuts, table["low"].to_numpy(dtype=np.float64))]
    right = place[np.searchsorted(cuts, table["high"].to_numpy(dtype=np.float64))]
    for i, (x, k) in enumerate(zip((left + right) / 2, table["k"], strict=True)):
        axes.annotate(f"k = {k}" if i == 0 else f"{k}", (x, 0.985), xycoords=("data", "axes fraction"), ha="center",
                      va="top", fontsize=FONT - 1, color=GREY)  # fmt: skip


def _told_apart(place: np.ndarray, texts: list[str]) -> list[str]:
    """Labels that would stand on the one before are left out; the last one stays."""
    nearest, kept = CLOSEST * float(place[-1] - place[0]), [0]
    for i in range(1, len(place) - 1):
        if place[i] - place[kept[-1]] >= nearest and place[-1] - place[i] >= nearest:
            kept.append(i)
    kept.append(len(place) - 1)
    return [text if i in kept else "" for i, text in enumerate(texts)]


def _p(value: float) -> str:
    """``".025"``, ``"0"``, ``"1"``."""
    return f"{value:.4f}".rstrip("0").rstrip(".").removeprefix("0") or "0"
