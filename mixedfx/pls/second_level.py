"""The second level of elimination: the Schur complement of the first factor, its Cholesky factor and its inverse.

With V_i the rows of Lambda2' Z2'Z1 that meet level i of the first factor, and W_i = T1 M1_i^{-1} T1', it is

    C = Lambda2' Z2'Z2 Lambda2 + I - sum_i V_i W_i V_i'.

Where there are no weights W_i is the identity. The sums over i are taken by one of three ways: products of the dense
matrix of all V_i, sums over the pairs of columns that meet in a level, where these are few, or compiled loops. C is
kept as sparse columns and a dense tail (`mixedfx.pls.coupling`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from mixedfx.linalg import triangular, twins
from mixedfx.linalg.shape import shape_of
from mixedfx.pls.coupling import Coupling, Index
from mixedfx.pls.pattern import lookup, scatter

REGULAR = 1e-3  # smallest singular value of T, relative to its largest entry, whose inverse keeps eight digits
CHUNK = 2**24  # numbers held at once where columns of the second level are solved for

dpotrf, dpotri = linalg.get_lapack_funcs(("potrf", "potri"), dtype=np.float64)

Vector = NDArray[np.float64]


class SecondLevel:
    """The Schur complement C of the first factor, its factor, and its inverse where it is asked for."""

    def __init__(self, coupling: Coupling, T: list[Vector], weights: Vector | None) -> None:
        self.coupling = coupling
        self.T = T
        self._weights = weights
        layout = coupling.layout
        q2, split = coupling.size, layout.split
        self.head = np.zeros(layout.start[-1])
        if coupling.arrays is not None and coupling.dense is not None:
            half = self.scale(coupling.arrays[2], transposed=True)
            self.tail = np.asfortranarray(self.scale(np.ascontiguousarray(half.T), transposed=True))
            self.tail[np.arange(q2), np.arange(q2)] += 1.0
            self._dense = self._scaled_array(coupling.dense)
            self._values = self._dense[coupling.row_of, coupling.indices]
            self._downdate(weights)
            self.logdet = self._factorise()
            self._inverse: tuple[Vector, Vector] | None = None
            self._forms: Vector | None = None
            return
        self._values = self._scaled_values()
        self.tail = np.zeros((q2 - split, q2 - split), order="F")
        self._scatter_gram()
        if coupling.dense is not None or coupling.pairs is not None:
            self._dense = np.zeros((0, 0, 0)) if coupling.pairs is not None else self._scaled_dense()
            self._downdate(weights)
        else:
            from mixedfx.linalg import kernels

            sparse_part = self.tail, split, layout.start, layout.row, self.head
            if weights is None:
                kernels.downdate_outer(*sparse_part, *self._entries(), self._values)
            else:
                kernels.downdate(*sparse_part, *self._entries(), self._values, weights)
        self.logdet = self._factorise()
        self._inverse = None
        self._forms = None

    def _downdate(self, weights: Vector | None) -> None:
        """Subtract what the first factor explains, by NumPy."""
        coupling = self.coupling
        if coupling.pairs is None:
            twins.downdate(self.tail, self._dense, weights)
        else:
            pairs = coupling.pairs
            twins.downdate_pairs(self.tail, pairs.first, pairs.second, pairs.level, pairs.place, self._values, weights)

    def _sizes(self) -> Vector | None:
        """(q2,) diagonal of Lambda of the second level, where it is diagonal."""
        if any(len(T) > 1 for T in self.T):
            return None
        out = np.empty(self.coupling.size)
        for T, position in zip(self.T, self.coupling.positions, strict=True):
            out[position[:, 0]] = T[0, 0]
        return out

    def _scatter_gram(self) -> None:
        """Lambda2' Z2'Z2 Lambda2 + I into head and tail."""
        gram, layout, sizes = self.coupling.gram, self.coupling.layout, self._sizes()
        if sizes is None:
            lam = self._lambda()
            scaled = sparse.csc_array(lam.T @ gram @ lam)
        else:
            row = np.repeat(np.arange(len(sizes)), np.diff(gram.indptr))
            data = gram.data * sizes[row] * sizes[gram.indices]
            if not layout.split:  # both triangles
                self.tail[gram.indices, row] = data
                self.tail[np.arange(len(sizes)), np.arange(len(sizes))] += 1.0
                return
            scaled = sparse.csc_array((data, gram.indices, gram.indptr), shape=shape_of(gram))
        scatter(scaled, layout.start, layout.row, layout.split, self.head, self.tail)

    def _scaled_array(self, dense: Vector) -> Vector:
        """(q1, q2, k1) Lambda2' Z2'Z1."""
        out = np.empty_like(dense)
        for T, position in zip(self.T, self.coupling.positions, strict=True):
            if len(T) == 1:
                out[:, position[:, 0]] = dense[:, position[:, 0]] * T[0, 0]
            else:
                out[:, position] = np.einsum("ac,ejad->ejcd", T, dense[:, position])
        return out

    def _entries(self) -> tuple[Index, Index, Index, Index, Index]:
        c = self.coupling
        return c.column_start, c.order, c.row_of, c.row_end, c.indices

    def _lambda(self) -> sparse.csr_array:
        """(q2, q2) Lambda of the second level, in permuted order; every block full, so that patterns are the same."""
        rows, cols, data = [], [], []
        for T, position in zip(self.T, self.coupling.positions, strict=True):
            k = T.shape[0]
            rows.append(np.repeat(position, k, axis=1).ravel())
            cols.append(np.tile(position, (1, k)).ravel())
            data.append(np.tile(T.ravel(), len(position)))
        q2 = self.coupling.size
        return sparse.csr_array((np.concatenate(data), (np.concatenate(rows), np.concatenate(cols))), shape=(q2, q2))

    def _scaled_values(self) -> Vector:
        """(e, k1) entries of Lambda2' Z2'Z1: the columns of one level stand next to each other in each row."""
        values, indices = self.coupling.values, self.coupling.indices
        out = np.empty_like(values)
        first_column = np.zeros(self.coupling.size, dtype=np.int8)
        for f, position in enumerate(self.coupling.positions):
            first_column[position[:, 0]] = f + 1
        start = first_column[indices]
        for f, T in enumerate(self.T):
            base = np.flatnonzero(start == f + 1)
            k = T.shape[0]
            if k == 1:
                out[base] = values[base] * T[0, 0]
                continue
            block = values[base[:, None] + np.arange(k)]
            out[base[:, None] + np.arange(k)] = np.einsum("ac,ead->ecd", T, block)
        return out

    def _scaled_dense(self) -> Vector:
        assert self.coupling.dense is not None
        dense = np.zeros_like(self.coupling.dense)
        dense[self.coupling.row_of, self.coupling.indices] = self._values
        return dense

    def _factorise(self) -> float:
        layout = self.coupling.layout
        logdet = 0.0
        if layout.split:
            from mixedfx.linalg import kernels

            bad = kernels.factorise_head(self.tail, layout.split, layout.start, layout.row, self.head)
            if bad >= 0:
                raise np.linalg.LinAlgError("matrix is not positive definite")
            logdet += 2.0 * float(np.log(self.head[layout.start[:-1]]).sum())
        if self.tail.shape[0]:
            self.tail, info = dpotrf(self.tail, lower=1, overwrite_a=1, clean=0)
            if info != 0:
                raise np.linalg.LinAlgError("matrix is not positive definite")
            logdet += 2.0 * float(np.log(np.diag(self.tail)).sum())
        return logdet

    def scale(self, b: Vector, transposed: bool = False) -> Vector:
        """Lambda2 b, or Lambda2' b."""
        return second_scaled(self.T, self.coupling, b, transposed)

    def half_solve(self, b: Vector, transposed: bool = False) -> Vector:
        """L^{-1} b, or L^{-T} b, with C = L L'."""
        layout = self.coupling.layout
        split = layout.split
        x = np.array(b, dtype=np.float64, order="C")
        if split and not transposed:
            from mixedfx.linalg import kernels

            kernels.solve_head(split, layout.start, layout.row, self.head, x)
        if self.tail.shape[0]:
            x[split:] = triangular.solve(self.tail, x[split:], lower=True, transposed=transposed)
        if split and transposed:
            from mixedfx.linalg import kernels

            kernels.solve_head_transposed(split, layout.start, layout.row, self.head, x)
        return x

    def solve(self, b: Vector) -> Vector:
        """C^{-1} b."""
        return self.half_solve(self.half_solve(b), transposed=True)

    def inverse(self) -> tuple[Vector, Vector]:
        """C^{-1} on the pattern of its factor: entries of the sparse columns, and the dense lower triangle."""
        if self._inverse is None:
            layout = self.coupling.layout
            tail = self.tail
            if tail.shape[0]:
                tail, _ = dpotri(tail, lower=1, overwrite_c=0)
            head = np.zeros_like(self.head)
            if layout.split:
                from mixedfx.linalg import kernels

                kernels.selected_inverse(tail, layout.split, layout.start, layout.row, self.head, head)
            self._inverse = head, tail
        return self._inverse

    def release(self) -> None:
        """Forget the inverse and what was made from it."""
        self._inverse = self._forms = None

    def inverse_products(self) -> Vector:
        """(e, k1) entries of C^{-1} V_i, for each level i at the columns that it meets; V_i as in `quadratic_forms`."""
        head, tail = self.inverse()
        layout, coupling = self.coupling.layout, self.coupling
        if coupling.pairs is not None:
            full = np.tril(tail) + np.tril(tail, -1).T
            pairs = coupling.pairs
            return twins.inverse_products_pairs(full, pairs.first, pairs.second, pairs.place, self._values)
        if coupling.dense is not None:
            products = twins.inverse_products(np.tril(tail) + np.tril(tail, -1).T, self._dense)
            return products[coupling.row_of, coupling.indices]
        from mixedfx.linalg import kernels

        out = np.zeros_like(coupling.values)
        kernels.inverse_products(
            tail, layout.split, layout.start, layout.row, head, *self._entries(), self._values, out
        )
        return out

    def forms_of_products(self, products: Vector) -> Vector:
        """The forms of `quadratic_forms`, from what `inverse_products` gave; they are kept."""
        if self._forms is None:
            q1, k1 = len(self.coupling.row_end), products.shape[1]
            forms = np.empty((q1, k1, k1))
            for a in range(k1):
                for b in range(k1):
                    forms[:, a, b] = np.bincount(self.coupling.row_of, self._values[:, a] * products[:, b], q1)
            self._forms = forms
        return self._forms

    def unscaled(self, products: Vector) -> Vector:
        """(e, k1) entries of Lambda2 times a matrix with the pattern of the coupling, level by level."""
        indices, out = self.coupling.indices, np.empty_like(products)
        for T, position in zip(self.T, self.coupling.positions, strict=True):
            k = len(T)
            first = np.zeros(self.coupling.size, dtype=bool)
            first[position[:, 0]] = True
            at = np.flatnonzero(first[indices])[:, None] + np.arange(k)
            out[at] = np.einsum("ac,ecd->ead", T, products[at])
        return out

    def on_pattern(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> Vector:
        """Lambda2 C^{-1} Lambda2' at all the entries of Z2'Z2, (rows, columns) in ascending order."""
        coupling, layout = self.coupling, self.coupling.layout
        head, tail = self.inverse()
        low, high = np.minimum(row, column), np.maximum(row, column)
        inner = lookup(low, high, layout.start, layout.row, layout.split, head, tail)
        sizes = self._sizes()
        if sizes is not None:
            return inner * sizes[row] * sizes[column]
        lam = self._lambda()
        middle = sparse.csr_array((inner, coupling.gram.indices, coupling.gram.indptr), shape=coupling.gram.shape)
        product = sparse.coo_array(lam @ middle @ lam.T)
        out = np.zeros(len(inner))
        found = np.searchsorted(
            row * coupling.size + column, product.row.astype(np.int64) * coupling.size + product.col
        )
        out[found] = product.data
        return out

    def quadratic_forms(self) -> Vector:
        """(q1, k1, k1) forms F_i = V_i' C^{-1} V_i."""
        if self._forms is None:
            self._forms = self._quadratic_forms()
        return self._forms

    def _quadratic_forms(self) -> Vector:
        if self.coupling.pairs is not None:
            return self.forms_of_products(self.inverse_products())
        head, tail = self.inverse()
        layout = self.coupling.layout
        if self.coupling.dense is not None:
            return twins.quadratic_forms(np.tril(tail) + np.tril(tail, -1).T, self._dense)
        from mixedfx.linalg import kernels

        k1 = self.coupling.values.shape[1]
        out = np.zeros((len(self.coupling.row_end), k1, k1))
        kernels.quadratic_forms(tail, layout.split, layout.start, layout.row, head, *self._entries(), self._values, out)
        return out

    def inverse_blocks(self) -> list[Vector]:
        """Diagonal blocks of C^{-1}: for each factor of the second level (k, k, q)."""
        head, tail = self.inverse()
        layout = self.coupling.layout
        out = []
        for position in self.coupling.positions:
            k = position.shape[1]
            block = np.empty((k, k, len(position)))
            for a in range(k):
                for b in range(a + 1):
                    low, high = np.minimum(position[:, a], position[:, b]), np.maximum(position[:, a], position[:, b])
                    block[a, b] = block[b, a] = lookup(low, high, layout.start, layout.row, layout.split, head, tail)
            out.append(block)
        return out

    def score_sums(self) -> tuple[list[Vector], list[Vector]]:
        """For each factor of the second level, the sums of the diagonal blocks of Z'V^{-1}Z Lambda and of Z'V^{-1}Z."""
        scaled, plain = [], []
        for f, (T, block) in enumerate(zip(self.T, self.inverse_blocks(), strict=True)):
            if len(T) == 1 and abs(T[0, 0]) > REGULAR * max(1.0, abs(T[0, 0])):
                ZVZT = (block.shape[2] - block.sum(axis=2)) / T[0, 0]
                ZVZ = ZVZT / T[0, 0]
            elif len(T) > 1 and np.linalg.svd(T, compute_uv=False)[-1] > REGULAR * max(1.0, np.abs(T).max()):
                k, q = block.shape[0], block.shape[2]
                ZVZT = np.linalg.solve(T.T, q * np.eye(k) - block.sum(axis=2))
                ZVZ = np.linalg.solve(T.T, ZVZT.T)
            else:
                ZVZ = self._singular_sum(f)
                ZVZT = ZVZ @ T
            scaled.append(ZVZT)
            plain.append((ZVZ + ZVZ.T) / 2.0)
        return scaled, plain

    def _singular_sum(self, f: int) -> Vector:
        """The sum of the diagonal blocks of Z'V^{-1}Z for a factor whose T is singular or nearly so.

        With D = Z2'V1^{-1}Z2, V1 the covariance that the first factor alone gives,

            Z2'V^{-1}Z2 = D - D Lambda2 C^{-1} Lambda2' D:

        one half solve for each column of the factor. D is Z2'Z2 less a product of the coupling, both sparse.
        """
        coupling, position = self.coupling, self.coupling.positions[f]
        count, k = position.shape
        weighted = coupling.cross
        if self._weights is not None:
            rows, height = np.arange(len(self._weights)), shape_of(coupling.cross)[0]
            blocks = sparse.bsr_array((self._weights, rows, np.arange(len(rows) + 1)), shape=(height, height))
            weighted = sparse.csr_array(blocks) @ weighted
        total = np.zeros((k, k))
        step = max(1, CHUNK // (k * max(coupling.size, 1)))
        for begin in range(0, count, step):
            columns = position[begin : begin + step].ravel()
            if coupling.dense is not None:
                D = coupling.gram[:, columns].toarray()
                twins.downdate_columns(D, coupling.dense, self._weights, columns)
            else:
                D = (coupling.gram[:, columns] - coupling.cross.T @ weighted[:, columns]).toarray()
            half = self.half_solve(self.scale(D, transposed=True)).reshape(coupling.size, -1, k)
            local = D[columns].reshape(-1, k, D.shape[1] // k, k)
            total += np.einsum("jajb->ab", local) - np.einsum("sja,sjb->ab", half, half)
        return total


def second_scaled(T: list[Vector], coupling: Coupling, b: Vector, transposed: bool) -> Vector:
    """Lambda2 b, or Lambda2' b, for the factors T of the second level."""
    if all(len(one) == 1 for one in T):
        if len(T) == 1:
            return b * T[0][0, 0]
        sizes = np.empty(len(b))
        for one, position in zip(T, coupling.positions, strict=True):
            sizes[position[:, 0]] = one[0, 0]
        return b * sizes[:, None]
    out = np.empty_like(b)
    for one, position in zip(T, coupling.positions, strict=True):
        out[position] = apply_blocks(one.T if transposed else one, b[position])
    return out


def apply_blocks(T: Vector, b: Vector) -> Vector:
    """T b for each level: b is (q, k, r)."""
    if T.shape[0] == 1:
        return b * T[0, 0]
    return np.matmul(T, b)
