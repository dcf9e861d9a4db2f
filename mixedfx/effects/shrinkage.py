"""Raw and pooled estimates beside each other: what each subgroup's own data say, and how far the model moves that.

The raw estimate of a subgroup compares the means of its own rows under the two values, its error is that of a
comparison of two independent means (delta method where the comparison is not linear). In the normal-normal model with a
known mean the pooled variance is ``raw_se^2 (1 - lambda)``, with ``lambda = raw_se^2 / (raw_se^2 + tau^2)`` the weight
of the others' data; so the pooling factor is read off as ``1 - sd^2 / raw_se^2``, the share of the raw uncertainty that
the other subgroups remove (compare Gelman & Pardoe 2006, Technometrics 48:241): 0 without pooling, 1 where everything
comes from the others, as in a subgroup without data.

Of a numeric treatment the raw estimate is the slope of a straight line through the subgroup's rows, by least squares
with the weights that a mean of these rows has. Over several completed data sets raw estimates are pooled as the model's
are, by Rubin's rules (`mixedfx.effects.pooling`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import column as fetch
from mixedfx.effects.outcome import is_identity
from mixedfx.effects.pooling import pooled_raw
from mixedfx.effects.quantities import functional_of
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.state import EffectsState
from mixedfx.effects.subgroups import EVERY
from mixedfx.errors import EffectsError

Array = NDArray[np.float64]
# Estimate, standard error and number of rows.
Raw = tuple[float, float, int]
NOTHING: Raw = (np.nan, np.nan, 0)


def shrinkage_table(effects: EffectsState) -> pd.DataFrame:
    """Raw estimate with its error, pooled estimate, pooling factor and n; see `Effects.shrinkage`."""
    question = effects.question
    if question.scale == "link" and not is_identity(effects.fit):
        raise EffectsError("raw estimates are on the scale of the response", hint='Ask with scale="response".')
    if "against" in effects.keys or effects.overall is None:
        raise EffectsError("raw estimates belong to a table of effects", hint="Ask the table of effects itself.")
    raw, se, n = _reported(effects, effects.fit) if isinstance(effects.fit, ReportedFit) else _from_rows(effects)
    table = effects.table
    with np.errstate(divide="ignore", invalid="ignore"):
        pooling = np.clip(1 - table["sd"].to_numpy() ** 2 / se**2, 0.0, 1.0)
    # One outcome in all rows, such as 3 of 3 successes, has a raw error of zero that means nothing.
    pooling = np.where(np.isnan(se), 1.0, np.where(se > 0, pooling, np.nan))
    pooling[effects.quantities.lost] = np.nan
    return table[effects.names].assign(
        n=n.astype(np.int64),
        raw=raw,
        raw_se=se,
        pooled=table["estimate"],
        pooled_sd=table["sd"],
        pooling=pooling,
    )


def _reported(effects: EffectsState, fit: ReportedFit) -> tuple[Array, Array, Array]:
    """What was reported of each subgroup, its standard error, and the people that it counts."""
    functional = functional_of(effects.quantities)
    assert functional is not None
    return (*fit.raw(functional), effects.table["n"].to_numpy())


def _from_rows(effects: EffectsState) -> tuple[Array, Array, Array]:
    """Estimates from the rows of each subgroup alone, their standard errors, and numbers of rows."""
    if effects.sets:
        raw, se, n = (np.stack(part) for part in zip(*map(_from_rows, effects.sets), strict=True))
        return *pooled_raw(raw, se), np.rint(n.mean(axis=0))
    question = effects.question
    frame, per = effects.fit.design.frame, effects.per_subgroup
    lacking = [c for c in question.plan.columns if c not in frame.columns]
    if lacking:
        raise EffectsError(f"the data of the fit have no column {lacking[0]!r}, so there are no raw estimates by it")
    ys = responses(effects)
    rows = []
    for i in range(0, len(effects), per):
        mask = _members(effects, i)
        for pair in question.treated.pairs or [(0, 0)]:
            rows += [_raw(effects, y, mask, pair) for y in ys]
    raw, se, n = (np.array(part) for part in zip(*rows, strict=True))
    return raw, se, n


def _members(effects: EffectsState, row: int) -> NDArray[np.bool_]:
    """Rows of the data of the fit in the subgroup of a row of the table."""
    frame, plan = effects.fit.design.frame, effects.question.plan
    if plan.queries is not None:
        return plan.queries[effects.labels[row]].rows(frame)
    mask = np.ones(len(frame), dtype=bool)
    for name in plan.columns:
        value = effects.table[name].iloc[row]
        if "margin" not in effects.keys or value != EVERY:
            mask &= (fetch(frame, name) == value).to_numpy(dtype=bool)
    return mask


def responses(effects: EffectsState) -> list[Array]:
    """Response of each row; an indicator for each category where it has categories, a share where it has trials."""
    design: Any = effects.fit.design
    categories = effects.averages.categories if effects.averages is not None else None
    if categories is not None:
        return [(design.y == k).astype(float) for k in range(len(categories))]
    trials = design.trials
    back = effects.question.back
    if back is not None and effects.question.bias_adjust:
        return [back.inverse(design.y)]
    return [design.y if trials is None else design.y / trials]


def _raw(effects: EffectsState, y: Array, mask: NDArray[np.bool_], pair: tuple[int, int]) -> Raw:
    """Raw estimate of one row of the table."""
    treated, comparison, design = effects.question.treated, effects.comparison, effects.fit.design
    if comparison is None:
        return _mean(effects, y, mask)
    column = fetch(design.frame, treated.column)
    if treated.kind == "unit":
        if not comparison.plain:
            raise EffectsError(f"a raw {comparison.name} of a numeric treatment needs two of its values")
        weight, errors = raw_weights(design, len(y))
        slope, error, n = _slope(column.to_numpy(dtype=float)[mask], y[mask], weight[mask], known=errors == "known")
        factor = slope_factor(effects)
        return factor * slope, abs(factor) * error, n
    high, low = (_mean(effects, y, mask & (column == treated.values[v]).to_numpy(dtype=bool)) for v in pair)
    n = high[2] + low[2]
    if np.isnan(high[0]) or np.isnan(low[0]):
        return np.nan, np.nan, n
    above, below = np.array(high[0]), np.array(low[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(comparison.compare(above, below))
        a, b = comparison.slopes(above, below)
        se = float(np.hypot(a * high[1], b * low[1]))
    return (value, se, n) if np.isfinite(value) else (np.nan, np.nan, n)


def slope_factor(effects: EffectsState) -> float:
    """What a slope of the response is multiplied with, to be one of the variable that it is a transformation of."""
    back = effects.question.back
    if back is None or effects.question.bias_adjust:
        return 1.0
    if back.affine is None:
        raise EffectsError(f"a raw difference of {back.kind}s of a numeric treatment needs two of its values")
    return back.affine.factor


def _mean(effects: EffectsState, y: Array, mask: NDArray[np.bool_]) -> Raw:
    """Mean of some rows in the units of the table, its standard error, their number."""
    mean, se, n = _mean_of_response(effects, y, mask)
    back = effects.question.back
    if back is None or effects.question.bias_adjust:
        return mean, se, n
    at = np.array(mean)
    return float(back.inverse(at)), float(np.abs(back.slope(at)) * se), n


def _mean_of_response(effects: EffectsState, y: Array, mask: NDArray[np.bool_]) -> Raw:
    """Mean of some rows, its standard error (that of weighted rows where the fit has weights), their number."""
    design: Any = effects.fit.design
    n = int(mask.sum())
    if n == 0:
        return NOTHING
    trials, known_sd = design.trials, design.known_sd
    w = np.ones(n) if design.weights is None else design.weights[mask]
    if trials is not None:
        p = float(np.average(y[mask], weights=trials[mask]))
        return p, float(np.sqrt(p * (1 - p) / trials[mask].sum())), n
    if known_sd is not None:
        w = known_sd[mask] ** -2.0
        return float(np.average(y[mask], weights=w)), float(w.sum() ** -0.5), n
    mean = float(np.average(y[mask], weights=w))
    if n == 1:
        return mean, np.nan, n
    return mean, float(np.sqrt(w @ (y[mask] - mean) ** 2 / (n - 1) / w.sum())), n


def raw_weights(design: Any, n: int) -> tuple[Array, Literal["rows", "shares", "known"]]:
    """What each of n rows weighs in a mean, and where the standard error of the mean comes from."""
    if design.trials is not None:
        return np.asarray(design.trials, dtype=np.float64), "shares"
    if design.known_sd is not None:
        return np.asarray(design.known_sd, dtype=np.float64) ** -2.0, "known"
    return np.ones(n) if design.weights is None else np.asarray(design.weights, dtype=np.float64), "rows"


def _slope(x: Array, y: Array, w: Array, *, known: bool) -> Raw:
    """Weighted least-squares slope of y on x; `known` where weights are inverse variances of the rows."""
    n = len(x)
    if n < 3 or np.ptp(x) == 0:
        return np.nan, np.nan, n
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    spread = float(w @ x**2)
    slope = float((w * x) @ y / spread)
    error = 1.0 if known else float(w @ (y - slope * x) ** 2 / (n - 2))
    return slope, float(np.sqrt(error / spread)), n
