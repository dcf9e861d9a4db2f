"""Baujat plot: what each study adds to heterogeneity, and how far it moves the mean (Baujat et al. 2002)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.names import name_points
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def baujat(table: pd.DataFrame, *, labels: int = 5, ax: Axes | None = None) -> Axes:
    """Draw contribution against influence, the studies that are far out with their names.

    Parameters
    ----------
    table
        label, heterogeneity, influence.
    labels
        How many are named.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.baujat import baujat
    >>> table = pd.DataFrame({"label": ["a", "b"], "heterogeneity": [0.1, 4.0], "influence": [0.2, 1.0]})
    >>> [text.get_text() for text in baujat(table, labels=1).texts]
    ['b']
    """
    axes = new_axes(1.3 * COLUMN, COLUMN) if ax is None else ax
    plain(axes)
    x, y = table["heterogeneity"].to_numpy(), table["influence"].to_numpy()
    axes.plot(x, y, "o", color=COLOURS[0], markersize=4)
    far = x / max(float(np.nanmax(x)), 1e-300) + y / max(float(np.nanmax(y)), 1e-300)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)
    axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
    axes.set_xlabel("share of the heterogeneity (squared Pearson residual)", fontsize=FONT)
    axes.set_ylabel("influence on the mean (squared change)", fontsize=FONT)
    name_points(axes, x, y, [str(name) for name in table["label"]], list(np.argsort(-far)[:labels]))
    return axes
