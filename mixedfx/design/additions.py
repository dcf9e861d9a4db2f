"""What the left side of a formula says of new rows: their trials, their known standard deviations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.expressions import Scope, columns_read, number
from mixedfx.design.frame import plain, to_pandas
from mixedfx.design.spec import refuse_missing

if TYPE_CHECKING:
    from mixedfx.design.design import Design


def addition_columns(design: Design, name: str | None = None) -> tuple[str, ...]:
    """Columns that the additions of a formula read, or one of them: ``m`` of ``k | trials(m) ~ ...``."""
    alone = replace(design.formula, response=None, additions=(), fixed="1", random=(), offsets=())
    read = (
        columns_read(replace(alone, offsets=(a.argument,)), design.spec.env, design.spec.kinds)
        for a in design.formula.additions
        if name in (None, a.name)
    )
    return tuple(dict.fromkeys(column for columns in read for column in columns))


def addition(design: Design, frame: Any, name: str) -> NDArray[np.float64] | None:
    """(m,) values of an addition on the rows of a frame that holds its columns; None where the formula has none.

    Parameters
    ----------
    design
        The design of the fit.
    frame
        New rows.
    name
        ``"trials"`` or ``"se"``.

    Raises
    ------
    DataError
        Where it cannot be evaluated, or is not a finite number in every row.
    """
    expression = next((a.argument for a in design.formula.additions if a.name == name), None)
    if expression is None:
        return None
    rows = to_pandas(frame, addition_columns(design, name))
    refuse_missing(rows)
    rows = plain(rows)
    scope = Scope.of(design.spec.env, design.spec.contrasts)
    return number(expression, rows, scope, {}, np.arange(len(rows), dtype=np.intp), name)
