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


@dataclass(frozen=True, eq=False)
class Grid:
    """Distinct cells and what they weigh.

    Attributes
    ----------
    frame
        (m, .) one row for each cell: the columns of the model and those that define subgroups.
    model
        The columns among these that the model needs.
    count
        (m,) rows of the data in each cell.
    weight
        (m,) their summed weights, all positive.
    left_out
        Rows with a weight of zero, which are in no cell.
    offsets
        Columns that ``offset=`` named when the model was fitted. They are no part of the formula, so an offset is the
        same under every treatment and cancels; any value serves.
    """

    frame: pd.DataFrame
    model: tuple[str, ...]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    left_out: int = 0
    offsets: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def counterfactual(self, treatment: Treatment) -> pd.DataFrame:
        """Every cell under every value of the treatment.

        Returns
        -------
        DataFrame
            (blocks * m, .): the m cells of the first block, then those of the second, and so on.
        """
        kept = [c for c in self.model if c != treatment.column or treatment.kind == "unit"]
        frame = self.frame.loc[:, kept].assign(**dict.fromkeys(self.offsets, 0.0))
        blocks = [treatment.set_block(frame, b) for b in range(len(treatment.values))]
        return pd.concat(blocks, ignore_index=True)


def build_grid(
    design: Design,
    treatment: Treatment,
    columns: Sequence[str],
    newdata: Any = None,
    weights: str | Sequence[float] | NDArray[np.float64] | None = None,
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
        A column of the rows averaged over, or one number for each of them; each row counts once where None.

    Raises
    ------
    EffectsError
        A column that is not there, missing values, or weights that are no weights.
    """
    frame = design.frame if newdata is None else to_pandas(newdata)
    if len(frame) == 0:
        raise EffectsError("newdata has no rows, so there is nothing to average over")
    model = model_columns(design)
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
    needed = [c for c in model if c in frame.columns and (c != treatment.column or treatment.kind == "unit")]
    needed = list(dict.fromkeys([*needed, *columns]))
    _refuse_missing(frame, needed)
    weight = _read_weights(weights, frame, design, from_fit=newdata is None)

    positive = weight > 0
    if not positive.any():
        raise EffectsError("all weights are zero, so there is nothing to average over")
    cells: pd.DataFrame = frame.loc[:, needed].reset_index(drop=True)
    if newdata is not None:
        cells = _categories_of_fit(cells, design)
    if not positive.all():
        cells, weight = cells.loc[positive].reset_index(drop=True), weight[positive]
    first, cell = _distinct(cells)
    return Grid(
        frame=cells.iloc[first].reset_index(drop=True),
        model=tuple(c for c in model if c in needed or c == treatment.column),
        count=np.bincount(cell, minlength=len(first)).astype(np.int64),
        weight=np.bincount(cell, weights=weight, minlength=len(first)).astype(float),
        left_out=int(np.sum(~positive)),
        offsets=tuple(c for c in map(column_of, _named_offsets(design)) if c not in model),
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


def _distinct(frame: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First row of each distinct cell, and the cell of each row."""
    if frame.shape[1] == 0:
        return np.zeros(1, dtype=np.intp), np.zeros(len(frame), dtype=np.intp)
    cell = frame.groupby(list(frame.columns), observed=True, sort=False).ngroup().to_numpy().astype(np.intp)
    first = np.unique(cell, return_index=True)[1].astype(np.intp)
    return first, cell


def _read_weights(
    weights: str | Sequence[float] | NDArray[np.float64] | None, frame: pd.DataFrame, design: Design, *, from_fit: bool
) -> NDArray[np.float64]:
    n = len(frame)
    if weights is None:
        return np.ones(n)
    if isinstance(weights, str):
        if weights not in frame.columns:
            raise _no_such_column(weights, frame, from_fit=from_fit, what="weights")
        values: Any = frame[weights]
    else:
        values = weights
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise EffectsError("weights must be numbers, such as population counts") from None
    if from_fit and array.shape == (design.rows.total,) != (n,):
        # One weight for each row of the data as given; the fit dropped some of them.
        array = array[design.rows.used]
    if array.shape != (n,):
        raise EffectsError(f"weights have shape {array.shape}; the rows averaged over number {n}")
    bad = ~np.isfinite(array) | (array < 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise EffectsError(
            f"{int(bad.sum())} weights are negative, missing or infinite; the first is {array[row]} in row {row}",
            mend="A weight is the number of people a row stands for: zero or more.",
        )
    return array


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
