"""Ranks of subgroups: which is best, and how sure that is.

Ranks are taken within each joint draw and summarised after, so that the uncertainty of one subgroup counts against
every other. A league table of estimates would rank the smallest subgroups first and last, being the noisiest.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.effects.state import EffectsState
from mixedfx.errors import EffectsError, check_option


def rank_table(effects: EffectsState, best: Literal["highest", "lowest"]) -> pd.DataFrame:
    """Probability of being best, and mean, median and interval of the rank; see `Effects.rank`."""
    check_option("best", best, ("highest", "lowest"))
    draws = effects.draws()
    table = effects.table
    names = effects.names
    columns = {key: np.full(len(table), np.nan) for key in ("prob_best", "rank", "median", "lower", "upper")}
    for rows in comparable(effects):
        if len(rows) < 2:
            raise EffectsError("a rank needs two or more subgroups", hint='Ask for them: by=["race", "gender"].')
        ranks, first = rank_draws(draws[:, rows] if best == "lowest" else -draws[:, rows])
        tail = 0.5 - effects.level / 2
        columns["prob_best"][rows] = first.mean(axis=0)
        columns["rank"][rows] = ranks.mean(axis=0)
        columns["median"][rows] = np.median(ranks, axis=0)
        columns["lower"][rows], columns["upper"][rows] = np.quantile(
            ranks, [tail, 1 - tail], axis=0, method="inverted_cdf"
        )
    return table[[*names, "estimate"]].assign(**columns)


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
