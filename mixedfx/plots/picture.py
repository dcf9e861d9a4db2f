"""The one thing that every plotting method returns: a picture that shows itself in a notebook and saves itself.

The functions of `mixedfx.plots` draw on matplotlib Axes, theirs or the caller's; the methods that users call wrap what
was drawn. A `Picture` belongs to nobody: pyplot does not list it, so it is freed with the last reference to it, and no
window opens. Where the caller gave Axes of a figure that pyplot shows at the end of the cell, the picture leaves the
showing to pyplot.

Names come from data, so a picture shows them as they are: "$25-$50k" is no formula. Text that a caller sets on the axes
afterwards is matplotlib's own matter.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfx.errors import OptionError
from mixedfx.output import write_whole
from mixedfx.plots.style import write_literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS = 100  # of the screen for an inch of the figure; twice as many are drawn
FORMATS = (".png", ".svg", ".pdf")


class Picture:
    """What was drawn.

    Parameters
    ----------
    drawn
        Axes, or a figure with panels.

    Attributes
    ----------
    figure
        The matplotlib figure.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> picture = fit.plot("caterpillar")
    >>> picture
    <Picture: 1 panel, 3.5 x 2.7 inches>
    >>> picture.ax.get_xlabel()
    'Intercept by professor (95 % intervals)'
    """

    def __init__(self, drawn: Axes | Figure) -> None:
        from matplotlib.figure import Figure

        self._ax = None if isinstance(drawn, Figure) else drawn
        self.figure: Figure = drawn if isinstance(drawn, Figure) else drawn.figure  # pyright: ignore
        # Legends beside the axes belong to the figure; one that pyplot manages is the caller's, with other panels.
        write_literally(self.figure if self.figure.canvas.manager is None else drawn)

    @property
    def axes(self) -> tuple[Axes, ...]:
        """All panels that show something."""
        return tuple(ax for ax in self.figure.axes if ax.get_visible())

    @property
    def ax(self) -> Axes:
        """The panel drawn on; the first where there are several."""
        return self.axes[0] if self._ax is None else self._ax

    def save(self, path: str | Path, dpi: float | None = None) -> Path:
        """Write the picture to a file, whole or not at all.

        Parameters
        ----------
        path
            Ends in ``.png``, ``.svg`` or ``.pdf``.
        dpi
            Dots per inch of a PNG; those of the figure (200) where None.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            For another ending.
        DataError
            Where the file cannot be written.
        """
        ending = Path(path).suffix.lower()
        if str(path) and not Path(path).is_dir() and ending not in FORMATS:
            raise OptionError(f"{str(path)!r} ends in no format of pictures", hint=f"End it in {', '.join(FORMATS)}.")
        write_whole(path, self.render(ending.lstrip(".") or "png", dpi))
        return Path(path)

    def render(self, format: str = "png", dpi: float | None = None) -> bytes:
        """The bytes of the picture as ``"png"``, ``"svg"`` or ``"pdf"``."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format=format, dpi=self.figure.dpi if dpi is None else dpi)
        return buffer.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]] | None:
        from matplotlib import _pylab_helpers

        if any(manager.canvas.figure is self.figure for manager in _pylab_helpers.Gcf.get_all_fig_managers()):
            return None
        width = int(self.figure.get_size_inches()[0] * PIXELS)
        return self.render(dpi=2 * PIXELS), {"width": width}

    def __repr__(self) -> str:
        panels, (width, height) = len(self.axes), self.figure.get_size_inches()
        return f"<Picture: {panels} panel{'' if panels == 1 else 's'}, {width:.1f} x {height:.1f} inches>"
