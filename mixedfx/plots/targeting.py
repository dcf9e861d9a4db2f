"""Pictures of rankings by predicted effects: budget curves with their bands, and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.lines import effect_lines
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = ("value", "gain", "toc")
LABELS = {
    "value": "mean outcome",
    "gain": "gain over treating as many at random",
    "toc": "effect on the treated minus average effect",
}


def budget_curve(
    table: pd.DataFrame, kind: str = "value", *, level: float = 0.95, width: float = COLUMN, ax: Axes | None = None
) -> Axes:
    """Draw what a budget buys where the most promising people are treated.

    Parameters
    ----------
    table
        Columns share and, by `kind`, value, lower, upper, uniform; or gain, gain_lower, gain_upper; or toc, ....
    kind
        ``"value"``, ``"gain"`` or ``"toc"``.
    level
        Of the band, for the label.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.targeting import budget_curve
    >>> table = pd.DataFrame({"share": [0.5, 1], "gain": [0.1, 0], "gain_lower": [0, 0], "gain_upper": [0.2, 0]})
    >>> budget_curve(table, "gain").get_ylabel()
    'gain over treating as many at random'
    """
    prefix = "" if kind == "value" else f"{kind}_"
    own = pd.DataFrame({
        "share": table["share"], "estimate": table[kind], "lower": table[f"{prefix}lower"],
        "upper": table[f"{prefix}upper"],
    })  # fmt: skip
    axes = effect_lines(own, "share", null=None if kind == "value" else 0.0, ylabel=LABELS[kind], width=width, ax=ax)
    if kind == "value":
        axes.plot(table["share"], table["uniform"], color=GREY, linewidth=1.2, linestyle=(0, (4, 2)))
        last = len(table) // 2
        axes.annotate("at random", (table["share"].iloc[last], table["uniform"].iloc[last]), (4, -10),
                      textcoords="offset points", fontsize=FONT - 1, color=GREY)  # fmt: skip
    axes.set_xlabel(f"share treated, the most promising first ({level:.0%} band)", fontsize=FONT - 1)
    return axes


def calibration_points(
    table: pd.DataFrame, *, level: float = 0.95, width: float = COLUMN, ax: Axes | None = None
) -> Axes:
    """Draw mean scores over mean predictions, with intervals and the line on which they agree.

    Parameters
    ----------
    table
        Columns predicted, estimate, lower, upper.
    level
        Of the intervals, for the label.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.targeting import calibration_points
    >>> table = pd.DataFrame({"predicted": [0.1, 0.3], "estimate": [0.1, 0.2], "lower": [0, 0.1], "upper": [0.2, 0.3]})
    >>> calibration_points(table).get_xlabel()
    'predicted effect'
    """
    axes = new_axes(width, 2.5) if ax is None else ax
    x, y = table["predicted"].to_numpy(), table["estimate"].to_numpy()
    errors = np.abs(np.vstack([y - table["lower"], table["upper"] - y]))
    axes.errorbar(x, y, yerr=errors, fmt="o", color=COLOURS[0], markersize=4, linewidth=1.2)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, ends, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=FONT - 1)
    axes.set_xlabel("predicted effect", fontsize=FONT - 1)
    axes.set_ylabel(f"mean doubly robust score ({level:.0%} intervals)", fontsize=FONT - 1)
    return axes
