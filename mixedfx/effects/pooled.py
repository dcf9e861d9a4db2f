"""Effects over several completed data sets: each fit answers the question, and the answers are pooled.

Averages run over the rows of each data set, so that imputed predictors and subgroups count as they were imputed. Linear
answers stay functionals: a combination of rows of the table (a contrast of subgroups, say) is put to each fit, and
pooled by Rubin's rules (`mixedfx.surveys.rubin`). Draws are put together, the mean of each data set moved away from
their common mean by sqrt((m + 1) / (m - 1)): the variance of all is then that of the rules, W + (1 + 1/m) B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.effects.quantities import Drawn, Exact, Monotone, Quantities
from mixedfx.effects.result import Effects
from mixedfx.effects.state import Overall
from mixedfx.errors import EffectsError
from mixedfx.surveys.pooled_fit import PooledFit
from mixedfx.surveys.pooled_linear import PooledLinear

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PooledRows:
    """s numbers that each of m fits knows, in the place of a fit: its coefficients are the numbers.

    Attributes
    ----------
    parts
        For each data set its s functionals and its fit.
    """

    parts: tuple[Exact, ...]

    def rows(self) -> Functional:
        """The numbers themselves."""
        first = self.parts[0].functional
        none = sparse.csr_array((len(first), 0))
        rows = Functional(np.eye(len(first)), none, none, (), np.zeros(len(first)), first.unseen)
        return replace(rows, null=first.null)

    def apply(self, functional: Functional) -> PooledLinear:
        """What is known of combinations of the numbers."""
        K = functional.fixed
        return PooledLinear([part.fit.apply(part.functional.combine(K)) for part in self.parts], functional.offset)


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
    return replace(first, table=pd.DataFrame(table), quantities=numbers, fit=fit, notes=notes, overall=overall)


def pooled_quantities(parts: Sequence[Quantities]) -> Quantities:
    """The same numbers, known from each of m data sets."""
    exact = [part for part in parts if isinstance(part, Exact)]
    if len(exact) == len(parts):
        pooled = PooledRows(tuple(exact))
        return Exact(pooled, pooled.rows(), exact[0].seed)  # pyright: ignore[reportArgumentType]
    curves = [part for part in parts if isinstance(part, Monotone)]
    if len(curves) == len(parts):
        base = pooled_quantities([part.base for part in curves])
        assert not isinstance(base, Monotone)
        return Monotone(base, curves[0].curve)
    return _pooled_draws([Drawn(part.draws(), part.unseen) if not isinstance(part, Drawn) else part for part in parts])


def _pooled_draws(parts: Sequence[Drawn]) -> Drawn:
    m = len(parts)
    means = np.array([part.values.mean(axis=0) for part in parts])
    center = means.mean(axis=0)
    away = (np.sqrt((m + 1.0) / (m - 1.0)) - 1.0) * (means - center)
    values = np.concatenate([part.values + shift for part, shift in zip(parts, away, strict=True)])
    return replace(parts[0], values=values)
