r"""Random effects of a weighted fit: modes, and what is known of them.

Given the effects of the levels above, the effects of a unit have under the pseudo likelihood (`recursion.py`) the mode
and covariance

    u = G (S_Zy - S_ZX beta - S_Z,above u_above),   sigma^2 G,   G = T (I + T'S_ZZ T)^-1 T',

from the top level down; S are the unit's cross-products with everything below integrated out, its own weight not
included. So (u - mode) = B (u_above - mode) + sigma root(G) e with independent standard normal e, and the modes are
linear in beta: with the covariance of beta and these, every linear combination of (beta, u) has a covariance. theta and
sigma are taken as known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.linalg.roots import symmetric_root
from mixedfx.linalg.shape import shape_of
from mixedfx.surveys.problem import Products, WeightedProblem
from mixedfx.surveys.recursion import bare, eliminated

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Modes:
    """Random effects and their joint uncertainty with beta.

    Attributes
    ----------
    u
        (q,) modes, ordered as the design orders them.
    by_beta
        (q, p) derivatives of the modes in beta.
    root
        (q, .) sparse root of the covariance of u given beta.
    vcov
        (p, p) covariance of beta.
    beta
        (p,) estimates.
    """

    u: Array
    by_beta: Array
    root: sparse.csr_array
    vcov: Array
    beta: Array

    def covariance(self, fixed: Array, random: sparse.csr_array) -> Array:
        """(s, s) covariance of estimate minus truth of fixed beta + random u."""
        F, K = self._rows(fixed, random)
        return F @ self.vcov @ F.T + (K @ K.T).toarray()

    def variances(self, fixed: Array, random: sparse.csr_array) -> Array:
        """(s,) diagonal of `covariance`."""
        F, K = self._rows(fixed, random)
        return np.einsum("sp,pr,sr->s", F, self.vcov, F) + np.asarray(K.multiply(K).sum(axis=1)).ravel()

    def _rows(self, fixed: Array, random: sparse.csr_array) -> tuple[Array, sparse.csr_array]:
        return fixed + random @ self.by_beta, sparse.csr_array(random @ self.root)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """(n, p) and (n, q) joint draws of beta and u."""
        rest = rng.standard_normal((n, len(self.beta))) @ symmetric_root(self.vcov)
        _, m = shape_of(self.root)
        own = (self.root @ rng.standard_normal((m, n))).T
        return self.beta + rest, self.u + rest @ self.by_beta.T + own

    @property
    def sds(self) -> Array:
        """(q,) standard deviations of the effects given beta."""
        return np.sqrt(np.asarray(self.root.multiply(self.root).sum(axis=1)).ravel())


def modes(
    design: Design, problem: WeightedProblem, given: Products, par: Array, gamma: Array, sigma: float, beta: Array,
    vcov: Array,
) -> Modes:  # fmt: skip
    """Random effects at the estimates of one fit.

    Parameters
    ----------
    design
        The design.
    problem, given
        Rows and cross-products of one fit.
    par
        (r,) parameters of the optimiser.
    gamma, sigma
        (p,) and residual standard deviation.
    beta, vcov
        (p,) coefficients and their covariance.
    """
    levels, p = problem.nesting.levels, problem.p
    q = design.n_random
    if not levels:
        return Modes(np.zeros(0), np.zeros((0, p)), sparse.csr_array((0, 0)), vcov, beta)
    factors = problem.factors(par[None])
    jet, own = bare(given.S), []
    for depth, factor in enumerate(factors):
        own.append(_of_level(jet.S[:, :, 0], factor.T[0]))
        if depth < len(levels) - 1:
            jet = eliminated(jet, factor, 0).weighted_sums(given.units[depth], levels[depth + 1].starts)
    offsets = np.cumsum([0, *(level.size * level.k for level in levels)])
    mean, by_gamma = np.zeros(q), np.zeros((q, p))
    found, rows, columns, values = [np.zeros(0)] * len(levels), [], [], []
    roots = []
    for depth in range(len(levels) - 1, -1, -1):
        level, (G, root, Q) = levels[depth], own[depth]
        k, U = level.k, level.size
        at = offsets[depth] + np.arange(U)[:, None] * k + np.arange(k)
        rest, slope = Q[:, :, -1] - Q[:, :, -1 - p : -1] @ gamma, -Q[:, :, -1 - p : -1]
        first, unit = 0, np.arange(U)
        for upper in range(depth + 1, len(levels)):
            unit = np.searchsorted(levels[upper].starts, unit, side="right") - 1
            ku = levels[upper].k
            part = Q[:, :, first : first + ku]
            rest = rest - np.einsum("uij,uj->ui", part, found[upper][unit])
            there = offsets[upper] + unit[:, None] * ku + np.arange(ku)
            B = -G @ part
            rows.append(np.broadcast_to(at[:, :, None], B.shape).ravel())
            columns.append(np.broadcast_to(there[:, None, :], B.shape).ravel())
            values.append(B.ravel())
            first += ku
        found[depth] = np.einsum("uij,uj->ui", G, rest)
        mean[at] = found[depth]
        by_gamma[at] = G @ slope
        shape = (U, k, k)
        roots.append(
            sparse.coo_array(
                (
                    sigma * root.ravel(),
                    (np.broadcast_to(at[:, :, None], shape).ravel(), np.broadcast_to(at[:, None], shape).ravel()),
                ),
                shape=(q, q),
            )
        )
    D = sparse.csr_array(sum(roots[1:], roots[0]))
    L, J = D, by_gamma
    if rows:
        place = (np.concatenate(rows), np.concatenate(columns))
        B = sparse.csr_array(sparse.coo_array((np.concatenate(values), place), shape=(q, q)))
        for _ in levels[1:]:
            L, J = sparse.csr_array(D + B @ L), by_gamma + B @ J
    W = _to_design(design, problem, offsets)
    return Modes(W @ mean, (W @ J) @ problem.R, sparse.csr_array(W @ L), vcov, beta)


def _of_level(S: Array, T: Array) -> tuple[Array, Array, Array]:
    """G (U, k, k), its root, and cross-products (U, k, c - k) of the level's columns with those that remain."""
    k = len(T)
    P = np.ascontiguousarray(S[:k, :k].transpose(2, 0, 1))
    L = np.linalg.cholesky(np.eye(k) + T.T @ P @ T)
    root = T @ np.linalg.inv(L).transpose(0, 2, 1)
    return root @ root.transpose(0, 2, 1), root, np.ascontiguousarray(S[:k, k:].transpose(2, 0, 1))


def _to_design(design: Design, problem: WeightedProblem, offsets: NDArray[np.intp]) -> sparse.csr_array:
    """(q, q) from effects of the columns used, in the order of levels and units, to those of the design."""
    rows, columns, values = [], [], []
    for depth, (level, blocks) in enumerate(zip(problem.nesting.levels, problem.blocks, strict=True)):
        for block in blocks:
            k = len(block.basis)
            shape = (level.size, k, k)
            code = design.random[block.term].codes[problem.nesting.order[level.first_rows]]
            to = design.starts[block.term] + code[:, None] * k + np.arange(k)
            of = offsets[depth] + np.arange(level.size)[:, None] * level.k + np.arange(k) + block.columns.start
            rows.append(np.broadcast_to(to[:, :, None], shape).ravel())
            columns.append(np.broadcast_to(of[:, None], shape).ravel())
            values.append(np.broadcast_to(np.linalg.inv(block.basis), shape).ravel())
    place = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(sparse.coo_array((np.concatenate(values), place), shape=(design.n_random,) * 2))
