"""The design: everything a fitter receives, and nothing about how it was written.

The columns of Z are never laid out densely. A `RandomTerm` holds, for each row, the code of its level and the values of
its covariates; the random effects u of the whole model are ordered by term, then level, then column of the term:
effect (term t, level j, column c) has index ``starts[t] + j * k_t + c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.covariance.structures import Structure, structure_for
from mixedfx.design.columns import Columns
from mixedfx.design.precision import Correlated, Independent, RowPrecision
from mixedfx.design.unheld import BatchedRows
from mixedfx.formula.mixed_formula import MixedFormula

if TYPE_CHECKING:
    from mixedfx.design.dispersion import Dispersion
    from mixedfx.design.spec import DesignSpec
    from mixedfx.design.terms import Terms


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One random-effects term: q levels, k columns.

    Attributes
    ----------
    label
        Name of the grouping factor, ``"school"`` or ``"race:gender"``.
    columns
        Names of the k columns, ``("Intercept", "small")``.
    levels
        The q observed levels as text, joined with ``:`` for interactions.
    codes
        (n,) level of each row, 0 to q - 1.
    z
        (n, k) covariates, C-contiguous float64.
    structure
        Name of the structure of their covariance (`mixedfx.covariance.structures`).
    shared
        Name of what all columns share, such as one standard deviation.
    relation
        (q, q) known correlations of the levels; None where they are independent.
    counts
        (q,) rows of each level, where the rows are not held; else None.
    """

    label: str
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    codes: NDArray[np.intp]
    z: NDArray[np.float64]
    structure: str = "us"
    shared: str = "all"
    relation: NDArray[np.float64] | None = None
    counts: NDArray[np.int64] | None = None

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(q,) rows of each level."""
        return np.bincount(self.codes, minlength=self.n_levels) if self.counts is None else self.counts

    @cached_property
    def covariance(self) -> Structure:
        """The covariance structure of the effects of a level."""
        return structure_for(len(self.columns), self.structure)

    @cached_property
    def mixing(self) -> NDArray[np.float64] | None:
        """(q, q) lower factor of the known correlations of the levels."""
        return None if self.relation is None else np.asarray(np.linalg.cholesky(self.relation), dtype=np.float64)

    def related(self, independent: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., q, k) effects with the known correlations of the levels, from (..., q, k) independent ones."""
        return independent if self.mixing is None else np.einsum("ij,...jk->...ik", self.mixing, independent)

    @property
    def correlated(self) -> bool:
        """Whether every two columns have a correlation of their own."""
        return self.covariance.free

    @property
    def n_levels(self) -> int:
        """Number of levels q."""
        return len(self.levels)

    @property
    def n_columns(self) -> int:
        """Number of columns k."""
        return len(self.columns)


@dataclass(frozen=True)
class RowReport:
    """Which rows of the data the design uses, and why others were left out.

    Attributes
    ----------
    total
        Rows in the data as given.
    used
        (n,) zero-based positions of the rows kept.
    missing
        Column name -> number of rows in which it was missing (a row may count for several columns).
    dropped_missing
        Rows dropped because something was missing.
    dropped_zero_weight
        Rows dropped because their weight was zero.
    labels
        (total,) index of the data as given; None where they were no pandas frame.
    """

    total: int
    used: NDArray[np.intp]
    missing: Mapping[str, int] = field(default_factory=dict)
    dropped_missing: int = 0
    dropped_zero_weight: int = 0
    labels: pd.Index | None = None


@dataclass(frozen=True, eq=False)
class Design:
    """Response, fixed-effects matrix and random terms of one formula on one data frame.

    Attributes
    ----------
    formula
        The parsed formula, ``.`` already expanded.
    y
        (n,) response after transforms, offset not subtracted.
    X
        (n, p) fixed-effects matrix of full column rank.
    fixed_names
        Labels of the p columns: ``Intercept``, ``small``, ``race[White]``, ``small:race[White]``.
    random
        The random terms, in the order of the formula.
    weights
        (n,) positive precision weights (var = sigma^2 / w), or None.
    offset
        (n,) offset, zeros where there is none.
    columns
        The columns of the data that the formula and ``offset=`` use, rows as in `y`; their index is the data's own row
        position. `frame` has them as a pandas frame, which is made when it is asked for.
    spec
        What replays the same design on new data.
    rows
        Rows used and dropped.
    aliased
        Labels of the columns dropped because they are linear combinations of others.
    known_sd
        (n,) known sampling standard deviations (``y | se(s) ~ ...``), or None.
    known_covariance
        (n, n) sparse known covariance of the rows' sampling errors, or None.
    dispersion
        How residual standard deviations depend on covariates; None where they do not.
    scale
        What was said of the factor of the residual standard deviations: a number, ``"estimate"``, or nothing.
    response_name
        The response as written.
    trials
        (n,) numbers of trials (``k | trials(m) ~ ...``), or None.
    categories
        Levels of a response that is a category; `y` then holds their codes 0 to K - 1. None for a numeric response.
    zero
        Of counts with a model of their zeros, which has a linear predictor of its own, the design of that in the
        same rows; None of other models.
    streamed
        What reads the rows in batches, where they are not held; None where they are.
    stands_for
        (m,) rows that each row of `frame` stands for, where it holds distinct ones instead; else None.
    """

    formula: MixedFormula
    y: NDArray[np.float64]
    X: NDArray[np.float64]
    fixed_names: tuple[str, ...]
    random: tuple[RandomTerm, ...]
    weights: NDArray[np.float64] | None
    offset: NDArray[np.float64]
    columns: Columns
    spec: DesignSpec
    rows: RowReport
    aliased: tuple[str, ...] = ()
    known_sd: NDArray[np.float64] | None = None
    response_name: str = "y"
    trials: NDArray[np.float64] | None = None
    categories: tuple[str, ...] | None = None
    known_covariance: sparse.csr_array | None = None
    scale: float | Literal["estimate"] | None = None
    dispersion: Dispersion | None = None
    zero: Design | None = None
    streamed: BatchedRows | None = None
    stands_for: NDArray[np.int64] | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The columns of the data that are used, rows as in `y`."""
        return self.columns.frame

    def of_predictors(self, count: int) -> tuple[Design, ...]:
        """The design of each of `count` linear predictors: one for all, or that of counts and that of zeros."""
        return (self,) * count if self.zero is None else (self, self.zero)

    @property
    def held(self) -> bool:
        """Whether the rows are in memory."""
        return self.streamed is None

    @property
    def has_offset(self) -> bool:
        """Whether there is an offset that is not zero in every row."""
        return bool(np.any(self.offset != 0)) if self.streamed is None else self.streamed.facts.offset

    @property
    def sigma(self) -> float | None:
        """The factor of the residual standard deviations where it is known, None where it is estimated.

        Beside known sampling errors it is one, unless something else was said.
        """
        if self.scale is None:
            return 1.0 if self.knows_errors else None
        return None if self.scale == "estimate" else float(self.scale)

    @cached_property
    def precision(self) -> RowPrecision:
        """What is known of the rows' residuals."""
        if self.known_covariance is not None:
            return Correlated(self.known_covariance)
        weights = self.weights if self.known_sd is None else self.known_sd**-2.0
        if self.dispersion is not None:
            own = np.exp(-2.0 * self.dispersion.log_sd)
            weights = own if weights is None else weights * own
        return Independent(len(self.y), weights)

    @property
    def knows_errors(self) -> bool:
        """Whether standard deviations of rows, or their covariance, are known sampling errors."""
        return self.known_sd is not None or self.known_covariance is not None

    @property
    def terms(self) -> Terms:
        """Each term with its text, the columns of the data that it reads and the coefficients that it owns."""
        return self.spec.terms

    @property
    def dropped(self) -> NDArray[np.intp]:
        """Positions, among all columns of the fixed part, of those dropped as linear combinations of others.

        The intercept of an ordinal response is none of them, as thresholds stand for it.
        """
        return np.flatnonzero(np.isin(self.spec.fixed.columns, self.aliased))

    @property
    def n_random(self) -> int:
        """Total number of random effects q."""
        return sum(t.n_levels * t.n_columns for t in self.random)

    @property
    def starts(self) -> NDArray[np.intp]:
        """(terms + 1,) first index of each term's effects in u; the last entry is q."""
        sizes = [t.n_levels * t.n_columns for t in self.random]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)]).astype(np.intp)

    def __repr__(self) -> str:
        lines = [f"Design of {self.formula.text}", _rows_line(self.rows)]
        return "\n".join([*lines, *(f"{name}: {value}" for name, value in _entries(self))])

    def _repr_html_(self) -> str:
        rows = [("rows", _rows_line(self.rows)), *_entries(self)]
        body = "".join(f"<tr><th style='text-align:left'>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in rows)
        return f"<p>Design of <code>{escape(self.formula.text)}</code></p><table>{body}</table>"


_SHOWN = 12  # names of columns


def _entries(design: Design) -> list[tuple[str, str]]:
    """What a design shows of itself, line by line."""
    names = design.fixed_names
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    entries = []
    if design.categories is not None:
        entries.append((f"response ({len(design.categories)} categories)", ", ".join(design.categories[:_SHOWN])))
    if design.trials is not None:
        entries.append(("trials", f"{design.trials.min():g} to {design.trials.max():g}"))
    entries.append((f"fixed effects ({len(names)})", listed or "none"))
    if design.aliased:
        entries.append(("dropped as linearly dependent", ", ".join(design.aliased)))
    for term in design.random:
        columns = ", ".join(term.columns[:_SHOWN]) + (", ..." if term.n_columns > _SHOWN else "")
        covariance = term.covariance
        plain = "correlated" if covariance.free else "uncorrelated"  # as bars say it
        structure = "" if term.n_columns == 1 else f" ({term.structure if covariance.entries is None else plain})"
        entries.append((f"random effects by {term.label} ({term.n_levels} levels)", columns + structure))
    if design.weights is not None:
        entries.append(("weights", f"{design.weights.min():g} to {design.weights.max():g}"))
    if design.has_offset:
        entries.append(("offset", f"{design.offset.min():g} to {design.offset.max():g}"))
    if design.known_sd is not None:
        entries.append(("known standard deviations", f"{design.known_sd.min():g} to {design.known_sd.max():g}"))
    return entries


def _rows_line(rows: RowReport) -> str:
    """How many rows are used, and why others are not."""
    used = len(rows.used)
    if used == rows.total:
        return f"{used} {'row' if used == 1 else 'rows'}"
    reasons = []
    if rows.dropped_missing:
        columns = ", ".join(f"{name} {count}" for name, count in rows.missing.items())
        reasons.append(f"{rows.dropped_missing} dropped for missing values ({columns})")
    if rows.dropped_zero_weight:
        reasons.append(f"{rows.dropped_zero_weight} dropped for a weight of zero")
    return f"{used} of {rows.total} rows: " + ", ".join(reasons)
