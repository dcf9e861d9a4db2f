"""SelectionState: what a fitted selection model knows, which its tables and pictures read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx.meta.measure import Array
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.meta.selection.estimate import SelectionEstimate
from mixedfx.meta.univariate.estimates import Estimates

Source = Estimates | RmaMvState


@dataclass(frozen=True, eq=False, repr=False)
class SelectionState:
    """Estimates of a selection model.

    Attributes
    ----------
    estimate
        The likelihood and its maximum, and that without selection.
    formula
        The formula as it was written.
    names
        Coefficients.
    source
        What knows the design, and with it which rows were used.
    level
        Confidence level of intervals where none is asked for.
    before
        How the fit was made that this one is of, where it was by another estimator than maximum likelihood.
    """

    estimate: SelectionEstimate
    formula: str
    names: tuple[str, ...]
    source: Source
    level: float = 0.95
    before: str = "ML"

    @property
    def mechanism(self) -> str:
        """How clusters are selected."""
        return self.estimate.given.mechanism

    @property
    def clustered(self) -> bool:
        """Whether estimates are in clusters."""
        return self.estimate.given.codes is not None

    @property
    def k(self) -> int:
        """Number of estimates."""
        return len(self.estimate.given.y)

    @property
    def steps(self) -> tuple[float, ...]:
        """The steps of the fit, after intervals were merged."""
        return self.estimate.given.steps

    @property
    def beta(self) -> Array:
        """(p,) coefficients of all studies, seen or not."""
        return self.estimate.maximum.theta[: self.estimate.problem.p]

    @property
    def fixef(self) -> pd.Series:
        """Coefficients by name."""
        return pd.Series(self.beta, index=list(self.names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        p = self.estimate.problem.p
        return pd.DataFrame(self.estimate.maximum.covariance[:p, :p], index=list(self.names), columns=list(self.names))

    @property
    def se(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(np.diag(self.vcov)), index=list(self.names), name="se")

    @property
    def tau2(self) -> float:
        """Variance of true effects around their mean; in clusters, between and within together."""
        return float(self.estimate.maximum.theta[self.estimate.at_variances].sum())

    @property
    def rho(self) -> float:
        """Share of the variance of true effects that is between clusters; NaN without clusters."""
        if not self.clustered or self.tau2 == 0:
            return np.nan
        return float(self.estimate.maximum.theta[self.estimate.at_variances][0]) / self.tau2

    @property
    def se_tau2(self) -> float:
        """Standard error of `tau2`; NaN where it is known or 0."""
        part = self.estimate.maximum.covariance[self.estimate.at_variances, self.estimate.at_variances]
        return float(np.sqrt(part.sum()))

    @property
    def delta(self) -> Array:
        """(J,) parameters of the weight function; the first weight of a step function is 1."""
        return self.estimate.maximum.theta[self.estimate.at_weights]

    @property
    def se_delta(self) -> Array:
        """(J,) their standard errors."""
        return np.sqrt(np.diag(self.estimate.maximum.covariance))[self.estimate.at_weights]

    @property
    def loglik(self) -> float:
        """Log likelihood."""
        return self.estimate.maximum.loglik

    @property
    def loglik_unselected(self) -> float:
        """Log likelihood without selection."""
        return self.estimate.unselected.loglik

    @property
    def lrt(self) -> float:
        """Likelihood-ratio statistic against no selection."""
        return self.estimate.lrt

    @property
    def df(self) -> int:
        """Its degrees of freedom."""
        return self.estimate.df

    @property
    def p_value(self) -> float:
        """Its p value: half of chi-square's where no selection is at the boundary of the parameters."""
        return self.estimate.p_value
