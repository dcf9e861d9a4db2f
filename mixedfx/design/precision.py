r"""What is known of the rows' residuals: e ~ N(0, sigma^2 V), V the identity, a diagonal, or blocks.

Precision weights w say V = diag(1 / w); known sampling errors s say V = diag(s^2), and sigma is one unless it is
estimated beside them; estimates that share people, a control group or an instrument have errors that are correlated in
known blocks of V, as multivariate meta-analysis has them (Becker 2000, Handbook of Applied Multivariate Statistics, ch.
17). With V = L L' and R = L^{-1}, rows multiplied by R have independent errors of variance sigma^2, and

    x' V^{-1} y = (R x)'(R y),      log|V^{-1}| = 2 log|R|,      e = sigma L z,   z standard normal.

Everything that is done to rows, whether they are fitted, simulated, predicted or resampled, is done by these verbs, so
that it is right for every kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from mixedfx.design.alignment import per_row
from mixedfx.design.grouping import rows_of
from mixedfx.errors import DataError, OptionError, some_rows
from mixedfx.linalg import triangular
from mixedfx.linalg.shape import shape_of

Vector = NDArray[np.float64]
Rows = TypeVar("Rows", Vector, sparse.csr_array)

SYMMETRIC = 1e-8  # largest difference of V and V', relative to its largest entry, that is rounding
SMALLEST = 1e-10  # eigenvalue of the correlations of a block below which V is singular


@dataclass(frozen=True, eq=False)
class Independent:
    """Rows whose residuals are independent, of variance sigma^2 / w.

    Attributes
    ----------
    n
        Number of rows.
    weights
        (n,) positive w, or None where all are one.
    """

    n: int
    weights: Vector | None = None

    @cached_property
    def roots(self) -> Vector | None:
        """(n,) sqrt(w); None where all are one."""
        return None if self.weights is None else np.sqrt(self.weights)

    @property
    def log_determinant(self) -> float:
        """Log determinant of V^{-1}."""
        return 0.0 if self.weights is None else float(np.log(self.weights).sum())

    @property
    def variances(self) -> Vector:
        """(n,) diagonal of V."""
        return np.ones(self.n) if self.weights is None else 1.0 / self.weights

    @property
    def inverse_trace(self) -> float:
        """Trace of V^{-1}."""
        return float(self.n) if self.weights is None else float(self.weights.sum())

    def whiten(self, rows: Rows) -> Rows:
        """(n, ...) R times rows: errors of unit variance."""
        if self.roots is None:
            return rows
        if isinstance(rows, sparse.csr_array):
            return cast(Rows, sparse.csr_array(sparse.diags_array(self.roots) @ rows))
        return cast(Rows, _each_row(self.roots, rows) * rows)

    def unwhiten(self, rows: Vector) -> Vector:
        """(n, ...) R' times rows: x' R'(R y) is x' V^{-1} y."""
        return self.whiten(rows)

    def color(self, rows: Vector) -> Vector:
        """(n, ...) L times rows: what turns standard normal numbers into errors."""
        return rows if self.roots is None else rows / _each_row(self.roots, rows)

    def covariance(self, rows: NDArray[np.intp]) -> Vector:
        """(m, m) block of V."""
        return np.diag(self.variances[rows])

    def part(self, rows: slice) -> Independent:
        """The same of rows that follow each other; their weights are no copy."""
        n = len(range(*rows.indices(self.n)))
        return Independent(n, None if self.weights is None else self.weights[rows])

    def take(self, rows: NDArray[np.intp]) -> Independent:
        """The same of some rows, repeats allowed."""
        return Independent(len(rows), None if self.weights is None else self.weights[rows])

    def within(self, codes: NDArray[np.intp]) -> bool:
        """Whether rows with correlated errors always share their level, (n,) codes."""
        return True

    def log_determinants(self, codes: NDArray[np.intp], levels: int) -> Vector:
        """(levels,) shares of the levels in the log determinant of V^{-1}."""
        if self.weights is None:
            return np.zeros(levels)
        return np.asarray(np.bincount(codes, np.log(self.weights), levels), dtype=np.float64)


def _each_row(numbers: Vector, rows: Vector) -> Vector:
    """(n,) numbers in the shape that multiplies the rows of (n, ...) one by one."""
    return numbers.reshape(-1, *(1 for _ in rows.shape[1:]))


@dataclass(frozen=True, eq=False)
class Correlated:
    """Rows whose residuals have the covariance sigma^2 V, V known.

    Attributes
    ----------
    V
        (n, n) sparse, symmetric positive definite; rows that it connects are a block.
    """

    V: sparse.csr_array

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """(n,) number of the block of each row."""
        return csgraph.connected_components(self.V, directed=False)[1].astype(np.intp)

    @cached_property
    def _factors(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Sparse L and R = L^{-1}, block by block."""
        entries: list[tuple[Vector, Vector, NDArray[np.intp]]] = []
        for rows in rows_of(self.blocks):
            L = np.asarray(np.linalg.cholesky(self.covariance(rows)), dtype=np.float64)
            entries.append((L, triangular.solve(L, np.eye(len(rows)), lower=True), rows))
        at = [np.tril_indices(len(rows)) for *_, rows in entries]
        i = np.concatenate([rows[a] for (*_, rows), (a, _) in zip(entries, at, strict=True)])
        j = np.concatenate([rows[b] for (*_, rows), (_, b) in zip(entries, at, strict=True)])
        made = (np.concatenate([one[k][where] for one, where in zip(entries, at, strict=True)]) for k in (0, 1))
        L, R = (sparse.csr_array((values, (i, j)), shape=(len(self.blocks), len(self.blocks))) for values in made)
        return L, R

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.blocks)

    @property
    def log_determinant(self) -> float:
        """Log determinant of V^{-1}."""
        return 2.0 * float(np.log(self._factors[1].diagonal()).sum())

    @property
    def variances(self) -> Vector:
        """(n,) diagonal of V."""
        return np.asarray(self.V.diagonal(), dtype=np.float64)

    @property
    def inverse_trace(self) -> float:
        """Trace of V^{-1}: the sum of the squares of R."""
        return float(np.sum(self._factors[1].data ** 2))

    def whiten(self, rows: Rows) -> Rows:
        """(n, ...) R times rows: independent errors of unit variance."""
        found = self._factors[1] @ rows
        return cast(Rows, sparse.csr_array(found) if sparse.issparse(found) else np.asarray(found))

    def unwhiten(self, rows: Vector) -> Vector:
        """(n, ...) R' times rows: x' R'(R y) is x' V^{-1} y."""
        return np.asarray(self._factors[1].T @ rows)

    def color(self, rows: Vector) -> Vector:
        """(n, ...) L times rows: what turns standard normal numbers into errors."""
        return np.asarray(self._factors[0] @ rows)

    def covariance(self, rows: NDArray[np.intp]) -> Vector:
        """(m, m) block of V."""
        return self.V[rows][:, rows].toarray()

    def take(self, rows: NDArray[np.intp]) -> Correlated:
        """The same of some rows; a row that is drawn again is a new one, correlated with none of its other copies.

        Rows drawn in whole blocks, one after the other, stay correlated within each copy of the block.
        """
        n = len(rows)
        # the copy of a row: how often it came before
        order = np.argsort(rows, kind="stable")
        first = np.concatenate([[True], rows[order][1:] != rows[order][:-1]])
        begin = np.maximum.accumulate(np.where(first, np.arange(n), 0))
        copy = np.empty(n, dtype=np.intp)
        copy[order] = np.arange(n) - begin
        V = sparse.coo_array(self.V[rows][:, rows])
        i, j = V.coords
        same = copy[i] == copy[j]
        return Correlated(sparse.csr_array((V.data[same], (i[same], j[same])), shape=(n, n)))

    def within(self, codes: NDArray[np.intp]) -> bool:
        """Whether rows with correlated errors always share their level, (n,) codes."""
        i, j = sparse.coo_array(self.V).coords
        return bool((codes[i] == codes[j]).all())

    def log_determinants(self, codes: NDArray[np.intp], levels: int) -> Vector:
        """(levels,) shares of the levels in the log determinant of V^{-1}; blocks lie within levels."""
        return np.asarray(np.bincount(codes, 2.0 * np.log(self._factors[1].diagonal()), levels), dtype=np.float64)


RowPrecision = Independent | Correlated


def check_within(precision: RowPrecision, codes: NDArray[np.intp], name: str) -> None:
    """Refuse clusters that are not independent, because known errors of their rows are correlated.

    Raises
    ------
    OptionError
        Naming the clusters.
    """
    if not precision.within(codes):
        raise OptionError(
            f"V correlates the errors of rows in different clusters of {name}, so that these are not independent",
            hint="Name clusters that hold every block of V whole: cluster=.",
        )


def same_precision(a: RowPrecision, b: RowPrecision) -> bool:
    """Whether two are the same, to the last digit."""
    if isinstance(a, Correlated) and isinstance(b, Correlated):
        return a.V.shape == b.V.shape and abs(a.V - b.V).sum() == 0
    independent = isinstance(a, Independent) and isinstance(b, Independent)
    return independent and np.array_equal(a.variances, b.variances)


def read_covariance(
    V: Any, total: int, rows: NDArray[np.intp], labels: pd.Index | None = None
) -> sparse.csr_array:  # fmt: skip
    """The known covariance of the rows used, from what the caller gave for all rows of the data.

    Parameters
    ----------
    V
        (total, total) array or sparse matrix, or (total,) variances.
    total
        Rows of the data as given.
    rows
        (n,) those used.
    labels
        (total,) index of the data, by which a frame or series of pandas is aligned; None where they have none.

    Raises
    ------
    DataError
        A wrong shape; entries that are not finite, not symmetric, or no covariance (naming rows).
    """
    if isinstance(V, pd.DataFrame | pd.Series):
        V = _in_order(V, labels, total)
    if sparse.issparse(V):
        given = sparse.csr_array(V, dtype=np.float64)
    else:
        array = np.asarray(V, dtype=np.float64)
        at = np.arange(array.size)
        given = sparse.csr_array((array, (at, at))) if array.ndim == 1 else sparse.csr_array(array)
    shape = shape_of(given)
    if shape != (total, total):
        raise DataError(
            f"V is {' by '.join(map(str, shape))}, the data have {total} rows",
            hint="Give the covariance of the sampling errors, one row and one column for each row of the data.",
        )
    found = sparse.csr_array(given[rows][:, rows])
    found.eliminate_zeros()
    diagonal = found.diagonal()
    if not np.isfinite(found.data).all():
        bad = np.unique(sparse.coo_array(found).coords[0][~np.isfinite(found.data)])
        raise DataError(f"V is missing or infinite in {some_rows(rows[bad])} (counted from 0)")
    if (diagonal <= 0).any():
        raise DataError(
            f"V gives no variance to {some_rows(rows[np.flatnonzero(diagonal <= 0)])} (counted from 0)",
            hint="Sampling variances are positive: the squares of standard errors.",
        )
    if abs(found - found.T).max() > SYMMETRIC * diagonal.max():
        raise DataError("V is not symmetric", hint="Give a covariance matrix: V[i, j] = V[j, i].")
    found = sparse.csr_array((found + found.T) / 2.0)
    precision = Correlated(found)
    for block in rows_of(precision.blocks):
        if len(block) == 1:
            continue
        own = precision.covariance(block)
        sd = np.sqrt(np.diag(own))
        if np.linalg.eigvalsh(own / np.outer(sd, sd))[0] < SMALLEST:
            raise DataError(
                f"V is not positive definite in {some_rows(np.sort(rows[block]))} (counted from 0): these errors "
                "determine one another",
                hint="Leave one of the estimates out, or give a correlation below one.",
            )
    return found


def variances_given(V: Any, labels: pd.Index | None, total: int) -> Vector | None:
    """(total,) variances that V gives the rows of the data, NaN where they are missing; None where V does not fit."""
    if isinstance(V, pd.DataFrame | pd.Series):
        V = _in_order(V, labels, total)
    if sparse.issparse(V):
        return np.asarray(V.diagonal(), dtype=np.float64) if shape_of(V) == (total, total) else None
    array = np.asarray(V, dtype=np.float64)
    if array.shape == (total,):
        return array
    return np.array(np.diag(array)) if array.shape == (total, total) else None


def _in_order(V: pd.DataFrame | pd.Series, labels: pd.Index | None, total: int) -> Vector:
    """Variances or covariances of pandas as an array, rows and columns in the order of the data."""
    values = V.to_numpy(dtype=np.float64)
    for axis, names in enumerate(V.axes):
        if len(names) != total:
            break  # the shape is refused later
        place = per_row(pd.Series(np.arange(float(total)), index=names), labels, total, "V")
        values = np.take(values, place.astype(np.intp), axis=axis)
    return values
