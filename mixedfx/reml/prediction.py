"""Predictions of a fitted linear mixed model: residuals, new rows, new responses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import row_labels
from mixedfx.design.design import Design
from mixedfx.design.rows import functional_for
from mixedfx.design.rows_used import row_index, row_weights, weights_columns
from mixedfx.errors import DataError, check_count, check_flag, check_option, check_seed
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
from mixedfx.inference.predictor import draw_effects, fitted_values
from mixedfx.reml.batches import fitted_batches, of_new_rows, over_rows, parts_of, together, written
from mixedfx.reml.checking import projected_residuals
from mixedfx.reml.predictive import IntervalKind, Source, predict_table
from mixedfx.reml.rows import PROJECTED, ResidualKind, residual_values, simulate_responses
from mixedfx.reml.solution import Solution
from mixedfx.reml.uncertainty import Uncertain
from mixedfx.results.protocol import NewLevels
from mixedfx.results.undetermined import determined, warn_rows

if TYPE_CHECKING:
    from mixedfx.design.streams import Stream

Array = NDArray[np.float64]


def fitted_streamed(design: Design, solution: Solution) -> pd.Series:
    """Fitted values of rows that are not held, read anew."""
    return cast(pd.Series, together(fitted_batches(design, solution)))


def residuals(design: Design, solution: Solution, kind: ResidualKind, to: str | Path | None = None) -> pd.Series | Path:
    """Residuals around the fitted values, in memory or in a file; see `LmerFit.residuals`."""
    if kind in PROJECTED:
        values = projected_residuals(design, solution, kind)
        batches = iter([pd.Series(values, index=design.frame.index, name="residual")])
    else:
        check_option("kind", kind, ("response", "pearson", "scaled", *PROJECTED))

        def ask(part: Design) -> Array:
            return residual_values(part, fitted_values(part, solution.beta, solution.u), solution.sigma, kind)

        batches = over_rows(design, "residual", ask)
    return cast(pd.Series, together(batches)) if to is None else written(batches, to)


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
    to: str | Path | None = None,
) -> pd.Series | pd.DataFrame | Path:
    """Predicted responses, NaN for rows that lack a value; see `LmerFit.predict`."""
    residual = bias_adjust or interval == "prediction" or kind == "predictive"
    also = weights_columns(known.design, weights) if residual or "residual" in (uncertainty or ()) else ()

    def ask(rows: Any) -> pd.Series | pd.DataFrame:
        return over_incomplete(
            known.design, rows, weights, na, also,
            lambda rows, weights: _predict(
                known, rows, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level,
                uncertainty=uncertainty, weights=weights, back_transform=back_transform, bias_adjust=bias_adjust,
            ),
        )  # fmt: skip

    batches = _batches(known.design, newdata, weights, also, to, ask)
    if batches is None:
        return ask(newdata)
    return together(batches) if to is None else written(batches, to)


def _batches(
    design: Design, newdata: Any, weights: Any, also: Collection[str], to: str | Path | None,
    ask: Callable[[Any], pd.Series | pd.DataFrame],
) -> Iterator[pd.Series | pd.DataFrame] | None:  # fmt: skip
    """Predictions batch by batch, where rows are not held or go into a file; None where they are asked for at once."""
    if newdata is None and design.streamed is None and to is None:
        return None
    if newdata is None and design.streamed is None:
        return iter([ask(None)])
    path = isinstance(newdata, str | Path | list | tuple)
    if newdata is not None and to is None and not path:
        return None
    if not isinstance(weights, str | None):
        raise DataError("weights= are values for rows that are read in batches", hint="Name a column of them.")
    if newdata is None:
        return _own_batches(design, ask)
    from mixedfx.design.streams import open_stream, slices

    stream = open_stream(newdata)
    return of_new_rows(slices(newdata) if stream is None else stream, lambda s: _read_of(design, s, also), ask)


def _own_batches(
    design: Design, ask: Callable[[Any], pd.Series | pd.DataFrame]
) -> Iterator[pd.Series | pd.DataFrame]:  # fmt: skip
    """Predictions of the rows of the fit, each batch as new data that lack nothing."""
    for part in parts_of(design):
        yield ask(part.frame)


def _read_of(design: Design, stream: Stream, also: Collection[str]) -> list[str]:
    """Columns of new data that a prediction reads."""
    offset = design.spec.given_offset
    wanted = [*design.terms.columns, *([offset] if offset is not None else []), *also]
    return [name for name in dict.fromkeys(wanted) if name in stream.names]


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
