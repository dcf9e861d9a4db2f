"""Names beside points: each where it hides no other name and no point, as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.plots.style import FONT, literal, write_literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 4.5  # points between a point and its name
# Where a name may stand, best first: horizontal and vertical alignment, and the direction from its point.
PLACES = (
    ("left", "center", 1, 0), ("right", "center", -1, 0), ("center", "bottom", 0, 1), ("center", "top", 0, -1),
    ("left", "bottom", 1, 1), ("right", "bottom", -1, 1), ("left", "top", 1, -1), ("right", "top", -1, -1),
)  # fmt: skip


def name_points(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], names: Sequence[str], chosen: Sequence[int]
) -> None:
    """Write the names of some of the points that are drawn on axes.

    Parameters
    ----------
    axes
        With the limits they will have.
    x, y
        (n,) all points, so that no name hides one.
    names
        Of the n points.
    chosen
        Which are named, the most important first.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.plots.names import name_points
    >>> from mixedfx.plots.style import new_axes
    >>> axes = new_axes(3, 3)
    >>> name_points(axes, np.array([0.2, 0.21]), np.array([0.5, 0.5]), ["a", "b"], [0, 1])
    >>> [text.get_text() for text in axes.texts]
    ['a', 'b']
    """
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    write_literally(axes)  # half a formula cannot be drawn
    figure.draw_without_rendering()  # the layout decides how large the axes are
    dot = 2 * GAP * figure.dpi / 72
    points = axes.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_bounds(px - dot / 2, py - dot / 2, dot, dot) for px, py in points if np.isfinite(px + py)]
    inside = axes.get_window_extent()
    for i in chosen:
        tried = []
        for ha, va, right, up in PLACES:
            text = axes.annotate(
                literal(str(names[i])), (x[i], y[i]), xytext=(GAP * right, GAP * up), textcoords="offset points", ha=ha,
                va=va, fontsize=FONT - 1.5, annotation_clip=False,
            )  # fmt: skip
            text.set_in_layout(False)
            box = text.get_window_extent()
            beyond = max(inside.x0 - box.x0, 0) + max(box.x1 - inside.x1, 0) + max(box.y1 - inside.y1, 0)
            hidden = sum(_overlap(box, other) for other in taken) + box.height * beyond
            tried.append((hidden, text, box))
            if hidden == 0:
                break
        best = min(range(len(tried)), key=lambda j: tried[j][0])
        for j, (_, text, _) in enumerate(tried):
            if j != best:
                text.remove()
        taken.append(tried[best][2].padded(dot / 4))


def _overlap(one: Any, other: Any) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0.0) * max(height, 0.0))
