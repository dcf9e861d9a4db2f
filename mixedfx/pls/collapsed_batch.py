"""The collapsed likelihood of a single grouping factor at many points at once.

With one factor, W'V^{-1}W = W'W - sum_j (Z_j'W)' N_j (Z_j'W) with N_j = T (I + T'G_j T)^{-1} T', and N_j depends on the level j only
through its block G_j = Z_j'Z_j. Levels with equal blocks (a balanced design has one) share N, and the products of (Z_j'W) are
summed over them once and for all. What is left for D points is one matrix product, and Cholesky factors of small matrices
with the batch on the last axis: no loop over points, no loop over rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg import batched
from mixedfx.pls.collapsed import Collapsed

Vector = NDArray[np.float64]

LARGEST_TABLE = 2**22  # numbers in the table of products, beyond which points are better taken one by one
CHUNK = 2**19  # numbers of one temporary array


@dataclass(frozen=True, eq=False)
class CollapsedBatch:
    """Sums over the levels of one factor, for evaluations at many points.

    Attributes
    ----------
    collapsed
        The likelihood.
    gram
        (k, k, b) distinct blocks of Z'Z.
    counts
        (b,) number of levels with each.
    block_of
        (q,) which block a level has.
    table
        (b * k * k, (p + 1)^2) sums of products of Z_j'W over the levels of each block.
    """

    collapsed: Collapsed
    gram: Vector
    counts: Vector
    block_of: NDArray[np.intp]
    table: Vector

    def loglik(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Vector:
        """(D,) log p(y | T, sigma, d) for one (D, k, k) array of factors, (D,) sigma and (D, m) precision factors.

        Points at which the factorisation breaks down have the value minus infinity.
        """
        (T,) = factors
        out = np.full(len(sigma), -np.inf)
        fine = np.isfinite(T).all(axis=(1, 2)) & (np.abs(T).max(axis=(1, 2), initial=0.0) < 1e7) & (sigma > 0)
        for rows in self._chunks(np.flatnonzero(fine)):
            try:
                out[rows] = self._solve(T[rows], sigma[rows], mixing[rows])[0]
            except np.linalg.LinAlgError:
                for row in rows:
                    try:
                        out[row] = self._solve(T[[row]], sigma[[row]], mixing[[row]])[0][0]
                    except np.linalg.LinAlgError:
                        continue
        return np.where(np.isnan(out), -np.inf, out)

    def draw(
        self, factors: list[Vector], sigma: Vector, mixing: Vector, rng: np.random.Generator
    ) -> tuple[Vector, Vector]:
        """(D, p) and (D, q) exact draws of (beta, u), one for each point."""
        (T,) = factors
        problem = self.collapsed.problem
        k, p, levels = self.gram.shape[0], problem.p, problem.factors[0].n_levels
        beta, u = np.empty((len(sigma), p)), np.empty((len(sigma), levels * k))
        index = self.collapsed.effect_index[0]
        for rows in self._chunks(np.arange(len(sigma)), levels):
            _, L, gamma, inverse = self._solve(T[rows], sigma[rows], mixing[rows])
            D = len(rows)
            if p:
                spread = np.linalg.solve(L.transpose(0, 2, 1), rng.standard_normal((D, p, 1)))[..., 0]
                gamma = gamma + sigma[rows, None] * spread
            beta[rows] = self.collapsed.beta(gamma)
            # v_j = L_j^{-T} (L_j^{-1} T' Z_j'(y - Q gamma) + sigma e), u_j = T v_j
            zw = problem.zw1.transpose(1, 2, 0)
            residual = zw[:, p][:, None] - np.einsum("dp,apq->adq", gamma, zw[:, :p])
            scaled = np.einsum("dca,cdq->adq", T[rows], residual)
            J = inverse.reshape(k, k, D, -1)[..., self.block_of]
            half = np.einsum("cadq,adq->cdq", J, scaled)
            half += sigma[rows, None] * rng.standard_normal((k, D, levels))
            effects = np.einsum("dab,cbdq,cdq->daq", T[rows], J, half, optimize=True)
            effects /= problem.factors[0].scale[:, None]
            u[rows[:, None, None], index] = effects.transpose(0, 2, 1)
        return beta, u

    def _chunks(self, rows: NDArray[np.intp], width: int = 0) -> list[NDArray[np.intp]]:
        k, blocks = self.gram.shape[0], self.gram.shape[2]
        size = max(1, CHUNK // (k * k * max(blocks, width)))
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    def _solve(self, T: Vector, sigma: Vector, mixing: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        """Log likelihood (D,), factor of S~ (D, p, p), mean of gamma (D, p), and inverse factors of M (k, k, D * b)."""
        problem, prior = self.collapsed.problem, self.collapsed.prior
        C, location = self.collapsed.rotated
        p, D, (k, _, blocks) = problem.p, len(sigma), self.gram.shape
        TG = np.einsum("dca,cfu->adfu", T, self.gram)
        M = np.einsum("adfu,dfb->abdu", TG, T).reshape(k, k, D * blocks)
        M[np.arange(k), np.arange(k)] += 1.0
        L1 = batched.cholesky(M)
        inverse = batched.invert_lower(L1)
        logdet = 2.0 * np.log(L1[np.arange(k), np.arange(k)]).sum(axis=0).reshape(D, blocks) @ self.counts
        J = np.einsum("cadu,dba->cbdu", inverse.reshape(k, k, D, blocks), T)
        N = np.einsum("cadu,cbdu->duab", J, J).reshape(D, -1)
        SW = problem.ww - (N @ self.table).reshape(D, p + 1, p + 1)
        sigma2 = sigma**2
        d = mixing * prior.scale**-2.0
        weighted = sigma2[:, None] * d
        St = SW[:, :p, :p] + np.einsum("ma,dm,mb->dab", C, weighted, C, optimize=True)
        L = np.linalg.cholesky(St)
        right = SW[:, :p, p] + (weighted * location) @ C
        gamma = np.linalg.solve(St, right[..., None])[..., 0] if p else right
        square = (SW[:, p, p] + weighted @ location**2 - np.einsum("da,da->d", right, gamma)) / sigma2
        logdet_S = 2.0 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        deviance = (
            self.collapsed.constant
            + (problem.n - p) * np.log(sigma2)
            + logdet
            - np.log(d).sum(axis=1)
            + logdet_S
            + square
        )
        return -0.5 * deviance, L, gamma, inverse


def batch(collapsed: Collapsed) -> CollapsedBatch | None:
    """Sums for evaluations at many points; None where the model is crossed or too large for it to pay."""
    problem = collapsed.problem
    if problem.coupling is not None:
        return None
    k, q, width = problem.gram1.shape[0], problem.gram1.shape[2], problem.p + 1
    lower = problem.gram1.reshape(k * k, q).T
    distinct, block_of, counts = np.unique(lower, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) * k * k * width**2 > LARGEST_TABLE:
        return None
    block_of = block_of.reshape(-1)
    member = sparse.csr_array((np.ones(q), (block_of, np.arange(q))), shape=(len(distinct), q))
    table = np.empty((len(distinct), k, k, width * width))
    for a in range(k):
        for b in range(k):
            products = problem.zw1[:, a, :, None] * problem.zw1[:, b, None, :]
            table[:, a, b] = member @ products.reshape(q, -1)
    gram = np.ascontiguousarray(distinct.T.reshape(k, k, -1))
    return CollapsedBatch(
        collapsed, gram, counts.astype(np.float64), block_of.astype(np.intp), table.reshape(-1, width * width)
    )
