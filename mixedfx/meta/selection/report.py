"""What a selection model tells its reader: coefficients, weights, counts, the test, and what other mechanisms say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError, check_level, check_option
from mixedfx.meta.measure import Array
from mixedfx.meta.selection.clusters import MECHANISMS
from mixedfx.meta.selection.estimate import fit_selection
from mixedfx.meta.selection.intervals import CUSTOMARY, count_table, interval_names
from mixedfx.meta.selection.maximum import Maximum
from mixedfx.meta.selection.profile import profile_limits
from mixedfx.meta.selection.state import SelectionState
from mixedfx.meta.univariate.rma_report import critical_value, limits
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text
from mixedfx.results.tables import fixed_table

WORDS = {
    "conditional": "conditional: estimates pass singly, and how many of a cluster did says nothing of its effect",
    "joint": "joint: a cluster is seen only if all its estimates pass",
    "best": "best: a cluster is seen for its most significant estimate",
}
DIRECTION = {
    "greater": "one-sided p values, large estimates significant",
    "less": "one-sided p values, small estimates significant",
    "two.sided": "two-sided p values",
}


def tidy(fit: SelectionState, level: float | None) -> pd.DataFrame:
    """Table behind `SelectionFit.tidy`."""
    return fixed_table(fit.names, fit.beta, fit.vcov.to_numpy(), np.inf, fit.level if level is None else level)


def counts(fit: SelectionState) -> pd.DataFrame:
    """Table behind `SelectionFit.counts`."""
    given = fit.estimate.given
    steps = CUSTOMARY if given.function.smooth else given.steps
    return count_table(given.z, steps, given.two_sided)


def terms(fit: SelectionState) -> list[str]:
    """Names of the weights."""
    given = fit.estimate.given
    if not given.function.smooth:
        return interval_names(given.steps)
    return ["delta"] if len(fit.delta) == 1 else [f"delta{j + 1}" for j in range(len(fit.delta))]


def _on_log_scale(fit: SelectionState) -> bool:
    function = fit.estimate.given.function
    return not function.smooth or function.clip > 0


def weights(fit: SelectionState, level: float | None) -> pd.DataFrame:
    """Table behind `SelectionFit.weights`."""
    level = fit.level if level is None else level
    check_level(level)
    delta, se = fit.delta, fit.se_delta
    half = critical_value(np.inf, level) * se
    if _on_log_scale(fit):
        low, high = delta * np.exp(-half / delta), delta * np.exp(half / delta)
    else:
        low, high = limits(delta, half)
        low = np.maximum(low, 0.0)
    table = pd.DataFrame({"estimate": delta, "std_error": se, "conf_low": low, "conf_high": high})
    given = fit.estimate.given
    if given.function.smooth:
        table.insert(0, "term", terms(fit))
    else:
        table.insert(0, "interval", terms(fit))
        table.insert(1, "k", given.counted(given.steps))
    return table


def variances(fit: SelectionState) -> pd.DataFrame:
    """Variances of true effects, their standard errors."""
    part = fit.estimate.at_variances
    theta, se = fit.estimate.maximum.theta[part], np.sqrt(np.diag(fit.estimate.maximum.covariance))[part]
    names = ["between clusters", "within clusters"] if fit.clustered else ["tau2"]
    table = pd.DataFrame({"variance": names, "estimate": theta, "std_error": se, "sd": np.sqrt(theta)})
    if fit.clustered:
        table.loc[2] = ["together (tau2)", fit.tau2, fit.se_tau2, np.sqrt(fit.tau2)]
    return table


def glance(fit: SelectionState) -> pd.DataFrame:
    """Table behind `SelectionFit.glance`."""
    given = fit.estimate.given
    npar = int(np.isnan(fit.estimate.known).sum())
    ll = fit.loglik
    row = {
        "k": fit.k,
        "clusters": fit.k if given.codes is None else int(given.codes.max()) + 1,
        "tau2": fit.tau2,
        "rho": fit.rho,
        "logLik": ll,
        "logLik_unselected": fit.loglik_unselected,
        "LRT": fit.lrt,
        "df": fit.df,
        "p_value": fit.p_value,
        "AIC": -2 * ll + 2 * npar,
        "BIC": -2 * ll + npar * np.log(fit.k),
        "type": given.function.name,
        "mechanism": given.mechanism if fit.clustered else "any",
    }
    return pd.DataFrame([row])


def confint(fit: SelectionState, level: float | None, method: str) -> pd.DataFrame:
    """Table behind `SelectionFit.confint`."""
    level = fit.level if level is None else level
    check_level(level)
    check_option("method", method, ("wald", "profile"))
    names = [*fit.names, *(["tau2 between", "tau2 within"] if fit.clustered else ["tau2"])]
    names += [name if fit.estimate.given.function.smooth else f"weight of {name}" for name in terms(fit)]
    at = np.flatnonzero(np.isnan(fit.estimate.known))
    theta = fit.estimate.maximum.theta
    if method == "profile":
        ends = np.array([profile_limits(fit.estimate, int(i), level) for i in at])
    else:
        se = np.sqrt(np.diag(fit.estimate.maximum.covariance))
        half = critical_value(np.inf, level) * se
        ends = np.stack(limits(theta, half), axis=1)
        ends[fit.estimate.problem.p :, 0] = np.maximum(ends[fit.estimate.problem.p :, 0], 0.0)
        ends[fit.estimate.at_weights] = weights(fit, level)[["conf_low", "conf_high"]].to_numpy()
        ends = ends[at]
    return pd.DataFrame(
        {"term": [names[i] for i in at], "estimate": theta[at], "conf_low": ends[:, 0], "conf_high": ends[:, 1]}
    )


def sensitivity(fit: SelectionState) -> pd.DataFrame:
    """Table behind `SelectionFit.sensitivity`."""
    variances_at = fit.estimate.at_variances

    def row(found: Maximum) -> list[Any]:
        spread = float(found.theta[variances_at].sum())
        return [float(found.theta[0]), float(np.sqrt(found.covariance[0, 0])), spread]

    none = fit.estimate.unselected
    rows: list[list[Any]] = [["none", *row(none), "", none.loglik, np.nan, np.nan, ""]]
    for mechanism in MECHANISMS if fit.clustered else ("any",):
        estimate = fit.estimate
        if mechanism not in ("any", fit.mechanism):
            try:
                estimate = fit_selection(replace(estimate.given, mechanism=mechanism))
            except DataError as error:
                rows.append([mechanism, *[np.nan] * 3, "", *[np.nan] * 3, error.message])
                continue
        found = estimate.maximum
        note = "" if found.converged else "the likelihood has no certain maximum"
        weights = ", ".join(f"{w:.3g}" for w in found.theta[estimate.at_weights])
        rows.append([mechanism, *row(found), weights, found.loglik, estimate.lrt, estimate.p_value, note])
    columns = ["mechanism", "estimate", "std_error", "tau2", "weights", "logLik", "LRT", "p_value", "note"]
    return pd.DataFrame(rows, columns=columns)


def weight_at(fit: SelectionState, p: Array) -> Array:
    """Weights behind `SelectionFit.weight_at`."""
    given = fit.estimate.given
    if not given.function.smooth:
        return fit.delta[np.sum(p[..., None] > np.array(given.steps), axis=-1)]
    assert given.function.log_weight is not None
    flat = p.ravel()
    logs = given.function.log_weight(flat, 1 - flat, fit.delta)[0]
    if given.steps:
        begin = np.array(given.steps)
        logs = np.where(flat > begin[0], logs - given.function.log_weight(begin, 1 - begin, fit.delta)[0], 0.0)
    return np.exp(logs).reshape(p.shape)


def summary(fit: SelectionState, mechanisms: pd.DataFrame) -> SummaryContent:
    """Page behind `SelectionFit.summary`."""
    given, function = fit.estimate.given, fit.estimate.given.function
    where = "" if given.codes is None else f" in {int(given.codes.max()) + 1} clusters"
    title = f"Selection model ({function.title}) of {fit.k} estimates{where}"
    facts = [
        ("Formula", fit.formula),
        ("Data", rows_text(fit.source.design.rows)),
        ("Weights", f"w(p) = {function.formula}; {DIRECTION[given.alternative]}"),
    ]
    if given.function.smooth and given.steps:
        facts.append(("From", f"p = {given.steps[0]:g}; w = 1 below"))
    if function.clip > 0:
        facts.append(
            ("Clip", f"p is clipped to [{function.clip:g}, 1 - {function.clip:g}], without which the weights have no "
             "finite mean for some exponents: the clip is part of the model")
        )  # fmt: skip
    if fit.clustered:
        facts.append(("Mechanism", WORDS[given.mechanism]))
    facts.append(
        ("Estimator", "maximum likelihood" + ("" if fit.before == "ML" else f" (the fit was by {fit.before})"))
    )
    if not fit.estimate.maximum.converged:
        facts.append(
            ("Convergence", "the likelihood has no certain maximum: estimates and errors are not to be relied on")
        )
    names = [*fit.names, *variances(fit)["variance"][: fit.estimate.problem.spreads], *terms(fit)]
    on_edge = [name for name, bound in zip(names, fit.estimate.maximum.bound, strict=True) if bound]
    if on_edge:
        facts.append(
            ("Boundary", f"at the end of its range, and taken as known by the others' errors: {', '.join(on_edge)}")
        )
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts))]
    blocks.append(frame_table(_fit_row(fit), "Fit"))
    blocks.append(frame_table(variances(fit), "Variances of true effects"))
    model = tidy(fit, None).rename(columns={"std_error": "se"}).drop(columns="df")
    model["unselected"] = fit.estimate.unselected.theta[: len(model)]
    blocks.append(frame_table(model, "Model, and its coefficients without selection"))
    blocks.append(frame_table(weights(fit, None), "Weights"))
    if function.smooth or (fit.clustered and given.mechanism == "best"):
        blocks.append(frame_table(counts(fit), "Estimates by p value"))
    p = f"chi-square({fit.df})" + (", half of it at 0, as no selection is a boundary" if function.boundary else "")
    test = pd.DataFrame([{"test": "No selection", "LRT": fit.lrt, "df": fit.df, "p_value": fit.p_value}])
    blocks.append(frame_table(test, f"Test ({p})"))
    table = mechanisms.rename(columns={"estimate": fit.names[0], "std_error": "se"})
    notes = [(str(row["mechanism"]), str(row["note"])) for row in table.to_dict("records") if row["note"]]
    heading = "Sensitivity: the likelihood cannot tell mechanisms apart, and they disagree"
    blocks.append(
        frame_table(
            table.drop(columns="note"),
            heading if fit.clustered else "Sensitivity (no clusters: all mechanisms are one)",
        )
    )
    if notes:
        blocks.append(SummaryFacts(tuple(notes)))
    return SummaryContent(title, tuple(blocks))


def _fit_row(fit: SelectionState) -> pd.DataFrame:
    numbers: Any = glance(fit)[["logLik", "logLik_unselected", "AIC", "BIC"]]
    return numbers
