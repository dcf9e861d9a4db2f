r"""A prior of the coefficients: what it adds to -2 log likelihood, and its derivatives.

With independent priors p_j of b = A beta, where A is the identity but for the row of the intercept, which holds at the
means of the predictors, and beta = R^{-1} gamma, the criterion of a maximum a posteriori estimate is

    D(psi) - 2 sum_j log p_j(b_j),    b = B gamma,    B = A R^{-1}.

A normal prior has -2 log p = (b - m)^2 / s^2, a Student's t one (nu + 1) log(1 + (b - m)^2 / (nu s^2)), both less the
constants that make a density of them; with z = (b - m) / s and a = (nu + 1) / (nu + z^2) the halves of its first and
second derivatives are a z / s and a (1 - 2 z^2 / (nu + z^2)) / s^2. The second is negative far out; a / s^2 never is,
and stands for it where the optimiser asks for a positive matrix (Gelman, Jakulin, Pittau & Su 2008, Annals of Applied
Statistics 2:1360, whose default is Cauchy's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.priors.location import Flat, Normal, StudentT

Vector = NDArray[np.float64]
CoefficientPriors = tuple[Normal | StudentT | Flat, ...]


@dataclass(frozen=True)
class CoefficientPrior:
    """Independent priors of the coefficients.

    Attributes
    ----------
    priors
        One for each of the p coefficients, on the scale of the linear predictor.
    centring
        (p,) means of the predictors that enter b_intercept = beta_intercept + centring' beta.
    names
        The coefficients.
    described
        Rows (parameter, prior as given, prior as used) for the summary.
    """

    priors: CoefficientPriors
    centring: Vector
    names: tuple[str, ...]
    described: tuple[tuple[str, str, str], ...]

    @property
    def proper(self) -> tuple[str, ...]:
        """Coefficients whose prior is not flat."""
        return tuple(name for name, prior in zip(self.names, self.priors, strict=True) if not isinstance(prior, Flat))

    def placed(self, R: Vector) -> Vector:
        """(p, p) the matrix B that makes b of gamma, for the triangle R of a model."""
        A = np.eye(len(self.names))
        if "Intercept" in self.names:
            A[self.names.index("Intercept")] += self.centring
        return np.asarray(np.linalg.solve(R.T, A.T).T, dtype=np.float64)

    def deviance(self, b: Vector) -> float:
        """-2 log density."""
        return -2.0 * float(sum(prior.log_density(np.asarray(x)) for prior, x in zip(self.priors, b, strict=True)))

    def derivatives(self, b: Vector) -> tuple[Vector, Vector, Vector]:
        """(p,) first and second derivatives of `deviance`, and a second one that is never negative."""
        first, second, positive = np.zeros((3, len(b)))
        for j, (prior, x) in enumerate(zip(self.priors, b, strict=True)):
            if isinstance(prior, Flat):
                continue
            z, scale = (x - prior.loc) / prior.scale, prior.scale
            a, bend = 1.0, 1.0
            if isinstance(prior, StudentT):
                a = (prior.df + 1.0) / (prior.df + z**2)
                bend = 1.0 - 2.0 * z**2 / (prior.df + z**2)
            first[j], second[j], positive[j] = 2.0 * a * z / scale, 2.0 * a * bend / scale**2, 2.0 * a / scale**2
        return first, second, positive
