"""The joint distribution of fixed effects and random effects given the variance parameters.

Henderson's equations for (v, gamma), u = Lambda v, have the matrix A = [[M, Lambda'Z'Q], [Q'Z Lambda, Q'Q]], and the
errors (v-hat - v, gamma-hat - gamma) have covariance sigma^2 A^{-1} (Henderson 1975). With S = Q'V^{-1}Q the Schur
complement of M,

    gamma              has covariance sigma^2 S^{-1},
    v given gamma      has mean -M^{-1} Lambda'Z'Q gamma and covariance sigma^2 M^{-1},

so that any linear functional costs one half solve and a draw one transposed half solve; no inverse is formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.linalg import triangular
from mixedfx.linalg.shape import shape_of
from mixedfx.pls.evaluate import Evaluation, less_fixed
from mixedfx.pls.factorization import Pair
from mixedfx.pls.problem import Problem, random_index

Vector = NDArray[np.float64]

BLOCK = 2**25  # numbers held at once while variances of many functionals are computed


@dataclass(frozen=True)
class Joint:
    """Estimates of (beta, u) and the covariance of their errors, theta and sigma fixed.

    Attributes
    ----------
    design, problem, evaluation
        What was fitted, and the factorisation at the estimate.
    """

    design: Design
    problem: Problem
    evaluation: Evaluation

    @cached_property
    def _solved(self) -> Pair:
        """M^{-1} Lambda'Z'W."""
        factorization = self.evaluation.factorization
        return factorization.solve(factorization.scale_transposed((self.problem.zw1, self.problem.zw2)))

    @cached_property
    def _positions(self) -> list[NDArray[np.intp]]:
        return random_index(self.design, self.problem)

    @cached_property
    def _S_factor(self) -> Vector:
        """(p, p) lower Cholesky factor of X'V^{-1}X in the basis Q."""
        return np.asarray(np.linalg.cholesky(self.evaluation.S), dtype=np.float64)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.evaluation.sigma2))

    @cached_property
    def beta(self) -> Vector:
        """(p,) fixed effects."""
        return self._unrotate(self.evaluation.gamma[:, None])[:, 0] + self.problem.shift

    @cached_property
    def vcov(self) -> Vector:
        """(p, p) covariance of the fixed effects."""
        half = triangular.solve(self._S_factor, self._rotate(np.eye(self.problem.p)), lower=True)
        return self.evaluation.sigma2 * (half.T @ half)

    def basis_of_fixed(self, fixed: Vector) -> Vector:
        """(s, p) rows over beta as rows over gamma: x R^{-1}."""
        return self._rotate(fixed).T

    @cached_property
    def absorbed(self) -> list[Vector]:
        """For each factor (q, k, p) Lambda M^{-1} Lambda'Z'Q: V^{-1}Q = Q - Z times it, Z of the columns used."""
        p, factorization = self.problem.p, self.evaluation.factorization
        first, second = (part[..., :p] for part in self._solved)
        parts = self._by_factor(factorization.scale((first, second)))
        return [group.mixed(part) for group, part in zip(self.problem.factors, parts, strict=True)]

    def half_gamma(self, right: Vector) -> Vector:
        """(p, s) L^{-1} times (p, s), with Q'V^{-1}Q = L L'."""
        return triangular.solve(self._S_factor, right, lower=True)

    def solve_information(self, right: Vector) -> Vector:
        """(p, s) (X'V^{-1}X)^{-1} X'b from (p, s) Q'b: no matrix in the columns of X is formed."""
        half = triangular.solve(self._S_factor, self.half_gamma(right), lower=True, transposed=True)
        return self._unrotate(np.asarray(half))

    def length_of_beta(self, change: Vector) -> Vector:
        """(s,) c' vcov^{-1} c of (p, s) changes of beta."""
        moved = self._S_factor.T @ (self.problem.R @ change)
        return (moved**2).sum(axis=0) / self.evaluation.sigma2

    @cached_property
    def u(self) -> Vector:
        """(q,) conditional modes, ordered as the design orders them."""
        v = less_fixed(self._solved, self.evaluation.gamma)
        return self._to_design(self.evaluation.factorization.scale(v))[:, 0]

    def _rotate(self, fixed: Vector) -> Vector:
        """(p, s) coefficients of gamma = R (beta - b) from (s, p) coefficients of beta."""
        if self.problem.p == 0:
            return np.zeros((0, len(fixed)))
        return triangular.solve(self.problem.R, fixed.T, transposed=True)

    def _unrotate(self, gamma: Vector) -> Vector:
        """(p, s) R^{-1} gamma."""
        return triangular.solve(self.problem.R, gamma)

    def _by_factor(self, u: Pair) -> list[Vector]:
        """(q1, k1, s), (q2, s) as one (q, k, s) array for each factor."""
        return [u[0]] + ([] if self.problem.coupling is None else [u[1][x] for x in self.problem.coupling.positions])

    def _to_design(self, u: Pair) -> Vector:
        """(q, s) effects in the order of the design from (q1, k1, s), (q2, s) of the columns used."""
        out = np.empty((self.design.n_random, u[0].shape[-1]))
        for group, positions, part in zip(self.problem.factors, self._positions, self._by_factor(u), strict=True):
            if group.blocks:
                out[positions] = group.effects(part).reshape(len(positions), part.shape[-1])
        return out

    def _from_design(self, random: sparse.csr_array) -> Pair:
        """Coefficients (s, q) of u as (q1, k1, s), (q2, s) coefficients of the effects used."""
        s = shape_of(random)[0]
        effects = sparse.csr_array(random.T)
        parts = [
            group.coefficients(cast("sparse.csr_array", effects[at]).toarray().reshape(group.n_levels, group.k, s))
            if group.blocks
            else np.zeros((group.n_levels, group.k, s))
            for group, at in zip(self.problem.factors, self._positions, strict=True)
        ]
        second = np.zeros((0 if self.problem.coupling is None else self.problem.coupling.size, s))
        if self.problem.coupling is not None:
            for position, part in zip(self.problem.coupling.positions, parts[1:], strict=True):
                second[position] = part
        return parts[0], second

    def _halves(self, fixed: Vector, random: sparse.csr_array) -> tuple[Pair, Vector]:
        """Vectors whose inner products are the covariances of the functionals, in units of sigma^2."""
        p, factorization = self.problem.p, self.evaluation.factorization
        a = factorization.scale_transposed(self._from_design(random))
        rest = self._rotate(fixed)
        for solved, part in zip(self._solved, a, strict=True):
            rest = rest - np.tensordot(solved[..., :p], part, axes=(range(part.ndim - 1), range(part.ndim - 1)))
        return factorization.half_solve(a), triangular.solve(self._S_factor, rest, lower=True)

    def covariance(self, fixed: Vector, random: sparse.csr_array) -> Vector:
        """Covariance of the errors of s functionals.

        Parameters
        ----------
        fixed
            (s, p) coefficients of beta.
        random
            (s, q) sparse coefficients of u.

        Returns
        -------
        ndarray
            (s, s) covariance of fixed @ (beta-hat - beta) + random @ (u-hat - u), theta and sigma at their estimates.
        """
        halves, rest = self._halves(fixed, random)
        out = rest.T @ rest
        for half in halves:
            flat = half.reshape(-1, half.shape[-1])
            out = out + flat.T @ flat
        return self.evaluation.sigma2 * out

    def variances(self, fixed: Vector, random: sparse.csr_array) -> Vector:
        """(s,) the diagonal of `covariance`, for any number of functionals, in blocks of bounded memory."""
        out = np.empty(len(fixed))
        step = max(1, BLOCK // max(1, self.design.n_random))
        for begin in range(0, len(fixed), step):
            rows = slice(begin, begin + step)
            halves, rest = self._halves(fixed[rows], sparse.csr_array(random[rows]))
            out[rows] = (rest**2).sum(axis=0) + sum((h**2).reshape(-1, h.shape[-1]).sum(axis=0) for h in halves)
        return self.evaluation.sigma2 * out

    def group_covariances(self, columns: NDArray[np.intp]) -> tuple[Vector, Vector]:
        """Covariances of the errors of G sets of k random effects, among themselves and with beta.

        Rows of a data set that share their levels share these; `variances` would repeat the work for every row.

        Parameters
        ----------
        columns
            (G, k) positions in u.

        Returns
        -------
        tuple of ndarray
            (G, k, k) and (G, p, k).
        """
        (groups, k), q, p = columns.shape, self.design.n_random, self.problem.p
        among, with_beta = np.empty((groups, k, k)), np.empty((groups, p, k))
        beta = triangular.solve(self._S_factor, self._rotate(np.eye(p)), lower=True)
        step = max(1, BLOCK // max(1, q * k))
        for begin in range(0, groups, step):
            part = columns[begin : begin + step]
            s = part.size
            unit = sparse.csr_array((np.ones(s), part.ravel(), np.arange(s + 1)), shape=(s, q))
            halves, rest = self._halves(np.zeros((s, p)), unit)
            stacked = np.concatenate([*(h.reshape(-1, s) for h in halves), rest]).reshape(-1, len(part), k)
            among[begin : begin + step] = np.einsum("hgk,hgl->gkl", stacked, stacked, optimize=True)
            with_beta[begin : begin + step] = np.einsum("cp,cgk->gpk", beta, rest.reshape(p, len(part), k))
        return self.evaluation.sigma2 * among, self.evaluation.sigma2 * with_beta

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Vector, Vector]:
        """Joint draws of (beta, u) around the estimates.

        Returns
        -------
        tuple of ndarray
            (n, p) fixed effects and (n, q) random effects.
        """
        p, problem, factorization = self.problem.p, self.problem, self.evaluation.factorization
        standard: Pair = (
            rng.standard_normal((*problem.zw1.shape[:2], n)),
            rng.standard_normal((problem.zw2.shape[0], n)),
        )
        gamma = triangular.solve(self._S_factor, rng.standard_normal((p, n)), lower=True, transposed=True)
        noise = factorization.half_solve_transposed(standard)
        v1, v2 = (e - s[..., :p] @ gamma for e, s in zip(noise, self._solved, strict=True))
        beta = self.beta[:, None] + self.sigma * self._unrotate(gamma)
        u = self.u[:, None] + self.sigma * self._to_design(factorization.scale((v1, v2)))
        return beta.T, u.T

    def conditional_covariances(self, term: int) -> Vector:
        """(q, k, k) covariance of each level's effects given the data, with beta held at its estimate.

        sigma^2 times the level's block of Lambda M^{-1} Lambda', as lme4 reports with ``condVar = TRUE``.
        """
        for f, (group, N) in enumerate(
            zip(self.problem.factors, self.evaluation.factorization.inverse_blocks(), strict=True)
        ):
            T = group.natural(self.evaluation.factorization.T[f])
            for block in group.blocks:
                if block.term == term and group.mixing is not None:
                    return self._conditional(term)
                if block.term == term:
                    rows = T[block.columns]
                    return self.evaluation.sigma2 * np.einsum("ac,cdj,bd->jab", rows, N, rows, optimize=True)
        raise IndexError(f"no random term {term}")

    def _conditional(self, term: int) -> Vector:
        """The same of levels that are related, whose effects have parts in each other's."""
        start, stop = self.design.starts[term : term + 2]
        k, width = self.design.random[term].n_columns, stop - start
        unit = sparse.csr_array(
            (np.ones(width), (np.arange(width), np.arange(start, stop))), (width, self.design.n_random)
        )
        factorization = self.evaluation.factorization
        half = factorization.half_solve(factorization.scale_transposed(self._from_design(unit)))
        H = np.concatenate([part.reshape(-1, width) for part in half]).reshape(-1, width // k, k)
        return self.evaluation.sigma2 * np.einsum("hja,hjb->jab", H, H)
