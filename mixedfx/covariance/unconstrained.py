r"""A covariance matrix on an unconstrained scale: log standard deviations and transformed partial correlations.

    Sigma = D R D,   D = diag(s),   R = L L',   coordinates (log s_i, y_ij), z_ij = tanh(y_ij), j < i,

z_ij being the partial correlation of columns i and j given columns 0 to j - 1. The Cholesky factor of R is

    L_ij = z_ij prod_{l<j} (1 - z_il^2)^(1/2),    L_ii = prod_{l<i} (1 - z_il^2)^(1/2).

**Volume.** d Sigma has the volume 2^k prod s_i^(k+1) times that of d (log s, R), and R that of the z's times prod (1 -
z_ij^2)^((k-2-j)/2) (Joe 2006, Journal of Multivariate Analysis 97:2177). With dz/dy = 1 - z^2

    log |d Sigma / d (log s, y)| = k log 2 + (k + 1) sum log s_i + sum_ij (k - j)/2 log(1 - z_ij^2).

**Another basis.** Let effects u have the coordinates v = A u in another basis. Then Sigma_v = A Sigma_u A', a map of
volume |A|^(k+1) between symmetric matrices, and its factor is A F if F is one of Sigma_u. A density of Sigma_v that is
stated through its standard deviations and LKJ(eta) needs nothing else of Sigma_v: since sum log(1 - z^2) = log |R| =
log |Sigma_v| - 2 sum log s_i, its log density in (log s, y) of Sigma_u is

    sum_i (log p(s_i) + log s_i) + (eta - 1) log |R_v| - log constant(eta) - k log 2 - (k + 1) sum log s_i
      + (k + 1) log |A| + log |d Sigma_u / d (log s_u, y_u)|,    log |R_v| = log |Sigma_u| + 2 log |A| - 2 sum log s_i.

Determinants are sums of logarithms of the coordinates, so 1 - rho^2 never is a difference of numbers close to one
another, however near A brings the correlations to one: a shift of a covariate by a million standard deviations leaves
them 1e-12 from minus one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

STEEPEST = 350.0  # of y, beyond which cosh overflows
LOOP_LIMIT = 3  # columns up to which a loop over the entries is faster than whole matrices


def correlation_factor(y: Array, k: int) -> Array:
    """(D, k, k) Cholesky factors of correlation matrices from transformed partial correlations (D, k (k - 1) / 2).

    An empty `y` gives the identity.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.unconstrained import correlation_factor
    >>> L = correlation_factor(np.arctanh([[0.6]]), 2)[0]
    >>> np.round(L @ L.T, 12)
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    if k > LOOP_LIMIT and y.shape[1]:
        Y = _placed(y, k)
        L = np.tanh(Y)
        L[:, np.arange(k), np.arange(k)] = 1.0
        return L * _left(Y)
    L = np.zeros((len(y), k, k))
    L[:, np.arange(k), np.arange(k)] = 1.0
    if y.shape[1] == 0:
        return L
    at = 0
    for i in range(1, k):
        left = np.ones(len(y))
        for j in range(i):
            L[:, i, j] = np.tanh(y[:, at]) * left
            left = left / np.cosh(np.clip(y[:, at], -STEEPEST, STEEPEST))
            at += 1
        L[:, i, i] = left
    return L


def partial_gradient(y: Array, L: Array, G: Array) -> Array:
    """(D, k (k - 1) / 2) derivatives in y of the sum of G * L, G and L (D, k, k)."""
    k = L.shape[1]
    if k > LOOP_LIMIT:
        Y = _placed(y, k)
        z, products = np.tanh(Y), np.tril(G * L)
        after = np.cumsum(products[:, :, ::-1], axis=2)[:, :, ::-1] - products
        rows, columns = _below(k)
        return (G * (1 - z**2) * _left(Y) - z * after)[:, rows, columns]
    out = np.empty(y.shape)
    at = 0
    for i in range(1, k):
        left = np.ones(len(y))
        for j in range(i):
            z = np.tanh(y[:, at])
            after = np.einsum("dj,dj->d", G[:, i, j + 1 : i + 1], L[:, i, j + 1 : i + 1])
            out[:, at] = G[:, i, j] * (1 - z**2) * left - z * after
            left = left / np.cosh(np.clip(y[:, at], -STEEPEST, STEEPEST))
            at += 1
    return out


@lru_cache(maxsize=64)
def _below(k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the entries below the diagonal, row by row."""
    return np.tril_indices(k, -1)


def _placed(y: Array, k: int) -> Array:
    """(D, k, k) matrices with y below the diagonal, row by row."""
    out = np.zeros((len(y), k, k))
    rows, columns = _below(k)
    out[:, rows, columns] = y
    return out


def _left(Y: Array) -> Array:
    """(D, k, k) products of 1 / cosh over the entries of the row before each one."""
    out = np.ones(Y.shape)
    np.cumprod(1.0 / np.cosh(np.clip(Y[:, :, :-1], -STEEPEST, STEEPEST)), axis=2, out=out[:, :, 1:])
    return out


def coordinates_of(F: Array) -> tuple[Array, Array]:
    """(D, k) log standard deviations and (D, k (k - 1) / 2) transformed partial correlations of F F', F (D, k, k).

    From F = L Q with L lower triangular: z_ij is L_ij over the norm of what row i has left from column j on, so that
    y_ij = asinh(L_ij / |rest of the row|), and nothing cancels. Infinite where F is singular.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.unconstrained import coordinates_of
    >>> log_sd, y = coordinates_of(np.array([[[2.0, 0.0], [3.0, 4.0]]]))
    >>> np.exp(log_sd[0]), np.tanh(y[0])
    (array([2., 5.]), array([0.6]))
    """
    k = F.shape[1]
    size = np.sqrt((F**2).sum(axis=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        R = np.asarray(np.linalg.qr((F / np.where(size > 0, size, 1.0)[:, :, None]).transpose(0, 2, 1), mode="r"))
        L = (R * np.where(np.diagonal(R, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, :, None]).transpose(0, 2, 1)
        columns = []
        for i in range(1, k):
            # norms of the row's entries after column j, summed from the right: the smallest come first
            rest = np.sqrt(np.cumsum(L[:, i, i:0:-1] ** 2, axis=1))[:, ::-1]
            at = L[:, i, :i]
            columns.append(np.where((at == 0) & (rest == 0), 0.0, np.arcsinh(at / rest)))
        y = np.concatenate(columns, axis=1) if columns else np.zeros((len(F), 0))
        return np.log(size), y


def log_one_minus_square(y: Array) -> Array:
    """log(1 - tanh(y)^2) without cancellation."""
    size = np.abs(y)
    return 2 * (np.log(2) - size - np.log1p(np.exp(-2 * size)))


@dataclass(frozen=True)
class Layout:
    """Which columns the partial correlations of a matrix of `k` columns belong to, and what follows from that."""

    k: int

    @cached_property
    def column(self) -> NDArray[np.intp]:
        """(k (k - 1) / 2,) column j of each partial correlation z_ij, row by row of the lower triangle."""
        return np.array([j for i in range(1, self.k) for j in range(i)], dtype=np.intp)

    @cached_property
    def powers(self) -> Array:
        """(k (k - 1) / 2,) power of 1 - z_ij^2 in the volume of (log s, y)."""
        return (self.k - self.column) / 2

    def beta_shapes(self, eta: float) -> Array:
        """(k (k - 1) / 2,) shapes a with (z_ij + 1) / 2 ~ Beta(a, a) under LKJ(eta) (Lewandowski et al. 2009)."""
        return eta - 1 + self.powers

    def log_lkj_constant(self, eta: float) -> float:
        """Log of the integral of |R|^(eta - 1) over the correlation matrices."""
        a = self.beta_shapes(eta)
        return float(np.sum(special.betaln(a, a) + (2 * a - 1) * np.log(2)))

    def log_volume(self, log_sd: Array, log_left: Array) -> Array:
        """(D,) log |d Sigma / d (log s, y)| at (D, k) log s and (D, k (k - 1) / 2) log(1 - z^2)."""
        return self.k * np.log(2) + (self.k + 1) * log_sd.sum(axis=1) + log_left @ self.powers
