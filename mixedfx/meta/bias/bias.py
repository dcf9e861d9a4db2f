"""Verbs of publication bias that make a fit of their own: trim and fill, and which side it looks at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfx.meta.bias.asymmetry import regression_test
from mixedfx.meta.bias.trim_fill import MissingEstimator, Side, TrimFill, trimmed
from mixedfx.meta.univariate.estimates import Estimates
from mixedfx.meta.univariate.refits import refits
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.weighted import Effects, orthonormal


def side_of_missing(fit: RmaState) -> Side:
    """The side that small studies lean away from, by the regression test."""
    return "right" if regression_test(fit, "sei", "rma", None, 0.95).statistic < 0 else "left"


def filled_estimates(
    fit: RmaState, side: Side, estimator: MissingEstimator
) -> tuple[Estimates, int, float]:  # fmt: skip
    """The estimates with those filled in that are missing, how many, and the standard error of their number."""
    k0, se, centre, order = trimmed(fit, side, estimator)
    far = order[fit.k - k0 :]
    y = np.append(fit.data.y, 2 * centre - fit.data.y[far])
    vi = np.append(fit.vi, fit.vi[far])
    labels = (*fit.slab, *(f"filled {i + 1}" for i in range(k0)))
    data = pd.DataFrame({"yi": y, "vi": vi, "slab": labels})
    weights = None if fit.weights is None else np.append(fit.weights, fit.weights[far])
    call = replace(fit.call, formula="yi ~ 1", data=data, vi="vi", sei=None, weights=weights, slab="slab")
    ones = np.ones((len(y), 1))
    return Estimates(y, np.zeros(len(y)), ones, ("Intercept",), vi, weights, labels, fit.measure, call), k0, se


def trim_and_fill(fit: RmaState, side: Side | None, estimator: MissingEstimator) -> TrimFill:
    """What is behind `RmaFit.trimfill`."""
    side = side_of_missing(fit) if side is None else side
    data, k0, se = filled_estimates(fit, side, estimator)
    Q, R = orthonormal(data.X)
    weights = None if data.weights is None else data.weights[None]
    effects = Effects(data.y[None], data.vi[None], Q)
    tau2 = float(refits(effects, R, fit.estimator, fit.test, fit.call.tau2, weights).tau2[0])
    filled = replace(fit, data=data, tau2=tau2)
    p_value = 0.5 ** (k0 + 1) if estimator == "R0" else np.nan
    return TrimFill(filled, k0, se, side, p_value, estimator, float(fit.beta[0]))
