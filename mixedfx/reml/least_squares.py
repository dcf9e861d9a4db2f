"""A formula without random terms: weighted least squares, with the criterion of a mixed model without Z.

With rows multiplied by the root of their precision W, V = I and the (RE)ML criterion of Bates et al. (2015, equations
34 and 41) is dof log(2 pi sigma^2) + r^2 / sigma^2 - log|W|, plus log|X'WX| for REML, with sigma^2 = r^2 / dof unless
it is known; so such fits compare with mixed ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.linalg import triangular
from mixedfx.pls.problem import Problem
from mixedfx.results.optimization import Optimization, Outcome

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class FixedJoint:
    """The distribution of beta around its estimate, where there is no u; the verbs of `mixedfx.pls.joint.Joint`."""

    beta: Vector
    vcov: Vector

    def covariance(self, fixed: Vector, random: sparse.csr_array) -> Vector:
        """(s, s) covariance of fixed beta-hat; `random` has no columns."""
        return fixed @ self.vcov @ fixed.T

    def variances(self, fixed: Vector, random: sparse.csr_array) -> Vector:
        """(s,) diagonal of `covariance`."""
        return np.einsum("sp,pr,sr->s", fixed, self.vcov, fixed)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Vector, Vector]:
        """(n, p) draws of beta and (n, 0) of u."""
        root = np.linalg.cholesky(self.vcov) if len(self.beta) else self.vcov
        return self.beta + rng.standard_normal((n, len(self.beta))) @ root.T, np.zeros((n, 0))

    def conditional_covariances(self, term: int) -> Vector:
        """Nothing to give: there is no random term."""
        raise IndexError(f"there is no random term {term}")


@dataclass(frozen=True)
class LeastSquares:
    """Estimates of a design without random terms; the fields are those of `mixedfx.reml.solve.RemlSolution`."""

    criterion: float
    sigma: float
    beta: Vector
    u: Vector
    factors: tuple[Vector, ...]
    theta: Vector
    vcov: Vector
    optimization: Optimization
    REML: bool
    dof: int
    joint: FixedJoint
    bases: tuple[Vector, ...] = ()


def least_squares(design: Design, REML: bool = True) -> LeastSquares:
    """Fit a design without random terms.

    Parameters
    ----------
    design
        Response and X of full column rank; no random term.
    REML
        REML criterion and sigma^2 = r^2 / (n - p), or -2 log likelihood and r^2 / n; unless sigma is known.
    """
    if design.streamed is not None:
        return _of_products(design, design.streamed.products(REML))
    precision = design.precision
    y = precision.whiten(design.y - design.offset)
    Q, R = np.linalg.qr(precision.whiten(design.X))
    beta = triangular.solve(R, Q.T @ y)
    residual = y - Q @ (Q.T @ y)
    return _estimates(design, REML, R, beta, float(residual @ residual), precision.log_determinant)


def _of_products(design: Design, problem: Problem) -> LeastSquares:
    """The same from cross-products, of rows that are not held."""
    return _estimates(design, problem.REML, problem.R, problem.shift, float(problem.ww[-1, -1]), problem.log_weights)


def _estimates(
    design: Design, REML: bool, R: Vector, beta: Vector, squares: float, log_determinant: float
) -> LeastSquares:  # fmt: skip
    n, p = design.X.shape
    dof = n - p if REML else n
    sigma2 = squares / dof if design.sigma is None else design.sigma**2
    criterion = dof * np.log(2 * np.pi * sigma2) + squares / sigma2 - log_determinant
    if REML:
        criterion += 2 * np.log(np.abs(np.diag(R))).sum()
    half = triangular.solve(R, np.eye(p))
    vcov = sigma2 * half @ half.T
    nothing = np.zeros(0)
    return LeastSquares(
        criterion=float(criterion),
        sigma=float(np.sqrt(sigma2)),
        beta=beta,
        u=nothing,
        factors=(),
        theta=nothing,
        vcov=vcov,
        optimization=Optimization((), Outcome.NO_PARAMETERS, nothing, np.inf),
        REML=REML,
        dof=dof,
        joint=FixedJoint(beta, vcov),
    )
