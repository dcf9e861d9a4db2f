"""Prior and posterior of one parameter: densities as curves, probabilities of single points as arrows.

An average over models has points of positive probability, such as no effect, where a density has no height. The curves
are densities of the continuous parts, so that the area below one and the arrows of its colour add up to one; arrows are
read off the axis at the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Column, colour, line: the prior is the dashed curve, as in every picture.
SERIES: tuple[tuple[str, str, Any], ...] = (("prior", COLOURS[1], (0, (4, 2))), ("posterior", COLOURS[0], "-"))
APART = 0.012  # of two arrows at one point, as a share of the axis
SHORTEST = 0.05  # arrow with a head, as a share of the axis
ROOM = 1.12  # above the highest curve and arrow


def spike_densities(
    curves: pd.DataFrame | None,
    spikes: pd.DataFrame | None = None,
    *,
    xlabel: str = "parameter",
    labels: Mapping[str, str] | None = None,
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw prior and posterior density of a parameter, with arrows where single values have a probability.

    Parameters
    ----------
    curves
        Columns x (increasing), prior and posterior: densities of the continuous part, whose areas are the
        probabilities of that part. One of the two may be missing. None where all probability is in points.
    spikes
        One row for each point: x, prior and posterior, its probabilities. None where there are none.
    xlabel, title
        Texts.
    labels
        ``"prior"`` and ``"posterior"`` -> texts of the legend.
    width
        In inches.
    ax
        Axes to draw on; new ones where None.

    Returns
    -------
    Axes
        That of densities; ``ax.child_axes[0]`` is that of probabilities, which is there with spikes only.

    Raises
    ------
    DataError
        Nothing to draw; densities or probabilities that are none.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.plots.spike_densities import spike_densities
    >>> x = np.linspace(0, 1, 201)
    >>> curves = pd.DataFrame({"x": x, "prior": 0.5, "posterior": 0.9 * 30 * x**4 * (1 - x)})
    >>> ax = spike_densities(curves, pd.DataFrame({"x": [0.0], "prior": [0.5], "posterior": [0.1]}), xlabel="rho")
    >>> ax.child_axes[0].get_ylabel()
    'probability'
    """
    _check(curves, spikes)
    axes = new_axes(width, 0.72 * width) if ax is None else ax
    plain(axes)
    shown = {name: (labels or {}).get(name, name) for name, _, _ in SERIES}
    tallest = 0.0
    if curves is not None:
        x = curves["x"].to_numpy(dtype=np.float64)
        for name, colour, line in SERIES:
            if name not in curves:
                continue
            height = curves[name].to_numpy(dtype=np.float64)
            if name == "posterior":
                axes.fill_between(x, 0.0, height, color=colour, alpha=0.18, linewidth=0, zorder=2)
            axes.plot(x, height, color=colour, linewidth=1.4, linestyle=line, zorder=3)
            tallest = max(tallest, _readable(height))
    axes.set_ylim(0.0, ROOM * (tallest or 1.0))
    if curves is None:
        axes.set_yticks([])
    else:
        axes.spines["left"].set_visible(True)
        axes.spines["left"].set_color(GREY)
        axes.tick_params(axis="y", labelsize=FONT - 1, length=3)
        axes.set_ylabel("density", fontsize=FONT)
    axes.set_xlabel(xlabel, fontsize=FONT)
    if spikes is not None and len(spikes):
        _arrows(axes, spikes)
    _legend(axes, [shown[name] for name, _, _ in SERIES], curves, spikes)
    if title:
        axes.set_title(title, fontsize=FONT + 1, loc="left", pad=16.0)
    return axes


def _check(curves: pd.DataFrame | None, spikes: pd.DataFrame | None) -> None:
    tables = [(table, what) for table, what in ((curves, "curves"), (spikes, "spikes")) if table is not None]
    if not any(len(table) for table, _ in tables):
        raise DataError("there is nothing to draw: neither curves nor spikes")
    for table, what in tables:
        known = [name for name, _, _ in SERIES if name in table]
        if "x" not in table or not known:
            raise DataError(f"{what} need columns x, and prior or posterior; there are {list(table.columns)}")
        values = table[known].to_numpy(dtype=np.float64)
        if not (np.isfinite(table["x"].to_numpy(dtype=np.float64)).all() and (values >= 0).all()):
            raise DataError(f"{what} have a place that is not finite, or a height below zero or missing")
        if what == "spikes" and (values.sum(axis=0) > 1 + 1e-9).any():
            raise DataError("probabilities of spikes add up to more than one")
    if curves is not None and len(curves) > 1 and not (np.diff(curves["x"].to_numpy(dtype=np.float64)) > 0).all():
        raise DataError("x of the curves does not increase")


def _readable(height: Any) -> float:
    """Height that the axis has to show: a density that is infinite at an end is cut off."""
    inner = height[np.isfinite(height)]
    if len(inner) == 0:
        return 1.0
    ordered = np.sort(inner)
    typical = float(ordered[int(0.98 * (len(ordered) - 1))])
    highest = float(ordered[-1])
    return highest if highest <= 4 * typical else 1.5 * typical


def _arrows(axes: Axes, spikes: pd.DataFrame) -> None:
    """One arrow for each point and distribution, from the axis up, on an axis of probabilities."""
    low, high = axes.get_xlim()
    at = spikes["x"].to_numpy(dtype=np.float64)
    low, high = min(low, at.min()), max(high, at.max())
    room = 0.04 * ((high - low) or 1.0)
    if at.min() < low + room / 2:
        low = at.min() - room
    if at.max() > high - room / 2:
        high = at.max() + room
    axes.set_xlim(low, high)
    right: Any = axes.secondary_yaxis("right")
    names = [name for name, _, _ in SERIES if name in spikes]
    most = float(spikes[names].to_numpy(dtype=np.float64).max())
    scale = axes.get_ylim()[1] / (ROOM * (most or 1.0))  # height of an arrow of probability one
    right.set_functions((lambda y: y / scale, lambda p: p * scale))
    right.set_ylabel("probability", fontsize=FONT)
    right.tick_params(axis="y", labelsize=FONT - 1, length=3)
    right.spines["right"].set_color(GREY)
    shift = APART * (high - low)
    for k, (name, colour, line) in enumerate(SERIES):
        if name not in spikes:
            continue
        for place, probability in zip(at, spikes[name].to_numpy(dtype=np.float64), strict=True):
            if probability <= 0:
                continue
            x = place + (shift if k else -shift) / 2 * (len(names) > 1)
            # an arrow that is shorter than its head would hang below the axis
            tip = "-|>" if scale * probability > SHORTEST * axes.get_ylim()[1] else "-"
            style = {"arrowstyle": tip, "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
            head = axes.annotate(
                "", xy=(x, scale * probability), xytext=(x, 0.0), arrowprops={**style, "mutation_scale": 8}, zorder=4,
                annotation_clip=False,
            )  # fmt: skip
            if line != "-" and head.arrow_patch is not None:
                head.arrow_patch.set_linestyle(line)


def _legend(axes: Axes, texts: list[str], curves: pd.DataFrame | None, spikes: pd.DataFrame | None) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for text, (name, colour, line) in zip(texts, SERIES, strict=True):
        if any(table is not None and name in table for table in (curves, spikes)):
            handles.append(Line2D([], [], color=colour, linewidth=1.4, linestyle=line, label=text))
    axes.legend(handles=handles, fontsize=FONT - 1, frameon=False, ncols=2, loc="lower left",
                bbox_to_anchor=(0.0, 1.0), borderaxespad=0.0)  # fmt: skip
