"""How much effects differ between subgroups, as a distribution and not from the spread of estimates.

The spread of raw estimates is too large (noise adds to it) and that of pooled estimates is too small (each is pulled to
the middle). The standard deviation of the true effects has a distribution of its own: within each joint draw d

    s_d^2 = sum_S w_S (tau_dS - mean_d)^2 / sum_S w_S,

the finite-population standard deviation of Gelman (2005, Annals of Statistics 33:1). For a crossing, the part of a
factor is the standard deviation of the effects averaged over everything else (its margin), and the interaction is what
a projection on all main effects leaves over. Where weights are balanced the squared parts add up to the whole.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.effects.excess import crossed, projection
from mixedfx.effects.ranks import comparable
from mixedfx.effects.state import EffectsState
from mixedfx.errors import EffectsError

TOTAL = "between subgroups"
INTERACTION = "interaction"


def heterogeneity_table(effects: EffectsState) -> pd.DataFrame:
    """Standard deviation of effects between subgroups, in all and by factor; see `Effects.heterogeneity`."""
    draws = effects.draws()
    parts = []
    for rows in comparable(effects):
        if len(rows) < 2:
            continue
        first = effects.table.iloc[rows[0]]
        names = {c: first[c] for c in ("margin", "contrast", "category") if c in effects.table}
        weight = effects.table["weight"].to_numpy()[rows]
        factors = crossed(effects, rows)
        found = _components(draws[:, rows], effects.table.iloc[rows][factors], weight)
        total = found[TOTAL]
        for component, variance in found.items():
            share = variance / np.where(total > 0, total, 1.0)
            tail = [0.5 - effects.level / 2, 0.5 + effects.level / 2]
            sd, part = np.quantile(np.sqrt(variance), tail), np.quantile(share, tail)
            parts.append(
                names
                | {"component": component, "subgroups": len(rows), "sd": np.sqrt(variance).mean()}
                | {"lower": sd[0], "upper": sd[1], "share": share.mean()}
                | {"share_lower": part[0], "share_upper": part[1]}
            )
    if not parts:
        raise EffectsError("heterogeneity needs two or more subgroups", hint='Ask for them: by=["race", "gender"].')
    return pd.DataFrame(parts)


def _components(
    values: NDArray[np.float64], levels: pd.DataFrame, weight: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """(D,) variances: of all subgroups, of each factor of a crossing, and of the interaction."""
    found = {TOTAL: _variance(values, weight)}
    if levels.shape[1] < 2:
        return found
    for name in levels.columns:
        found[str(name)] = _variance(values @ projection(levels.loc[:, [name]], weight).T, weight)
    left = values - values @ projection(levels, weight).T
    return dict(chain(found.items(), [(INTERACTION, _variance(left, weight))]))


def _variance(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    share = weight / weight.sum()
    mean = values @ share
    return np.clip((values - mean[:, None]) ** 2 @ share, 0.0, None)
