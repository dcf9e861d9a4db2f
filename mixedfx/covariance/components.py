"""Standard deviations and correlations of a random term, as components of its covariance structure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import combinations, pairwise
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
    neighbours
        Whether only columns that follow each other have this correlation.
    """

    kind: Literal["sd", "cor"]
    columns: tuple[int, ...]
    neighbours: bool = False

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of columns that have this correlation."""
        c = self.columns
        return tuple(pairwise(c)) if self.neighbours else tuple(combinations(c, 2))

    @property
    def among(self) -> str:
        """``any two``, ``neighbours``: which of its columns have this correlation, if there are three or more."""
        return "" if len(self.columns) < 3 else "neighbours" if self.neighbours else "any two"

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
            elif self.neighbours:  # of the two that are known best
                unit, both = rows / size[..., None], size[..., 1:] * size[..., :-1]
                every = (unit[..., 1:, :] * unit[..., :-1, :]).sum(axis=-1)
                product = np.take_along_axis(every, both.argmax(axis=-1)[..., None], axis=-1)[..., 0]
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


class Family(ABC):
    """What most structures have in common, and what follows from their components.

    Attributes
    ----------
    free
        Whether every covariance is of the family, and parameters are the entries of a triangle.
    manner
        How columns are correlated, in a word.
    stan
        The chunk of Stan that has the correlations (`mixedfx/_stan/random/`); empty where there are none.
    least_eta
        The LKJ prior of the correlations needs an eta above this.
    """

    @property
    def free(self) -> bool:
        """False, as of all structures but one."""
        return False

    @property
    def manner(self) -> str:
        """That of columns without correlations."""
        return "independent"

    @property
    def stan(self) -> str:
        """Empty: without correlations."""
        return ""

    @property
    @abstractmethod
    def components(self) -> tuple[Component, ...]:
        """The standard deviations and correlations, in the order of lme4's tables."""

    @property
    def least_eta(self) -> float:
        """Zero: the eta of any LKJ prior is above it."""
        return 0.0

    @property
    def n_sds(self) -> int:
        """Number of standard deviations."""
        return sum(component.kind == "sd" for component in self.components)

    @property
    def n_correlations(self) -> int:
        """Number of correlations."""
        return sum(component.kind == "cor" for component in self.components)

    @property
    def in_order(self) -> bool:
        """Whether the order of the columns matters: a correlation is that of neighbours."""
        return any(component.neighbours for component in self.components)
