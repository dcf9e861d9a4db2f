"""Heterogeneity plot: the distribution of true effects, the estimates as they are and as the model shrinks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heterogeneity(
    table: pd.DataFrame,
    mean: float,
    tau: float,
    *,
    prediction: tuple[float, float] | None = None,
    null: float | None = 0.0,
    xlabel: str = "true effect",
    ax: Axes | None = None,
) -> Axes:
    """Draw the normal density of true effects above the estimates (open) and their predictions (full).

    Parameters
    ----------
    table
        estimate, blup of the studies.
    mean, tau
        Of the density; a line where tau is 0.
    prediction
        Interval of the true effect of a new study.
    null
        Where the line of no effect is.
    xlabel
        Of the axis.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.heterogeneity import heterogeneity
    >>> heterogeneity(pd.DataFrame({"estimate": [0.1, 0.7], "blup": [0.2, 0.5]}), 0.35, 0.2).get_xlabel()
    'true effect'
    """
    axes = new_axes(1.3 * COLUMN, 0.8 * COLUMN) if ax is None else ax
    plain(axes)
    top = 1.0
    if tau > 0:
        x = np.linspace(mean - 4 * tau, mean + 4 * tau, 200)
        density = np.exp(-0.5 * ((x - mean) / tau) ** 2)
        axes.fill_between(x, 0.0, density, color=COLOURS[0], alpha=0.18, linewidth=0)
        axes.plot(x, density, color=COLOURS[0], linewidth=1.2)
    axes.plot([mean, mean], [0.0, top], color=COLOURS[0], linewidth=1.0)
    if prediction is not None:
        axes.plot(prediction, [-0.06, -0.06], color=GREY, linewidth=3.0, solid_capstyle="butt")
    if null is not None:
        axes.axvline(null, color=GREY, linewidth=0.8)
    y, blup = table["estimate"].to_numpy(), table["blup"].to_numpy()
    for one, other in zip(y, blup, strict=True):
        axes.plot([one, other], [-0.32, -0.17], color=GREY, linewidth=0.5)
    axes.plot(y, np.full(len(y), -0.32), "o", markerfacecolor="white", markeredgecolor=COLOURS[1], markersize=4)
    axes.plot(blup, np.full(len(y), -0.17), "o", color=COLOURS[1], markersize=4)
    axes.set_yticks([-0.32, -0.17, -0.06], ["estimates", "true effects", "new study" if prediction else ""])
    axes.set_ylim(-0.42, 1.08)
    axes.set_xlabel(xlabel, fontsize=FONT)
    return axes
