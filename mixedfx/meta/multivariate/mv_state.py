r"""What a fit of `mixedfx.rma_mv` holds: a mixed model with known errors, read as a meta-analysis.

Restricted log likelihoods come with two constants. That of the error contrasts, of which no basis is preferred, has
+ 1/2 log|X'X| (Harville 1974); metafor prints it with that term, lme4 without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from mixedfx.covariance.components import sds_first
from mixedfx.design.design import Design
from mixedfx.errors import ModelError
from mixedfx.inference.hypotheses import Constant
from mixedfx.meta.measure import Array
from mixedfx.meta.tested import Tested
from mixedfx.reml.checking import projection_of
from mixedfx.reml.fit import LmerFit
from mixedfx.results.tables import term_names

MvTest = Literal["z", "t"]


@dataclass(frozen=True, eq=False, repr=False)
class RmaMvState(Tested):
    """Estimates of a mixed model of estimates whose sampling errors are known.

    Attributes
    ----------
    model
        The fit of `mixedfx.lmer` with sigma fixed at one, for questions that are not asked here: ``model.emmeans``,
        ``model.profile``, ``mx.effects(fit.model, ...)``.
    test
        ``"z"`` or ``"t"``.
    level
        Confidence level of intervals where none is asked for.
    """

    model: LmerFit
    test: MvTest
    level: float

    @property
    def design(self) -> Design:
        """Response, moderators, random terms and rows used."""
        return self.model.design

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return " ".join(self.design.formula.text.split())

    @property
    def method(self) -> str:
        """``"REML"`` or ``"ML"``."""
        return "REML" if self.model.solution.REML else "ML"

    @property
    def k(self) -> int:
        """Number of estimates."""
        return len(self.design.y)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.design.X.shape[1]

    @property
    def df(self) -> float:
        """Degrees of freedom of t: k - p, infinite for test="z"."""
        return np.inf if self.test == "z" else float(self.k - self.p)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.design.fixed_names

    @cached_property
    def beta(self) -> Array:
        """(p,) coefficients."""
        return self.model.solution.beta

    @property
    def fixef(self) -> pd.Series:
        """Coefficients by name."""
        return self.model.fixef

    @cached_property
    def covariance(self) -> Array:
        """(p, p) covariance of the coefficients."""
        return self.model.solution.vcov

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        return self.model.vcov

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and correlations of the random effects; see `LmerFit.varcorr`."""
        return self.model.varcorr

    @property
    def components(self) -> pd.DataFrame:
        """Each variance and correlation of the true effects: group, term, estimate.

        Variances are named as metafor's users know them: ``sigma2`` of a random intercept, ``tau2`` of the effects of
        a structured term, ``rho`` of any two of them, or of neighbours.
        """
        rows = []
        for name, term, factor in zip(
            term_names(self.design.random), self.design.random, self.model.solution.factors, strict=True
        ):
            inner = "sigma2" if term.columns == ("Intercept",) else "tau2"
            for component in sds_first(term.covariance.components):
                value = float(component.value(factor))
                of = component.names(term.columns, term.shared)
                if component.kind == "sd":
                    single = len(component.columns) > 1 or term.n_columns == 1
                    rows.append((name, inner if single else f"{inner}[{of[0]}]", value**2))
                else:
                    whole = len(component.columns) > 2 or term.covariance.n_sds == 1
                    rows.append((name, "rho" if whole else f"rho[{of[0]}, {of[1]}]", value))
        return pd.DataFrame(rows, columns=["group", "term", "estimate"]).astype({"estimate": float})

    def loglik(self, constant: bool = True) -> float:
        """Log likelihood at the estimates.

        Parameters
        ----------
        constant
            Of a REML fit: with + 1/2 log|X'X|, as metafor prints it, or without, as lme4 would. An ML fit has one.
        """
        extra = 0.0
        if constant and self.method == "REML":
            extra = float(np.linalg.slogdet(self.design.X.T @ self.design.X)[1]) / 2.0
        return self.model.loglik + extra

    @property
    def n_parameters(self) -> int:
        """Coefficients, variances and correlations."""
        return self.p + len(self.model.theta)

    @cached_property
    def _fixed(self) -> tuple[Array, Array]:
        """(k, p) orthonormal columns of V^(-1/2) X, and (k,) V^(-1/2) y."""
        precision = self.design.precision
        X = precision.whiten(self.design.X)
        return np.linalg.qr(X)[0], precision.whiten(self.design.y - self.design.offset)

    @property
    def QE(self) -> float:
        """Q of the (residual) heterogeneity, chi square with k - p degrees of freedom without random effects."""
        Q, y = self._fixed
        return float(np.sum((y - Q @ (Q.T @ y)) ** 2)) if self.k > self.p else 0.0

    @cached_property
    def study_weights(self) -> pd.Series:
        """Weights of the estimates in the mean, in per cent: 1'M^-1 over its sum, M the variance of the estimates.

        An estimate weighs the less, the more others of its levels say the same; where M has large correlations some
        weights may be negative.

        Raises
        ------
        ModelError
            For fits with moderators, whose coefficients have weights of their own each.
        """
        if self.names != ("Intercept",):
            raise ModelError("one weight for each estimate is known of fits without moderators only")
        precision = self.design.precision
        if len(self.design.random):
            w = precision.unwhiten(projection_of(self.design, self.model.solution).whitened_fixed)[:, 0]
        else:
            w = precision.unwhiten(precision.whiten(self.design.X))[:, 0]
        return pd.Series(100 * w / w.sum(), index=self.design.frame.index, name="weight")

    @property
    def reference(self) -> Constant:
        """What tests of the coefficients refer to."""
        return Constant(self.covariance, self.df)

    @cached_property
    def typical_variance(self) -> float:
        """Typical sampling variance, (k - p) / tr P with P of the model without random effects.

        Higgins and Thompson (2002, Statistics in Medicine 21:1539) for independent errors and no moderators; for V and
        X of any kind with P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 in the place of theirs.
        """
        if self.k <= self.p:
            return np.nan
        precision = self.design.precision
        Q, _ = self._fixed
        # with R'R = V^-1 and Q the orthonormal columns of R X, P = V^-1 - R'Q Q'R
        return (self.k - self.p) / (precision.inverse_trace - float(np.sum(precision.unwhiten(Q) ** 2)))
