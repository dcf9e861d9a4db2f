r"""The likelihood with beta and u integrated out, beta having independent normal priors on linear combinations of it.

With V = I + Z Lambda Lambda'Z' (rows weighted), X = Q R, gamma = R (beta - b) and y the residual of X b, as in
`mixedfx.pls.problem`, let the rows k_i'beta have priors N(l_i, 1 / d_i); in the basis of gamma, k_i'beta - l_i =
c_i'gamma - m_i. Then

    log p(y | T, sigma, d) = log N(y; 0, sigma^2 V) with the prior, gamma integrated out
      = -1/2 { n log(2 pi sigma^2) + log|V| - sum log w + (m - p) log(2 pi) - sum log d_i
               + log|S~| - p log sigma^2 + 2 log|R| + (y'V^{-1}y + sigma^2 sum d_i m_i^2 - r'S~^{-1}r) / sigma^2 },

    S~ = Q'V^{-1}Q + sigma^2 sum d_i c_i c_i',   r = Q'V^{-1}y + sigma^2 sum d_i m_i c_i,

and gamma given all of them is N(S~^{-1}r, sigma^2 S~^{-1}) (Lindley & Smith 1972). Rows without a prior are integrated
over the constant 1; with no prior at all the value is minus half of the REML criterion before sigma is profiled out.

**Gradient.** In the gradient of the criterion (`mixedfx.pls.evaluate`) S~ takes the place of S and S~^{-1}r that of
gamma-hat, by the envelope theorem. With e the residual y - Q gamma,

    d / d log sigma of -2 log p = 2 n - 2 tr(S~^{-1}S) - 2 e'V^{-1}e / sigma^2
    d / d log d_i   of -2 log p = -1 + d_i { sigma^2 c_i'S~^{-1}c_i + (c_i'gamma - m_i)^2 }.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design
from mixedfx.pls.evaluate import LOG_2PI, _by_factor, inner, random_effect_products
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CoefficientPrior:
    """Normal priors of m linear combinations of beta.

    Attributes
    ----------
    rows
        (m, p) combinations K.
    loc, scale
        (m,) means and standard deviations of K beta.
    """

    rows: Vector
    loc: Vector
    scale: Vector

    @property
    def size(self) -> int:
        """Number of rows m."""
        return len(self.loc)

    def rotated(self, problem: Problem) -> tuple[Vector, Vector]:
        """(m, p) rows c and (m,) locations m in the basis of gamma."""
        if problem.p == 0:
            return self.rows, self.loc
        rows = linalg.solve_triangular(problem.R, self.rows.T, trans=1).T
        return rows, self.loc - self.rows @ problem.shift


@dataclass(frozen=True, eq=False)
class CollapsedEvaluation:
    """The collapsed likelihood at one point, and what exact draws of (beta, u) need.

    Attributes
    ----------
    value
        log p(y | T, sigma, d).
    gradient
        For each factor of the problem (k, k) with respect to every entry of T_used, or None. Where T_used = B T, the
        gradient with respect to T is B' times it.
    sigma_gradient
        With respect to log sigma, or None.
    precision_gradient
        (m,) with respect to the log precisions, or None.
    sigma
        Residual standard deviation.
    L
        (p, p) lower Cholesky factor of S~.
    gamma
        (p,) conditional mean of gamma.
    solved
        M^{-1} Lambda'Z'[Q, y].
    factorization
        M at this point.
    """

    value: float
    gradient: list[Vector] | None
    sigma_gradient: float | None
    precision_gradient: Vector | None
    sigma: float
    L: Vector
    gamma: Vector
    solved: Pair
    factorization: Factorization


@dataclass(frozen=True, eq=False)
class Collapsed:
    """The collapsed likelihood of one problem under one prior of the coefficients.

    Attributes
    ----------
    design, problem
        The data and their cross-products (made for REML).
    prior
        Normal priors; their precisions can be multiplied at each evaluation.
    """

    design: Design
    problem: Problem
    prior: CoefficientPrior

    @cached_property
    def rotated(self) -> tuple[Vector, Vector]:
        """Rows and locations of the prior in the basis of gamma."""
        return self.prior.rotated(self.problem)

    @cached_property
    def constant(self) -> float:
        """Terms of -2 log p that no parameter enters."""
        problem, m = self.problem, self.prior.size
        log_R = float(np.log(np.abs(np.diag(problem.R))).sum())
        return (problem.n + m - problem.p) * LOG_2PI - problem.log_weights + 2.0 * log_R

    @cached_property
    def effect_index(self) -> list[NDArray[np.intp]]:
        """For each factor the (q, k) positions of its effects in u as the design orders it."""
        starts = self.design.starts
        out = []
        for group in self.problem.factors:
            index = np.empty((group.n_levels if group.blocks else 0, group.k), dtype=np.intp)
            for block in group.blocks:
                k = block.structure.k
                positions = starts[block.term] + np.arange(group.n_levels * k)
                index[:, block.columns] = positions.reshape(-1, k)
            out.append(index)
        return out

    def evaluate(
        self, factors: list[Vector], sigma: float, mixing: Vector | None = None, derivatives: bool = False
    ) -> CollapsedEvaluation:
        """The log likelihood at one point.

        Parameters
        ----------
        factors
            For each factor of the problem the (k, k) relative factor T_used of the columns used (`GroupFactor.basis`),
            triangular or not.
        sigma
            Residual standard deviation.
        mixing
            (m,) factors of the prior precisions; ones where None.
        derivatives
            Whether to compute the gradient.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the factorisation breaks down.
        """
        problem, p = self.problem, self.problem.p
        C, location = self.rotated
        d = self.prior.scale**-2.0 if mixing is None else mixing * self.prior.scale**-2.0
        factorization = Factorization(problem, factors)
        zw: Pair = (problem.zw1, problem.zw2)
        scaled = factorization.scale_transposed(zw)
        solved = factorization.solve(scaled)
        SW = problem.ww - inner(scaled, solved)
        sigma2 = sigma**2
        Ct = sigma2 * (C.T * d)
        L = np.asarray(np.linalg.cholesky(SW[:p, :p] + Ct @ C), dtype=np.float64)
        half = (
            linalg.solve_triangular(L, SW[:p, p] + Ct @ location, lower=True, check_finite=False) if p else np.zeros(0)
        )
        gamma = linalg.solve_triangular(L, half, lower=True, trans=1, check_finite=False) if p else half
        square = float(SW[p, p] + sigma2 * (d @ location**2) - half @ half) / sigma2
        deviance = (
            self.constant + (problem.n - p) * np.log(sigma2) + factorization.logdet - np.log(d).sum()
            + 2.0 * np.log(np.diag(L)).sum() + square
        )  # fmt: skip
        value = -0.5 * float(deviance)
        rest = (sigma, L, gamma, solved, factorization)
        if not derivatives:
            return CollapsedEvaluation(value, None, None, None, *rest)
        inverse = linalg.cho_solve((L, True), np.eye(p), check_finite=False) if p else np.zeros((0, 0))
        gradient = self._gradient(factorization, zw, solved, inverse, gamma, sigma2)
        resid = float(SW[p, p] - 2.0 * (gamma @ SW[:p, p]) + gamma @ SW[:p, :p] @ gamma) / sigma2
        of_sigma = -(problem.n - float(np.sum(inverse * SW[:p, :p])) - resid)
        misfit = sigma2 * np.einsum("ma,ab,mb->m", C, inverse, C) + (C @ gamma - location) ** 2
        of_precision = 0.5 * (1.0 - d * misfit)
        return CollapsedEvaluation(value, gradient, of_sigma, of_precision, *rest)

    def _gradient(
        self, factorization: Factorization, zw: Pair, solved: Pair, inverse: Vector, gamma: Vector, sigma2: float
    ) -> list[Vector]:
        problem, p = self.problem, self.problem.p
        ZVW = random_effect_products(problem, factorization, zw, solved)
        H_by = _by_factor(problem, (ZVW[0][..., :p], ZVW[1][..., :p]))
        h_by = _by_factor(problem, tuple((x[..., p] - x[..., :p] @ gamma)[..., None] for x in ZVW))  # type: ignore[arg-type]
        scores, _ = factorization.score_sums()
        for f, T in enumerate(factorization.T):
            outer = np.einsum("jao,jbo->ab", h_by[f], h_by[f]) / sigma2
            if p:
                outer += np.einsum("jac,cd,jbd->ab", H_by[f], inverse, H_by[f], optimize=True)
            scores[f] = outer @ T - scores[f]
        return scores

    def draw(self, at: CollapsedEvaluation, n: int, rng: np.random.Generator) -> tuple[Vector, Vector]:
        """Exact draws of (beta, u) given T, sigma and the precisions of the prior.

        Returns
        -------
        tuple of ndarray
            (n, p) fixed effects and (n, q) random effects, ordered as the design orders them.
        """
        problem, p = self.problem, self.problem.p
        noise = at.factorization.half_solve_transposed(
            (rng.standard_normal((*problem.zw1.shape[:2], n)), rng.standard_normal((problem.zw2.shape[0], n)))
        )
        spread = (
            linalg.solve_triangular(at.L, rng.standard_normal((p, n)), lower=True, trans=1) if p else np.zeros((0, n))
        )
        gamma = at.gamma[:, None] + at.sigma * spread
        v: Pair = tuple(s[..., p:] - s[..., :p] @ gamma + at.sigma * e for e, s in zip(noise, at.solved, strict=True))  # type: ignore[assignment]
        parts = _by_factor(problem, at.factorization.scale(v))
        u = np.empty((n, self.design.n_random))
        for group, index, part in zip(problem.factors, self.effect_index, parts, strict=True):
            u[:, index] = group.effects(part).transpose(2, 0, 1)[:, : len(index)]
        return self.beta(gamma.T), u

    def beta(self, gamma: Vector) -> Vector:
        """(n, p) beta from (n, p) gamma."""
        if self.problem.p == 0:
            return gamma
        return linalg.solve_triangular(self.problem.R, gamma.T, check_finite=False).T + self.problem.shift
