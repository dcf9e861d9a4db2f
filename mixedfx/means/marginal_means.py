"""Marginal means and contrasts as a value: a table, tests, contrasts of what is in the table, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.labels import level_label, value_label
from mixedfx.errors import OptionError, check_level, check_option
from mixedfx.inference.hypotheses import f_probability
from mixedfx.means.answers import Answer, Asker, Rows
from mixedfx.means.contrast_families import contrast_family
from mixedfx.means.multiplicity import Adjust, Side, adjusted_p_values, check_adjust, critical_values
from mixedfx.plots.picture import Picture
from mixedfx.results.render import Shown, SummaryContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.means.units import Units

Array = NDArray[np.float64]
DEFAULT_ADJUST: Mapping[str, Adjust] = {
    "pairwise": "tukey",
    "revpairwise": "tukey",
    "trt.vs.ctrl": "mvt",
    "consec": "mvt",
}


@dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans(Shown):
    """Marginal means, trends, or contrasts of them, of one fit.

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

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> means = mx.emmeans(fit, "style")
    >>> means.table[["style", "emmean", "SE"]].round(2)
               style  emmean    SE
    0  Fully Flipped   67.19  1.65
    1   Some Flipped   64.13  1.66
    2     No Flipped   58.96  1.60
    >>> means.pairs(adjust="holm").table[["contrast", "estimate", "p_value"]].round(4)
                           contrast  estimate  p_value
    0  Fully Flipped - Some Flipped    3.0596   0.0171
    1    Fully Flipped - No Flipped    8.2291   0.0000
    2     Some Flipped - No Flipped    5.1694   0.0001
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
        adjust = self._adjustment(adjust)
        found = self.answer
        if found.draws is not None:
            draws = found.draws if self.units is None else self.units.value(found.draws)
            lower, upper = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
            return self._table(sd=self._spread, lower=lower, upper=upper)
        half = np.full(len(self.cells), np.nan)
        for group in self._families:
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
        adjust = self._adjustment(adjust, side)
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
        for group in self._families:
            p[group] = adjusted_p_values(
                t[group],
                found.df[group],
                adjust,
                means=self.means,
                correlation=self._correlation(group),
                side=side,
            )
        return self._table(SE=self._spread, df=found.df, statistic=t, p_value=p)

    def joint(self) -> pd.DataFrame:
        """F test in each group: of means or trends, that they are all equal; of contrasts, that they are all zero.

        Returns
        -------
        DataFrame
            The columns of `by`, df1, df2, statistic (F), p_value. Contrasts that cannot be estimated are left out, and
            df1 counts those that are linearly independent.

        Raises
        ------
        OptionError
            For a posterior.
        """
        if self.asker.posterior:
            raise OptionError(
                "an F test is for fits by REML or ML", hint="Look at the joint draws of the contrasts, .answer.draws."
            )
        if self.family is None:
            return self.contrast("consec", adjust="none").joint()
        found = []
        for group in self._families:
            F, df1, df2 = self.asker.f_test(self.rows.combine(sparse.csr_array(np.eye(len(self.cells))[group])))
            found.append((df1, df2, F, f_probability(F, df1, df2) if df1 else np.nan))
        table = pd.DataFrame(found, columns=["df1", "df2", "statistic", "p_value"])
        firsts = self.cells.iloc[[group[0] for group in self._families]].loc[:, list(self.by)]
        return pd.concat([firsts.reset_index(drop=True), table], axis=1)

    def pairs(self, adjust: Adjust | None = None, by: str | Sequence[str] | None = None) -> MarginalMeans:
        """All pairwise differences; Tukey's adjustment where None. See `contrast`."""
        return self.contrast("pairwise", by=by, adjust=adjust)

    def contrast(
        self,
        method: str | Mapping[str, Sequence[float]] = "pairwise",
        *,
        base: Any = None,
        by: str | Sequence[str] | None = None,
        adjust: Adjust | None = None,
    ) -> MarginalMeans:
        """Contrasts of these rows.

        Parameters
        ----------
        method
            ``"pairwise"``, ``"revpairwise"``, ``"trt.vs.ctrl"`` (against `base`), ``"consec"``, ``"eff"``, ``"poly"``
            (levels equally spaced), or a dictionary name -> coefficients, one for each mean of a group.
        base
            The control: a level, or a tuple of levels where several columns are crossed; the first where None.
        by
            Columns that split the rows into families, within which contrasts are taken and adjusted; those of the
            means where None, and no split for ``[]``.
        adjust
            ``"tukey"``, ``"mvt"``, ``"holm"``, ``"bonferroni"``, ``"sidak"``, ``"none"``. Where None: Tukey's for
            pairwise, mvt (Dunnett's) for ``"trt.vs.ctrl"`` and ``"consec"``, else none.

        Returns
        -------
        MarginalMeans
            Its table has a column contrast, and those of `by`; contrasts of it are contrasts of contrasts.

        Raises
        ------
        OptionError
            For an unknown method, column, base or adjustment, or any adjustment of a posterior.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> means = mx.emmeans(fit, "style")
        >>> means.contrast("trt.vs.ctrl", base="No Flipped").table["contrast"].tolist()
        ['Fully Flipped - No Flipped', 'Some Flipped - No Flipped']
        """
        groups = self.by if by is None else (by,) if isinstance(by, str) else tuple(by)
        for name in groups:
            check_option("by", name, tuple(self.cells.columns))
        crossed = [c for c in self.cells.columns if c not in groups]
        if not crossed:
            raise OptionError("every column is in by=, so there is nothing to compare", hint="Leave one out of by=.")
        blocks, cells = [], []
        name, taken = "contrast", set(self.cells.columns) & set(groups)
        while name in taken:
            name += ".1"
        means = 1
        ratios = self.units is not None and self.units.contrasts is not None and self.units.contrasts.ratio
        joint = " / " if ratios else " - "
        for group in positions(self.cells, groups):
            rows = list(self.cells.iloc[group][crossed].itertuples(index=False, name=None))
            labels = [", ".join(map(value_label, crossed, row)) for row in rows]
            names, K = contrast_family(method, labels, _control(base, rows, labels), joint)
            block = np.zeros((len(K), len(self.cells)))
            block[:, group] = K
            blocks.append(block)
            first = self.cells.iloc[group[0]]
            cells.append(pd.DataFrame({name: names, **{c: [first[c]] * len(K) for c in groups}}))
            means = len(group)
        family = method if isinstance(method, str) else "custom"
        frame = pd.concat(cells, ignore_index=True)
        for c in groups:
            frame[c] = frame[c].astype(self.cells[c].dtype)
        K = sparse.csr_array(np.concatenate(blocks))
        units = None if self.units is None else self.units.of_contrasts(K)
        notes = self.notes
        if self.units is not None and units is None:
            notes = (*notes, "contrasts are on the scale of the linear predictor: they do not pass through an inverse")
        made = replace(
            self,
            rows=self.rows.combine(K),
            cells=frame,
            by=groups,
            quantity="estimate",
            notes=notes,
            family=family,
            means=means,
            adjust="none",
            units=units,
        )
        usual = "none" if self.asker.posterior else DEFAULT_ADJUST.get(family, "none")
        return replace(made, adjust=made._adjustment(usual if adjust is None else adjust))

    def plot(self, comparisons: bool = False, ax: Axes | None = None, **options: Any) -> Picture:
        """Draw the table: a point and an interval for each row; see `mixedfx.plots.marginal_means`.

        Parameters
        ----------
        comparisons
            For means: also an arrow each, such that two means differ at the level of the intervals (Tukey's adjustment
            within a group) exactly where their arrows do not overlap.
        ax
            Axes to draw on; new ones where None.
        **options
            Passed to `mixedfx.plots.marginal_means.marginal_means`.
        """
        from mixedfx.plots.marginal_means import marginal_means

        table = self.table.rename(columns={self.column: "estimate"})
        if comparisons:
            left, right = self._arrows()
            table = table.assign(arrow_left=left, arrow_right=right)
        mean = f"mean of {self.response}"
        names = {"emmean": mean, "response": mean, "trend": f"slope of {self.response}"}
        ratio = self.units is not None and self.units.ratio
        what = self.column.replace("_", " ") if ratio else names.get(self.column, "difference")
        options.setdefault("xlabel", what)
        options.setdefault("null", None if self.quantity == "emmean" else 1.0 if ratio else 0.0)
        return Picture(marginal_means(table, list(self.cells.columns), self.by, level=self.level, ax=ax, **options))

    def _arrows(self) -> tuple[Array, Array]:
        """Ends of the comparison arrows in the units of the table; see `mixedfx.means.comparison_arrows`."""
        from mixedfx.means.comparison_arrows import arrows

        if self.family is not None or self.asker.posterior:
            raise OptionError(
                "comparison arrows are for marginal means of fits by REML or ML",
                hint="Draw the pairwise differences: means.pairs().plot().",
            )
        pairs = self.contrast("pairwise", adjust="tukey")
        SE, df = pairs.answer.SE, pairs.answer.df
        left, right = arrows(self.answer.estimate, self._families, SE, df, pairs._families, self.level)
        return (left, right) if self.units is None else (self.units.value(left), self.units.value(right))

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
    def _families(self) -> tuple[NDArray[np.intp], ...]:
        return positions(self.cells, self.by)

    def _correlation(self, group: NDArray[np.intp]) -> Array:
        cov = self.answer.cov[np.ix_(group, group)]
        sd = np.sqrt(np.diag(cov))
        with np.errstate(divide="ignore", invalid="ignore"):
            return cov / np.outer(sd, sd)

    def _adjustment(self, adjust: Adjust | None, side: Side = "two-sided") -> Adjust:
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

    def summary(self) -> SummaryContent:
        """Table and notes; prints as text, shows as HTML in a notebook."""
        return self.content()

    def content(self) -> SummaryContent:
        """Table and notes."""
        from mixedfx.means.wording import content

        return content(self)


def _control(base: Any, rows: Sequence[tuple[Any, ...]], labels: Sequence[str]) -> Any:
    """Label of the mean whose levels are `base`; `base` itself where there is none."""
    wanted = tuple(map(level_label, base)) if isinstance(base, tuple) else (level_label(base),)
    return next(
        (label for row, label in zip(rows, labels, strict=True) if tuple(map(level_label, row)) == wanted), base
    )


def positions(cells: pd.DataFrame, by: Sequence[str]) -> tuple[NDArray[np.intp], ...]:
    """Row positions of each combination of the columns `by`, in order of appearance."""
    if not by:
        return (np.arange(len(cells)),)
    code = cells.groupby(list(by), observed=True, sort=False).ngroup().to_numpy()
    return tuple(np.flatnonzero(code == g) for g in dict.fromkeys(code.tolist()))
