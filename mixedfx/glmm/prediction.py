r"""Predictions of a generalised linear mixed model: for the rows of the fit or new ones, of means or new responses.

Intervals are those of the linear predictor (`mixedfx.inference.full_estimate`, that theta is estimated included; unseen
levels with the variance of their population). On the scale of the response the standard error is the delta method's and
the ends are those of the linear predictor taken through the inverse link.

**Over the population of groups** the mean of a row is E g^{-1}(x'beta + offset + s e), e standard normal and s^2 = sum
over terms of z' Sigma z, by quadrature (`mixedfx.linalg.quadrature`). Its intervals are quantiles of joint draws of
(beta, theta). New responses are draws too: of all that is not known, then of the family. Both are the same at every
call unless a seed is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.additions import addition_columns
from mixedfx.design.alignment import row_labels
from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.population import population_covariates, population_variance
from mixedfx.design.row_facts import fetch, row_facts
from mixedfx.design.rows import functional_for
from mixedfx.design.rows_used import row_index, weights_columns
from mixedfx.errors import OptionError, check_count, check_flag, check_option, check_seed
from mixedfx.families.facts import RowFacts
from mixedfx.glmm.questions import mean_table
from mixedfx.glmm.rows import (
    auxiliary_draws,
    dispersion_columns,
    mean_slopes,
    means,
    refuse_categories,
    simulate_responses,
)
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.uncertainty import GlmmUncertain
from mixedfx.inference.incomplete_rows import Na, over_incomplete
from mixedfx.inference.new_level_rows import NewLevelRows
from mixedfx.inference.new_predictors import new_predictors
from mixedfx.inference.normal_estimate import new_level_root
from mixedfx.inference.original_scale import PredictionKind, check_scales, kind_of_prediction, transformation_to_undo
from mixedfx.inference.predictor import draw_effects
from mixedfx.inference.profile import quantile
from mixedfx.linalg.quadrature import normal_rule
from mixedfx.linalg.shape import shape_of
from mixedfx.results.protocol import UNCERTAINTIES, JointSample, NewLevels, Uncertainty
from mixedfx.results.undetermined import warn_rows

Array = NDArray[np.float64]
Groups = Literal["fitted", "average", "integrate"]

DRAWS = 1000
HELD, FEWEST = 2**26, 200  # numbers of the draws of all effects held at once, and the fewest draws that says
ROWS = 2000  # rows whose responses are drawn at once
NUMBERS = 2**22  # draws times rows whose means over the population are taken at once


def predict(
    uncertain: GlmmUncertain, newdata: Any, new_levels: NewLevels, groups: Groups, seed: int | None, *,
    kind: PredictionKind, se: bool, interval: str | None, level: float, uncertainty: Uncertainty, weights: Any,
    back_transform: bool, bias_adjust: bool, na: Na,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predictions, NaN for rows that lack a value; see `GlmerFit.predict`."""
    new = kind == "predictive" or interval == "prediction"
    also = (*addition_columns(uncertain.design), *weights_columns(uncertain.design, weights)) if new else ()
    return over_incomplete(
        uncertain.design, newdata, weights, na, also,
        lambda rows, weights: _predict(
            uncertain, rows, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level,
            uncertainty=uncertainty, weights=weights, back_transform=back_transform, bias_adjust=bias_adjust,
        ),
    )  # fmt: skip


def _predict(
    uncertain: GlmmUncertain, newdata: Any, new_levels: NewLevels, groups: Groups, seed: int | None, *,
    kind: PredictionKind, se: bool, interval: str | None, level: float, uncertainty: Uncertainty, weights: Any,
    back_transform: bool, bias_adjust: bool,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predictions of rows that lack nothing."""
    design, solution = uncertain.design, uncertain.solution
    check_option("groups", groups, ("fitted", "average", "integrate"))
    check_option("uncertainty", uncertainty, UNCERTAINTIES)
    check_flag("se", se)
    check_seed(seed)
    kind = kind_of_prediction(kind, interval)
    quantile(level)
    back = transformation_to_undo(design, solution.model.family, back_transform, bias_adjust)
    check_scales(kind, back, bias_adjust)
    if weights is not None and kind != "predictive":
        raise OptionError(
            "weights= divide the residual variance, which only new responses have", hint='Use kind="predictive".'
        )
    family, integrate, table = solution.model.family, groups == "integrate", se or interval is not None
    if kind == "predictive":
        refuse_categories(family, "mean or interval of a new one", "fit.simulate() draws categories.")
    elif (integrate and kind == "link") or (table and (integrate or kind == "response")):
        refuse_categories(
            family, "one mean that this could be about",
            "Ask kind='link' in groups as they are; mx.effects has intervals of probabilities.",
        )  # fmt: skip
    frame = fetch(design, newdata, weights)
    rows = functional_for(design, frame, new_levels if groups == "fitted" else "population")
    warn_rows(design, rows.null)
    if groups != "fitted":
        rows = replace(rows, random=sparse.csr_array(rows.random.shape))
    index = row_index(design, newdata, len(rows))
    z = population_covariates(design, design.frame if frame is None else frame) if groups == "integrate" else None
    rng = np.random.default_rng(0 if seed is None else seed)
    if kind == "predictive":
        facts = row_facts(design, frame, weights, row_labels(newdata))
        values: Any = _new_responses(
            uncertain, rows, z, facts, dispersion_columns(design, frame), level, rng, uncertainty
        )
    elif z is not None:
        values = _over_population(uncertain, rows, z, kind, se or interval is not None, level, rng, uncertainty)
    elif se or interval is not None:
        values = _table(uncertain, rows, kind, level, uncertainty)
    else:
        found = _linear(solution, rows)
        if rows.new_levels:
            root = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, solution.factors, 1.0))
            found = found + root @ np.random.default_rng(seed).standard_normal(shape_of(root)[1])
        values = mean_table(design, found if kind == "link" else means(solution, found), "predicted", None)
    values[~rows.estimable] = np.nan
    values = values if index is None else values.set_axis(index, axis=0)
    if back is None:
        return values
    from mixedfx.inference.original_scale import taken_back

    sd = np.full(len(rows), solution.auxiliary.get("sigma", 1.0)) if bias_adjust else None
    return taken_back(values, back, sd, prediction=kind == "predictive")


def _linear(solution: GlmmSolution, rows: Functional) -> Array:
    """(m,) linear predictors at the estimates, unseen levels at zero."""
    return rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset


def _table(
    uncertain: GlmmUncertain, rows: Functional, kind: str, level: float, uncertainty: Uncertainty
) -> pd.DataFrame:  # fmt: skip
    """Estimate, se, lower and upper of the mean, unseen levels at 0 and with their variance."""
    solution = uncertain.solution
    eta = _linear(solution, rows)
    if uncertain.includes_theta(uncertainty):
        full = uncertain.full(rows)
        se, (low, high) = full.sd, full.interval(level).T
    else:
        se = np.sqrt(uncertain.given_theta(rows).variances)
        half = quantile(level) * se
        low, high = eta - half, eta + half
    columns = [eta, se, low, high]
    if kind == "response":
        ends = [means(solution, end) for end in (low, high)]
        slope = np.abs(mean_slopes(solution, eta))
        columns = [means(solution, eta), slope * se, np.minimum(*ends), np.maximum(*ends)]
    return pd.DataFrame(dict(zip(("estimate", "se", "lower", "upper"), columns, strict=True)))


def _over_population(
    uncertain: GlmmUncertain, rows: Functional, z: tuple[Array, ...], kind: str, table: bool, level: float,
    rng: np.random.Generator, uncertainty: Uncertainty,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Means over the population of groups, on either scale; a table with intervals where that is asked for."""
    solution = uncertain.solution
    factors = tuple(factor[None] for factor in solution.factors)
    one = JointSample(solution.beta[None], solution.u[None], factors, auxiliary_draws(solution))
    link = solution.model.family.link.link if kind == "link" else np.asarray
    found = [part[0] for part in _population_means(solution, rows, z, one)]
    estimate = link(np.concatenate(found) if found else np.zeros(0))
    if not table:
        return mean_table(uncertain.design, estimate, "predicted", None)
    sample = uncertain.sample(_count(uncertain.design), rng, uncertainty, about_estimate=False)
    tails, parts = [0.5 - level / 2, 0.5 + level / 2], [np.zeros((0, 3))]
    for found in _population_means(solution, rows, z, sample):
        values = link(found)
        parts.append(np.column_stack([values.std(axis=0, ddof=1), *np.quantile(values, tails, axis=0)]))
    columns = np.column_stack([estimate, np.concatenate(parts)])
    return pd.DataFrame(columns, columns=["estimate", "se", "lower", "upper"])


def _population_means(
    solution: GlmmSolution, rows: Functional, z: tuple[Array, ...], sample: JointSample
) -> Iterator[Array]:  # fmt: skip
    """(D, b) draws of the means of b rows at a time."""
    family, D = solution.model.family, len(sample.beta)
    auxiliary = auxiliary_draws(solution, D, natural=sample.estimated)
    size = max(1, NUMBERS // D)
    for begin in range(0, len(rows), size):
        at = slice(begin, begin + size)
        eta = sample.beta @ rows.fixed[at].T + rows.offset[at]
        spread = np.sqrt(population_variance(sample.factors, tuple(part[at] for part in z)))
        total: Any = 0.0
        for node, weight in zip(*normal_rule(float(spread.max(initial=0.0))), strict=True):
            total = total + weight * family.mean(eta + spread * node, auxiliary)
        yield np.asarray(total)


def _new_responses(
    uncertain: GlmmUncertain, rows: Functional, z: tuple[Array, ...] | None, facts: RowFacts, columns: Array | None,
    level: float, rng: np.random.Generator, uncertainty: Uncertainty,
) -> pd.DataFrame:  # fmt: skip
    """Mean, standard deviation and equal-tailed interval of new responses, from draws.

    `facts` and `columns` are what is known of the rows, and their columns of the model of the dispersion.
    """
    design, solution = uncertain.design, uncertain.solution
    parts, tails = [np.zeros((0, 4))], [0.5 - level / 2, 0.5 + level / 2]
    n = _count(design)
    sample = uncertain.sample(n, rng, uncertainty, about_estimate=z is None)
    factors = tuple(np.broadcast_to(F, (n, *F.shape[1:])) for F in sample.factors)
    for begin in range(0, len(rows), ROWS):
        at = slice(begin, begin + ROWS)
        part = rows.take(at)
        eta = sample.beta @ part.fixed.T + (part.random @ sample.u.T).T + part.offset
        if part.new_levels:
            eta = eta + NewLevelRows.of(part, [term.n_columns for term in design.random]).draws(factors, rng)
        if z is not None:
            spread = np.sqrt(population_variance(sample.factors, tuple(one[at] for one in z)))
            eta = eta + spread * rng.standard_normal(eta.shape)
        own = None if columns is None else columns[at]
        auxiliary = auxiliary_draws(solution, n, own, sample.estimated)
        y = solution.model.family.draw(rng, eta, auxiliary, facts.take(at))
        parts.append(np.column_stack([y.mean(axis=0), y.std(axis=0, ddof=1), *np.quantile(y, tails, axis=0)]))
    return pd.DataFrame(np.concatenate(parts), columns=["estimate", "se", "lower", "upper"])


def _count(design: Design) -> int:
    """Number of draws."""
    return int(np.clip(HELD // max(design.n_random + len(design.fixed_names), 1), FEWEST, DRAWS))


def simulate(
    design: Design, solution: GlmmSolution, n: int, seed: int | None, use_u: bool, newdata: Any = None,
    weights: Any = None,
) -> pd.DataFrame:  # fmt: skip
    """New responses for the rows of the fit, or for new ones; see `GlmerFit.simulate`."""
    check_count("n", n)
    check_flag("use_u", use_u)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    if newdata is None:
        index, values = design.frame.index, simulate_responses(design, solution, n, rng, use_u)
    else:
        labels, frame = row_labels(newdata), fetch(design, newdata, weights)
        assert frame is not None
        index = frame.index if labels is None else labels
        u = np.tile(solution.u, (n, 1)) if use_u else draw_effects(design, solution.factors, 1.0, n, rng)
        eta = new_predictors(design, frame, solution.beta, u, solution.factors, 1.0, rng)
        auxiliary = auxiliary_draws(solution, n, dispersion_columns(design, frame))
        values = solution.model.family.draw(rng, eta, auxiliary, row_facts(design, frame, weights, labels))
    if solution.model.family.categories:
        values = np.asarray(design.categories, dtype=object)[values.astype(np.intp)]
    return pd.DataFrame(values.T, index=index)
