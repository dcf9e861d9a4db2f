"""Probabilities of the arms: known or estimated, checked, and reported.

An effect can be learnt where every arm could have happened. Where a probability is near zero, the few who were in that
arm stand for many: 1 / e is their weight, and (sum of weights)^2 / sum of squared weights what they are worth in
people.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, OverlapWarning, outside, some_rows
from mixedfx.results.render import Shown, SummaryContent, SummaryTable

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

SMALL = 0.02  # a probability below which a single row counts like fifty


@dataclass(frozen=True, eq=False, repr=False)
class OverlapReport(Shown):
    """How far the probabilities of the arms overlap.

    Attributes
    ----------
    table
        One row for each arm: n; lowest, quantiles and highest probability of it among all rows; below_0.05, the share
        of rows where it is below; worth, the number of people that the n are worth when weighted by 1 / e.
    """

    table: pd.DataFrame

    def content(self) -> SummaryContent:
        """The table."""
        columns = [[_cell(value) for value in self.table[name]] for name in self.table.columns]
        header, rows = tuple(map(str, self.table.columns)), tuple(zip(*columns, strict=True))
        align = "l" + "r" * (len(header) - 1)
        return SummaryContent("Overlap of propensities", (SummaryTable("", header, rows, align),))


def overlap(e: Array, arm: Codes, arms: tuple[Hashable, ...]) -> OverlapReport:
    """Report on probabilities (n, K) of K arms.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.propensity import overlap
    >>> report = overlap(np.full((4, 2), 0.5), np.array([0, 1, 1, 0]), (0, 1))
    >>> report.table["worth"].tolist()
    [2.0, 2.0]
    """
    rows = []
    for k, label in enumerate(arms):
        weights, own = 1 / e[arm == k, k], e[:, k]
        rows.append(
            {
                "arm": label,
                "n": len(weights),
                "lowest": own.min(),
                **{f"q{int(100 * q):02d}": np.quantile(own, q) for q in (0.05, 0.5, 0.95)},
                "highest": own.max(),
                "below_0.05": (own < 0.05).mean(),
                "worth": weights.sum() ** 2 / (weights**2).sum() if len(weights) else 0.0,
            }
        )
    return OverlapReport(pd.DataFrame(rows))


def read_known(given: Any, n: int, n_arms: int) -> Array:
    """(n, K) known probabilities: one for all rows, of the second of two arms for each row, or of every arm.

    Raises
    ------
    DataError
        Another shape, probabilities that are missing, outside 0 to 1, or that do not sum to one, by counts.

    Examples
    --------
    >>> from mixedfx.learn.propensity import read_known
    >>> read_known(0.25, 2, 2)
    array([[0.75, 0.25],
           [0.75, 0.25]])
    """
    values = np.asarray(given, dtype=np.float64)
    if values.ndim == 0 and n_arms == 2:
        values = np.full(n, float(values))
    if values.ndim == 1 and n_arms == 2 and len(values) == n:
        values = np.column_stack([1 - values, values])
    elif values.ndim == 1 and n_arms > 2 and len(values) == n_arms:
        values = np.tile(values, (n, 1))
    if values.shape != (n, n_arms):
        also = "one for each row, or " if n_arms == 2 else ""
        raise DataError(
            f"propensities have shape {np.shape(given)}; there are {n} rows and {n_arms} arms",
            hint=f"Give {also}one for each row and arm: ({n}, {n_arms}).",
        )
    none = np.flatnonzero(((values < 0) | (values > 1)).any(axis=1))
    if len(none):
        raise DataError(
            f"{len(none)} known propensities are below 0 or above 1, and so no probabilities: {some_rows(none)}",
            hint="Give probabilities; percentages are divided by 100.",
        )
    odd = np.flatnonzero(~np.isfinite(values).all(axis=1) | (np.abs(values.sum(axis=1) - 1) > 1e-6))
    if len(odd):
        raise DataError(
            f"the propensities of {len(odd)} rows are missing or do not sum to one: {some_rows(odd)}",
            hint="The probabilities of all arms sum to one.",
        )
    return values


def clipped(e: Array, least: float) -> Array:
    """(n, K) probabilities that are at least `least` and sum to one.

    Those below are raised to it and the others of the row scaled down, again where one of these falls below.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.propensity import clipped
    >>> clipped(np.array([[0.0, 1.0], [0.3, 0.7]]), 0.1)
    array([[0.1, 0.9],
           [0.3, 0.7]])
    """
    low = np.zeros(e.shape, dtype=bool)
    out = e
    while ((out < least) & ~low).any():
        low |= out < least
        rest = np.where(low, 0.0, e)
        room = 1 - least * low.sum(axis=1, keepdims=True)
        scaled = rest * room / np.where(low.all(axis=1, keepdims=True), 1.0, rest.sum(axis=1, keepdims=True))
        out = np.where(low.any(axis=1, keepdims=True), np.where(low, least, scaled), e)
    return out


def checked(e: Array, arm: Codes, clip: float | None, *, known: bool) -> Array:
    """Probabilities strictly between zero and one, clipped where that was asked for.

    Raises
    ------
    DataError
        Propensities of 0 or 1, by counts: there the effect cannot be learnt from these data.
    OptionError
        A `clip` that is none.

    Warns
    -----
    OverlapWarning
        Small ones, by counts.
    """
    if clip is not None:
        if isinstance(clip, bool | str) or not 0 < clip < 1 / e.shape[1]:
            raise OptionError(f"clip={clip!r} is no small probability", hint="Use clip=0.01, say.")
        e = clipped(e, clip)
    out = np.flatnonzero(((e <= 0) | (e >= 1)).any(axis=1))
    if len(out):
        zero, one = int((e[:, 1:] <= 0).any(axis=1).sum()), int((e[:, 0] <= 0).sum())
        kind = "known" if known else "estimated"
        raise DataError(
            f"{len(out)} {kind} propensities are 0 or 1 ({zero} where an arm never happens, {one} where the control "
            f"never does): {some_rows(out)}",
            hint="Leave these rows out: they could not have been in every arm. Or give clip=0.01, a less flexible "
            "propensity model, or known propensities.",
        )
    own = e[np.arange(len(e)), arm]
    small = int((own < SMALL).sum())
    if small:
        warnings.warn(
            f"{small} rows are in an arm that had a probability below {SMALL}: the smallest is {own.min():.2g}, which "
            f"counts like {1 / own.min():.0f} rows. See .overlap; clip= bounds what one row can weigh",
            OverlapWarning,
            stacklevel=outside(),
        )
    return e


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if value < 1 else f"{value:.0f}"
