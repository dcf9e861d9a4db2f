"""From a joint distribution of the effects of cells to a table of effects, with all its questions and pictures.

The effect in a subgroup S is the average over its cells, sum over S of w_g theta_g / sum of w_g, w_g the people that a
cell stands for. That is one linear functional of the effects of cells, as in pipeline.py it is one of (beta, u).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.effects.comparisons import Comparison, find_comparison
from mixedfx.effects.grid import Grid
from mixedfx.effects.quantities import Exact
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.result import Effects
from mixedfx.effects.state import Overall, Question
from mixedfx.effects.subgroups import ByLike, everybody, find_subgroups, read_plan
from mixedfx.effects.treatment import Treatment
from mixedfx.errors import OptionError, check_level

Array = NDArray[np.float64]

ADDITIVE = ("difference", "risk_difference", "lnratio", "log_odds_ratio")
"""Comparisons whose estimates are taken as normal: others are asked for as their logarithms."""


def read_comparison(name: str) -> Comparison:
    """What reported estimates are.

    Raises
    ------
    OptionError
        A ratio that is no logarithm, whose errors are far from normal.
    """
    if name not in ADDITIVE:
        raise OptionError(
            f"comparison={name!r} is none whose estimates have normal errors",
            hint=f"Use {', '.join(map(repr, ADDITIVE))}; take logarithms of ratios, and of their limits.",
        )
    return find_comparison(name)


def read_arms(treatment: str | Mapping[str, Sequence[Any]]) -> Treatment:
    """Name of the treatment and of the two arms that were compared.

    Raises
    ------
    OptionError
        Neither a name, nor a dictionary of a name and two arms.
    """
    column, arms = treatment, ("control", "treated")
    if isinstance(treatment, Mapping) and len(treatment) == 1:
        ((column, arms),) = treatment.items()
    if not isinstance(column, str) or isinstance(arms, str) or len(arms) != 2 or arms[0] == arms[1]:
        raise OptionError(
            f"treatment={treatment!r} is neither a name nor a dictionary of a name and two arms",
            hint='Write treatment="drug", or treatment={"drug": ["placebo", "active"]} with the base first.',
        )
    return Treatment(column, "levels", tuple(arms), ((1, 0),), np.dtype(object))


def reported_effects(
    fit: ReportedFit,
    treated: Treatment,
    comparison: Comparison,
    *,
    people: Array,
    weight: Array,
    by: ByLike | None = None,
    subgroups: Mapping[str, str] | None = None,
    level: float = 0.95,
    seed: int | None = None,
    notes: tuple[str, ...] = (),
) -> Effects:
    """Table of effects of subgroups that are cells, or unions of cells.

    Parameters
    ----------
    fit
        The distribution of the effects of G cells.
    treated, comparison
        What was compared, and how (`read_arms`, `read_comparison`).
    people
        (G,) what the column n counts.
    weight
        (G,) what each cell counts for in an average.
    by, subgroups
        As in `mixedfx.effects.effects.effects`; neither: the cells, in their order.
    level, seed
        As there.
    notes
        What a reader must know.
    """
    check_level(level)
    columns = [str(name) for name in fit.frame.columns]
    plan = read_plan(columns if by is None and subgroups is None else by, subgroups)
    count = np.asarray(people)
    grid = Grid(fit.frame, fit.frame, (), count.astype(np.int64), weight, weight[None])
    asked = find_subgroups(plan, grid)
    averaging, whole = asked.averaging(weight).toarray(), everybody(grid).averaging(weight).toarray()
    keys, labels, order = asked.keys, asked.labels, np.arange(len(asked.labels))
    if by is None and subgroups is None:  # as they were reported
        order = np.argsort(averaging.argmax(axis=1))
    keys = keys.iloc[order].reset_index(drop=True)
    numbers = Exact(fit, fit.rows(averaging[order]), seed)
    table = keys.assign(
        contrast=treated.label((1, 0), comparison.label), n=asked.count[order], weight=asked.weight[order]
    )
    summary = numbers.summary(level, comparison.null)
    table = pd.concat([table, summary, pd.DataFrame({"unseen": numbers.unseen})], axis=1)
    table.attrs = {"level": level, "uncertainty": fit.uncertainty, "notes": list(notes)}
    overlapping = plan.queries is not None or len(plan.margins) > 1
    return Effects(
        table=table,
        quantities=numbers,
        fit=fit,
        labels=tuple(labels[i] for i in order),
        keys=tuple(keys.columns),
        question=Question(treated, plan, comparison),
        level=level,
        notes=notes,
        overall=Overall(Exact(fit, fit.rows(whole), seed), int(count.sum()), float(weight.sum())),
        seed=seed,
        overlap=asked.overlap(grid.count) if overlapping else None,
    )
