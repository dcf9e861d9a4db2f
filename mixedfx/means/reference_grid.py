"""The reference grid: the points of predictor space at which marginal means are taken, and what each point weighs.

Every factor of the fixed part stands at all its levels, every numeric predictor at its mean (one with only two distinct
values, such as a 0/1 dummy, at both), and the grid is their crossing (Searle, Speed & Milliken 1980, The American
Statistician 34:216). Random effects are at their population mean of zero at every point. The count of a point is the
number of rows of the data that have its factor levels. Where a row stands for several trials, ``k | trials(m)``, rows
and values are counted once for each trial, as they would be were the trials rows.

Which means the data determine, `mixedfx.design.estimable` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.frame import column, kind, nearest
from mixedfx.design.functional import Functional
from mixedfx.design.labels import level_label
from mixedfx.design.terms import RandomTerms, Term
from mixedfx.errors import DataError, OptionError
from mixedfx.results.protocol import Fit

Array = NDArray[np.float64]
LARGEST = 200_000


@dataclass(frozen=True, eq=False)
class ReferenceGrid:
    """Points at which a fit is asked, one row each.

    Attributes
    ----------
    design
        The design of the fit.
    frame
        (m, .) values of the predictors; the first of `values` varies slowest.
    values
        Predictor of the fixed part -> the values it takes, in their order.
    factors
        Those that are factors, or numbers taken at their two values: what `count` distinguishes.
    coded
        Numbers that are factors by way of an expression, such as ``C(x)``.
    count
        (m,) rows of the data with the factor levels of the point; trials where rows have such.
    constant
        Mean of what ``offset=`` added in the data; offsets written in the formula are evaluated at the points.
    """

    design: Design
    frame: pd.DataFrame
    values: Mapping[str, tuple[Any, ...]]
    factors: tuple[str, ...]
    coded: frozenset[str]
    count: NDArray[np.int64]
    constant: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each predictor."""
        return tuple(len(v) for v in self.values.values())

    def rows(self, fit: Fit, frame: pd.DataFrame | None = None) -> Functional:
        """Linear predictor at the points (or at those of another frame like it), random effects zero."""
        found = fit.design_for(self.frame if frame is None else frame, "population")
        return replace(found, random=0 * found.random, offset=found.offset + self.constant)

    def with_left_sides(self) -> pd.DataFrame:
        """The points, with what left sides of random terms read beside them: numbers at their mean, else the first."""
        return _with_left_sides(self.design, self.frame, self.design.terms.random)


def reference_grid(fit: Fit, at: Mapping[str, Any] | None = None, needed: Sequence[str] = ()) -> ReferenceGrid:
    """Lay out the reference grid of a fit.

    Parameters
    ----------
    fit
        Any fit.
    at
        Predictor -> value or values that it takes instead: levels of a factor, numbers.
    needed
        Predictors that the question names; they have to be in the fixed part.

    Raises
    ------
    OptionError
        A name that is no predictor of the fixed part, or a level that the factor does not have.
    DataError
        Where the crossing has more than 200,000 points.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.means.reference_grid import reference_grid
    >>> fit = mx.lmer("math ~ race * small + gender + (1 | sch)", mx.datasets.load("star"))
    >>> grid = reference_grid(fit)
    >>> grid.values["small"], grid.shape
    ((0, 1), (2, 2, 2))
    """
    design, at = fit.design, dict(at or {})
    predictors = fixed_predictors(design)
    for name in (*needed, *at):
        if name not in predictors:
            raise OptionError(
                f"{name!r} is no predictor of the fixed part",
                hint=nearest(name, predictors) or f"Its predictors: {', '.join(predictors) or 'none'}.",
            )
    coded = _coded_as_factors(design.terms.fixed, predictors)
    values: dict[str, tuple[Any, ...]] = {}
    factors = []
    for name in predictors:
        found, factor = _values_of(column(design.frame, name), name in coded, design.trials)
        values[name] = _settled(name, found, factor, at[name]) if name in at else found
        if factor or (len(found) == 2 and name not in at):
            factors.append(name)
    size = int(np.prod([len(v) for v in values.values()], dtype=float))
    if size > LARGEST:
        widest = max(values, key=lambda name: len(values[name]))
        raise DataError(
            f"the reference grid would have {size:,} points",
            hint=f"Fix predictors with at=, for instance at={{{widest!r}: {values[widest][0]!r}}}.",
        )
    frame = _crossing(design, values)
    counts = _counts(design, frame, factors)
    given, constant = _given_offset(design, predictors)
    # Effects of random terms are set to zero, but those whose groups are among the predictors are replayed.
    replayed = [random for random in design.terms.random if set(random.grouping) <= set(frame.columns)]
    frame = _with_left_sides(design, frame, replayed).assign(**dict.fromkeys(given, 0.0))
    return ReferenceGrid(design, frame, values, tuple(factors), frozenset(coded), counts, constant)


def fixed_predictors(design: Design) -> tuple[str, ...]:
    """Columns of the data that the fixed part and the offsets of the formula read, in its order."""
    return design.terms.fixed_columns


def _coded_as_factors(terms: Iterable[Term], columns: Collection[str]) -> set[str]:
    """Columns of the data that stand in some terms as a factor by way of an expression, such as ``C(x)``."""
    variables = (v for term in terms for v in term.product if v.categorical and v.text not in columns)
    return {c for v in variables for c in v.columns}


def _values_of(values: pd.Series, coded: bool, trials: Array | None) -> tuple[tuple[Any, ...], bool]:
    """Values that a predictor takes, and whether it is a factor."""
    what = kind(values)
    if what == "category":
        return tuple(values.cat.categories), True
    distinct = sorted(pd.unique(values).tolist())
    if what != "number" or coded:
        return tuple(distinct), True
    return (tuple(distinct), False) if len(distinct) <= 2 else (_mean(values, trials), False)


def _mean(values: pd.Series, trials: Array | None) -> tuple[float]:
    """Mean over rows, or over trials where rows have such."""
    counted = trials is not None and trials.any()
    return (float(np.average(values.to_numpy(dtype=float), weights=trials)) if counted else float(values.mean()),)


def _settled(name: str, known: tuple[Any, ...], factor: bool, given: Any) -> tuple[Any, ...]:
    """Values asked for with ``at=``."""
    listed = [given] if np.ndim(given) == 0 else list(given)
    if not listed:
        raise OptionError(f"at= gives {name!r} no value", hint="Name at least one.")
    if factor:
        labels = {level_label(v): v for v in known}
        for value in listed:
            if level_label(value) not in labels:
                raise OptionError(
                    f"at= asks for {name}={value!r}, a level it does not have",
                    hint=nearest(level_label(value), labels) or f"Its levels: {', '.join(labels)}.",
                )
        return tuple(labels[level_label(value)] for value in listed)
    try:
        numbers = tuple(float(v) for v in listed)
    except (TypeError, ValueError):
        raise OptionError(f"at= asks for {name}={given!r}; {name} is a number", hint="Give numbers.") from None
    if not np.isfinite(numbers).all():
        raise OptionError(f"at= asks for {name}={given!r}, which is not finite", hint="Give finite numbers.")
    return tuple(int(v) if v.is_integer() else v for v in numbers)


def _crossing(design: Design, values: Mapping[str, tuple[Any, ...]]) -> pd.DataFrame:
    """All combinations, the first predictor slowest, each column of the type it has in the data."""
    if not values:
        return pd.DataFrame(index=pd.RangeIndex(1))
    codes = np.indices([len(v) for v in values.values()]).reshape(len(values), -1)
    columns: dict[str, Any] = {}
    for (name, levels), code in zip(values.items(), codes, strict=True):
        of_fit = column(design.frame, name)
        if isinstance(of_fit.dtype, pd.CategoricalDtype):
            columns[name] = pd.Categorical([levels[c] for c in code], dtype=of_fit.dtype)
        else:
            columns[name] = pd.Series(list(levels)).take(code).to_numpy()
    return pd.DataFrame(columns, index=pd.RangeIndex(codes.shape[1]))


def _given_offset(design: Design, predictors: Sequence[str]) -> tuple[tuple[str, ...], float]:
    """Column of what ``offset=`` gave, and the mean of that over the rows of the data."""
    name = design.spec.given_offset
    if name is None or name in predictors:  # a predictor as well: evaluated at the points like one
        return (), 0.0
    return (name,), _mean(column(design.frame, name), design.trials)[0]


def _with_left_sides(design: Design, frame: pd.DataFrame, terms: Iterable[RandomTerms]) -> pd.DataFrame:
    """Add what the left sides of random terms read: numbers at their mean, else the first value of the data."""
    extra: dict[str, Any] = {}
    for random in terms:
        read = random.left_columns
        coded = _coded_as_factors(random.left, read)
        for name in read:
            if name not in frame.columns:
                values = column(design.frame, name)
                number = kind(values) == "number" and name not in coded
                extra[name] = values.mean() if number else values.iloc[0]
    return frame.assign(**extra)


def _counts(design: Design, frame: pd.DataFrame, factors: Sequence[str]) -> NDArray[np.int64]:
    """Rows of the data that agree with each point in all factors; their trials where rows have such."""
    size = np.ones(len(design.y)) if design.trials is None else design.trials
    if not factors:
        return np.full(len(frame), size.sum(), dtype=np.int64)
    keys = list(range(len(factors)))  # not names, of which one may be that of the counts
    tally = pd.Series(size).groupby([column(design.frame, name).array for name in factors], observed=True, sort=False)
    known = cast(pd.Series, tally.sum()).to_frame().reset_index().set_axis([*keys, "count"], axis=1)
    found = frame.loc[:, list(factors)].set_axis(keys, axis=1).merge(known, on=keys, how="left", sort=False)["count"]
    return found.fillna(0).to_numpy(dtype=np.int64)
