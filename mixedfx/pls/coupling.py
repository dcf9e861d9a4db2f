"""The second level of elimination: Z1'Z2 and Z2'Z2, their order, and what their factor will cost.

After the first factor is eliminated, the other factors' random effects are coupled wherever two of their levels meet
in one level of the first. Where nearly all meet (crossed designs) the matrix is factored dense, by LAPACK. Where few
meet (nested terms, neighbours) it stays sparse under a fill-reducing order, and only the columns at the end of that
order, which fill in, are dense. Which it will be is predicted before anything large is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.errors import MemoryForecastError
from mixedfx.linalg.shape import shape_of
from mixedfx.pls.factors import GroupFactor
from mixedfx.pls.second_products import SecondProducts

Vector = NDArray[np.float64]
Index = NDArray[np.integer]

SMALL = 400  # columns up to which a dense factor costs less than planning a sparse one
DENSE_SHARE = 0.25  # share of filled entries above which no order can keep the factor sparse
SPARSE_COST = 4e-9  # seconds for each squared column count, compiled loops (measured, one core)
DENSE_COST = 4e-11  # seconds for each cubed dimension, LAPACK (measured, one core)
TWIN_LIMIT = 3e7  # multiplications up to which one NumPy product beats loading the compiled kernels
TWIN_SHARE = 0.3  # share of filled entries of the coupling above which a matrix product beats the loops over them
FACTORS_HELD = 3.5  # times the memory of the factor that a fit takes
FORGOTTEN_FROM = 1_500  # dense columns from which a fit lets go of one factor before it makes the next
CORNERS_HELD = 2.1  # times the memory of the factor then: the factor and its inverse
PAIR_COST = 50.0  # multiplications of a matrix product that one pair of entries is worth
BYTES_OF_PAIR = 72.0  # that a pair of entries takes, with what is summed over it (measured)
FEW_PAIRS = 200_000.0  # pairs of entries up to which NumPy's sums over them are not worth compiling loops
FEW_NUMBERS = 20_000  # size up to which arrays are multiplied faster than sparse matrices are set up
TWIN_NUMBERS = 1e7  # and the size up to which the coupling is laid out densely for it


@dataclass(frozen=True)
class Layout:
    """Where the second level is sparse and where dense.

    Attributes
    ----------
    permutation
        (q2,) column of Z2, in the order of factor, level, column, that stands at each position.
    split
        Number of leading sparse columns.
    start, row
        Pattern of the Cholesky factor of the sparse columns (compressed, rows ascending, diagonal first).
    """

    permutation: NDArray[np.intp]
    split: int
    start: NDArray[np.int64]
    row: NDArray[np.int32]

    @property
    def megabytes(self) -> float:
        """Memory of one factor."""
        tail = len(self.permutation) - self.split
        return (8 * tail**2 + 20 * len(self.row)) / 2**20


@dataclass(frozen=True)
class EntryPairs:
    """Every two entries of the coupling that belong to one level, each with itself and both ways.

    Attributes
    ----------
    first, second
        (P,) the entries.
    level
        (P,) their level.
    place
        (P,) where their columns meet in a (q2, q2) matrix, read along rows.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    level: NDArray[np.int64]
    place: NDArray[np.int64]


@dataclass(frozen=True)
class Coupling:
    """Cross-products of the factors of the second level, columns permuted.

    Attributes
    ----------
    layout
        Order of the columns, and which of them are sparse.
    positions
        For each factor of the second level, the (q, k) positions of its effects.
    cross
        (q1 * k1, q2) sparse Z1'Z2.
    gram
        (q2, q2) sparse Z2'Z2, both triangles.
    indices, values
        Entries of `cross` by level of the first factor: (e,) column and (e, k1) values.
    row_of, row_end, column_start, order
        Level of each entry, end of each level's entries, start of each column, and the entries sorted by column.
    dense
        (q1, q2, k1) the same entries, where the problem is small enough for NumPy alone; else None.
    pairs
        Every two entries of a level, each with itself and both ways, where these are so few that sums over them take
        less than products of the dense matrix and loading the kernels; else None.
    """

    layout: Layout
    positions: tuple[NDArray[np.intp], ...]
    cross: sparse.csr_array
    gram: sparse.csr_array
    indices: NDArray[np.int32]
    values: Vector
    row_of: NDArray[np.int32]
    row_end: NDArray[np.int64]
    column_start: NDArray[np.int64]
    order: NDArray[np.int64]
    dense: Vector | None
    pairs: EntryPairs | None = None

    @property
    def size(self) -> int:
        """Number of random effects q2 in the second level."""
        return shape_of(self.gram)[0]

    @cached_property
    def arrays(self) -> tuple[Vector, Vector, Vector] | None:
        """Z1'Z2, Z2'Z1 and Z2'Z2 as arrays, where they are so small that sparse products cost their bookkeeping."""
        if self.dense is None or self.dense.size > FEW_NUMBERS or self.size**2 > FEW_NUMBERS:
            return None
        cross = self.cross.toarray()
        return cross, np.ascontiguousarray(cross.T), self.gram.toarray()

    @cached_property
    def largest(self) -> float:
        """Largest diagonal entry of Z2'Z2."""
        return float(self.gram.diagonal().max(initial=0.0))

    @cached_property
    def _transposed(self) -> sparse.csc_array:
        """(q2, q1 * k1) Z2'Z1, the same numbers."""
        return self.cross.T

    def down(self, b: Vector) -> Vector:
        """Z2'Z1 b for b (q1 * k1, r)."""
        return np.asarray(self._transposed @ b if self.arrays is None else self.arrays[1] @ b)

    def up(self, b: Vector) -> Vector:
        """Z1'Z2 b for b (q2, r)."""
        return np.asarray(self.cross @ b if self.arrays is None else self.arrays[0] @ b)

    def within(self, b: Vector) -> Vector:
        """Z2'Z2 b for b (q2, r)."""
        return np.asarray(self.gram @ b if self.arrays is None else self.arrays[2] @ b)


def couple(found: SecondProducts) -> tuple[Coupling, Vector]:
    """Coupling of the first factor with the others, and (q2, p + 1) products Z2'W, in permuted order.

    Raises
    ------
    MemoryForecastError
        If the factor would not fit in the memory that is free.
    """
    first, rest, offsets = found.first, found.rest, found.offsets
    pattern, values, gram = found.pattern, found.values, found.gram
    n_levels, k1, q2 = first.n_levels, first.k, int(offsets[-1])
    layout = plan(pattern, gram, rest, offsets)
    numbers = n_levels * k1 * float(q2)
    met = np.diff(pattern.indptr).astype(np.int64)
    count = float((met**2).sum())
    paired = layout.split == 0 and count <= FEW_PAIRS and count * PAIR_COST < numbers * q2
    check_memory(layout, count if paired else 0.0)

    inverse = np.empty(q2, dtype=np.int32)
    inverse[layout.permutation] = np.arange(q2, dtype=np.int32)
    entry = sparse.csr_array(
        (np.arange(pattern.nnz, dtype=np.int64), inverse[pattern.indices], pattern.indptr), shape=pattern.shape
    )
    entry.sort_indices()
    source = np.asarray(entry.data, dtype=np.int64)
    indices, values = entry.indices.astype(np.int32), np.ascontiguousarray(values[source])
    row_end = entry.indptr[1:].astype(np.int64)
    row_of = np.repeat(np.arange(n_levels, dtype=np.int32), np.diff(entry.indptr))
    by_column = sparse.csr_array((np.arange(pattern.nnz, dtype=np.int64), indices, entry.indptr), pattern.shape).tocsc()
    cross = sparse.csr_array(stack_rows(entry.indptr, indices, values, (n_levels * k1, q2)))
    gram = sparse.csr_array(gram[layout.permutation][:, layout.permutation])
    gram.sort_indices()
    positions = tuple(
        inverse[offsets[f] + np.arange(g.n_levels * g.k)].reshape(-1, g.k).astype(np.intp) for f, g in enumerate(rest)
    )
    dense = None
    small = numbers * q2 <= TWIN_LIMIT
    full = numbers <= TWIN_NUMBERS and pattern.nnz > TWIN_SHARE * n_levels * q2
    pairs = entry_pairs(met, indices, q2) if paired else None
    if layout.split == 0 and (small or full):
        dense = np.zeros((n_levels, q2, k1))
        dense[row_of, indices] = values
    coupling = Coupling(
        layout, positions, cross, gram, indices, values, row_of, row_end,
        by_column.indptr.astype(np.int64), np.asarray(by_column.data, dtype=np.int64), dense, pairs,
    )  # fmt: skip
    return coupling, found.zw[layout.permutation]


def entry_pairs(counts: NDArray[np.int64], indices: Index, q2: int) -> EntryPairs:
    """The pairs of entries of levels that have `counts` entries, at the columns `indices` (e,).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.pls.coupling import entry_pairs
    >>> found = entry_pairs(np.array([2, 1]), np.array([0, 2, 1]), 3)
    >>> found.first.tolist(), found.second.tolist(), found.place.tolist()
    ([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [0, 2, 6, 8, 4])
    """
    start = np.cumsum(counts) - counts
    level = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(np.arange(int(counts.sum())), counts[level])
    ends = np.cumsum(counts[level])
    within = np.arange(len(first)) - np.repeat(ends - counts[level], counts[level])
    second = np.repeat(start[level], counts[level]) + within
    place = indices[first].astype(np.int64) * q2 + indices[second]
    return EntryPairs(first, second, level[first], place)


def stack_rows(indptr: Index, indices: Index, values: Vector, shape: tuple[int, int]) -> sparse.csr_array:
    """Rows (level, a) of Z1'Z2, the k1 rows of a level next to each other, all with the pattern of the level."""
    k1 = values.shape[1]
    if k1 == 1:
        return sparse.csr_array((values[:, 0], indices, indptr), shape=shape)
    counts = np.repeat(np.diff(indptr), k1)
    start = np.concatenate([[0], np.cumsum(counts)])
    source = np.arange(start[-1]) - np.repeat(start[:-1], counts) + np.repeat(np.repeat(indptr[:-1], k1), counts)
    column = np.repeat(np.tile(np.arange(k1), len(indptr) - 1), counts)
    return sparse.csr_array((values[source, column], indices[source], start), shape=shape)


def plan(
    pattern: sparse.csr_array, gram: sparse.csr_array, rest: tuple[GroupFactor, ...], offsets: NDArray[np.intp]
) -> Layout:
    """Decide the order of the second level and how much of it is dense.

    Parameters
    ----------
    pattern
        (q1, q2) pattern of Z1'Z2.
    gram
        (q2, q2) Z2'Z2.
    rest
        The factors of the second level.
    offsets
        First column of each factor.
    """
    q2 = shape_of(gram)[0]
    dense = Layout(np.arange(q2), 0, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32))
    if q2 <= SMALL:
        return dense
    members = sparse.csr_array((np.ones(pattern.nnz, dtype=np.int8), pattern.indices, pattern.indptr), pattern.shape)
    sample = np.random.default_rng(0).choice(q2, min(q2, 48), replace=False)
    columns = sparse.csr_array(members.T)[sample].astype(np.float32) @ members.astype(np.float32)
    if columns.nnz / (len(sample) * q2) > DENSE_SHARE:
        return dense
    from mixedfx.linalg.kernels import symbolic

    float_members = members.astype(np.float32)
    graph = sparse.csr_array(abs(gram).astype(np.float32) + float_members.T @ float_members)
    order = fill_reducing_order(graph, node_of_columns(rest, offsets))
    lower = sparse.csc_array(sparse.tril(graph[order][:, order], format="csc"))
    lower.sort_indices()
    start, row = symbolic(lower.indptr.astype(np.int64), lower.indices.astype(np.int32))
    split = choose_split(np.diff(start))
    return Layout(order, split, start[: split + 1], row[: start[split]])


def node_of_columns(rest: tuple[GroupFactor, ...], offsets: NDArray[np.intp]) -> NDArray[np.intp]:
    """(q2,) number of the level each column belongs to: columns of one level are ordered together."""
    nodes, count = [], 0
    for g in rest:
        nodes.append(count + np.repeat(np.arange(g.n_levels), g.k))
        count += g.n_levels
    return np.concatenate(nodes)


def fill_reducing_order(graph: sparse.csr_array, nodes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Order of the columns that keeps the Cholesky factor sparse: multiple minimum degree on the graph of levels.

    SuperLU holds the ordering; an incomplete factorisation that drops everything yields it at no further price.
    """
    from scipy.sparse.linalg import spilu

    count = int(nodes[-1]) + 1
    membership = sparse.csr_array((np.ones(len(nodes)), (np.arange(len(nodes)), nodes)), shape=(len(nodes), count))
    levels = sparse.csc_array(membership.T @ graph @ membership)
    levels.data[:] = -1.0
    dominant = sparse.csc_array(levels + sparse.diags_array(2.0 * count * np.ones(count)))
    incomplete = spilu(
        dominant, drop_tol=1.0, fill_factor=1.0, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )  # fmt: skip
    return np.argsort(incomplete.perm_c[nodes], kind="stable")


def choose_split(counts: NDArray[np.int64]) -> int:
    """Number of leading columns to keep sparse, by the predicted time of sparse and dense elimination."""
    q2 = len(counts)
    sparse_seconds = np.concatenate([[0.0], np.cumsum(SPARSE_COST * counts.astype(np.float64) ** 2)])
    dense_seconds = DENSE_COST * np.arange(q2, -1, -1, dtype=np.float64) ** 3
    return int(np.argmin(sparse_seconds + dense_seconds))


def needed_megabytes(layout: Layout, pairs: float = 0.0) -> float:
    """Memory that a fit takes for the second level.

    A fit holds the factor of the best point and that of the one it tries, and works on a third; half a one is for the
    rest. Of large ones it holds one, and its inverse. The `pairs` of entries of a level come on top, with the sums over
    them.
    """
    held = CORNERS_HELD if len(layout.permutation) - layout.split >= FORGOTTEN_FROM else FACTORS_HELD
    return held * layout.megabytes + BYTES_OF_PAIR * pairs / 2**20


def check_memory(layout: Layout, pairs: float = 0.0) -> None:
    """Refuse a model whose fit does not fit in the memory that is free.

    Raises
    ------
    MemoryForecastError
        With the forecast and what would help.
    """
    import psutil

    available = psutil.virtual_memory().available / 2**20
    needed = needed_megabytes(layout, pairs)
    if needed > 0.9 * available:
        tail = len(layout.permutation) - layout.split
        raise MemoryForecastError(
            f"a fit of this model needs {needed:,.0f} MB ({tail:,} crossed random effects fill in); {available:,.0f} "
            "MB are free",
            hint='Say control={"solver": "iterative"}, drop levels with few rows, move the second largest grouping '
            "factor to the fixed part, or fit on a machine with more memory.",
        )
