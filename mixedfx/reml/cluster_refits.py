"""Refits to data sets in which the levels of the only grouping factor are drawn with replacement.

A level drawn twice stands for two groups with the same cross-products, so a resampled data set is a count for each
level of the fit: nothing passes over its rows, and all data sets are optimised together (`mixedfx.pls.batch`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.linalg import triangular
from mixedfx.pls.batch import Resamples, Responses
from mixedfx.pls.problem import Problem
from mixedfx.reml.refit import BATCH_NUMBERS, fit_together, off_rounding
from mixedfx.reml.trust_region import minimise

Vector = NDArray[np.float64]

DEPENDENT = 1e-10  # smallest eigenvalue of Q'Q of the rows drawn below which a coefficient cannot be estimated


@dataclass(frozen=True)
class Estimates:
    """Estimates of b replicates: beta (b, p), theta (b, r), sigma (b,), whether certified (b,).

    Where a replicate could not be fitted it is not certified, and its numbers are NaN.
    """

    beta: Vector
    theta: Vector
    sigma: Vector
    good: NDArray[np.bool_]


@dataclass(frozen=True)
class GroupProducts:
    """Cross-products of each level of the only factor: a resampled data set is a choice among them.

    Attributes
    ----------
    problem
        Of the fit.
    par
        (r,) where the optimiser starts.
    ww
        (q, p + 1, p + 1) products W'W of the rows of a level.
    sizes, log_weights
        (q,) rows and sums of log weights.
    """

    problem: Problem
    par: Vector
    ww: Vector
    sizes: NDArray[np.intp]
    log_weights: Vector

    def fits(self, counts: Vector) -> Estimates:
        """Estimates from data sets with level j counts[b, j] times, (B, q)."""
        problem, B = self.problem, len(counts)
        p, r = problem.p, problem.n_parameters
        out = Estimates(np.full((B, p), np.nan), np.full((B, r), np.nan), np.full(B, np.nan), np.zeros(B, dtype=bool))
        sums = np.einsum("bj,jac->bac", counts, self.ww)
        # Q is orthonormal over the rows of the fit: eigenvalues tell how much of each direction was drawn
        usable = np.linalg.eigvalsh(sums[:, :p, :p])[:, 0] > DEPENDENT if p else np.ones(B, dtype=bool)
        usable &= counts @ self.sizes > p
        size = max(1, BATCH_NUMBERS // (problem.gram1.size + 1))
        at = np.flatnonzero(usable)
        for begin in range(0, len(at), size):
            some = at[begin : begin + size]
            try:
                self._fill(out, some, *self._together(counts[some], sums[some]))
            except np.linalg.LinAlgError:  # one of them: find out which
                for b in some:
                    self._alone(out, b, counts[b], sums[b])
        return out

    def _fill(
        self, out: Estimates, at: NDArray[np.intp], par: Vector, sigma2: Vector, gamma: Vector, good: NDArray[np.bool_]
    ) -> None:
        problem = self.problem
        beta = triangular.solve(problem.R, gamma.T).T
        out.beta[at] = beta + problem.shift
        out.theta[at] = problem.theta(off_rounding(problem, par))
        out.sigma[at], out.good[at] = np.sqrt(sigma2), good

    def _together(self, counts: Vector, sums: Vector) -> tuple[Vector, Vector, Vector, NDArray[np.bool_]]:
        """Scaled parameters, sigma2, gamma and whether certified, all data sets at once."""
        problem, (B, q) = self.problem, counts.shape
        p, k = problem.p, problem.gram1.shape[0]
        n = counts @ self.sizes
        zy = np.broadcast_to(problem.zw1[:, :, p, None], (q, k, B))
        products = Responses(zy, np.zeros((0, B)), sums[:, :p, p].T, sums[:, p, p], np.zeros((p, B)))
        QQ = np.ascontiguousarray(sums[:, :p, :p].transpose(1, 2, 0))
        drawn = Resamples(counts.T, QQ, n - p if problem.REML else n, counts @ self.log_weights)
        par, sigma2, gamma, _, good, _ = fit_together(problem, products, self.par, drawn)
        return par, sigma2, gamma, good.astype(bool)

    def _alone(self, out: Estimates, b: int, counts: Vector, sums: Vector) -> None:
        """One data set by the optimiser of single fits; it stays NaN where that breaks down."""
        old = self.problem
        levels = np.repeat(np.arange(len(counts)), counts.astype(np.intp))
        problem = replace(
            old, gram1=np.ascontiguousarray(old.gram1[:, :, levels]), zw1=old.zw1[levels], ww=sums,
            n=int(counts @ self.sizes), log_weights=float(counts @ self.log_weights),
        )  # fmt: skip
        try:
            found, course = minimise(problem, self.par)
        except np.linalg.LinAlgError:
            return
        row = found.par[None], np.array([found.sigma2]), found.gamma[None], np.array([course.converged])
        self._fill(out, np.array([b]), *row)


def group_products(design: Design, problem: Problem, par: Vector) -> GroupProducts:
    """Cut the cross-products W'W of a problem with one factor into those of its levels.

    Parameters
    ----------
    design, problem
        Of the fit.
    par
        (r,) parameters where the optimiser starts.
    """
    precision = design.precision
    Q = triangular.solve(problem.R, precision.whiten(design.X).T, transposed=True).T
    W = np.column_stack([Q, precision.whiten(design.y - design.offset - design.X @ problem.shift)])
    codes, q = problem.factors[0].codes, problem.factors[0].n_levels
    order = np.argsort(codes, kind="stable")
    pieces = np.split(W[order], np.cumsum(np.bincount(codes, minlength=q))[:-1])
    ww = np.array([piece.T @ piece for piece in pieces])
    logs = precision.log_determinants(codes, q)
    return GroupProducts(problem, par, ww, np.bincount(codes, minlength=q), logs)
