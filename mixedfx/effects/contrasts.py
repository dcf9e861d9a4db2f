"""Contrasts between subgroups, as combinations of the functionals behind a table.

With W the weight of all rows and w that of a subgroup S, the average effect over the rest follows from two averages
that are known already, ``tau_rest = (W tau_all - w tau_S) / (W - w)``, so the complement needs no pass over the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.frame import column as fetch
from mixedfx.design.functional import Functional
from mixedfx.effects.checks import warn_not_estimable
from mixedfx.effects.subgroups import EVERY, OVERALL
from mixedfx.effects.summary import summarize
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError

if TYPE_CHECKING:
    from mixedfx.effects.result import Effects


def between(effects: Effects, a: Any, b: Any) -> Effects:
    """Effect in subgroup `a` minus effect in subgroup `b`, for each contrast of treatment values."""
    first, second = find_rows(effects, a), find_rows(effects, b)
    s = len(effects)
    W = np.zeros((len(first), s))
    rows = np.arange(len(first))
    W[rows, first] += 1.0
    W[rows, second] -= 1.0
    functional = effects.functional.combine(W)
    table = effects.table
    other = pd.DataFrame(
        {
            "against": [effects.labels[i] for i in second],
            "n_against": table["n"].to_numpy()[second],
            "weight_against": table["weight"].to_numpy()[second],
        }
    )
    return _answer(effects, first, functional, other)


def against(effects: Effects, a: Any, what: Literal["overall", "complement"]) -> Effects:
    """Effect in one subgroup (in each where `a` is None) minus that in all rows, or in all other rows."""
    overall = effects.overall
    if overall is None:
        raise EffectsError("a table of contrasts has no overall effect", mend="Ask the table of effects itself.")
    if overall.needs:
        warn_not_estimable([OVERALL], overall.needs, stacklevel=4)
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
    contrasts = len(overall.functional)
    s = len(effects)
    # Against the complement: tau_S - tau_rest = W / (W - w) (tau_S - tau_all).
    factor = overall.weight / rest_weight if what == "complement" else np.ones(len(rows))
    W = sparse.lil_array((len(rows), s + contrasts))
    W[np.arange(len(rows)), rows] = factor
    W[np.arange(len(rows)), s + rows % contrasts] = -factor
    everything = stack(effects.functional, overall.functional)
    functional = everything.combine(sparse.csr_array(W))
    unseen, unseen_all = effects.functional.unseen[rows], overall.functional.unseen[rows % contrasts]
    if what == "complement":
        unseen_all = np.clip((overall.weight * unseen_all - weight * unseen) / rest_weight, 0.0, 1.0)
    functional = replace(functional, unseen=(unseen + unseen_all) / 2)
    other = pd.DataFrame({"against": what, "n_against": rest_n, "weight_against": rest_weight})
    return _answer(replace(effects, notes=notes), rows, functional, other)


def find_rows(effects: Effects, subgroup: Any) -> NDArray[np.intp]:
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
            mend = did_you_mean(unknown[0], columns, all_of="Columns")
            raise EffectsError(f"the table has no column {unknown[0]!r} that names subgroups", mend=mend)
    elif isinstance(subgroup, tuple) and len(subgroup) == len(columns):
        wanted = dict(zip(columns, subgroup, strict=True))
    elif len(columns) == 1 and any(value == subgroup for value in fetch(table, columns[0])):
        wanted = {columns[0]: subgroup}
    if wanted is None:
        match = np.array([label == subgroup for label in effects.labels])
    else:
        match = np.ones(len(table), dtype=bool)
        for column in columns:
            if column in wanted:
                match &= (table[column] == wanted[column]).to_numpy(dtype=bool)
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
            mend=did_you_mean(subgroup, options, all_of="Subgroups"),
        )
    if len(names) > 1:
        raise EffectsError(
            f"{subgroup!r} names {len(names)} subgroups: {', '.join(names)}",
            mend="Name one of them, or ask for the margin that joins them: by=[[...], [...]].",
        )
    return found


def stack(first: Functional, second: Functional) -> Functional:
    """Put the rows of one functional below those of another over the same unseen levels."""
    return Functional(
        np.vstack([first.fixed, second.fixed]),
        sparse.csr_array(sparse.vstack([first.random, second.random])),
        sparse.csr_array(sparse.vstack([first.new, second.new])),
        first.new_levels,
        np.concatenate([first.offset, second.offset]),
        np.concatenate([first.unseen, second.unseen]),
        first.averaged,
    )


def _answer(effects: Effects, rows: NDArray[np.intp], functional: Functional, other: pd.DataFrame) -> Effects:
    """Table of contrasts: who, against whom, and by how much."""
    kept = effects.table.iloc[rows].reset_index(drop=True)
    keys = [k for k in effects.keys if k != "against"]
    numbers = summarize(effects.fit, functional, effects.level, 0.0, effects.seed)
    table = pd.concat(
        [
            kept[keys],
            other[["against"]],
            kept[["contrast", "n"]],
            other[["n_against"]],
            kept[["weight"]],
            other[["weight_against"]],
            numbers,
            pd.DataFrame({"unseen": functional.unseen}),
        ],
        axis=1,
    )
    table.attrs = {**effects.table.attrs, "notes": list(effects.notes)}
    labels = tuple(f"({effects.labels[i]}) - ({text})" for i, text in zip(rows, other["against"], strict=True))
    return replace(effects, table=table, functional=functional, labels=labels, keys=(*keys, "against"), overall=None)
