"""An incidence whose rows are asked one by one: products with Z, and leverages; the compiled passes have twins here.

The leverages are those of a fit whose rows have weights, c = diag(Z Lambda A^{-1} Lambda'Z'); `mixedfx.pls.reweighted`
says of which parts they are made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg.conjugate_gradients import Array
from mixedfx.pls.incidence import PARTS, Incidence, block_matrix

Vector = NDArray[np.float64]


class RowIncidence(Incidence):
    """Rows without weights, and what is asked of each."""

    def times(self, u: tuple[Vector, Vector]) -> Vector:
        """(n, r) Z1 u1 + Z2 u2 for u1 (q1, k1, r) and u2 (q2, r)."""
        if self._few is not None:
            Z1, Z2 = self._few
            return Z1 @ u[0].reshape(self.q1 * self.k1, u[0].shape[2]) + Z2 @ u[1]
        from mixedfx.linalg.row_passes import times_rows

        first, second = np.ascontiguousarray(u[0]), np.ascontiguousarray(u[1])
        out = np.empty((len(self.rows.column), second.shape[1]))
        self._share(lambda part, begin, end: times_rows(begin, end, *self._arrays, first, second, out))
        return out

    def transposed(self, x: Vector) -> tuple[Vector, Vector]:
        """Z1'x (q1, k1, r) and Z2'x (q2, r) for x (n, r)."""
        first, start = np.zeros((self.q1, self.k1, x.shape[1])), self.rows.start
        if self._few is not None:
            Z1, Z2 = self._few
            return (Z1.T @ x).reshape(first.shape), Z2.T @ x
        from mixedfx.linalg.row_passes import noise_rows

        def work(begin: int, end: int, out: Array) -> None:
            noise_rows(begin, end, *self._arrays, x[start[begin] : start[end]], first, out)

        return first, np.asarray(self._summed(work, x), dtype=np.float64)

    def first_gram(self, weight: Vector) -> Vector:
        """(k1, k1, q1) Z1'diag(weight) Z1 of each level."""
        out, k = np.zeros((self.k1, self.k1, self.q1)), self.k1
        if self._few is not None:
            Z1, _ = self._few
            for a in range(k):
                for b in range(k):
                    out[a, b] = Z1[:, a::k].multiply(Z1[:, b::k]).T @ weight
            return out
        from mixedfx.linalg.row_passes import gram_rows

        self._share(lambda part, begin, end: gram_rows(begin, end, self.rows.start, self.rows.z, weight, out))
        return out

    def block_leverages(self, weight: Vector, W: Vector, inner: Vector, blocks: list[Vector]) -> Vector:
        """(n,) z1'W z1 + x'E x of rows, x = z2 - V W z1 and V = Z2'diag(weight) Z1 of the row's level.

        Parameters
        ----------
        weight
            (n,) weights that are in V; the rows here have none.
        W, inner
            (q1, k1, k1) W, and W + W V'E V W.
        blocks
            For each factor of the second level (q, k, k) blocks of E.
        """
        if self._few is not None:
            Z1, Z2 = self._few
            E = block_matrix(blocks)
            level = np.repeat(np.arange(self.q1), np.diff(self.rows.start))
            z, k = self.rows.covariates, self.k1
            moved = np.einsum("nab,nb->na", W[level], z)
            out = np.einsum("na,nab,nb->n", z, inner[level], z)
            other = sparse.csr_array(Z2 @ E)
            V = sparse.csr_array(Z1.T @ sparse.csr_array(sparse.diags_array(weight) @ Z2))
            across = sum(other.multiply(sparse.csr_array(V[a::k])[level]).sum(axis=1) * moved[:, a] for a in range(k))
            return out + np.asarray(other.multiply(Z2).sum(axis=1)) - 2.0 * np.asarray(across)
        from mixedfx.linalg.row_passes import block_leverages

        lead, k, place, _ = self._layout_of_blocks
        flat = np.concatenate([block.ravel() for block in blocks])
        out = np.empty(len(self.rows.column))

        def part(number: int, begin: int, end: int) -> None:
            held = np.zeros((self.size, self.k1))
            block_leverages(begin, end, *self._arrays, weight, W, inner, lead, k, place, flat, held, out)

        self._share(part)
        return out

    def product_leverages(
        self, sides: list[Array], firsts: list[Array], total: Vector,
        directions: tuple[Vector, Vector, tuple[Vector, Vector], Vector] | None,
    ) -> Vector:  # fmt: skip
        """Add sums over c of (x'l_c)(x'r_c) of each row to `total` (n,), and give them along directions.

        Parameters
        ----------
        sides, firsts
            The two (q2, m) l and r, and what x has of them along z1, (q1, k1, m).
        total
            Is added to.
        directions
            third (n,), Q (n, p), u (q1, k1, d) and (q2, d), bend (a, n), as `mixedfx.pls.reweighted.Pull` has them.

        Returns
        -------
        ndarray
            (m, d) sums over rows.
        """
        n, m = len(self.rows.column), sides[0].shape[1]
        if directions is None:
            none = np.zeros((self.q1, self.k1, 0)), np.zeros((self.size, 0))
            directions = np.zeros(0), np.zeros((n, 0)), none, np.zeros((0, n))
        third, Q, u, bend = directions
        if self._few is not None:
            Z1, Z2 = self._few
            one, two = (Z2 @ b - Z1 @ b1.reshape(-1, m) for b, b1 in zip(sides, firsts, strict=True))
            found = one * two
            total += found.sum(axis=1)
            if not u[1].shape[1]:
                return np.zeros((m, 0))
            pull = self.times(u)
            pull[:, : Q.shape[1]] += Q
            pull *= third[:, None]
            if len(bend):
                pull[:, -len(bend) :] += bend.T
            return found.T @ pull
        from mixedfx.linalg.row_passes import product_leverages

        sums = np.zeros((PARTS, m, u[1].shape[1]))
        given = *(np.ascontiguousarray(b) for b in (*sides, *firsts)), third, Q, *map(np.ascontiguousarray, u), bend
        self._share(lambda part, begin, end: product_leverages(begin, end, *self._arrays, *given, total, sums[part]))
        return sums.sum(axis=0)
