"""Products of the factors of the second level: Z2'Z2, Z1'Z2 and Z2'W, summed over chunks of rows.

Rows that share the levels of all factors are a cell, and where there are few cells (nested factors above all) their
products come in one compiled pass with those of the first factor: entries of the sparse matrices are then made of cells
and not of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.grouping import compress
from mixedfx.design.precision import RowPrecision
from mixedfx.linalg.shape import shape_of
from mixedfx.linalg.sums import Sum
from mixedfx.pls.factors import GroupFactor

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]

FEW_CELLS = 4  # rows a cell must have on average for products by cell to be worth it


def cells_of(codes: Sequence[Codes], sizes: Sequence[int]) -> tuple[Codes, tuple[Codes, ...]] | None:
    """The cell of each row, and the levels of each cell; None where there are many cells.

    Parameters
    ----------
    codes
        (n,) levels of each factor.
    sizes
        Numbers of levels.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.pls.second_products import cells_of
    >>> classes, schools = np.array([0, 0, 1, 2, 2, 2, 1, 0, 0, 0, 0, 0]), np.zeros(12, dtype=np.intp)
    >>> cells_of([classes, schools], [3, 1])[1]
    (array([0, 1, 2]), array([0, 0, 0]))
    """
    n = len(codes[0])
    cell, first = compress(codes[0].astype(np.int64, copy=False))
    levels = [first.astype(np.intp)]
    for own, size in zip(codes[1:], sizes[1:], strict=True):
        if len(levels[0]) * FEW_CELLS > n:
            return None
        of_cell = np.empty(len(levels[0]), dtype=np.intp)
        of_cell[cell] = own
        if not np.array_equal(of_cell[cell], own):  # not nested in what was before
            cell, keys = compress(cell.astype(np.int64) * size + own)
            before, of_cell = np.divmod(keys, size)
            levels = [one[before] for one in levels]
        levels.append(of_cell.astype(np.intp, copy=False))
    return None if len(levels[0]) * FEW_CELLS > n else (cell, tuple(levels))


class SecondProducts:
    """Z2'Z2, Z1'Z2 and Z2'W, summed over chunks of rows.

    Sparse sums are put together two of about one size at a time, as in a binary counter: each entry is copied as often
    as the logarithm of the number of chunks says, and rounding grows no faster.
    """

    def __init__(self, first: GroupFactor, rest: tuple[GroupFactor, ...]) -> None:
        self.first, self.rest = first, rest
        self.offsets = np.cumsum([0, *(g.n_levels * g.k for g in rest)])
        self._parts: list[tuple[int, sparse.csr_array, Vector, sparse.csr_array]] = []
        self._zw = Sum()

    @classmethod
    def of(
        cls, first: GroupFactor, rest: tuple[GroupFactor, ...], pattern: sparse.csr_array, values: Vector,
        gram: sparse.csr_array, zw: Vector,
    ) -> SecondProducts:  # fmt: skip
        """Of sums that are known."""
        found = cls(first, rest)
        found._put(pattern, values, gram, zw)
        return found

    def add(
        self, rest: tuple[GroupFactor, ...], rows: slice, codes: NDArray[np.intp], z: Vector, W: Vector,
        precision: RowPrecision,
    ) -> None:  # fmt: skip
        """Take in some rows of the factors `rest`: levels of the first (m,); z (m, k), W (m, p + 1), both whitened."""
        Z2 = precision.whiten(sparse_z(rest, rows))
        level = np.repeat(codes, np.diff(Z2.indptr))
        pattern, values = _cross_products(z, level, Z2, self.first.n_levels)
        self._put(pattern, values, sparse.csr_array(Z2.T @ Z2), np.asarray(Z2.T @ W))

    def add_cells(self, levels: Sequence[Codes], products: Vector) -> None:
        """Take in cells: their levels (m,) of each factor, the first one's too, and z'[W, z] (m, K, p + 1 + K)."""
        m, k1 = len(products), self.first.k
        width = products.shape[2] - products.shape[1]
        columns, zw = [], np.zeros((int(self.offsets[-1]), width))
        at = k1
        for f, (group, own) in enumerate(zip(self.rest, levels[1:], strict=True)):
            sums = level_sums(own, group.n_levels, products[:, at : at + group.k, :width].reshape(m, -1))
            zw[self.offsets[f] : self.offsets[f + 1]] = sums.reshape(-1, width)
            columns.append(self.offsets[f] + own[:, None] * group.k + np.arange(group.k))
            at += group.k
        column = np.hstack(columns)
        K2, q2 = column.shape[1], len(zw)
        inner = products[:, k1:, width + k1 :]
        rows = np.broadcast_to(column[:, :, None], (m, K2, K2))
        also = np.broadcast_to(column[:, None, :], (m, K2, K2))
        gram = sparse.coo_array((inner.ravel(), (rows.ravel(), also.ravel())), shape=(q2, q2)).tocsr()
        row = np.repeat(levels[0], K2)
        values = []
        pattern = None
        for a in range(k1):
            data = products[:, a, width + k1 :].ravel()
            pattern = sparse.coo_array((data, (row, column.ravel())), shape=(self.first.n_levels, q2)).tocsr()
            pattern.sort_indices()
            values.append(pattern.data)
        assert pattern is not None
        self._put(sparse.csr_array(pattern), np.column_stack(values), sparse.csr_array(gram), zw)

    def _put(self, pattern: sparse.csr_array, values: Vector, gram: sparse.csr_array, zw: Vector) -> None:
        self._zw.add(zw)
        self._parts.append((1, pattern, values, gram))
        while len(self._parts) > 1 and self._parts[-2][0] <= self._parts[-1][0]:
            self._merge()

    def _merge(self) -> None:
        (m, pattern, values, gram), (n, other, more, also) = self._parts[-2:]
        pattern, values = _merged(pattern, values, other, more)
        self._parts[-2:] = [(m + n, pattern, values, sparse.csr_array(gram + also))]

    def _whole(self) -> tuple[int, sparse.csr_array, Vector, sparse.csr_array]:
        while len(self._parts) > 1:
            self._merge()
        return self._parts[0]

    @property
    def pattern(self) -> sparse.csr_array:
        """(q1, q2) where Z1'Z2 has entries, by level of the first factor."""
        return self._whole()[1]

    @property
    def values(self) -> Vector:
        """(entries, k1) its entries."""
        return self._whole()[2]

    @property
    def gram(self) -> sparse.csr_array:
        """(q2, q2) Z2'Z2."""
        return self._whole()[3]

    @property
    def zw(self) -> Vector:
        """(q2, p + 1) Z2'W."""
        return self._zw.value


def sparse_z(rest: tuple[GroupFactor, ...], rows: slice = slice(None)) -> sparse.csr_array:
    """(m, q2) sparse Z of the second level, in the order of factor, level and column, of some rows.

    A row of Z has one entry for each column of each factor, or as many as there are levels related to its own.
    """
    offsets = np.cumsum([0, *(g.n_levels * g.k for g in rest)])
    n, width = len(rest[0].codes[rows]), sum(g.k for g in rest)
    indices = np.empty((n, width), dtype=np.int32)
    data = np.empty((n, width))
    column = 0
    for f, g in enumerate(rest):
        indices[:, column : column + g.k] = offsets[f] + g.codes[rows, None] * g.k + np.arange(g.k)
        data[:, column : column + g.k] = g.used(rows)
        column += g.k
    indptr = np.arange(0, n * width + 1, width)
    Z = sparse.csr_array((data.ravel(), indices.ravel(), indptr), shape=(n, int(offsets[-1])))
    if any(g.mixing is not None for g in rest):
        mixing = [
            sparse.eye_array(g.n_levels * g.k) if g.mixing is None else sparse.kron(g.mixing, sparse.eye_array(g.k))
            for g in rest
        ]
        Z = sparse.csr_array(Z @ sparse.block_diag(mixing, format="csr"))
        Z.sort_indices()
    return Z


def level_sums(codes: Codes, n_levels: int, x: Vector) -> Vector:
    """(q, m) sums of x (n, m) over the rows of each level."""
    n = len(codes)
    index = np.int32 if n < 2**31 else np.int64
    Z = sparse.csr_array((np.ones(n), codes.astype(index), np.arange(n + 1, dtype=index)), shape=(n, n_levels))
    return np.asarray(Z.T @ x)


def _merged(
    pattern: sparse.csr_array, values: Vector, other: sparse.csr_array, more: Vector
) -> tuple[sparse.csr_array, Vector]:
    """Sums of two (q1, q2) patterns with (entries, k1) values; entries that cancel stay in the pattern."""
    level = np.concatenate([np.repeat(np.arange(len(p.indptr) - 1), np.diff(p.indptr)) for p in (pattern, other)])
    column = np.concatenate([pattern.indices, other.indices])
    both, columns = np.concatenate([values, more]), []
    for a in range(both.shape[1]):
        pattern = sparse.coo_array((both[:, a], (level, column)), shape=pattern.shape).tocsr()
        pattern.sort_indices()
        columns.append(pattern.data)
    return pattern, np.column_stack(columns)


def _cross_products(
    z: Vector, rows: NDArray[np.intp], Z2: sparse.csr_array, n_levels: int
) -> tuple[sparse.csr_array, Vector]:
    """Pattern (q1, q2) of Z1'Z2 by level, and the (entries, k1) values in its order."""
    width = np.diff(Z2.indptr)
    values = []
    pattern = None
    for a in range(z.shape[1]):
        product = Z2.data * np.repeat(z[:, a], width)
        matrix = sparse.coo_array((product, (rows, Z2.indices)), shape=(n_levels, shape_of(Z2)[1])).tocsr()
        matrix.sort_indices()
        values.append(matrix.data)
        pattern = matrix
    assert pattern is not None
    return pattern, np.column_stack(values)
