"""Matrices of colour: effects in intersections with their uncertainty, and probabilities of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLUMN, FONT, GREY, fold, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From orange over white to blue, and from white to blue: ordered in lightness, so that a grey print still reads.
DIVERGING = ("#A64700", "#D55E00", "#F3C9A8", "#F7F7F7", "#A9D0E8", "#0072B2", "#00466E")
RISING = ("#FFFFFF", "#A9D0E8", "#0072B2", "#00375A")
CELL = 0.46  # inches
KEY = 0.62  # inches of the strip that explains size and colour
CERTAIN = (0.5, 0.8, 0.95, 0.99)
# Inches: the side of a rank's cell, and the height beyond which cells are made smaller.
RANK = 0.24
TALLEST = 7.2
# Subgroups up to which each probability is written as a number.
SPELLED = 12


def intersection_matrix(
    table: pd.DataFrame,
    row: str,
    column: str,
    *,
    null: float = 0.0,
    number: str = "{:.1f}",
    title: str | None = None,
    key: bool = True,
    width: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw effects in the cells of two factors: colour is the estimate, a full square is one that is surely not null.

    The side of a square falls with the uncertainty of the cell's sign: it is the root of 2 |P(above null) - 1/2|, so
    that an effect that is as likely above as below the null vanishes. The number is the estimate, the small one its
    sd, and below it stands the number of rows. A key says what size and colour mean.

    Parameters
    ----------
    table
        Columns named by `row` and `column`, estimate, sd and prob_above_null, and n where there; one row for each cell.
    row, column
        Columns whose values are the rows and columns of the picture, in the order of the table.
    null
        The value that is drawn white.
    number
        Format of estimates and sds.
    title
        Text.
    key
        Whether to draw the key, in a figure of its own.
    width
        In inches; by the number of columns where None.
    ax
        Axes to draw in; new ones where None.

    Raises
    ------
    DataError
        A column that is missing, or a cell that comes twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.matrices import intersection_matrix
    >>> table = pd.DataFrame({"race": ["Black", "Black", "White"], "sex": ["f", "m", "f"], "estimate": [1.0, -2, 0.5],
    ...                       "sd": [0.5, 0.5, 0.5], "prob_above_null": [0.98, 0.001, 0.84]})
    >>> ax = intersection_matrix(table, "race", "sex")
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['f', 'm']
    """
    for name in (row, column, "estimate", "sd", "prob_above_null"):
        if name not in table:
            raise DataError(f"the table has no column {name!r}; it has {', '.join(map(str, table.columns))}")
    if table.duplicated([row, column]).any():
        raise DataError(
            f"a cell of {row} and {column} comes more than once",
            hint="Choose the rows of one contrast or margin first.",
        )
    rows, columns = list(dict.fromkeys(table[row])), list(dict.fromkeys(table[column]))
    own = ax is None
    if ax is None:
        across = max(COLUMN, CELL * 1.25 * len(columns) + 1.2) if width is None else width
        ax = new_axes(across, CELL * len(rows) + 0.95 + KEY * key)
    from matplotlib.patches import Rectangle

    away = float(np.nanmax(np.abs(table["estimate"].to_numpy(dtype=float) - null), initial=0.0)) or 1.0
    colours = _colormap(DIVERGING)
    numbers = table[["estimate", "sd", "prob_above_null"]].to_numpy(dtype=float)
    counts = table["n"].tolist() if "n" in table else [None] * len(table)
    cells = zip(table[row], table[column], numbers, counts, strict=True)
    for at_row, at_column, (estimate, sd, above), count in cells:
        if np.isnan(estimate):
            continue
        x, y = columns.index(at_column), rows.index(at_row)
        side = _side(above)
        colour = colours(0.5 + 0.5 * (estimate - null) / away)
        ax.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor="none", edgecolor="#dddddd", linewidth=0.6))
        ax.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, facecolor=colour, linewidth=0))
        ink = "white" if side > 0.7 and _dark(colour) else "black"
        style: dict[str, Any] = {"ha": "center", "color": ink}
        small = f"±{number.format(sd)}" + ("" if count is None else f"\nn = {count:,}")
        ax.text(x, y, number.format(estimate), va="bottom", fontsize=FONT - 1, **style)
        ax.text(x, y + 0.02, small, va="top", fontsize=FONT - 3.4, linespacing=1.05, **style)
    _frame(ax, [str(r) for r in rows], [str(c) for c in columns])
    ax.set_xlabel(column, fontsize=FONT - 1)
    ax.set_ylabel(row, fontsize=FONT - 1)
    if title:
        ax.set_title(title, fontsize=FONT, loc="left")
    if own and key:
        _key(ax, colours, null, away, number)
    return ax


def _side(above: float) -> float:
    """Side of a square, as a share of its cell, for a probability of lying above the null."""
    return 0.12 + 0.84 * float(np.sqrt(np.clip(2 * abs(above - 0.5), 0.0, 1.0)))


def _key(ax: Axes, colours: Any, null: float, away: float, number: str) -> None:
    """What size and colour mean, in a strip below: squares of some certainties, and a bar of colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    figure: Any = ax.figure
    height = float(figure.get_size_inches()[1])
    figure.get_layout_engine().set(rect=(0, KEY / height, 1, 1 - KEY / height))
    sizes = figure.add_axes((0.04, 0.02 / height, 0.5, (KEY - 0.06) / height))
    sizes.set_in_layout(False)
    for i, sure in enumerate(CERTAIN):
        side, at = _side(sure), 1.7 * i
        sizes.add_patch(Rectangle((at - 0.48, -0.48), 0.96, 0.96, facecolor="none", edgecolor="#dddddd", linewidth=0.6))
        sizes.add_patch(Rectangle((at - side / 2, -side / 2), side, side, facecolor=GREY, linewidth=0))
        sizes.text(at, -0.62, f"{100 * sure:g} %", ha="center", va="top", fontsize=FONT - 2.5)
    sizes.text(-0.5, 0.62, "size: probability of its sign", ha="left", va="bottom", fontsize=FONT - 2.5)
    sizes.set_xlim(-0.6, 1.7 * len(CERTAIN) + 0.4)
    sizes.set_ylim(-1.4, 1.5)
    sizes.set_aspect("equal", anchor="W")
    sizes.set_axis_off()
    bar = figure.add_axes((0.58, 0.2 / height, 0.36, 0.09 / height))
    bar.set_in_layout(False)
    scale = ScalarMappable(Normalize(null - away, null + away), colours)
    drawn = figure.colorbar(scale, cax=bar, orientation="horizontal")
    drawn.set_ticks(
        [null - away, null, null + away], labels=[number.format(v) for v in (null - away, null, null + away)]
    )
    drawn.outline.set_linewidth(0.4)
    bar.tick_params(labelsize=FONT - 2.5, length=2, pad=1)
    bar.set_title("colour: estimate", fontsize=FONT - 2.5, loc="left", pad=2)


def rank_heatmap(probabilities: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw the probability of each rank for each subgroup, the best expected rank on top.

    Parameters
    ----------
    probabilities
        (s, s) rows are subgroups, columns ranks from 1; each row sums to one.
    width
        In inches; by the number of ranks where None.
    ax
        Axes to draw in; new ones where None.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.matrices import rank_heatmap
    >>> table = pd.DataFrame([[0.2, 0.8], [0.8, 0.2]], index=["a", "b"], columns=[1, 2])
    >>> [text.get_text() for text in rank_heatmap(table).get_yticklabels()]
    ['b', 'a']
    """
    if probabilities.size == 0:
        raise DataError("nothing to draw: no subgroup was ranked")
    ranks = np.arange(1, probabilities.shape[1] + 1)
    expected = probabilities.to_numpy(dtype=float) @ ranks
    ordered = probabilities.iloc[np.argsort(expected, kind="stable")]
    values = ordered.to_numpy(dtype=float)
    s = len(ordered)
    side = min(RANK, TALLEST / s)
    if ax is None:
        across = max(COLUMN, side * len(ranks) + 1.5) if width is None else width
        ax = new_axes(across, side * s + 0.8)
    from matplotlib.colors import PowerNorm

    # With many subgroups every probability is small; on the scale of roots they can be told from none.
    norm = PowerNorm(1.0 if s <= SPELLED else 0.5, vmin=0.0, vmax=max(0.5, float(values.max())))
    image = ax.imshow(values, cmap=_colormap(RISING), norm=norm, aspect="auto")
    if s <= SPELLED:
        for i in range(s):
            for j in range(len(ranks)):
                if values[i, j] >= 0.005:
                    ink = "white" if values[i, j] > 0.6 * image.norm.vmax else "black"  # pyright: ignore
                    ax.text(j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", fontsize=FONT - 2.5, color=ink)
    _frame(ax, [str(i) for i in ordered.index], [str(r) for r in ranks], s=s)
    ax.tick_params(axis="y", labelsize=min(FONT - 1, 0.8 * 72 * side))
    ax.set_xlabel(
        "rank (probability in percent)" if s <= SPELLED else "rank (the darker, the more probable)", fontsize=FONT - 1
    )
    return ax


def _frame(ax: Axes, rows: Sequence[str], columns: Sequence[str], s: int | None = None) -> None:
    step = max(1, len(columns) // 12) if s is not None else 1
    ax.set_xticks(np.arange(0, len(columns), step), [fold(c, 12) for c in columns[::step]])
    ax.set_yticks(np.arange(len(rows)), [fold(r, 24) for r in rows])
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(length=0, labelsize=FONT - 1)
    for spine in ax.spines.values():
        spine.set_visible(s is not None)
        spine.set_color(GREY)
        spine.set_linewidth(0.5)


def _colormap(colours: Sequence[str]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("mixedfx", list(colours))


def _dark(colour: Sequence[float]) -> bool:
    """Whether white text reads better on it than black (relative luminance, sRGB weights)."""
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2] < 0.5
