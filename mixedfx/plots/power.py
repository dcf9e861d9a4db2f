"""Power curve: power against the size of a design, with Monte Carlo intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, MARKERS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {"n_groups": "number of groups", "n_per_group": "rows in a group"}
TARGET = 0.8
MOST_TICKS = 8  # sizes up to which each has its tick


def power_curve(
    table: pd.DataFrame,
    *,
    x: Literal["n_groups", "n_per_group"] | None = None,
    alpha: float | None = None,
    group: str = "group",
    needed: Mapping[str, float] | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw one curve for each effect and each value of the other size, with the line of 80 %.

    Parameters
    ----------
    table
        Columns effect, size, n_groups, n_per_group, power, lower, upper, as `Power.table` has them.
    x
        The horizontal axis; the size that varies most where None.
    alpha
        Level of the test, for a line at the least power a test of that level has.
    group
        What the groups are, for the axis.
    needed
        Effect -> size at which its power reaches 80 %, marked where it lies within the axis.
    width
        In inches.
    ax
        Axes to draw in; new ones on a figure of their own where None.

    Returns
    -------
    Axes
        Of ``axes.figure``; save with ``axes.figure.savefig("power.png")``.

    Raises
    ------
    DataError
        A table without rows or without a column that is needed.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.power import power_curve
    >>> table = pd.DataFrame({"effect": "x", "size": 0.5, "n_groups": [10, 20], "n_per_group": 5.0,
    ...                       "power": [0.4, 0.7], "lower": [0.3, 0.6], "upper": [0.5, 0.8]})
    >>> ax = power_curve(table, group="school")
    >>> ax.get_xlabel(), ax.get_title(loc="left")
    ('levels of school', 'Power to find x = 0.5')
    """
    columns = ["effect", "size", "n_groups", "n_per_group", "power", "lower", "upper"]
    missing = [column for column in columns if column not in table.columns]
    if missing or len(table) == 0:
        raise DataError(f"a power curve needs rows with {', '.join(columns)}; missing: {missing}")
    groups, per_group = (table[c].to_numpy(dtype=float) for c in ("n_groups", "n_per_group"))
    if x is None:
        x = "n_groups" if len(np.unique(groups)) >= len(np.unique(per_group)) else "n_per_group"
    other = "n_per_group" if x == "n_groups" else "n_groups"
    axes = new_axes(width, 0.75 * width) if ax is None else ax
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=FONT - 1, length=3, width=0.8)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axhline(TARGET, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    if alpha is not None:
        axes.axhline(alpha, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    at_x, at_other = (groups, per_group) if x == "n_groups" else (per_group, groups)
    # where groups of unequal size were drawn, the mean rows in a group differ a little: no curve for each of them
    apart = all(len(np.unique(at_x[at_other == value])) > 1 for value in at_other) and np.ptp(at_other) > 0
    curves: list[tuple[Any, Any]] = list(table.groupby(["effect", "size", *([other] if apart else [])], sort=False))
    for k, (key, part) in enumerate(curves):
        at, share, low, high = (part[c].to_numpy(dtype=float) for c in (x, "power", "lower", "upper"))
        order = np.argsort(at)
        at, share, low, high = at[order], share[order], low[order], high[order]
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(at, share, marker=marker, markersize=4, linewidth=1.3, color=colour, label=_label(key, other))
    axes.set_ylim(0, 1.02)
    sizes = np.unique(at_x)
    if len(sizes) <= MOST_TICKS and np.all(sizes == np.round(sizes)):
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    if x == "n_groups":
        for k, (key, _) in enumerate(curves):
            at = (needed or {}).get(str(key[0]), np.nan)
            if sizes.min() <= at <= sizes.max():
                axes.plot([at, at], [0, TARGET], color=COLOURS[k % len(COLOURS)], linewidth=0.9, linestyle=(0, (2, 2)))
                axes.annotate(f"{at:,.0f}", (at, 0.0), xytext=(2, 3), textcoords="offset points", fontsize=FONT - 1)
    axes.set_xlabel(LABELS[x] if group == "group" else LABELS[x].replace("number of groups", f"levels of {group}"),
                    fontsize=FONT)  # fmt: skip
    axes.set_ylabel("power", fontsize=FONT)
    if len(curves) == 1 and ax is None:
        effect, size = curves[0][0][0], curves[0][0][1]
        axes.set_title(f"Power to find {effect} = {size:.3g}", fontsize=FONT + 1, loc="left")
    if len(curves) > 1:
        axes.legend(fontsize=FONT - 1, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return axes


def _label(key: Any, other: str) -> str:
    effect, size, *rest = key
    return f"{effect} = {size:.3g}" + "".join(f", {value:g} {LABELS[other]}" for value in rest)
