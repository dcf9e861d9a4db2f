"""The collapsed likelihood at many points at once, for models whose second level of elimination is small.

Let F = [Z2, W], Z2 the columns of all grouping factors but the first (none, in a model with one) and W = [Q, y]. With
V1 the covariance that the first factor alone gives,

    F'V1^{-1}F = F'F - sum_j (Z_j'F)' N_j (Z_j'F),    N_j = T (I + T'G_j T)^{-1} T',

and N_j depends on the level j of the first factor only through its block G_j = Z_j'Z_j. Levels with equal blocks (a
balanced design has one) share N, and the products of (Z_j'F) are summed over them once and for all. What is left for D
points is one matrix product, and Cholesky factors of small matrices: no loop over points, no loop over rows. Z2 is then
eliminated like the first factor, by the Cholesky factor of C = I + Lambda2'(Z2'V1^{-1}Z2) Lambda2.
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
LARGEST_SECOND = 80  # random effects of the second level up to which dense matrices for every point pay
CHUNK = 2**19  # numbers of one temporary array
ALIKE = 13  # decimals, relative to the largest entry, to which blocks of Z'Z are compared


@dataclass(frozen=True, eq=False)
class Solved:
    """D points: log likelihood, factor of S~, mean of gamma, and what draws of u need.

    `inverse` (k, k, D * b) are the inverse factors of M's first blocks; `factor` (D, q2, q2) those of C, `scale` (D,
    q2, q2) Lambda2, and `right` (D, q2, p + 1) the product Lambda2' Z2'V1^{-1}W.
    """

    loglik: Vector
    L: Vector
    gamma: Vector
    inverse: Vector
    factor: Vector
    scale: Vector
    right: Vector


@dataclass(frozen=True, eq=False)
class CollapsedBatch:
    """Sums over the levels of the first factor, for evaluations at many points.

    Attributes
    ----------
    collapsed
        The likelihood.
    gram
        (k, k, b) distinct blocks of Z'Z of the first factor.
    counts
        (b,) number of levels with each.
    block_of
        (q,) which block a level has.
    table
        (b * k * k, w^2) sums of products of Z_j'F over the levels of each block, w the width of F.
    products
        (w, w) F'F.
    cross
        (k, q, q2) Z_j'Z2.
    """

    collapsed: Collapsed
    gram: Vector
    counts: Vector
    block_of: NDArray[np.intp]
    table: Vector
    products: Vector
    cross: Vector

    @property
    def q2(self) -> int:
        """Random effects of the second level."""
        return self.cross.shape[2]

    def loglik(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Vector:
        """(D,) log p(y | T, sigma, d).

        Parameters
        ----------
        factors
            For each factor of the problem, (D, k, k) relative factors T_used, triangular or not.
        sigma
            (D,) residual standard deviations.
        mixing
            (D, m) factors of the prior precisions.

        Returns
        -------
        ndarray
            Minus infinity at points where the factorisation breaks down.
        """
        out = np.full(len(sigma), -np.inf)
        fine = sigma > 0
        for T in factors:
            fine &= np.isfinite(T).all(axis=(1, 2)) & (np.abs(T).max(axis=(1, 2), initial=0.0) < 1e7)
        for rows in self._chunks(np.flatnonzero(fine)):
            try:
                out[rows] = self.solve(_at(factors, rows), sigma[rows], mixing[rows]).loglik
            except np.linalg.LinAlgError:
                for row in rows[:, None]:
                    try:
                        out[row] = self.solve(_at(factors, row), sigma[row], mixing[row]).loglik
                    except np.linalg.LinAlgError:
                        continue
        return np.where(np.isnan(out), -np.inf, out)

    def draw(
        self, factors: list[Vector], sigma: Vector, mixing: Vector, rng: np.random.Generator
    ) -> tuple[Vector, Vector]:
        """(D, p) and (D, q) exact draws of (beta, u), one for each point."""
        problem = self.collapsed.problem
        beta = np.empty((len(sigma), problem.p))
        u = np.empty((len(sigma), self.collapsed.design.n_random))
        for rows in self._chunks(np.arange(len(sigma)), problem.factors[0].n_levels):
            self._draw(_at(factors, rows), sigma[rows], mixing[rows], rng, rows, beta, u)
        return beta, u

    def _draw(
        self, factors: list[Vector], sigma: Vector, mixing: Vector, rng: np.random.Generator, rows: NDArray[np.intp],
        beta: Vector, u: Vector,
    ) -> None:  # fmt: skip
        """Draw (beta, u) for some rows and put them where they belong."""
        problem, T = self.collapsed.problem, factors[0]
        k, p, levels, D = len(self.gram), problem.p, problem.factors[0].n_levels, len(sigma)
        at = self.solve(factors, sigma, mixing)
        gamma = at.gamma
        if p:
            gamma = gamma + sigma[:, None] * _solve_upper(at.L, rng.standard_normal((D, p)))
        beta[rows] = self.collapsed.beta(gamma)
        zw = problem.zw1.transpose(1, 2, 0)
        residual = zw[:, p][:, None] - np.einsum("dp,apq->adq", gamma, zw[:, :p])
        if self.q2:
            # v2 = C^{-1} Lambda2'Z2'V1^{-1}(y - Q gamma) + sigma L^{-T} e
            right = at.right[..., p] - np.einsum("dap,dp->da", at.right[..., :p], gamma)
            half = np.linalg.solve(at.factor, right[..., None])[..., 0] + sigma[:, None] * rng.standard_normal(
                (D, self.q2)
            )
            effects = np.einsum("dab,db->da", at.scale, _solve_upper(at.factor, half))
            residual -= np.einsum("aqs,ds->adq", self.cross, effects)
            self._place(1, effects, rows, u)
        # v_j = M_j^{-1} T'Z_j'(y - Q gamma - Z2 u2) + sigma L_j^{-T} e
        J = at.inverse.reshape(k, k, D, -1)[..., self.block_of]
        half = np.einsum("cadq,adq->cdq", J, np.einsum("dca,cdq->adq", T, residual))
        half += sigma[:, None] * rng.standard_normal((k, D, levels))
        effects = np.einsum("dab,cbdq,cdq->dqa", T, J, half, optimize=True)
        index = self.collapsed.effect_index[0]
        u[rows[:, None, None], index] = (effects @ problem.factors[0].inverse.T)[:, : len(index)]

    def _place(self, first: int, effects: Vector, rows: NDArray[np.intp], u: Vector) -> None:
        problem = self.collapsed.problem
        assert problem.coupling is not None
        groups, index = problem.factors[first:], self.collapsed.effect_index[first:]
        for group, where, position in zip(groups, index, problem.coupling.positions, strict=True):
            own = effects[:, position] @ group.inverse.T
            u[rows[:, None, None], where] = own if group.mixing is None else np.einsum("ij,djk->dik", group.mixing, own)

    def _chunks(self, rows: NDArray[np.intp], width: int = 0) -> list[NDArray[np.intp]]:
        k, blocks = self.gram.shape[0], self.gram.shape[2]
        size = max(1, CHUNK // max(k * k * max(blocks, width), len(self.products) ** 2))
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    def solve(self, factors: list[Vector], sigma: Vector, mixing: Vector) -> Solved:
        """Log likelihood and what is solved for on the way, at D points; arguments as those of `loglik`."""
        problem, prior, T = self.collapsed.problem, self.collapsed.prior, factors[0]
        C, location = self.collapsed.rotated
        p, D, q2, (k, _, blocks) = problem.p, len(sigma), self.q2, self.gram.shape
        TG = np.einsum("dca,cfu->adfu", T, self.gram)
        M = np.einsum("adfu,dfb->abdu", TG, T).reshape(k, k, D * blocks)
        M[np.arange(k), np.arange(k)] += 1.0
        L1 = batched.cholesky(M)
        inverse = batched.invert_lower(L1)
        logdet = 2.0 * np.log(L1[np.arange(k), np.arange(k)]).sum(axis=0).reshape(D, blocks) @ self.counts
        J = np.einsum("cadu,dba->cbdu", inverse.reshape(k, k, D, blocks), T)
        N = np.einsum("cadu,cbdu->duab", J, J).reshape(D, -1)
        F = self.products - (N @ self.table).reshape(D, q2 + p + 1, q2 + p + 1)
        SW, factor, scale, right = F, np.empty((D, 0, 0)), np.empty((D, 0, 0)), np.empty((D, 0, p + 1))
        if q2:
            scale = self._second_scale(factors)
            across = scale.transpose(0, 2, 1)
            factor = np.linalg.cholesky(across @ F[:, :q2, :q2] @ scale + np.eye(q2))
            right = across @ F[:, :q2, q2:]
            half = np.linalg.solve(factor, right)
            SW = F[:, q2:, q2:] - half.transpose(0, 2, 1) @ half
            logdet = logdet + _logdet(factor)
        sigma2 = sigma**2
        d = mixing * prior.scale**-2.0
        weighted = sigma2[:, None] * d
        St = SW[:, :p, :p] + np.einsum("ma,dm,mb->dab", C, weighted, C, optimize=True)
        L = np.linalg.cholesky(St)
        b = SW[:, :p, p] + (weighted * location) @ C
        gamma = np.linalg.solve(St, b[..., None])[..., 0] if p else b
        square = (SW[:, p, p] + weighted @ location**2 - np.einsum("da,da->d", b, gamma)) / sigma2
        log_scale = (problem.n - p) * np.log(sigma2) - np.log(d).sum(axis=1)
        deviance = self.collapsed.constant + log_scale + logdet + _logdet(L) + square
        return Solved(-0.5 * deviance, L, gamma, inverse, factor, scale, right)

    def _second_scale(self, factors: list[Vector]) -> Vector:
        """(D, q2, q2) Lambda2."""
        coupling = self.collapsed.problem.coupling
        assert coupling is not None
        out = np.zeros((len(factors[0]), self.q2, self.q2))
        for T, position in zip(factors[1:], coupling.positions, strict=True):
            k = position.shape[1]
            for a in range(k):
                for b in range(k):
                    out[:, position[:, a], position[:, b]] = T[:, None, a, b]
        return out


def batch(collapsed: Collapsed) -> CollapsedBatch | None:
    """Sums for evaluations at many points; None where the model is too large for them to pay."""
    problem = collapsed.problem
    q2 = 0 if problem.coupling is None else problem.coupling.size
    k, q, width = problem.gram1.shape[0], problem.gram1.shape[2], q2 + problem.p + 1
    if q2 > LARGEST_SECOND:
        return None
    cross = np.zeros((k, q, 0))
    products = problem.ww
    if problem.coupling is not None:
        cross = problem.coupling.cross.toarray().reshape(q, k, q2).transpose(1, 0, 2)
        products = np.block([[problem.coupling.gram.toarray(), problem.zw2], [problem.zw2.T, problem.ww]])
    # levels are alike where their blocks are, but for the rounding of sums taken in another order
    blocks = problem.gram1.reshape(k * k, q).T
    _, first, block_of, counts = np.unique(
        np.round(blocks / max(float(np.abs(blocks).max(initial=0.0)), 1e-300), ALIKE),
        axis=0, return_index=True, return_inverse=True, return_counts=True,
    )  # fmt: skip
    distinct = blocks[first]
    if len(distinct) * k * k * width**2 > LARGEST_TABLE:
        return None
    block_of = block_of.reshape(-1)
    member = sparse.csr_array((np.ones(q), (block_of, np.arange(q))), shape=(len(distinct), q))
    ZF = np.concatenate([cross, problem.zw1.transpose(1, 0, 2)], axis=2)
    table = np.empty((len(distinct), k, k, width * width))
    step = max(1, 4 * CHUNK // width**2)
    for a in range(k):
        for b in range(k):
            table[:, a, b] = sum(
                member[:, rows] @ (ZF[a, rows, :, None] * ZF[b, rows, None, :]).reshape(-1, width**2)
                for rows in (slice(i, i + step) for i in range(0, q, step))
            )
    gram = np.ascontiguousarray(distinct.T.reshape(k, k, -1))
    return CollapsedBatch(
        collapsed,
        gram,
        counts.astype(np.float64),
        block_of.astype(np.intp),
        table.reshape(-1, width * width),
        products,
        cross,
    )


def _at(factors: list[Vector], rows: NDArray[np.intp]) -> list[Vector]:
    return [T[rows] for T in factors]


def _logdet(L: Vector) -> Vector:
    """(D,) log determinants of L L'."""
    logs = np.log(np.diagonal(L, axis1=1, axis2=2))
    return 2.0 * np.asarray(logs.sum(axis=1), dtype=np.float64)


def _solve_upper(L: Vector, b: Vector) -> Vector:
    """(D, s) solutions of L' x = b."""
    return np.asarray(np.linalg.solve(L.transpose(0, 2, 1), b[..., None])[..., 0], dtype=np.float64)
