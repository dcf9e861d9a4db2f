r"""Coordinates without bounds in which the covariance of a structure is sampled: log standard deviations and y.

Each shape gives the factor F of a covariance F F' at (log s, y), takes the gradient of a function of F back to them,
and has the density of y that LKJ(eta) induces: that of the correlation matrix R proportional to |R|^(eta - 1).

* **Free** correlations: y are the transformed partial correlations of `mixedfx.covariance.unconstrained`.
* **One** correlation: x = (1 + tanh y) / 2 is its place in its range, and what LKJ(eta) makes of it a beta distribution
  (`mixedfx.covariance.correlations`).
* None: y is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.covariance.correlations import Correlation
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
class OneAngle:
    """Standard deviations, one for each column or one for all, and one correlation that is an angle."""

    correlation: Correlation
    shared: bool

    @property
    def k(self) -> int:
        """Number of columns."""
        return self.correlation.k

    @property
    def n_sds(self) -> int:
        """One for each column, or one."""
        return 1 if self.shared else self.k

    @property
    def n_correlations(self) -> int:
        """One."""
        return 1

    def factor(self, log_sd: Array, y: Array) -> Array:
        """(D, k, k) diag(s) U."""
        c, s, _ = self.correlation.cosines(y[:, 0])
        return np.broadcast_to(np.exp(log_sd), (len(log_sd), self.k))[:, :, None] * self.correlation.root(c, s)

    def pull(self, log_sd: Array, y: Array, G: Array) -> tuple[Array, Array]:
        """Derivatives in log_sd and y of the sum of G * factor."""
        c, s, slope = self.correlation.cosines(y[:, 0])
        of_root = G * np.exp(log_sd)[:, :, None]
        each = (of_root * self.correlation.root(c, s)).sum(axis=2)
        of_y = slope * (of_root * self.correlation.turned(c, s)).sum(axis=(1, 2))
        return (each.sum(axis=1, keepdims=True) if self.shared else each), of_y[:, None]

    def coordinates(self, F: Array) -> tuple[Array, Array]:
        """Coordinates of F F'."""
        length = np.sqrt((F**2).sum(axis=2))
        some = length > 0
        t = self.correlation.of_rows(F / np.where(some, length, 1.0)[:, :, None], some)
        sds = np.sqrt((length**2).mean(axis=1, keepdims=True)) if self.shared else length
        with np.errstate(divide="ignore"):
            return np.log(sds), self.correlation.unconstrained(t)[:, None]

    def log_lkj(self, y: Array, eta: float) -> Array:
        """(D,) log density of y, dx/dy = 2 x (1 - x)."""
        p, q = self.correlation.shapes(eta)
        both = p * special.log_expit(2 * y[:, 0]) + q * special.log_expit(-2 * y[:, 0])
        return both + np.log(2) - float(special.betaln(p, q))

    def lkj_score(self, y: Array, eta: float) -> Array:
        """(D, 1) derivatives of `log_lkj`."""
        p, q = self.correlation.shapes(eta)
        x = special.expit(2 * y)
        return 2 * (p * (1 - x) - q * x)

    def draw_lkj(self, rng: np.random.Generator, n: int, eta: float) -> Array:
        """(n, 1) draws of y."""
        x = rng.beta(*self.correlation.shapes(eta), (n, 1))
        return 0.5 * (np.log(x) - np.log1p(-x))
