"""What all pictures share: colours, sizes, and figures that belong to nobody.

The colours are those of Okabe and Ito (2008, "Color Universal Design"), told apart by readers with any common colour
vision; every use pairs them with a second sign (a marker, a line style), so that a grey print still reads. Figures
are made without pyplot: nothing is kept in a global list, and no window opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mixedfx.optional import package

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
FAINT = "#e4e4e4"

# Inches: the width of one column of a journal page.
COLUMN = 3.5
# Points, and inches that a line of it takes.
FONT = 8.0
LINE_OF_TEXT = 0.14


def need_matplotlib() -> None:
    """Refuse to draw where matplotlib is absent or broken: it is no dependency of the core.

    Raises
    ------
    MissingPackageError
        With the line that installs it.
    """
    package("matplotlib.backends.backend_agg", "Pictures need", "plots")


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that belongs to nobody, drawn by Agg, with a layout that keeps all text inside.

    Parameters
    ----------
    width, height
        Size in inches.

    Raises
    ------
    MissingPackageError
        Without matplotlib.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> Axes:
    """Make axes on a figure of their own; `width` and `height` in inches."""
    return new_figure(width, height).add_subplot()


def plain(axes: Axes) -> None:
    """Take away what carries no information: the box, the ticks of names, the grid behind everything."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(axis="x", labelsize=FONT - 1, colors="black", length=3, width=0.8)
    axes.tick_params(axis="y", labelsize=FONT, length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def literal(text: str) -> str:
    r"""Let dollars be dollars: matplotlib sets what stands between two of them as a formula.

    Examples
    --------
    >>> from mixedfx.plots.style import literal
    >>> print(literal("$25-$50k"), literal(literal("$5")))
    \$25-\$50k \$5
    """
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def write_literally(drawn: Any) -> None:
    """Make every text of axes or of a figure literal: names of columns and levels, whatever the data call them.

    Labels of ticks are made anew at each drawing from what the axis holds, so names are given to the axis again.
    Numbers that matplotlib itself writes as formulas (powers of ten) are written by the axis and stay.
    """
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    for axes in drawn.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            if not isinstance(axis.get_major_locator(), FixedLocator):
                continue
            names = [label.get_text() for label in axis.get_ticklabels()]
            if any("$" in name for name in names):
                axis.set_ticklabels([literal(name) for name in names])
    for text in drawn.findobj(Text):
        if "$" in text.get_text():
            text.set_text(literal(text.get_text()))


def fold(text: str, characters: int) -> str:
    """Break a text into lines of at most so many characters, at blanks.

    Examples
    --------
    >>> from mixedfx.plots.style import fold
    >>> fold("pupils in small classes", 13).splitlines()
    ['pupils in', 'small classes']
    """
    import textwrap

    pieces = [p for line in text.split("\n") for p in textwrap.wrap(line, max(characters, 8), break_long_words=False)]
    return "\n".join(pieces)


def align_left(axes: Axes) -> None:
    """Start the labels of the vertical axis at one place; their longest line decides how far from the axis."""
    labels = axes.get_yticklabels()
    widest = max((text_width(axes, label) for label in labels), default=0.0)
    axes.tick_params(axis="y", pad=widest * 72 + 3)
    for label in labels:
        label.set_horizontalalignment("left")


def fold_to_axes(axes: Axes, width: float) -> None:
    """Fold axis label and title at the width that the labels leave for the axes, in a figure `width` inches wide.

    The figure grows by the lines this adds, so that the axes keep their height.
    """
    added = 0
    room = width - max((text_width(axes, label) for label in axes.get_yticklabels()), default=0.0) - 0.45
    for text in (axes.xaxis.label, axes.title, axes._left_title):  # pyright: ignore
        whole = text.get_text()
        for characters in range(len(whole), 11, -1):
            if text_width(axes, text) <= room:
                break
            text.set_text(fold(whole, characters))
        added += text.get_text().count("\n") - whole.count("\n")
    figure: Any = axes.figure
    figure.set_size_inches(width, figure.get_size_inches()[1] + added * LINE_OF_TEXT)


def plain_log_ticks(axis: Any) -> None:
    """Ticks at 1, 2 and 5 times the powers of ten, written as numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def text_width(axes: Axes, *texts: Any) -> float:
    """Return the width of the widest of some texts in inches."""
    return max(text_widths(axes, texts))


def text_widths(axes: Axes, texts: Iterable[Any]) -> list[float]:
    """Return the widths of texts in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure: Any = axes.figure
    for text in texts:
        if "$" in text.get_text():  # half a formula cannot be measured
            text.set_text(literal(text.get_text()))
    renderer = FigureCanvasAgg(figure).get_renderer()  # a canvas of the whole figure: one for all texts
    return [text.get_window_extent(renderer).width / figure.dpi for text in texts]
