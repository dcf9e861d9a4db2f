"""Predictive checks: a response against simulated ones, as densities, bars or a rootogram.

Bars show how often each value comes in the data, and the interval of how often it comes in the simulations. A rootogram
(Tukey 1977; Kleiber & Zeileis 2016, American Statistician 70:296) does the same on the scale of square roots, where
counts large and small vary alike, and hangs the bars from the curve of the simulations: a bar that misses the zero
line is a misfit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.plots.style import COLOURS, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 200


def predictive_check(
    y: NDArray[np.float64],
    simulated: NDArray[np.float64],
    name: str = "y",
    ax: Axes | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Axes:
    """Draw the density of the data over those of simulated data.

    Parameters
    ----------
    y
        (n,) response.
    simulated
        (S, n) simulated responses.
    name
        Label of the horizontal axis.
    ax
        Axes to draw on; new ones where None.
    bounds
        Between which responses lie; densities end there and keep their mass, reflected at the bounds.

    Returns
    -------
    Axes
        One grey line for each simulation, one coloured line for the data.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.plots.predictive import predictive_check
    >>> rng = np.random.default_rng(1)
    >>> len(predictive_check(rng.normal(size=50), rng.normal(size=(20, 50))).lines)
    21
    """
    axes = new_axes(5.0, 3.0) if ax is None else ax
    low, high = np.quantile(np.concatenate([y, simulated.ravel()]), [0.001, 0.999])
    margin = 0.1 * (high - low) or 1.0
    grid = np.linspace(max(low - margin, bounds[0]), min(high + margin, bounds[1]), POINTS)

    def height(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return sum((density(values, 2 * b - grid) for b in bounds if np.isfinite(b)), density(values, grid))

    for i, values in enumerate(simulated):
        axes.plot(grid, height(values), color=GREY, alpha=0.3, linewidth=0.8, label=None if i else "simulated")
    axes.plot(grid, height(y), color=COLOURS[0], linewidth=1.8, label="data")
    plain(axes)
    axes.set_yticks([])
    axes.set_xlabel(name, fontsize=FONT)
    axes.legend(fontsize=FONT, frameon=False)
    return axes


def bars(
    y: NDArray[np.float64],
    simulated: NDArray[np.float64],
    labels: Sequence[str] | None = None,
    name: str = "y",
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each value comes, in the data and in simulated data.

    Parameters
    ----------
    y
        (n,) response: whole numbers from 0.
    simulated
        (S, n) simulated responses.
    labels
        Names of the values 0, 1, ...; the numbers themselves where None.
    name
        Label of the horizontal axis.
    level
        Probability inside the intervals of the simulations.
    ax
        Axes to draw on; new ones where None.

    Returns
    -------
    Axes
        A bar for each value of the data; a point and an interval for the simulations.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.plots.predictive import bars
    >>> rng = np.random.default_rng(1)
    >>> axes = bars(rng.integers(3, size=50), rng.integers(3, size=(20, 50)), labels=["low", "middle", "high"])
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['low', 'middle', 'high']
    """
    axes = new_axes(5.0, 3.0) if ax is None else ax
    values, data, found = frequencies(y, simulated, None if labels is None else len(labels))
    middle, lower, upper = _band(found, level)
    axes.bar(values, data, color=COLOURS[0], alpha=0.5, width=0.8, label="data")
    axes.errorbar(
        values, middle, [middle - lower, upper - middle], fmt="o", color="black", markersize=4, linewidth=1.2,
        label=f"simulated, {level:.0%}",
    )  # fmt: skip
    if labels is not None:
        axes.set_xticks(values, list(labels))
    return _finished(axes, name, "rows")


def rootogram(
    y: NDArray[np.float64],
    simulated: NDArray[np.float64],
    name: str = "y",
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw a hanging rootogram of counts.

    Parameters
    ----------
    y, simulated, name, level, ax
        As in `bars`. Values beyond the 99.9 % quantile of the simulations and of the data are left out.

    Returns
    -------
    Axes
        The curve of expected root frequencies with its interval, and a bar for each value hanging from it.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.plots.predictive import rootogram
    >>> rng = np.random.default_rng(1)
    >>> axes = rootogram(rng.poisson(9, size=200), rng.poisson(9, size=(20, 200)))
    >>> axes.get_ylabel()
    'square root of rows'
    """
    axes = new_axes(5.0, 3.0) if ax is None else ax
    largest = int(max(np.quantile(simulated, 0.999), np.quantile(y, 0.999))) + 1
    values, data, found = frequencies(y, simulated, largest)
    middle, lower, upper = _band(np.sqrt(found), level)
    axes.bar(values, np.sqrt(data), bottom=middle - np.sqrt(data), color=COLOURS[0], alpha=0.5, width=0.8, label="data")
    axes.fill_between(values, lower, upper, color=GREY, alpha=0.4, linewidth=0, label=f"simulated, {level:.0%}")
    axes.plot(values, middle, color="black", linewidth=1.2)
    axes.axhline(0.0, color="black", linewidth=0.8)
    return _finished(axes, name, "square root of rows")


def frequencies(
    y: NDArray[np.float64], simulated: NDArray[np.float64], count: int | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """How often the values 0, 1, ..., `count` - 1 come: values (V,), in the data (V,), in the simulations (S, V)."""
    codes, draws = np.asarray(y).astype(np.intp), np.asarray(simulated).astype(np.intp)
    size = int(max(codes.max(), draws.max())) + 1 if count is None else count
    found = np.stack([np.bincount(row[row < size], minlength=size) for row in draws]).astype(np.float64)
    return np.arange(size), np.bincount(codes[codes < size], minlength=size).astype(np.float64), found


def _band(found: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], ...]:
    """Mean over the simulations and the ends of the interval."""
    lower, upper = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    middle = found.mean(axis=0)
    return middle, np.minimum(lower, middle), np.maximum(upper, middle)


def _finished(axes: Axes, name: str, what: str) -> Axes:
    plain(axes)
    axes.set_xlabel(name, fontsize=FONT)
    axes.set_ylabel(what, fontsize=FONT)
    axes.legend(fontsize=FONT, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return axes


def density(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kernel density estimate on a grid: normal kernel, Silverman's bandwidth."""
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = (
        min(float(values.std(ddof=1)), float(quartiles[1] - quartiles[0]) / 1.349) or float(values.std(ddof=1)) or 1.0
    )
    width = 0.9 * spread * len(values) ** -0.2
    out = np.zeros(len(grid))
    for part in np.array_split(values, max(1, len(values) // 5000)):
        out += np.exp(-0.5 * ((grid[:, None] - part) / width) ** 2).sum(axis=1)
    return out / (len(values) * width * np.sqrt(2 * np.pi))
