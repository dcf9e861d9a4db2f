"""What a fit of `mixedfx.rma` tells its reader: tables in broom's columns, the page of the summary, intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import EmptyIntervalWarning, OptionError, check_level, check_option, outside
from mixedfx.inference.hypotheses import coefficient_df, hypothesis_table
from mixedfx.inference.robust import RobustCovariance, robust_covariance
from mixedfx.meta.effect_sizes.measures import MEASURES
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.tau2_intervals import IntervalMethod, generalised_q, h2, i2, profile_likelihood, q_profile
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text
from mixedfx.results.tables import fixed_table

Parm = Literal["fixed", "heterogeneity"]


def tidy(fit: RmaState, level: float | None, vcov: RobustCovariance | None = None) -> pd.DataFrame:
    """Table behind `RmaFit.tidy`."""
    level = fit.level if level is None else level
    if vcov is None:
        return fixed_table(fit.names, fit.beta, fit.covariance, fit.df, level)
    return fixed_table(fit.names, fit.beta, vcov.vcov, coefficient_df(vcov, fit.names), level)


def robust(fit: RmaState, kind: str, cluster: Any) -> RobustCovariance:
    """Covariance behind `RmaFit.vcov_robust`: that of independent rows of variance vi + tau^2."""
    if fit.weights is not None:
        raise OptionError("the fit has weights of its own", hint="Fit it without weights=.")
    design = replace(fit.design, known_sd=np.sqrt(fit.vi + fit.tau2))
    inverse = np.linalg.inv(fit.R)
    model = inverse @ fit.at_tau2.G[0] @ inverse.T  # without Knapp and Hartung's factor
    clusters = np.arange(fit.k) if cluster is None else fit.data.labels_beside(cluster, "cluster")
    return robust_covariance(design, (), 1.0, fit.beta, model, kind, clusters)


def glance(fit: RmaState) -> pd.DataFrame:
    """Table behind `RmaFit.glance`."""
    ll = fit.loglik()
    deviance = -2 * ll
    reml = fit.estimator.likelihood == "REML"
    n = fit.k - fit.p if reml else fit.k
    npar = fit.n_parameters
    if not reml:  # against a saturated model, which has no residuals
        deviance = -2 * (ll + 0.5 * float(np.sum(np.log(2 * np.pi * fit.vi))))
    room = max(n, npar + 2)
    row = {
        "k": fit.k,
        "tau2": fit.tau2,
        "se_tau2": fit.se_tau2,
        "I2": fit.i2,
        "H2": fit.h2,
        "R2": fit.r2,
        "QE": fit.QE,
        "QE_p_value": fit.QE_p_value,
        "QM": fit.QM,
        "QM_p_value": fit.QM_p_value,
        "logLik": ll,
        "deviance": deviance,
        "AIC": -2 * ll + 2 * npar,
        "BIC": -2 * ll + npar * np.log(n) if n > 0 else np.nan,
        "AICc": -2 * ll + 2 * npar * room / (room - npar - 1),
        "method": fit.method,
        "test": fit.test,
    }
    return pd.DataFrame([row])


def hypothesis(
    fit: RmaState, what: Any, rhs: Any, joint: bool, level: float | None, vcov: RobustCovariance | None
) -> pd.DataFrame:  # fmt: skip
    """Table behind `RmaFit.test_hypothesis`."""
    level = fit.level if level is None else level
    return hypothesis_table(what, rhs, fit.names, fit.beta, lambda: fit.reference(None, vcov), joint, level)


def tau2_limits(fit: RmaState, method: IntervalMethod | None, level: float) -> tuple[float, float]:
    """Limits of tau^2; NaN where there is no interval.

    Raises
    ------
    OptionError
        A method that this fit has no interval of.
    """
    check_option("method", method, (None, "QP", "GENQ", "PL"))
    if fit.k <= fit.p or fit.tau2_fixed or not fit.estimator.heterogeneous:
        return np.nan, np.nan
    if method is None:
        method = "GENQ" if fit.method in ("GENQ", "GENQM") else "QP"
    if method == "PL":
        if not fit.estimator.likelihood:
            raise OptionError(
                f"tau^2 was estimated by {fit.method}, which maximises no likelihood",
                hint="Use method='QP', or fit with method='REML' or 'ML'.",
            )
        return profile_likelihood(fit.effects, fit.tau2, fit.estimator.likelihood == "REML", level)
    if method == "GENQ":
        found = generalised_q(fit.effects, 1 / fit.vi if fit.weights is None else fit.weights, level)
    else:
        found = q_profile(fit.effects, level)
    if np.isnan(found[0]):
        warnings.warn(
            "the estimates vary less than their sampling variances allow for: the interval of tau^2 is empty",
            EmptyIntervalWarning,
            outside(),
        )
    return found


def confint(fit: RmaState, parm: Parm | None, level: float | None, method: IntervalMethod | None) -> pd.DataFrame:
    """Table behind `RmaFit.confint`."""
    check_option("parm", parm, (None, "fixed", "heterogeneity"))
    level = fit.level if level is None else level
    check_level(level)
    columns = ["term", "estimate", "conf_low", "conf_high"]
    parts: list[Any] = [] if parm == "heterogeneity" else [tidy(fit, level)[columns]]
    if parm != "fixed":
        low, high = tau2_limits(fit, method, level)
        typical = fit.typical_variance
        ways: list[tuple[str, Callable[[float], float]]] = [
            ("tau2", lambda t: t),
            ("tau", lambda t: float(np.sqrt(t))),
            ("I2", lambda t: float(i2(t, typical))),
            ("H2", lambda t: float(h2(t, typical))),
        ]
        rows = [(name, way(fit.tau2), way(low), way(high)) for name, way in ways]
        parts.append(pd.DataFrame(rows, columns=columns))
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def summary(fit: RmaState) -> SummaryContent:
    """Page behind `RmaFit.summary`."""
    kind = "Equal-effects" if not fit.estimator.heterogeneous else "Random-effects" if fit.p == 1 else "Mixed-effects"
    title = f"{kind} {'meta-analysis' if fit.names == ('Intercept',) else 'meta-regression'} of {fit.k} estimates"
    facts = [("Formula", fit.formula), ("Data", rows_text(fit.design.rows))]
    if fit.measure is not None:
        facts.append(("Measure", MEASURES[fit.measure].title if fit.measure in MEASURES else fit.measure))
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts))]
    numbers = glance(fit)
    criteria: Any = numbers[["logLik", "deviance", "AIC", "BIC", "AICc"]]
    blocks.append(frame_table(criteria, "Fit"))
    if fit.estimator.heterogeneous:
        shown: Any = numbers[["tau2", "se_tau2"]].assign(tau=fit.tau, **{"I2 %": fit.i2, "H2": fit.h2})
        if not np.isnan(fit.r2):
            shown["R2 %"] = fit.r2
        blocks.append(frame_table(shown, f"Heterogeneity (tau2: {fit.estimator.title})"))
    tests: list[tuple[str, float, float, float, float]] = [
        ("Residual heterogeneity" if fit.p > 1 else "Heterogeneity", fit.QE, fit.k - fit.p, np.nan, fit.QE_p_value)
    ]
    if fit.p > 1:
        num, den, _, p = fit.omnibus
        tests.append(("Moderators", fit.QM, num, den if np.isfinite(den) else np.nan, p))
    columns = ["test", "statistic", "df", "den_df", "p_value"]
    table = pd.DataFrame(tests, columns=columns).astype({"df": int})
    blocks.append(frame_table(table if fit.p > 1 and np.isfinite(fit.df) else table.drop(columns="den_df"), "Tests"))
    fixed = tidy(fit, None).rename(columns={"std_error": "se"})
    blocks.append(frame_table(fixed if np.isfinite(fit.df) else fixed.drop(columns="df"), "Model"))
    words = {
        "z": "the normal distribution",
        "t": f"t with {fit.df:g} degrees of freedom",
        "knha": f"Knapp and Hartung's standard errors, t with {fit.df:g} degrees of freedom",
        "adhoc": f"Knapp and Hartung's standard errors where larger, t with {fit.df:g} degrees of freedom",
    }
    blocks.append(SummaryFacts((("Tests and intervals", words[fit.test]),)))
    return SummaryContent(title, tuple(blocks))


def rows_of(fit: RmaState, newdata: Any) -> tuple[Array, Array, pd.Index | None]:
    """(m, p) rows of X, (m,) offsets and labels of what is predicted."""
    if newdata is not None:
        from mixedfx.design.alignment import row_labels

        replay = fit.design.spec.replay(newdata)
        return replay.X, replay.offset, row_labels(newdata)
    if fit.names == ("Intercept",) and not fit.data.offset.any():
        return np.ones((1, 1)), np.zeros(1), None
    return fit.data.X, fit.data.offset, pd.Index(fit.slab)


def predict(
    fit: RmaState,
    newdata: Any,
    level: float | None,
    transf: str | Callable[[Array], Array] | None,
) -> pd.DataFrame:
    """Table behind `RmaFit.predict`."""
    level = fit.level if level is None else level
    check_level(level)
    X, offset, labels = rows_of(fit, newdata)
    mean = X @ fit.beta + offset
    variance = np.sum((X @ fit.covariance) * X, axis=1)
    spread = fit.tau2 if fit.estimator.heterogeneous else np.nan
    return means_table(mean, variance, critical_value(fit.df, level), transf, labels, spread)


def means_table(
    mean: Array,
    variance: Array,
    critical: float,
    transf: str | Callable[[Array], Array] | None,
    labels: pd.Index | None,
    spread: Array | float | None = None,
) -> pd.DataFrame:
    """Means with their intervals, and, where `spread` is given, prediction intervals of true effects that vary by it.

    Parameters
    ----------
    mean, variance
        (m,) means and the variances of their errors.
    critical
        Quantile that intervals reach to, in standard errors.
    transf
        Scale of the table, as in `find_back`; standard errors are told on the scale of the model alone.
    labels
        Labels of the rows.
    spread
        (m,) variances of true effects around the means, or one; NaN where they are not known. None: no such columns.
    """
    columns: dict[str, Any] = {"estimate": mean}
    if transf is None:
        columns["std_error"] = np.sqrt(variance)
    columns["conf_low"], columns["conf_high"] = limits(mean, critical * np.sqrt(variance))
    if spread is not None:
        columns["pred_low"], columns["pred_high"] = limits(mean, critical * np.sqrt(variance + spread))
    return transformed(pd.DataFrame(columns, index=labels), find_back(transf))


def critical_value(df: float, level: float) -> float:
    """Quantile of t, or of the normal distribution, at the upper end of an interval."""
    from scipy import special

    return float(special.ndtri((1 + level) / 2) if np.isinf(df) else special.stdtrit(df, (1 + level) / 2))


def limits(mean: Array, half: Array) -> tuple[Array, Array]:
    """Both ends of intervals."""
    return mean - half, mean + half


def transformed(
    table: pd.DataFrame, back: Callable[[Array], Array], keep: Sequence[str] = ("std_error",)
) -> pd.DataFrame:
    """A table with its numbers on another scale; ends of intervals change places where the scale falls."""
    found = table.copy()
    for name in table.columns:
        if name not in keep:
            found[name] = np.asarray(back(table[name].to_numpy(dtype=np.float64)), dtype=np.float64)
    for low, high in (("conf_low", "conf_high"), ("pred_low", "pred_high")):
        if low in found and bool((found[low] > found[high]).any()):
            ends = found[[low, high]].to_numpy()
            found[low], found[high] = ends.min(axis=1), ends.max(axis=1)
    return found


def blup(fit: RmaState, level: float | None, transf: str | Callable[[Array], Array] | None) -> pd.DataFrame:
    """Table behind `RmaFit.blup`: best linear unbiased predictions of the true effects."""
    share = fit.tau2 / (fit.tau2 + fit.vi)
    mean = fit.data.X @ fit.beta + fit.data.offset
    spread = np.sum((fit.data.X @ fit.covariance) * fit.data.X, axis=1)
    estimate = share * fit.data.y + (1 - share) * mean
    return _shrunken(fit, estimate, share * fit.vi + (1 - share) ** 2 * spread, level, transf)


def ranef(fit: RmaState, level: float | None) -> pd.DataFrame:
    """Table behind `RmaFit.ranef`: predictions of the random effects alone."""
    share = fit.tau2 / (fit.tau2 + fit.vi)
    residual = fit.data.y - fit.data.X @ fit.beta - fit.data.offset
    spread = np.sum((fit.data.X @ fit.covariance) * fit.data.X, axis=1)
    return _shrunken(fit, share * residual, share * fit.vi + share**2 * spread, level, None)


def _shrunken(fit: RmaState, estimate: Array, variance: Array, level: float | None, transf: Any) -> pd.DataFrame:
    level = fit.level if level is None else level
    check_level(level)
    return means_table(estimate, variance, critical_value(fit.df, level), transf, pd.Index(fit.slab))
