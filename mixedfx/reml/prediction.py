"""Predictions of a fitted linear mixed model: residuals, new rows, new responses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import row_labels
from mixedfx.design.design import Design
from mixedfx.design.rows import functional_for
from mixedfx.design.rows_used import row_index, row_weights, weights_columns
from mixedfx.errors import check_count, check_flag, check_option, check_seed
from mixedfx.families.location import gaussian
from mixedfx.inference.incomplete_rows import Na, over_incomplete
from mixedfx.inference.new_predictors import new_predictors
from mixedfx.inference.original_scale import (
    PredictionKind,
    check_scales,
    kind_of_prediction,
    taken_back,
    transformation_to_undo,
)
from mixedfx.inference.predictor import draw_effects
from mixedfx.reml.checking import projected_residuals
from mixedfx.reml.predictive import IntervalKind, Source, predict_table
from mixedfx.reml.rows import PROJECTED, ResidualKind, residual_values, simulate_responses
from mixedfx.reml.solution import Solution
from mixedfx.reml.uncertainty import Uncertain
from mixedfx.results.protocol import NewLevels
from mixedfx.results.undetermined import determined, warn_rows

Array = NDArray[np.float64]


def residuals(design: Design, solution: Solution, fitted: Array, kind: ResidualKind) -> pd.Series:
    """Residuals around the `fitted` values; see `LmerFit.residuals`."""
    if kind in PROJECTED:
        values = projected_residuals(design, solution, kind)
    else:
        values = residual_values(design, fitted, solution.sigma, kind)
    return pd.Series(values, index=design.frame.index, name="residual")


def predict(
    known: Uncertain,
    newdata: Any,
    new_levels: NewLevels,
    groups: Literal["fitted", "average"],
    seed: int | None,
    *,
    kind: PredictionKind,
    se: bool,
    interval: IntervalKind | None,
    level: float,
    uncertainty: Collection[Source] | None,
    weights: Any,
    back_transform: bool,
    bias_adjust: bool,
    na: Na,
) -> pd.Series | pd.DataFrame:
    """Predicted responses, NaN for rows that lack a value; see `LmerFit.predict`."""
    residual = bias_adjust or interval == "prediction" or kind == "predictive"
    also = weights_columns(known.design, weights) if residual or "residual" in (uncertainty or ()) else ()
    return over_incomplete(
        known.design, newdata, weights, na, also,
        lambda rows, weights: _predict(
            known, rows, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level,
            uncertainty=uncertainty, weights=weights, back_transform=back_transform, bias_adjust=bias_adjust,
        ),
    )  # fmt: skip


def _predict(
    known: Uncertain, newdata: Any, new_levels: NewLevels, groups: Literal["fitted", "average"], seed: int | None, *,
    kind: PredictionKind, se: bool, interval: IntervalKind | None, level: float,
    uncertainty: Collection[Source] | None, weights: Any, back_transform: bool, bias_adjust: bool,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predicted responses of rows that lack nothing."""
    check_option("groups", groups, ("fitted", "average"))
    check_flag("se", se)
    check_seed(seed)
    design, kind = known.design, kind_of_prediction(kind, interval)
    if kind == "predictive":
        interval = "prediction"
    back = transformation_to_undo(design, gaussian(), back_transform, bias_adjust)
    check_scales("response" if kind == "predictive" else kind, back, bias_adjust)
    table = se or interval is not None or uncertainty is not None
    if table:
        values = predict_table(known, newdata, new_levels, groups, interval, level, uncertainty, weights)
    else:
        values = _means(known, newdata, new_levels, groups, seed)
    index = row_index(design, newdata, len(values))
    values = values if index is None else values.set_axis(index, axis=0)
    if back is None:
        return values
    sd = _residual_sd(known, newdata, weights, len(values)) if bias_adjust else None
    return taken_back(values, back, sd, prediction=interval == "prediction")


def _means(known: Uncertain, newdata: Any, new_levels: NewLevels, groups: str, seed: int | None) -> pd.Series:
    """Predictions alone; effects of unseen levels are drawn where they are asked for."""
    rows = functional_for(known.design, newdata, "population" if groups == "average" else new_levels)
    if groups == "average":
        rows = replace(rows, random=0 * rows.random)
    found = determined(known.given_theta(rows), rows)
    warn_rows(known.design, rows.null)
    return pd.Series(found.mean + found.unseen_draws(1, np.random.default_rng(seed))[0], name="predicted")


def _residual_sd(known: Uncertain, newdata: Any, weights: Any, n: int) -> Array:
    design, labels = known.design, row_labels(newdata)
    if newdata is not None:
        newdata = design.spec.fetch(newdata, also=weights_columns(design, weights))
    return known.solution.sigma / np.sqrt(row_weights(design, newdata, weights, labels, n))


def simulate(
    design: Design, solution: Solution, n: int, seed: int | None, use_u: bool, newdata: Any = None, weights: Any = None
) -> pd.DataFrame:  # fmt: skip
    """New responses for the rows of the fit, or for new ones; see `LmerFit.simulate`."""
    check_count("n", n)
    check_flag("use_u", use_u)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    sigma = solution.sigma
    u = np.tile(solution.u, (n, 1)) if use_u else draw_effects(design, solution.factors, sigma, n, rng)
    if newdata is None:
        return pd.DataFrame(simulate_responses(design, solution.beta, u, sigma, rng).T, index=design.frame.index)
    labels, newdata = row_labels(newdata), design.spec.fetch(newdata, also=weights_columns(design, weights))
    eta = new_predictors(design, newdata, solution.beta, u, solution.factors, sigma, rng)
    sd = sigma / np.sqrt(row_weights(design, newdata, weights, labels, len(newdata)))
    y = eta + sd * rng.standard_normal(eta.shape)
    return pd.DataFrame(y.T, index=newdata.index if labels is None else labels)
