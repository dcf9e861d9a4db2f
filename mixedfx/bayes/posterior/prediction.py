"""Predictions of a posterior: linear predictors, expected responses, new responses, for any rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.collapsed.engine import check_memory
from mixedfx.bayes.posterior import responses
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.bayes.posterior.rows import Rows, functionals, rows_for, rows_of_new_groups
from mixedfx.design.additions import addition_columns
from mixedfx.design.alignment import row_labels
from mixedfx.design.functional import Functional
from mixedfx.design.row_facts import columns_of_zeros, fetch, row_facts, used_weights
from mixedfx.design.rows_used import row_index, weights_columns
from mixedfx.design.transforms import Transformation
from mixedfx.errors import check_count, check_flag, check_level, check_option, check_seed
from mixedfx.inference.incomplete_rows import Na, over_incomplete
from mixedfx.inference.original_scale import (
    PredictionKind,
    check_scales,
    kind_of_prediction,
    transformation_to_undo,
)
from mixedfx.results.protocol import NewLevels
from mixedfx.results.undetermined import warn_rows

Array = NDArray[np.float64]

STREAM = "Take blocks of rows, fit.stream(fit.design_for(newdata)); fit.predict and mx.effects do so by themselves."


def told_rows(posterior: Posterior, newdata: Any, new_levels: NewLevels) -> Rows:
    """Rows of new data, with a warning of those that the data of the fit do not determine."""
    rows = rows_for(posterior.design, newdata, new_levels)
    for own, design in zip(functionals(rows), posterior.designs, strict=False):
        warn_rows(design, own.null)
    return rows


def of_rows(
    posterior: Posterior, functional: Rows, scale: responses.Scale, chosen: NDArray[np.intp] | None
) -> Array:  # fmt: skip
    """(D, m, ...) draws of linear predictors or mean responses of rows; see `PosteriorFit.expected`."""
    n = posterior.n_draws if chosen is None else len(chosen)
    last = _last(posterior, scale)
    check_memory(n, len(functional) * int(np.prod(last, dtype=int)), STREAM)
    return responses.together(responses.stream(posterior, functional, scale, chosen), n, len(functional), last)


def _last(posterior: Posterior, scale: str) -> tuple[int, ...]:
    """Trailing dimension of draws of rows: categories, or linear predictors."""
    if scale == "link":
        return (len(posterior.joint.predictors),) if len(posterior.joint.predictors) > 1 else ()
    return (len(posterior.categories),) if posterior.categories else ()


def fitted(posterior: Posterior) -> pd.Series | pd.DataFrame:
    """Posterior means of the expected response; see `PosteriorFit.fitted`."""
    rows, index = rows_for(posterior.design), posterior.design.frame.index
    if posterior.family.identity and isinstance(rows, Functional):
        one = posterior.predictor
        mean = rows.fixed @ one.beta.mean(axis=0) + rows.random @ one.u.mean(axis=0) + rows.offset
        return pd.Series(mean, index=index, name="fitted")
    mean = np.empty((len(posterior.design.y), *_last(posterior, "response")))
    for at, values in responses.stream(posterior, rows):
        mean[at] = values.mean(axis=0)
    if posterior.categories:
        return pd.DataFrame(mean, index=index, columns=list(posterior.categories))
    return pd.Series(mean, index=index, name="fitted")


def residuals(posterior: Posterior, kind: str) -> pd.Series:
    """Response minus the posterior mean of its expectation; see `PosteriorFit.residuals`."""
    check_option("kind", kind, ("response",))
    responses.refuse_categories(posterior, "residuals")
    design = posterior.design
    y = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
    return pd.Series(y - np.asarray(fitted(posterior)), index=design.frame.index, name="residual")


def predict(
    posterior: Posterior,
    newdata: Any,
    new_levels: NewLevels,
    groups: str,
    seed: int | None,
    *,
    kind: PredictionKind,
    se: bool,
    interval: str | None,
    level: float,
    weights: Any,
    back_transform: bool,
    bias_adjust: bool,
    na: Na,
) -> pd.Series | pd.DataFrame:
    """What `PosteriorFit.predict` gives, NaN for rows that lack a value."""
    new = bias_adjust or kind == "predictive" or interval == "prediction"
    also = (*addition_columns(posterior.design), *weights_columns(posterior.design, weights)) if new else ()
    also = (*also, *columns_of_zeros(posterior.design))
    return over_incomplete(
        posterior.design, newdata, weights, na, also,
        lambda rows, weights: _predict(
            posterior, rows, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level,
            weights=weights, back_transform=back_transform, bias_adjust=bias_adjust,
        ),
    )  # fmt: skip


def _predict(
    posterior: Posterior, newdata: Any, new_levels: NewLevels, groups: str, seed: int | None, *, kind: PredictionKind,
    se: bool, interval: str | None, level: float, weights: Any, back_transform: bool, bias_adjust: bool,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predictions of rows that lack nothing."""
    check_level(level)
    check_option("groups", groups, ("fitted", "average"))
    check_flag("se", se)
    check_seed(seed)
    kind = _kind(posterior, kind, interval)
    back = transformation_to_undo(posterior.design, posterior.family, back_transform, bias_adjust)
    check_scales(kind, back, bias_adjust)
    adjust = back is not None and bias_adjust
    if weights is not None and not adjust:
        responses.refuse_weights(posterior, kind)
    frame = fetch(posterior.design, newdata, weights)
    rows = told_rows(posterior, frame, "population" if groups == "average" else new_levels)
    if groups == "average":
        rows = rows.without_random()
    last = () if kind == "predictive" else _last(posterior, kind)
    if kind == "predictive":
        responses.refuse_categories(posterior, "intervals of new responses")
        facts = row_facts(posterior.design, frame, weights, row_labels(newdata))
        rng = np.random.default_rng(posterior.seed if seed is None else seed)
        found = responses.new_responses(posterior, rows, facts, rng)
    else:
        found = responses.stream(posterior, rows, kind)
    if back is not None:
        used = used_weights(posterior.design, frame, weights, row_labels(newdata)) if bias_adjust else None
        found = _taken_back(posterior, found, back, used, bias_adjust)
    index = row_index(posterior.design, newdata, len(rows))
    whole = se or interval is not None or kind == "predictive"
    names = (
        posterior.categories
        if kind == "response"
        else tuple(str(one.category) for one in posterior.joint.predictors)
        if last
        else ()
    )
    if not whole:
        return responses.predicted(found, len(rows), last, index, names)
    table = responses.summaries(found, len(rows), last, level)
    return responses.prediction_table(table, index, names, posterior.along)


def _kind(posterior: Posterior, kind: Any, interval: str | None) -> Any:
    """What is predicted; of counts with a model of their zeros a part of the mean too."""
    if posterior.design.zero is None or kind not in ("zero", "conditional"):
        return kind_of_prediction(kind, interval)
    check_option("interval", interval, (None, "confidence"))
    return kind


def _taken_back(
    posterior: Posterior,
    found: Iterator[tuple[slice, Array]],
    back: Transformation,
    weights: Array | None,
    bias_adjust: bool,
) -> Iterator[tuple[slice, Array]]:
    """Draws of the variable behind a transformed response, or of its mean, a block of rows at a time."""
    for at, values in found:
        if bias_adjust and back.affine is None:
            sigma = posterior.joint.auxiliary["sigma"][:, None]
            yield at, back.mean(values, sigma if weights is None else sigma / np.sqrt(weights[at]))
        else:
            yield at, back.inverse(values)


def simulate(
    posterior: Posterior, n: int | None, seed: int | None, use_u: bool, newdata: Any = None, weights: Any = None
) -> pd.DataFrame:
    """New responses for the rows of the fit, or for new ones; see `PosteriorFit.simulate`."""
    if n is not None:
        check_count("n", n)
    check_flag("use_u", use_u)
    check_seed(seed)
    labels, frame = row_labels(newdata), fetch(posterior.design, newdata, weights)
    values = simulated(posterior, n, seed, use_u, frame, weights, labels)
    if posterior.categories:
        values = np.asarray(posterior.categories, dtype=object)[values.astype(np.intp)]
    rows = posterior.design.frame if frame is None else frame
    return pd.DataFrame(values.T, index=rows.index if labels is None else labels)


def simulated(
    posterior: Posterior, n: int | None, seed: int | None, use_u: bool = True, frame: pd.DataFrame | None = None,
    weights: Any = None, labels: pd.Index | None = None,
) -> Array:  # fmt: skip
    """(n, rows) new responses, one for each draw where n is None; codes for categories.

    `frame`, `weights` and `labels` are new rows as `fetch` gives them; None for those of the fit.
    """
    design, rng = posterior.design, np.random.default_rng(seed)
    chosen = None if n is None else rng.choice(posterior.n_draws, n, replace=n > posterior.n_draws)
    count, m = posterior.n_draws if chosen is None else len(chosen), len(design.y) if frame is None else len(frame)
    check_memory(count, m)
    if not use_u:
        joint = posterior.joint if chosen is None else posterior.joint.take(chosen)
        posterior, chosen = replace(posterior, joint=joint.with_new_groups(design, rng)), None
    rows = rows_for(design) if frame is None else rows_of_new_groups(design, frame)
    found = responses.new_responses(posterior, rows, row_facts(design, frame, weights, labels), rng, chosen)
    return responses.together(found, count, m, ())


def residual_sd(posterior: Posterior, chosen: NDArray[np.intp] | slice = slice(None)) -> Array:
    """(n, D) residual standard deviations of the rows of a gaussian response, for the chosen draws."""
    check_option("family", posterior.family.name, ("gaussian",))
    design = posterior.design
    row_facts(design)  # refuses errors that are correlated
    if design.known_sd is not None:
        return np.repeat(design.known_sd[:, None], posterior.joint.predictors[0].beta[chosen].shape[0], axis=1)
    scale = np.ones(len(design.y)) if design.weights is None else design.weights**-0.5
    return scale[:, None] * posterior.joint.auxiliary["sigma"][chosen]
