"""Joint knowledge about the numbers of a table: exactly, or as draws.

`Exact` holds linear functionals of (beta, u) and asks the fit, so that means and covariances are exact where those of
the fit are. `Drawn` holds joint draws. `Monotone` holds a monotone function of either, whose intervals and
probabilities are those of its argument. All answer the same questions, and all are combined linearly with their
joint distribution kept: a contrast of two rows is one row of a matrix, never two intervals put together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.estimable import Null
from mixedfx.design.functional import Functional
from mixedfx.design.transforms import Curve, Transformation, argument_of
from mixedfx.effects.summary import inner_interval, probabilities, share_between, summarize
from mixedfx.results.protocol import Fit
from mixedfx.results.undetermined import determined

Array = NDArray[np.float64]
Matrix = NDArray[np.float64] | sparse.sparray

# Draws of a fit that makes them when asked, where nobody says how many.
DRAWS = 4000


@dataclass(frozen=True, eq=False)
class Exact:
    """Linear functionals of (beta, u), put to a fit.

    Attributes
    ----------
    fit
        The fit that answers.
    functional
        (s) rows.
    seed
        For fits that need random numbers to answer.
    """

    fit: Fit
    functional: Functional
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.functional)

    @property
    def unseen(self) -> Array:
        """(s,) share of the weight in cells the fit has no data for."""
        return self.functional.unseen

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(s,) rows that the data do not determine, whose numbers are NaN."""
        return ~self.functional.estimable

    @property
    def notes(self) -> tuple[str, ...]:
        """What the fit has to say about how it answers these rows."""
        return self.fit.apply(self.functional).notes

    def summary(self, level: float, null: float) -> pd.DataFrame:
        """(s,) estimate, sd, lower, upper, null, prob_above_null."""
        return summarize(self.fit, self.functional, level, null, self.seed)

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        return inner_interval(self.fit, self.functional, level, self.seed)

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        return probabilities(self.fit, self.functional, self.seed, greater, less)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws; those a posterior has where `n` is None, else 4,000, the same at every call."""
        estimate = determined(self.fit.apply(self.functional), self.functional)
        seed = self.seed if seed is None else seed
        if n is None and estimate.exact:
            n = DRAWS
        return estimate.draws(n, 0 if seed is None else seed)

    def combine(self, weights: Matrix) -> Exact:
        """Rows that are linear combinations of these rows, (r, s) `weights`."""
        return Exact(self.fit, self.functional.combine(weights), self.seed)

    def take(self, rows: NDArray[np.intp]) -> Exact:
        """Some of the rows, in the order given."""
        return Exact(self.fit, self.functional.take(rows), self.seed)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Joint draws.

    Attributes
    ----------
    values
        (D, s) draws.
    unseen
        (s,) share of the weight in cells the fit has no data for.
    center
        What the column `estimate` is of the draws.
    null
        What linear averages need of columns that were dropped from the fit; None where they need none. Of others the
        draws are NaN.
    """

    values: Array
    unseen: Array
    center: Literal["mean", "median"] = "mean"
    null: Null | None = None

    def __len__(self) -> int:
        return self.values.shape[1]

    @property
    def spread(self) -> bool:
        """Whether there is more than one draw; a single one is a point, about whose uncertainty nothing is known."""
        return len(self.values) > 1

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(s,) rows that the data do not determine, whose numbers are NaN."""
        unknown = np.asarray(np.isnan(self.values).any(axis=0))
        return unknown if self.null is None else unknown | ~self.null.estimable

    @cached_property
    def known(self) -> Array:
        """(D, s) draws, NaN where the data do not determine the row."""
        lost = self.lost
        return np.where(lost, np.nan, self.values) if lost.any() else self.values

    def summary(self, level: float, null: float) -> pd.DataFrame:
        """(s,) estimate, sd, lower, upper, null, prob_above_null."""
        lower, upper = self.interval(level).T
        center = self.known.mean(axis=0) if self.center == "mean" else np.median(self.known, axis=0)
        return pd.DataFrame(
            {
                "estimate": center,
                "sd": self.known.std(axis=0, ddof=1) if self.spread else np.full(len(self), np.nan),
                "lower": lower,
                "upper": upper,
                "null": null,
                "prob_above_null": self.probability(greater=null),
            }
        )

    def interval(self, level: float) -> Array:
        """(s, 2) quantiles that hold the middle `level` of the draws."""
        if not self.spread:
            return np.full((len(self), 2), np.nan)
        return np.quantile(self.known, [0.5 - level / 2, 0.5 + level / 2], axis=0).T

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) share of the draws above `greater` and below `less`."""
        low = -np.inf if greater is None else greater
        high = np.inf if less is None else less
        return share_between(self.known, low, high) if self.spread else np.full(len(self), np.nan)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws: all there are where `n` is None, else n of them chosen at random."""
        if n is None:
            return self.known
        D = len(self.values)
        return self.known[np.random.default_rng(seed).choice(D, n, replace=n > D)]

    def combine(self, weights: Matrix) -> Drawn:
        """Rows that are linear combinations of these rows, (r, s) `weights`."""
        W = sparse.csr_array(weights)
        size = np.asarray(abs(W).sum(axis=1))
        share = np.asarray(abs(W) @ self.unseen) / np.where(size > 0, size, 1.0)
        null = None if self.null is None else self.null.combine(W)
        return Drawn(np.asarray((W @ self.values.T).T), share, self.center, null)

    def take(self, rows: NDArray[np.intp]) -> Drawn:
        """Some of the rows, in the order given."""
        null = None if self.null is None else self.null.take(rows)
        return Drawn(self.values[:, rows], self.unseen[rows], self.center, null)


@dataclass(frozen=True, eq=False)
class Monotone:
    """A monotone function of other quantities, the same for all rows.

    Attributes
    ----------
    base
        (s) rows.
    curve
        Whose inverse is the function.
    """

    base: Exact | Drawn
    curve: Curve | Transformation

    def __len__(self) -> int:
        return len(self.base)

    @property
    def unseen(self) -> Array:
        """(s,) share of the weight in cells the fit has no data for."""
        return self.base.unseen

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(s,) rows that the data do not determine, whose numbers are NaN."""
        return self.base.lost

    @property
    def notes(self) -> tuple[str, ...]:
        """What the fit has to say about how it answers these rows."""
        return self.base.notes if isinstance(self.base, Exact) else ()

    def summary(self, level: float, null: float) -> pd.DataFrame:
        """(s,) estimate, sd (by the delta method), lower, upper, null, prob_above_null."""
        found = self.base.summary(level, null)
        center = found["estimate"].to_numpy()
        lower, upper = self._in_order(found[["lower", "upper"]].to_numpy())
        return found.assign(
            estimate=self.curve.inverse(center),
            sd=np.abs(self.curve.slope(center)) * found["sd"],
            lower=lower,
            upper=upper,
            prob_above_null=self.probability(greater=null),
        )

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        return np.column_stack(self._in_order(self.base.interval(level)))

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        low, high = (np.nan if v is None else self._argument(v) for v in (greater, less))
        if self.curve.falls:
            low, high = high, low
        return self.base.probability(None if np.isnan(low) else low, None if np.isnan(high) else high)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws."""
        return self.curve.inverse(self.base.draws(n, seed))

    def combine(self, weights: Matrix) -> Drawn:
        """Rows that are linear combinations of these rows, (r, s) `weights`."""
        return Drawn(self.draws(), self.unseen, "median").combine(weights)

    def take(self, rows: NDArray[np.intp]) -> Monotone:
        """Some of the rows, in the order given."""
        return Monotone(self.base.take(rows), self.curve)

    def _in_order(self, ends: Array) -> tuple[Array, Array]:
        ends = np.sort(self.curve.inverse(ends), axis=1)
        return ends[:, 0], ends[:, 1]

    def _argument(self, value: float) -> float:
        """Where the function has a value; infinite beyond all its values."""
        found = argument_of(self.curve, value)
        if not np.isnan(found):
            return found
        # Every value of the function lies on one side of this one.
        with np.errstate(all="ignore"):
            above = float(self.curve.inverse(np.array([0.0]))[0]) > value
        return -np.inf if above != self.curve.falls else np.inf


Quantities = Exact | Drawn | Monotone


def functional_of(quantities: Quantities) -> Functional | None:
    """The linear functionals that quantities are, or are a function of; None for draws."""
    if isinstance(quantities, Monotone):
        return functional_of(quantities.base)
    return quantities.functional if isinstance(quantities, Exact) else None


def null_of(quantities: Quantities) -> Null | None:
    """What quantities need of columns that were dropped from the fit."""
    if isinstance(quantities, Monotone):
        return null_of(quantities.base)
    return quantities.functional.null if isinstance(quantities, Exact) else quantities.null


def shifted(quantities: Exact | Drawn, by: float) -> Exact | Drawn:
    """The same rows with a number added to each."""
    if isinstance(quantities, Drawn):
        return replace(quantities, values=quantities.values + by)
    functional = quantities.functional
    return replace(quantities, functional=replace(functional, offset=functional.offset + by))


def stack(first: Quantities, second: Quantities) -> Quantities:
    """Put the rows of one below those of the other; both from one question, so over the same unseen levels or draws."""
    if isinstance(first, Monotone) and isinstance(second, Monotone):
        base = stack(first.base, second.base)
        assert not isinstance(base, Monotone)
        return Monotone(base, first.curve)
    if isinstance(first, Drawn) and isinstance(second, Drawn):
        values = np.concatenate([first.values, second.values], axis=1)
        null = Null.stack([first.null, second.null], [len(first), len(second)])
        return Drawn(values, np.concatenate([first.unseen, second.unseen]), first.center, null)
    if not (isinstance(first, Exact) and isinstance(second, Exact)):
        raise TypeError("exact functionals and draws cannot be stacked")
    return Exact(first.fit, first.functional.above(second.functional), first.seed)


def with_unseen(quantities: Quantities, unseen: Array) -> Quantities:
    """The same rows with other shares of unseen cells."""
    if isinstance(quantities, Drawn):
        return replace(quantities, unseen=unseen)
    if isinstance(quantities, Monotone):
        return replace(quantities, base=with_unseen(quantities.base, unseen))
    return replace(quantities, functional=replace(quantities.functional, unseen=unseen))
