"""What is asked of a generalised linear mixed model to criticise it: residuals, tests, influence, variance, pictures.

Methods are one line each; the work is done in files by subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mixedfx.glmm import checking, influence, pictures, simulated, variance
from mixedfx.glmm.state import GlmerState
from mixedfx.plots.picture import Picture
from mixedfx.progress import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.inference.findings import CheckReport
    from mixedfx.inference.influence import Influence
    from mixedfx.inference.simulated_test import SimulatedTest
    from mixedfx.pls.projection import Projection


@dataclass(frozen=True, eq=False, repr=False)
class GlmerCriticism(GlmerState):
    """A `GlmerState` that can be criticised; `GlmerFit` is one."""

    @cached_property
    def projection(self) -> Projection:
        """Rows of the fit as its working linear model sees them; see `mixedfx.glmm.influence`.

        Raises
        ------
        ModelError
            For a fit without random terms.
        """
        return influence.projection_of(self.design, self.solution)

    def quantile_residuals(
        self,
        n: int = 250,
        seed: int | None = None,
        groups: Literal["drawn", "new", "fitted"] = "drawn",
        scale: Literal["normal", "uniform"] = "normal",
    ) -> pd.Series:
        """Randomised quantile residuals: where each response stands among responses simulated from the fit.

        If the model holds they are standard normal (or uniform), whatever the family, counts and yes/no answers too;
        see `mixedfx.inference.quantile_residuals`.

        Parameters
        ----------
        n
            Number of simulated responses.
        seed
            Seed of the random numbers.
        groups
            Effects of the groups in these simulations. ``"drawn"``: one draw from what is known of them, with which
            residuals of a right model are independent and uniform. ``"new"``: new ones in each simulation; rows of a
            group then have similar residuals, and what goes wrong within groups is hardly seen. ``"fitted"``: their
            modes, which follow the data, so that residuals vary a little less than they should.
        scale
            ``"normal"``: normal scores. ``"uniform"``: between 0 and 1.

        Returns
        -------
        Series
            (n,) residuals; the index is the row's position in the data.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> residuals = fit.quantile_residuals(seed=1)
        >>> bool(0.9 < residuals.std() < 1.1)
        True
        """
        values = simulated.quantile_residuals(self.design, self.solution, n, seed, groups, scale)[0]
        return pd.Series(values, index=self.design.frame.index, name="residual")

    def dispersion_test(self, n: int = 250, seed: int | None = None, progress: Asked = None) -> SimulatedTest:
        """Whether responses vary as much about their means as the family says.

        The sum of squared Pearson residuals about the modes against those of `n` simulated responses, their modes found
        anew: unlike the sum over rows less parameters it is not biased by how much the modes follow the data.

        Parameters
        ----------
        n, seed
            Simulated responses, and the seed of the random numbers.
        progress
            As in `bootstrap`.

        Returns
        -------
        SimulatedTest
            ``ratio`` (above one: overdispersion), ``p_value`` (two-sided), ``p_greater``, ``p_less``.

        Raises
        ------
        ModelError
            For yes/no responses, of which nothing can be tested.

        Examples
        --------
        Counts with more variation than Poisson's:

        >>> import numpy as np
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> rng = np.random.default_rng(1)
        >>> group = np.repeat(np.arange(20), 10)
        >>> counts = rng.negative_binomial(2, 0.3, 200)
        >>> data = pd.DataFrame({"count": counts, "group": group.astype(str)})
        >>> found = mx.glmer("count ~ 1 + (1 | group)", data, family="poisson").dispersion_test(100, seed=1)
        >>> bool(found.ratio > 2), bool(found.p_value < 0.03)
        (True, True)
        """
        return simulated.dispersion_test(self.design, self.solution, n, seed, progress)

    def zero_inflation_test(self, n: int = 250, seed: int | None = None) -> SimulatedTest:
        """Whether there are as many zeros as the model says: their number against that of `n` simulated responses.

        Parameters
        ----------
        n, seed
            Simulated responses, groups with new effects, and the seed of the random numbers.

        Returns
        -------
        SimulatedTest
            ``ratio`` (above one: more zeros), ``p_value`` (two-sided), ``p_greater``, ``p_less``.

        Raises
        ------
        ModelError
            For responses that are no counts.
        """
        return simulated.zero_inflation_test(self.design, self.solution, n, seed)

    def influence(self, by: str | None = None, refit: bool = False, progress: Asked = None) -> Influence:
        """What leaving out each row, or each group, does to the estimates.

        Parameters
        ----------
        by
            A grouping factor or column: each of its levels is left out in turn. None: each row.
        refit
            False: one Newton step without the rows, theta held (`mixedfx.glmm.influence`). True: everything is
            estimated anew, and the table holds the standard deviations of the random effects as well.
        progress
            Of the refits, as in `bootstrap`.

        Returns
        -------
        Influence
            ``.table``, ``.cooks_distance``, ``.dfbeta``, ``.dfbetas``, ``.varcorr``; in standard errors given theta.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> fit.influence(by="professor").dfbetas.shape
        (15, 3)
        """
        return influence.influence_of(self.design, self.solution, self.projection, by, refit, progress)

    def cooks_distance(self, by: str | None = None) -> pd.Series:
        """Cook's distance of each row or of each level of `by`; see `influence`."""
        return self.influence(by).cooks_distance

    def dfbetas(self, by: str | None = None) -> pd.DataFrame:
        """Change of each coefficient, in standard errors, by each row or level of `by`; see `influence`."""
        return self.influence(by).dfbetas

    def leverage(self) -> pd.Series:
        """(n,) what a row's own working response does to its linear predictor, theta held fixed."""
        return pd.Series(self.projection.row_leverage.copy(), index=self.design.frame.index, name="leverage")

    def r2(self, by: variance.By | None = None, method: variance.Method | None = None) -> pd.DataFrame:
        """Share of the variance of a row, on the scale of the linear predictor, that the model explains.

        Parameters
        ----------
        by
            None: marginal R2 (fixed part) and conditional R2 (random effects too), in one row. ``"level"``: what the
            predictors take away of the variance of each level, against the model without them (and without offsets);
            of yes/no responses the latent scale is another in each model, so that variances of groups may grow.
            ``"term"``: the variance of every fixed term, random term and the residual.
        method
            What the family adds to the variance: ``"theoretical"`` (binary responses; the usual one), ``"delta"``,
            ``"lognormal"`` or ``"trigamma"`` (log link; the last is usual); see `mixedfx.glmm.variance`.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> fit.r2().round(2)
           marginal  conditional
        0      0.09         0.28
        """
        return variance.r2(self.design, self.solution, method, by)

    def icc(self, method: variance.Method | None = None) -> pd.DataFrame:
        """Intraclass correlations on the scale of the linear predictor, a row for each grouping factor.

        Parameters
        ----------
        method
            As in `r2`.

        Returns
        -------
        DataFrame
            group, variance, adjusted (share of the variance the fixed part leaves), conditional (share of all),
            levels, size, design_effect.
        """
        return variance.icc(self.design, self.solution, method)

    def check(self) -> CheckReport:
        """What a reviewer would ask of this fit, and what was seen.

        Convergence, singularity, the error of the approximation, separation, dispersion, zeros, outlying groups and
        influence. Nothing is decided by it: it says what to look at.

        Returns
        -------
        CheckReport
            Printed as a page; ``.table``, ``.problems``, ``["dispersion"]``, ``.plot()``.

        Raises
        ------
        ModelError
            For a fit without random terms.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> fit.check()["separation"].status
        'ok'
        """
        return checking.check(self.design, self.solution, self.singularity, self.projection)

    def plot(self, kind: str | None = None, ax: Axes | None = None, **options: Any) -> Picture:
        """Draw the fit.

        Parameters
        ----------
        kind
            ``"quantile residuals"``: their quantiles, and running quartiles over the fitted values (options n, seed,
            groups).
            ``"residuals"``, ``"spread"`` and ``"quantiles"`` of their normal scores; ``"observed"`` against fitted
            means. ``"caterpillar"``: the effects of the levels of a grouping factor (group, term, level).
            ``"slopes"``: means along a numeric predictor whose effect varies, a line for each level (variable, group,
            groups, points), other predictors averaged on the scale of the linear predictor; the thick line has random
            effects at zero. ``"fitted"``: observed against fitted means by group (group, groups). None: a page.
        ax
            Axes to draw on; new ones where None. ``"fitted"`` and the page make figures of their own, and ``"quantile
            residuals"`` draws its first panel only on given axes.
        **options
            Of the kind, and those of its function in `mixedfx.plots`.

        Returns
        -------
        Picture
            Shows itself in a notebook; ``.save("plot.png")``, ``.ax``, ``.axes`` and ``.figure`` (matplotlib's).

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> len(fit.plot("quantile residuals").axes)
        2
        """
        return Picture(pictures.plot(self, kind, ax, **options))
