"""What is known of rows besides response and predictors: those of a fit, or new ones, as a family asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.additions import addition, addition_columns
from mixedfx.design.design import Design
from mixedfx.design.rows_used import row_weights, weights_columns
from mixedfx.errors import DataError, ModelError
from mixedfx.families.facts import RowFacts

Array = NDArray[np.float64]


def fetch(design: Design, newdata: Any, weights: Any = None) -> pd.DataFrame | None:
    """All that a prediction may read of new data, once; None for the rows of the fit."""
    if newdata is None:
        return None
    return design.spec.fetch(newdata, also=_also(design, weights))


def columns_of_zeros(design: Design) -> tuple[str, ...]:
    """Columns that the model of the zeros of counts reads; none of other models."""
    if design.zero is None:
        return ()
    terms = design.zero.terms
    random = (c for term in terms.random for c in (*term.left_columns, *term.grouping))
    return tuple(dict.fromkeys([*terms.fixed_columns, *random]))


def _also(design: Design, weights: Any) -> tuple[str, ...]:
    return (*addition_columns(design), *weights_columns(design, weights), *columns_of_zeros(design))


def _refuse_known_covariance(design: Design, frame: pd.DataFrame | None) -> None:
    if design.known_covariance is not None:
        raise ModelError(
            "V= says that errors of rows are correlated, so that no row has a density, or a new response, of its own",
            hint='Means are known: predict(kind="response"), mx.effects; mx.lmer(..., V=) simulates errors together.',
        )
    if frame is not None and design.known_sd is not None and not design.formula.knows_errors:
        raise ModelError(
            "V= says what the errors of the rows of the fit are, and nothing of those of new rows",
            hint="Fit y | se(s) ~ ..., with s a column of the new data too.",
        )


def row_facts(design: Design, frame: pd.DataFrame | None = None, weights: Any = None, labels: Any = None) -> RowFacts:
    """Trials, weights and known standard deviations of the rows of the fit, or of new rows.

    Parameters
    ----------
    design
        The design of the fit.
    frame
        New rows, as `fetch` gives them; those of the fit where None.
    weights, labels
        Precision weights of the rows and labels of these, as `mixedfx.design.rows_used` has them.

    Raises
    ------
    DataError
        New data without a column that the left side of the formula needs; weights that are none.
    ModelError
        Sampling errors that are correlated, which no row has for itself; those of new rows beside ``V=``.

    Warns
    -----
    UnweightedRowsWarning
        Where the fit has weights, and nothing says those of the new rows.
    """
    _refuse_known_covariance(design, frame)
    used = used_weights(design, frame, weights, labels)
    if frame is None:
        return RowFacts(design.trials, used, design.known_sd)
    for name in ("trials", "se"):
        lacking = [column for column in addition_columns(design, name) if column not in frame.columns]
        if lacking:
            expression = next(a.argument for a in design.formula.additions if a.name == name)
            raise DataError(
                f"new responses need {name}({expression}), and the new data have no column '{lacking[0]}'",
                hint="Add the column, or ask for kind='response'.",
            )
    return RowFacts(addition(design, frame, "trials"), used, addition(design, frame, "se"))


def used_weights(
    design: Design, frame: pd.DataFrame | None, weights: Any = None, labels: pd.Index | None = None
) -> Array | None:
    """Precision weights of the rows to predict, as `row_facts` has them; None where all are 1."""
    if design.weights is None and weights is None:
        return None
    return row_weights(design, frame, weights, labels, len(design.y) if frame is None else len(frame))
