"""Effects over several completed data sets: each fit answers the question, and the answers are pooled.

Averages run over the rows of each data set, so that imputed predictors and subgroups count as they were imputed. How
numbers are pooled is in `mixedfx.effects.pooling`; the answers of the data sets are kept, for what has to be asked of
each (raw estimates, comparisons that are not linear, pages to explore).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfx.effects.pooling import pooled_quantities
from mixedfx.effects.result import Effects
from mixedfx.effects.state import Overall
from mixedfx.errors import EffectsError
from mixedfx.surveys.pooled_fit import PooledFit


def pooled_answer(fit: PooledFit, answers: Sequence[Effects]) -> Effects:
    """The answers of all fits as one.

    Raises
    ------
    EffectsError
        Where the data sets have different subgroups.
    """
    first = answers[0]
    names = first.table[first.names]
    for label, other in zip(fit.sets, answers, strict=True):
        if not names.equals(other.table[other.names]):
            raise EffectsError(
                f"data set {label} has other subgroups than {fit.sets[0]}",
                hint="Ask by a column that is not imputed, or for subgroups that every data set has.",
            )
    numbers = pooled_quantities([answer.quantities for answer in answers])
    table = first.table.copy()
    for name in ("n", "weight"):
        table[name] = np.mean([answer.table[name].to_numpy() for answer in answers], axis=0)
    if bool(np.all(table["n"].to_numpy() % 1 == 0)):
        table["n"] = table["n"].astype(np.int64)
    comparison = first.comparison
    summary = numbers.summary(first.level, 0.0 if comparison is None else comparison.null)
    for name in summary.columns:
        if name in table:
            table[name] = summary[name].to_numpy()
    note = f"Pooled over {fit.m} {fit.what} by Rubin's rules."
    notes = tuple(dict.fromkeys([note, *(text for answer in answers for text in answer.notes)]))
    table.attrs = {"level": first.level, "uncertainty": fit.uncertainty, "notes": list(notes)}
    overall = None
    if first.overall is not None:
        every = [answer.overall.quantities for answer in answers if answer.overall is not None]
        overall = Overall(pooled_quantities(every), first.overall.count, first.overall.weight)
    return replace(
        first,
        table=pd.DataFrame(table),
        quantities=numbers,
        fit=fit,
        notes=notes,
        overall=overall,
        sets=tuple(answers),
    )
