"""Simulated data together with the truth they were drawn from.

Every simulator describes its model twice: as formula text, for the fit under test, and as plain `Column` and `Group`
values, from which `draw` makes the response. The second description never passes through the package's own formula and
design code, so a comparison of a fit with the truth is a test of that code and not of its agreement with itself.

    y = sum_c beta_c x_c + sum over groups of sum_c u_{level, c} z_c + sigma e,    u_level ~ N(0, T T'),    e ~ N(0, 1)

T is lower triangular, so a covariance of any rank is drawn by one multiplication, without an eigendecomposition whose
signs differ between machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, UnseenLevelError


@dataclass(frozen=True)
class Column:
    """A product of numeric columns and level indicators; the empty product is the intercept.

    Attributes
    ----------
    factors
        Pairs (column name, level); the level is None for a numeric column.

    Examples
    --------
    >>> from mixedfx.datasets.simulated import Column
    >>> Column((("x1", "b"), ("z", None))).label
    'x1[b]:z'
    >>> Column(()).label
    'Intercept'
    """

    factors: tuple[tuple[str, str | None], ...] = ()

    @property
    def label(self) -> str:
        """Name of the coefficient."""
        if not self.factors:
            return "Intercept"
        return ":".join(name if level is None else f"{name}[{level}]" for name, level in self.factors)

    def values(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """(n,) values of the column in the rows of `frame`."""
        product = np.ones(len(frame))
        for name, level in self.factors:
            column = frame[name] if level is None else frame[name] == level
            product *= column.to_numpy(dtype=float)
        return product


@dataclass(frozen=True)
class Group:
    """A grouping factor whose levels have effects u ~ N(0, T T') on k columns.

    Attributes
    ----------
    factors
        The columns whose combinations are the levels: ``("x3",)`` or ``("x3", "x4")``.
    levels
        Labels of all q levels of the population, joined with ``:`` for combinations; the data need not hold them all.
    columns
        The k columns.
    factor
        (k, k) lower triangle T.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    columns: tuple[Column, ...]
    factor: NDArray[np.float64]

    @property
    def label(self) -> str:
        """Name of the grouping factor, ``"x3:x4"``."""
        return ":".join(self.factors)

    def values(self, frame: pd.DataFrame, effects: pd.DataFrame) -> NDArray[np.float64]:
        """(n,) contribution of the (q, k) `effects` to each row of `frame`."""
        codes = _codes(frame, self.factors, effects.index)
        u = effects.to_numpy()
        total = np.zeros(len(frame))
        for position, column in enumerate(self.columns):
            total += u[codes, position] * column.values(frame)
        return total


@dataclass(frozen=True)
class Truth:
    """The parameters and random effects that made a data set.

    Attributes
    ----------
    beta
        (p,) fixed effects, labelled as a fit labels them (``x1[b]:z``).
    u
        Grouping factor -> (q, k) random effects, one row for each level of the population, one column for each column.
    sigma
        Residual standard deviation.
    cov
        Grouping factor -> (k, k) covariance of the population from which `u` was drawn.
    """

    beta: pd.Series
    u: Mapping[str, pd.DataFrame]
    sigma: float
    cov: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Simulated:
    """A simulated data set, its truth, and the formula of the model that made it.

    Attributes
    ----------
    data
        The data; the response is the column ``y``.
    truth
        Fixed effects, random effects, residual standard deviation and covariances.
    formula
        The model in the package's notation.
    fixed, random
        The same model as values.
    treatment
        Name of the 0/1 treatment, or None where the data have none.
    """

    data: pd.DataFrame
    truth: Truth
    formula: str
    fixed: tuple[Column, ...]
    random: tuple[Group, ...]
    treatment: str | None = None

    def linear_predictor(self, rows: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Compute the true expected response given the random effects.

        Parameters
        ----------
        rows
            Covariates and levels, one row for each answer; the data themselves where None.

        Returns
        -------
        ndarray
            (n,) in the units of the response.

        Raises
        ------
        UnseenLevelError
            If `rows` hold a level that is not in the simulated population.
        """
        frame = self.data if rows is None else rows
        return _linear_predictor(frame, self.fixed, self.random, self.truth.beta, self.truth.u)

    def treatment_effects(self, rows: pd.DataFrame | None = None) -> pd.Series:
        """Compute the true effect of the treatment in each row: the expected response under 1 minus that under 0.

        Parameters
        ----------
        rows
            Covariates and levels, one row for each answer (the treatment need not be there); the data where None.

        Returns
        -------
        Series
            (n,) in the units of the response, with the index of the rows.

        Raises
        ------
        DataError
            If the data were simulated without a treatment.
        """
        if self.treatment is None:
            raise DataError("these data were simulated without a treatment")
        frame = self.data if rows is None else rows
        treated = self.linear_predictor(frame.assign(**{self.treatment: 1}))
        control = self.linear_predictor(frame.assign(**{self.treatment: 0}))
        return pd.Series(treated - control, index=frame.index, name="effect")

    def subgroup_effects(
        self, by: str | Sequence[str], rows: pd.DataFrame | None = None, weights: str | None = None
    ) -> pd.Series:
        """Average the true effect of the treatment over each subgroup.

        Parameters
        ----------
        by
            Column or columns whose observed combinations are the subgroups.
        rows
            The rows to average over; the data where None.
        weights
            Column of `rows` with the weight (number of people) of each row; equal weights where None.

        Returns
        -------
        Series
            The (weighted) mean of `treatment_effects` over the rows of each subgroup, indexed by `by`.

        Examples
        --------
        >>> from mixedfx.datasets.varying_effects import simulate_varying_effects
        >>> simulated = simulate_varying_effects(2, n=100, beta={"z": 1.0, "x1[a2]:z": 0.5}, seed=1)
        >>> simulated.subgroup_effects("x1").round(6).to_dict()
        {'a1': 1.0, 'a2': 1.5}
        """
        frame = self.data if rows is None else rows
        keys = [by] if isinstance(by, str) else list(by)
        weight = np.ones(len(frame)) if weights is None else frame[weights].to_numpy(dtype=float)
        effects = self.treatment_effects(frame).to_numpy()
        subgroups = frame.groupby(keys if len(keys) > 1 else keys[0], observed=True, dropna=False)
        codes = subgroups.ngroup().to_numpy()
        means = np.bincount(codes, weights=weight * effects) / np.bincount(codes, weights=weight)
        return pd.Series(means, index=subgroups.size().index, name="effect")


def draw(
    frame: pd.DataFrame,
    formula: str,
    *,
    fixed: Sequence[Column],
    beta: Sequence[float] | NDArray[np.float64],
    random: Sequence[Group],
    sigma: float,
    treatment: str | None = None,
    rng: np.random.Generator,
) -> Simulated:
    """Draw random effects and the response ``y`` for given covariates.

    Parameters
    ----------
    frame
        Covariates and levels, one row for each observation.
    formula
        The model as text.
    fixed, beta
        The p columns of the fixed part and their coefficients.
    random
        The grouping factors.
    sigma
        Residual standard deviation, in the units of the response.
    treatment
        Name of the 0/1 treatment.
    rng
        Source of randomness: random effects of each group in turn, then the residuals.

    Returns
    -------
    Simulated
        The data (``y`` first, then the columns of `frame`) with their truth.

    Raises
    ------
    DataError
        If `sigma` is negative.
    """
    if not sigma >= 0:
        raise DataError(f"sigma is {sigma}; a standard deviation cannot be negative", hint="Give sigma >= 0.")
    coefficients = pd.Series(np.asarray(beta, dtype=float), index=[c.label for c in fixed], name="beta")
    u: dict[str, pd.DataFrame] = {}
    cov: dict[str, pd.DataFrame] = {}
    for group in random:
        names = [c.label for c in group.columns]
        spherical = rng.standard_normal((len(group.levels), len(names)))
        u[group.label] = pd.DataFrame(spherical @ group.factor.T, index=pd.Index(group.levels), columns=names)
        cov[group.label] = pd.DataFrame(group.factor @ group.factor.T, index=names, columns=names)
    mean = _linear_predictor(frame, fixed, random, coefficients, u)
    data = frame.copy(deep=False)
    data.insert(0, "y", mean + sigma * rng.standard_normal(len(frame)))
    return Simulated(data, Truth(coefficients, u, sigma, cov), formula, tuple(fixed), tuple(random), treatment)


def level_names(prefix: str, count: int) -> tuple[str, ...]:
    """Labels whose alphabetical order is their numerical order.

    Examples
    --------
    >>> from mixedfx.datasets.simulated import level_names
    >>> level_names("g", 10)[:2]
    ('g01', 'g02')
    """
    if count < 1:
        raise DataError(f"a factor with {count} levels was asked for", hint="Give at least 1 level.")
    width = len(str(count))
    return tuple(f"{prefix}{number:0{width}d}" for number in range(1, count + 1))


def categorical(codes: NDArray[np.integer], levels: Sequence[str]) -> pd.Categorical:
    """Make a categorical column from codes 0 to q - 1 and the q labels, in the order of the labels."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(levels))


def _linear_predictor(
    frame: pd.DataFrame,
    fixed: Sequence[Column],
    random: Sequence[Group],
    beta: pd.Series,
    u: Mapping[str, pd.DataFrame],
) -> NDArray[np.float64]:
    total = np.zeros(len(frame))
    for column, coefficient in zip(fixed, beta.to_numpy(), strict=True):
        total += coefficient * column.values(frame)
    for group in random:
        total += group.values(frame, u[group.label])
    return total


def _codes(frame: pd.DataFrame, factors: tuple[str, ...], levels: pd.Index) -> NDArray[np.intp]:
    """(n,) position in `levels` of the level of each row."""
    first = frame[factors[0]]
    if len(factors) == 1 and isinstance(first.dtype, pd.CategoricalDtype) and not first.hasnans:
        # One look-up for each category and not for each row: 10^6 rows would otherwise hash 10^6 strings.
        codes = levels.get_indexer(first.cat.categories.astype(str))[first.cat.codes.to_numpy()]
    else:
        labels = first.astype(str)
        for name in factors[1:]:
            labels = labels + ":" + frame[name].astype(str)
        codes = levels.get_indexer(pd.Index(labels))
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        level = ":".join(str(frame[name].iloc[row]) for name in factors)
        raise UnseenLevelError(
            f"{':'.join(factors)} has the level {level!r}, which is not in the simulated population",
            hint=f"The levels are {levels[0]!r} to {levels[-1]!r}; see truth.u[{':'.join(factors)!r}].",
        )
    return codes
