r"""Correlation matrices with one parameter, an angle.

A family of correlation matrices R(rho), rho from `lowest` to 1, has a root that moves with an angle t, R = U(t) U(t)':

    rho = 1 - (1 - lowest) sin^2(q t),    rho = 1 at t = 0,    rho = lowest at t = pi / (2 q),

and t and its mirror images about both ends describe the same R: the criterion is stationary there, and t needs no
bounds. Which q makes U an analytic function of t is the family's (`mixedfx.covariance.exchangeable`, `serial`).

**Sampling** has y in (-inf, inf) with x = (rho - lowest) / (1 - lowest) = cos^2(q t) = (1 + tanh y) / 2, so that y =
-log tan(q t). The LKJ density |R|^(eta - 1) along the line of such R makes x ~ Beta(`shapes`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation(ABC):
    """Correlation matrices of k columns with one parameter.

    Attributes
    ----------
    k
        Number of columns.
    rate
        q.
    manner, stan
        As in `Family`.
    """

    k: int
    rate: ClassVar[float]
    manner: ClassVar[str]
    stan: ClassVar[str]

    @property
    @abstractmethod
    def lowest(self) -> float:
        """Lowest correlation."""

    @property
    @abstractmethod
    def component(self) -> Component:
        """Which columns have the correlation."""

    @abstractmethod
    def root(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) U at the cosine and sine (...) of t."""

    @abstractmethod
    def turned(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) first derivative of U in t."""

    @abstractmethod
    def bent(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) second derivative of U in t."""

    @abstractmethod
    def of_rows(self, unit: Vector, some: NDArray[np.bool_]) -> Vector:
        """(...) angles of rows (..., k, m) of length one; of zero correlation where `some` (..., k) has not two."""

    @abstractmethod
    def matrix(self, rho: float) -> Vector:
        """(k, k) R."""

    @abstractmethod
    def matrix_slope(self, rho: float) -> Vector:
        """(k, k) derivative of R in rho."""

    @abstractmethod
    def shapes(self, eta: float) -> tuple[float, float]:
        """Shapes of the beta distribution of x under LKJ(eta)."""

    @abstractmethod
    def cosines(self, y: Vector) -> tuple[Vector, Vector, Vector]:
        """(...) cosine and sine of t, and dt/dy, at y."""

    @property
    def least_eta(self) -> float:
        """Below which LKJ(eta) has no finite integral over R: the second shape is (k - 1)(eta - 1) + 1."""
        return 1.0 - 1.0 / (self.k - 1)

    def angle(self, rho: Vector | float) -> Vector:
        """T in [0, pi / (2 q)] of a correlation.

        Examples
        --------
        >>> from mixedfx.covariance.exchangeable import Equal
        >>> family = Equal(5)
        >>> round(float(family.correlation(family.angle(0.25))), 12)
        0.25
        """
        rho = np.asarray(rho, dtype=np.float64)
        across, along = np.clip(1.0 - rho, 0.0, None), np.clip(rho - self.lowest, 0.0, None)
        return np.arctan2(np.sqrt(across), np.sqrt(along)) / self.rate

    def correlation(self, t: Vector | float) -> Vector:
        """Correlation of an angle."""
        return np.asarray(1.0 - (1.0 - self.lowest) * np.sin(self.rate * np.asarray(t)) ** 2)

    def slope(self, t: float) -> float:
        """Derivative of the correlation in the angle."""
        return -(1.0 - self.lowest) * self.rate * float(np.sin(2.0 * self.rate * t))

    def unconstrained(self, t: Vector) -> Vector:
        """(...) y of an angle; infinite at the ends."""
        with np.errstate(divide="ignore"):
            return -np.log(np.tan(self.rate * t))

    def nearest_end(self, t: Vector) -> Vector:
        """(...) the angle closest to t where the correlation is at an end of its range."""
        quarter = np.pi / (2.0 * self.rate)
        return np.round(t / quarter) * quarter
