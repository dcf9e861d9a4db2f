r"""Tests of funnel plot asymmetry: regression on a measure of precision, rank correlation, PET and PEESE.

Small studies whose estimates differ from those of large ones are what selection for significance leaves behind. The
regression test adds a predictor, such as the standard error, to the model (Egger, Davey Smith, Schneider and Minder
1997, BMJ 315; Sterne and Egger 2005), either with its tau^2, or by weighted least squares with an estimated factor of
the sampling variances (``"lm"``, Egger's own). The intercept is the effect of a study without sampling error: with the
standard error as predictor it is PET, with the variance PEESE, and PET-PEESE takes the second where the first says that
there is an effect (Stanley and Doucouliagos 2014, Research Synthesis Methods 5(1)).

The rank test is Kendall's tau-b of (y - mu) / sqrt(v - var mu) and v, mu the equal-effects mean (Begg and Mazumdar
1994, Biometrics 50(4)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError, OptionError, check_option
from mixedfx.meta.univariate.refits import refits
from mixedfx.meta.univariate.rma_report import critical_value
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.weighted import Effects, orthonormal
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts
from mixedfx.results.tables import t_test

Predictor = Literal["sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv"]
RegressionModel = Literal["rma", "lm"]
PREDICTORS = {
    "sei": lambda v, n: np.sqrt(v),
    "vi": lambda v, n: v,
    "ni": lambda v, n: n,
    "ninv": lambda v, n: 1 / n,
    "sqrtni": lambda v, n: np.sqrt(n),
    "sqrtninv": lambda v, n: 1 / np.sqrt(n),
}
WORDS = {
    "sei": "the standard error",
    "vi": "the sampling variance",
    "ni": "the sample size",
    "ninv": "the inverse of the sample size",
    "sqrtni": "the root of the sample size",
    "sqrtninv": "the inverse root of the sample size",
}


@dataclass(frozen=True, repr=False)
class RegressionTest(Shown):
    """What a regression test found.

    Attributes
    ----------
    table
        term, estimate, std_error, statistic, df, p_value, conf_low, conf_high of all coefficients, the predictor last.
    predictor, model
        What was asked for.
    statistic, p_value, df
        Of the predictor; df is infinite for z.
    limit
        Effect of a study of unlimited size: estimate, conf_low, conf_high; None where the model has moderators or the
        predictor grows with size.
    """

    table: pd.DataFrame
    predictor: str
    model: str
    statistic: float
    p_value: float
    df: float
    limit: tuple[float, float, float] | None

    def content(self) -> SummaryContent:
        """What is shown."""
        symbol = "z" if np.isinf(self.df) else f"t({self.df:g})"
        kind = {"rma": "random-effects model", "lm": "weighted least squares with a factor of the variances"}
        facts = [
            ("Predictor", f"{WORDS[self.predictor]}; {kind[self.model]}"),
            ("Asymmetry", f"{symbol} = {self.statistic:.3f}, p = {self.p_value:.4g}"),
        ]
        if self.limit is not None:
            estimate, low, high = self.limit
            facts.append(("Without sampling error", f"{estimate:.4g} [{low:.4g}, {high:.4g}]"))
        shown = self.table.drop(columns="df") if np.isinf(self.df) else self.table
        return SummaryContent(
            "Regression test of funnel plot asymmetry",
            (SummaryFacts(tuple(facts)), frame_table(shown, "Coefficients")),
        )


def regression_test(
    fit: RmaState, predictor: Predictor, model: RegressionModel, ni: Any, level: float
) -> RegressionTest:  # fmt: skip
    """Test behind `RmaFit.regtest`."""
    check_option("predictor", predictor, tuple(PREDICTORS))
    check_option("model", model, ("rma", "lm"))
    needs = predictor not in ("sei", "vi")
    if needs and ni is None:
        raise OptionError(f"predictor={predictor!r} needs the sample sizes", hint="Give ni='column'.")
    if fit.weights is not None:
        raise OptionError("the fit has weights of its own", hint="Fit it without weights=.")
    sizes = fit.data.beside(ni, "ni") if needs else np.ones(fit.k)
    x = PREDICTORS[predictor](fit.vi, sizes)
    X = np.column_stack([fit.data.X, x])
    if np.linalg.matrix_rank(X / np.linalg.norm(X, axis=0)) < X.shape[1]:
        raise ModelError(
            f"{WORDS[predictor]} is the same in all studies, or a combination of the moderators",
            hint="Use another predictor.",
        )
    if fit.k <= X.shape[1]:
        raise ModelError(
            f"{fit.k} estimates are too few for {X.shape[1]} coefficients and their error", hint="Use fit.ranktest()."
        )
    Q, R = orthonormal(X)
    effects = Effects(fit.effects.y, fit.effects.v, Q)
    if model == "rma":
        found = refits(effects, R, fit.estimator, fit.test, fit.call.tau2)
        beta, vcov = found.beta[0], found.vcov[0]
        df = np.inf if fit.test == "z" else float(fit.k - X.shape[1])
    else:
        plain = effects.at(0.0)
        df = float(fit.k - X.shape[1])
        inverse = np.linalg.inv(R)
        beta = inverse @ plain.gamma[0]
        vcov = plain.yPy[0] / df * (inverse @ plain.G[0] @ inverse.T)
    se = np.sqrt(np.diag(vcov))
    p, half = t_test(beta / se, se, np.full(len(beta), df), level)
    table = pd.DataFrame(
        {
            "term": [*fit.names, predictor], "estimate": beta, "std_error": se, "statistic": beta / se, "df": df,
            "p_value": p, "conf_low": beta - half, "conf_high": beta + half,
        }
    )  # fmt: skip
    limit = None
    if fit.names == ("Intercept",) and predictor not in ("ni", "sqrtni"):
        limit = float(beta[0]), float(beta[0] - half[0]), float(beta[0] + half[0])
    return RegressionTest(table, predictor, model, float(beta[-1] / se[-1]), float(p[-1]), df, limit)


@dataclass(frozen=True, repr=False)
class RankTest(Shown):
    """Kendall's tau-b of standardised estimates and their variances, and its p value."""

    tau: float
    p_value: float
    exact: bool

    def content(self) -> SummaryContent:
        """What is shown."""
        kind = "exact" if self.exact else "normal approximation, since there are ties"
        text = f"Kendall's tau = {self.tau:.4f}, p = {self.p_value:.4g} ({kind})"
        return SummaryContent("Rank correlation test of funnel plot asymmetry", (SummaryFacts((("Found", text),)),))


def rank_test(fit: RmaState) -> RankTest:
    """Test behind `RmaFit.ranktest`."""
    from scipy import stats

    if fit.names != ("Intercept",):
        raise ModelError("the rank test is for fits without moderators", hint="Use regtest(), which keeps them.")
    if fit.k < 3:
        raise ModelError(f"{fit.k} estimates have no rank correlation to speak of", hint="Three are the least.")
    w = 1 / fit.vi
    mean = float(w @ fit.data.y / w.sum())
    deviates = (fit.data.y - mean) / np.sqrt(fit.vi - 1 / w.sum())
    exact = len(np.unique(deviates)) == fit.k == len(np.unique(fit.vi))
    found: Any = stats.kendalltau(deviates, fit.vi, method="exact" if exact else "asymptotic")
    return RankTest(float(found.statistic), float(found.pvalue), exact)


def pet_peese(fit: RmaState, model: RegressionModel, alpha: float, level: float) -> pd.DataFrame:
    """Table behind `RmaFit.pet_peese`."""
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha!r} is not a probability", hint="Use 0.10, say.")
    if fit.names != ("Intercept",):
        raise ModelError("PET and PEESE are for fits without moderators", hint="Use regtest(), which keeps them.")
    pet, peese = (regression_test(fit, kind, model, None, level) for kind in ("sei", "vi"))
    rows = [one.table.iloc[0] for one in (pet, peese)]
    # one-sided, in the direction of the mean without correction
    t = float(rows[0]["statistic"]) * (1 if fit.beta[0] >= 0 else -1)
    chosen = 1 if t > critical_value(pet.df, 1 - 2 * alpha) else 0
    columns = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
    table = pd.DataFrame([[row[c] for c in columns] for row in (*rows, rows[chosen])], columns=columns)
    table.insert(0, "estimator", ["PET", "PEESE", f"PET-PEESE: {('PET', 'PEESE')[chosen]}"])
    return table
