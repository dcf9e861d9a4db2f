"""Estimates of linear functionals some of which the data do not determine: NaN there, and what they are elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.estimable import Null
from mixedfx.design.functional import Functional
from mixedfx.design.labels import quoted
from mixedfx.errors import NotEstimableWarning, outside, some_rows

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Undetermined:
    """A `LinearEstimate` with NaN for the functionals that are not estimable.

    Attributes
    ----------
    found
        The estimate as the fit gives it, dropped columns counting as zero.
    known
        (s,) which functionals the data determine.
    """

    found: Any
    known: NDArray[np.bool_]

    @property
    def exact(self) -> bool:
        """Whether mean and covariance say everything, the distribution being normal."""
        return self.found.exact

    @property
    def own_intervals(self) -> bool:
        """Whether it says itself what its intervals are."""
        return self.found.own_intervals

    @property
    def functional(self) -> Functional:
        """The s rows."""
        return self.found.functional

    @property
    def notes(self) -> tuple[str, ...]:
        """Of the estimate within."""
        return self.found.notes

    @property
    def mean(self) -> Array:
        """(s,) point estimates."""
        return np.asarray(self.found.mean) + self._blank

    @property
    def cov(self) -> Array:
        """(s, s) covariance of estimate minus truth."""
        return np.asarray(self.found.cov) + self._blank[:, None] + self._blank

    @property
    def sd(self) -> Array:
        """(s,) standard errors."""
        return np.asarray(self.found.sd) + self._blank

    @property
    def variances(self) -> Array:
        """(s,) variances of estimate minus truth."""
        return np.asarray(self.found.variances) + self._blank

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws."""
        return np.asarray(self.found.draws(n, seed)) + self._blank

    def unseen_draws(self, n: int, rng: np.random.Generator) -> Array:
        """(n, s) draws of what unseen levels add to each row."""
        return self.found.unseen_draws(n, rng)

    @property
    def _blank(self) -> Array:
        return np.where(self.known, 0.0, np.nan)


@dataclass(frozen=True, eq=False)
class UndeterminedIntervals(Undetermined):
    """The same of an estimate that says itself what its intervals are."""

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        return np.asarray(self.found.interval(level)) + self._blank[:, None]

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        return np.asarray(self.found.probability(greater, less)) + self._blank


def determined(found: Any, functional: Functional) -> Any:
    """`found`, with NaN where the data do not determine a functional."""
    known = functional.estimable
    if known.all() or isinstance(found, Undetermined):
        return found
    return (UndeterminedIntervals if found.own_intervals else Undetermined)(found, known)


def needed_columns(design: Design, null: Null | None) -> tuple[str, ...]:
    """Columns dropped as aliased that some of the functionals need."""
    if null is None or design.spec.null is None:
        return ()
    needed = np.asarray(null.needed.any(axis=0))
    return tuple(name for name, part in zip(design.spec.null.names, needed, strict=True) if part)


def reason(columns: Sequence[str]) -> str:
    """Why numbers are NaN, and the way out."""
    return (
        f"the data do not determine what needs {quoted(columns)}, dropped from the fixed part as aliased: in these "
        "data a combination of other columns, as that of a cell without rows is. Leave it out of the question, or fit "
        "a fixed part without that interaction or column."
    )


def warn_rows(design: Design, null: Null | None) -> None:
    """Warn of rows whose prediction is not estimable (NotEstimableWarning)."""
    lost = np.flatnonzero(~null.estimable) if null is not None else np.empty(0, dtype=np.intp)
    if len(lost):
        warnings.warn(
            f"predictions of {some_rows(lost)} (counted from 0) are NaN: {reason(needed_columns(design, null))}",
            NotEstimableWarning,
            stacklevel=outside(),
        )
