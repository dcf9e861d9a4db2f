"""Rows of people, put together into the cells that a question about subgroups tells apart.

Rows that are in the same subgroups are one cell: effects of subgroups are averages over cells, so whatever is known of
each row enters through its cell's average. So 10^5 rows and a query on a number cost what the subgroups cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.alignment import aligned
from mixedfx.design.frame import to_pandas
from mixedfx.effects.comparisons import find_comparison
from mixedfx.effects.grid import Grid
from mixedfx.effects.reported import read_arms, reported_effects
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.result import Effects
from mixedfx.effects.subgroups import OVERALL, ByLike, find_subgroups, read_plan
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError, some_rows

Array = NDArray[np.float64]

MOST_CELLS = 5000


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of n rows.

    Attributes
    ----------
    frame
        (C, .) the columns that the question reads, of the first row of each cell.
    averaging
        (C, n) sparse: the weighted average over the rows of each cell.
    count, weight
        (C,) rows, and their summed weights.
    code
        (n,) cell of each row, -1 for rows of weight zero.
    """

    frame: pd.DataFrame
    averaging: sparse.csr_array
    count: NDArray[np.int64]
    weight: Array
    code: NDArray[np.intp]


def find_cells(
    data: Any, by: ByLike | None, subgroups: Mapping[str, str] | None, weights: Any = None
) -> tuple[Cells, pd.DataFrame]:
    """Cells of the rows of data, and the data as a pandas frame.

    Raises
    ------
    EffectsError
        A column that the data do not have or that is missing in some rows; weights that are none, by counts.
    """
    frame = to_pandas(data)
    if isinstance(data, pd.DataFrame):
        frame.index = data.index  # by which weights and draws are aligned
    n, plan = len(frame), read_plan(by, subgroups)
    for name in plan.columns:
        if name not in frame.columns:
            hint = did_you_mean(name, list(frame.columns), all_of="Columns of the data")
            raise EffectsError(f"the data have no column {name!r}", hint=hint)
        missing = np.flatnonzero(np.asarray(pd.isna(frame[name])))
        if len(missing):
            raise EffectsError(
                f"{name!r} is missing in {len(missing)} rows: {some_rows(missing)}", hint="Leave these rows out."
            )
    weight = read_weights(weights, frame)
    kept = np.flatnonzero(weight > 0)
    used = frame.iloc[kept][list(plan.columns)].reset_index(drop=True)
    grid = Grid(used, used, (), np.ones(len(kept), dtype=np.int64), weight[kept], weight[None, kept])
    code = _patterns(find_subgroups(plan, grid).membership)
    C = int(code.max(initial=-1)) + 1
    if C > MOST_CELLS:
        raise EffectsError(
            f"the question tells {C:,} cells apart", hint="Group the numbers in by first: pandas.cut(data['x'], 5)."
        )
    first = np.unique(code, return_index=True)[1]
    total = np.bincount(code, weight[kept], C).astype(np.float64)
    averaging = sparse.csr_array((weight[kept] / total[code], (code, kept)), shape=(C, n))
    whole = np.full(n, -1, dtype=np.intp)
    whole[kept] = code
    own = used.iloc[first].reset_index(drop=True)
    return Cells(own, averaging, np.bincount(code, minlength=C).astype(np.int64), total, whole), frame


def read_weights(weights: Any, frame: pd.DataFrame) -> Array:
    """(n,) what each row counts for: a column, numbers by row, or once.

    Raises
    ------
    EffectsError
        Negative or missing ones, by counts; another length; all zero.
    """
    n = len(frame)
    if weights is None:
        return np.ones(n)
    if isinstance(weights, str):
        if weights not in frame.columns:
            hint = did_you_mean(weights, list(frame.columns), all_of="Columns of the data")
            raise EffectsError(f"weights: the data have no column {weights!r}", hint=hint)
        weights = frame[weights].to_numpy()
    elif isinstance(weights, pd.Series):
        weights = aligned(weights, frame.index, n, "weights").to_numpy()
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise EffectsError("weights must be numbers, one for each row, or a column") from None
    values = np.full(n, float(values)) if values.ndim == 0 else values
    if values.shape != (n,):
        raise EffectsError(f"weights have shape {values.shape}; there are {n} rows", hint="One for each row.")
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        raise EffectsError(f"{len(bad)} weights are negative, missing or infinite: {some_rows(bad)}")
    if not values.any():
        raise EffectsError("all weights are zero")
    return values


def effects_of_cells(
    fit: ReportedFit,
    cells: Cells,
    treatment: Any,
    *,
    by: ByLike | None,
    subgroups: Mapping[str, str] | None,
    level: float,
    seed: int | None,
    notes: tuple[str, ...],
) -> Effects:
    """The table of effects of subgroups that are unions of cells."""
    whole = by is None and subgroups is None
    found = reported_effects(
        fit,
        read_arms(treatment),
        find_comparison("difference"),
        people=cells.count.astype(np.float64),
        weight=cells.weight,
        by=[[]] if whole else by,
        subgroups=subgroups,
        level=level,
        seed=seed,
        notes=notes,
    )
    if not whole:
        return found
    table = found.table.rename(columns={"margin": "subgroup"})  # of one row, which is everybody
    table.attrs = found.table.attrs
    question = replace(found.question, plan=read_plan(None, None))
    return replace(found, table=table, keys=("subgroup",), labels=(OVERALL,), question=question, overlap=None)


def _patterns(membership: sparse.csr_array) -> NDArray[np.intp]:
    """Code of each column: columns of a sparse 0/1 matrix that are alike have one, in the order of their patterns."""
    columns = sparse.csc_array(membership)
    columns.sort_indices()
    patterns = [tuple(part) for part in np.split(columns.indices, columns.indptr[1:-1])]
    order = {pattern: i for i, pattern in enumerate(sorted(set(patterns)))}
    return np.array([order[pattern] for pattern in patterns], dtype=np.intp)
