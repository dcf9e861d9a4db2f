r"""What a fit of `mixedfx.rma` holds: the estimates, their covariance, what they are tested with, heterogeneity.

The model is y_i = x_i'beta + u_i + e_i with u_i ~ N(0, tau^2) and e_i ~ N(0, v_i), v_i known. Given tau^2 the
coefficients are those of weighted least squares, of covariance (X'W X)^{-1} with w = 1 / (v + tau^2), or of weights a
that are given, (X'A X)^{-1} X'A W^{-1} A X (X'A X)^{-1}. Knapp and Hartung (2003, Statistics in Medicine 22(17))
multiply it with y'P y / (k - p), and refer to t and F; ``"adhoc"`` never with less than 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.errors import check_option
from mixedfx.families.family import Family
from mixedfx.families.location import gaussian
from mixedfx.inference.hypotheses import Constant, Reference
from mixedfx.inference.robust import RobustCovariance
from mixedfx.meta.measure import Array
from mixedfx.meta.tested import Tested
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates
from mixedfx.meta.univariate.heterogeneity import Estimator, find_estimator
from mixedfx.meta.univariate.likelihood import loglik
from mixedfx.meta.univariate.refits import Refits, refits, scale_factor
from mixedfx.meta.univariate.tau2_intervals import h2, i2, typical_variance
from mixedfx.meta.univariate.weighted import Effects, Weighted, orthonormal
from mixedfx.results.protocol import NewLevels

Test = Literal["z", "t", "knha", "adhoc"]


@dataclass(frozen=True, eq=False, repr=False)
class RmaState(Tested):
    """Estimates of a random-effects model of estimates with known sampling variances.

    Attributes
    ----------
    data
        What was fitted: estimates, moderators, sampling variances, labels.
    method
        Estimator of tau^2.
    test
        ``"z"``, ``"t"``, ``"knha"`` or ``"adhoc"``.
    tau2
        Variance of true effects around their mean.
    """

    data: Estimates
    method: str
    test: Test
    tau2: float

    @property
    def call(self) -> RmaCall:
        """The arguments of the fit."""
        return self.data.call

    @property
    def design(self) -> Design:
        """Response, moderators and rows used."""
        return self.data.design

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        given = self.call.formula
        return "yi ~ 1" if given is None else " ".join((given if isinstance(given, str) else given.text).split())

    @property
    def vi(self) -> Array:
        """(k,) sampling variances."""
        return self.data.vi

    @property
    def slab(self) -> tuple[str, ...]:
        """(k,) labels of the estimates."""
        return self.data.slab

    @property
    def level(self) -> float:
        """Confidence level of intervals where none is asked for."""
        return self.call.level

    @property
    def weights(self) -> Array | None:
        """(k,) weights that were given; None where they are 1 / (v + tau^2)."""
        return self.data.weights

    @property
    def tau2_fixed(self) -> bool:
        """Whether tau^2 was given and not estimated."""
        return self.call.tau2 is not None

    @property
    def measure(self) -> str | None:
        """What the estimates are, where it is known."""
        return self.data.measure

    @cached_property
    def _basis(self) -> tuple[Array, Array]:
        return orthonormal(self.data.X)

    @property
    def R(self) -> Array:
        """(p, p) with X = Q R, Q orthonormal."""
        return self._basis[1]

    @cached_property
    def effects(self) -> Effects:
        """The data as the estimators take them."""
        return Effects((self.data.y - self.data.offset)[None], self.vi[None], self._basis[0])

    @cached_property
    def at_tau2(self) -> Weighted:
        """Weighted least squares with weights 1 / (v + tau^2)."""
        return self.effects.at(self.tau2)

    @cached_property
    def at_zero(self) -> Weighted:
        """Weighted least squares with weights 1 / v."""
        return self.effects.at(0.0)

    @cached_property
    def fit(self) -> Weighted:
        """Weighted least squares with the weights of the coefficients."""
        return self.at_tau2 if self.weights is None else Weighted(self.effects, self.weights[None])

    @property
    def estimator(self) -> Estimator:
        """How tau^2 was estimated."""
        return find_estimator(self.method)

    @property
    def k(self) -> int:
        """Number of estimates."""
        return len(self.vi)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.data.X.shape[1]

    @property
    def df(self) -> float:
        """Degrees of freedom of t: k - p, infinite for test="z"."""
        return np.inf if self.test == "z" else float(self.k - self.p)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.data.names

    @cached_property
    def beta(self) -> Array:
        """(p,) coefficients."""
        return np.linalg.solve(self.R, self.fit.gamma[0])

    @property
    def fixef(self) -> pd.Series:
        """Coefficients by name."""
        return pd.Series(self.beta, index=list(self.names), name="fixef")

    @property
    def s2(self) -> float:
        """Knapp and Hartung's factor of the covariance; 1 for the other tests."""
        return float(scale_factor(self.at_tau2, self.test)[0])

    @cached_property
    def covariance(self) -> Array:
        """(p, p) covariance of the coefficients."""
        inverse = np.linalg.inv(self.R)
        G = self.fit.G[0]
        if self.weights is not None:
            AQ = self.fit.w[0][:, None] * self.effects.Q
            G = G @ (AQ.T @ ((self.vi + self.tau2)[:, None] * AQ)) @ G
        return self.s2 * (inverse @ G @ inverse.T)

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        return pd.DataFrame(self.covariance, index=list(self.names), columns=list(self.names))

    @property
    def se(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(np.diag(self.covariance)), index=list(self.names), name="se")

    @property
    def tau(self) -> float:
        """Standard deviation of true effects around their mean."""
        return float(np.sqrt(self.tau2))

    @property
    def se_tau2(self) -> float:
        """Standard error of tau^2; NaN where it is not estimated."""
        if self.tau2_fixed or not self.estimator.heterogeneous or self.k <= self.p:
            return np.nan
        return float(np.sqrt(self.estimator.variance(self.effects, np.array([self.tau2]), self._given)[0]))

    @property
    def _given(self) -> Array | None:
        return None if self.weights is None else self.weights[None]

    @property
    def typical_variance(self) -> float:
        """Typical sampling variance that I^2 and H^2 compare tau^2 with; NaN without residual degrees of freedom."""
        return float(typical_variance(self.effects)[0]) if self.k > self.p else np.nan

    @property
    def i2(self) -> float:
        """Share of heterogeneity in the variance of estimates, in per cent."""
        if self.k <= self.p:
            return 0.0
        if not self.estimator.heterogeneous:
            return max(0.0, 100 * (self.QE - (self.k - self.p)) / self.QE) if self.QE > 0 else 0.0
        return float(i2(self.tau2, self.typical_variance))

    @property
    def h2(self) -> float:
        """Variance of estimates over their sampling variance."""
        if self.k <= self.p:
            return 1.0
        if not self.estimator.heterogeneous:
            return self.QE / (self.k - self.p)
        return float(h2(self.tau2, self.typical_variance))

    @property
    def QE(self) -> float:
        """Cochran's Q of the (residual) heterogeneity, chi-square with k - p degrees of freedom if tau^2 = 0."""
        return float(self.at_zero.yPy[0]) if self.k > self.p else 0.0

    @property
    def usual_ddf(self) -> Literal["normal", "residual"]:
        """Degrees of freedom of tests where none are asked for, those of the test of the fit."""
        return "normal" if np.isinf(self.df) else "residual"

    def reference(self, ddf: str | None = None, vcov: RobustCovariance | None = None) -> Reference:
        """What tests of the coefficients refer to: the test of the fit, or a robust covariance.

        Parameters
        ----------
        ddf
            Other degrees of freedom than those of the test: ``"normal"``, infinite, or ``"residual"``, k - p.
        vcov
            A robust covariance, which has its own.
        """
        if vcov is not None:
            return vcov
        check_option("ddf", ddf, (None, "normal", "residual"))
        df = {None: self.df, "normal": np.inf, "residual": float(self.k - self.p)}[ddf]
        return Constant(self.covariance, df)

    @property
    def posterior(self) -> bool:
        """False: it has estimates and standard errors."""
        return False

    @property
    def family(self) -> Family:
        """Distribution of the estimates, with its link."""
        return gaussian()

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor for `newdata`, or for the data of the fit."""
        return functional_for(self.design, newdata, new_levels)

    @cached_property
    def without_moderators(self) -> Refits | None:
        """The same estimator of the same data without moderators; None where there are none, or no intercept."""
        if self.p == 1 or "Intercept" not in self.names:
            return None
        Q, R = orthonormal(np.ones((self.k, 1)))
        effects = Effects(self.effects.y, self.effects.v, Q)
        return refits(effects, R, self.estimator, self.test, None, self._given)

    @property
    def r2(self) -> float:
        """Share of tau^2 that the moderators take away, in per cent, at least 0; NaN without moderators."""
        if self.without_moderators is None or self.tau2_fixed or not self.estimator.heterogeneous:
            return np.nan
        before = float(self.without_moderators.tau2[0])
        return max(0.0, 100 * (before - self.tau2) / before) if before > 0 else np.nan

    @property
    def n_parameters(self) -> int:
        """Coefficients and tau^2, where it is estimated."""
        return self.p + (0 if self.tau2_fixed or not self.estimator.heterogeneous else 1)

    def loglik(self, REML: bool | None = None) -> float:
        """Log likelihood at the estimates; restricted where REML, by default the one that was maximised.

        The restricted one is that of error contrasts, with 1/2 log|X'X|, as metafor prints it.
        """
        reml = self.estimator.likelihood == "REML" if REML is None else REML
        return float(loglik(self.at_tau2, reml)[0])
