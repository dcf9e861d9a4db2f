"""Marginal means and contrasts as a value: a table, tests, contrasts of what is in the table, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.labels import level_label, value_label, variable_label
from mixedfx.errors import OptionError, check_option
from mixedfx.inference.hypotheses import f_probability
from mixedfx.means import wording
from mixedfx.means.contrast_families import contrast_family
from mixedfx.means.multiplicity import Adjust
from mixedfx.means.state import MeansState, positions
from mixedfx.plots.picture import Picture
from mixedfx.results.render import Shown, SummaryContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
DEFAULT_ADJUST: Mapping[str, Adjust] = {
    "pairwise": "tukey",
    "revpairwise": "tukey",
    "trt.vs.ctrl": "mvt",
    "consec": "mvt",
}


@dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans(MeansState, Shown):
    """Marginal means, trends, or contrasts of them, of one fit.

    Its attributes are those of `mixedfx.means.state.MeansState`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"))
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
        for group in self.families:
            F, df1, df2 = self.asker.f_test(self.rows.combine(sparse.csr_array(np.eye(len(self.cells))[group])))
            found.append((df1, df2, F, f_probability(F, df1, df2) if df1 else np.nan))
        table = pd.DataFrame(found, columns=["df1", "df2", "statistic", "p_value"])
        firsts = self.cells.iloc[[group[0] for group in self.families]].loc[:, list(self.by)]
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
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"))
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
        return replace(made, adjust=made.adjustment(usual if adjust is None else adjust))

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
        response = variable_label(self.asker.fit.design.frame, self.response)
        mean = f"mean of {response}"
        names = {"emmean": mean, "response": mean, "trend": f"slope of {response}"}
        ratio = self.units is not None and self.units.ratio
        what = self.column.replace("_", " ") if ratio else names.get(self.column, "difference")
        options.setdefault("xlabel", what)
        options.setdefault("contrasts", self.quantity != "emmean")
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
        left, right = arrows(self.answer.estimate, self.families, SE, df, pairs.families, self.level)
        return (left, right) if self.units is None else (self.units.value(left), self.units.value(right))

    def summary(self) -> SummaryContent:
        """Table and notes; prints as text, shows as HTML in a notebook."""
        return self.content()

    def content(self) -> SummaryContent:
        """Table and notes."""
        return wording.content(self)


def _control(base: Any, rows: Sequence[tuple[Any, ...]], labels: Sequence[str]) -> Any:
    """Label of the mean whose levels are `base`; `base` itself where there is none."""
    wanted = tuple(map(level_label, base)) if isinstance(base, tuple) else (level_label(base),)
    return next(
        (label for row, label in zip(rows, labels, strict=True) if tuple(map(level_label, row)) == wanted), base
    )
