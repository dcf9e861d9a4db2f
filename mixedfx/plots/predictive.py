"""Predictive checks: the density of a response over the densities of simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.plots.style import COLOURS, FONT, GREY, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 200


def predictive_check(
    y: NDArray[np.float64], simulated: NDArray[np.float64], name: str = "y", ax: Axes | None = None
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
    grid = np.linspace(low - margin, high + margin, POINTS)
    for i, values in enumerate(simulated):
        axes.plot(grid, density(values, grid), color=GREY, alpha=0.3, linewidth=0.8, label=None if i else "simulated")
    axes.plot(grid, density(y, grid), color=COLOURS[0], linewidth=1.8, label="data")
    plain(axes)
    axes.set_yticks([])
    axes.set_xlabel(name, fontsize=FONT)
    axes.legend(fontsize=FONT, frameon=False)
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
