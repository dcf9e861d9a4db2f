"""Counts with a model of their zeros: two designs, one for each linear predictor, of the same rows.

A row where a column of either is missing is in neither. The design of the counts has offset, weights and whatever else
rows have; that of the zeros what its formula says.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import row_labels
from mixedfx.design.columns import Columns
from mixedfx.design.design import Design
from mixedfx.design.expressions import columns_read
from mixedfx.design.frame import column_names, opened, to_pandas
from mixedfx.design.row_facts import fetch
from mixedfx.errors import DataError, FormulaError, MixedfxWarning
from mixedfx.formula.parse import expand_dot, parse_formula

SHARED = ("family", "na", "contrasts", "env")  # arguments that hold for both
ZEROS = "zeros"  # a response that reads nothing, for formulas that have none


def two_designs(given: Mapping[str, Any], text: str) -> tuple[Design, Design]:
    """The designs of the counts and of the zeros.

    Parameters
    ----------
    given
        Arguments of `mixedfx.design.build.build_design` for the counts, by name.
    text
        Right-hand side of the model of the zeros, with its tilde.

    Raises
    ------
    DataError, FormulaError
        As `build_design` has them; no term in the model of the zeros.
    """
    given = {**given, "data": read_once(given, text)}
    count, zero = _built(given, text, given["data"], False)
    used = np.intersect1d(count.rows.used, zero.rows.used)
    if len(used) < max(len(count.y), len(zero.y)):
        count, zero = _on_common_rows(given, text, (count, zero), used)
    if not zero.X.shape[1] and not zero.random:
        raise FormulaError(
            "the model of the zeros has no term", formula=text, column=0, hint="Write zi='~ 1', or leave zi= out."
        )  # fmt: skip
    return count, zero


def read_once(given: Mapping[str, Any], text: str) -> Any:
    """The data; of a frame that is not pandas the columns that either design reads: a query is answered once."""
    data = opened(given["data"])
    if isinstance(data, pd.DataFrame):
        return given["data"]
    names, env, formula = column_names(data), given.get("env") or {}, given["formula"]
    read = {name for name in (given.get("weights"), given.get("offset")) if isinstance(name, str)}
    read |= set(columns_of(formula if isinstance(formula, str) else formula.text, names, env))
    for right in filter(None, (text, given.get("dispersion"))):
        read |= set(columns_of(f"{ZEROS} {right if isinstance(right, str) else right.text}", names, env))
    return to_pandas(data, [name for name in names if name in read])


def columns_of(formula: str, names: Sequence[Any], env: Collection[str]) -> list[str]:
    """Those of the columns named that a formula reads."""
    parsed = expand_dot(parse_formula(formula), [name for name in names if isinstance(name, str)])
    return [name for name in columns_read(parsed, env, [*names, ZEROS]) if name in names]


def of_the_same_rows(count: Design, zero: Design) -> bool:
    """Whether two designs have the same response in the same rows of the data."""
    same = count.frame.index.equals(zero.frame.index) and np.array_equal(count.rows.used, zero.rows.used)
    return same and np.array_equal(count.y, zero.y, equal_nan=True)


def data_of(count: Design, zero: Design) -> pd.DataFrame:
    """The rows used, of the columns that either design reads."""
    own, other = count.frame, zero.frame
    return pd.concat([own, other[[c for c in other.columns if c not in own.columns]]], axis=1)


def _built(given: Mapping[str, Any], text: str, data: Any, quiet: bool) -> tuple[Design, Design]:
    from mixedfx.design.build import build_design

    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore", MixedfxWarning)
        count = build_design(**{**given, "data": data})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # of the rows it was said; of columns there is no more
            both = {name: given[name] for name in SHARED if name in given}
            zero = build_design(f"{count.formula.response} {text}", data, **both)
    return count, zero


def _on_common_rows(
    given: Mapping[str, Any], text: str, found: tuple[Design, Design], used: NDArray[np.intp]
) -> tuple[Design, Design]:
    """Both designs of the rows that are complete in both, each saying which rows of the data these are."""
    for name in ("weights", "offset"):
        value = given.get(name)
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{name}= has a value for each row, and rows of one part are missing in the other",
                hint="Put the values into a column of the data, and give its name.",
            )
    frame = to_pandas(opened(given["data"])).iloc[used].reset_index(drop=True)
    both = _built(given, text, frame, True)
    if any(len(one.y) < len(used) for one in both):
        raise DataError("rows cannot be matched between both parts", hint="Drop rows with missing values before.")
    old, other = (one.rows for one in found)
    rows = replace(
        old, used=used, missing={**other.missing, **old.missing},
        dropped_missing=old.total - old.dropped_zero_weight - len(used),
    )  # fmt: skip
    count, zero = (replace(one, rows=rows, columns=Columns.of(one.frame.set_axis(used, axis=0))) for one in both)
    return count, zero


def fetched(count: Design, zero: Design, newdata: Any) -> pd.DataFrame:
    """The columns of new data that either design reads, each asked for once, under the labels of its rows."""
    frame = fetch(replace(count, zero=zero), newdata)
    assert frame is not None
    labels = row_labels(newdata)
    return frame if labels is None else frame.set_axis(labels, axis=0)
