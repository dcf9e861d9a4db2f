r"""What a row's own response does to its fitted value, and what remains: H = I - V^{-1} given beta's part, row by row.

In rows multiplied by the root R of their precision, sqrt(w) where they are independent, with V = I + Z Lambda Lambda'Z'
in units of sigma^2 and

    P = V^{-1} - V^{-1}X (X'V^{-1}X)^{-1} X'V^{-1},

the conditional residual is e = y - X beta-hat - Z u-hat = P y, so that the fitted values are H y with H = I - P. All of
these hold theta fixed:

* leverage h_i = H_ii, 0 to 1 (`row_leverage` for rows as given, where R mixes them);
* var(e) = sigma^2 P V P = sigma^2 (I - H), so e_i / (sigma sqrt(1 - h_i)) is standardised;
* deleting a set of rows I changes beta-hat by (X'V^{-1}X)^{-1} X'V^{-1} A (A'P A)^{-1} A'e, A = R E_I, which for
  independent rows is (X'V^{-1}X)^{-1} (V^{-1}X)_I' (P_II)^{-1} e_I: the mean shift model y = X beta + E_I delta + ...
  fits those rows exactly, delta-hat = P_II^{-1} e_I (Cook & Weisberg 1982, section 2.2; Haslett 1999, JRSS B 61:603).

V^{-1}Q = Q - Z Lambda M^{-1} Lambda'Z'Q takes one solve; H_II is the joint covariance of the rows' linear predictors.
All is done in the columns that the engine uses, Q for X and the orthogonal ones for Z, so that no digit depends on
where a covariate has its zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.grouping import rows_of
from mixedfx.design.precision import Correlated, RowPrecision
from mixedfx.pls.joint import Joint
from mixedfx.pls.row_blocks import RowBlocks

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projection:
    """The rows of a fit as theta-hat sees them.

    Attributes
    ----------
    design, joint
        What was fitted, and the joint distribution of (beta, u).
    fixed
        (n, p) rows over beta.
    random
        (n, q) sparse rows over u.
    """

    design: Design
    joint: Joint
    fixed: Vector
    random: sparse.csr_array

    @property
    def precision(self) -> RowPrecision:
        """What is known of the rows' residuals."""
        return self.design.precision

    @cached_property
    def residual(self) -> Vector:
        """(n,) conditional residuals e, times R."""
        design = self.design
        fitted = self.fixed @ self.joint.beta + self.random @ self.joint.u + design.offset
        return self.precision.whiten(design.y - fitted)

    @cached_property
    def whitened_fixed(self) -> Vector:
        """(n, p) V^{-1}Q, rows times R."""
        out = self.joint.basis_of_fixed(self.fixed)
        for group, effects in zip(self.joint.problem.factors, self.joint.absorbed, strict=True):
            for a in range(group.k):
                out = out - group.z[:, a, None] * effects[group.codes, a]
        return self.precision.whiten(out)

    @cached_property
    def rows(self) -> tuple[Vector, sparse.csr_array]:
        """Rows over beta and u, times R."""
        return self.precision.whiten(self.fixed), self.precision.whiten(self.random)

    @cached_property
    def leverage(self) -> Vector:
        """(n,) h_i, the diagonal of H."""
        if self.joint.problem.coupling is None:
            return self._leverage_of_one_factor()
        if self._blocks is not None:
            random = self._root**2 * self._blocks.diagonal
            return np.clip(random + (self.joint.half_gamma(self.whitened_fixed.T) ** 2).sum(axis=0), 0.0, 1.0)
        return np.clip(self.joint.variances(*self.rows) / self.joint.sigma**2, 0.0, 1.0)

    @cached_property
    def _blocks(self) -> RowBlocks | None:
        """Where rows of several factors have errors of their own: blocks of what the random effects explain."""
        joint = self.joint
        if joint.problem.coupling is None or joint.problem.iterative or isinstance(self.precision, Correlated):
            return None
        return RowBlocks(joint.problem, joint.evaluation.factorization)

    @cached_property
    def _root(self) -> Vector:
        """(n,) roots of the precision of independent rows."""
        return self.precision.whiten(np.ones(len(self.fixed)))

    def explained(self, rows: NDArray[np.intp]) -> Vector:
        """(m, m) block of H for some rows, times R."""
        if self._blocks is not None and self._blocks.forms_inverse:
            root, half = self._root[rows], self.joint.half_gamma(self.whitened_fixed[rows].T)
            return root[:, None] * self._blocks.block(rows) * root + half.T @ half
        fixed, random = self.rows
        return self.joint.covariance(fixed[rows], sparse.csr_array(random[rows])) / self.joint.sigma**2

    def _leverage_of_one_factor(self) -> Vector:
        """The same where M is block diagonal: z' M_j^{-1} z of the row's own level, and what beta adds."""
        joint, group = self.joint, self.joint.problem.factors[0]
        factorization = joint.evaluation.factorization
        c = self.precision.whiten(group.z) @ factorization.T[0]
        of_level = factorization.M1_inverse.transpose(2, 0, 1)[group.codes]
        out = np.einsum("na,nab,nb->n", c, of_level, c)
        if self.fixed.shape[1]:
            out = out + (joint.half_gamma(self.whitened_fixed.T) ** 2).sum(axis=0)
        return np.clip(out, 0.0, 1.0)

    def complement(self, rows: NDArray[np.intp]) -> Vector:
        """(m, m) block of I - H for some rows."""
        return np.eye(len(rows)) - self.explained(rows)

    def change_of_beta(self, rows: NDArray[np.intp]) -> Vector:
        """(p,) beta-hat minus its value without `rows`, theta fixed; NaN where beta is not determined without them."""
        if isinstance(self.precision, Correlated):
            E = sparse.csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(len(self.fixed), len(rows)))
            A = self.precision.whiten(E)
            fixed, random = self.rows
            covariance = self.joint.covariance(np.asarray(A.T @ fixed), sparse.csr_array(A.T @ random))
            left = (A.T @ A).toarray() - covariance / self.joint.sigma**2
            score, size = np.asarray(A.T @ self.residual), np.sqrt(np.diag((A.T @ A).toarray()))
            shift = _without(left, score, size)
            moved = None if shift is None else self.whitened_fixed.T @ (A @ shift)
        else:
            shift = _without(self.complement(rows), self.residual[rows], np.ones(len(rows)))
            moved = None if shift is None else self.whitened_fixed[rows].T @ shift
        if moved is None:
            return np.full(self.fixed.shape[1], np.nan)
        return self.joint.solve_information(moved[:, None])[:, 0]

    @cached_property
    def changes_of_beta(self) -> Vector:
        """(n, p) `change_of_beta` for each single row."""
        if isinstance(self.precision, Correlated):
            return np.array([self.change_of_beta(np.array([i])) for i in range(len(self.fixed))])
        rest = 1.0 - self.leverage
        shift = np.where(rest > 1e-10, self.residual / np.where(rest > 1e-10, rest, 1.0), np.nan)
        return self.joint.solve_information((self.whitened_fixed * shift[:, None]).T).T

    @cached_property
    def row_leverage(self) -> Vector:
        """(n,) what a row's own response does to its fitted value: h_i, or the same for rows as given.

        Rows times R mix those with correlated errors. The fitted values are C V^{-1} y + ..., C the covariance of the
        predictors over sigma^2, and of V^{-1} a row meets its own block only.
        """
        if not isinstance(self.precision, Correlated):
            return self.leverage
        out = np.empty(len(self.fixed))
        for rows in rows_of(self.precision.blocks):
            C = self.joint.covariance(self.fixed[rows], sparse.csr_array(self.random[rows])) / self.joint.sigma**2
            out[rows] = np.diag(C @ np.linalg.inv(self.precision.covariance(rows)))
        return out

    def marginal_variances(self) -> Vector:
        """(n,) variances of y - X beta-hat: sigma^2 (1 / w + a z'T T'z) - x' var(beta-hat) x, 1 / w that of a row.

        a is the level's own entry of known correlations, else 1.
        """
        of_random = np.zeros(len(self.fixed))
        for group, T in zip(self.joint.problem.factors, self.joint.evaluation.factorization.T, strict=True):
            size = 1.0 if group.mixing is None else (group.mixing**2).sum(axis=1)[group.codes]
            of_random += size * ((group.z @ T) ** 2).sum(axis=1)
        total = self.joint.sigma**2 * (self.precision.variances + of_random)
        return total - np.einsum("np,pq,nq->n", self.fixed, self.joint.vcov, self.fixed)


def _without(left: Vector, score: Vector, size: Vector) -> Vector | None:
    """`left`^{-1} score for rows of lengths `size`; None where some combination of them is fitted exactly."""
    values, vectors = np.linalg.eigh(left / np.outer(size, size))
    if values.min(initial=1.0) < 1e-10:
        return None
    return vectors @ ((vectors.T @ (score / size)) / values) / size
