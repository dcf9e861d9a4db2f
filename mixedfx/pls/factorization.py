"""The Cholesky factorisation of M = Lambda'Z'Z Lambda + I on blocks, and everything that needs it.

With the first factor's effects eliminated,

    M = [ M1   B' ]      M1 = I + T1' G1 T1          block diagonal, (k1, k1) blocks
        [ B    M2 ]      C  = M2 - B M1^{-1} B'      the Schur complement, second level

where B = Lambda2' (Z2'Z1) T1. Vectors in the space of the random effects are pairs (b1, b2) of arrays (q1, k1, r) and
(q2, r), r right-hand sides, the second in the permuted order of the coupling.

Only those blocks of N = M^{-1} are formed that derivatives need. With V_i the rows of Lambda2' Z2'Z1 that meet level
i of the first factor and F_i = V_i' C^{-1} V_i, the diagonal blocks that the derivative of log|M| needs are

    Z'V^{-1}Z_ii = G1_i K_i - K_i' F_i K_i,  K_i = (I + T1 T1' G1_i)^{-1}     for the first factor, and
    T' Z'V^{-1}Z_jj T = I - [C^{-1}]_jj                                       for the others,

the second since Lambda'Z'Z Lambda = M - I. It is divided by T where T is invertible; elsewhere the block is
formed by a solve (`SecondLevel._singular_sum`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import batched
from mixedfx.pls.coupling import FORGOTTEN_FROM, Coupling
from mixedfx.pls.problem import Problem
from mixedfx.pls.second_level import SecondLevel, apply_blocks, second_scaled

Vector = NDArray[np.float64]
Pair = tuple[Vector, Vector]


class Factorization:
    """M at one set of relative covariance factors.

    Parameters
    ----------
    problem
        Cross-products.
    T
        The (k, k) relative covariance factor of each factor of `problem`, of the columns used; triangular or not.

    Raises
    ------
    numpy.linalg.LinAlgError
        If M is not positive definite to rounding (T is not finite, say).
    """

    def __init__(self, problem: Problem, T: list[Vector]) -> None:
        self.problem = problem
        self.T = T
        k1 = T[0].shape[0]
        M1 = batched.sandwich(T[0], problem.gram1)
        M1[np.arange(k1), np.arange(k1)] += 1.0
        self.L1 = batched.cholesky(M1)
        self.L1_inverse = batched.invert_lower(self.L1)
        self.M1_inverse = batched.gram_of_lower(self.L1_inverse)
        self.logdet = 2.0 * float(np.log(self.L1[np.arange(k1), np.arange(k1)]).sum())
        self.second: SecondLevel | None = None
        self.forgotten = False
        if problem.coupling is not None:
            weights = np.ascontiguousarray(batched.sandwich(T[0].T, self.M1_inverse).transpose(2, 0, 1))
            self.second = SecondLevel(problem.coupling, T[1:], weights)
            self.logdet += self.second.logdet

    def release(self) -> None:
        """Forget the inverse; it is formed again if asked for."""
        if self.second is not None:
            self.second.release()

    def forget(self) -> None:
        """Let a large factor go, before another is made; `T` stays, and all of it can be made again."""
        if self.second is not None and len(self.second.tail) >= FORGOTTEN_FROM:
            self.second = None
            self.forgotten = True

    # --- products with Lambda and with Z'Z -------------------------------------------------------------------------
    def scale(self, b: Pair) -> Pair:
        """Lambda b."""
        return scaled(self.T, self.problem.coupling, b)

    def scale_transposed(self, b: Pair) -> Pair:
        """Lambda' b."""
        return scaled(self.T, self.problem.coupling, b, transposed=True)

    def gram(self, b: Pair) -> Pair:
        """Z'Z b."""
        b1 = _batch_product(self.problem.gram1, b[0])
        if self.second is None:
            return b1, b[1]
        coupling = self.second.coupling
        flat = b[0].reshape(b[0].shape[0] * b[0].shape[1], b[0].shape[2])
        return b1 + coupling.up(b[1]).reshape(b1.shape), coupling.down(flat) + coupling.within(b[1])

    # --- solves ----------------------------------------------------------------------------------------------------
    def solve(self, b: Pair) -> Pair:
        """M^{-1} b."""
        c1 = _batch_product(self.M1_inverse, b[0])
        if self.second is None:
            return c1, b[1]
        x2 = self.second.solve(b[1] - self._couple_down(c1))
        return c1 - _batch_product(self.M1_inverse, self._couple_up(x2)), x2

    def newton_step(self, b: Pair) -> Pair:
        """M^{-1} b, to the digits that a step of Newton's method needs."""
        return self.solve(b)

    def half_solve(self, b: Pair) -> Pair:
        """L^{-1} b with M = L L': the sum of squares of the result is b'M^{-1}b."""
        h1 = _batch_product(self.L1_inverse, b[0])
        if self.second is None:
            return h1, b[1]
        c1 = _batch_product(self.L1_inverse.transpose(1, 0, 2), h1)
        return h1, self.second.half_solve(b[1] - self._couple_down(c1))

    def half_solve_transposed(self, b: Pair) -> Pair:
        """L^{-T} b: turns independent standard normal numbers into draws with covariance M^{-1}."""
        c1 = _batch_product(self.L1_inverse.transpose(1, 0, 2), b[0])
        if self.second is None:
            return c1, b[1]
        x2 = self.second.half_solve(b[1], transposed=True)
        return c1 - _batch_product(self.M1_inverse, self._couple_up(x2)), x2

    def _couple_down(self, c1: Vector) -> Vector:
        """Lambda2' Z2'Z1 T1 c1."""
        assert self.second is not None
        product = self.second.coupling.down(apply_blocks(self.T[0], c1).reshape(c1.shape[0] * c1.shape[1], c1.shape[2]))
        return self.second.scale(product, transposed=True)

    def _couple_up(self, x2: Vector) -> Vector:
        """T1' Z1'Z2 Lambda2 x2."""
        assert self.second is not None
        product = self.second.coupling.up(self.second.scale(x2))
        return apply_blocks(self.T[0].T, product.reshape(len(product) // len(self.T[0]), len(self.T[0]), x2.shape[-1]))

    # --- the blocks of the inverse that are needed -------------------------------------------------------------------
    def inverse_blocks(self) -> list[Vector]:
        """Diagonal blocks of M^{-1}: for each factor (k, k, q)."""
        if self.second is None:
            return [self.M1_inverse]
        forms = self.second.quadratic_forms()
        J = np.einsum("ac,cdb->adb", self.T[0], self.M1_inverse)
        first = self.M1_inverse + np.einsum("cab,bcd,deb->aeb", J, forms, J, optimize=True)
        return [first, *self.second.inverse_blocks()]

    def score_sums(self) -> tuple[list[Vector], list[Vector]]:
        """For each factor, the (k, k) sums over its levels of the diagonal blocks of Z'V^{-1}Z Lambda and of Z'V^{-1}Z.

        Twice the lower triangle of the first is the derivative of log|M| with respect to T. Both are exact at
        singular T. With K_i = (I + T1 T1' G1_i)^{-1}, a block of the first factor is

            Z'V^{-1}Z_ii = G1_i K_i - K_i' F_i K_i.
        """
        T1, G1 = self.T[0], self.problem.gram1
        N = batched.sandwich(T1.T, self.M1_inverse)
        K = -batched.product(N, G1)
        K[np.arange(len(T1)), np.arange(len(T1))] += 1.0
        total = np.tensordot(G1, K, axes=([1, 2], [0, 2]))
        if self.second is None:
            return [total @ T1], [total]
        forms = self.second.quadratic_forms()
        if len(T1) == 1:
            total -= np.sum(K[0, 0] ** 2 * forms[:, 0, 0])
        else:
            total -= np.einsum("cab,bcd,deb->ae", K, forms, K, optimize=True)
        scaled, plain = self.second.score_sums()
        return [total @ T1, *scaled], [total, *plain]


def scaled(T: list[Vector], coupling: Coupling | None, b: Pair, transposed: bool = False) -> Pair:
    """Lambda b, or Lambda'b, for the (k, k) factors T of all factors."""
    first = apply_blocks(T[0].T if transposed else T[0], b[0])
    return first, b[1] if coupling is None else second_scaled(T[1:], coupling, b[1], transposed)


def _batch_product(A: Vector, b: Vector) -> Vector:
    """A_j b_j for each level: A is (k, k, q), b is (q, k, r)."""
    if A.shape[0] == 1:
        return b * A[0, 0][:, None, None]
    k = A.shape[0]
    if k > batched.LOOP_LIMIT:
        return np.matmul(A.transpose(2, 0, 1), b)
    out = np.empty_like(b)
    for a in range(k):
        row = A[a, 0][:, None] * b[:, 0]
        for c in range(1, k):
            row += A[a, c][:, None] * b[:, c]
        out[:, a] = row
    return out
