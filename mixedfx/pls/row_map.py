r"""From weights of rows to the blocks of Z'WZ, and from the blocks of a matrix on their pattern back to the rows.

Iteratively reweighted fits need Z'WZ again and again for new row weights w. Its pattern never changes: the diagonal
blocks of the first factor, the entries where its levels meet the columns of the second level, and those where columns
of the second level meet (`Problem.gram1`, `Coupling.values`, `Coupling.gram`). Every entry is linear in w,

    blocks = M w,      M_ei = z_ia z_ib for the entry e at the columns a and b,

and the leverages c_i = z_i' P z_i of a symmetric P that is known on the same pattern are its transpose, c = M'P. M is
laid out once as a sparse matrix; with many rows, compiled loops take its place, which hold the position of each entry
and nothing else (`mixedfx.linalg.weighted_rows`). Where levels have known correlations a row meets every related level;
there the same numbers come from products of sparse matrices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg.shape import shape_of
from mixedfx.pls.coupling import Coupling, stack_rows
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.problem import Problem
from mixedfx.pls.second_products import sparse_z

Vector = NDArray[np.float64]

COMPILED_FROM = 20_000  # rows from which compiled loops save more than loading them costs


class RowMap(ABC):
    """The rows of Z, sorted by the levels of the first factor, and what they add to the blocks of Z'WZ.

    Attributes
    ----------
    problem
        The cross-products with all weights one, whose pattern is used.
    order
        (n,) row of the design that stands at each place.
    codes, z
        (n,) levels of the first factor and (n, k1) its covariates, in this order.
    """

    def __init__(self, problem: Problem, order: NDArray[np.intp]) -> None:
        first = problem.factors[0]
        self.problem, self.order = problem, order
        self.codes, self.z = first.codes[order], np.ascontiguousarray(first.z[order])
        self.first_size = first.n_levels * self.z.shape[1]

    @cached_property
    def Z1(self) -> sparse.csr_array:
        """(n, q1 k1) sparse rows of the first factor."""
        n, k = self.z.shape
        columns = self.codes[:, None] * k + np.arange(k)
        indptr = np.arange(0, n * k + 1, k)
        return sparse.csr_array((self.z.ravel(), columns.ravel(), indptr), shape=(n, self.first_size))

    @cached_property
    def Z2(self) -> sparse.csr_array | None:
        """(n, q2) sparse rows of the second level; None where there is none."""
        rest, coupling = self.problem.factors[1:], self.problem.coupling
        if coupling is None:
            return None
        inverse = np.empty(coupling.size, dtype=np.int64)
        inverse[coupling.layout.permutation] = np.arange(coupling.size)
        given = sparse_z(rest)
        permuted = sparse.csr_array((given.data, inverse[given.indices], given.indptr), shape=shape_of(given))
        out = sparse.csr_array(permuted[self.order])
        if any(group.mixing is not None for group in rest):
            out.sort_indices()
        return out

    @cached_property
    def Z(self) -> sparse.csr_array:
        """(n, q1 k1 + q2) sparse rows."""
        return self.Z1 if self.Z2 is None else sparse.csr_array(sparse.hstack([self.Z1, self.Z2], format="csr"))

    @cached_property
    def _Zt(self) -> Any:
        return self.Z.T

    def predictor(self, base: Vector, u: Pair) -> Vector:
        """(n,) base + Z u for one column of effects."""
        return base + self.times(u)[:, 0]

    def score_products(self, s: Vector) -> Pair:
        """Z's for s (n,), as one column."""
        return self.transposed(s[:, None])

    def column_products(self, w: Vector, Q: Vector) -> tuple[Vector, Pair]:
        """Q'WQ (p, p) and Z'WQ for the columns Q (n, p)."""
        WQ = w[:, None] * Q
        return Q.T @ WQ, self.transposed(WQ)

    def moments(self, Q: Vector, u: Pair, weight: Vector, third: Vector) -> tuple[Vector, Vector]:
        """For ydot = (Q, 0) + Z u (n, d): sums of weight ydot ydot' (d, d) and of third ydot z z' (q1, k1, k1, d)."""
        Y = self.times(u)
        Y[:, : Q.shape[1]] += Q
        k = self.z.shape[1]
        tensor = np.asarray(self.squares @ (third[:, None] * Y)).reshape(self.first_size // k, k, k, Y.shape[1])
        return Y.T @ (weight[:, None] * Y), tensor

    # --- products with Z ---------------------------------------------------------------------------------------------
    def times(self, u: Pair) -> Vector:
        """(n, r) Z u."""
        r = u[0].shape[-1]
        flat = u[0].reshape(self.first_size, r)
        return np.asarray(self.Z @ (flat if self.Z2 is None else np.concatenate([flat, u[1]])))

    def transposed(self, x: Vector) -> Pair:
        """Z'x for x (n, r)."""
        out = np.asarray(self._Zt @ x)
        k, r = self.z.shape[1], x.shape[1]
        return out[: self.first_size].reshape(self.first_size // k, k, r), out[self.first_size :]

    @cached_property
    def squares(self) -> sparse.csr_array:
        """(q1 k1^2, n) sparse map from x (n,) to the sums of x z z' over the rows of each level of the first factor."""
        n, k = self.z.shape
        products = (self.z[:, :, None] * self.z[:, None, :]).reshape(n, k * k)
        columns = self.codes[:, None] * (k * k) + np.arange(k * k)
        shape = (n, self.first_size * k)
        by_row = sparse.csr_array((products.ravel(), columns.ravel(), np.arange(0, n * k * k + 1, k * k)), shape=shape)
        return sparse.csr_array(by_row.T)

    # --- the blocks --------------------------------------------------------------------------------------------------
    @abstractmethod
    def blocks(self, w: Vector) -> tuple[Vector, Vector, Vector]:
        """(q1 k1 k1,) diagonal blocks of the first factor, (e k1,) coupling, and entries of Z2'WZ2, for weights w."""

    @abstractmethod
    def leverages(self, first: Vector, across: Vector, second: Vector) -> Vector:
        """(n,) z'Pz from the entries of P on the same pattern, shaped as `blocks` gives them."""

    def refilled(self, w: Vector) -> Problem:
        """The problem with the blocks of Z'WZ for weights w (n,), rows in the order of the map."""
        return self.filled(*self.blocks(w))

    def factorized(self, w: Vector, blocks: tuple[Vector, Vector, Vector] | None, T: list[Vector]) -> Factorization:
        """A = Lambda'Z'WZ Lambda + I for weights w (n,), whose `blocks` may be there already."""
        return Factorization(self.filled(*(self.blocks(w) if blocks is None else blocks)), T)

    def filled(self, first: Vector, values: Vector, gram: Vector) -> Problem:
        """The problem with these blocks."""
        k = self.z.shape[1]
        gram1 = np.ascontiguousarray(first.reshape(-1, k, k).transpose(1, 2, 0))
        coupling = self.problem.coupling
        if coupling is None:
            return replace(self.problem, gram1=gram1)
        return replace(self.problem, gram1=gram1, coupling=self._coupling(coupling, values.reshape(-1, k), gram))

    def _coupling(self, old: Coupling, values: Vector, gram: Vector) -> Coupling:
        dense = None
        if old.dense is not None:
            dense = np.zeros_like(old.dense)
            dense[old.row_of, old.indices] = values
        flat = values.ravel() if self.cross_source is None else values.ravel()[self.cross_source]
        return replace(
            old, values=values, dense=dense, cross=with_entries(old.cross, flat), gram=with_entries(old.gram, gram)
        )

    @cached_property
    def cross_source(self) -> NDArray[np.intp] | None:
        """Where in the values (e, k1), read along rows, the entries of `Coupling.cross` stand; None: in their order."""
        old = self.problem.coupling
        if old is None or old.values.shape[1] == 1:
            return None
        numbers = np.arange(old.values.size, dtype=np.float64).reshape(old.values.shape)
        indptr = np.concatenate([[0], old.row_end])
        return stack_rows(indptr, old.indices, numbers, shape_of(old.cross)).data.astype(np.intp)

    @cached_property
    def gram_entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the entries of Z2'Z2, in their order."""
        assert self.problem.coupling is not None
        gram = self.problem.coupling.gram
        return np.repeat(np.arange(shape_of(gram)[0], dtype=np.int64), np.diff(gram.indptr)), gram.indices.astype(
            np.int64
        )

    def covariance_blocks(self, at: Factorization) -> tuple[Vector, Vector, Vector]:
        """Lambda M^{-1} Lambda' on the pattern: (k1, k1, q1) first, (e, k1) across, (entries,) second.

        With W_i = T M1_i^{-1} T', B_i the coupling of level i and S = Lambda2 C^{-1} Lambda2' they are
        W_i + W_i B_i S B_i' W_i, -W_i B_i S and S.
        """
        from mixedfx.linalg import batched

        W = batched.sandwich(at.T[0].T, at.M1_inverse)
        if at.second is None:
            return W, np.zeros(0), np.zeros(0)
        products = at.second.inverse_products()
        forms = at.second.forms_of_products(products).transpose(1, 2, 0)
        first = W + batched.product(batched.product(W, forms), W)
        row_of = at.second.coupling.row_of
        across = -np.einsum("abe,eb->ea", W[:, :, row_of], at.second.unscaled(products))
        return first, across, at.second.on_pattern(*self.gram_entries)


def with_entries(matrix: sparse.csr_array, data: Vector) -> sparse.csr_array:
    """A matrix of the same pattern; a shallow copy, since the constructor would check the pattern again."""
    out = copy(matrix)
    out.data = data
    return out


def row_map(problem: Problem, compiled: bool | None = None) -> RowMap:
    """The row map of a problem; `compiled` says whether by loops, by default from `COMPILED_FROM` rows on."""
    order = np.argsort(problem.factors[0].codes, kind="stable")
    if any(group.mixing is not None for group in problem.factors[1:]):
        return RelatedRows(problem, order)
    loops = len(order) >= COMPILED_FROM if compiled is None else compiled
    return (LoopedRows if loops else MappedRows)(problem, order)


class _Positions(RowMap):
    """Rows that meet as many columns of the second level each: where their products go."""

    @cached_property
    def second(self) -> tuple[NDArray[np.int64], Vector]:
        """(n, m) columns of the second level, and (n, m) covariates."""
        n = len(self.z)
        if self.Z2 is None:
            return np.zeros((n, 0), dtype=np.int64), np.zeros((n, 0))
        covariates = np.asarray(self.Z2.data, dtype=np.float64).reshape(n, -1)
        return self.Z2.indices.reshape(n, -1).astype(np.int64), covariates

    @cached_property
    def entries(self) -> NDArray[np.int64]:
        """(n, m) entry of the coupling at the row's level and each of its columns."""
        coupling, (columns, _) = self.problem.coupling, self.second
        if coupling is None:
            return columns
        keys = coupling.row_of.astype(np.int64) * coupling.size + coupling.indices
        return np.searchsorted(keys, self.codes[:, None].astype(np.int64) * coupling.size + columns)

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """(n, m, m) entry of Z2'Z2 at each two columns of a row."""
        coupling, (columns, _) = self.problem.coupling, self.second
        if coupling is None:
            return columns[:, :, None]
        row, column = self.gram_entries
        size = coupling.size
        return np.searchsorted(row * size + column, columns[:, :, None] * size + columns[:, None, :])

    def predictor(self, base: Vector, u: Pair) -> Vector:
        """(n,) base + Z u, by gathering."""
        columns, z2 = self.second
        first = u[0][self.codes, :, 0]
        out = base + (self.z[:, 0] * first[:, 0] if first.shape[1] == 1 else np.einsum("na,na->n", self.z, first))
        for c in range(z2.shape[1]):
            out += z2[:, c] * u[1][columns[:, c], 0]
        return out

    def score_products(self, s: Vector) -> Pair:
        """Z's, by counting."""
        columns, z2 = self.second
        k = self.z.shape[1]
        q1 = self.first_size // k
        first = np.empty((q1, k))
        for a in range(k):
            first[:, a] = np.bincount(self.codes, s * self.z[:, a], q1)
        size = 0 if self.problem.coupling is None else self.problem.coupling.size
        second = np.zeros(size)
        for c in range(z2.shape[1]):
            second += np.bincount(columns[:, c], s * z2[:, c], size)
        return first[:, :, None], second[:, None]

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of entries: q1 k1^2, e k1 and of Z2'Z2."""
        coupling, k = self.problem.coupling, self.z.shape[1]
        if coupling is None:
            return self.first_size * k, 0, 0
        return self.first_size * k, coupling.values.size, int(coupling.gram.nnz)


class MappedRows(_Positions):
    """The map as a sparse matrix."""

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """(n, entries) transposed map M'."""
        (n, k), (_, z2), (first, coupling, gram) = self.z.shape, self.second, self.sizes
        m = z2.shape[1]
        data = [(self.z[:, :, None] * self.z[:, None, :]).reshape(n, -1)]
        columns = [self.codes[:, None] * (k * k) + np.arange(k * k)]
        if m:
            data.append((z2[:, :, None] * self.z[:, None, :]).reshape(n, -1))
            columns.append(first + (self.entries[:, :, None] * k + np.arange(k)).reshape(n, -1))
            data.append((z2[:, :, None] * z2[:, None, :]).reshape(n, -1))
            columns.append(first + coupling + self.pairs.reshape(n, -1))
        values, index = np.hstack(data), np.hstack(columns)
        indptr = np.arange(0, values.size + 1, values.shape[1])
        return sparse.csr_array((values.ravel(), index.ravel(), indptr), shape=(n, first + coupling + gram))

    @cached_property
    def _map(self) -> sparse.csr_array:
        return sparse.csr_array(self.matrix.T)

    def blocks(self, w: Vector) -> tuple[Vector, Vector, Vector]:
        """M w, cut in three."""
        out, (first, coupling, _) = self._map @ w, self.sizes
        return out[:first], out[first : first + coupling], out[first + coupling :]

    def leverages(self, first: Vector, across: Vector, second: Vector) -> Vector:
        """M'P, the entries across twice."""
        return np.asarray(self.matrix @ np.concatenate([first, 2.0 * across, second]))


class LoopedRows(_Positions):
    """The map as compiled loops."""

    @cached_property
    def _rows(self) -> tuple[Any, ...]:
        _, z2 = self.second
        return self.codes.astype(np.int64), self.z, np.ascontiguousarray(z2), self.entries, self.pairs

    def blocks(self, w: Vector) -> tuple[Vector, Vector, Vector]:
        """One pass over the rows."""
        from mixedfx.linalg.weighted_rows import add_blocks

        first, coupling, gram = (np.zeros(size) for size in self.sizes)
        add_blocks(*self._rows, w, first, coupling, gram)
        return first, coupling, gram

    @cached_property
    def _columns(self) -> tuple[Any, ...]:
        columns, z2 = self.second
        return self.codes.astype(np.int64), self.z, np.ascontiguousarray(z2), np.ascontiguousarray(columns)

    def scan(
        self, kind: int, y: Vector, trials: Vector, shape: float, base: Vector, u: Pair
    ) -> tuple[float, Vector, Vector, Vector, Pair, tuple[Vector, Vector, Vector]]:
        """One pass: the sum of log f, eta, s and w (n,), Z's and the blocks of Z'WZ.

        `kind` and `shape` as in `mixedfx.linalg.density_rows`.
        """
        from mixedfx.linalg.density_rows import scan

        eta, s, w = np.empty((3, len(y)))
        h1, h2 = np.zeros(u[0].shape[:2]), np.zeros(len(u[1]))
        blocks = tuple(np.zeros(size) for size in self.sizes)
        codes, z, z2, columns = self._columns
        total = scan(
            kind, y, trials, shape, base, codes, z, z2, columns, self.entries, self.pairs, u[0][:, :, 0], u[1][:, 0],
            eta, s, w, h1, h2, *blocks,
        )  # fmt: skip
        return total, eta, s, w, (h1[:, :, None], h2[:, None]), (blocks[0], blocks[1], blocks[2])

    def column_products(self, w: Vector, Q: Vector) -> tuple[Vector, Pair]:
        """One pass over the rows."""
        from mixedfx.linalg.density_rows import weighted_columns

        codes, z, z2, columns = self._columns
        (p, k), size = (Q.shape[1], z.shape[1]), 0 if self.problem.coupling is None else self.problem.coupling.size
        QWQ, first, second = np.zeros((p, p)), np.zeros((self.first_size // k, k, p)), np.zeros((size, p))
        weighted_columns(w, Q, codes, z, z2, columns, QWQ, first, second)
        return QWQ + np.tril(QWQ, -1).T, (first, second)

    def moments(self, Q: Vector, u: Pair, weight: Vector, third: Vector) -> tuple[Vector, Vector]:
        """One pass over the rows."""
        from mixedfx.linalg.density_rows import moments

        codes, z, z2, columns = self._columns
        d, k = u[0].shape[2], z.shape[1]
        squares, tensor = np.zeros((d, d)), np.zeros((self.first_size // k, k, k, d))
        first, second = np.ascontiguousarray(u[0]), np.ascontiguousarray(u[1])
        moments(Q, codes, z, z2, columns, first, second, weight, third, squares, tensor)
        for a in range(k):
            for b in range(a):
                tensor[:, b, a] = tensor[:, a, b]
        return squares + np.tril(squares, -1).T, tensor

    def leverages(self, first: Vector, across: Vector, second: Vector) -> Vector:
        """One pass over the rows."""
        from mixedfx.linalg.weighted_rows import row_leverages

        out = np.empty(len(self.z))
        row_leverages(*self._rows, np.ascontiguousarray(first), np.ascontiguousarray(across), second, out)
        return out


class RelatedRows(RowMap):
    """Rows that meet all levels related to their own: products of sparse matrices, sought on the pattern."""

    def blocks(self, w: Vector) -> tuple[Vector, Vector, Vector]:
        """Sums over rows by sparse products."""
        assert self.Z2 is not None
        coupling = self.problem.coupling
        assert coupling is not None
        size = coupling.size
        weighted = sparse.csr_array(sparse.diags_array(w) @ self.Z2)
        row, column = self.gram_entries
        gram = _on_pattern(sparse.csr_array(self.Z2.T @ weighted), row * size + column)
        k = self.z.shape[1]
        keys = coupling.row_of.astype(np.int64) * size + coupling.indices
        values = np.empty((len(keys), k))
        levels = self.first_size // k
        for a in range(k):
            by_level = sparse.csr_array((self.z[:, a], (self.codes, np.arange(len(w)))), shape=(levels, len(w)))
            values[:, a] = _on_pattern(sparse.csr_array(by_level @ weighted), keys)
        return np.asarray(self.squares @ w), values.ravel(), gram

    def leverages(self, first: Vector, across: Vector, second: Vector) -> Vector:
        """Row by row, from sparse products."""
        Z2, coupling = self.Z2, self.problem.coupling
        assert Z2 is not None
        assert coupling is not None
        out = np.asarray(self.squares.T @ first)
        flat = across if self.cross_source is None else across[self.cross_source]
        P12 = sparse.csr_array((flat, coupling.cross.indices, coupling.cross.indptr), shape=shape_of(coupling.cross))
        P22 = sparse.csr_array((second, coupling.gram.indices, coupling.gram.indptr), shape=shape_of(coupling.gram))
        both = sparse.csr_array(2.0 * (self.Z1 @ P12) + Z2 @ P22)
        return out + np.asarray(both.multiply(Z2).sum(axis=1)).ravel()


def _on_pattern(product: sparse.csr_array, keys: NDArray[np.int64]) -> Vector:
    """The entries of a sparse product at ascending keys row * columns + column, zero where it has none."""
    rows, size = shape_of(product)
    found = np.repeat(np.arange(rows, dtype=np.int64), np.diff(product.indptr)) * size + product.indices
    out = np.zeros(len(keys))
    out[np.searchsorted(keys, found)] = product.data
    return out
