"""Ranks of subgroups: which is best, and how sure that is.

Ranks are taken within each joint draw and summarised after, so that the uncertainty of one subgroup counts against
every other. A league table of estimates would rank the smallest subgroups first and last, being the noisiest.

Values of the treatment compete too: which arm is best? Within a draw, the contrasts tell the outcome u_v of value v up
to what all values share, u_h - u_l = c_hl with u = 0 for the base; of a ratio or an odds ratio the logarithm is such a
difference, and as a monotone function of the average outcomes it has their order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.effects.state import EffectsState
from mixedfx.errors import EffectsError, check_option

Best = Literal["highest", "lowest"]
Competitors = Literal["subgroups", "values"]


def rank_table(effects: EffectsState, best: Best, of: Competitors | None = None) -> pd.DataFrame:
    """Probability of being best, and mean, median and interval of the rank; see `Effects.rank`."""
    check_option("best", best, ("highest", "lowest"))
    if of is not None:
        check_option("of", of, ("subgroups", "values"))
    alone = effects.comparison is not None and all(len(rows) < 2 for rows in comparable(effects))
    if of == "values" or (
        of is None and alone and effects.question.treated.kind == "levels" and not _compared(effects)
    ):
        return _values(effects, best)
    draws = effects.draws()
    table = effects.table
    names = effects.names
    columns = {key: np.full(len(table), np.nan) for key in ("prob_best", "rank", "median", "lower", "upper")}
    for rows in comparable(effects):
        if len(rows) < 2:
            raise EffectsError("a rank needs two or more subgroups", hint='Ask for them: by=["race", "gender"].')
        for key, numbers in _summary(draws[:, rows], best, effects.level).items():
            columns[key][rows] = numbers
    return table[[*names, "estimate"]].assign(**columns)


def _summary(values: NDArray[np.float64], best: Best, level: float) -> dict[str, NDArray[np.float64]]:
    """What is said of the ranks of (D, s) draws."""
    ranks, first = rank_draws(values if best == "lowest" else -values)
    tail = 0.5 - level / 2
    lower, upper = np.quantile(ranks, [tail, 1 - tail], axis=0, method="inverted_cdf")
    return {
        "prob_best": first.mean(axis=0), "rank": ranks.mean(axis=0), "median": np.median(ranks, axis=0),
        "lower": lower, "upper": upper,
    }  # fmt: skip


def _compared(effects: EffectsState) -> bool:
    """Whether the numbers are no longer effects of the treatment on outcomes, but differences or excesses of them."""
    return "against" in effects.keys or bool(effects.aspect)


def _values(effects: EffectsState, best: Best) -> pd.DataFrame:
    """Ranks of the values of the treatment within each subgroup (and category), by the outcomes they lead to."""
    treated, comparison = effects.question.treated, effects.comparison
    if comparison is None or treated.kind != "levels" or _compared(effects):
        raise EffectsError(
            "values of the treatment compete by their effects, and this table has none of chosen values",
            hint='Ask for them: mx.effects(fit, {"arm": ["control", "low", "high"]}).rank(of="values").',
        )
    if comparison.coefficients is None and not comparison.through:
        raise EffectsError(
            f"values of the treatment cannot be ordered by the comparison {comparison.name!r}",
            hint='Ask for comparison="difference".',
        )
    cells = [c for c in (*effects.keys, "category") if c in effects.table]
    named = [treated.label(pair, comparison.label) for pair in treated.pairs]
    draws, lost, parts = effects.draws(), effects.quantities.lost, []
    for cell in effects.table.groupby(cells, sort=False, dropna=False, observed=True).indices.values():
        row = dict(zip(effects.table["contrast"].iloc[cell], cell, strict=True))
        outcomes = _outcomes(effects, draws[:, [row[name] for name in named]])
        numbers = _summary(outcomes, best, effects.level)
        if lost[cell].any():
            numbers = {key: np.full(len(treated.values), np.nan) for key in numbers}
        who = effects.table[cells].iloc[[cell[0]] * len(treated.values)].reset_index(drop=True)
        parts.append(who.assign(**{effects.treatment: list(treated.values)}, **numbers))
    return pd.concat(parts, ignore_index=True)


def _outcomes(effects: EffectsState, contrasts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, values) outcomes of the values of the treatment up to what all share, from draws of their contrasts."""
    treated = effects.question.treated
    u: dict[int, NDArray[np.float64]] = {0: np.zeros(len(contrasts))}
    for (high, low), contrast in zip(treated.pairs, contrasts.T, strict=True):
        if low in u and high not in u:
            u[high] = u[low] + _gain(effects, contrast)
    return np.column_stack([u[v] for v in range(len(treated.values))])


def chances_of_values(effects: EffectsState) -> NDArray[np.float64] | None:
    """(values,) probability that each value of the treatment has the highest outcome over all rows.

    None where fewer than three values of a treatment compete, where the comparison has no order, or there are
    categories, each with an order of its own; and where the data do not determine a contrast.
    """
    treated, comparison, overall = effects.question.treated, effects.comparison, effects.overall
    if comparison is None or overall is None or treated.kind != "levels" or len(treated.values) < 3:
        return None
    ordered = comparison.coefficients is not None or bool(comparison.through)
    if not ordered or _compared(effects) or overall.quantities.lost.any():
        return None
    draws = overall.quantities.draws(None, effects.seed)
    if len(draws) < 2 or draws.shape[1] != len(treated.pairs):
        return None
    return rank_draws(-_outcomes(effects, draws))[1].mean(axis=0)


def _gain(effects: EffectsState, contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """The contrast of two values as a difference: of averages, or of logarithms of averages or odds."""
    comparison = effects.comparison
    assert comparison is not None
    if comparison.coefficients is not None:
        return contrast / comparison.coefficients[0]
    return contrast if comparison.of_log is None else comparison.of_log.forward(contrast)


def rank_draws(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks (D, s) from 1, the smallest first, and (D, s) shares of the first place; ties share their places."""
    from scipy.stats import rankdata

    values = _same_where_equal(values)
    first = values == values.min(axis=1, keepdims=True)
    return np.asarray(rankdata(values, axis=1)), first / first.sum(axis=1, keepdims=True)


def _same_where_equal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make columns that are one effect by construction one column, to the last digit.

    Their draws went through a root of a singular covariance, which holds square roots of rounding errors.
    """
    out = values.copy()
    close = 1e-6 * np.max(np.abs(values), initial=0.0)
    order = np.argsort(values.mean(axis=0))
    for before, column in pairwise(order):
        if np.max(np.abs(out[:, column] - out[:, before])) <= close:
            out[:, column] = out[:, before]
    return out


def competitions(effects: EffectsState) -> list[NDArray[np.intp]]:
    """Rows that can be compared: those of one margin, one contrast of treatment values and one category."""
    columns = [c for c in ("margin", "contrast", "category") if c in effects.table]
    if not columns:
        return [np.arange(len(effects))]
    groups = effects.table.groupby(columns, sort=False).ngroup().to_numpy()
    return [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]


def comparable(effects: EffectsState) -> list[NDArray[np.intp]]:
    """The same without rows that are not estimable, which take no part; no competition that has no other rows."""
    lost = effects.quantities.lost
    found = [rows[~lost[rows]] for rows in competitions(effects)]
    return [rows for rows in found if len(rows)]
