"""Shapley values of many rows: one line for each column, one dot for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.plots.style import COLOURS, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DOTS = 2000


def shapley_summary(
    values: NDArray[np.float64], X: pd.DataFrame, *, most: int = 10, width: float = 4.5, ax: Axes | None = None
) -> Axes:
    """Draw the Shapley values of the most important columns, shaded by the value of a number.

    Parameters
    ----------
    values
        (n, p) Shapley values.
    X
        (n, p) the columns; dark dots have high values, categories are of one colour.
    most
        Columns to draw, by mean absolute value.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.plots.shapley import shapley_summary
    >>> axes = shapley_summary(np.array([[1.0, 0.1], [-1.0, 0.2]]), pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['b', 'a']
    """
    order = np.argsort(np.abs(values).mean(axis=0))[::-1][:most][::-1]
    axes = new_axes(width, 0.6 + 0.3 * len(order)) if ax is None else ax
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(values))[:MOST_DOTS])
    for place, column in enumerate(order):
        height = place + 0.12 * rng.standard_normal(len(rows)).clip(-2, 2)
        axes.scatter(values[rows, column], height, s=4, linewidths=0, **_shade(X.iloc[rows, column]))
    plain(axes)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(order)), [str(X.columns[column]) for column in order])
    axes.set_xlabel("Shapley value: what the column adds to the predicted effect", fontsize=FONT - 1)
    return axes


def _shade(column: pd.Series) -> dict[str, Any]:
    """Colours of dots: by rank of numbers, else one."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return {"color": COLOURS[0]}
    rank = column.rank().to_numpy(dtype=float)
    return {"c": 0.25 + 0.75 * rank / max(rank.max(), 1.0), "cmap": "Blues", "vmin": 0.0, "vmax": 1.0}
