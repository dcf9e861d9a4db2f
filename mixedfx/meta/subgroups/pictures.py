"""Pictures of models of reported subgroup effects: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import check_option
from mixedfx.meta.subgroups.models import AVERAGED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.meta.subgroups.analysis import SubgroupAnalysis
    from mixedfx.plots.picture import Picture


def draw(analysis: SubgroupAnalysis, kind: str, ax: Axes | None, options: dict[str, Any]) -> Picture:
    """Draw one picture; see `SubgroupAnalysis.plot`."""
    from mixedfx.plots.picture import Picture

    check_option("kind", kind, tuple(KINDS))
    return Picture(KINDS[kind](analysis, ax, options))


def _forest(analysis: SubgroupAnalysis, ax: Axes | None, options: dict[str, Any]) -> Axes:
    table = analysis.table
    pooled = table[table["model"] == AVERAGED]
    inner = analysis.effects().quantities.interval(0.5)
    half = NormalDist().inv_cdf(0.5 + analysis.level / 2) * pooled["reported_se"]
    quarter = NormalDist().inv_cdf(0.75) * pooled["reported_se"]
    raw = pooled.assign(
        model="reported",
        estimate=pooled["reported"],
        lower=pooled["reported"] - half,
        upper=pooled["reported"] + half,
        lower_50=pooled["reported"] - quarter,
        upper_50=pooled["reported"] + quarter,
    )
    both = pd.concat([raw, pooled.assign(lower_50=inner[:, 0], upper_50=inner[:, 1])], ignore_index=True)
    return _draw_forest(analysis, both, ax, options)


def _models(analysis: SubgroupAnalysis, ax: Axes | None, options: dict[str, Any]) -> Axes:
    tables = []
    for name in (*analysis.names, AVERAGED):
        found = analysis.effects(None if name == AVERAGED else name)
        inner = found.quantities.interval(0.5)
        tables.append(found.table.assign(model=name, lower_50=inner[:, 0], upper_50=inner[:, 1]))
    # a heading would be as high as the lines of all models
    return _draw_forest(analysis, pd.concat(tables, ignore_index=True), ax, {"group": False, "width": 4.5} | options)


def _draw_forest(analysis: SubgroupAnalysis, table: pd.DataFrame, ax: Axes | None, options: dict[str, Any]) -> Axes:
    """One line for each subgroup, a colour for each model."""
    from mixedfx.plots.forest import forest

    people = analysis.reported.n
    table = table.drop(columns=["n", "contrast"], errors="ignore")
    if people is not None:
        table = table.assign(n=np.tile(people.astype(np.int64), len(table) // len(people)))
    given = {
        "labels": [str(name) for name in analysis.reported.frame.columns],
        "colour": "model",
        "level": analysis.level,
        "null": analysis.comparison.null,
        "xlabel": analysis.effects().what,
    }
    return forest(table, ax=ax, **(given | options))


def _probabilities(analysis: SubgroupAnalysis, ax: Axes | None, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.model_probabilities import model_probabilities

    return model_probabilities(analysis.models.assign(model=analysis.models["description"]), ax=ax, **options)


KINDS: dict[str, Callable[[SubgroupAnalysis, Any, dict[str, Any]], Any]] = {
    "forest": _forest,
    "models": _models,
    "probabilities": _probabilities,
}
