"""Values and gradients of the collapsed likelihood at D points, and the way to them for a model of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.collapsed import Collapsed

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gradients:
    """The collapsed likelihood at D points.

    Attributes
    ----------
    value
        (D,) log likelihoods, minus infinity where the factorisation breaks down; gradients are zero there.
    of_factors
        For each factor of the problem (D, k, k) derivatives in T.
    of_sigma
        (D,) derivatives in log sigma at fixed T.
    of_precision
        (D, m) derivatives in the log precisions of the coefficients' priors.
    """

    value: Vector
    of_factors: list[Vector]
    of_sigma: Vector
    of_precision: Vector

    @classmethod
    def nowhere(cls, factors: list[Vector], mixing: Vector) -> Gradients:
        """Points without a density, to be filled in."""
        D = len(mixing)
        return cls(np.full(D, -np.inf), [np.zeros(T.shape) for T in factors], np.zeros(D), np.zeros(mixing.shape))

    def put(self, rows: NDArray[np.intp], other: Gradients) -> None:
        """Fill in some of the points, those that are finite."""
        parts = (other.value, *other.of_factors, other.of_sigma, other.of_precision)
        fine = np.ones(len(rows), dtype=bool)
        for part in parts:
            fine &= np.isfinite(part.reshape(len(rows), -1)).all(axis=1)
        for mine, part in zip((self.value, *self.of_factors, self.of_sigma, self.of_precision), parts, strict=True):
            mine[rows[fine]] = part[fine]


def one_by_one(collapsed: Collapsed, factors: list[Vector], sigma: Vector, mixing: Vector) -> Gradients:
    """Values and gradients by `Collapsed.evaluate`, point by point, for a model of any size."""
    out = Gradients.nowhere(factors, mixing)
    for d in range(len(sigma)):
        try:
            at = collapsed.evaluate([T[d] for T in factors], float(sigma[d]), mixing[d], derivatives=True)
        except np.linalg.LinAlgError:
            continue
        assert at.gradient is not None
        assert at.precision_gradient is not None
        found = (np.array([at.value]), [G[None] for G in at.gradient], np.array([at.sigma_gradient]))
        out.put(np.array([d]), Gradients(*found, at.precision_gradient[None]))
    return out
