r"""Compound symmetry: any two columns have the same correlation rho.

The correlation matrix R = (1 - rho) I + rho 11' of k columns has the eigenvalue 1 + (k - 1) rho along 1 and 1 - rho
across, so rho lies between -1 / (k - 1) and 1. With P = 11'/k its symmetric root is

    R^(1/2) = a P + b (I - P),    a^2 = 1 + (k - 1) rho,    b^2 = 1 - rho,    a^2 + (k - 1) b^2 = k,

and the circle is run through by an angle t: a = sqrt(k) cos t, b = sqrt(k / (k - 1)) sin t. rho is one at t = 0 and at
its lower end at t = pi / 2 (`mixedfx.covariance.correlations`, q = 1).

* **One standard deviation s** (``homcs``): T = s R^(1/2) = alpha P + beta (I - P) is linear in alpha = s a, beta = s b,
  and the ends of rho's range are the zeros of alpha and beta.
* **A standard deviation for each column** (``cs``): T = D R^(1/2).

Both ends lose no digits: a and b are lengths of what T has along 1 and across.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.covariance.angles import Polar
from mixedfx.covariance.components import Component, Family, Scaling
from mixedfx.covariance.correlations import Correlation
from mixedfx.covariance.sampled import OneAngle

Vector = NDArray[np.float64]


def mixture(a: Vector, b: Vector, k: int) -> Vector:
    """(..., k, k) a P + b (I - P) for a, b (...)."""
    a, b = np.asarray(a)[..., None, None], np.asarray(b)[..., None, None]
    return (a - b) / k * np.ones((k, k)) + b * np.eye(k)


def _along_and_across(unit: Vector) -> tuple[Vector, Vector]:
    """Squared lengths (...), (...) of what rows (..., k, m) have along 1, and in all across it."""
    k = unit.shape[-2]
    mean = unit.mean(axis=-2, keepdims=True)
    return k * (mean**2).sum(axis=(-1, -2)), ((unit - mean) ** 2).sum(axis=(-1, -2))


@dataclass(frozen=True)
class Equal(Correlation):
    """Any two of k columns have the correlation rho.

    Examples
    --------
    >>> from mixedfx.covariance.exchangeable import Equal
    >>> Equal(3).matrix(0.5)
    array([[1. , 0.5, 0.5],
           [0.5, 1. , 0.5],
           [0.5, 0.5, 1. ]])
    """

    rate: ClassVar[float] = 1.0
    manner: ClassVar[str] = "equally correlated"
    stan: ClassVar[str] = "exchangeable"

    @property
    def lowest(self) -> float:
        """-1 / (k - 1)."""
        return -1.0 / (self.k - 1)

    @property
    def component(self) -> Component:
        """Of any two."""
        return Component("cor", tuple(range(self.k)))

    def root(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) a P + b (I - P)."""
        return mixture(np.sqrt(self.k) * c, np.sqrt(self.k / (self.k - 1)) * s, self.k)

    def turned(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) the root a quarter turn on."""
        return self.root(-s, c)

    def bent(self, c: Vector, s: Vector) -> Vector:
        """(..., k, k) minus the root."""
        return -self.root(c, s)

    def of_rows(self, unit: Vector, some: NDArray[np.bool_]) -> Vector:
        """(...) angles of rows of length one."""
        k, m = self.k, some.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = unit.sum(axis=-2) / m[..., None]
            across = (np.where(some[..., None], unit - mean[..., None, :], 0.0) ** 2).sum(axis=(-1, -2))
            b2 = across / (m - 1)  # 1 - rho
            a2 = np.where(m == k, m * (mean**2).sum(axis=-1), k - (k - 1) * b2)
            t = np.arctan2(np.sqrt((k - 1) * b2), np.sqrt(np.clip(a2, 0.0, None)))
        return np.where(m > 1, t, self.angle(0.0))

    def matrix(self, rho: float) -> Vector:
        """(k, k) R."""
        return np.full((self.k, self.k), rho) + (1.0 - rho) * np.eye(self.k)

    def matrix_slope(self, rho: float) -> Vector:
        """(k, k) ones off the diagonal."""
        return 1.0 - np.eye(self.k)

    def shapes(self, eta: float) -> tuple[float, float]:
        """From |R| = (1 - rho)^(k - 1) (1 + (k - 1) rho): uniform for eta = 1, and for two columns LKJ itself."""
        return eta, (self.k - 1) * (eta - 1.0) + 1.0

    def cosines(self, y: Vector) -> tuple[Vector, Vector, Vector]:
        """(...) cosine and sine of t, and dt/dy = -cos t sin t: t = atan(e^-y)."""
        c, s = np.sqrt(special.expit(2.0 * y)), np.sqrt(special.expit(-2.0 * y))
        return c, s, -c * s


@dataclass(frozen=True)
class HomogeneousSymmetry(Family):
    """One standard deviation and one correlation; parameters alpha, beta.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.exchangeable import HomogeneousSymmetry
    >>> F = HomogeneousSymmetry(3).factor_at(np.array([2.0, -0.25]))
    >>> np.round(F @ F.T, 12)
    array([[ 4., -1., -1.],
           [-1.,  4., -1.],
           [-1., -1.,  4.]])
    """

    k: int
    name: ClassVar[str] = "homcs"
    scaling: ClassVar[Scaling] = "one unit"
    n_parameters: ClassVar[int] = 2
    entries: ClassVar[None] = None

    @property
    def stationary(self) -> NDArray[np.bool_]:
        """(2,) both."""
        return np.ones(2, dtype=bool)

    @property
    def components(self) -> tuple[Component, ...]:
        """The standard deviation and the correlation."""
        every = tuple(range(self.k))
        return Component("sd", every), Component("cor", every)

    @property
    def manner(self) -> str:
        """That of the correlations."""
        return Equal.manner

    @property
    def stan(self) -> str:
        """That of the correlations."""
        return Equal.stan

    @property
    def least_eta(self) -> float:
        """That of the correlations."""
        return Equal(self.k).least_eta

    @property
    def sampled(self) -> OneAngle:
        """The log standard deviation and y."""
        return OneAngle(Equal(self.k), True)

    def factor(self, par: Vector) -> Vector:
        """(..., k, k) alpha P + beta (I - P)."""
        return mixture(par[..., 0], par[..., 1], self.k)

    def parameters(self, T: Vector) -> Vector:
        """(..., 2) alpha, beta >= 0."""
        along, across = _along_and_across(T)
        return np.stack([np.sqrt(along), np.sqrt(across / (self.k - 1))], axis=-1)

    def directions(self, par: Vector) -> Vector:
        """(..., 2, k, k) P and I - P."""
        P = np.full((self.k, self.k), 1.0 / self.k)
        return np.broadcast_to(np.stack([P, np.eye(self.k) - P]), (*np.shape(par)[:-1], 2, self.k, self.k))

    def curvature(self, par: Vector) -> None:
        """None: `factor` is linear."""

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., 2) which are within `near` of zero."""
        return np.abs(par) <= near

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., 2) zero where within `near` of it."""
        return np.where(self.at_end(par, near), 0.0, par)

    def theta(self, T: Vector) -> Vector:
        """(..., 2) standard deviation and correlation."""
        along, across = _along_and_across(T)
        total = along + across
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = (along - across / (self.k - 1)) / total
        return np.stack([np.sqrt(total / self.k), np.where(total > 0, rho, 0.0)], axis=-1)

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at a standard deviation and a correlation."""
        sd, rho = np.asarray(theta)[..., 0], np.asarray(theta)[..., 1]
        a, b = np.clip(1.0 + (self.k - 1) * rho, 0.0, None), np.clip(1.0 - rho, 0.0, None)
        return mixture(sd * np.sqrt(a), sd * np.sqrt(b), self.k)

    def patterns(self, T: Vector) -> Vector:
        """(2, k, k) P and I - P: the covariance is alpha^2 P + beta^2 (I - P)."""
        return np.array(self.directions(np.zeros(2)))

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """The name of what all columns share, and ``cor``."""
        return shared, f"{shared}.cor"

    def held(self, component: Component) -> tuple[Polar, int, Correlation | None]:
        """A standard deviation and an angle."""
        return Polar(Equal(self.k), True, self.name).held(component)


def CompoundSymmetry(k: int) -> Polar:
    """A standard deviation for each column and one correlation.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.exchangeable import CompoundSymmetry
    >>> F = CompoundSymmetry(2).factor_at(np.array([1.0, 2.0, 0.5]))
    >>> np.round(F @ F.T, 12)
    array([[1., 1.],
           [1., 4.]])
    """
    return Polar(Equal(k), False, "cs")
