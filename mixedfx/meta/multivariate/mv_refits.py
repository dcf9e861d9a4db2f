"""Refits and predictions of single rows behind `RmaMvFit`: without each cluster, and of each true effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError, check_level
from mixedfx.inference.resampling import take_rows
from mixedfx.inference.robust import cluster_codes
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.meta.robust import beside
from mixedfx.meta.univariate.rma_report import critical_value, limits
from mixedfx.reml.solve import solve


def blup(fit: RmaMvState, level: float | None) -> pd.DataFrame:
    """Table behind `RmaMvFit.blup`: X beta + Z u with the variance of its error, the components taken as known."""
    level = fit.level if level is None else level
    check_level(level)
    found = fit.model.with_uncertainty("given theta").apply(fit.model.design_for())
    low, high = limits(found.mean, critical_value(fit.df, level) * found.sd)
    columns = {"estimate": found.mean, "std_error": found.sd, "conf_low": low, "conf_high": high}
    return pd.DataFrame(columns, index=fit.design.frame.index)


def leave_out(fit: RmaMvState, cluster: Any) -> pd.DataFrame:
    """Table behind `RmaMvFit.leave_out`."""
    values, name = _clusters(fit, cluster)
    codes, labels = pd.factorize(values)
    rows = [_without(fit, np.flatnonzero(codes != j)) for j in range(len(labels))]
    table = pd.DataFrame(rows)
    table.insert(0, name, [str(label) for label in labels])
    return table


def _clusters(fit: RmaMvState, cluster: Any) -> tuple[Any, str]:
    """(k,) cluster of each row, as text or as given, and what to call them."""
    terms = {term.label: np.asarray(term.levels, dtype=object)[term.codes] for term in fit.design.random}
    if cluster is None:
        name = cluster_codes(fit.design, None)[1]
        return terms[name], name
    if isinstance(cluster, str) and cluster in terms:
        return terms[cluster], cluster
    return beside(fit.design, None if fit.model.call is None else fit.model.call.data, cluster)


def _without(fit: RmaMvState, kept: Any) -> dict[str, float]:
    design = fit.design
    names = [*fit.names, *(f"se[{name}]" for name in fit.names), *_component_names(fit), "QE"]
    try:
        left = take_rows(design, kept, [term.codes[kept] for term in design.random])
        solution = solve(left, fit.method == "REML", start=fit.model.solution.theta)
    except ModelError:
        return dict.fromkeys(names, np.nan)
    one = RmaMvState(replace(fit.model, design=left, solution=solution), fit.test, fit.level)
    values = [*one.beta, *np.sqrt(np.diag(one.covariance)), *one.components["estimate"], one.QE]
    return dict(zip(names, map(float, values), strict=True))


def _component_names(fit: RmaMvState) -> list[str]:
    table = fit.components
    return [f"{term} {group}" for group, term in zip(table["group"], table["term"], strict=True)]
