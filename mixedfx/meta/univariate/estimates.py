"""Formula, data and sampling variances -> what a meta-analysis is fitted to, bad variances refused by row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.build import build_design
from mixedfx.design.design import Design, RowReport
from mixedfx.design.frame import column
from mixedfx.errors import DataError, ModelError, OptionError, some_rows
from mixedfx.meta.measure import Array
from mixedfx.meta.reading import kept, moderators_refused, numbers, values
from mixedfx.meta.univariate.call import RmaCall


@dataclass(frozen=True, eq=False)
class Estimates:
    """What is fitted.

    Attributes
    ----------
    y, offset
        (k,) estimates, and what was added to their linear predictor.
    X
        (k, p) moderators.
    names
        The p columns of X.
    vi
        (k,) sampling variances.
    weights
        (k,) weights, where they were given.
    slab
        (k,) labels.
    measure
        What the estimates are, where it is known.
    call
        What they were read from; its data are a copy, which stays as it was.
    built
        The design, where it had to be built.
    """

    y: Array
    offset: Array
    X: Array
    names: tuple[str, ...]
    vi: Array
    weights: Array | None
    slab: tuple[str, ...]
    measure: str | None
    call: RmaCall
    built: Design | None = None

    @cached_property
    def design(self) -> Design:
        """Response and moderators of the rows used; it knows their sampling errors."""
        if self.built is not None:
            return self.built
        frame = self.call.data
        return _design(self.call, frame, sampling_variances(self.call, frame, frame.index), frame.index)

    def beside(self, given: Any, what: str) -> Array:
        """(k,) numbers of the rows used, from the name of a column or values for the rows of the data."""
        frame = self.call.data
        found = numbers(given, frame, frame.index, what)[self.design.rows.used]
        bad = np.flatnonzero(np.isnan(found))
        if len(bad):
            raise DataError(f"{what} is missing in {some_rows(self.design.rows.used[bad])} (counted from 0)")
        return found

    def labels_beside(self, given: Any, what: str) -> Array:
        """(k,) values of any kind of the rows used, as text; None where missing."""
        frame = self.call.data
        found = values(given, frame, frame.index, what)[self.design.rows.used]
        return np.array([None if pd.isna(value) else str(value) for value in found], dtype=object)


def read_estimates(call: RmaCall) -> Estimates:
    """Read the data of a call.

    Raises
    ------
    DataError
        Sampling variances that are not positive, or missing where `na` is "raise"; no complete rows.
    OptionError
        Neither `vi` nor `sei`, or both.
    ModelError
        Random terms in the formula.
    """
    measure = call.measure or getattr(call.data, "attrs", {}).get("measure")
    call = replace(call, data=kept(call.data))
    labels, frame = call.data.index, call.data
    variances = sampling_variances(call, frame, labels)
    alone = _means_only(call, frame)
    if alone is None:
        design = _design(call, frame, variances, labels)
        used, y, X, names, offset = design.rows.used, design.y, design.X, design.fixed_names, design.offset
    else:
        design = None
        used = np.flatnonzero(~np.isnan(alone) & ~np.isnan(variances))
        y, X, names, offset = alone[used], np.ones((len(used), 1)), ("Intercept",), np.zeros(len(used))
        if len(used) == 0 or not np.isfinite(y).all() or (call.na == "raise" and len(used) < len(alone)):
            return _refused(call, frame, variances, labels)
    weights = None if call.weights is None else _weights(call.weights, frame, labels, used)
    slab = _slab(call.slab, frame, labels, used)
    return Estimates(y, offset, X, names, variances[used], weights, slab, measure, call, design)


def _means_only(call: RmaCall, frame: pd.DataFrame) -> Array | None:
    """(n,) response of a formula ``y ~ 1`` whose y is a column of floats; None of any other, which need a design."""
    name = "yi" if call.formula is None else None
    if isinstance(call.formula, str):
        left, _, right = call.formula.partition("~")
        name = left.strip() if right.strip() == "1" else None
    if name is None or not name.isidentifier() or list(frame.columns).count(name) != 1:
        return None
    values = column(frame, name)
    return values.to_numpy() if values.dtype == np.float64 else None


def _refused(call: RmaCall, frame: pd.DataFrame, variances: Array, labels: pd.Index) -> Estimates:
    """What the design says to data that cannot be fitted: it raises."""
    design = _design(call, frame, variances, labels)
    raise DataError(f"{len(design.y)} estimates cannot be fitted")


def _design(call: RmaCall, frame: pd.DataFrame, variances: Array, labels: pd.Index) -> Design:
    """Response and moderators of the rows that lack nothing."""
    formula = "yi ~ 1" if call.formula is None else call.formula
    known = ~np.isnan(variances)
    if not known.all():
        if call.na == "raise":
            raise DataError(f"sampling variances are missing in {some_rows(np.flatnonzero(~known))} (counted from 0)")
        if not known.any():
            raise DataError("every sampling variance is missing", hint="Name the column that has them: vi= or sei=.")
    with moderators_refused():
        design = build_design(
            formula,
            frame if known.all() else frame.loc[known],
            na=call.na,
            contrasts=call.contrasts,
            env=call.env,
            sigma_free=False,
        )
    if design.random:
        raise ModelError(
            "mixedfx.rma has one random effect for each estimate, and the formula has more",
            hint="Fit groups with mixedfx.lmer(..., V=vi); of the formula here only the moderators: yi ~ x.",
        )
    if design.known_sd is not None:
        raise ModelError(
            "the formula has se(...), and mixedfx.rma takes sampling errors beside it",
            hint="Write yi ~ ... and sei='...'.",
        )
    used = np.flatnonzero(known)[design.rows.used]
    rows = design.rows
    if not known.all():
        rows = _rows(design, known, used)
    return replace(design, rows=replace(rows, labels=labels), known_sd=np.sqrt(variances[used]))


def sampling_variances(call: RmaCall, frame: pd.DataFrame, labels: pd.Index, complete: bool = False) -> Array:
    """(n,) sampling variances of the rows of the data; NaN where they are missing, which is refused if `complete`."""
    if call.vi is not None and call.sei is not None:
        raise OptionError("both vi= and sei= are given", hint="Give one of them: vi is the square of sei.")
    given, name = (call.vi, "vi") if call.vi is not None else (call.sei, "sei")
    if given is None:
        if "vi" not in frame.columns:
            raise OptionError(
                "the sampling variances are not given, and the data have no column 'vi'",
                hint="Name the column that has them: vi='...', or sei='...' for standard errors.",
            )
        given, name = "vi", "vi"
    found = numbers(given, frame, labels, name)
    bad = np.flatnonzero(~((found > 0) & np.isfinite(found)) & (complete | ~np.isnan(found)))
    if len(bad):
        what = "sampling variance" if name == "vi" else "standard error"
        raise DataError(
            f"{name} is a {what}, and {found[bad[0]]:g} in {some_rows(bad)} (counted from 0)",
            hint="It is positive and finite; correct these rows or leave them out.",
        )
    return found if name == "vi" else found**2


def _rows(design: Design, known: NDArray[np.bool_], used: NDArray[np.intp]) -> RowReport:
    lost = int((~known).sum())
    rows = design.rows
    return replace(
        rows,
        total=len(known),
        used=used,
        missing={**rows.missing, "sampling variance": lost},
        dropped_missing=rows.dropped_missing + lost,
    )


def _weights(given: Any, frame: pd.DataFrame, labels: pd.Index, used: NDArray[np.intp]) -> Array:
    found = numbers(given, frame, labels, "weights")[used]
    bad = np.flatnonzero(~((found >= 0) & np.isfinite(found)))
    if len(bad):
        raise DataError(
            f"weights are missing, negative or infinite in {some_rows(used[bad])} (counted from 0)",
            hint="Give a number from 0 for each row.",
        )
    return found


def _slab(given: Any, frame: pd.DataFrame, labels: pd.Index, used: NDArray[np.intp]) -> tuple[str, ...]:
    """Labels as text: those given, a column ``slab``, the index of the data, or the numbers of the rows."""
    if given is None and "slab" in frame.columns:
        given = "slab"
    if given is not None:
        return tuple(str(value) for value in values(given, frame, labels, "slab")[used])
    return tuple(map(str, labels[used]))
