"""Products of the columns of a design, overall and within the levels of its grouping factors, in chunks of rows.

With X = Q R, gamma the least squares coefficients of y on Q and y0 = y - Q gamma, the columns W = [Q, y0] and the
covariates z of the factors give W'W, z'W and z'z by level, and the products of the other factors. Two passes make them:
one for X'X and X'y, from which R and gamma follow, and one for the rest. Both take rows in chunks, so that what is held
beside the design is a chunk and the products, however many rows there are; where errors are correlated all rows are one
chunk.

The second pass takes few operations but many passes over the memory in NumPy; from `ONE_PASS_FROM` rows on, where these
are most of the time of a fit, a compiled loop makes one and keeps nothing (`mixedfx.linalg.rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from mixedfx.design.design import Design
from mixedfx.design.precision import Independent, RowPrecision
from mixedfx.linalg import triangular
from mixedfx.linalg.sums import Sum
from mixedfx.pls.factors import GroupFactor
from mixedfx.pls.second_products import SecondProducts, cells_of, level_sums

Vector = NDArray[np.float64]

CHUNK = 2**18  # rows of a chunk
SPARSE_FROM = 10_000  # rows from which one sparse product beats a count for each pair of columns
ONE_PASS_FROM = 100_000  # rows from which the compiled pass, a second to compile once for all, is worth having
FEW_SUMS = 2**20  # sums over levels up to which those of chunks are added with compensation
ONE_PASS_COLUMNS = 16  # columns up to which its plain loops beat blocked matrix products
WELL_CONDITIONED = 1e-2  # smallest diagonal entry of the scaled R from which its inverse may be formed


class Second(Protocol):
    """What takes in the products of the factors that are not eliminated first."""

    def add(
        self, rest: tuple[GroupFactor, ...], rows: slice, codes: NDArray[np.intp], z: Vector, W: Vector,
        precision: RowPrecision,
    ) -> None:  # fmt: skip
        """Take in some rows of the factors `rest`: levels of the first (m,); z (m, k), W (m, p + 1), both whitened."""
        ...


@dataclass(frozen=True)
class Fixed:
    """The fixed part: X = Q R, and the coefficients gamma of Q that are taken out of y.

    Attributes
    ----------
    R
        (p, p) upper triangle.
    inverse
        Its inverse, where that loses no digits; else None.
    gamma
        (p,) coefficients.
    """

    R: Vector
    inverse: Vector | None
    gamma: Vector


@dataclass(frozen=True)
class Chunk:
    """Some rows, times the root of their precision.

    Attributes
    ----------
    rows
        Which, of the design that they are rows of.
    X, y
        (m, p) and (m,), the offset taken off.
    precision
        What is known of their errors.
    """

    rows: slice
    X: Vector
    y: Vector
    precision: RowPrecision


def chunks(design: Design, size: int | None = None) -> Iterator[Chunk]:
    """The rows of a design; all at once where their errors are correlated."""
    whole, n = design.precision, len(design.y)
    step = max(n, 1) if not isinstance(whole, Independent) else CHUNK if size is None else size
    for begin in range(0, max(n, 1), step):
        rows = slice(begin, begin + step)
        precision = whole.part(rows) if isinstance(whole, Independent) else whole
        y = design.y[rows] - design.offset[rows]
        yield Chunk(rows, precision.whiten(design.X[rows]), precision.whiten(y), precision)


def fixed_part(design: Design, size: int | None = None) -> Fixed:
    """The first pass: R and gamma."""
    p = design.X.shape[1]
    gram, Xy = np.zeros((p, p)), np.zeros(p)
    for chunk in chunks(design, size):
        gram += chunk.X.T @ chunk.X
        Xy += chunk.X.T @ chunk.y
    R, inverse = triangle_of(gram, lambda: (chunk.X for chunk in chunks(design, size)))
    gamma = inverse.T @ Xy if inverse is not None else triangular.solve(R, Xy, transposed=True)
    return Fixed(R, inverse, np.asarray(gamma, dtype=np.float64))


class Accumulator:
    """The second pass: products of W = [Q, y0] and of the covariates of the factors, summed over chunks of rows.

    Sums over chunks are compensated: where there are many levels each has few rows, and needs none.

    Attributes
    ----------
    second
        What takes in the products of the other factors; None where there is one factor.
    """

    def __init__(self, fixed: Fixed, factors: tuple[GroupFactor, ...], second: Second | None = None) -> None:
        self.fixed, self.first = fixed, factors[0]
        p, first = len(fixed.R), factors[0]
        if second is None and len(factors) > 1:
            second = SecondProducts(first, factors[1:])
        self.second = second
        self._ww = Sum()
        self._shape = first.n_levels, first.k, p + 1 + first.k
        few = first.n_levels * first.k * self._shape[2] <= FEW_SUMS
        self._by_level: Sum | Vector = Sum() if few else np.zeros(self._shape)

    @property
    def ww(self) -> Vector:
        """(p + 1, p + 1) W'W."""
        return self._ww.value

    @property
    def by_level(self) -> Vector:
        """(q, k, p + 1 + k) z'[W, z] of each level of the first factor."""
        return self._by_level.value if isinstance(self._by_level, Sum) else self._by_level

    def add(self, chunk: Chunk, factors: tuple[GroupFactor, ...], compiled: bool) -> None:
        """Take in some rows of the `factors`, by the compiled pass where that is asked for and possible."""
        p, first = len(self.fixed.R), factors[0]
        codes, z = first.codes[chunk.rows], chunk.precision.whiten(first.used(chunk.rows))
        narrow = p + sum(group.k for group in factors) <= ONE_PASS_COLUMNS
        if compiled and narrow and self.fixed.inverse is not None:
            if self.second is None:
                return self._one_pass(chunk, codes, z)
            if isinstance(self.second, SecondProducts) and self._by_cells(chunk, factors, z):
                return None
        W = self._by_columns(chunk, codes, z)
        if self.second is not None:
            self.second.add(factors[1:], chunk.rows, codes, z, W, chunk.precision)
        return None

    def _by_cells(self, chunk: Chunk, factors: tuple[GroupFactor, ...], z: Vector) -> bool:
        """Several factors in one pass, by cells of rows that share all levels; False where there are many."""
        if any(group.mixing is not None for group in factors):
            return False
        found = cells_of([group.codes[chunk.rows] for group in factors], [group.n_levels for group in factors])
        if found is None:
            return False
        from mixedfx.linalg.rows import row_products

        cell, levels = found
        Z = np.hstack([z, *(chunk.precision.whiten(group.used(chunk.rows)) for group in factors[1:])])
        p, K = len(self.fixed.R), Z.shape[1]
        lower, products = np.zeros((p + 1, p + 1)), np.zeros((len(levels[0]), K, p + 1 + K))
        row_products(chunk.X, self.fixed.inverse, self.fixed.gamma, chunk.y, Z, cell, lower, products)
        self.add_cells(levels, products, lower + np.tril(lower, -1).T)
        return True

    def add_cells(self, levels: tuple[NDArray[np.intp], ...], products: Vector, ww: Vector) -> None:
        """Take in cells of rows that share all levels.

        Parameters
        ----------
        levels
            (m,) their levels of each factor.
        products
            (m, K, p + 1 + K) sums of z'[W, z] of each, z the K covariates of all factors.
        ww
            (p + 1, p + 1) W'W of all of them.
        """
        k = self.first.k
        self._ww.add(ww)
        own = products[:, :k, : len(ww) + k]
        if isinstance(self._by_level, Sum):
            self._by_level.add(
                level_sums(levels[0], self.first.n_levels, own.reshape(len(own), -1)).reshape(self._shape)
            )
        else:
            np.add.at(self._by_level, levels[0], own)
        if self.second is not None:
            if not isinstance(self.second, SecondProducts):
                raise TypeError("cells are taken in by a factor of the second level only, not by what keeps its rows")
            self.second.add_cells(levels, products)

    def _one_pass(self, chunk: Chunk, codes: NDArray[np.intp], z: Vector) -> None:
        from mixedfx.linalg.rows import row_products

        lower = np.zeros((len(self.fixed.R) + 1,) * 2)
        sums = np.zeros(self._shape) if isinstance(self._by_level, Sum) else self._by_level
        row_products(chunk.X, self.fixed.inverse, self.fixed.gamma, chunk.y, z, codes, lower, sums)
        self._ww.add(lower + np.tril(lower, -1).T)
        if isinstance(self._by_level, Sum):
            self._by_level.add(sums)

    def _by_columns(self, chunk: Chunk, codes: NDArray[np.intp], z: Vector) -> Vector:
        (n, p), k = chunk.X.shape, z.shape[1]
        columns = np.empty((n, p + 1 + k))
        W = columns[:, : p + 1]
        W[:, :p] = orthogonal_columns(chunk.X, self.fixed.R, self.fixed.inverse)
        W[:, p] = chunk.y - W[:, :p] @ self.fixed.gamma
        columns[:, p + 1 :] = z
        self._ww.add(W.T @ W)
        sums = level_products(codes, self.first.n_levels, z, columns)
        if isinstance(self._by_level, Sum):
            self._by_level.add(sums)
        else:
            self._by_level += sums
        return W


def accumulated(
    design: Design, factors: tuple[GroupFactor, ...], size: int | None = None, second: Second | None = None
) -> Accumulator:  # fmt: skip
    """Both passes over the rows of a design; `second` takes in what is not `SecondProducts`."""
    found = Accumulator(fixed_part(design, size), factors, second)
    compiled = len(design.y) >= ONE_PASS_FROM
    for chunk in chunks(design, size):
        found.add(chunk, factors, compiled)
    return found


def triangle(X: Vector) -> tuple[Vector, Vector | None]:
    """R (p, p) with R'R = X'X, and its inverse where that may be formed; see `triangle_of`."""
    return triangle_of(X.T @ X, lambda: [X])


def triangle_of(gram: Vector, parts: Callable[[], Iterable[Vector]]) -> tuple[Vector, Vector | None]:
    """R (p, p) with R'R = X'X = `gram`, and the inverse of R where that may be formed.

    R is the Cholesky factor of the column-scaled X'X; where that is too ill conditioned to be trusted, the QR
    decomposition's, of the `parts` of the rows one after the other. The inverse loses no more digits than a
    substitution where no column is nearly a combination of others; else it is None.
    """
    if len(gram) == 0:
        return gram, gram
    norm = np.sqrt(np.diag(gram))
    try:
        R = linalg.cholesky(gram / np.outer(norm, norm), check_finite=False)
        smallest = np.diag(R).min(initial=1.0)
        if not smallest >= 1e-5:
            raise linalg.LinAlgError
    except linalg.LinAlgError:
        R = np.zeros((0, len(gram)))
        for X in parts():
            R = np.asarray(np.linalg.qr(np.vstack([R, X / norm]), mode="r"))
        R = R * np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None]
        smallest = 0.0
    R = np.asarray(R * norm, dtype=np.float64)
    if smallest <= WELL_CONDITIONED:
        return R, None
    return R, np.ascontiguousarray(triangular.solve(R, np.eye(len(R))))


def orthogonal_columns(X: Vector, R: Vector, inverse: Vector | None) -> Vector:
    """Q (n, p) = X R^{-1}, by the inverse where there is one, else by substitution."""
    if inverse is not None:
        return np.asarray(X @ inverse)
    return np.asarray(triangular.solve(R, X.T, transposed=True)).T


def level_products(codes: NDArray[np.intp], n_levels: int, z: Vector, Y: Vector) -> Vector:
    """(q, k, m) sums over the rows of each level of z_a Y_c, for z (n, k) and Y (n, m)."""
    (n, k), m = z.shape, Y.shape[1]
    if n < SPARSE_FROM and m < 8:
        flat = [np.bincount(codes, z[:, a] * Y[:, c], n_levels) for a in range(k) for c in range(m)]
        return np.asarray(np.stack(flat, axis=1), dtype=np.float64).reshape(n_levels, k, m)
    index = np.int32 if n * k < 2**31 else np.int64  # what scipy would convert to
    columns = codes.astype(index)[:, None] * index(k) + np.arange(k, dtype=index)
    Z = sparse.csr_array((z.ravel(), columns.ravel(), np.arange(0, n * k + 1, k, dtype=index)), (n, n_levels * k))
    return (Z.T @ Y).reshape(n_levels, k, m)
