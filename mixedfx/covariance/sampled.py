r"""Coordinates without bounds in which the covariance of a structure is sampled: log standard deviations and y.

Each shape gives the factor F of a covariance F F' at (log s, y), takes the gradient of a function of F back to them,
and has the density of y that LKJ(eta) induces: that of the correlation matrix R proportional to |R|^(eta - 1).

* **Free** correlations: y are the transformed partial correlations of `mixedfx.covariance.unconstrained`.
* **Exchangeable** ones: with x = cos^2 t in (0, 1), t the angle of `mixedfx.covariance.exchangeable`,

      rho = lowest + x (1 - lowest),   1 + (k - 1) rho = k x,   1 - rho = k / (k - 1) (1 - x),   x = (1 + tanh y) / 2,

  so that |R|^(eta - 1) along the line of such R makes x ~ Beta(eta, (k - 1)(eta - 1) + 1): uniform for eta = 1, and for
  two columns the LKJ distribution itself.
* None: y is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.covariance.exchangeable import HomogeneousSymmetry, Polar, mixture
from mixedfx.covariance.structures import Structure
from mixedfx.covariance.unconstrained import (
    Layout,
    coordinates_of,
    correlation_factor,
    log_one_minus_square,
    partial_gradient,
)

Array = NDArray[np.float64]


class Sampled(Protocol):
    """What sampling asks of a covariance structure; D points at once.

    Attributes
    ----------
    k
        Number of columns.
    n_sds, n_correlations
        Numbers of log standard deviations and of y.
    """

    @property
    def k(self) -> int: ...  # noqa: D102
    @property
    def n_sds(self) -> int: ...  # noqa: D102
    @property
    def n_correlations(self) -> int: ...  # noqa: D102

    def factor(self, log_sd: Array, y: Array) -> Array:
        """(D, k, k) factors at (D, n_sds) and (D, n_correlations) coordinates."""
        ...

    def pull(self, log_sd: Array, y: Array, G: Array) -> tuple[Array, Array]:
        """Derivatives in log_sd and y of the sum of G * factor, G (D, k, k)."""
        ...

    def coordinates(self, F: Array) -> tuple[Array, Array]:
        """Coordinates of the covariances F F' (D, k, k); infinite where these are singular."""
        ...

    def log_lkj(self, y: Array, eta: float) -> Array:
        """(D,) log density of y under LKJ(eta)."""
        ...

    def lkj_score(self, y: Array, eta: float) -> Array:
        """(D, n_correlations) derivatives of `log_lkj`."""
        ...

    def draw_lkj(self, rng: np.random.Generator, n: int, eta: float) -> Array:
        """(n, n_correlations) draws of y."""
        ...


@dataclass(frozen=True)
class Free:
    """A standard deviation for each column, and any correlations."""

    k: int

    @property
    def n_sds(self) -> int:
        """One for each column."""
        return self.k

    @property
    def n_correlations(self) -> int:
        """One for each pair."""
        return self.k * (self.k - 1) // 2

    @cached_property
    def layout(self) -> Layout:
        """The partial correlations."""
        return Layout(self.k)

    def factor(self, log_sd: Array, y: Array) -> Array:
        """(D, k, k) diag(s) L."""
        return np.exp(log_sd)[:, :, None] * correlation_factor(y, self.k)

    def pull(self, log_sd: Array, y: Array, G: Array) -> tuple[Array, Array]:
        """Derivatives in log_sd and y of the sum of G * factor."""
        L, scale = correlation_factor(y, self.k), np.exp(log_sd)[:, :, None]
        of_factor = G * scale
        return (of_factor * L).sum(axis=2), partial_gradient(y, L, of_factor)

    def coordinates(self, F: Array) -> tuple[Array, Array]:
        """Coordinates of F F'."""
        return coordinates_of(F)

    def log_lkj(self, y: Array, eta: float) -> Array:
        """(D,) log density of y."""
        return log_one_minus_square(y) @ self.layout.beta_shapes(eta) - self.layout.log_lkj_constant(eta)

    def lkj_score(self, y: Array, eta: float) -> Array:
        """(D, n_correlations) derivatives of `log_lkj`."""
        return -2 * self.layout.beta_shapes(eta) * np.tanh(y)

    def draw_lkj(self, rng: np.random.Generator, n: int, eta: float) -> Array:
        """(n, n_correlations) draws of y."""
        a = self.layout.beta_shapes(eta)
        return np.arctanh(2 * rng.beta(a, a, (n, len(a))) - 1)


@dataclass(frozen=True)
class Independent:
    """Standard deviations of independent columns: one for each, or one for all."""

    k: int
    shared: bool = False

    @property
    def n_sds(self) -> int:
        """One for each column, or one."""
        return 1 if self.shared else self.k

    @property
    def n_correlations(self) -> int:
        """None."""
        return 0

    def factor(self, log_sd: Array, y: Array) -> Array:
        """(D, k, k) diagonal matrices."""
        return np.broadcast_to(np.exp(log_sd), (len(log_sd), self.k))[:, :, None] * np.eye(self.k)

    def pull(self, log_sd: Array, y: Array, G: Array) -> tuple[Array, Array]:
        """Derivatives in log_sd of the sum of G * factor."""
        each = np.einsum("daa->da", G) * np.exp(log_sd)
        return (each.sum(axis=1, keepdims=True) if self.shared else each), np.zeros((len(G), 0))

    def coordinates(self, F: Array) -> tuple[Array, Array]:
        """Log standard deviations; root mean square ones of all columns where they share one."""
        square = (F**2).sum(axis=2)
        with np.errstate(divide="ignore"):
            return 0.5 * np.log(square.mean(axis=1, keepdims=True) if self.shared else square), np.zeros((len(F), 0))

    def log_lkj(self, y: Array, eta: float) -> Array:
        """(D,) zeros."""
        return np.zeros(len(y))

    def lkj_score(self, y: Array, eta: float) -> Array:
        """(D, 0)."""
        return np.zeros(y.shape)

    def draw_lkj(self, rng: np.random.Generator, n: int, eta: float) -> Array:
        """(n, 0)."""
        return np.zeros((n, 0))


@dataclass(frozen=True)
class Exchangeable:
    """Standard deviations, one for each column or one for all, and one correlation of any two."""

    k: int
    shared: bool

    @property
    def n_sds(self) -> int:
        """One for each column, or one."""
        return 1 if self.shared else self.k

    @property
    def n_correlations(self) -> int:
        """One."""
        return 1

    def _roots(self, y: Array) -> tuple[Array, Array, Array]:
        """(D,) a and b of the symmetric root of R, and x."""
        x = special.expit(2 * y[:, 0])
        return np.sqrt(self.k * x), np.sqrt(self.k / (self.k - 1) * special.expit(-2 * y[:, 0])), x

    def factor(self, log_sd: Array, y: Array) -> Array:
        """(D, k, k) diag(s) R^(1/2)."""
        a, b, _ = self._roots(y)
        return np.broadcast_to(np.exp(log_sd), (len(log_sd), self.k))[:, :, None] * mixture(a, b, self.k)

    def pull(self, log_sd: Array, y: Array, G: Array) -> tuple[Array, Array]:
        """Derivatives in log_sd and y of the sum of G * factor: da/dy = a (1 - x), db/dy = -b x."""
        a, b, x = self._roots(y)
        of_root = G * np.exp(log_sd)[:, :, None]
        each = (of_root * mixture(a, b, self.k)).sum(axis=2)
        of_y = (of_root * mixture(a * (1 - x), -b * x, self.k)).sum(axis=(1, 2))
        return (each.sum(axis=1, keepdims=True) if self.shared else each), of_y[:, None]

    def coordinates(self, F: Array) -> tuple[Array, Array]:
        """Coordinates of F F'; y = -log tan t."""
        par = Polar(self.k, self.shared, tuple(range(self.n_sds))).parameters(F)
        with np.errstate(divide="ignore"):
            return np.log(par[:, :-1]), -np.log(np.tan(par[:, -1:]))

    def _shapes(self, eta: float) -> tuple[float, float]:
        return eta, (self.k - 1) * (eta - 1.0) + 1.0

    def log_lkj(self, y: Array, eta: float) -> Array:
        """(D,) log density of y, dx/dy = 2 x (1 - x)."""
        p, q = self._shapes(eta)
        both = p * special.log_expit(2 * y[:, 0]) + q * special.log_expit(-2 * y[:, 0])
        return both + np.log(2) - float(special.betaln(p, q))

    def lkj_score(self, y: Array, eta: float) -> Array:
        """(D, 1) derivatives of `log_lkj`."""
        p, q = self._shapes(eta)
        x = special.expit(2 * y)
        return 2 * (p * (1 - x) - q * x)

    def draw_lkj(self, rng: np.random.Generator, n: int, eta: float) -> Array:
        """(n, 1) draws of y."""
        x = rng.beta(*self._shapes(eta), (n, 1))
        return 0.5 * (np.log(x) - np.log1p(-x))


def sampled(structure: Structure) -> Sampled:
    """The coordinates of a structure.

    Examples
    --------
    >>> from mixedfx.covariance.sampled import sampled
    >>> from mixedfx.covariance.structures import structure_for
    >>> sampled(structure_for(3, "cs"))
    Exchangeable(k=3, shared=False)
    """
    if isinstance(structure, HomogeneousSymmetry | Polar):
        return Exchangeable(structure.k, structure.name == "homcs")
    if structure.name == "us" and structure.k > 1:
        return Free(structure.k)
    return Independent(structure.k, structure.name == "id")
