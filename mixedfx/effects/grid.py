"""The counterfactual grid: the rows an effect is averaged over, each with the treatment set to every value compared.

Rows that agree in every column that matters (those the model uses and those that define subgroups) have the same
effect and belong to the same subgroups. They are collapsed into one cell with the sum of their weights before any
matrix is built, so that a table of 10^6 rows in 500 cells costs what 500 rows cost.

What a row counts for is read in row_counts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import row_labels
from mixedfx.design.design import Design
from mixedfx.design.frame import column as fetch
from mixedfx.design.frame import column_names, has_text_categories, opened, to_pandas
from mixedfx.design.frame import missing as find_missing
from mixedfx.design.labels import as_levels
from mixedfx.design.spec import by_label
from mixedfx.effects.modifiers import model_columns
from mixedfx.effects.row_counts import WeightsLike, counting_columns, no_such_column, read_counts
from mixedfx.effects.treatment import Treatment
from mixedfx.errors import EffectsError


@dataclass(frozen=True, eq=False)
class Grid:
    """Distinct cells and what they weigh.

    Attributes
    ----------
    frame
        (m, .) one row for each cell: the columns of the model and those that define subgroups.
    coded
        The same with text as categories, so that the design codes each text once and not in every block of cells.
    model
        The columns among these that the model needs.
    count
        (m,) rows of the data in each cell.
    weight
        (m,) their summed weights, all positive; the mean of `weight_draws` where these are uncertain.
    weight_draws
        (D, m) draws of the weights, (1, m) where they are certain.
    left_out
        Rows with a weight of zero, which are in no cell.
    offsets
        Column of what ``offset=`` gave when the model was fitted, where it cancels: it is no part of the formula, so an
        offset is the same under every treatment, and any value serves.
    notes
        What a reader must know of how rows are counted.
    known
        Levels of columns of text that the data of the fit have, where other rows are averaged over.
    """

    frame: pd.DataFrame
    coded: pd.DataFrame
    model: tuple[str, ...]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    weight_draws: NDArray[np.float64]
    left_out: int = 0
    offsets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    known: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    def counterfactual(self, treatment: Treatment, cells: NDArray[np.intp] | None = None) -> pd.DataFrame:
        """Every cell, or some cells, under every value of the treatment.

        Returns
        -------
        DataFrame
            (blocks * m, .): the m cells of the first block, then those of the second, and so on.
        """
        kept = [c for c in self.model if c != treatment.column or treatment.kind != "levels"]
        frame = self.coded.loc[:, kept]
        if cells is not None:
            frame = frame.iloc[cells].reset_index(drop=True)
        frame = frame.assign(**dict.fromkeys(self.offsets, 0.0))
        blocks = [treatment.set_block(frame, b) for b in range(len(treatment.values))]
        return pd.concat(blocks, ignore_index=True)


def build_grid(
    design: Design,
    treatment: Treatment,
    columns: Sequence[str],
    newdata: Any = None,
    weights: WeightsLike = None,
    *,
    offsets_cancel: bool = True,
) -> Grid:
    """Collapse the rows to average over into distinct cells.

    Parameters
    ----------
    design
        The design of the fit; its rows are averaged over where `newdata` is None.
    treatment
        What is compared; its own column is no part of a cell unless it is compared per unit or defines subgroups.
    columns
        Columns that define subgroups.
    newdata
        Rows to average over instead; any frame narwhals understands.
    weights
        What each row counts for; see `mixedfx.effects.row_counts.read_counts`.
    offsets_cancel
        Whether an offset given by ``offset=`` is the same on both sides of what is asked, as in a difference of linear
        predictors; otherwise its column is needed.

    Raises
    ------
    EffectsError
        A column that is not there, missing values, or weights that are no weights.
    """
    model = model_columns(design)
    given = design.spec.given_offset
    outside = () if given is None or given in model else (given,)
    if not offsets_cancel:
        model, outside = (*model, *outside), ()
    names, frame = _rows(design, newdata, [*model, *columns, *counting_columns(design, weights)])
    if len(frame) == 0:
        raise EffectsError("newdata has no rows, so there is nothing to average over")
    for column in columns:
        if column not in frame.columns:
            raise no_such_column(column, names, from_fit=newdata is None)
    if treatment.kind == "unit" and treatment.column not in frame.columns:
        raise EffectsError(
            f"newdata has no column {treatment.column!r}; the effect per unit starts from the value of each row",
            hint=f"Add the column, or name two values: treatment={{{treatment.column!r}: [0, 1]}}.",
        )
    if treatment.kind == "unit" and not pd.api.types.is_numeric_dtype(fetch(frame, treatment.column)):
        raise EffectsError(f"{treatment.column!r} is a number in the data of the fit and not in newdata")
    needed = [c for c in model if c in frame.columns and (c != treatment.column or treatment.kind != "levels")]
    needed = list(dict.fromkeys([*needed, *columns]))
    _refuse_missing(frame, needed)
    weight, notes = read_counts(weights, frame, design, names, row_labels(newdata), from_fit=newdata is None)
    rows = np.ones(len(frame), dtype=np.int64)
    if newdata is None and design.stands_for is not None:
        rows = design.stands_for
        weight = weight * rows

    positive = weight.any(axis=0)
    if not positive.any():
        raise EffectsError("all weights are zero, so there is nothing to average over")
    cells: pd.DataFrame = frame.loc[:, needed].reset_index(drop=True)
    if newdata is not None:
        cells = _categories_of_fit(cells, design)
    if not positive.all():
        cells, weight, rows = cells.loc[positive].reset_index(drop=True), weight[:, positive], rows[positive]
    first, cell, codes = distinct(cells)
    draws = np.array([np.bincount(cell, weights=w, minlength=len(first)) for w in weight], dtype=float)
    frame = cells.iloc[first].reset_index(drop=True)
    text = {
        name: pd.Categorical.from_codes(own[first], levels)
        for name, (own, levels) in codes.items()
        if name in design.frame.columns and not pd.api.types.is_numeric_dtype(fetch(design.frame, name))
    }
    return Grid(
        frame=frame,
        coded=frame.assign(**text),
        model=tuple(c for c in model if c in needed or c == treatment.column),
        count=np.bincount(cell, rows, minlength=len(first)).astype(np.int64),
        weight=draws.mean(axis=0),
        weight_draws=draws,
        left_out=int(np.sum(~positive)),
        offsets=outside,
        notes=notes,
        known={} if newdata is None else _known(design, columns),
    )


def _known(design: Design, columns: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Levels that the fit knows of columns that define subgroups, of text only."""
    texts = (name for name in columns if design.spec.kinds.get(name) == "text" and name in design.frame.columns)
    return {name: tuple(pd.unique(fetch(design.frame, name))) for name in texts}


def _rows(design: Design, newdata: Any, wanted: Sequence[str]) -> tuple[list[Any], pd.DataFrame]:
    """Names of the columns of the rows averaged over; those wanted that are there, fetched once."""
    if newdata is None:
        return list(design.frame.columns), design.frame
    given = opened(newdata)
    return column_names(given), to_pandas(given, (), also=list(dict.fromkeys(wanted)))


def _categories_of_fit(frame: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Give columns the categories they had in the fit, in that order, and their own after these.

    A census in a file has text where the data of the fit had categories; its subgroups come in the same order.
    """
    changed = {}
    for name in frame.columns:
        known = fetch(design.frame, name).dtype if name in design.frame.columns else None
        if isinstance(known, pd.CategoricalDtype):
            values = fetch(frame, name)
            if name in design.spec.text_categories and not has_text_categories(values.dtype):
                values = by_label(values)
            values = as_levels(values, known.categories).astype("category").cat.remove_unused_categories()
            own = sorted((v for v in values.cat.categories if v not in known.categories), key=str)
            changed[name] = values.cat.set_categories([*known.categories, *own], ordered=known.ordered)
    return frame.assign(**changed)


def distinct(
    frame: pd.DataFrame,
) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, tuple[NDArray[np.intp], pd.Index]]]:
    """First row of each distinct cell, the cell of each row in order of appearance, and codes of the text columns."""
    n = len(frame)
    key, size = np.zeros(n, dtype=np.int64), 1
    text: dict[str, tuple[NDArray[np.intp], pd.Index]] = {}
    for name in frame.columns:
        column = fetch(frame, name)
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, width = column.cat.codes.to_numpy().astype(np.int64), len(column.cat.categories)
        else:
            codes, levels = pd.factorize(column)
            width = len(levels)
            if pd.api.types.is_string_dtype(column.dtype) and pd.api.types.infer_dtype(levels) == "string":
                text[str(name)] = codes, pd.Index(levels)
        if size > 2**62 // max(width, 1):
            key, seen = pd.factorize(key)
            size = len(seen)
        key, size = key * np.int64(width) + codes, size * max(width, 1)
    cell, seen = pd.factorize(key)
    first = np.empty(len(seen), dtype=np.intp)
    first[cell[::-1]] = np.arange(n - 1, -1, -1)
    return first, cell.astype(np.intp), text


def _refuse_missing(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = {c: int(mask.sum()) for c, mask in find_missing(frame.loc[:, list(columns)]).items()}
    if missing:
        counts = ", ".join(f"{k} in {c!r}" for c, k in missing.items())
        raise EffectsError(
            f"newdata has missing values: {counts}",
            hint=f"Leave these rows out: newdata.dropna(subset={list(missing)}).",
        )
