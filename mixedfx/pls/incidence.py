"""Crossed factors without cross-products: the rows, sorted by the level of the first factor, and passes over them.

`Coupling` holds Z1'Z2 and Z2'Z2 and the order in which their Schur complement is factored. Here nothing is factored:
the rows' columns of the second level stand in the order of the first factor's levels, four bytes for each, and every
product is one pass over them (`mixedfx.linalg.row_passes`). Effects of the second level stand in the order of factor,
level and column.

Rows are shared out among a fixed number of parts, and sums over the parts are taken in their order, so that results do
not depend on how many threads work. Few rows are multiplied as sparse matrices, which needs no compiled code.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.precision import Independent, RowPrecision
from mixedfx.errors import IterativeSolverError
from mixedfx.linalg.threads import free_cores
from mixedfx.pls.coupling import Coupling
from mixedfx.pls.factors import GroupFactor

Vector = NDArray[np.float64]
Array = NDArray[np.floating]

FEW_ROWS = 20_000  # up to which sparse products take less than loading compiled code
PARTS = 4  # that the rows are shared out in
MANY_ROWS = 100_000  # from which a second thread is worth starting
MOST_THREADS = 4


@dataclass(frozen=True)
class Rows:
    """Rows sorted by the level of the first factor.

    Attributes
    ----------
    start
        (q1 + 1,) first row of each level.
    column
        (n, E) columns of the second level that each row has.
    value
        (n, E) what it has there, times the root of its precision; (0, E) where all are one.
    z
        (n, k1) covariates of the first factor, times the same; (0, k1) where all are one.
    """

    start: NDArray[np.int64]
    column: NDArray[np.int32]
    value: Vector
    z: Vector

    @property
    def values(self) -> Vector:
        """(n, E) values, ones written out."""
        return self.value if len(self.value) == len(self.column) else np.ones(self.column.shape)

    @property
    def covariates(self) -> Vector:
        """(n, k1) covariates, ones written out."""
        return self.z if len(self.z) == len(self.column) else np.ones((len(self.column), self.z.shape[1]))


class Incidence(Coupling):
    """The second level of a problem that is solved by iteration; has no factor, and says so where one is asked for.

    Attributes
    ----------
    rows
        The rows.
    positions
        For each factor of the second level, the (q, k) positions of its effects.
    """

    rows: Rows

    def __init__(self, rows: Rows, sizes: list[tuple[int, int]]) -> None:
        starts = np.cumsum([0, *(q * k for q, k in sizes)])
        positions = tuple(starts[f] + np.arange(q * k, dtype=np.intp).reshape(q, k) for f, (q, k) in enumerate(sizes))
        self.__dict__.update(rows=rows, sizes=tuple(sizes), positions=positions, starts=starts)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_A_FACTOR:
            raise IterativeSolverError(
                "this needs the factor of all crossed effects, which an iterative fit does without",
                hint='Fit with control={"solver": "direct"} where memory allows; estimates, standard errors, fit.apply '
                "and mx.effects do not need it.",
            )
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<Incidence: {len(self.rows.column)} rows, {self.q1} levels and {self.size} effects>"

    @property
    def size(self) -> int:
        """Number of random effects q2 in the second level."""
        return int(self.__dict__["starts"][-1])

    @cached_property
    def largest(self) -> float:
        """Largest diagonal entry of Z2'Z2."""
        blocks = self.diagonal_blocks(np.zeros((0, self.k1, self.k1)))
        return max(float(np.diagonal(block, axis1=1, axis2=2).max(initial=0.0)) for block in blocks)

    @property
    def k1(self) -> int:
        """Columns of the first factor."""
        return self.rows.z.shape[1]

    @property
    def q1(self) -> int:
        """Levels of the first factor."""
        return len(self.rows.start) - 1

    # --- products --------------------------------------------------------------------------------------------------
    def down(self, b: Array) -> Any:
        """Z2'Z1 b for b (q1 * k1, m)."""
        b = np.ascontiguousarray(b).reshape(self.q1, self.k1, b.shape[1])
        if self._few is not None:
            Z1, Z2 = self._few
            return Z2.T @ (Z1 @ b.reshape(-1, b.shape[2]))
        from mixedfx.linalg.row_passes import down_rows

        return self._summed(lambda begin, end, out: down_rows(begin, end, *self._arrays, b, out), b)

    def up(self, b: Array) -> Any:
        """Z1'Z2 b (q1 * k1, m) for b (q2, m)."""
        if self._few is not None:
            Z1, Z2 = self._few
            return Z1.T @ (Z2 @ b)
        from mixedfx.linalg.row_passes import up_rows

        b = np.ascontiguousarray(b)
        out = np.empty((self.q1, self.k1, b.shape[1]), b.dtype)
        self._share(lambda part, begin, end: up_rows(begin, end, *self._arrays, b, out))
        return out.reshape(-1, b.shape[1])

    def within(self, b: Array) -> Any:
        """Z2'Z2 b for b (q2, m)."""
        return self.schur(np.zeros((0, self.k1, self.k1), b.dtype), b)

    def schur(self, W: Array, b: Array) -> Any:
        """(Z2'Z2 - Z2'Z1 W Z1'Z2) b for b (q2, m), W (q1, k1, k1) blocks; none: Z2'Z2 b."""
        if self._few is not None:
            Z1, Z2 = self._few
            rows = Z2 @ b
            if len(W):
                moved = np.matmul(W, (Z1.T @ rows).reshape(self.q1, self.k1, -1))
                rows = rows - Z1 @ moved.reshape(self.q1 * self.k1, -1)
            return Z2.T @ rows
        from mixedfx.linalg.row_passes import schur_plain, schur_rows, schur_weighted

        b, rows = np.ascontiguousarray(b), self.rows
        if len(W) and rows.value is rows.z:
            arrays = rows.start, rows.column, self._weight if b.dtype == np.float64 else self._single_weight
            return self._summed(lambda begin, end, out: schur_weighted(begin, end, *arrays, W, b, out), b)
        if len(W) and rows.column.shape[1] == 1 and not len(rows.value) and not len(rows.z):
            return self._summed(lambda begin, end, out: schur_plain(begin, end, rows.start, rows.column, W, b, out), b)
        return self._summed(lambda begin, end, out: schur_rows(begin, end, *self._arrays, W, b, out), b)

    def diagonal_blocks(self, W: Vector) -> list[Vector]:
        """For each factor of the second level the (q, k, k) diagonal blocks of Z2'Z2 - Z2'Z1 W Z1'Z2."""
        sizes = self.__dict__["sizes"]
        if self._few is not None:
            return self._few_blocks(W)
        from mixedfx.linalg.row_passes import diagonal_rows

        lead, k, place, ends = self._layout_of_blocks
        out = np.zeros((PARTS, int(ends[-1])))

        def part(number: int, begin: int, end: int) -> None:
            held, seen = np.zeros((self.size, self.k1)), np.full(self.size, -1, dtype=np.int64)
            diagonal_rows(begin, end, *self._arrays, W, lead, k, place, held, seen, out[number])

        self._share(part)
        flat = np.split(out.sum(axis=0), ends[:-1])
        return [one.reshape(q, own, own) for one, (q, own) in zip(flat, sizes, strict=True)]

    def forms(self, blocks: list[Vector]) -> Vector:
        """(q1, k1, k1) sums of V_j'E_j V_j over the blocks of effects that a level meets, V = Z2'Z1.

        Parameters
        ----------
        blocks
            For each factor of the second level (q, k, k) E_j.
        """
        if self._few is not None:
            Z1, Z2 = self._few
            cross = sparse.csr_array(Z1.T @ Z2)
            moved = sparse.csr_array(cross @ block_matrix(blocks))
            out, k = np.empty((self.q1, self.k1, self.k1)), self.k1
            for a in range(k):
                for b in range(k):
                    out[:, a, b] = cross[a::k].multiply(moved[b::k]).sum(axis=1)
            return out
        from mixedfx.linalg.row_passes import forms_rows

        lead, k, place, _ = self._layout_of_blocks
        flat = np.concatenate([block.ravel() for block in blocks])
        out = np.empty((self.q1, self.k1, self.k1))

        def part(number: int, begin: int, end: int) -> None:
            held, seen = np.zeros((self.size, self.k1)), np.full(self.size, -1, dtype=np.int64)
            forms_rows(begin, end, *self._arrays, lead, k, place, flat, held, seen, out)

        self._share(part)
        return out

    @cached_property
    def _layout_of_blocks(self) -> tuple[Any, Any, Any, Any]:
        """First entry and number of columns of each factor, where the row of each column's block stands, and ends."""
        sizes = self.__dict__["sizes"]
        k = np.array([k for _, k in sizes])
        ends = np.cumsum([q * own * own for q, own in sizes])
        place = np.concatenate(
            [end - q * own * own + own * np.arange(q * own) for end, (q, own) in zip(ends, sizes, strict=True)]
        )
        return np.cumsum(k) - k, k, place, ends

    def noise(self, rng: np.random.Generator, m: int) -> tuple[Vector, Vector]:
        """Z'e (q1, k1, m) and (q2, m) for m columns of independent standard normal numbers e, one for each row."""
        start = self.rows.start
        first, second = np.zeros((self.q1, self.k1, m)), np.zeros((self.size, m))
        if self._few is not None:
            Z1, Z2 = self._few
            e = rng.standard_normal((len(self.rows.column), m))
            return (Z1.T @ e).reshape(first.shape), Z2.T @ e
        from mixedfx.linalg.row_passes import noise_rows

        step = max(1, 2**23 // (m * max(1, -(-len(self.rows.column) // self.q1))))
        for begin in range(0, self.q1, step):
            end = min(begin + step, self.q1)
            e = rng.standard_normal((int(start[end] - start[begin]), m))
            noise_rows(begin, end, *self._arrays, e, first, second)
        return first, second

    # --- how they are worked off -----------------------------------------------------------------------------------
    @property
    def _arrays(self) -> tuple[Any, ...]:
        return self.rows.start, self.rows.column, self.rows.value, self.rows.z

    @cached_property
    def _weight(self) -> Vector:
        """(n,) weights of rows that have a column, a covariate and nothing else."""
        return self.rows.z[:, 0] ** 2

    @cached_property
    def _single_weight(self) -> Array:
        return self._weight.astype(np.float32)

    @cached_property
    def _few(self) -> tuple[sparse.csr_array, sparse.csr_array] | None:
        """Z1 (n, q1 k1) and Z2 (n, q2), where the rows are few."""
        (n, E), k, rows = self.rows.column.shape, self.k1, self.rows
        if n > FEW_ROWS:
            return None
        level = np.repeat(np.arange(self.q1), np.diff(rows.start))
        columns = level[:, None] * k + np.arange(k)
        Z1 = sparse.csr_array((rows.covariates.ravel(), columns.ravel(), np.arange(n + 1) * k), (n, self.q1 * k))
        Z2 = sparse.csr_array((rows.values.ravel(), rows.column.ravel(), np.arange(n + 1) * E), (n, self.size))
        return Z1, Z2

    def _few_blocks(self, W: Vector) -> list[Vector]:
        assert self._few is not None
        Z1, Z2 = self._few
        cross = sparse.csr_array(Z1.T @ Z2)
        weighted = None
        if len(W):
            at = np.arange(self.q1 + 1)
            weighted = sparse.csr_array(sparse.bsr_array((W, at[:-1], at), shape=(len(W) * self.k1,) * 2) @ cross)
        Z2, cross = sparse.csc_array(Z2), sparse.csc_array(cross)
        weighted = None if weighted is None else sparse.csc_array(weighted)
        out = []
        for position in self.positions:
            q, k = position.shape
            block = np.empty((q, k, k))
            for a in range(k):
                for b in range(k):
                    left, right = position[:, a], position[:, b]
                    block[:, a, b] = Z2[:, left].multiply(Z2[:, right]).sum(axis=0)
                    if weighted is not None:
                        block[:, a, b] -= cross[:, left].multiply(weighted[:, right]).sum(axis=0)
            out.append(block)
        return out

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        """The levels of each part: about as many rows in each."""
        start = self.rows.start
        ends = np.searchsorted(start, np.linspace(0, start[-1], PARTS + 1)[1:-1])
        bounds = [0, *(int(end) for end in ends), self.q1]
        return [(bounds[i], max(bounds[i], bounds[i + 1])) for i in range(PARTS)]

    def _summed(self, work: Callable[[int, int, Array], None], like: Array) -> Array:
        """(q2, m) sums over the parts of what each adds to zeros."""
        out = np.zeros((PARTS, self.size, like.shape[-1]), like.dtype)
        self._share(lambda part, begin, end: work(begin, end, out[part]))
        total = out[0]
        for part in out[1:]:
            total += part
        return total

    def _share(self, work: Callable[[int, int, int], None]) -> None:
        ranges = self._ranges
        threads = min(MOST_THREADS, free_cores()) if len(self.rows.column) >= MANY_ROWS else 1
        if threads == 1:
            for part, (begin, end) in enumerate(ranges):
                work(part, begin, end)
            return
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda part: work(part, *ranges[part]), range(PARTS)):
                pass


def block_matrix(blocks: list[Vector]) -> sparse.csr_array:
    """(q2, q2) the block-diagonal matrix of blocks (q, k, k) of each factor."""
    E = sparse.block_diag([sparse.bsr_array((b, np.arange(len(b)), np.arange(len(b) + 1))) for b in blocks])
    return sparse.csr_array(E)


_OF_A_FACTOR = {f.name for f in fields(Coupling)} - {"positions"} | {"_transposed"}


class RowProducts:
    """What a second level needs that is solved by iteration: its rows in order, and Z2'W, from chunks of rows.

    Parameters
    ----------
    factors
        The grouping factors, the first one first.
    counts
        (q1,) rows of each level of the first.
    width
        Columns of W.
    ones
        For each factor whether it is a random intercept alone, of rows without weights.
    """

    def __init__(
        self, factors: tuple[GroupFactor, ...], counts: NDArray[np.int64], width: int, ones: list[bool]
    ) -> None:  # fmt: skip
        first, *rest = factors
        self.rest = tuple(rest)
        self.offsets = np.cumsum([0, *(g.n_levels * g.k for g in rest)])
        self.zw = np.zeros((int(self.offsets[-1]), width))
        n, E = int(counts.sum()), sum(g.k for g in rest)
        self._plain, self._ones = all(ones[1:]), ones[0]
        start = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.rows = Rows(
            start, np.empty((n, E), dtype=np.int32),
            np.empty((0 if self._plain else n, E)), np.empty((0 if self._ones else n, first.k)),
        )  # fmt: skip
        self._following = start[:-1].copy()

    @classmethod
    def of(cls, design: Design, factors: tuple[GroupFactor, ...]) -> RowProducts:
        """Those of a design whose rows are held; empty."""
        precision, first = design.precision, factors[0]
        weighted = not isinstance(precision, Independent) or precision.weights is not None
        counts = np.bincount(first.codes, minlength=first.n_levels)
        ones = [not weighted and _is_one(group) for group in factors]
        return cls(factors, counts, design.X.shape[1] + 1, ones)

    def add(
        self, rest: tuple[GroupFactor, ...], rows: slice, codes: NDArray[np.intp], z: Vector, W: Vector,
        precision: RowPrecision,
    ) -> None:  # fmt: skip
        """Take in some rows of the factors `rest`: levels of the first (m,); z (m, k), W (m, p + 1), both whitened."""
        from mixedfx.pls.crossproducts import level_products

        columns = np.empty((len(codes), self.rows.column.shape[1]), dtype=np.int32)
        values = np.empty((0 if self._plain else len(codes), columns.shape[1]))
        e = 0
        for f, group in enumerate(rest):
            own = precision.whiten(group.used(rows))
            base = self.offsets[f] + group.codes[rows] * group.k
            for a in range(group.k):
                columns[:, e + a] = base + a
            if not self._plain:
                values[:, e : e + group.k] = own
            self.zw[self.offsets[f] : self.offsets[f + 1]] += level_products(
                group.codes[rows], group.n_levels, own, W
            ).reshape(-1, W.shape[1])
            e += group.k
        self._place(codes, columns, values, z if not self._ones else z[:0])

    def _place(self, codes: NDArray[np.intp], columns: NDArray[np.int32], values: Vector, z: Vector) -> None:
        if len(self.rows.column) > FEW_ROWS:
            from mixedfx.linalg.row_passes import place_rows

            place_rows(codes, columns, values, z, self._following, self.rows.column, self.rows.value, self.rows.z)
            return
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(self._following))
        sorted_codes = codes[order]
        at = self._following[sorted_codes] + np.arange(len(codes)) - (np.cumsum(counts) - counts)[sorted_codes]
        self.rows.column[at] = columns[order]
        if len(values):
            self.rows.value[at] = values[order]
        if len(z):
            self.rows.z[at] = z[order]
        self._following += counts

    def incidence(self) -> Incidence:
        """The second level, once all rows are in."""
        return Incidence(self.rows, [(g.n_levels, g.k) for g in self.rest])


def _is_one(group: GroupFactor) -> bool:
    """Whether the factor is a random intercept alone."""
    return group.k == 1 and len(group.given) == 1 and bool((group.given[0] == 1.0).all())
