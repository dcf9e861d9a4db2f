"""Subgroups: crossings, margins and named queries, as a membership matrix over the cells of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.labels import level_label
from mixedfx.effects.grid import Grid
from mixedfx.effects.query import Query, parse_query
from mixedfx.errors import EffectsError

OVERALL = "overall"
# What stands in a `by` column of a margin that is summed over that column.
EVERY = "(all)"

# Columns of the table that answers; a column of the data with such a name could not be told from them.
RESERVED = frozenset(
    {
        "margin",
        "subgroup",
        "against",
        "contrast",
        "category",
        "n",
        "n_against",
        "weight",
        "weight_against",
        "estimate",
        "sd",
    }
    | {"lower", "upper", "null", "prob_above_null", "unseen"}
)

ByLike = str | Sequence[str] | Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plan:
    """Which subgroups were asked for, before any data.

    Attributes
    ----------
    margins
        Crossings of columns; ``()`` is everybody.
    queries
        Name -> query; empty where `margins` are asked for.
    several
        Whether `margins` were given as a list of crossings.
    """

    margins: tuple[tuple[str, ...], ...] = ()
    queries: Mapping[str, Query] | None = None
    several: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that define the subgroups, in order of appearance."""
        if self.queries is not None:
            return tuple(dict.fromkeys(c for q in self.queries.values() for c in q.columns))
        return tuple(dict.fromkeys(c for margin in self.margins for c in margin))


@dataclass(frozen=True)
class Overlap:
    """Two subgroups, and how many rows of the data belong to both."""

    first: str
    second: str
    rows: int


@dataclass(frozen=True, eq=False)
class Subgroups:
    """The subgroups of a grid.

    Attributes
    ----------
    keys
        (s, .) what names each subgroup in the table: `by` columns, or `subgroup`.
    labels
        The s names, unique.
    membership
        (s, m) ones where a cell belongs to a subgroup.
    count
        (s,) rows of the data.
    weight
        (s,) their weights.
    """

    keys: pd.DataFrame
    labels: tuple[str, ...]
    membership: sparse.csr_array
    count: NDArray[np.int64]
    weight: NDArray[np.float64]

    def overlap(self, rows: NDArray[np.int64]) -> Overlap | None:
        """Find two subgroups with members in common; `rows` are those of the data in each of the m cells."""
        shared = sparse.coo_array(sparse.triu(self.membership @ sparse.csr_array(self.membership * rows).T, k=1))
        if not shared.nnz:
            return None
        at = int(np.argmax(shared.data))
        first, second = (self.labels[int(c[at])] for c in shared.coords)
        return Overlap(first, second, round(float(shared.data[at])))

    def averaging(self, weight: NDArray[np.float64]) -> sparse.csr_array:
        """(s, m) rows that average over each subgroup."""
        scaled = sparse.csr_array(self.membership * weight)
        return sparse.csr_array(sparse.diags_array(1.0 / np.asarray(scaled.sum(axis=1))) @ scaled)


def read_plan(by: ByLike | None, subgroups: Mapping[str, str] | None) -> Plan:
    """Understand `by` and `subgroups`.

    Raises
    ------
    EffectsError
        Both given, or a form that is neither.

    Examples
    --------
    >>> from mixedfx.effects.subgroups import read_plan
    >>> read_plan(["race", "gender"], None).margins
    (('race', 'gender'),)
    >>> read_plan([["race"], ["race", "gender"]], None).margins
    (('race',), ('race', 'gender'))
    """
    if by is not None and subgroups is not None:
        raise EffectsError("give by or subgroups, not both", hint="Ask twice; both answers come from the same fit.")
    if subgroups is not None:
        if not isinstance(subgroups, Mapping) or not subgroups:
            raise EffectsError(
                "subgroups must be a dictionary of names and queries",
                hint="Write subgroups={\"Black boys\": \"race == 'Black' and gender == 'boy'\"}.",
            )
        queries = {}
        for name, text in subgroups.items():
            try:
                queries[str(name)] = parse_query(text)
            except EffectsError as error:
                raise _in_subgroup(str(name), error) from None
        return Plan(queries=queries)
    if by is None:
        return Plan(margins=((),))
    if isinstance(by, str):
        return Plan(margins=(_crossing([by]),))
    entries = list(by) if isinstance(by, Iterable) else []
    if entries and all(isinstance(e, str) for e in entries):
        return Plan(margins=(_crossing(entries),))
    if entries and all(not isinstance(e, str) and isinstance(e, Sequence) for e in entries):
        margins = tuple(_crossing(list(e)) for e in entries)
        if len(set(margins)) < len(margins):
            raise EffectsError("by names the same margin twice")
        return Plan(margins=margins, several=True)
    raise EffectsError(
        f"by cannot be read: {by!r}",
        hint='Write by=["race", "gender"] for one crossing, by=[["race"], ["gender"]] for several margins.',
    )


def find_subgroups(plan: Plan, grid: Grid) -> Subgroups:
    """Find the subgroups of a plan in a grid.

    Raises
    ------
    EffectsError
        A query that names an unknown column or level, or selects no rows.
    """
    if plan.queries is not None:
        return _by_query(plan.queries, grid)
    parts = [_by_crossing(margin, grid) for margin in plan.margins]
    columns = plan.columns
    keys = []
    for margin, (levels, _) in zip(plan.margins, parts, strict=True):
        part = levels.copy()
        if len(plan.margins) > 1 or plan.several:
            for column in columns:
                if column not in margin:
                    part[column] = EVERY
            part = part[list(columns)]
            part.insert(0, "margin", ":".join(margin) or OVERALL)
        elif not margin:
            part["subgroup"] = OVERALL
        keys.append(part)
    frame = keys[0] if len(keys) == 1 else pd.concat([k.astype(object) for k in keys], ignore_index=True)
    membership = sparse.csr_array(sparse.vstack([m for _, m in parts]))
    labels = [label for levels, _ in parts for label in _labels(levels)]
    return _finish(frame, labels, membership, grid)


def everybody(grid: Grid) -> Subgroups:
    """All cells as one subgroup."""
    return find_subgroups(Plan(margins=((),)), grid)


def block_diagonal(block: sparse.csr_array, times: int) -> sparse.csr_array:
    """Repeat a matrix along the diagonal; its rows stay sorted, which at 10^6 columns saves a sort."""
    s, m = cast(tuple[int, int], block.shape)
    at = np.arange(times)[:, None]
    ends = (block.indptr[1:] + at * block.nnz).ravel()
    return sparse.csr_array(
        (np.tile(block.data, times), (block.indices + at * m).ravel(), np.concatenate([[0], ends])),
        shape=(times * s, times * m),
    )


def _by_crossing(margin: tuple[str, ...], grid: Grid) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Observed combinations, sorted (categories in their order), and who is in them."""
    m = len(grid)
    if not margin:
        return pd.DataFrame(index=pd.RangeIndex(1)), sparse.csr_array(np.ones((1, m)))
    grouped = grid.frame.groupby(list(margin), observed=True, sort=True)
    code = grouped.ngroup().to_numpy()
    first = np.unique(code, return_index=True)[1]
    levels = grid.frame.iloc[first][list(margin)].reset_index(drop=True)
    return levels, sparse.csr_array((np.ones(m), (code, np.arange(m))), shape=(len(first), m))


def _by_query(queries: Mapping[str, Query], grid: Grid) -> Subgroups:
    rows = []
    for name, query in queries.items():
        try:
            selected = query.rows(grid.frame, grid.known)
        except EffectsError as error:
            raise _in_subgroup(name, error) from None
        if not selected.any():
            raise EffectsError(
                f"subgroup {name!r} has no rows: nothing satisfies {query.text!r}",
                hint="Pass newdata with such rows to ask about people the data do not have.",
            )
        rows.append(selected.astype(float))
    membership = sparse.csr_array(np.vstack(rows))
    return _finish(pd.DataFrame({"subgroup": list(queries)}), list(queries), membership, grid)


def _finish(keys: pd.DataFrame, labels: list[str], membership: sparse.csr_array, grid: Grid) -> Subgroups:
    count = np.asarray(membership @ grid.count.astype(float)).round().astype(np.int64)
    return Subgroups(keys, tuple(labels), membership, count, np.asarray(membership @ grid.weight))


def _crossing(columns: list[Any]) -> tuple[str, ...]:
    if len(set(columns)) < len(columns) or not all(isinstance(c, str) for c in columns):
        raise EffectsError(f"by: a crossing is a list of different columns, not {columns!r}")
    reserved = next((c for c in columns if c in RESERVED), None)
    if reserved is not None:
        raise EffectsError(
            f"by: the table of effects has a column {reserved!r} of its own",
            hint=f"Rename the column of the data: data.rename(columns={{{reserved!r}: {reserved + '_'!r}}}).",
        )
    return tuple(columns)


def _labels(levels: pd.DataFrame) -> list[str]:
    """Return ``"race=Black, gender=boy"`` for each row; ``"overall"`` where no column was crossed."""
    rows = levels.astype(object).to_numpy()
    return [
        ", ".join(f"{c}={level_label(v)}" for c, v in zip(levels.columns, row, strict=True)) or OVERALL for row in rows
    ]


def _in_subgroup(name: str, error: EffectsError) -> EffectsError:
    return EffectsError(f"subgroup {name!r}: {error.message}", hint=error.hint)
