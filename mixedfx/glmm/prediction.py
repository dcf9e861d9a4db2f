"""Predictions of a generalised linear mixed model: for the rows of the fit or new ones, of means or new responses.

Standard errors and intervals are those of the linear predictor: the covariance of (beta, u) of `mixedfx.glmm.joint`,
unseen levels with the variance of their population. On the scale of the response the standard error is the delta
method's and the ends are those of the linear predictor taken through the inverse link. New responses are draws: of the
linear predictor, then of the family.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.alignment import row_labels
from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.row_facts import fetch, row_facts
from mixedfx.design.rows import functional_for
from mixedfx.design.rows_used import row_index
from mixedfx.errors import OptionError, check_count, check_flag, check_option, check_seed
from mixedfx.families.facts import RowFacts
from mixedfx.glmm.rows import auxiliary_draws, means, simulate_responses
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.normal_estimate import NormalEstimate, estimate, new_level_root
from mixedfx.inference.original_scale import PredictionKind, check_scales, kind_of_prediction, transformation_to_undo
from mixedfx.inference.profile import quantile
from mixedfx.inference.row_variances import row_variances
from mixedfx.linalg.shape import shape_of
from mixedfx.results.protocol import NewLevels
from mixedfx.results.undetermined import Undetermined, determined, warn_rows

Array = NDArray[np.float64]

DRAWS = 1000
ROWS = 2000  # rows whose responses are drawn at once


def linear_estimate(solution: GlmmSolution, functional: Functional) -> NormalEstimate | Undetermined:
    """Linear functionals of (beta, u), theta at its estimate."""
    found = estimate(functional, solution.beta, solution.u, solution.factors, 1.0, solution.joint)
    return determined(found, functional)


def predict(
    design: Design, solution: GlmmSolution, newdata: Any, new_levels: NewLevels, groups: Literal["fitted", "average"],
    seed: int | None, *, kind: PredictionKind, se: bool, interval: str | None, level: float, weights: Any,
    back_transform: bool, bias_adjust: bool,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predictions; see `GlmerFit.predict`."""
    check_option("groups", groups, ("fitted", "average"))
    check_flag("se", se)
    check_seed(seed)
    kind, z = kind_of_prediction(kind, interval), quantile(level)
    back = transformation_to_undo(design, solution.model.family, back_transform, bias_adjust)
    check_scales(kind, back, bias_adjust)
    if weights is not None and kind != "predictive":
        raise OptionError(
            "weights= divide the residual variance, which only new responses have", hint='Use kind="predictive".'
        )
    frame = fetch(design, newdata, weights)
    rows = functional_for(design, frame, "population" if groups == "average" else new_levels)
    warn_rows(design, rows.null)
    if groups == "average":
        rows = replace(rows, random=sparse.csr_array(rows.random.shape))
    index = row_index(design, newdata, len(rows))
    if kind == "predictive":
        facts = row_facts(design, frame, weights, row_labels(newdata))
        values: Any = _new_responses(solution, rows, facts, level, np.random.default_rng(0 if seed is None else seed))
    elif se or interval is not None:
        values = _table(solution, rows, kind, z)
    else:
        found = rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset
        if rows.new_levels:
            root = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, solution.factors, 1.0))
            found = found + root @ np.random.default_rng(seed).standard_normal(shape_of(root)[1])
        values = pd.Series(found if kind == "link" else means(solution, found), name="predicted")
    values[~rows.estimable] = np.nan
    values = values if index is None else values.set_axis(index, axis=0)
    if back is None:
        return values
    from mixedfx.inference.original_scale import taken_back

    sd = np.full(len(rows), solution.auxiliary.get("sigma", 1.0)) if bias_adjust else None
    return taken_back(values, back, sd, prediction=kind == "predictive")


def _table(solution: GlmmSolution, rows: Functional, kind: str, z: float) -> pd.DataFrame:
    """Estimate, se, lower and upper of the mean, unseen levels at 0 and with their variance."""
    eta = rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset
    variance = row_variances(solution.joint, rows.fixed, rows.random)
    if rows.new_levels:
        new = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, solution.factors, 1.0))
        variance = variance + np.asarray(new.multiply(new).sum(axis=1)).ravel()
    se = np.sqrt(variance)
    columns = [eta, se, eta - z * se, eta + z * se]
    if kind == "response":
        ends = [means(solution, end) for end in columns[2:]]
        slope = np.abs(solution.model.family.link.derivatives(eta, 1)[0])
        columns = [means(solution, eta), slope * se, np.minimum(*ends), np.maximum(*ends)]
    return pd.DataFrame(dict(zip(("estimate", "se", "lower", "upper"), columns, strict=True)))


def _new_responses(
    solution: GlmmSolution, rows: Functional, facts: RowFacts, level: float, rng: np.random.Generator
) -> pd.DataFrame:  # fmt: skip
    """Mean, standard deviation and equal-tailed interval of new responses, from draws."""
    parts, tails = [], [0.5 - level / 2, 0.5 + level / 2]
    auxiliary = auxiliary_draws(solution, DRAWS)
    for begin in range(0, max(len(rows), 1), ROWS):
        at = slice(begin, begin + ROWS)
        found = estimate(rows.take(at), solution.beta, solution.u, solution.factors, 1.0, solution.joint)
        eta = found.draws(DRAWS, int(rng.integers(2**31)))
        y = solution.model.family.draw(rng, eta, auxiliary, facts.take(at))
        parts.append(np.column_stack([y.mean(axis=0), y.std(axis=0, ddof=1), *np.quantile(y, tails, axis=0)]))
    return pd.DataFrame(np.concatenate(parts), columns=["estimate", "se", "lower", "upper"])


def simulate(design: Design, solution: GlmmSolution, n: int, seed: int | None, use_u: bool) -> pd.DataFrame:
    """New responses for the rows of the fit; see `GlmerFit.simulate`."""
    check_count("n", n)
    check_flag("use_u", use_u)
    check_seed(seed)
    values = simulate_responses(design, solution, n, np.random.default_rng(seed), use_u)
    return pd.DataFrame(values.T, index=design.frame.index)
