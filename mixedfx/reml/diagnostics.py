"""Diagnostics of a fitted linear mixed model: what to look at before the numbers are believed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mixedfx.errors import check_flag
from mixedfx.plots.picture import Picture
from mixedfx.reml.intervals import LmerIntervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.inference.findings import CheckReport
    from mixedfx.inference.influence import Influence
    from mixedfx.pls.projection import Projection


class LmerDiagnostics(LmerIntervals):
    """How well the model describes its data."""

    @cached_property
    def projection(self) -> Projection:
        """Leverage, V^{-1}X and deletion formulas of the rows, theta at its estimate; see `mixedfx.pls.projection`."""
        from mixedfx.reml.checking import projection_of

        return projection_of(self)

    def check(self) -> CheckReport:
        """Ask everything a reviewer would ask, on one page.

        Convergence, singularity, shape of residuals and modes, variance against fitted values, predictors and groups,
        outlying groups, slopes the model leaves out, collinearity, influence. Each finding says what was seen and
        what it would change. A clean fit passes all tests about 97 times in 100.

        Returns
        -------
        CheckReport
            Prints as a page; ``.problems``, ``.table`` and ``.plot()``.

        Raises
        ------
        ModelError
            For a fit without random terms.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> report = fit.check()
        >>> report["convergence"].status, [f.check for f in report.problems]
        ('ok', [])
        """
        from mixedfx.reml.checking import check

        return check(self, self.projection, self.coefficients_without_groups())

    def influence(self, by: str | None = None, refit: bool = False) -> Influence:
        """What leaving out each row, or each group, does to the estimates.

        Parameters
        ----------
        by
            A grouping factor or column: each of its levels is left out in turn. None: each row.
        refit
            False: theta is held at its estimate; beta without the rows is then exact and needs no refit. True: theta
            and sigma are estimated anew, from a warm start, and the table holds them as well.

        Returns
        -------
        Influence
            ``.table``, ``.cooks_distance``, ``.dfbeta``, ``.dfbetas``, ``.varcorr``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.influence(by="professor").table.index[0]
        'F'
        """
        check_flag("refit", refit)
        from mixedfx.reml.checking import influence_of

        return influence_of(self, self.projection, by, refit)

    def leverage(self) -> pd.Series:
        """(n,) diagonal of the matrix that turns the response into the fitted values, theta held fixed."""
        return pd.Series(self.projection.leverage.copy(), index=self.design.frame.index, name="leverage")

    def cooks_distance(self, by: str | None = None) -> pd.Series:
        """Cook's distance of each row or of each level of `by`; see `influence`."""
        return self.influence(by).cooks_distance

    def dfbetas(self, by: str | None = None) -> pd.DataFrame:
        """Change of each coefficient, in standard errors, by each row or level of `by`; see `influence`."""
        return self.influence(by).dfbetas

    def least_confounded(self) -> pd.DataFrame:
        """Uncorrelated residuals, those with least of the random effects in them first: residual, confounded.

        For plots of normality that the random effects do not blur (Hilden-Minton 1995). At most 5,000 rows.
        """
        from mixedfx.reml.checking import least_confounded

        return least_confounded(self.projection, self.sigma)

    def r2(self, by: Literal["level", "term"] | None = None) -> pd.DataFrame:
        """Share of the variance of a row that the model explains; see `mixedfx.inference.variance_explained`.

        Parameters
        ----------
        by
            None: marginal R2 (fixed part) and conditional R2 (random effects too), in one row. ``"term"``: the variance
            of every fixed term, random term and the residual. ``"level"``: what the predictors take away from the
            variance of the residual and of each grouping factor, by a second fit without them; can be negative.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.r2().round(3)
           marginal  conditional
        0     0.097        0.323
        """
        from mixedfx.reml.variance import r2

        return r2(self.design, self.solution, by)

    def icc(self) -> pd.DataFrame:
        """Intraclass correlations and design effects, a row for each grouping factor.

        Returns
        -------
        DataFrame
            group, variance, adjusted (share of the variance the fixed part leaves), conditional (share of all),
            levels, size, design_effect.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.icc()[["group", "adjusted", "size", "design_effect"]].round(2)
               group  adjusted  size  design_effect
        0  professor      0.25  25.0           7.01
        """
        from mixedfx.reml.variance import icc

        return icc(self.design, self.solution)

    def augment(self) -> pd.DataFrame:
        """The data of the fit with broom's columns, a row for each row used.

        Returns
        -------
        DataFrame
            The columns of the formula, then .fitted, .resid, .hat (leverage), .cooksd, .fixed (X beta and offset),
            .offset, .weights, .wtres (residual times the root of the weight); see `mixedfx.reml.augment`. Of broom's
            .mu, .sqrtXwt and .sqrtrwt are left out, which for this family repeat .fitted and the root of .weights.
        """
        from mixedfx.reml.augment import augment

        return augment(self)

    def plot(self, kind: str | None = None, ax: Axes | None = None, **options: Any) -> Picture:
        """Draw the fit.

        Parameters
        ----------
        kind
            ``"residuals"``, ``"spread"`` and ``"quantiles"`` of residuals; ``"observed"`` against fitted values.
            ``"caterpillar"``: the effects of the levels of a grouping factor (options group, term, level).
            ``"slopes"``: the line of every group over a numeric predictor with random slopes, other predictors averaged
            (variable, group, groups, points). ``"fitted"``: observed against fitted values by group (group, groups).
            ``"profile"``: zeta of the parameters (parm, level, density). None: a page with all but the last two.
        ax
            Axes to draw on; new ones where None. ``"fitted"``, ``"profile"`` and the page make figures of their own.
        **options
            Of the kind, and those of its function in `mixedfx.plots`.

        Returns
        -------
        Picture
            Shows itself in a notebook; ``.save("plot.png")``, ``.ax``, ``.axes`` and ``.figure`` (matplotlib's).

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> len(fit.plot("caterpillar").ax.get_yticklabels())
        15
        """
        from mixedfx.reml.pictures import plot

        return Picture(plot(self, kind, ax, **options))
