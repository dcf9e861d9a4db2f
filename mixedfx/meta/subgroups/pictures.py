"""Pictures of models of reported subgroup effects: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.effects.contrasts import find_rows
from mixedfx.errors import OptionError, check_option
from mixedfx.meta.subgroups.models import AVERAGED
from mixedfx.meta.subgroups.posterior import Averaged, prior_of
from mixedfx.meta.subgroups.state import SubgroupState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture

POINTS = 801  # at which densities are drawn
WIDER = 0.6  # of the axis beyond the posterior, as a share of it


def draw(analysis: SubgroupState, kind: str, ax: Axes | None, options: dict[str, Any]) -> Picture:
    """Draw one picture; see `SubgroupAnalysis.plot`."""
    from mixedfx.plots.picture import Picture

    check_option("kind", kind, tuple(KINDS))
    return Picture(KINDS[kind](analysis, ax, options))


def _forest(analysis: SubgroupState, ax: Axes | None, options: dict[str, Any]) -> Axes:
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


def _models(analysis: SubgroupState, ax: Axes | None, options: dict[str, Any]) -> Axes:
    tables = []
    for name in (*analysis.names, AVERAGED):
        found = analysis.effects(None if name == AVERAGED else name)
        inner = found.quantities.interval(0.5)
        tables.append(found.table.assign(model=name, lower_50=inner[:, 0], upper_50=inner[:, 1]))
    # a heading would be as high as the lines of all models
    return _draw_forest(analysis, pd.concat(tables, ignore_index=True), ax, {"group": False, "width": 4.5} | options)


def _draw_forest(analysis: SubgroupState, table: pd.DataFrame, ax: Axes | None, options: dict[str, Any]) -> Axes:
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


def _prior(analysis: SubgroupState, ax: Axes | None, options: dict[str, Any]) -> Axes:
    """Density of an effect, or of a difference, before and after the data; exact zeros as arrows."""
    from mixedfx.plots.spike_densities import spike_densities

    a, b = options.pop("a", None), options.pop("b", None)
    if a is None:
        raise OptionError(
            'plot("prior") needs a subgroup, or two for their difference',
            hint=f"Write a={analysis.reported.labels[0]!r}, b={analysis.reported.labels[1]!r}.",
        )
    effects = analysis.effects()
    if b is None:
        at, text = int(find_rows(effects, a)[0]), effects.what
        rows, text = np.eye(len(effects))[[at]], f"{text}, {effects.labels[at]}"
    else:
        asked = effects.contrast(a, b)
        rows, text = asked.functional.fixed, f"{asked.what}\n{asked.labels[0]}"
    before = Averaged(tuple(prior_of(one.model, analysis.reported.V) for one in analysis.posteriors),
                      analysis.prior_weights).linear(rows)  # fmt: skip
    after = analysis.averaged.linear(rows)
    low, high = after.interval(0.998)[0]
    if high == low:  # next to all of the posterior is one point
        low, high = before.interval(0.8)[0]
    curves = None
    if high > low:
        room = WIDER * (high - low)
        x = np.linspace(low - room, high + room, POINTS)[:, None]
        curves = pd.DataFrame({"x": x[:, 0], "prior": before.density(x)[:, 0], "posterior": after.density(x)[:, 0]})
    spikes = [pd.Series(p, index=at) for at, p in (before.points(0), after.points(0))]
    points = pd.DataFrame({"prior": spikes[0], "posterior": spikes[1]}).fillna(0.0).rename_axis("x").reset_index()
    given: dict[str, Any] = {"xlabel": text} | options
    return spike_densities(curves, points if len(points) else None, ax=ax, **given)


def _sensitivity(analysis: SubgroupState, ax: Axes | None, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.bayes_factors import bf_sensitivity

    if len(analysis.names) < 2:
        raise OptionError("one model alone has no Bayes factor", hint="Compare two or more: models=[...].")
    factors = options.pop("factors", (0.25, 0.5, 1.0, 2.0, 4.0))
    table = analysis.sensitivity(factors)
    given = {"xlabel": "unit of the priors", "used": analysis.unit, "width": 4.5} | options
    return bf_sensitivity(table, scale="unit", group="model", ax=ax, **given)


def _probabilities(analysis: SubgroupState, ax: Axes | None, options: dict[str, Any]) -> Axes:
    from mixedfx.plots.model_probabilities import model_probabilities

    return model_probabilities(analysis.models.assign(model=analysis.models["description"]), ax=ax, **options)


KINDS: dict[str, Callable[[SubgroupState, Any, dict[str, Any]], Any]] = {
    "forest": _forest,
    "models": _models,
    "probabilities": _probabilities,
    "prior": _prior,
    "sensitivity": _sensitivity,
}
