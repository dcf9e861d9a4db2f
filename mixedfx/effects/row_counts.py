"""What each row averaged over counts for: once, its trials, or the weights that the caller gives.

A row of ``k | trials(m)`` stands for m people. Counted once, rows that hold forty people weigh as much as rows that
hold four thousand, and an average over them can have another sign than the same average over the people; the same data
written as m rows of zeros and ones would not have it. So such rows count by their trials, unless weights are given:
population counts replace the counts of the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.additions import addition, addition_columns
from mixedfx.design.alignment import aligned
from mixedfx.design.design import Design
from mixedfx.design.frame import column as fetch
from mixedfx.design.frame import to_pandas
from mixedfx.design.rows_used import labels_used
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError

Array = NDArray[np.float64]
WeightsLike = str | float | Sequence[float] | NDArray[np.float64] | pd.Series | pd.DataFrame | None


def counting_columns(design: Design, weights: WeightsLike) -> tuple[str, ...]:
    """Columns of new data that say what a row counts for, where they have them."""
    if weights is None:
        return addition_columns(design, "trials")
    return (weights,) if isinstance(weights, str) else ()


def read_counts(
    weights: WeightsLike,
    frame: pd.DataFrame,
    design: Design,
    names: Sequence[Any],
    labels: pd.Index | None,
    *,
    from_fit: bool,
) -> tuple[Array, tuple[str, ...]]:
    """What each of n rows counts for.

    Parameters
    ----------
    weights
        A column, one number for each row (a pandas Series by its index), one number for all, or draws (D, n) of
        uncertain weights. None: the trials of each row where the formula has ``trials(...)``, else once.
    frame
        The rows averaged over.
    design
        The design of the fit.
    names
        All columns that the rows have where they come from, for messages.
    labels
        (n,) labels of new rows; None where these have none.
    from_fit
        Whether the rows are those of the fit.

    Returns
    -------
    weights : (D, n), where D is 1 if they are certain
    notes : what a reader must know of them

    Raises
    ------
    EffectsError
        Weights that are no counts: of another shape, negative or missing.
    DataError
        A pandas Series that cannot be aligned.
    """
    n = len(frame)
    if weights is None:
        array, notes = _trials(frame, design, names, from_fit=from_fit)
        what, meaning = "numbers of trials", "Give these rows the number of people they stand for, or weights=."
    else:
        array, notes = _given(weights, frame, design, names, labels, from_fit=from_fit), ()
        what, meaning = "weights", "A weight is the number of people a row stands for: zero or more."
    if array.ndim != 2 or array.shape[1] != n or not len(array):
        raise EffectsError(
            f"weights have shape {np.shape(cast(Any, weights))}; the rows averaged over number {n}",
            hint=f"One number for each row, or draws of uncertain weights as an array (draws, {n}).",
        )
    bad = ~np.isfinite(array) | (array < 0)
    if bad.any():
        row = int(np.argmax(bad.any(axis=0)))
        value = array[np.argmax(bad[:, row]), row]
        raise EffectsError(
            f"{int(bad.sum())} {what} are negative, missing or infinite; the first is {value} in row {row}",
            hint=meaning,
        )
    return array, notes


def _trials(
    frame: pd.DataFrame, design: Design, names: Sequence[Any], *, from_fit: bool
) -> tuple[Array, tuple[str, ...]]:
    """(1, n) trials of the rows, where the formula has such and the rows say them; else ones."""
    once = np.ones((1, len(frame)))
    if design.trials is None:
        return once, ()
    written = next(f"trials({a.argument})" for a in design.formula.additions if a.name == "trials")
    lacking = [c for c in addition_columns(design, "trials") if not from_fit and c not in names]
    if lacking:
        return once, (f"newdata does not hold {listed(lacking)}, so that each row counts once, and not by {written}.",)
    values = design.trials if from_fit else addition(design, frame, "trials")
    note = f"Rows count by their {written}: n are rows, weight are trials. weights=1 counts each row once."
    return np.atleast_2d(np.asarray(values, dtype=float)), (note,)


def _given(
    weights: Any, frame: pd.DataFrame, design: Design, names: Sequence[Any], labels: pd.Index | None, *, from_fit: bool
) -> Array:
    """(D, n) weights that the caller gave; those of rows that the fit dropped are left out."""
    n = len(frame)
    if isinstance(weights, str):
        if weights not in frame.columns:
            raise no_such_column(weights, names, from_fit=from_fit, what="weights")
        return _numbers(fetch(frame, weights))
    if isinstance(weights, int | float | np.number):
        return np.full((1, n), float(weights))
    total = design.rows.total
    given = labels
    every = from_fit and _rows_in(weights) == total != n  # a weight for each row of the data as given
    if from_fit:
        given = design.rows.labels if every else labels_used(design)
    if isinstance(weights, pd.DataFrame):
        columns = aligned(
            pd.Series(np.arange(weights.shape[1]), weights.columns), given, total if every else n, "weights"
        )
        weights = weights.iloc[:, columns.to_numpy()]
    elif isinstance(weights, pd.Series):
        weights = aligned(weights, given, total if every else n, "weights")
    array = _numbers(weights)
    return array[:, design.rows.used] if every and array.ndim == 2 else array


def _rows_in(weights: Any) -> int:
    """How many rows some weights are for: the length of their last dimension."""
    shape = getattr(weights, "shape", None) or np.shape(weights)
    return int(shape[-1]) if len(shape) else 0


def _numbers(values: Any) -> Array:
    """(D, n) numbers; missing ones become NaN."""
    try:
        if isinstance(values, pd.Series):
            return np.atleast_2d(values.to_numpy(dtype=np.float64, na_value=np.nan))
        if hasattr(values, "columns"):  # draws of weights in a frame of any library
            values = to_pandas(values).to_numpy(dtype=np.float64, na_value=np.nan)
        return np.atleast_2d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        raise EffectsError("weights must be numbers, such as population counts") from None


def no_such_column(column: str, names: Sequence[Any], *, from_fit: bool, what: str = "by") -> EffectsError:
    """The error for a column that the rows averaged over do not have."""
    if not from_fit:
        hint = did_you_mean(column, names, all_of="Columns of newdata")
        return EffectsError(f"{what}: newdata has no column {column!r}", hint=hint)
    return EffectsError(
        f"{what}: the fit holds only the columns its formula uses, and {column!r} is not among them ({listed(names)})",
        hint=f"Pass the rows to average over, with that column: newdata=data. "
        f"{did_you_mean(column, names, all_of='Columns of the fit')}",
    )
