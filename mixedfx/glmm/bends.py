"""How the weights of rows change with their linear predictors, for derivatives of Laplace's determinant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.factorization import Pair
from mixedfx.pls.row_map import RowMap

Vector = NDArray[np.float64]


class Bends(Protocol):
    """Derivatives of the weights w of the rows in their linear predictors, at one point."""

    def pulled(self, leverages: Vector) -> Vector:
        """(n,) t, the derivatives of sum of w c in the linear predictors for given leverages c (n,)."""
        ...

    def moments(self, rows: RowMap, Q: Vector, u: Pair, leverages: Vector, Zr: Vector) -> tuple[Vector, Vector]:
        """What second derivatives need of directions ydot = (Q, 0) + Z u (n, d) of the linear predictors.

        Returns
        -------
        (d, d) and (q1, k1, k1, d) arrays
            The second derivative of sum of w c, less the derivative of w along them times Zr (n,), along every two
            directions; and the sums of the derivative of w along a direction times z z', by level of the first factor.
        """
        ...


@dataclass(frozen=True, eq=False)
class RowBends:
    """Rows with one linear predictor: w' and w'' (n,)."""

    third: Vector
    fourth: Vector

    def pulled(self, leverages: Vector) -> Vector:
        """The products w' c."""
        return self.third * leverages

    def moments(self, rows: RowMap, Q: Vector, u: Pair, leverages: Vector, Zr: Vector) -> tuple[Vector, Vector]:
        """Weighted sums over the rows."""
        return rows.moments(Q, u, self.fourth * leverages - self.third * Zr, self.third)
