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

import numpy as np
from numpy.typing import NDArray

NULL = 1e-12  # share of a row of T that the rows above leave, below which its pivot is zero


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
        """(..., k, k) lower-triangular factors of the same covariances with a non-negative diagonal.

        From the QR decomposition T' = Q R, since then T T' = R' R: no product of T with itself is formed, so that a
        column whose scale, or whose location, is far from the others' keeps its digits. A pivot is zero where the
        columns before leave less than `NULL` of its row; the factor is not unique then, and that of the semidefinite
        Cholesky decomposition is taken, whose column is zero wherever its pivot is.
        """
        if self.k == 1:
            return np.abs(T)
        R = np.asarray(np.linalg.qr(np.swapaxes(T, -1, -2), mode="r"))
        pivot = np.diagonal(R, axis1=-2, axis2=-1)
        L = np.swapaxes(R * np.where(pivot < 0, -1.0, 1.0)[..., None], -1, -2)
        null = np.abs(pivot) <= NULL * np.sqrt((T**2).sum(axis=-1))
        if null.any():
            L = L.copy()
            for at in np.ndindex(null.shape[:-1]):
                if null[at][:-1].any():
                    L[at] = _semidefinite_factor(T[at])
                elif null[at][-1]:
                    L[at][-1, -1] = 0.0
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
        """(..., k, k) the same factors with non-negative diagonals."""
        return np.abs(T)


def _semidefinite_factor(T: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k) lower factor of T T' of deficient rank: a row that those above span leaves its column zero."""
    k = T.shape[0]
    L, Q = np.zeros((k, k)), np.zeros((T.shape[1], k))
    for j in range(k):
        rest = T[j]
        for _ in range(2):  # twice is enough for orthogonality to machine precision
            share = Q.T @ rest
            L[j] += share
            rest = rest - Q @ share
        left = np.linalg.norm(rest)
        if left > NULL * np.linalg.norm(T[j]):
            L[j, j] = left
            Q[:, j] = rest / left
    return L


Structure = Unconstrained | Diagonal

STRUCTURES: dict[str, type[Unconstrained] | type[Diagonal]] = {"unconstrained": Unconstrained, "diagonal": Diagonal}


def structure_for(k: int, correlated: bool) -> Structure:
    """The structure of a term with k columns written with ``|`` (correlated) or ``||``."""
    return Unconstrained(k) if correlated else Diagonal(k)


def factor(structure: Structure, par: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., k, k) relative covariance factors T at `par` (..., n_parameters).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.structures import Unconstrained, factor
    >>> factor(Unconstrained(2), np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    """
    T = np.zeros((*np.shape(par)[:-1], structure.k, structure.k))
    rows, columns = structure.entries
    T[..., rows, columns] = par
    return T


def parameters(structure: Structure, T: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., n_parameters) the parameters whose factor is T; the inverse of `factor`."""
    rows, columns = structure.entries
    return np.asarray(T[..., rows, columns], dtype=np.float64)
