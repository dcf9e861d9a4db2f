"""Likelihood-ratio tests of nested meta-analyses of the same estimates."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError, NestingWarning, RefittedWarning, outside
from mixedfx.meta.univariate.likelihood import loglik
from mixedfx.meta.univariate.refits import refits
from mixedfx.meta.univariate.rma_state import RmaState


def anova(fit: RmaState, other: RmaState) -> pd.DataFrame:
    """Table behind `RmaFit.anova`.

    Raises
    ------
    ModelError
        Fits of different estimates.
    """
    if fit.k != other.k or not (np.array_equal(fit.data.y, other.data.y) and np.array_equal(fit.vi, other.vi)):
        raise ModelError(
            f"the fits are of different estimates ({fit.k} and {other.k})",
            hint="Fit both to the same rows; a moderator with missing values drops some.",
        )
    small, large = sorted((fit, other), key=lambda f: (f.n_parameters, f.p))
    same = _contains(large, small) and _contains(small, large)
    if not _contains(large, small):
        warnings.warn(
            "the moderators of the smaller model are no combinations of those of the larger one, so that they are not "
            "seen to be nested",
            NestingWarning,
            outside(),
        )
    kinds = {f.estimator.likelihood for f in (fit, other) if f.estimator.heterogeneous}
    reml = same and kinds <= {"REML"} and bool(kinds)
    rows, free = [], []
    for one in (small, large):
        tau2 = _tau2(one, reml)
        npar = one.n_parameters
        ll = float(loglik(one.effects.at(tau2), reml)[0])
        n = one.k - one.p if reml else one.k
        free.append((npar, ll, tau2))
        rows.append((one.formula, npar, ll, -2 * ll + 2 * npar, -2 * ll + npar * np.log(n), tau2, one.QE))
    table = pd.DataFrame(rows, columns=["model", "npar", "logLik", "AIC", "BIC", "tau2", "QE"])
    (few, low, before), (many, high, after) = free
    lrt, df = 2 * (high - low), many - few
    from scipy import special

    table["lrt"], table["df"] = [np.nan, lrt], [np.nan, float(df)]
    table["p_value"] = [np.nan, float(special.chdtrc(df, max(lrt, 0.0))) if df > 0 else np.nan]
    table["R2"] = [np.nan, max(0.0, 100 * (before - after) / before) if before > 0 else np.nan]
    return table


def _contains(large: RmaState, small: RmaState) -> bool:
    """Whether the moderators of one are combinations of those of the other."""
    Q, X = large.effects.Q, small.data.X
    return bool(np.abs(X - Q @ (Q.T @ X)).max() < 1e-8 * max(1.0, float(np.abs(X).max())))


def _tau2(fit: RmaState, reml: bool) -> float:
    """tau^2 by the criterion that is compared."""
    wanted = "REML" if reml else "ML"
    if fit.tau2_fixed or not fit.estimator.heterogeneous or fit.estimator.likelihood == wanted:
        return fit.tau2
    warnings.warn(
        f"{fit.formula} was fitted by {fit.method}, and is compared by maximum likelihood: refitted",
        RefittedWarning,
        outside(),
    )
    from mixedfx.meta.univariate.heterogeneity import ESTIMATORS

    return float(refits(fit.effects, fit.R, ESTIMATORS[wanted], "z", None).tau2[0])
