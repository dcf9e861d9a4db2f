"""RmaGlmmFit: a meta-analysis of counts, and the questions that can be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import check_level
from mixedfx.glmm.fit import GlmerFit
from mixedfx.inference.hypotheses import Constant, hypothesis_table
from mixedfx.meta.counts.models import Found, weighted_residuals
from mixedfx.meta.counts.reading import Counts
from mixedfx.meta.effect_sizes.measures import find_measure
from mixedfx.meta.measure import Array
from mixedfx.meta.tested import Tested
from mixedfx.meta.univariate.rma_report import critical_value, means_table
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.tables import fixed_table

WORDS = {
    "UM.FS": "unconditional, a parameter for the level of each study",
    "UM.RS": "unconditional, random levels of studies",
    "CM.EL": "conditional on the events of both groups, exact likelihood",
    "CM.AL": "conditional on the events of both groups, approximate likelihood",
    "": "random effects of studies",
}


@dataclass(frozen=True, eq=False, repr=False)
class RmaGlmmFit(Tested):
    """A fitted meta-analysis of counts, as `mixedfx.rma_glmm` returns it.

    Attributes
    ----------
    counts
        Studies, moderators and labels.
    model
        ``"UM.FS"``, ``"UM.RS"``, ``"CM.EL"``, ``"CM.AL"``, or "" of one group.
    found
        The maximum of its likelihood.
    nAGQ
        Nodes of the quadrature over the effect of a study; 1 is Laplace's approximation.
    test
        ``"z"`` or ``"t"`` with k - p degrees of freedom.
    level
        Confidence level.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> trials = pd.DataFrame({"ai": [4, 6, 3, 62, 33], "n1i": [123, 306, 231, 13598, 5069],
    ...                        "ci": [11, 29, 11, 248, 47], "n2i": [139, 303, 220, 12867, 5808]})
    >>> fit = mx.rma_glmm("OR", trials, model="CM.EL", ai="ai", n1i="n1i", ci="ci", n2i="n2i")
    >>> fit.tidy()[["term", "estimate", "std_error"]].round(3)
            term  estimate  std_error
    0  Intercept    -1.104      0.284
    """

    counts: Counts
    model: str
    found: Found
    nAGQ: int
    test: str
    level: float

    @property
    def measure(self) -> str:
        """``"OR"``, ``"IRR"``, ``"PLO"`` or ``"IRLN"``; effects are its logarithms, or log odds and log rates."""
        return self.counts.measure

    @property
    def slab(self) -> tuple[str, ...]:
        """(k,) labels of the studies."""
        return self.counts.moderators.slab

    @property
    def k(self) -> int:
        """Number of studies that are used."""
        return self.counts.k

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.counts.X.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.counts.moderators.names

    @cached_property
    def beta(self) -> Array:
        """(p,) coefficients."""
        return self.found.beta

    @cached_property
    def covariance(self) -> Array:
        """(p, p) covariance of the coefficients; that variances are estimated is part of it."""
        return self.found.covariance

    @property
    def fixef(self) -> pd.Series:
        """Coefficients by name."""
        return pd.Series(self.beta, index=list(self.names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        return pd.DataFrame(self.covariance, index=list(self.names), columns=list(self.names))

    @property
    def se(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(np.diag(self.covariance)), index=list(self.names), name="se")

    @property
    def df(self) -> float:
        """Degrees of freedom of t: k - p, infinite for test="z"."""
        return np.inf if self.test == "z" else float(self.k - self.p)

    @property
    def tau2(self) -> float:
        """Variance of true effects around their mean."""
        return self.found.tau2

    @property
    def tau(self) -> float:
        """Its square root."""
        return float(np.sqrt(self.tau2))

    @property
    def se_tau2(self) -> float:
        """Standard error of tau2, of the exact conditional likelihood of tables; NaN elsewhere, and where tau2 is 0."""
        return self.found.se_tau2

    @property
    def sigma2(self) -> float:
        """Variance of the studies' levels under ``"UM.RS"``; NaN elsewhere."""
        return self.found.sigma2

    @property
    def i2(self) -> float:
        """Share of tau2 in tau2 and the typical sampling variance of the studies' own effects, in per cent."""
        return 100 * self.tau2 / (self.tau2 + self.counts.typical)

    @property
    def h2(self) -> float:
        """tau2 over that variance, plus 1."""
        return self.tau2 / self.counts.typical + 1

    @property
    def QE(self) -> float:
        """Likelihood-ratio statistic of heterogeneity: every study has its own effect, against equal effects."""
        return max(0.0, 2 * (self.found.saturated - self.found.equal))

    @property
    def heterogeneity(self) -> pd.DataFrame:
        """Tests of heterogeneity: test, statistic, df, p_value.

        Wald's is about the studies whose own effects are finite, the likelihood-ratio test about all.
        """
        from scipy import special

        wald, df = weighted_residuals(self.found, self.counts.X)
        rows = [("Likelihood ratio", self.QE, self.k - self.p), ("Wald", wald, df)]
        return pd.DataFrame(
            [(name, Q, d, float(special.chdtrc(d, Q)) if d > 0 else 1.0) for name, Q, d in rows],
            columns=["test", "statistic", "df", "p_value"],
        )

    @property
    def loglik(self) -> float:
        """Log likelihood with all constants."""
        return self.found.loglik

    @property
    def glmer(self) -> GlmerFit | None:
        """The fit of `mixedfx.glmer` behind it; None of ``model="CM.EL"`` of tables, whose likelihood is another."""
        return self.found.glmer

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns: term, estimate, std_error, statistic, df, p_value, conf_low, conf_high."""
        return fixed_table(self.names, self.beta, self.covariance, self.df, self.level if level is None else level)

    def glance(self) -> pd.DataFrame:
        """One row: k, tau2, its standard error, sigma2, I2, H2, QE, QM, likelihood, criteria, model, test."""
        npar, ll = self.found.n_parameters, self.loglik
        row = {
            "k": self.k, "tau2": self.tau2, "se_tau2": self.se_tau2, "sigma2": self.sigma2, "I2": self.i2,
            "H2": self.h2,
            "QE": self.QE, "QE_p_value": self.QE_p_value, "QM": self.QM, "QM_p_value": self.QM_p_value,
            "logLik": ll, "AIC": -2 * ll + 2 * npar, "BIC": -2 * ll + npar * np.log(self.k), "measure": self.measure,
            "model": self.model, "test": self.test,
        }  # fmt: skip
        return pd.DataFrame([row])

    def test_hypothesis(
        self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, level: float | None = None
    ) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs, as `RmaFit.test_hypothesis`."""
        level = self.level if level is None else level
        reference = Constant(self.covariance, self.df)
        return hypothesis_table(hypothesis, rhs, self.names, self.beta, lambda: reference, joint, level)

    def predict(
        self, newdata: Any = None, level: float | None = None, transf: str | Callable[[Array], Array] | None = None
    ) -> pd.DataFrame:
        """Mean true effects, confidence intervals, and prediction intervals of the true effect of a new study.

        Parameters
        ----------
        newdata
            Moderators of what is predicted; those of the studies where None (one row without moderators).
        level
            Confidence level; that of the fit where None.
        transf
            As in `RmaFit.predict`: ``"exp"`` of ratios and rates, ``"expit"`` of proportions.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> wards = pd.DataFrame({"xi": [3, 8, 1, 12], "ni": [40, 62, 35, 90]})
        >>> mx.rma_glmm("PLO", wards, xi="xi", ni="ni").predict(transf="expit").round(3)
           estimate  conf_low  conf_high  pred_low  pred_high
        0     0.106     0.072      0.153     0.072      0.153
        """
        level = self.level if level is None else level
        check_level(level)
        moderators = self.counts.moderators
        if newdata is not None:
            from mixedfx.design.alignment import row_labels

            X, labels = moderators.design.spec.replay(newdata).X, row_labels(newdata)
        elif self.names == ("Intercept",):
            X, labels = np.ones((1, 1)), None
        else:
            X, labels = moderators.X, pd.Index(self.slab)
        variance = np.sum((X @ self.covariance) * X, axis=1)
        return means_table(X @ self.beta, variance, critical_value(self.df, level), transf, labels, self.tau2)

    def summary(self) -> SummaryContent:
        """Everything on one page."""
        entry = find_measure(self.measure)
        kind = "Random-effects meta-analysis" if self.names == ("Intercept",) else "Mixed-effects meta-regression"
        integral = "exact to rounding" if self.glmer is None else "Laplace" if self.nAGQ == 1 else f"{self.nAGQ} nodes"
        facts = [("Measure", entry.title), ("Model", WORDS[self.model]), ("Formula", self.counts.formula)]
        out = []
        if self.counts.incomplete:
            out.append(f"{_studies(self.counts.incomplete)} with a missing count or moderator")
        if self.counts.silent:
            out.append(f"{_studies(self.counts.silent)} without events, or with events only")
        if out:
            facts.append(("Left out", "; ".join(out)))
        facts.append(("Integral over effects", integral))
        numbers = self.glance()
        columns = ["tau2", *(["se_tau2"] if np.isfinite(self.se_tau2) else [])]
        columns += ["sigma2"] if np.isfinite(self.sigma2) else []
        spread: Any = numbers[columns].assign(tau=self.tau, **{"I2 %": self.i2, "H2": self.h2})
        if np.isfinite(self.found.rho):
            spread["rho"] = self.found.rho
        criteria: Any = numbers[["logLik", "AIC", "BIC"]]
        fixed = self.tidy().rename(columns={"std_error": "se"})
        blocks: list[SummaryFacts | SummaryTable] = [
            SummaryFacts(tuple(facts)),
            frame_table(criteria, "Fit"),
            frame_table(spread, "Heterogeneity"),
            frame_table(self.heterogeneity, "Tests of heterogeneity"),
        ]
        if self.p > 1:
            num, den, _, p = self.omnibus
            row = {"statistic": self.QM, "df": int(num), "p_value": p} | ({} if np.isinf(den) else {"den_df": den})
            blocks.append(frame_table(pd.DataFrame([row]), "Moderators"))
        blocks.append(frame_table(fixed if np.isfinite(self.df) else fixed.drop(columns="df"), "Coefficients"))
        if self.names == ("Intercept",) and entry.back is not None:
            blocks.append(frame_table(self.predict(transf=entry.back), f"On its own scale ({entry.back})"))
        return SummaryContent(f"{kind} of {self.k} studies", tuple(blocks))

    def __repr__(self) -> str:
        model = f" {self.model}" if self.model else ""
        first = f"{self.names[0]} {self.beta[0]:.2f}"
        return f"<RmaGlmmFit {self.measure}{model}: {self.k} studies, tau2 {self.tau2:.2f}, {first}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def _studies(count: int) -> str:
    return f"{count:,} {'study' if count == 1 else 'studies'}"
