r"""Predictions of a weighted generalised fit, on the scale of the linear predictor or of the response.

On the scale of the response standard errors are the delta method's and ends of intervals those of the linear predictor
through the inverse link. Over the population of groups the mean of a row is E g^{-1}(x'beta + offset + s e), e standard
normal and s^2 = sum over terms of z' Sigma z, by quadrature, and its standard error that of beta by the delta method,
the variances taken as known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.design.population import population_covariates, population_variance
from mixedfx.design.row_facts import fetch
from mixedfx.design.rows_used import row_index
from mixedfx.errors import check_flag, check_level, check_option
from mixedfx.inference.incomplete_rows import Na, over_incomplete
from mixedfx.linalg.quadrature import normal_rule
from mixedfx.results.protocol import NewLevels
from mixedfx.results.tables import t_test
from mixedfx.results.undetermined import determined, warn_rows
from mixedfx.surveys.generalised.state import GeneralState, mean_of, mean_slope

Array = NDArray[np.float64]
Groups = Literal["fitted", "average", "integrate"]
Kind = Literal["response", "link"]


def predict(
    fit: GeneralState, newdata: Any, new_levels: NewLevels, groups: Groups, kind: Kind, se: bool, level: float, na: Na
) -> pd.Series | pd.DataFrame:
    """Predictions, NaN for rows that lack a value; see `WeightedGlmerFit.predict`."""
    check_option("groups", groups, ("fitted", "average", "integrate"))
    check_option("kind", kind, ("response", "link"))
    check_flag("se", se)
    check_level(level)

    def ask(given: Any, _: Any) -> pd.Series | pd.DataFrame:
        frame = fetch(fit.design, given, None)
        rows = fit.design_for(frame, new_levels if groups == "fitted" else "population")
        warn_rows(fit.design, rows.null)
        if groups != "fitted":
            rows = replace(rows, random=sparse.csr_array(rows.random.shape))
        index = row_index(fit.design, given, len(rows))
        found = determined(fit.apply(rows), rows)
        mean, sd = found.mean, np.sqrt(found.variances)
        if groups == "integrate":
            z = population_covariates(fit.design, fit.design.frame if frame is None else frame)
            mean, sd = _over_population(fit, rows, mean, z)
        half = t_test(np.zeros_like(sd), sd, np.full(len(sd), fit.df), level)[1]
        low, high = mean - half, mean + half
        if kind == "response":
            low, high = mean_of(fit.solution, low), mean_of(fit.solution, high)
            low, high = np.minimum(low, high), np.maximum(low, high)
            mean, sd = mean_of(fit.solution, mean), np.abs(mean_slope(fit.solution, mean)) * sd
        if not se:
            return pd.Series(mean, index=index, name="predicted")
        return pd.DataFrame({"estimate": mean, "se": sd, "lower": low, "upper": high}, index=index)

    return over_incomplete(fit.design, newdata, None, na, (), ask)


def _over_population(fit: GeneralState, rows: Functional, eta: Array, z: tuple[Array, ...]) -> tuple[Array, Array]:
    """Links of the means over the population of groups, and their standard errors."""
    solution, link = fit.solution, fit.family.link
    spread = np.sqrt(population_variance(fit.covariance_factors, z))[0]
    mean, slope = np.zeros(len(eta)), np.zeros(len(eta))
    for node, weight in zip(*normal_rule(float(spread.max(initial=0.0))), strict=True):
        at = eta + spread * node
        mean += weight * mean_of(solution, at)
        slope += weight * mean_slope(solution, at)
    found = np.asarray(link.link(mean))
    by_eta = slope / link.derivatives(found, 1)[0]
    variance = np.einsum("sp,pr,sr->s", rows.fixed, solution.spread.beta, rows.fixed)
    return found, np.abs(by_eta) * np.sqrt(variance)
