"""The counterfactual grid: the rows an effect is averaged over, each with the treatment set to every value compared.

Rows that agree in every column that matters (those the model uses and those that define subgroups) have the same
effect and belong to the same subgroups. They are collapsed into one cell with the sum of their weights before any
matrix is built, so that a table of 10^6 rows in 500 cells costs what 500 rows cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.expressions import column_of
from mixedfx.design.frame import column as fetch
from mixedfx.design.frame import missing as find_missing
from mixedfx.design.frame import to_pandas
from mixedfx.effects.modifiers import model_columns
from mixedfx.effects.treatment import Treatment
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError

WeightsLike = str | Sequence[float] | NDArray[np.float64] | pd.DataFrame | None


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
        Columns that ``offset=`` named when the model was fitted. They are no part of the formula, so an offset is the
        same under every treatment and cancels; any value serves.
    """

    frame: pd.DataFrame
    coded: pd.DataFrame
    model: tuple[str, ...]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    weight_draws: NDArray[np.float64]
    left_out: int = 0
    offsets: tuple[str, ...] = ()

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
        A column of the rows averaged over, or one number for each of them; each row counts once where None. Draws of
        uncertain weights: (draws, rows).
    offsets_cancel
        Whether an offset given by ``offset=`` is the same on both sides of what is asked, as in a difference of linear
        predictors; otherwise its column is needed.

    Raises
    ------
    EffectsError
        A column that is not there, missing values, or weights that are no weights.
    """
    frame = design.frame if newdata is None else to_pandas(newdata)
    if len(frame) == 0:
        raise EffectsError("newdata has no rows, so there is nothing to average over")
    model = model_columns(design)
    outside = tuple(c for c in map(column_of, _named_offsets(design)) if c not in model)
    if not offsets_cancel:
        _refuse_array_offset(design)
        model, outside = (*model, *outside), ()
    for column in columns:
        if column not in frame.columns:
            raise _no_such_column(column, frame, from_fit=newdata is None)
    if treatment.kind == "unit" and treatment.column not in frame.columns:
        raise EffectsError(
            f"newdata has no column {treatment.column!r}; the effect per unit starts from the value of each row",
            mend=f"Add the column, or name two values: treatment={{{treatment.column!r}: [0, 1]}}.",
        )
    if treatment.kind == "unit" and not pd.api.types.is_numeric_dtype(fetch(frame, treatment.column)):
        raise EffectsError(f"{treatment.column!r} is a number in the data of the fit and not in newdata")
    needed = [c for c in model if c in frame.columns and (c != treatment.column or treatment.kind != "levels")]
    needed = list(dict.fromkeys([*needed, *columns]))
    _refuse_missing(frame, needed)
    weight = _read_weights(weights, frame, design, from_fit=newdata is None)

    positive = weight.any(axis=0)
    if not positive.any():
        raise EffectsError("all weights are zero, so there is nothing to average over")
    cells: pd.DataFrame = frame.loc[:, needed].reset_index(drop=True)
    if newdata is not None:
        cells = _categories_of_fit(cells, design)
    if not positive.all():
        cells, weight = cells.loc[positive].reset_index(drop=True), weight[:, positive]
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
        count=np.bincount(cell, minlength=len(first)).astype(np.int64),
        weight=draws.mean(axis=0),
        weight_draws=draws,
        left_out=int(np.sum(~positive)),
        offsets=outside,
    )


def _categories_of_fit(frame: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Give columns the categories they had in the fit, in that order, and their own after these.

    A census in a file has text where the data of the fit had categories; its subgroups come in the same order.
    """
    changed = {}
    for name in frame.columns:
        known = fetch(design.frame, name).dtype if name in design.frame.columns else None
        if isinstance(known, pd.CategoricalDtype):
            values = fetch(frame, name).astype("category").cat.remove_unused_categories()
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


def _read_weights(weights: WeightsLike, frame: pd.DataFrame, design: Design, *, from_fit: bool) -> NDArray[np.float64]:
    """(D, n) draws of the weights; D is 1 where they are certain."""
    n = len(frame)
    if weights is None:
        return np.ones((1, n))
    if isinstance(weights, str):
        if weights not in frame.columns:
            raise _no_such_column(weights, frame, from_fit=from_fit, what="weights")
        values: Any = frame[weights]
    else:
        values = weights
    try:
        array = np.atleast_2d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        raise EffectsError("weights must be numbers, such as population counts") from None
    if from_fit and array.ndim == 2 and array.shape[1] == design.rows.total != n:
        # One weight for each row of the data as given; the fit dropped some of them.
        array = array[:, design.rows.used]
    if array.ndim != 2 or array.shape[1] != n or not len(array):
        raise EffectsError(
            f"weights have shape {np.shape(values)}; the rows averaged over number {n}",
            mend=f"One number for each row, or draws of uncertain weights as an array (draws, {n}).",
        )
    bad = ~np.isfinite(array) | (array < 0)
    if bad.any():
        row = int(np.argmax(bad.any(axis=0)))
        value = array[np.argmax(bad[:, row]), row]
        raise EffectsError(
            f"{int(bad.sum())} weights are negative, missing or infinite; the first is {value} in row {row}",
            mend="A weight is the number of people a row stands for: zero or more.",
        )
    return array


def _refuse_array_offset(design: Design) -> None:
    if not design.spec.offsets and np.any(design.offset != 0):
        raise EffectsError(
            "the fit has an offset given as numbers, which belong to its own rows and to no others",
            mend='Name a column: offset="log_exposure", or write offset(log_exposure) in the formula.',
        )


def _named_offsets(design: Design) -> list[str]:
    return [offset.expression for offset in design.spec.offsets[len(design.formula.offsets) :]]


def _refuse_missing(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = {c: int(mask.sum()) for c, mask in find_missing(frame.loc[:, list(columns)]).items()}
    if missing:
        counts = ", ".join(f"{k} in {c!r}" for c, k in missing.items())
        raise EffectsError(
            f"newdata has missing values: {counts}",
            mend=f"Leave these rows out: newdata.dropna(subset={list(missing)}).",
        )


def _no_such_column(column: str, frame: pd.DataFrame, *, from_fit: bool, what: str = "by") -> EffectsError:
    if not from_fit:
        mend = did_you_mean(column, frame.columns, all_of="Columns of newdata")
        return EffectsError(f"{what}: newdata has no column {column!r}", mend=mend)
    return EffectsError(
        f"{what}: the fit holds only the columns its formula uses, and {column!r} is not among them "
        f"({listed(frame.columns)})",
        mend=f"Pass the rows to average over, with that column: newdata=data. "
        f"{did_you_mean(column, frame.columns, all_of='Columns of the fit')}",
    )
