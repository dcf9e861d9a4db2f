"""GOSH plot: fits of subsets as a scatter, those with one study in a second colour (Olkin et al. 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import check_option
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gosh(
    table: pd.DataFrame, x: str = "estimate", y: str = "I2", chosen: Any = None, label: str | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw two columns of a table with a row for each subset.

    Parameters
    ----------
    table
        Fits of subsets.
    x, y
        Columns.
    chosen
        (B,) whether a subset has one study; drawn in a second colour.
    label
        That study.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.gosh import gosh
    >>> gosh(pd.DataFrame({"estimate": [0.1, 0.3], "I2": [0.0, 40.0]})).get_xlabel()
    'estimate'
    """
    for name in (x, y):
        check_option("column", name, tuple(map(str, table.columns)))
    axes = new_axes(COLUMN, COLUMN) if ax is None else ax
    plain(axes)
    axes.grid(visible=False)
    with_study = np.zeros(len(table), dtype=bool) if chosen is None else np.asarray(chosen)
    size = float(np.clip(20_000.0 / max(len(table), 1), 0.4, 8.0))
    parts = [(with_study, COLOURS[1], f"with {label}"), (~with_study, COLOURS[0], f"without {label}")]
    for rows, colour, name in parts:
        if rows.any():
            axes.scatter(
                table[x].to_numpy()[rows], table[y].to_numpy()[rows], s=size, color=colour, alpha=0.5, linewidths=0,
                label=name, rasterized=True,
            )  # fmt: skip
    if chosen is not None:
        legend = axes.legend(
            fontsize=FONT - 1, frameon=False, markerscale=4 / np.sqrt(size), loc="lower left",
            bbox_to_anchor=(0.0, 1.0), borderaxespad=0.0, handletextpad=0.1,
        )  # fmt: skip
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel(x, fontsize=FONT)
    axes.set_ylabel("I2 (per cent)" if y == "I2" else y, fontsize=FONT)
    return axes
