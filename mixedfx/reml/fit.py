"""LmerFit: a linear mixed model fitted by REML or ML, and the questions that can be asked of it.

Estimates and predictions are in state.py. Methods are one line each; the work is done by functions of a design and its
estimates, in files by subject.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ConvergenceWarning, IdentifiabilityWarning, MixedfxWarning, SingularFitWarning, outside
from mixedfx.inference.bootstrap import Bootstrap, Interval
from mixedfx.inference.degrees_of_freedom import Ddf
from mixedfx.inference.findings import CheckReport
from mixedfx.inference.fit_report import fit_report
from mixedfx.inference.influence import Influence
from mixedfx.inference.linear_fit import is_linear
from mixedfx.inference.parameters import Names
from mixedfx.inference.profile import Profile
from mixedfx.inference.robust import CovarianceKind, RobustCovariance
from mixedfx.inference.robust_report import Robust, robust_tests
from mixedfx.inference.robust_tests import Df
from mixedfx.plots.picture import Picture
from mixedfx.pls.projection import Projection
from mixedfx.progress import Asked
from mixedfx.reml import (
    bootstrapping,
    checking,
    comparison,
    intervals,
    likelihood_at,
    pictures,
    power,
    profiling,
    random_tests,
    report,
    storage,
    term_deletion,
    testing,
    variance,
)
from mixedfx.reml.augment import augment
from mixedfx.reml.bootstrapping import BootstrapKind
from mixedfx.reml.call import Call, changed
from mixedfx.reml.control import read_control
from mixedfx.reml.intervals import Method
from mixedfx.reml.refit import Refits, refit, refits
from mixedfx.reml.solution import solve_whole
from mixedfx.reml.state import LmerState
from mixedfx.reml.testing import Vcov
from mixedfx.results import tables
from mixedfx.results.singularity import SingularityReport, singularity
from mixedfx.results.tried import tried

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.formula.mixed_formula import MixedFormula
    from mixedfx.results.render import SummaryContent

FLAT = 1e-5  # smallest second derivative of the criterion, in the optimiser's parameters, that says something


@dataclass(frozen=True, eq=False, repr=False)
class LmerFit(LmerState):
    """A fitted linear mixed model, as `mixedfx.lmer` returns it.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them; `LeastSquares` where the formula has no random term.
    call
        What the fit was made from, by reference, for `update`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> fit
    <LmerFit score ~ 1 + style + (1 | professor): REML criterion 2736.31, 375 rows, professor 15>
    >>> fit.ranef["professor"].head(2).round(2)
               Intercept
    professor
    A              -3.40
    B             -18.14
    """

    @cached_property
    def singularity(self) -> SingularityReport:
        """Directions in which the random effects do not vary, and a smaller formula that was fitted and is regular.

        It is fitted when it is first asked for, as by `summary` and `check`; beyond 20,000 rows it is not.
        """
        found = singularity(self.design, self.solution.factors, self.solution.bases)
        return found if self.call is None else tried(found, self.nobs, partial(_singularity_of, self.call))

    def tidy(
        self,
        effects: tables.Effects = "fixed",
        ddf: Ddf | None = "satterthwaite",
        level: float = 0.95,
        vcov: Vcov | None = None,
    ) -> pd.DataFrame:
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients. ``"ran_pars"``: standard deviations and correlations. ``"ran_vals"``: the
            conditional modes with their conditional standard deviations.
        ddf
            Degrees of freedom of t. ``"satterthwaite"``: from the uncertainty of the estimated variances.
            ``"kenward-roger"``: the same from expected information, with Kenward and Roger's adjusted standard errors
            (REML only). ``"residual"``: n - p for every coefficient. ``"normal"``: infinite. The last two are
            anti-conservative where there are few groups. None: unknown, so df, p values and intervals are NaN; of
            conditional modes only the last three are known.
        level
            Confidence level.
        vcov
            Covariance to use for the coefficients: what `vcov_robust` returns, whose own Satterthwaite df then are
            used, or a (p, p) matrix, which needs ``ddf`` to be ``"residual"``, ``"normal"`` or None.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df, p_value, conf_low, conf_high; random effects begin with group (and
            level).

        Raises
        ------
        OptionError
            For unknown options, Kenward and Roger's method after maximum likelihood, and df that do not belong to
            `vcov`.

        Warns
        -----
        DegreesOfFreedomWarning
            Where the data leave the uncertainty of a variance unknown.
        IgnoredGroupsWarning
            Where a variance is estimated at zero, and Satterthwaite's df act as if its groups did not exist.
        SingleClusterWarning
            Where `vcov` is cluster-robust and a coefficient rests on one cluster.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> print(fit.tidy(ddf="kenward-roger")[["term", "std_error", "df"]].round(2).to_string(index=False))
                       term  std_error   df
                  Intercept       3.75 12.0
        style[Some Flipped]       5.30 12.0
          style[No Flipped]       5.30 12.0
        """
        return report.tidy(self, effects, ddf, level, vcov)

    def coefficients_without_groups(self) -> dict[str, tuple[str, ...]]:
        """Grouping factor -> coefficients whose Satterthwaite df act as if its levels did not exist.

        That is so where a variance is estimated at zero and the coefficient depends on it; a random intercept and a
        treatment of whole groups, say. The intercept is named where it is the only coefficient.
        """
        return report.coefficients_without_groups(self)

    def test(
        self,
        hypothesis: Any,
        rhs: Any = 0.0,
        *,
        joint: bool = True,
        ddf: Ddf | None = "satterthwaite",
        vcov: Vcov | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs.

        Parameters
        ----------
        hypothesis
            The name of a coefficient; a dict of names and weights, one contrast; a list of these, or a dict of labels
            and these; a data frame whose columns are names of coefficients; an (m, p) or (p,) array.
        rhs
            What the contrasts are under the hypothesis, one value or m.
        joint
            True: one F test of all rows together. False: a row with estimate, t test and interval for each, without
            adjustment for their number.
        ddf, vcov, level
            As in `tidy`.

        Returns
        -------
        DataFrame
            hypothesis, num_df, den_df, f_value, p_value; or broom's columns where ``joint=False``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> less = {"style[No Flipped]": 1, "style[Some Flipped]": -1}
        >>> found = fit.test(less, joint=False)[["estimate", "df", "conf_low", "conf_high"]].round(2)
        >>> print(found.to_string(index=False))
         estimate   df  conf_low  conf_high
            -5.23 12.0    -16.79       6.32
        """
        ask = testing.ask(self.reference, ddf, vcov)
        return testing.linear_hypothesis(self.design, self.solution, ask, hypothesis, rhs, joint, level)

    def anova(
        self,
        type: Literal["I", "II", "III", 1, 2, 3] = "III",
        ddf: Ddf | None = "satterthwaite",
        vcov: Vcov | None = None,
    ) -> pd.DataFrame:
        """F test of each term of the fixed part.

        Parameters
        ----------
        type
            ``"I"``: each term after those before it. ``"II"``: after all terms that do not contain it. ``"III"``:
            marginal, every other factor averaged over its levels with equal weights; the same for every coding of the
            factors. A numeric variable in an interaction is taken at zero. 1, 2 and 3 serve as well.
        ddf, vcov
            As in `tidy`; with ``"kenward-roger"`` the F values are Kenward and Roger's scaled ones.

        Returns
        -------
        DataFrame
            term, sum_sq, mean_sq, num_df, den_df, f_value, p_value.

        Raises
        ------
        ModelError
            Type III where cells of the factors have no data.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> print(fit.anova().round(2).to_string(index=False))
         term  sum_sq  mean_sq  num_df  den_df  f_value  p_value
        style  102.73    51.36     2.0    12.0     0.64     0.54
        """
        return testing.anova(self.design, self.solution, testing.ask(self.reference, ddf, vcov), type)

    def criteria(self, fits: Sequence[LmerState], refit: bool) -> list[float]:
        """-2 log likelihood, or REML criterion, of each of `fits`, as `mixedfx.anova` compares them."""
        return comparison.criteria(fits, refit)

    @property
    def designs(self) -> tuple[Design, ...]:
        """The design, of its one linear predictor."""
        return (self.design,)

    @property
    def compared_with(self) -> str:
        """Fits whose likelihoods `mixedfx.anova` compares with that of this one."""
        return "lmer"

    @property
    def chi_square_only(self) -> bool:
        """False: tests of a linear mixed model know degrees of freedom."""
        return False

    def null_blocks(self, larger: LmerState, refit: bool) -> tuple[Callable[[int, Any], NDArray[np.float64]], int]:
        """How `mixedfx.anova` simulates statistics from this fit against a larger one, and how many at once."""
        return comparison.null_blocks(self, larger, refit)

    def drop1(
        self,
        test: Literal["F", "chisq"] = "F",
        ddf: Ddf | None = "satterthwaite",
        vcov: Vcov | None = None,
    ) -> pd.DataFrame:
        """Test the deletion of each term of the fixed part that no other term contains.

        Parameters
        ----------
        test
            ``"F"``: Wald's F of the coefficients, without refitting. ``"chisq"``: likelihood-ratio tests, both models
            refitted by maximum likelihood.
        ddf, vcov
            As in `tidy`; for ``"F"``.

        Returns
        -------
        DataFrame
            As `anova`; or term, npar, aic, lrt, df, p_value, the row ``<none>`` being the fit itself.

        Warns
        -----
        RefittedWarning
            Where a REML fit is refitted by maximum likelihood.
        """
        return term_deletion.drop1(self.design, self.solution, testing.ask(self.reference, ddf, vcov), test)

    def ranova(self, simulate: int = 0, seed: int | None = None, progress: Asked = None) -> pd.DataFrame:
        """Likelihood-ratio test of each random term against the model without it, the fixed part unchanged.

        See `mixedfx.reml.random_tests.ranova`, also for the simulated null distribution.
        """
        return random_tests.ranova(self.design, self.solution, simulate, seed, progress)

    def robust(
        self,
        cluster: Any = None,
        kind: CovarianceKind = "CR2",
        df: Df = "satterthwaite",
        level: float = 0.95,
    ) -> Robust:
        """Tests with a cluster-robust covariance, valid whatever the dependence within clusters is.

        Parameters
        ----------
        cluster, kind
            As in `vcov_robust`.
        df
            ``"satterthwaite"``, ``"saddlepoint"``, or ``"naive"``: clusters less one.
        level
            Confidence level.

        Returns
        -------
        Robust
            ``tidy()``, ``test(hypothesis, test="HTZ")``, ``vcov``; prints as a table.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.robust().test(["style[Some Flipped]", "style[No Flipped]"]).round(3)["den_df"].item()
        8.0
        """
        return robust_tests(self.vcov_robust(kind, cluster), self.solution.beta, df, level)

    def vcov_robust(self, kind: CovarianceKind = "CR2", cluster: Any = None) -> RobustCovariance:
        """Cluster-robust covariance of the fixed effects, for ``vcov=`` wherever a table or test takes one.

        These are `tidy`, `test`, `anova`, `drop1`, `confint`, `summary`, `mixedfx.emmeans`, `mixedfx.emtrends` and
        `mixedfx.table`.

        Parameters
        ----------
        kind
            ``"CR0"``: the sandwich. ``"CR1"``: times m / (m - 1), m clusters. ``"CR2"``: unbiased if the model is
            right, and close to it if not (Pustejovsky & Tipton 2018).
        cluster
            Grouping factor or column of the formula, or a value for each row used; by default the grouping factor in
            which all others are nested.

        Returns
        -------
        RobustCovariance
            ``table`` is the covariance as a data frame.

        Warns
        -----
        SingleClusterWarning
            Where one cluster alone tells a coefficient, such as that of a treatment only it was given: the standard
            error then holds the spread of the other clusters only.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> print(fit.tidy(vcov=fit.vcov_robust())[["term", "std_error", "df"]].round(2).to_string(index=False))
                       term  std_error  df
                  Intercept       2.31 4.0
        style[Some Flipped]       6.02 8.0
          style[No Flipped]       3.36 8.0
        """
        return testing.robust(self.design, self.solution, kind, cluster)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, npar, sigma, logLik, AIC, BIC, REMLcrit or deviance, df_residual, converged, singular."""
        return report.glance(self)

    def summary(self, ddf: Ddf | None = "satterthwaite", vcov: Vcov | None = None) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook.

        Parameters
        ----------
        ddf, vcov
            As in `tidy`. Where Satterthwaite's method is forecast to take more than five seconds the summary leaves df
            and p out and says so; ``fit.tidy()`` computes them, and the next summary shows them. The forecast is made
            from the sizes of the model (`mixedfx.inference.forecast`), not by a clock, so the same program prints the
            same on every machine.
        """
        return report.summary(self, ddf, vcov)

    def profile(self, parm: str | Sequence[str] | None = None, level: float = 0.99, progress: Asked = None) -> Profile:
        """Profile the likelihood of coefficients, standard deviations, correlations and sigma.

        The curves are those of -2 log L: a REML fit is first refitted by maximum likelihood, as in lme4, since the
        restricted likelihood says nothing of the fixed effects. Where a curve reaches a boundary (an sd of 0, a
        correlation of -1 or 1) it ends there.

        Parameters
        ----------
        parm
            None: every parameter. ``"fixed"``, ``"ran_pars"``, or names such as ``"Days"``, ``"sd__Days|Subject"``,
            ``"sigma"`` (lme4's names serve too).
        level
            Curves go as far as intervals of this level need.

        Returns
        -------
        Profile
            ``.table`` (parameter, value, zeta, slope), ``.confint(level)``, ``.plot()``.

        Warns
        -----
        ConvergenceWarning
            A profile found a smaller deviance than the fit's.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.profile("sigma").confint(0.95).round(2)
              group             term  estimate  conf_low  conf_high
        0  Residual  sd__Observation      8.93      8.32       9.63
        """
        return profiling.profile(self.design, self.solution, parm, level, progress=progress)

    def bootstrap(
        self,
        n: int = 1000,
        kind: BootstrapKind = "parametric",
        *,
        use_u: bool = False,
        statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
        cluster: str | None = None,
        seed: int | None = None,
        n_jobs: int | None = 1,
        progress: Asked = None,
    ) -> Bootstrap:
        """Fit the model to new data sets made from the fit, and collect what is asked for.

        Parameters
        ----------
        n
            Number of replicates.
        kind
            ``"parametric"``: new random effects and residuals from their normal distributions. ``"cluster"``: whole
            groups are drawn with replacement; nothing of the model is assumed, but many groups are needed.
            ``"residual"``: modes and residuals, reflated to their estimated covariances, are drawn with replacement.
        use_u
            In the parametric bootstrap: whether the groups keep their estimated effects, so that only residuals are
            new.
        statistic
            None: every parameter. Names of parameters, as in `profile`. Or a function of a fit that returns a number, a
            vector or a Series; it is called with each refitted model, one at a time.
        cluster
            The grouping factor, or column of the data, that ``kind="cluster"`` draws; None: the one all others are
            nested in.
        seed
            Seed of the random numbers; the result does not depend on `n_jobs`.
        n_jobs
            Processes (by joblib); -1: one for each core; None: as the surrounding ``joblib.parallel_config`` says, for
            a Dask or Ray cluster.
        progress
            Whether to show how many are done: True, False, or None, which shows it on a terminal and in a notebook
            after a second. Or a function, called with each `mixedfx.progress.Report`.

        Returns
        -------
        Bootstrap
            ``.replicates``, ``.tidy()`` (bias and standard error), ``.confint()``, counts of failed and singular fits.

        Warns
        -----
        ResamplingWarning
            Some replicates could not be fitted and were left out.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.bootstrap(500, seed=1).confint(parm="fixed").round(1)
          group                 term  estimate  conf_low  conf_high
        0                  Intercept      62.4      54.9       69.0
        1        style[Some Flipped]       5.2      -4.9       16.4
        2          style[No Flipped]      -0.0      -9.4       10.1
        """
        return bootstrapping.bootstrap(
            self.design, self.solution, LmerFit, n, kind, use_u=use_u, statistic=statistic, cluster=cluster, seed=seed,
            n_jobs=n_jobs, progress=progress,
        )  # fmt: skip

    def confint(
        self,
        method: Method = "wald",
        parm: str | Sequence[str] | None = None,
        level: float = 0.95,
        *,
        ddf: Ddf | None = "satterthwaite",
        vcov: Vcov | None = None,
        interval: Interval = "percentile",
        names: Names = "tidy",
        **bootstrap: Any,
    ) -> pd.DataFrame:
        """Confidence intervals.

        Parameters
        ----------
        method
            ``"wald"``: estimate -+ t se, for fixed effects. ``"profile"``: the values that a likelihood-ratio test does
            not reject, for every parameter (see `profile`). ``"boot"``: from `bootstrap`.
        parm
            None: every parameter the method can give. ``"fixed"``, ``"ran_pars"``, or names, as in `profile`.
        level
            Confidence level.
        ddf, vcov
            Degrees of freedom and covariance of Wald intervals, as in `tidy`.
        interval
            Of the bootstrap: ``"percentile"``, ``"basic"`` or ``"normal"``.
        names
            ``"tidy"``: columns group, term, estimate, conf_low, conf_high. ``"lme4"``: lme4's row names and columns.
        **bootstrap
            Arguments of `bootstrap`: n, kind, seed, n_jobs, ...

        Returns
        -------
        DataFrame
            One row for each parameter. The estimates of profile intervals are those of maximum likelihood.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.confint("profile", parm="ran_pars", names="lme4").round(2)
                                  2.5 %  97.5 %
        sd_(Intercept)|professor   5.15   11.12
        sigma                      8.32    9.63
        """
        return intervals.confint(
            self, LmerFit, method, parm, level, ddf=ddf, vcov=vcov, interval=interval, names=names, **bootstrap
        )

    @cached_property
    def projection(self) -> Projection:
        """Leverage, V^{-1}X and deletion formulas of the rows, theta at its estimate; see `mixedfx.pls.projection`."""
        return checking.projection_of(self.design, self.solution)

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
        ignored = self.coefficients_without_groups()
        return checking.check(self.design, self.solution, self.singularity, self.projection, ignored)

    def influence(self, by: str | None = None, refit: bool = False, progress: Asked = None) -> Influence:
        """What leaving out each row, or each group, does to the estimates.

        Parameters
        ----------
        by
            A grouping factor or column: each of its levels is left out in turn. None: each row.
        refit
            False: theta is held at its estimate; beta without the rows is then exact and needs no refit. True: theta
            and sigma are estimated anew, from a warm start, and the table holds them as well.
        progress
            Of the refits, as in `bootstrap`.

        Returns
        -------
        Influence
            ``.table``, ``.cooks_distance``, ``.dfbeta``, ``.dfbetas``, ``.varcorr``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.influence(by="professor").table.index[0]
        'B'
        """
        return checking.influence_of(self.design, self.solution, self.projection, by, refit, progress)

    def leverage(self) -> pd.Series:
        """(n,) diagonal of the matrix that turns the response into the fitted values, theta held fixed."""
        return pd.Series(self.projection.row_leverage.copy(), index=self.design.frame.index, name="leverage")

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
        return checking.least_confounded(self.projection, self.sigma)

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
        0      0.04        0.479
        """
        return variance.r2(self.design, self.solution, by)

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
        0  professor      0.46  25.0          11.97
        """
        return variance.icc(self.design, self.solution)

    def augment(self) -> pd.DataFrame:
        """The data of the fit with broom's columns, a row for each row used.

        Returns
        -------
        DataFrame
            The columns of the formula, then .fitted, .resid, .hat (leverage), .cooksd, .fixed (X beta and offset),
            .offset, .weights, .wtres (residual times the root of the weight); see `mixedfx.reml.augment`. Of broom's
            .mu, .sqrtXwt and .sqrtrwt are left out, which for this family repeat .fitted and the root of .weights.
        """
        return augment(self.design, self.solution, self._fitted, self.projection.row_leverage)

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
        return Picture(pictures.plot(self, kind, ax, **options))

    def power_study(self, design: Design, beta: NDArray[np.float64], index: list[int], ddf: Ddf) -> power.Study:
        """How `mixedfx.power` simulates, fits and tests in another design; `beta` (p,) holds the effects."""
        return power.study(design, self.solution, beta, index, ddf)

    def refit(self, y: NDArray[np.float64]) -> LmerFit:
        """The same model fitted to another response, (n,) values for the rows of the design; see `refits` for many.

        A pandas Series is aligned by its index: that of the data, or the number of each row, as `simulate` has it.
        """
        return LmerFit(*refit(self.design, self.solution, y))

    def deviance_at(
        self, beta: NDArray[np.float64], covariances: Sequence[NDArray[np.float64]], sigma: float
    ) -> float:  # fmt: skip
        """-2 log likelihood at given fixed effects, covariances of random effects (one a term) and residual sd."""
        return likelihood_at.deviance_at(self.design, beta, covariances, sigma)

    def refits(self, Y: NDArray[np.float64] | pd.DataFrame, progress: Asked = None) -> Refits:
        """Estimates for each column of `Y` (n, B), reusing the design and its cross-products; see `Refits`.

        `progress` as in `bootstrap`.
        """
        return refits(self.design, self.solution, Y, progress)

    def report(
        self,
        path: str | Path | None = None,
        *,
        title: str | None = None,
        data: str = "data",
        labels: Mapping[str, str] | None = None,
        level: float = 0.95,
    ) -> str:
        """One self-contained page: answer, caveats, pictures, coefficients, summary, a methods paragraph, code.

        Parameters
        ----------
        path
            File to write, whole or not at all; None to return the text only.
        title
            Heading.
        data
            Name of the data in the code shown.
        labels
            Coefficient or response -> what to write instead.
        level
            Probability inside the intervals.

        Returns
        -------
        str
            The page. Pictures are inside it; nothing is loaded from elsewhere. It is light or dark as the reader is.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> page = fit.report(title="The course")
        >>> "<h1>The course</h1>" in page and "mx.lmer(" in page
        True
        """
        return fit_report(self, path, title=title, data=data, labels=labels, level=level)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back.

        The file is a zip archive of arrays (the rows used, of the columns that the formula uses) and JSON (formula,
        estimates, the course of the optimiser); it holds no code. It appears whole or not at all.

        Parameters
        ----------
        path
            Where to; an existing file is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            A fit that a file cannot hold: one whose formula uses functions from `env`, or codings of factors other than
            names and matrices.
        DataError
            A file that cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom")
        >>> fit = mx.lmer("score ~ style + (1 | professor)", course)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "course.mfx"))
        >>> bool(abs(again.fixef - fit.fixef).max() < 1e-6)
        True
        """
        return storage.save(self.design, self.solution, path)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> LmerFit:
        """Fit again with some arguments of `mixedfx.lmer` changed.

        Parameters
        ----------
        formula
            A change such as ``". ~ . + x - (1 | g)"``, where a dot stands for what was there; None keeps the formula.
        data
            New data; None keeps the data of the fit, which are held by reference.
        **changes
            REML, weights, offset, na, contrasts, env.
        """
        from mixedfx.design.build import build_design

        call = changed(self.call, self.design.formula, formula, data, changes)
        call.check()
        return fit_design(build_design(**call.of_design), call)

    def __repr__(self) -> str:
        kind = f"{'REML criterion' if self.REML else '-2 log L'} {self.criterion:.2f}"
        if is_linear(self):
            kind = f"least squares, residual sd {self.sigma:.4g}"
        return f"<LmerFit {self.formula}: {kind}, {tables.sizes_text(self.design)}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def _singularity_of(call: Call, formula: MixedFormula) -> SingularityReport:
    """Null directions of the same data under another formula."""
    from mixedfx.design.build import build_design

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        other = replace(call, formula=formula)
        design, solution = solve_whole(build_design(**other.of_design), call.REML, read_control(call.control))
    return singularity(design, solution.factors, solution.bases)


def fit_design(design: Design, call: Call) -> LmerFit:
    """Fit the design that `call` made, with the warnings of `mixedfx.lmer`."""
    fit = LmerFit(*solve_whole(design, call.REML, read_control(call.control)), call)
    if not fit.converged:
        course = fit.optimization
        text = f"{course.message} after {course.evaluations} evaluations; the estimates may be off"
        warnings.warn(text, ConvergenceWarning, outside())
    if fit.singular:
        warnings.warn(fit.singularity.line, SingularFitWarning, outside())
    elif (
        fit.converged
        and fit.optimization.curvature < FLAT
        and any(term.covariance.entries is None or term.relation is not None for term in design.random)
    ):
        warnings.warn(
            "the criterion is flat in some direction of the variances and correlations: the data do not determine them "
            "all, and their estimates are some of many that fit alike. Leave a random term out, or give it a simpler "
            "structure.",
            IdentifiabilityWarning,
            outside(),
        )
    return fit
