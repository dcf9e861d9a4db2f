"""Inclusion Bayes factors against the scale of a prior: how much an answer rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, MARKERS, new_axes, plain, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = (1 / 10, 1 / 3, 1.0, 3.0, 10.0)
"""Where evidence is called weak or strong (Jeffreys 1961, Theory of Probability, appendix B)."""
FEWEST = 0.6  # decades above and below one that the axis shows at least

RAISED = str.maketrans(
    "0123456789-",
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b",
)


def bf_sensitivity(
    table: pd.DataFrame,
    *,
    scale: str = "scale",
    group: str | None = None,
    used: float | None = None,
    xlabel: str = "scale of the prior",
    ylabel: str = "inclusion Bayes factor",
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw Bayes factors over the scale of a prior, both logarithmic.

    Parameters
    ----------
    table
        `scale` (positive), inclusion_bf, and `group` where several components or mechanisms are compared.
    scale, group
        Columns.
    used
        The scale that the analysis has, marked by a line.
    xlabel, ylabel, title
        Texts.
    width
        In inches.
    ax
        Axes to draw on; new ones where None.

    Raises
    ------
    DataError
        No rows, a column that is not there, scales or Bayes factors that are not positive.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.bayes_factors import bf_sensitivity
    >>> ax = bf_sensitivity(pd.DataFrame({"scale": [0.5, 1.0, 2.0], "inclusion_bf": [1.4, 0.9, 0.5]}), used=1.0)
    >>> ax.get_xscale(), ax.get_yscale()
    ('log', 'log')
    """
    needed = [scale, "inclusion_bf", *([group] if group else [])]
    lacking = [name for name in needed if name not in table]
    if lacking or len(table) == 0:
        what = f"a column {lacking[0]!r}; the table has {list(table.columns)}" if lacking else "a table with rows"
        raise DataError(f"a picture of Bayes factors needs {what}")
    values = table[[scale, "inclusion_bf"]].to_numpy(dtype=np.float64)
    if not ((values > 0) & np.isfinite(values)).all():
        raise DataError("scales and Bayes factors are positive numbers; some are not, or are missing")
    axes = new_axes(width, 0.78 * width) if ax is None else ax
    plain(axes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    names = list(dict.fromkeys(table[group])) if group else [None]
    for k, name in enumerate(names):
        own = values if group is None else values[(table[group] == name).to_numpy()]
        own = own[np.argsort(own[:, 0], kind="stable")]
        axes.plot(
            own[:, 0],
            own[:, 1],
            marker=MARKERS[k % len(MARKERS)],
            color=COLOURS[k % len(COLOURS)],
            markersize=3.6,
            linewidth=1.3,
            zorder=3,
            label=None if name is None else str(name),
        )
    if used is not None:
        axes.axvline(used, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate("used", (used, 1.0), xycoords=("data", "axes fraction"), xytext=(2, -2), va="top",
                      textcoords="offset points", fontsize=FONT - 1, color=GREY)  # fmt: skip
    plain_log_ticks(axes.xaxis)
    _evidence_axis(axes, values[:, 1])
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.set_ylabel(ylabel, fontsize=FONT)
    if group:
        axes.legend(fontsize=FONT - 1, frameon=False, ncols=min(len(names), 3), loc="lower left",
                    bbox_to_anchor=(0.0, 1.0), borderaxespad=0.0, columnspacing=1.0)  # fmt: skip
    if title:
        axes.set_title(title, fontsize=FONT + 1, loc="left", pad=16.0 if group else None)
    return axes


def _evidence_axis(axes: Axes, bf: Any) -> None:
    """Ticks at 1/10, 1/3, 1, 3, 10, and beyond them at powers of ten; a line at one, no evidence."""
    logs = np.log10(bf)
    room = max(0.15, 0.04 * float(np.ptp(logs)))
    low, high = min(float(logs.min()) - room, -FEWEST), max(float(logs.max()) + room, FEWEST)
    axes.set_ylim(10**low, 10**high)
    beyond = [k for k in range(int(np.ceil(low)), int(np.floor(high)) + 1) if abs(k) > 1]
    every = max(1, len(beyond) // 5)
    powers = [k for k in beyond if k % every == 0]
    close = high - low > 8  # 1/3 and 3 would stand on 1
    ticks = [mark for mark in MARKS if low <= np.log10(mark) <= high and not (close and mark != 1)]
    axes.set_yticks([*ticks, *(10.0**k for k in powers)], [*map(_ratio, ticks), *(_power(k) for k in powers)])
    axes.minorticks_off()
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.8)
    axes.axhline(1.0, color=GREY, linewidth=1.0, zorder=1)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=0)


def _ratio(value: float) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:.0f}"


def _power(k: int) -> str:
    return f"{10**k:,}" if 1 < k < 5 else f"1/{10**-k:,}" if -5 < k < -1 else f"10{str(k).translate(RAISED)}"
