"""A tree of groups: rules at its branches, and the mean effect of each leaf with its interval below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.plots.style import COLOURS, COLUMN, FAINT, FONT, GREY, LINE_OF_TEXT, fold, literal, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIT = 0.62  # inches of a unit of height, that of the boxes of the leaves
WIDTH = 18  # characters of a line of a rule


@dataclass(frozen=True)
class Branch:
    """One division: the leaf that is divided (its right part becomes the next leaf), and both sides in words."""

    leaf: int
    left: str
    right: str


def tree(branches: Sequence[Branch], leaves: pd.DataFrame, *, ylabel: str = "effect", ax: Axes | None = None) -> Axes:
    """Draw a tree.

    Parameters
    ----------
    branches
        The divisions in the order in which they were made.
    leaves
        leaf, k, estimate, conf_low, conf_high.
    ylabel
        What the estimates are.
    ax
        Axes to draw on; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.tree import Branch, tree
    >>> leaves = pd.DataFrame({"leaf": [0, 1], "k": [30, 20], "estimate": [0.1, 0.6], "conf_low": [0.0, 0.5],
    ...                        "conf_high": [0.2, 0.7]})
    >>> axes = tree([Branch(0, "weeks <= 12", "weeks > 12")], leaves)
    >>> [text.get_text() for text in axes.texts][:2]
    ['weeks <= 12', 'weeks > 12']
    """
    count = len(leaves)
    order, gaps = _layout(branches)
    top = 1.0 + sum(gaps)
    axes = new_axes(max(1.1 * COLUMN, 1.25 * count), UNIT * (top + 0.9) + 0.1) if ax is None else ax
    axes.set_axis_off()
    place = {leaf: x for x, leaf in enumerate(order)}
    _draw(axes, branches, place, top, gaps)
    low, high = float(leaves["conf_low"].to_numpy().min()), float(leaves["conf_high"].to_numpy().max())
    span = max(high - low, 1e-12)

    def up(value: float) -> float:
        return 0.1 + 0.8 * (value - low) / span

    if low <= 0.0 <= high:
        axes.hlines(up(0.0), -0.5, count - 0.5, color=GREY, linewidth=0.8)
        axes.text(-0.55, up(0.0), "0", fontsize=FONT - 1, ha="right", va="center")
    for row in leaves.to_dict("records"):
        x = place[int(row["leaf"])]
        axes.fill_between([x - 0.45, x + 0.45], 0.0, 1.0, color=FAINT, lw=0, zorder=0)
        axes.vlines(x, up(row["conf_low"]), up(row["conf_high"]), color=COLOURS[0], linewidth=1.6)
        axes.plot(x, up(row["estimate"]), "s", color=COLOURS[0], markersize=3.5)
        axes.text(x, -0.06, f"{row['estimate']:.2f}\n[{row['conf_low']:.2f}, {row['conf_high']:.2f}]\nk = {row['k']:,}",
                  fontsize=FONT - 1, ha="center", va="top")  # fmt: skip
    axes.text(-0.75, 0.5, ylabel, fontsize=FONT, rotation=90, ha="right", va="center")
    axes.set_xlim(-0.9, count - 0.4)
    axes.set_ylim(-0.75, top + 0.15)
    return axes


def _layout(branches: Sequence[Branch]) -> tuple[list[int], list[float]]:
    """Leaves from left to right, and the height of each level of divisions, by the lines of its longest rule."""
    order, depth, lines = [0], {0: 0}, [1]
    for number, branch in enumerate(branches, 1):
        order.insert(order.index(branch.leaf) + 1, number)
        level = depth[branch.leaf]
        depth[branch.leaf] = depth[number] = level + 1
        lines += [1] * (level + 1 - len(lines))
        lines[level] = max(lines[level], *(fold(words, WIDTH).count("\n") + 1 for words in (branch.left, branch.right)))
    return order, [max(0.9, 0.35 + most * LINE_OF_TEXT / UNIT) for most in lines]


def _draw(axes: Axes, branches: Sequence[Branch], place: dict[int, int], top: float, gaps: Sequence[float]) -> None:
    """Lines and rules from the top down: each division divides what a leaf was at that time."""
    height, depth = {0: top}, {0: 0}
    parts: dict[int, list[int]] = {0: list(range(len(branches) + 1))}
    for number, branch in enumerate(branches, 1):
        whole = parts[branch.leaf]
        right = _descendants(branches, number)
        left = [leaf for leaf in whole if leaf not in right]
        y, level = height[branch.leaf], depth[branch.leaf]
        below = y - gaps[level]
        x = float(np.mean([place[leaf] for leaf in whole]))
        for part, words, leaf in ((left, branch.left, branch.leaf), (right, branch.right, number)):
            to = float(np.mean([place[one] for one in part]))
            axes.plot([x, to, to], [y, y, below if len(part) > 1 else 1.0], color=GREY, linewidth=0.9)
            axes.text(to, y - 0.08, literal(fold(words, WIDTH)), fontsize=FONT - 1, ha="center", va="top",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # fmt: skip
            parts[leaf], height[leaf], depth[leaf] = part, below, level + 1


def _descendants(branches: Sequence[Branch], number: int) -> list[int]:
    """The right part of a division, and all that is divided off from it later."""
    found = [number]
    for later, branch in enumerate(branches, 1):
        if later > number and branch.leaf in found:
            found.append(later)
    return found
