"""Structures whose parameters are entries of a triangle: unstructured, diagonal, and one variance for all columns.

T is not constrained: a negative diagonal entry describes the same covariance as its positive twin, so an optimiser may
cross zero freely; `parameters` gives those of the twin with a non-negative diagonal.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Component, Family, Scaling, own_sds
from mixedfx.covariance.sampled import Free, Independent

Vector = NDArray[np.float64]

NULL = 1e-12  # share of a row of T that the rows above leave, below which its pivot is zero


@lru_cache(maxsize=64)  # each fit has structures of its own, and small fits would find the same places again
def _lower_triangle(k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the lower triangle, by columns; not to be written to."""
    columns, rows = np.triu_indices(k)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


@dataclass(frozen=True)
class _Entries(Family):
    """Parameters that are entries of T, the others being zero."""

    k: int

    @abstractmethod
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column in T of each parameter."""

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column in T of each parameter."""
        return self._places()

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return len(self.entries[0])

    @cached_property
    def stationary(self) -> NDArray[np.bool_]:
        """(r,) the diagonal."""
        rows, columns = self.entries
        return np.asarray(rows == columns)

    def factor(self, par: Vector) -> Vector:
        """(..., k, k) factors T at parameters (..., r)."""
        T = np.zeros((*np.shape(par)[:-1], self.k, self.k))
        T[..., self.entries[0], self.entries[1]] = par
        return T

    @cached_property
    def _directions(self) -> Vector:
        return self.factor(np.eye(self.n_parameters))

    def directions(self, par: Vector) -> Vector:
        """(..., r, k, k) first derivatives of `factor`: the same everywhere."""
        return np.broadcast_to(self._directions, (*np.shape(par)[:-1], *self._directions.shape))

    def curvature(self, par: Vector) -> None:
        """None: `factor` is linear."""

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., r) which parameters of the diagonal are within `near` of zero."""
        return self.stationary & (np.abs(par) <= near)

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., r) parameters with those `at_end` put at zero."""
        return np.where(self.at_end(par, near), 0.0, par)

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at theta: theta are the parameters."""
        return self.factor(theta)

    def patterns(self, T: Vector) -> Vector:
        """(m, k, k) ones at each variance and covariance."""
        E = self._directions
        return np.asarray(np.maximum(E, E.transpose(0, 2, 1)))

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """``x`` on the diagonal, ``x.Intercept`` for row x, column Intercept below it."""
        return tuple(columns[b] if a == b else f"{columns[a]}.{columns[b]}" for a, b in zip(*self.entries, strict=True))


@dataclass(frozen=True)
class Unstructured(_Entries):
    """Any positive semidefinite covariance: k (k + 1) / 2 parameters, the lower triangle of T by columns.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.triangular import Unstructured
    >>> Unstructured(2).factor(np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    """

    name: ClassVar[str] = "us"
    scaling: ClassVar[Scaling] = "triangles"

    @property
    def free(self) -> bool:
        """True."""
        return True

    @property
    def manner(self) -> str:
        """Any correlations."""
        return "correlated"

    @property
    def stan(self) -> str:
        """A factor of any correlation matrix."""
        return "correlations"

    @property
    def sampled(self) -> Free | Independent:
        """Log standard deviations and partial correlations."""
        return Free(self.k) if self.k > 1 else Independent(1)

    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return _lower_triangle(self.k)

    @property
    def components(self) -> tuple[Component, ...]:
        """Each standard deviation with the correlations of the columns behind it."""
        out = []
        for i in range(self.k):
            out += [Component("sd", (i,)), *(Component("cor", (i, j)) for j in range(i + 1, self.k))]
        return tuple(out)

    def parameters(self, T: Vector) -> Vector:
        """(..., r) the lower-triangular factor of T T' with a non-negative diagonal, by columns."""
        return self._taken(self.canonical(T))

    theta = parameters

    def _taken(self, L: Vector) -> Vector:
        return np.asarray(L[..., self.entries[0], self.entries[1]], dtype=np.float64)

    def canonical(self, T: Vector) -> Vector:
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

    def held(self, component: Component) -> Any:
        """None: a frame of the problem makes a component a parameter (`mixedfx.inference.term_charts`)."""
        raise TypeError("an unstructured term is turned by a frame")


@dataclass(frozen=True)
class Diagonal(_Entries):
    """Independent columns: k parameters, the diagonal of T."""

    name: ClassVar[str] = "diag"
    scaling: ClassVar[Scaling] = "units"

    @property
    def sampled(self) -> Independent:
        """Log standard deviations."""
        return Independent(self.k)

    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.arange(self.k), np.arange(self.k)

    @property
    def components(self) -> tuple[Component, ...]:
        """A standard deviation for each column."""
        return own_sds(self.k)

    def parameters(self, T: Vector) -> Vector:
        """(..., k) lengths of the rows of T."""
        return np.sqrt((T**2).sum(axis=-1)) if self.k > 1 else np.abs(T[..., 0])

    theta = parameters

    def held(self, component: Component) -> tuple[Diagonal, int, None]:
        """Standard deviations are the parameters."""
        return self, component.columns[0], None


@dataclass(frozen=True)
class Identity(Family):
    """Independent columns with one variance: T = s I.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.covariance.triangular import Identity
    >>> Identity(2).factor(np.array([3.0]))
    array([[3., 0.],
           [0., 3.]])
    """

    k: int
    name: ClassVar[str] = "id"
    scaling: ClassVar[Scaling] = "one unit"
    n_parameters: ClassVar[int] = 1
    entries: ClassVar[None] = None

    @property
    def sampled(self) -> Independent:
        """The log standard deviation."""
        return Independent(self.k, shared=True)

    @property
    def stationary(self) -> NDArray[np.bool_]:
        """(1,) s."""
        return np.ones(1, dtype=bool)

    @property
    def components(self) -> tuple[Component, ...]:
        """The one standard deviation."""
        return (Component("sd", tuple(range(self.k))),)

    def factor(self, par: Vector) -> Vector:
        """(..., k, k) factors T at parameters (..., 1)."""
        return np.asarray(par)[..., None] * np.eye(self.k)

    def parameters(self, T: Vector) -> Vector:
        """(..., 1) root mean square length of the rows of T."""
        return np.sqrt((T**2).sum(axis=(-1, -2)) / self.k)[..., None]

    theta = parameters

    def factor_at(self, theta: Vector) -> Vector:
        """(..., k, k) factors at theta: theta are the parameters."""
        return self.factor(theta)

    def directions(self, par: Vector) -> Vector:
        """(..., 1, k, k) identity matrices."""
        return np.broadcast_to(np.eye(self.k)[None], (*np.shape(par), self.k, self.k))

    def curvature(self, par: Vector) -> None:
        """None: `factor` is linear."""

    def at_end(self, par: Vector, near: float) -> NDArray[np.bool_]:
        """(..., 1) whether s is within `near` of zero."""
        return np.abs(par) <= near

    def snapped(self, par: Vector, near: float) -> Vector:
        """(..., 1) zero where within `near` of it."""
        return np.where(self.at_end(par, near), 0.0, par)

    def patterns(self, T: Vector) -> Vector:
        """(1, k, k) the identity."""
        return np.eye(self.k)[None]

    def theta_labels(self, columns: tuple[str, ...], shared: str) -> tuple[str, ...]:
        """The name of what all columns share."""
        return (shared,)

    def held(self, component: Component) -> tuple[Identity, int, None]:
        """The standard deviation is the parameter."""
        return self, 0, None


def _semidefinite_factor(T: Vector) -> Vector:
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
