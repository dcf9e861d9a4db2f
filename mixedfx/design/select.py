"""Which rows of the data a design uses: missing values out, zero weights out, everything accounted for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.columns import Columns
from mixedfx.design.design import RowReport
from mixedfx.design.frame import missing, plain_columns
from mixedfx.errors import DataError, RowsDroppedWarning, outside, some_rows

Array = NDArray[np.float64]


def choose_rows(
    frame: Columns, weights: Array | None, arrays: Mapping[str, Array], na: Literal["drop", "raise"]
) -> tuple[RowReport, Array | None, Columns]:
    """Rows without missing values and with a positive weight.

    Parameters
    ----------
    frame
        The columns needed, all rows.
    weights
        (n,) or None.
    arrays
        Name -> (n,) values that the caller gave beside the frame; NaN counts as missing.
    na
        ``"drop"`` or ``"raise"``.

    Returns
    -------
    report : RowReport
    weights : (n used,) or None
    frame
        The rows used, in plain columns.

    Raises
    ------
    DataError
        Missing values where `na` is ``"raise"``; negative or infinite weights; no rows left.

    Warns
    -----
    RowsDroppedWarning
        Where rows have a weight of zero.
    """
    total = len(frame)
    masks = missing(frame.series)
    for name, values in arrays.items():
        if np.isnan(values).any():
            masks[f"{name}="] = np.isnan(values)
    for name, values in {**arrays, **({} if weights is None else {"weights": weights})}.items():
        refuse_infinite(name, values)
    if weights is not None:
        refuse_negative(weights)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    if na == "raise":
        refuse_missing(masks)
    keep = np.ones(total, dtype=bool)
    for mask in masks.values():
        keep &= ~mask
    dropped_missing = total - int(keep.sum())
    dropped_zero = 0
    if weights is not None:
        zero = keep & (weights == 0)
        dropped_zero = int(zero.sum())
        keep &= ~zero
    used = np.flatnonzero(keep) if dropped_missing or dropped_zero else np.arange(total, dtype=np.intp)
    if len(used) == 0:
        reasons = [f"{count} lack '{name}'" for name, count in counts.items()]
        reasons += [f"{dropped_zero} have a weight of zero"] if dropped_zero else []
        raise DataError(
            "the data have no rows" if total == 0 else f"no rows are left: of {total}, " + ", ".join(reasons),
            hint="Leave columns that are always missing out of the formula." if reasons and not dropped_zero else None,
        )
    if dropped_zero:
        warn_zero(dropped_zero, len(used))
    report = RowReport(total, used, counts, dropped_missing, dropped_zero)
    kept = plain_columns(frame if len(used) == total else Columns.of(frame.frame.take(used)))
    return report, None if weights is None else weights[used], kept


def warn_zero(dropped: int, remain: int) -> None:
    """Say that rows with a weight of zero were left out (`RowsDroppedWarning`)."""
    warnings.warn(
        f"{dropped} {'row has' if dropped == 1 else 'rows have'} a weight of zero and "
        f"{'is' if dropped == 1 else 'are'} left out; {remain} remain",
        RowsDroppedWarning,
        stacklevel=outside(),
    )


def refuse_missing(masks: Mapping[str, NDArray[np.bool_]], first: int = 0) -> None:
    """Refuse missing values (`DataError`): column -> rows that lack it, counted from row `first` of the data."""
    if masks:
        where = "; ".join(f"'{name}' in {some_rows(first + np.flatnonzero(mask))}" for name, mask in masks.items())
        raise DataError(f"missing values: {where} (counted from 0)", hint="Fill them in, or use na='drop'.")


def refuse_infinite(name: str, values: Array, first: int = 0) -> None:
    """Refuse infinite values (`DataError`) of rows that are counted from row `first` of the data."""
    if np.isinf(values).any():
        rows = some_rows(first + np.flatnonzero(np.isinf(values)))
        raise DataError(f"{name} is infinite in {rows} (counted from 0)")


def refuse_negative(weights: Array, first: int = 0) -> None:
    """Refuse negative weights (`DataError`) of rows that are counted from row `first` of the data."""
    if (weights < 0).any():
        raise DataError(
            f"weights are negative in {some_rows(first + np.flatnonzero(weights < 0))} (counted from 0)",
            hint="Weights are precisions: the variance of a row is sigma^2 / weight. Use zero to leave a row out.",
        )
