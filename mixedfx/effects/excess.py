"""What an intersection has beyond its main effects.

Let tau hold the numbers of the cells of a crossing, M the indicators of the levels of each of its factors (main
effects, with a constant), and W the weights of the cells. The weighted least-squares projection on the main effects is
P tau with P = M (M'WM)^- M'W, and the excess of the intersections is (I - P) tau: linear in tau, so it is taken on
functionals or on joint draws, and its uncertainty is exact wherever that of tau is. For two factors with equal weights
it is tau_ab - tau_a. - tau_.b + tau_..
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.effects.ranks import competitions
from mixedfx.effects.state import EffectsState
from mixedfx.effects.subgroups import EVERY
from mixedfx.errors import EffectsError

State = TypeVar("State", bound=EffectsState)


def interaction_excess(effects: State) -> State:
    """Each intersection minus its weighted projection on the main effects; see `Effects.interaction_excess`."""
    blocks, kept = [], []
    for rows in competitions(effects):
        factors = crossed(effects, rows)
        if len(factors) < 2:
            continue
        P = projection(effects.table.iloc[rows][factors], effects.table["weight"].to_numpy()[rows])
        W = np.zeros((len(rows), len(effects)))
        W[:, rows] = np.eye(len(rows)) - P
        blocks.append(W)
        kept.append(rows)
    if not blocks:
        raise EffectsError(
            "an interaction excess needs a crossing of two or more columns", hint='Ask for one: by=["race", "gender"].'
        )
    rows = np.concatenate(kept)
    order = np.argsort(rows)
    rows = rows[order]
    quantities = effects.quantities.combine(sparse.csr_array(np.vstack(blocks)[order]))
    known = [*effects.names, "n", "weight"]
    table = pd.concat(
        [
            effects.table.iloc[rows][known].reset_index(drop=True),
            quantities.summary(effects.level, 0.0),
            pd.DataFrame({"unseen": quantities.unseen}),
        ],
        axis=1,
    )
    notes = (*effects.notes, "Each number is what an intersection has beyond the main effects of its factors.")
    table.attrs = {**effects.table.attrs, "notes": list(notes)}
    labels = tuple(effects.labels[i] for i in rows)
    return replace(
        effects,
        table=table,
        quantities=quantities,
        labels=labels,
        notes=notes,
        overall=None,
        averages=None,
        sets=(),
        aspect="interaction excess",
    )


def crossed(effects: EffectsState, rows: NDArray[np.intp]) -> list[str]:
    """Columns crossed in one margin; none where subgroups were named by queries."""
    if effects.question.plan.queries is not None:
        return []
    columns = [c for c in effects.keys if c not in ("margin", "subgroup", "against")]
    if "margin" not in effects.keys:
        return columns
    margin = effects.table.iloc[rows[0]]
    return [c for c in columns if margin[c] != EVERY]


def projection(levels: pd.DataFrame, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(s, s) weighted least-squares projection on a constant and the indicators of every column of `levels`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixedfx.effects.excess import projection
    >>> cells = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]})
    >>> projection(cells, np.ones(4)).round(2)[0].tolist()
    [0.75, 0.25, 0.25, -0.25]
    """
    parts = [np.ones((len(levels), 1))]
    for name in levels.columns:
        codes, _ = pd.factorize(levels[name])
        parts.append((codes[:, None] == np.arange(codes.max() + 1)).astype(float))
    M = np.hstack(parts)
    root = np.sqrt(weight)[:, None]
    return M @ np.linalg.pinv(root * M, rcond=1e-10) * root.T
