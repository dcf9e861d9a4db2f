"""The model fitted to many data sets at once: estimates, their covariance, Q, I^2 and H^2 of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.heterogeneity import Estimator
from mixedfx.meta.univariate.tau2_intervals import h2, i2, typical_variance
from mixedfx.meta.univariate.weighted import Effects, Weighted


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits of B data sets.

    Attributes
    ----------
    tau2
        (B,).
    fit
        The weighted fits at tau2.
    own
        The fits with the weights of the coefficients: the same, unless weights were given.
    R
        (p, p) with X = Q R.
    QE
        (B,) residual heterogeneity, y'P y with weights 1 / v.
    I2, H2
        (B,).
    s2
        (B,) factor of the covariance: 1, or Knapp and Hartung's.
    """

    tau2: Array
    fit: Weighted
    own: Weighted
    R: Array
    QE: Array
    I2: Array
    H2: Array
    s2: Array

    @property
    def beta(self) -> Array:
        """(B, p) coefficients."""
        return np.linalg.solve(self.R, self.own.gamma.T).T

    @property
    def vcov(self) -> Array:
        """(B, p, p) their covariance."""
        inverse, G, effects = np.linalg.inv(self.R), self.own.G, self.fit.effects
        if self.own is not self.fit:
            AQ = self.own.w[:, :, None] * effects.Q
            G = G @ (AQ.transpose(0, 2, 1) @ ((effects.v + self.tau2[:, None])[:, :, None] * AQ)) @ G
        return self.s2[:, None, None] * (inverse @ G @ inverse.T)


def refits(
    effects: Effects, R: Array, estimator: Estimator, test: str, tau2: float | None, weights: Array | None = None
) -> Refits:
    """Fit all data sets.

    Parameters
    ----------
    effects
        The data sets.
    R
        (p, p) with X = Q R.
    estimator
        Of tau^2; where a data set has no residual degrees of freedom tau^2 is 0.
    test
        ``"knha"`` and ``"adhoc"`` scale the covariance.
    tau2
        Its value where it is not estimated.
    weights
        (1, k) or (B, k) that were given, for the coefficients and the generalised Q estimators.
    """
    if tau2 is not None:
        found = np.full(effects.size, float(tau2))
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            found = estimator.estimate(effects, weights)[0]
        found = np.where(effects.df > 0, found, 0.0)
    fit = effects.at(found)
    none = effects.at(0.0)
    QE = np.where(effects.df > 0, none.yPy, 0.0)
    if not estimator.heterogeneous:
        with np.errstate(invalid="ignore", divide="ignore"):
            I2 = np.where(QE > 0, np.maximum(0.0, 100 * (QE - effects.df) / QE), 0.0)
            H2 = np.where(effects.df > 0, QE / effects.df, 1.0)
    else:
        typical = np.where(effects.df > 0, typical_variance(effects), np.inf)
        I2, H2 = i2(found, typical), h2(found, typical)
    own = fit if weights is None else Weighted(effects, effects.used(weights))
    return Refits(found, fit, own, R, QE, I2, H2, scale_factor(fit, test))


def scale_factor(fit: Weighted, test: str) -> Array:
    """(B,) Knapp and Hartung's factor of the covariance, y'P y / (k - p); 1 of the other tests, and without df."""
    if test not in ("knha", "adhoc"):
        return np.ones(fit.effects.size)
    df = fit.effects.df
    with np.errstate(invalid="ignore", divide="ignore"):
        s2 = np.where(df > 0, fit.yPy / df, 1.0)
    return np.maximum(s2, 1.0) if test == "adhoc" else s2
