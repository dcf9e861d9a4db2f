"""What a fit knows of its own rows: their labels, their weights; and values given later for them or for new ones."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.additions import addition, addition_columns
from mixedfx.design.alignment import aligned, per_row
from mixedfx.design.expressions import columns_read
from mixedfx.design.frame import column, nearest
from mixedfx.errors import DataError, UnweightedRowsWarning, outside

if TYPE_CHECKING:
    from mixedfx.design.design import Design


def row_index(design: Design, data: Any, n: int) -> pd.Index | None:
    """Index of n predictions: that of the rows used where `data` is None, that of a pandas frame; else None."""
    index = design.frame.index if data is None else getattr(data, "index", None)
    return index if isinstance(index, pd.Index) and len(index) == n else None


def weights_columns(design: Design, weights: Any = None) -> tuple[str, ...]:
    """Columns of new data that may say the precision of their rows: the one named, else what the fit was weighted by.

    Parameters
    ----------
    design
        The design of the fit.
    weights
        As the caller gave them: a name, values, or None.
    """
    if weights is None and design.known_sd is not None:
        return addition_columns(design, "se")
    name = design.spec.weights if weights is None else weights
    own = (name,) if isinstance(name, str) else ()
    return own if design.dispersion is None else (*own, *_dispersion_columns(design))


def labels_used(design: Design) -> pd.Index | None:
    """(n,) labels of the rows of the fit in the data they came from; None where these had none."""
    labels = design.rows.labels
    return None if labels is None else labels[design.rows.used]


def in_order(design: Design, values: Any, what: str) -> Any:
    """Values for the rows of the fit in their order: pandas by its index, anything else by position.

    The index may be that of the data, of all their rows or of those used, or the number of each row used, which fitted
    values and simulations have.

    Parameters
    ----------
    design
        The design of the fit, n rows.
    values
        A Series or frame of pandas, or anything else, which is returned as it is.
    what
        The argument, for messages.

    Raises
    ------
    DataError
        Where the index does not say which value belongs to which row.
    """
    if not isinstance(values, pd.Series | pd.DataFrame):
        return values
    n, own, positions = len(design.y), values.index, design.frame.index
    every = len(values) == design.rows.total != n
    labels = design.rows.labels if every else labels_used(design)
    if own.equals(positions if labels is None else labels) or (not every and own.equals(positions)):
        return values.iloc[design.rows.used] if every else values
    if not every and own.isin(positions).all():
        if labels is not None and own.isin(labels).all() and not labels.equals(positions):
            raise DataError(
                f"the index of {what} may be that of the data or count their rows, which stand in another order",
                hint=f"Pass {what} as an array in the order of the rows.",
            )
        labels = positions
    order = aligned(pd.Series(np.arange(len(values)), index=own), labels, design.rows.total if every else n, what)
    values = values.iloc[order.to_numpy()]
    return values.iloc[design.rows.used] if every else values


def row_weights(
    design: Design, frame: pd.DataFrame | None, weights: Any, labels: pd.Index | None, n: int
) -> NDArray[np.float64]:
    """(n,) relative precisions of the rows to predict: their weights, times what `Dispersion` says of them.

    See `_row_weights` for the arguments.
    """
    out = _row_weights(design, frame, weights, labels, n)
    if design.dispersion is None or (frame is None and weights is None):
        return out
    log_sd = design.dispersion.log_sd
    if frame is not None:
        log_sd = new_dispersion_columns(design, frame) @ design.dispersion.gamma
    return out * np.exp(-2.0 * log_sd)


def _row_weights(
    design: Design, frame: pd.DataFrame | None, weights: Any, labels: pd.Index | None, n: int
) -> NDArray[np.float64]:
    """(n,) precision weights of the rows to predict.

    Parameters
    ----------
    design
        The design of the fit.
    frame
        New rows, with the columns that `weights_columns` names where they have them; None for the rows of the fit.
    weights
        Values, or a column of the rows. None: those of the fit for its own rows; for others the column that the fit was
        weighted by where they have it, and 1 otherwise.
    labels
        (n,) labels of the new rows, to which a pandas Series is aligned; None where they have none.
    n
        Number of rows.

    Raises
    ------
    DataError
        Weights that are not n positive numbers; no sampling errors of new rows where the fit's are known.

    Warns
    -----
    UnweightedRowsWarning
        Where the fit has weights and nothing says those of the new rows.
    """
    if weights is None:
        if frame is None:
            return 1.0 / design.precision.variances
        if design.knows_errors:
            return _known_precision(design, frame)
        weights = design.spec.weights
        if weights is None or weights not in frame.columns:
            if design.weights is not None:
                _warn(weights)
            return np.ones(n)
    if isinstance(weights, str):
        rows = design.frame if frame is None else frame
        if weights not in rows.columns:
            raise DataError(f"the data have no column {weights!r} of weights", hint=nearest(weights, rows.columns))
        out = per_row(column(rows, weights), rows.index, n, "weights")
    else:
        out = per_row(weights, labels_used(design) if frame is None else labels, n, "weights")
    if not np.all(out > 0) or not np.all(np.isfinite(out)):
        raise DataError(f"weights must be {n} positive numbers, one for each row", hint="The default is 1.")
    return out


def _known_precision(design: Design, frame: pd.DataFrame) -> NDArray[np.float64]:
    """(n,) precisions of new rows of a fit with known sampling errors, from the columns of ``se(...)``.

    Raises
    ------
    DataError
        Where the fit has no ``se(...)``, or the frame no column that it reads.
    """
    needed = addition_columns(design, "se")
    lacking = [column for column in needed if column not in frame.columns]
    known = addition(design, frame, "se") if not lacking else None
    if known is None:
        what = f"they have no column '{lacking[0]}'" if lacking else "the covariance V is that of the fit's own rows"
        raise DataError(
            f"new responses need the sampling errors of their rows, and {what}",
            hint="Give weights=1 / variance, or ask for intervals of the mean: interval='confidence'.",
        )
    return known**-2.0


def _warn(name: str | None) -> None:
    lacking = "given as numbers, which belong to its own rows" if name is None else f"in a column {name!r} they lack"
    warnings.warn(
        f"the fit has precision weights, {lacking}: new rows are predicted with weight 1, a residual variance of "
        "sigma^2. Give theirs, as weights= or in that column.",
        UnweightedRowsWarning,
        stacklevel=outside(),
    )


def _dispersion_columns(design: Design) -> tuple[str, ...]:
    """Columns of data that the model of the residual standard deviation reads."""
    found = design.dispersion
    return () if found is None else tuple(columns_read(found.formula, design.spec.env, design.spec.kinds))


def new_dispersion_columns(design: Design, frame: Any) -> NDArray[np.float64]:
    """(m, k) columns of the model of the dispersion in new rows.

    Raises
    ------
    DataError, UnseenLevelError
        Rows that lack a column, or have a level that the fit has not seen.
    """
    found = design.dispersion
    assert found is not None
    alone = replace(
        design.spec, formula=found.formula, fixed=found.part, kept=found.kept, random=(), offsets=(),
        given_offset=None, offset_is_own=False, null=None,
    )  # fmt: skip
    return alone.replay(frame).X
