"""Contrasts between subgroups, as combinations of the joint quantities behind a table.

With W the weight of all rows and w that of a subgroup S, the average over the rest follows from two averages that
are known already, ``m_rest = (W m_all - w m_S) / (W - w)``, so the complement needs no pass over the data. The same
holds for effects that are linear in the averages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.estimable import Null
from mixedfx.design.frame import column as fetch
from mixedfx.design.labels import level_label
from mixedfx.effects.averages import Averages
from mixedfx.effects.checks import warn_not_estimable
from mixedfx.effects.pooling import pooled_quantities
from mixedfx.effects.quantities import Drawn, Exact, Quantities, stack, with_unseen
from mixedfx.effects.reading import compared, outcomes
from mixedfx.effects.state import EffectsState, Overall
from mixedfx.effects.subgroups import EVERY
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError

Array = NDArray[np.float64]
State = TypeVar("State", bound=EffectsState)


def between(effects: State, a: Any, b: Any) -> State:
    """Number of subgroup `a` minus number of subgroup `b`, for each contrast of treatment values."""
    first, second = find_rows(effects, a), find_rows(effects, b)
    s = len(effects)
    W = np.zeros((len(first), s))
    rows = np.arange(len(first))
    W[rows, first] += 1.0
    W[rows, second] -= 1.0
    table = effects.table
    other = pd.DataFrame(
        {
            "against": [effects.labels[i] for i in second],
            "n_against": table["n"].to_numpy()[second],
            "weight_against": table["weight"].to_numpy()[second],
        }
    )
    return _answer(effects, first, effects.quantities.combine(W), other, effects.notes)


def against(effects: State, a: Any, what: Literal["overall", "complement"]) -> State:
    """Number of one subgroup (of each where `a` is None) minus that of all rows, or of all other rows."""
    overall = effects.overall
    if overall is None:
        raise EffectsError("a table of contrasts has no overall effect", hint="Ask the table of effects itself.")
    table = effects.table
    rows = np.arange(len(effects)) if a is None else find_rows(effects, a)
    weight, n = table["weight"].to_numpy()[rows], table["n"].to_numpy()[rows]
    notes = effects.notes
    rest_weight, rest_n = np.full(len(rows), overall.weight), np.full(len(rows), overall.count)
    if what == "complement":
        rest_weight, rest_n = rest_weight - weight, rest_n - n
        whole = rest_n == 0
        if whole.all():
            name = effects.labels[rows[0]]
            raise EffectsError(f"subgroup {name!r} holds all rows, so nobody is left to compare it with")
        if whole.any():
            names = ", ".join(dict.fromkeys(effects.labels[i] for i in rows[whole]))
            notes = (*notes, f"Left out, because all rows belong to it: {names}.")
            rows, weight = rows[~whole], weight[~whole]
            rest_weight, rest_n = rest_weight[~whole], rest_n[~whole]
    per = len(overall.quantities)
    if what == "overall":
        quantities = _less_overall(effects, overall, rows, np.ones(len(rows)))
    elif effects.sets:
        # Of imputed columns each data set has another rest.
        quantities = pooled_quantities([_less_rest(one, rows) for one in effects.sets])
    else:
        quantities = _less_rest(effects, rows)
    unseen, unseen_all = effects.quantities.unseen[rows], overall.quantities.unseen[rows % per]
    if what == "complement":
        unseen_all = np.clip((overall.weight * unseen_all - weight * unseen) / rest_weight, 0.0, 1.0)
    other = pd.DataFrame({"against": what, "n_against": rest_n, "weight_against": rest_weight})
    return _answer(effects, rows, quantities, other, notes, unseen=(unseen + unseen_all) / 2)


def _less_overall(effects: EffectsState, overall: Overall, rows: NDArray[np.intp], factor: Array) -> Quantities:
    """A multiple of what the numbers of some rows are above that of everybody."""
    per, s = len(overall.quantities), len(effects)
    W = sparse.lil_array((len(rows), s + per))
    W[np.arange(len(rows)), rows] = factor
    W[np.arange(len(rows)), s + rows % per] = -factor
    return stack(effects.quantities, overall.quantities).combine(sparse.csr_array(W))


def _less_rest(effects: EffectsState, rows: NDArray[np.intp]) -> Quantities:
    """What the numbers of some rows are above those of all others."""
    overall = effects.overall
    assert overall is not None
    if isinstance(effects.quantities, Exact):
        # tau_S - tau_rest = W / (W - w) (tau_S - tau_all)
        weight = effects.table["weight"].to_numpy(dtype=float)[rows]
        return _less_overall(effects, overall, rows, overall.weight / (overall.weight - weight))
    per = len(overall.quantities)
    own, rest = _own_and_rest(effects, rows // per)
    at = np.arange(len(rows)) * per + rows % per
    one = sparse.eye_array(len(rows))
    return stack(own.take(at), rest.take(at)).combine(sparse.csr_array(sparse.hstack([one, -one])))


def _own_and_rest(effects: EffectsState, subgroups: NDArray[np.intp]) -> tuple[Quantities, Quantities]:
    """Numbers of each of `subgroups`, and of all rows but those of it, from joint draws of averages.

    A ratio or an average over uncertain weights is not linear in the averages: the averages of the rest are formed
    within each draw, and compared then.
    """
    averages, question = effects.averages, effects.question
    if averages is None:
        raise EffectsError("this table does not hold the averages that a complement needs")
    V, s, K = averages.shape
    known = averages.quantities
    draws = (known.values if isinstance(known, Drawn) else known.draws()).reshape(-1, V, s, K)
    total = averages.weight[:, None, -1:, None]
    own = averages.weight[:, None, subgroups, None]
    rest = (total * draws[:, :, -1:] - own * draws[:, :, subgroups]) / (total - own)
    labels = [effects.labels[i * effects.per_subgroup] for i in subgroups]

    def numbers(values: NDArray[np.float64], null: Null | None) -> Quantities:
        found = Drawn(values.reshape(len(values), -1), np.zeros(V * len(subgroups) * K), null=null)
        if question.comparison is None:
            return outcomes(found, averages.reading)
        shape, pairs = (V, len(subgroups), K), question.treated.pairs
        return compared(found, shape, pairs, question.comparison, labels, averages.reading)

    null = None
    if isinstance(known, Drawn) and known.null is not None:
        null = known.null.take(averages.rows()[:, subgroups].ravel())
    return numbers(draws[:, :, subgroups], null), numbers(rest, _null_of_rest(averages, subgroups))


def _null_of_rest(averages: Averages, subgroups: NDArray[np.intp]) -> Null | None:
    """What the averages of the rest need of columns that were dropped from the fit, the weights at their means."""
    known = averages.quantities
    if not isinstance(known, Drawn) or known.null is None:
        return None
    V, _, K = averages.shape
    total = float(averages.weight[:, -1].mean())
    own = np.tile(np.repeat(averages.weight[:, subgroups].mean(axis=0), K), V)
    rows = averages.rows()
    at, everybody = rows[:, subgroups].ravel(), np.repeat(rows[:, -1:], len(subgroups), axis=1).ravel()
    count = np.arange(len(at))
    entries = (np.concatenate([np.full(len(at), total), -own]), (np.tile(count, 2), np.concatenate([everybody, at])))
    return known.null.combine(sparse.csr_array(entries, shape=(len(at), rows.size)))


def find_rows(effects: EffectsState, subgroup: Any) -> NDArray[np.intp]:
    """Rows of the table, one for each contrast of treatment values, of the subgroup a user named.

    Raises
    ------
    EffectsError
        No such subgroup, or several.
    """
    table = effects.table
    columns = [k for k in effects.keys if k not in ("margin", "against")]
    wanted: dict[str, Any] | None = None
    if isinstance(subgroup, Mapping):
        wanted = {str(k): v for k, v in subgroup.items()}
        unknown = [k for k in wanted if k not in columns]
        if unknown:
            hint = did_you_mean(unknown[0], columns, all_of="Columns")
            raise EffectsError(f"the table has no column {unknown[0]!r} that names subgroups", hint=hint)
    elif isinstance(subgroup, tuple) and len(subgroup) == len(columns):
        wanted = dict(zip(columns, subgroup, strict=True))
    elif len(columns) == 1 and has_value(table, columns[0], subgroup).any():
        wanted = {columns[0]: subgroup}
    if wanted is None:
        match = np.array([label == subgroup for label in effects.labels])
    else:
        match = np.ones(len(table), dtype=bool)
        for column in columns:
            if column in wanted:
                match &= has_value(table, column, wanted[column])
            elif "margin" in effects.keys:
                match &= (table[column] == EVERY).to_numpy(dtype=bool)
    found = np.flatnonzero(match)
    names = list(dict.fromkeys(effects.labels[i] for i in found))
    if not names:
        options: list[Any] = list(dict.fromkeys(effects.labels))
        if len(columns) == 1:
            options = list(dict.fromkeys([*table[columns[0]], *options]))
        raise EffectsError(
            f"there is no subgroup {subgroup!r} in this table",
            hint=did_you_mean(subgroup, options, all_of="Subgroups"),
        )
    if len(names) > 1:
        raise EffectsError(
            f"{subgroup!r} names {len(names)} subgroups: {', '.join(names)}",
            hint="Name one of them, or ask for the margin that joins them: by=[[...], [...]].",
        )
    return found


def has_value(table: pd.DataFrame, column: str, value: Any) -> NDArray[np.bool_]:
    """(n,) rows whose value is `value`; where no row has it, those whose value is written as it is, "2019" for 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.effects.contrasts import has_value
    >>> has_value(pd.DataFrame({"year": [2019, 2020]}), "year", "2019").tolist()
    [True, False]
    """
    values = list(fetch(table, column))
    same = np.array([bool(v == value) for v in values], dtype=bool)
    return same if same.any() else np.array([level_label(v) == level_label(value) for v in values], dtype=bool)


def _answer(
    effects: State,
    rows: NDArray[np.intp],
    quantities: Quantities,
    other: pd.DataFrame,
    notes: tuple[str, ...],
    unseen: NDArray[np.float64] | None = None,
) -> State:
    """Table of contrasts: who, against whom, and by how much."""
    kept = effects.table.iloc[rows].reset_index(drop=True)
    keys = [k for k in effects.keys if k != "against"]
    if unseen is not None:
        quantities = with_unseen(quantities, unseen)
    names = [c for c in ("contrast", "category") if c in kept]
    labels = tuple(f"({effects.labels[i]}) - ({text})" for i, text in zip(rows, other["against"], strict=True))
    needed = effects.averages.needed if effects.averages is not None else ()
    notes = (*notes, *warn_not_estimable(effects.fit.design, quantities, labels, needed, stacklevel=5))
    summary = quantities.summary(effects.level, 0.0)
    table = pd.concat(
        [
            kept[keys],
            other[["against"]],
            kept[[*names, "n"]],
            other[["n_against"]],
            kept[["weight"]],
            other[["weight_against"]],
            summary,
            pd.DataFrame({"unseen": quantities.unseen}),
        ],
        axis=1,
    )
    table.attrs = {**effects.table.attrs, "notes": list(notes)}
    return replace(
        effects,
        table=table,
        quantities=quantities,
        labels=labels,
        keys=(*keys, "against"),
        notes=notes,
        overall=None,
        averages=None,
        sets=(),
    )
