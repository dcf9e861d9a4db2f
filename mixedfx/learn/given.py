r"""effects_from: predicted effects of people, from whatever source, as a table of effects of subgroups.

Three kinds of knowledge about the n effects tau-hat_i, and what each says of an average a'tau, a >= 0 with sum 1:

* points: a'tau-hat, and nothing about its error;
* draws: the (D, n) draws averaged one by one, with whatever dependence they hold;
* standard errors s_i: errors with correlation rho between any two people have Var(a'tau-hat - a'tau) =
  rho (sum a_i s_i)^2 + (1 - rho) sum a_i^2 s_i^2, the first part common to everybody. Predictions of one learner share
  its errors, so that rho = 0 makes averages look far too certain; a standard error alone does not say what rho is.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.result import Effects
from mixedfx.effects.subgroups import ByLike
from mixedfx.effects.summary import share_between
from mixedfx.errors import DataError, DependentErrorsWarning, EffectsError, OptionError, check_seed, outside, some_rows
from mixedfx.learn.cells import effects_of_cells, find_cells
from mixedfx.learn.predicted import Cate, as_numbers, read_effects
from mixedfx.learn.trial import in_order
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Array = NDArray[np.float64]

OF_POINTS = "Effects were given as points without uncertainty: there are no intervals."
OF_DRAWS = "The spread of the draws that were given, and whatever these leave out is left out here."


def effects_from(
    cate: Any,
    data: Any,
    by: ByLike | None = None,
    subgroups: Mapping[str, str] | None = None,
    weights: Any = None,
    se: Any = None,
    draws: Any = None,
    rho: float | None = None,
    treatment: str | Mapping[str, Any] = "treatment",
    response: str = "outcome",
    level: float = 0.95,
    seed: int | None = None,
) -> Effects:
    """Average predicted effects of people, from any learner or file, over subgroups.

    Parameters
    ----------
    cate
        (n,) effects: a `Cate`, an array, or the name of a column of `data` (as in a file that grf wrote). None where
        `draws` are given.
    data
        Any frame of the n people.
    by, subgroups, level
        As in `mixedfx.effects`.
    weights
        What each row counts for: a column, or numbers.
    se
        (n,) standard errors of the effects, or a column. The table then has intervals, which need `rho`.
    draws
        (D, n) joint draws of the effects, as of a posterior or a bootstrap.
    rho
        Correlation of the errors of two people, 0 to 1, where `se` is given: 0 for errors that have nothing in common,
        1 for one error that all share. Where None, 0, with a warning.
    treatment, response
        Names, for tables and axes; ``{"coached": ["no", "yes"]}`` names the arms too, the base first.
    seed
        For draws from standard errors.

    Returns
    -------
    Effects
        With `contrast`, `prob`, `rank`, `decide`, `plot` and the others, as of a fit. Points have no intervals and no
        draws, and whatever needs these says so.

    Raises
    ------
    DataError
        Effects, standard errors or draws of another length, or NaN, by counts.
    EffectsError
        An unknown column, a subgroup without rows.
    OptionError
        Both `se` and `draws`; a `rho` that is no correlation.

    Warns
    -----
    DependentErrorsWarning
        Standard errors of averages from those of people, without a word on their correlation.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> people = pd.DataFrame({"school": ["a", "a", "b"], "tau": [0.1, 0.3, 0.5]})
    >>> mx.effects_from("tau", people, by="school").table[["school", "n", "estimate"]].values.tolist()
    [['a', 2, 0.2], ['b', 1, 0.5]]
    >>> eff = mx.effects_from(None, people, by="school", draws=np.array([[0.0, 0.2, 0.4], [0.2, 0.4, 0.6]]))
    >>> eff.table["estimate"].round(2).tolist()
    [0.2, 0.5]
    """
    check_seed(seed)
    cells, frame = find_cells(data, by, subgroups, weights)
    n, A = len(frame), cells.averaging
    if se is not None and draws is not None:
        raise OptionError("se and draws were both given", hint="Draws hold the standard errors: leave se out.")
    if rho is not None and (se is None or isinstance(rho, bool | str) or not 0 <= rho <= 1):
        what = "is no correlation from 0 to 1" if se is not None else "says something about standard errors, not given"
        raise OptionError(f"rho={rho!r} {what}", hint="Give it beside se, or leave it out.")
    notes: tuple[str, ...] = ()
    if draws is not None:
        values = _read_draws(draws, n)
        known = np.asarray((A @ values.T).T)
        estimates, covariance = known.mean(axis=0), np.atleast_2d(np.cov(known, rowvar=False))
        linear: Any = partial(DrawnEffects, known)
        told, kind = OF_DRAWS, f"{len(known):,} draws"
    else:
        if cate is None:
            raise OptionError("neither effects nor draws were given", hint="Give cate=, or draws=.")
        point = read_effects(in_order(_of_column(cate, frame), data, "cate"), n)
        estimates = np.asarray(A @ point)
        if se is None:
            covariance = np.full((len(estimates),) * 2, np.nan)
            linear, told, kind, notes = partial(Points, estimates), OF_POINTS, "points", (OF_POINTS,)
        else:
            errors = _read_errors(in_order(_of_column(se, frame), data, "se"), n)
            shared = _correlation(rho, cells.count)
            common, own = np.asarray(A @ errors), np.asarray(A.power(2) @ errors**2)
            covariance = shared * np.outer(common, common) + (1 - shared) * np.diag(own)
            linear = partial(NormalEffects, estimates, covariance)
            told = (
                f"The standard errors that were given, errors of two people correlated by {shared:g}. Whatever these "
                "leave out is left out here."
            )
            kind = "points with standard errors"
    source = cate.learner if isinstance(cate, Cate) and cate.learner else ""
    fit = ReportedFit(
        frame=cells.frame,
        response=response,
        estimates=estimates,
        covariance=covariance,
        linear=linear,
        model=f"effects of {n:,} people" + (f" by the {source}-learner" if source else ""),
        uncertainty=told,
        account=_account(n, kind, told, source),
        code=f"mx.effects_from({_written(cate)}, data",
        how=(f"Effects of {n:,} people were given as {kind}, and averaged over each subgroup by weight.",),
        direct=True,
    )
    return effects_of_cells(fit, cells, treatment, by=by, subgroups=subgroups, level=level, seed=seed, notes=notes)


@dataclass(frozen=True, eq=False)
class Points:
    """Combinations (s, C) of effects of cells that are points.

    Attributes
    ----------
    estimates
        (C,) effects of cells.
    rows
        (s, C) combinations.
    """

    estimates: Array
    rows: Array
    exact = True
    own_intervals = True
    notes = ()

    @property
    def mean(self) -> Array:
        """(s,) values."""
        return self.rows @ self.estimates

    @property
    def sd(self) -> Array:
        """(s,) NaN."""
        return np.full(len(self.rows), np.nan)

    @property
    def cov(self) -> Array:
        """(s, s) NaN."""
        return np.full((len(self.rows),) * 2, np.nan)

    def interval(self, level: float) -> Array:
        """(s, 2) NaN."""
        return np.full((len(self.rows), 2), np.nan)

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) NaN."""
        return np.full(len(self.rows), np.nan)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """Refuse: nothing is known of their errors (`EffectsError`)."""
        raise EffectsError(
            "these effects are points, of whose errors nothing is known: there are no draws of them",
            hint="Give se= or draws= to effects_from, or pool doubly robust scores: mx.pool_scores.",
        )


@dataclass(frozen=True, eq=False)
class NormalEffects:
    """Combinations (s, C) of effects of cells with normal errors.

    Attributes
    ----------
    estimates, covariance
        (C,) effects of cells, and the (C, C) covariance of their errors.
    rows
        (s, C) combinations.
    """

    estimates: Array
    covariance: Array
    rows: Array
    exact = True
    own_intervals = True
    notes = ()

    @property
    def mean(self) -> Array:
        """(s,) values."""
        return self.rows @ self.estimates

    @property
    def sd(self) -> Array:
        """(s,) standard errors."""
        return np.sqrt(np.clip(np.einsum("sc,cd,sd->s", self.rows, self.covariance, self.rows), 0.0, None))

    @property
    def cov(self) -> Array:
        """(s, s) covariance."""
        return self.rows @ self.covariance @ self.rows.T

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        half = float(special.ndtri(0.5 + level / 2)) * self.sd
        return np.column_stack([self.mean - half, self.mean + half])

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        low, high = -np.inf if greater is None else greater, np.inf if less is None else less
        mean, sd = self.mean, self.sd
        safe = np.where(sd > 0, sd, 1.0)
        inside = special.ndtr((high - mean) / safe) - special.ndtr((low - mean) / safe)
        return np.where(sd > 0, inside, (mean > low) & (mean < high))

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws, 4,000 where n is None."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        normal = np.random.default_rng(seed).standard_normal((4000 if n is None else n, len(root)))
        return (self.estimates + normal @ root.T) @ self.rows.T


@dataclass(frozen=True, eq=False)
class DrawnEffects:
    """Combinations (s, C) of effects of cells of which there are draws.

    Attributes
    ----------
    values
        (D, C) draws of cells.
    rows
        (s, C) combinations.
    """

    values: Array
    rows: Array
    exact = False
    own_intervals = True
    notes = ()

    @property
    def _drawn(self) -> Array:
        return self.values @ self.rows.T

    @property
    def mean(self) -> Array:
        """(s,) means."""
        return self._drawn.mean(axis=0)

    @property
    def sd(self) -> Array:
        """(s,) standard deviations."""
        return self._drawn.std(axis=0, ddof=1)

    @property
    def cov(self) -> Array:
        """(s, s) covariance."""
        return np.atleast_2d(np.cov(self._drawn, rowvar=False))

    def interval(self, level: float) -> Array:
        """(s, 2) quantiles."""
        return np.quantile(self._drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0).T

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) shares of draws."""
        low, high = -np.inf if greater is None else greater, np.inf if less is None else less
        return share_between(self._drawn, low, high)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) all draws, or n of them chosen at random."""
        if n is None:
            return self._drawn
        D = len(self.values)
        return self._drawn[np.random.default_rng(seed).choice(D, n, replace=n > D)]


def _of_column(given: Any, frame: pd.DataFrame) -> Any:
    if not isinstance(given, str):
        return given
    if given not in frame.columns:
        raise EffectsError(
            f"the data have no column {given!r}", hint=f"Columns of the data: {', '.join(map(str, frame.columns))}."
        )
    return frame[given].to_numpy()


def _read_draws(draws: Any, n: int) -> Array:
    values = as_numbers(draws, "draws")
    values = values[:, None] if n == 1 and values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] != n or len(values) < 2:
        raise DataError(f"draws have shape {values.shape}; there are {n} rows", hint=f"Give two or more: (draws, {n}).")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if len(bad):
        raise DataError(f"draws of {len(bad)} effects are NaN or infinite: {some_rows(bad)}")
    return values


def _read_errors(se: Any, n: int) -> Array:
    values = as_numbers(se, "standard errors")
    if values.shape != (n,):
        raise DataError(f"se has shape {values.shape}; there are {n} rows", hint="One standard error for each row.")
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        raise DataError(f"{len(bad)} standard errors are negative or NaN: {some_rows(bad)}")
    return values


def _correlation(rho: float | None, count: NDArray[np.int64]) -> float:
    """What was said of the correlation of errors, or none with a warning where it matters."""
    if rho is not None:
        return float(rho)
    if (count > 1).any():
        warnings.warn(
            "errors of different people were taken as independent (rho=0): those of one learner's predictions are not, "
            "and intervals of averages are then too narrow. Say rho=, give draws=, or pool doubly robust scores "
            "(mx.pool_scores)",
            DependentErrorsWarning,
            stacklevel=outside(),
        )
    return 0.0


def _written(cate: Any) -> str:
    return repr(cate) if isinstance(cate, str) else "None" if cate is None else "cate"


@dataclass(frozen=True, repr=False)
class _Account(Shown):
    """What was given."""

    facts: tuple[tuple[str, str], ...]

    def content(self) -> SummaryContent:
        return SummaryContent("Effects that were given", (SummaryFacts(self.facts),))


def _account(n: int, kind: str, told: str, source: str) -> Shown:
    facts = (("People", f"{n:,}"), ("Effects", kind), ("Intervals", told))
    return _Account((*facts, ("Learner", source)) if source else facts)
