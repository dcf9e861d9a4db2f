"""Panels of equal size in one figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mixedfx.plots.style import COLUMN, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels(
    names: Sequence[str], draw: Callable[[str, Any], Any], columns: int = 2, width: float = COLUMN, ratio: float = 0.78
) -> Figure:
    """Draw one panel for each name.

    Parameters
    ----------
    names
        What ``draw(name, axes)`` draws.
    draw
        A function that draws on axes.
    columns
        Panels beside each other, at most.
    width
        Of a panel, in inches.
    ratio
        Its height, as a share of its width.

    Examples
    --------
    >>> from mixedfx.plots.panels import panels
    >>> len(panels(["a", "b", "c"], lambda name, axes: axes.set_title(name)).axes)
    3
    """
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(width * columns, ratio * width * rows)
    for k, name in enumerate(names):
        draw(name, figure.add_subplot(rows, columns, k + 1))
    return figure
