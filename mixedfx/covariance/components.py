"""Standard deviations and correlations of a random term, as components of its covariance structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

Scaling = Literal["triangles", "units", "one unit"]
"""Changes of the columns that leave a family of covariances as it is."""


@dataclass(frozen=True)
class Component:
    """A standard deviation, or a correlation, of some columns.

    Attributes
    ----------
    kind
        ``"sd"`` or ``"cor"``.
    columns
        The columns that have this standard deviation; those any two of which have this correlation.
    """

    kind: Literal["sd", "cor"]
    columns: tuple[int, ...]

    def names(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """One name of a standard deviation, two of a correlation; `shared` stands for what all columns share."""
        if self.kind == "sd":
            return (columns[self.columns[0]] if len(self.columns) == 1 else shared,)
        return (columns[self.columns[0]], columns[self.columns[1]]) if len(self.columns) == 2 else (shared, shared)

    def value(self, factor: Vector) -> Vector:
        """(...) values for factors (..., k, k) of covariances; a correlation is NaN where an sd is zero.

        Examples
        --------
        >>> import numpy as np
        >>> from mixedfx.covariance.components import Component
        >>> F = np.array([[2.0, 0.0], [3.0, 4.0]])
        >>> Component("sd", (1,)).value(F).item(), Component("cor", (0, 1)).value(F).item()
        (5.0, 0.6)
        """
        length = np.sqrt((factor**2).sum(axis=-1))
        if self.kind == "sd":
            return np.asarray(length[..., self.columns[0]])
        rows, size = factor[..., list(self.columns), :], length[..., list(self.columns)]
        with np.errstate(invalid="ignore", divide="ignore"):
            if len(self.columns) == 2:
                product = (rows[..., 0, :] * rows[..., 1, :]).sum(axis=-1) / (size[..., 0] * size[..., 1])
            else:  # of any two columns that vary: the largest two are known best
                top = np.argsort(size, axis=-1)[..., -2:]
                unit = np.take_along_axis(rows, top[..., None], axis=-2)
                unit = unit / np.take_along_axis(size, top, axis=-1)[..., None]
                product = (unit[..., 0, :] * unit[..., 1, :]).sum(axis=-1)
        return np.asarray(np.clip(product, -1.0, 1.0))


def sds_first(components: tuple[Component, ...]) -> tuple[Component, ...]:
    """Standard deviations, then correlations, each in their order."""
    return tuple(sorted(components, key=lambda component: component.kind == "cor"))


def own_sds(k: int) -> tuple[Component, ...]:
    """One standard deviation for each of k columns."""
    return tuple(Component("sd", (i,)) for i in range(k))
