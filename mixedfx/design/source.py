"""What is read of the data: the columns that the formulas name, before any row is chosen.

The header decides what ``.`` stands for and which names are columns; then the columns are fetched, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import row_labels
from mixedfx.design.columns import Columns
from mixedfx.design.dispersion import dispersion_formula
from mixedfx.design.expressions import columns_read
from mixedfx.design.frame import column_names, fetch, opened
from mixedfx.design.precision import variances_given
from mixedfx.errors import FormulaError, ModelError
from mixedfx.formula.mixed_formula import MixedFormula


@dataclass(frozen=True)
class Source:
    """The data as far as a model reads them.

    Attributes
    ----------
    formula
        The formula, ``.`` expanded.
    spread
        Formula of the residual standard deviations; None where there is none.
    columns
        The columns that are read, all rows.
    used
        Names of those that the formulas read.
    names
        Every column of the data.
    labels
        Labels of the rows, for values that are given beside the data.
    variances
        Known variances of the errors of all rows, where they are given beside the data.
    """

    formula: MixedFormula
    spread: MixedFormula | None
    columns: Columns
    used: tuple[str, ...]
    names: tuple[Any, ...]
    labels: pd.Index | None
    variances: NDArray[np.float64] | None = None


def read_source(
    formula: str | MixedFormula, data: Any, env: Mapping[str, Any], beside: tuple[Any, ...], dispersion: Any,
    V: Any = None,
) -> Source:  # fmt: skip
    """Fetch the columns that the formulas read, and those of `beside` that are names of columns.

    Raises
    ------
    FormulaError, UnsafeFormulaError
        As `mixedfx.design.build.build_design` says.
    DataError
        Unknown or unusable columns.
    ModelError
        `dispersion` beside known sampling errors.
    """
    from mixedfx.formula.parse import expand_dot, parse_formula

    labels, data = row_labels(data), opened(data)
    names = column_names(data)
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    parsed = expand_dot(parsed, [c for c in names if isinstance(c, str)])
    if parsed.response is None:
        raise FormulaError("the formula has no response", formula=parsed.text, column=0, hint="Write y ~ ...")
    spread = None if dispersion is None else dispersion_formula(dispersion)
    if spread is not None and parsed.knows_errors:
        raise known_errors_beside_dispersion()
    used = columns_read(parsed, env, names)
    if spread is not None:
        used = tuple(dict.fromkeys([*used, *columns_read(spread, env, names)]))
    columns = fetch(data, names, [*used, *(name for name in beside if isinstance(name, str))])
    variances = None if V is None else variances_given(V, labels, len(columns))
    return Source(parsed, spread, columns, used, tuple(names), labels, variances)


def known_errors_beside_dispersion() -> ModelError:
    """The error for residual standard deviations that are modelled and known."""
    return ModelError(
        "dispersion= models residual standard deviations, and these are known sampling errors",
        hint="Leave one of them out; (1 | row) adds a variance to known errors.",
    )
