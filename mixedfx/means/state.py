"""MeansState: marginal means or contrasts with their table, intervals and tests, which words and pictures read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_level, check_option
from mixedfx.means.answers import Answer, Asker, Rows
from mixedfx.means.multiplicity import Adjust, Side, adjusted_p_values, check_adjust, critical_values

if TYPE_CHECKING:
    from mixedfx.means.units import Units

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class MeansState:
    """Marginal means, trends, or contrasts of them, of one fit, with their intervals and tests.

    Attributes
    ----------
    asker
        The fit, its degrees of freedom and covariance.
    rows
        The s linear questions.
    cells
        (s, .) what each row is: levels of factors, name of a contrast.
    by
        Columns of `cells` that split the rows into families.
    quantity
        Name of the column of estimates: ``"emmean"``, ``"trend"`` or ``"estimate"``.
    level
        Probability inside the intervals.
    notes
        How the numbers came about, a sentence each.
    family
        The family of contrasts, or None for means and trends.
    means
        Number of means that a family compares.
    adjust
        How p values and intervals are adjusted within a family.
    units
        How the table reads on the scale of the response; None for that of the linear predictor.
    """

    asker: Asker
    rows: Rows
    cells: pd.DataFrame
    by: tuple[str, ...]
    quantity: str
    level: float
    notes: tuple[str, ...] = ()
    family: str | None = None
    means: int = 1
    adjust: Adjust = "none"
    units: Units | None = None

    @cached_property
    def answer(self) -> Answer:
        """Estimates, standard errors, degrees of freedom and covariance, or draws, of all rows: linear predictors."""
        return self.asker.answer(self.rows)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each mean or contrast.

        The columns of `cells`, then emmean (or trend, or estimate; response, ratio or odds_ratio on the scale of the
        response), SE, df, lower, upper and, for contrasts, statistic and p_value. Of a posterior: the posterior mean,
        sd, lower, upper (equal tails) and, for contrasts, prob_above, the probability of a positive value (of a ratio
        above 1).
        """
        table = self.confint()
        if self.family is None:
            return table
        tested = self.test()
        new = [c for c in ("statistic", "p_value", "prob_above") if c in tested]
        return table.assign(**{c: tested[c] for c in new})

    def confint(self, level: float | None = None, adjust: Adjust | None = None) -> pd.DataFrame:
        """Intervals at another level, or otherwise adjusted.

        Raises
        ------
        OptionError
            For an adjustment that does not fit the family, or any of a posterior.
        """
        level = self.level if level is None else level
        check_level(level)
        adjust = self.adjustment(adjust)
        found = self.answer
        if found.draws is not None:
            draws = found.draws if self.units is None else self.units.value(found.draws)
            lower, upper = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
            return self._table(sd=self._spread, lower=lower, upper=upper)
        half = np.full(len(self.cells), np.nan)
        for group in self.families:
            half[group] = found.SE[group] * critical_values(
                found.df[group], adjust, level, means=self.means, correlation=self._correlation(group)
            )
        ends = np.stack([found.estimate - half, found.estimate + half])
        if self.units is not None:
            ends = np.sort(np.stack([self.units.value(end) for end in ends]), axis=0)
        return self._table(SE=self._spread, df=found.df, lower=ends[0], upper=ends[1])

    def test(self, null: float | None = None, side: Side = "two-sided", adjust: Adjust | None = None) -> pd.DataFrame:
        """Test each row against a number.

        Parameters
        ----------
        null
            The value tested, in units of the estimates; where None 0, or what a linear predictor of 0 is: a ratio of 1.
        side
            ``"two-sided"``, or the alternative: ``"greater"``, ``"less"``.
        adjust
            Adjustment within each family: ``"tukey"``, ``"mvt"``, ``"holm"``, ``"bonferroni"``, ``"sidak"``,
            ``"none"``; that of the object where None.

        Returns
        -------
        DataFrame
            cells, estimate, SE, df, statistic, p_value; of a posterior estimate, sd, prob_above (the null).

        Raises
        ------
        OptionError
            For an adjustment that does not fit the family or the side, or any of a posterior.
        """
        check_option("side", side, ("two-sided", "greater", "less"))
        adjust = self.adjustment(adjust, side)
        found = self.answer
        falls = self.units is not None and self.units.curve.falls
        if self.units is not None:
            null = self.units.argument(null)
        null = 0.0 if null is None else null
        if found.draws is not None:
            beyond = found.draws < null if falls else found.draws > null
            above = np.where(np.isnan(found.estimate), np.nan, beyond.mean(axis=0))
            return self._table(sd=self._spread, prob_above=above)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (found.estimate - null) / found.SE * (-1.0 if falls else 1.0)
        p = np.full(len(t), np.nan)
        for group in self.families:
            p[group] = adjusted_p_values(
                t[group],
                found.df[group],
                adjust,
                means=self.means,
                correlation=self._correlation(group),
                side=side,
            )
        return self._table(SE=self._spread, df=found.df, statistic=t, p_value=p)

    @property
    def column(self) -> str:
        """Name of the column of estimates."""
        return self.quantity if self.units is None else self.units.quantity

    @property
    def response(self) -> str:
        """What the means are of: the response, or the variable that it is a transformation of."""
        return self.asker.fit.design.response_name if self.units is None else self.units.variable

    @property
    def _spread(self) -> Array:
        """Standard errors (by the delta method) or posterior standard deviations, in the units of the table."""
        found = self.answer
        if self.units is None:
            return found.SE
        if found.draws is not None:
            return self.units.value(found.draws).std(axis=0, ddof=1)
        return np.abs(self.units.slope(found.estimate)) * found.SE

    @cached_property
    def families(self) -> tuple[NDArray[np.intp], ...]:
        """Positions of the rows of each family, within which p values and intervals are adjusted."""
        return positions(self.cells, self.by)

    def _correlation(self, group: NDArray[np.intp]) -> Array:
        cov = self.answer.cov[np.ix_(group, group)]
        sd = np.sqrt(np.diag(cov))
        with np.errstate(divide="ignore", invalid="ignore"):
            return cov / np.outer(sd, sd)

    def adjustment(self, adjust: Adjust | None, side: Side = "two-sided") -> Adjust:
        """The adjustment asked for, or that of the object; refused where it does not fit the family or the side."""
        adjust = self.adjust if adjust is None else adjust
        check_adjust(adjust, pairwise=self.family in ("pairwise", "revpairwise"), side=side)
        if self.asker.posterior and adjust != "none":
            raise OptionError(
                f"adjust={adjust!r} is for p values; a posterior has none", hint="Leave adjust= out, or use 'none'."
            )
        return adjust

    def _table(self, **columns: Array) -> pd.DataFrame:
        estimate = self.answer.estimate if self.units is None else self.units.value(self.answer.estimate)
        values = pd.DataFrame({self.column: estimate, **columns})
        table = pd.concat([self.cells, values], axis=1)
        table.attrs["level"] = self.level
        return table


def positions(cells: pd.DataFrame, by: Sequence[str]) -> tuple[NDArray[np.intp], ...]:
    """Row positions of each combination of the columns `by`, in order of appearance."""
    if not by:
        return (np.arange(len(cells)),)
    code = cells.groupby(list(by), observed=True, sort=False).ngroup().to_numpy()
    return tuple(np.flatnonzero(code == g) for g in dict.fromkeys(code.tolist()))
