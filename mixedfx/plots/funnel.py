"""Funnel plot: estimates against standard errors, with the region of chance around a centre or of p values at 0."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
SHADES = ("#f4f4f4", "#dedede", "#c4c4c4", "#aaaaaa")


def funnel(
    table: pd.DataFrame,
    centre: float,
    *,
    levels: Sequence[float] = (0.95,),
    contours: bool = False,
    tau2: float = 0.0,
    regression: pd.DataFrame | None = None,
    xlabel: str = "effect",
    ylabel: str = "standard error",
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates over their standard errors, the largest at the bottom.

    Parameters
    ----------
    table
        estimate, std_error, and filled (estimates that trim and fill has added) where there is such.
    centre
        The mean.
    levels
        Of the regions.
    contours
        Whether regions are those of p values around 0 instead of chance around the centre.
    tau2
        Variance of true effects that the region of chance includes.
    regression
        Mean effects by standard error, such as those of PET and PEESE: std_error (increasing, from 0), estimate, and
        lower and upper (a band) where there are such; label, where there are several lines.
    xlabel, ylabel
        Of the axes.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.funnel import funnel
    >>> axes = funnel(pd.DataFrame({"estimate": [0.1, 0.4], "std_error": [0.1, 0.3]}), 0.2)
    >>> bool(axes.get_ylim()[0] > axes.get_ylim()[1])
    True
    """
    if len(table) == 0:
        raise DataError("a funnel plot needs estimates, and the table has none")
    axes = new_axes(1.3 * COLUMN, COLUMN) if ax is None else ax
    plain(axes)
    axes.grid(visible=False)
    y, se = table["estimate"].to_numpy(), table["std_error"].to_numpy()
    deep = np.linspace(0.0, 1.08 * float(se.max()), 100)
    around = 0.0 if contours else centre
    ordered = sorted(levels, reverse=True)
    for k, level in enumerate(ordered):
        half = NormalDist().inv_cdf((1 + level) / 2) * (deep if contours else np.sqrt(deep**2 + tau2))
        # of p values the region near no effect is the lightest: what lies there was found to be nothing
        shade = SHADES[min(len(ordered) - 1 - k if contours else k, len(SHADES) - 1)]
        label = _p_values(level, ordered[k + 1] if k + 1 < len(ordered) else None) if contours else None
        axes.fill_betweenx(deep, around - half, around + half, color=shade, linewidth=0, zorder=0, label=label)
        for side in (-1, 1):
            axes.plot(around + side * half, deep, color=GREY, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
    axes.axvline(centre, color=GREY, linewidth=0.9, zorder=1)
    added = table["filled"].to_numpy(dtype=bool) if "filled" in table else np.zeros(len(table), dtype=bool)
    axes.plot(y[~added], se[~added], "o", color=COLOURS[0], markersize=4, markeredgecolor="white", markeredgewidth=0.5)
    if added.any():
        axes.plot(y[added], se[added], "o", markerfacecolor="white", markeredgecolor=COLOURS[1], markersize=4,
                  label="filled in")  # fmt: skip
    if regression is not None:
        _lines(axes, regression, float(deep[-1]))
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, labels, fontsize=FONT - 1, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.0, columnspacing=1.2, handlelength=1.4,
        )  # fmt: skip
    axes.set_ylim(float(deep[-1]), 0.0)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    return axes


def _lines(axes: Axes, regression: pd.DataFrame, deepest: float) -> None:
    """Regressions on the standard error, which meet the top of the funnel where an estimate would have no error."""
    lacking = [name for name in ("std_error", "estimate") if name not in regression]
    if lacking or len(regression) == 0:
        what = f"a column {lacking[0]!r}" if lacking else "rows"
        raise DataError(f"the line of a regression in a funnel needs {what}; the table has {list(regression.columns)}")
    names = list(dict.fromkeys(regression["label"])) if "label" in regression else [None]
    columns = [name for name in ("std_error", "estimate", "lower", "upper") if name in regression]
    values = regression[columns].to_numpy(dtype=np.float64)
    for k, name in enumerate(names):
        own = values[:, 0] <= deepest
        if name is not None:
            own &= (regression["label"] == name).to_numpy()
        se, estimate, *band = values[own][np.argsort(values[own, 0], kind="stable")].T
        colour = COLOURS[(k + 1) % len(COLOURS)]
        if len(band) == 2:
            axes.fill_betweenx(se, band[0], band[1], color=colour, alpha=0.2, linewidth=0, zorder=1.5)
        axes.plot(estimate, se, color=colour, linewidth=1.6, linestyle=DASHES[k % len(DASHES)], zorder=2.5,
                  label=None if name is None else str(name))  # fmt: skip


def _p_values(level: float, inner: float | None) -> str:
    """What p values a region stands for: those of `level` that are not of the next smaller one."""
    low, high = (f"{1 - x:.3f}".removesuffix("0").removeprefix("0") for x in (level, inner or 0.0))
    return f"p > {low}" if inner is None else f"{low} < p < {high}"
