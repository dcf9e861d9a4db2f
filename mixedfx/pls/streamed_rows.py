r"""Crossed factors of rows that are read in batches: which solver they get, and their incidences where it iterates.

The rows of a table never enter memory, but iteration passes over the incidences of the crossed factors some hundred
times: what is held is four bytes for each row and column of the second level, and the columns' values where these are
not all one, as of a frame (`mixedfx.pls.incidence`). Rows stand in the order of the first factor's levels, so that the
rows of each level have to be known before the first is put in its place. One reading of the grouping columns counts
them. The levels that it finds are kept, four bytes each, where a solver has to be chosen, which depends on how far
levels reach; they go before the incidences come.

Values are those of columns in the basis of a sample (`mixedfx.pls.streamed`), and are turned into that of all rows in
their place: with q_s the first and D = B_0 B^{-1}, q = q_s D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design
from mixedfx.design.first_pass import used_rows
from mixedfx.design.frame import plain
from mixedfx.design.group_codes import other_rows
from mixedfx.design.precision import Independent
from mixedfx.design.streamed import Streamed
from mixedfx.errors import MemoryForecastError
from mixedfx.linalg.sums import Sum
from mixedfx.pls.choice import Forecast, Solver, chosen, forecast_of, free_megabytes
from mixedfx.pls.crossproducts import CHUNK
from mixedfx.pls.factors import LARGE, GroupFactor, second_level_columns
from mixedfx.pls.incidence import Incidence, RowProducts
from mixedfx.pls.iterative_problem import refusal, refuse

Vector = NDArray[np.float64]
Columns = tuple[str, ...]

READING = 320.0  # megabytes that batches on their way and what is learnt of them take at most, from measurements


@dataclass(frozen=True)
class Levels:
    """The levels of the grouping factors in all rows.

    Attributes
    ----------
    counts
        Columns of each grouping factor -> (q,) rows of its levels.
    codes
        The same -> (n,) level of each row; empty where they are not kept.
    """

    counts: dict[Columns, NDArray[np.int64]]
    codes: dict[Columns, NDArray[np.int32]]


def levels_of(streamed: Streamed, keep: bool) -> Levels:
    """Read the grouping columns once, and with them no more than says which rows are used.

    Parameters
    ----------
    streamed
        The rows.
    keep
        Whether the level of each row is kept.

    Raises
    ------
    DataError
        Where other rows come than in the first reading.
    """
    learnt, groups = streamed.learnt, streamed.codes
    named = list(dict.fromkeys(name for columns in groups for name in columns))
    lacking = [name for name in streamed.columns if learnt.missing.get(name)]
    weights = streamed.weights if learnt.dropped_zero else None
    read = list(dict.fromkeys(named + lacking + ([] if weights is None else [weights])))
    counts = {g: np.zeros(len(ask.grouping.levels), dtype=np.int64) for g, ask in groups.items()}
    codes = {g: np.empty(learnt.n if keep else 0, dtype=np.int32) for g in groups}
    rows = 0
    for used in used_rows(streamed.stream, read, weights, streamed.na):
        m = len(used.places)
        if rows + m > learnt.n:
            raise other_rows()
        if not m:
            continue
        frame = learnt.as_categories(plain(used.frame.filter(items=named)))
        for g, ask in groups.items():
            own = ask.of(frame)
            counts[g] += np.bincount(own, minlength=len(counts[g]))
            if keep:
                codes[g][rows : rows + m] = own
        rows += m
    if rows != learnt.n:
        raise other_rows()
    return Levels(counts, codes if keep else {})


class StreamedRows(RowProducts):
    """Rows that come in batches, from a source that might give others than were counted."""

    def _place(self, codes: NDArray[np.intp], columns: NDArray[np.int32], values: Vector, z: Vector) -> None:
        counts = np.bincount(codes, minlength=len(self._following))
        if (self._following + counts > self.rows.start[1:]).any():
            raise other_rows()
        super()._place(codes, columns, values, z)


def rows_in_order(
    streamed: Streamed, sample: Design, factors: tuple[GroupFactor, ...], solver: Solver
) -> StreamedRows | None:
    """What takes in rows that are to be solved by iteration; None where their products are to be factored.

    Parameters
    ----------
    streamed
        The rows.
    sample
        Some of them, as a design.
    factors
        The grouping factors in order of elimination.
    solver
        The one that was asked for.

    Raises
    ------
    MemoryForecastError
        If what was asked for, or either, would not fit in the memory that is free.
    IterativeSolverError
        A model that the iterative solver, asked for, does not take.
    DataError
        As `levels_of`.
    """
    if not streamed.terms:
        return None
    if solver == "iterative":
        refuse(sample)
        found = forecast_of_rows(streamed, sample, None)
        if found.iterative > free_megabytes():
            raise _too_large(found)
        levels = levels_of(streamed, keep=False)
    else:
        if second_level_columns(sample) < LARGE:
            return None
        if READING + _kept(streamed) > free_megabytes():
            return None  # no room to look how far levels reach, nor to iterate, which holds as much
        levels = levels_of(streamed, keep=True)
        if not chosen(forecast_of_rows(streamed, sample, levels), solver, not refusal(sample)):
            return None
    counts = levels.counts[_columns(streamed)[factors[0].blocks[0].term]]
    del levels
    ones = [_is_one(streamed, group) for group in factors]
    return StreamedRows(factors, counts, sample.X.shape[1] + 1, ones)


def _columns(streamed: Streamed) -> list[Columns]:
    """Columns of the grouping factor of each random term."""
    return [one.grouping.columns for one in streamed.spec.random]


def forecast_of_rows(streamed: Streamed, sample: Design, levels: Levels | None) -> Forecast:
    """What the solvers would take, reading included; how far levels reach is not looked at where they are not known."""
    codes: dict[str, Any] = {}
    if levels is not None:
        codes = {t.label: levels.codes[c] for t, c in zip(streamed.terms, _columns(streamed), strict=True)}
    found = forecast_of(streamed.terms, codes, streamed.n, _weighted(sample))
    kept = 0.0 if levels is None else _kept(streamed)
    return replace(found, iterative=READING + max(found.iterative, kept))


def _weighted(sample: Design) -> bool:
    return not isinstance(sample.precision, Independent) or sample.precision.weights is not None


def _kept(streamed: Streamed) -> float:
    """Megabytes of the levels of all rows."""
    return 4.0 * streamed.n * len(streamed.codes) / 2**20


def _is_one(streamed: Streamed, group: GroupFactor) -> bool:
    """Whether a factor is a random intercept alone, of rows without weights."""
    formula = streamed.spec.formula
    lefts = [formula.random[block.term].left for block in group.blocks]
    return lefts == ["1"] and streamed.weights is None and not formula.knows_errors


def _too_large(found: Forecast) -> MemoryForecastError:
    return MemoryForecastError(
        f"the iterative solver needs {found.iterative:,.0f} MB for the incidences of the rows and its vectors, and "
        f"{free_megabytes():,.0f} MB may be planned with",
        hint="Drop levels with few rows, move a grouping factor with few levels to the fixed part, or fit on a machine "
        "with more memory.",
    )


# --- once all rows are in ---------------------------------------------------------------------------------------------
def own_gram(rows: RowProducts, f: int) -> Vector:
    """(k, k) sums of q_s q_s' of a factor of the second level over all rows."""
    group, value = rows.rest[f], rows.rows.value
    if not len(value):
        return np.array([[float(len(rows.rows.column))]])
    first, total = sum(g.k for g in rows.rest[:f]), Sum()
    for begin in range(0, len(value), CHUNK):
        own = value[begin : begin + CHUNK, first : first + group.k]
        total.add(own.T @ own)
    return np.asarray(total.value)


def incidence_of(
    rows: RowProducts, D: Sequence[Vector], columns: NDArray[np.intp], M: Vector
) -> tuple[Incidence, Vector]:
    """The second level in the basis of all rows, and (q2, p + 1) its products with W.

    Parameters
    ----------
    rows
        All rows; their values are changed in place.
    D
        For each factor (k, k) what turns its columns.
    columns, M
        Columns of W that are kept, and (p + 1, p + 1) what turns them.
    """
    held = rows.rows
    _turn(held.value, np.asarray(linalg.block_diag(*D[1:])))
    _turn(held.z, D[0])
    zw = []
    for group, d, own in zip(rows.rest, D[1:], np.split(rows.zw, rows.offsets[1:-1]), strict=True):
        by_level = own[:, columns].reshape(group.n_levels, group.k, len(columns))
        zw.append(np.einsum("ba,qbw,wv->qav", d, by_level, M, optimize=True).reshape(-1, M.shape[1]))
    return rows.incidence(), np.concatenate(zw)


def _turn(value: Vector, D: Vector) -> None:
    """Multiply rows by D in their place."""
    for begin in range(0, len(value), CHUNK):
        value[begin : begin + CHUNK] = value[begin : begin + CHUNK] @ D
