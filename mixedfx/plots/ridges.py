"""Ridgelines: the whole distribution of each estimate, one hill a line; and a prior under its posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError
from mixedfx.plots.predictive import density
from mixedfx.plots.style import (
    COLOURS,
    COLUMN,
    FAINT,
    FONT,
    GREY,
    LINE_OF_TEXT,
    align_left,
    fold,
    fold_to_axes,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.28  # inches between two hills
OVERLAP = 1.5  # height of the highest hill, in lines
POINTS = 300
CHARACTERS = 26  # of a label before it is folded
TAILS = (0.0005, 0.9995)  # quantiles between which hills are drawn
WIDEST = 8.0  # width of the axis of a prior, in widths of the posteriors


def ridgelines(
    draws: pd.DataFrame,
    *,
    null: float | None = None,
    level: float = 0.95,
    order: bool = False,
    xlabel: str = "effect",
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw the density of each column, its interval shaded and its median marked.

    Parameters
    ----------
    draws
        (D, s) draws, one column for each estimate; names of columns are labels.
    null
        Where the line of no effect is drawn.
    level
        Probability the shaded part holds.
    order
        Whether to sort by the mean, largest on top.
    xlabel, title
        Texts.
    width
        In inches; the height follows from the number of columns.
    ax
        Axes to draw in; new ones where None.

    Raises
    ------
    DataError
        Fewer than ten draws, or no column.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.plots.ridges import ridgelines
    >>> draws = pd.DataFrame(np.random.default_rng(1).normal([0, 1], size=(500, 2)), columns=["girls", "boys"])
    >>> [text.get_text() for text in ridgelines(draws).get_yticklabels()]
    ['girls', 'boys']
    """
    if draws.shape[1] == 0 or len(draws) < 10:
        raise DataError(f"ridgelines need draws: there are {len(draws)} of {draws.shape[1]} estimates")
    if order:
        draws = draws.iloc[:, np.argsort(-draws.to_numpy(dtype=float).mean(axis=0), kind="stable")]
    values = draws.to_numpy(dtype=float)
    s = values.shape[1]
    names = [fold(str(c), CHARACTERS) for c in draws.columns]
    line = max(LINE, LINE_OF_TEXT * max(name.count("\n") + 1 for name in names) + 0.03)  # no label covers another
    axes = new_axes(width, line * (s + OVERLAP) + 0.69 + 0.2 * (title is not None)) if ax is None else ax
    low, high = np.quantile(values, TAILS, axis=0)
    room = 0.05 * float(high.max() - low.min()) or 1.0
    grid = np.linspace(low.min() - room, high.max() + room, POINTS)
    heights = [density(column, grid) if np.ptp(column) > 0 else np.zeros(POINTS) for column in values.T]
    tallest = max(float(h.max()) for h in heights) or 1.0
    for j, height in enumerate(heights):
        base = s - 1 - j
        curve = base + OVERLAP * height / tallest
        lower, middle, upper = np.quantile(values[:, j], [0.5 - level / 2, 0.5, 0.5 + level / 2])
        inside = (grid >= lower) & (grid <= upper)
        axes.fill_between(grid, base, curve, color=FAINT, zorder=2 * j + 1, linewidth=0)
        axes.fill_between(grid, base, curve, where=inside.tolist(), color=COLOURS[5], zorder=2 * j + 1, linewidth=0)
        axes.plot(grid, curve, color="white", linewidth=1.6, zorder=2 * j + 2)
        axes.plot(grid, curve, color=COLOURS[0], linewidth=0.9, zorder=2 * j + 2)
        axes.plot([middle, middle], [base, base + 0.35], color="black", linewidth=1.2, zorder=2 * j + 2)
    if null is not None:
        axes.axvline(null, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=2 * s + 3)
    plain(axes)
    axes.set_yticks(np.arange(s - 1, -1, -1), names)
    axes.set_ylim(-0.25, s - 1 + OVERLAP + 0.15)
    axes.set_xlabel(f"{xlabel}\n({100 * level:g} % shaded, median marked)", fontsize=FONT - 1)
    if title:
        axes.set_title(title, fontsize=FONT, loc="left")
    if ax is None:
        align_left(axes)
        fold_to_axes(axes, width)
    return axes


def prior_posterior(
    pairs: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    *,
    xlabel: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw the density of each quantity before and after the data, one line each.

    Parameters
    ----------
    pairs
        Label -> draws from the prior and from the posterior.
    xlabel
        Text.
    width
        In inches.
    ax
        Axes to draw in; new ones where None.

    Returns
    -------
    Axes
        Each curve is as high as every other, on one horizontal axis: the prior is the hollow curve, and one that is
        wide beside the posterior is a flat line. The axis holds the inner 99 % of both, or where the prior is much
        wider, four times what the posteriors need to each side, and its label says how far the prior reaches.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.plots.ridges import prior_posterior
    >>> rng = np.random.default_rng(1)
    >>> ax = prior_posterior({"slope": (rng.normal(size=400), rng.normal(1, 0.2, size=400))})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['prior', 'posterior']
    """
    if not pairs:
        raise DataError("nothing to draw: no quantity was named")
    axes = new_axes(width, 0.5 * len(pairs) + 0.9) if ax is None else ax
    ends = np.array([np.quantile(np.concatenate([p, q]), [0.005, 0.995]) for p, q in pairs.values()])
    after = np.array([np.quantile(q, [0.005, 0.995]) for _, q in pairs.values()])
    low, high = after[:, 0].min(), after[:, 1].max()
    middle, room = (low + high) / 2, WIDEST * ((high - low) or np.ptp(ends)) / 2
    first, last = max(ends[:, 0].min(), middle - room), min(ends[:, 1].max(), middle + room)
    cut = ends[:, 0].min() < first or ends[:, 1].max() > last
    grid = np.linspace(first, last, POINTS)
    for j, (prior, posterior) in enumerate(pairs.values()):
        base = len(pairs) - 1 - j
        hollow, filled = (base + 0.72 * d / (d.max() or 1.0) for d in (density(prior, grid), density(posterior, grid)))
        axes.fill_between(grid, base, filled, color=COLOURS[5], linewidth=0, label="posterior" if j == 0 else None)
        axes.plot(
            grid, hollow, color=COLOURS[1], linewidth=1.2, linestyle=(0, (4, 2)), label="prior" if j == 0 else None
        )
    plain(axes)
    axes.set_yticks(np.arange(len(pairs) - 1, -1, -1), [fold(label, CHARACTERS) for label in pairs])
    handles, labels = axes.get_legend_handles_labels()
    chosen = [labels.index("prior"), labels.index("posterior")]
    axes.legend([handles[i] for i in chosen], [labels[i] for i in chosen], fontsize=FONT - 1, frameon=False,
                loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)  # fmt: skip
    if cut:
        reach = np.quantile(np.concatenate([p for p, _ in pairs.values()]), [0.025, 0.975])
        xlabel = (f"{xlabel}\n" if xlabel else "") + f"(95 % of the prior: {reach[0]:,.3g} to {reach[1]:,.3g})"
    if xlabel:
        axes.set_xlabel(xlabel, fontsize=FONT - 1)
    if ax is None:
        align_left(axes)
        fold_to_axes(axes, width)
    return axes
