"""Covariance structures of one random term: parameters par -> relative covariance factor T.

The effects of one level of a term with k columns have covariance sigma^2 T T', T lower triangular (Bates et al. 2015,
equation 4, where Lambda is block diagonal with T repeated for each level). A structure is a map par -> T together
with its first derivatives, the directions dT / d par. Both structures here are linear in par, so the directions are
constant and the parameters *are* entries of T: the column-major lower triangle (lme4's theta) or the diagonal.

T is not constrained: a negative diagonal entry describes the same covariance as its positive twin, so an optimiser may
cross zero freely; `canonical` returns the twin with a non-negative diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Unconstrained:
    """Any positive semidefinite covariance: k (k + 1) / 2 parameters, the lower triangle of T by columns."""

    k: int
    name = "unconstrained"

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column in T of each parameter."""
        cols, rows = np.triu_indices(self.k)
        return rows, cols

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.k * (self.k + 1) // 2

    def canonical(self, T: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k, k) lower-triangular factor of the same covariance with a non-negative diagonal.

        From the QR decomposition T' = Q R, since then T T' = R' R. Where a pivot is zero the factor is not unique, and
        the semidefinite Cholesky factor is taken, whose column is zero wherever its pivot is.
        """
        R = cast("NDArray[np.float64]", np.linalg.qr(T.T, mode="r"))
        L = (R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]).T
        null = np.abs(np.diag(L)) <= 1e-12 * np.abs(L).max(initial=0.0)
        if null[:-1].any():
            return _semidefinite_cholesky(L @ L.T)
        L[null, null] = 0.0
        return L


@dataclass(frozen=True)
class Diagonal:
    """Independent columns: k parameters, the diagonal of T."""

    k: int
    name = "diagonal"

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column in T of each parameter."""
        return np.arange(self.k), np.arange(self.k)

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self.k

    def canonical(self, T: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k, k) the same factor with a non-negative diagonal."""
        return np.abs(T)


def _semidefinite_cholesky(A: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k) lower factor of a semidefinite matrix; a pivot that is zero to rounding leaves its column zero."""
    k = A.shape[0]
    L = np.zeros_like(A)
    for j in range(k):
        pivot = A[j, j] - L[j, :j] @ L[j, :j]
        if pivot > 1e-12 * A[j, j]:
            L[j:, j] = (A[j:, j] - L[j:, :j] @ L[j, :j]) / np.sqrt(pivot)
    return L


Structure = Unconstrained | Diagonal

STRUCTURES: dict[str, type[Unconstrained] | type[Diagonal]] = {"unconstrained": Unconstrained, "diagonal": Diagonal}


def structure_for(k: int, correlated: bool) -> Structure:
    """The structure of a term with k columns written with ``|`` (correlated) or ``||``."""
    return Unconstrained(k) if correlated else Diagonal(k)


def factor(structure: Structure, par: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k) relative covariance factor T at `par` (n_parameters,).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.structures import Unconstrained, factor
    >>> factor(Unconstrained(2), np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    """
    T = np.zeros((structure.k, structure.k))
    T[structure.entries] = par
    return T


def parameters(structure: Structure, T: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_parameters,) the parameters whose factor is T; the inverse of `factor`."""
    return np.asarray(T[structure.entries], dtype=np.float64)
