"""RmaFit: a fitted meta-analysis of independent estimates, and the questions that can be asked of it.

Methods are one line each; the work is done by functions of the fit's state, in files by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.inference.robust import CovarianceKind, RobustCovariance
from mixedfx.inference.robust_report import Robust, robust_tests
from mixedfx.inference.robust_tests import Df
from mixedfx.meta.bias.asymmetry import (
    Predictor,
    RankTest,
    RegressionModel,
    RegressionTest,
    pet_peese,
    rank_test,
    regression_test,
)
from mixedfx.meta.bias.bias import trim_and_fill
from mixedfx.meta.bias.excess import Alternative, ExcessKind, ExcessTest, excess_test
from mixedfx.meta.bias.fail_safe import FailSafe, FailSafeKind, fail_safe
from mixedfx.meta.bias.trim_fill import MissingEstimator, Side, TrimFill
from mixedfx.meta.measure import Array
from mixedfx.meta.page import meta_report
from mixedfx.meta.selection.fit import SelectionFit
from mixedfx.meta.selection.intervals import Alternative as Direction
from mixedfx.meta.selection.intervals import Empty
from mixedfx.meta.selection.options import MechanismName, SelectionType, read_selection
from mixedfx.meta.selection.selmodel import selection_of
from mixedfx.meta.univariate import comparison, influence, pictures, rma_report, simulated, storage
from mixedfx.meta.univariate.gosh import Gosh, gosh
from mixedfx.meta.univariate.permutation import PermutationTest, Statistic, permutation_test
from mixedfx.meta.univariate.rma_report import Parm
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.tau2_intervals import IntervalMethod
from mixedfx.plots.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True, eq=False, repr=False)
class RmaFit(RmaState):
    """A fitted meta-analysis, as `mixedfx.rma` returns it.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"yi": [0.5, -0.1, 0.9, 0.3, 0.4], "vi": [0.04, 0.09, 0.06, 0.02, 0.1]})
    >>> fit = mx.rma("yi ~ 1", data, test="knha")
    >>> fit.tidy()[["term", "estimate", "std_error", "df", "p_value"]].round(3)
            term  estimate  std_error   df  p_value
    0  Intercept     0.414      0.149  4.0     0.05
    """

    def tidy(self, level: float | None = None, vcov: RobustCovariance | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns: term, estimate, std_error, statistic, df, p_value, conf_low, conf_high.

        `vcov` is a robust covariance, as `vcov_robust` returns it.
        """
        return rma_report.tidy(self, level, vcov)

    def robust(
        self, cluster: Any = None, kind: CovarianceKind = "CR2", df: Df = "satterthwaite", level: float | None = None
    ) -> Robust:
        """Tests with a cluster-robust covariance; see `RmaMvFit.robust`. Without clusters estimates are independent."""
        return robust_tests(self.vcov_robust(kind, cluster), self.beta, df, self.level if level is None else level)

    def vcov_robust(self, kind: CovarianceKind = "CR2", cluster: Any = None) -> RobustCovariance:
        """Cluster-robust covariance of the coefficients, for ``vcov=`` of `tidy` and `test_hypothesis`.

        Parameters
        ----------
        kind
            As in `LmerFit.vcov_robust`; degrees of freedom are Satterthwaite's, joint tests Hotelling's T^2.
        cluster
            Studies or the like: a column or values; every estimate by itself where None.
        """
        return rma_report.robust(self, kind, cluster)

    def glance(self) -> pd.DataFrame:
        """One row: k, tau2, its standard error, I2, H2, R2, QE, QM, likelihood, criteria, method, test."""
        return rma_report.glance(self)

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return rma_report.summary(self)

    def confint(
        self, parm: Parm | None = None, level: float | None = None, method: IntervalMethod | None = None
    ) -> pd.DataFrame:
        """Confidence intervals of coefficients and heterogeneity.

        Parameters
        ----------
        parm
            ``"fixed"``: the coefficients. ``"heterogeneity"``: tau2, tau, I2 (per cent) and H2. None: both.
        level
            Confidence level; that of the fit where None.
        method
            Of the heterogeneity: ``"QP"``, Q-profile; ``"GENQ"``, the generalised Q with the weights of the fit, or
            1 / vi; ``"PL"``, profile likelihood, of ML and REML fits. None: that which belongs to the estimator.

        Returns
        -------
        DataFrame
            term, estimate, conf_low, conf_high.

        Warns
        -----
        EmptyIntervalWarning
            No value of tau^2 agrees with estimates that are as much alike as these.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, -0.1, 0.9, 0.3, 0.4], "vi": [0.04, 0.09, 0.06, 0.02, 0.1]})
        >>> mx.rma("yi ~ 1", data).confint("heterogeneity").round(2)
           term  estimate  conf_low  conf_high
        0  tau2      0.05       0.0       1.00
        1   tau      0.21       0.0       1.00
        2    I2     47.91       0.0      95.28
        3    H2      1.92       1.0      21.16
        """
        return rma_report.confint(self, parm, level, method)

    def test_hypothesis(
        self,
        hypothesis: Any,
        rhs: Any = 0.0,
        *,
        joint: bool = True,
        level: float | None = None,
        vcov: RobustCovariance | None = None,
    ) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs, written as for `LmerFit.test`.

        Parameters
        ----------
        hypothesis
            Names of coefficients, a dict of names and weights, a list of these, or an (m, p) array.
        rhs
            What the contrasts are under the hypothesis.
        joint
            True: one test of all rows. False: a row with estimate, test and interval for each.
        level
            Confidence level; that of the fit where None.
        vcov
            As in `tidy`.
        """
        return rma_report.hypothesis(self, hypothesis, rhs, joint, level, vcov)

    def predict(
        self,
        newdata: Any = None,
        level: float | None = None,
        transf: str | Callable[[Array], Array] | None = None,
    ) -> pd.DataFrame:
        """Mean true effects, their confidence intervals, and prediction intervals of the true effect of a new study.

        Parameters
        ----------
        newdata
            Moderators of what is predicted; those of the fit where None (one row without moderators).
        level
            Confidence level; that of the fit where None.
        transf
            Name of a function in `mixedfx.meta.effect_sizes.transforms.BACK` (``"exp"``, ``"tanh"``, ``"expit"``, ...)
            or a function of arrays, applied to estimates and limits; standard errors are left out then.

        Returns
        -------
        DataFrame
            estimate, std_error, conf_low, conf_high, pred_low, pred_high (NaN of equal-effects fits).

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, -0.1, 0.9, 0.3, 0.4], "vi": [0.04, 0.09, 0.06, 0.02, 0.1],
        ...                      "dose": [1, 0, 2, 1, 1]})
        >>> mx.rma("yi ~ dose", data).predict(pd.DataFrame({"dose": [0, 2]})).round(2)
           estimate  std_error  conf_low  conf_high  pred_low  pred_high
        0     -0.13       0.22     -0.56       0.31     -0.56       0.31
        1      0.88       0.20      0.48       1.28      0.48       1.28
        """
        return rma_report.predict(self, newdata, level, transf)

    def simulate(
        self, n: int = 1, seed: int | None = None, use_u: bool = False, newdata: Any = None, *, vi: Any = None
    ) -> pd.DataFrame:  # fmt: skip
        """Simulate estimates of the studies of the fit, or of new ones, at the estimated coefficients and tau2.

        Parameters
        ----------
        n, seed
            Number of simulations, and the seed.
        use_u
            False: every study has a new true effect, drawn around its mean. True: those of the fit keep their true
            effects (`blup`), and only sampling errors are new.
        newdata
            Moderators of new studies; those of the fit where None. Their true effects are new under either `use_u`.
        vi
            Sampling variances of the new studies: the name of a column of `newdata` or values. None: the column that
            the fit has them from.

        Returns
        -------
        DataFrame
            (studies, n), a column for each simulation.

        Raises
        ------
        OptionError
            New studies without sampling variances.
        DataError
            Sampling variances that are missing or not positive; new data without a moderator.

        Examples
        --------
        What would three studies of a dose of 2 find, if each were as exact as a variance of 0.02 says?

        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, -0.1, 0.9, 0.3, 0.4], "vi": [0.04, 0.09, 0.06, 0.02, 0.1],
        ...                      "dose": [1, 0, 2, 1, 1]})
        >>> fit = mx.rma("yi ~ dose", data)
        >>> new = pd.DataFrame({"dose": [2, 2, 2], "vi": 0.02})
        >>> fit.simulate(2000, seed=1, newdata=new).mean(axis=1).round(1).tolist()
        [0.9, 0.9, 0.9]
        """
        return simulated.simulate(self, n, seed, use_u, newdata, vi)

    def blup(
        self, level: float | None = None, transf: str | Callable[[Array], Array] | None = None
    ) -> pd.DataFrame:  # fmt: skip
        """Best linear unbiased predictions of the true effects of the studies: estimate, std_error, limits."""
        return rma_report.blup(self, level, transf)

    def ranef(self, level: float | None = None) -> pd.DataFrame:
        """Predictions of the random effects, true effects less their mean: estimate, std_error, limits."""
        return rma_report.ranef(self, level)

    def permutation_test(
        self,
        n: int = 1000,
        exact: bool | None = None,
        statistic: Statistic = "test",
        seed: int | None = None,
    ) -> PermutationTest:
        """Test coefficients against all, or many, rearrangements of the data that were as likely as the one seen.

        Without moderators the signs of the estimates are rearranged, with them the order in which rows of moderators
        meet estimates.

        Parameters
        ----------
        n
            Random rearrangements, where the test is not exact.
        exact
            Whether all are gone through; None: where there are no more than `n`.
        statistic
            ``"test"``: the statistic of the fit's test. ``"coefficient"``: the coefficient itself.
        seed
            Of the random rearrangements.

        Returns
        -------
        PermutationTest
            ``table``: term, estimate, statistic, p_value; ``omnibus``: p value of all moderators.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, 0.1, 0.9, 0.3, 0.4], "vi": [0.04, 0.09, 0.06, 0.02, 0.1]})
        >>> mx.rma("yi ~ 1", data).permutation_test(exact=True).table.round(4)
                term  estimate  statistic  p_value
        0  Intercept    0.4381     3.6588   0.0625
        """
        return permutation_test(self, n, exact, statistic, seed)

    def rstandard(self) -> pd.DataFrame:
        """Residuals, their standard errors and the ratio of both, by study."""
        return influence.standardized(self)

    def rstudent(self) -> pd.DataFrame:
        """Residuals from the fit without the study, their standard errors and the ratio of both."""
        return influence.studentized(self)

    def influence(self) -> pd.DataFrame:
        """What leaving out each study does.

        Returns
        -------
        DataFrame
            By study: rstudent, dffits, cook_d, cov_ratio, tau2_deleted, QE_deleted, hat, weight (per cent), dfbetas of
            each coefficient, and whether any of these is large (``influential``): an absolute dffits above
            3 sqrt(p / (k - p)), a Cook's distance above the median of chi-square(p), a leverage above 3 p / k, an
            absolute dfbetas above 1.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, 0.4, 2.9, 0.3, 0.4], "vi": [0.04, 0.09, 0.06, 0.02, 0.1]})
        >>> mx.rma("yi ~ 1", data).influence()[["rstudent", "cook_d", "influential"]].round(2)
              rstudent  cook_d  influential
        slab
        0        -0.36    0.04        False
        1        -0.44    0.06        False
        2         9.52    1.10         True
        3        -0.55    0.10        False
        4        -0.44    0.06        False
        """
        return influence.influence(self)

    def leave1out(
        self, level: float | None = None, transf: str | Callable[[Array], Array] | None = None
    ) -> pd.DataFrame:  # fmt: skip
        """The fit without each study: estimate (or all coefficients), its interval, QE, tau2, I2, H2."""
        return influence.leave1out(self, level, transf)

    def cumul(
        self,
        order: Any = None,
        level: float | None = None,
        transf: str | Callable[[Array], Array] | None = None,
    ) -> pd.DataFrame:
        """The fit to the first study, the first two, and so on.

        Parameters
        ----------
        order
            Numbers by which studies are put in order, such as years: a column or values. None: as in the data.
        level, transf
            As in `predict`.
        """
        positions = np.arange(self.k) if order is None else np.argsort(self.data.beside(order, "order"), kind="stable")
        return influence.cumulative(self, positions, level, transf)

    def gosh(self, n: int = 100_000, seed: int | None = None) -> Gosh:
        """The fits to all subsets of the studies, or to `n` random ones where there are more.

        Returns
        -------
        Gosh
            ``table``: k, estimate (or coefficients), QE, I2, H2, tau2 of each subset; ``included``; ``plot()``.
        """
        return gosh(self, n, seed)

    def anova(self, other: RmaState) -> pd.DataFrame:
        """Likelihood-ratio test against a fit of the same studies in which this one is nested, or that in it.

        Fits with the same moderators are compared by restricted likelihood if that is what they maximise, all others by
        maximum likelihood, refitted where they were not fitted so.

        Returns
        -------
        DataFrame
            model, npar, logLik, AIC, BIC, tau2, QE, lrt, df, p_value, R2 (per cent of tau2 that the larger explains).

        Warns
        -----
        RefittedWarning
            A fit was made again by maximum likelihood.
        NestingWarning
            The fits are not seen to be nested.
        """
        return comparison.anova(self, other)

    def regtest(
        self,
        predictor: Predictor = "sei",
        model: RegressionModel = "rma",
        ni: Any = None,
        level: float | None = None,
    ) -> RegressionTest:
        """Regression test of funnel plot asymmetry (Egger's).

        Parameters
        ----------
        predictor
            What is added to the moderators: ``"sei"``, ``"vi"``, ``"ni"``, ``"ninv"``, ``"sqrtni"``, ``"sqrtninv"``.
        model
            ``"rma"``: the model of the fit. ``"lm"``: weighted least squares with an estimated factor of the variances,
            Egger's own test.
        ni
            Sample sizes: a column or values.
        level
            Confidence level.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, 0.4, 0.9, 0.3, 0.8], "vi": [0.04, 0.09, 0.16, 0.02, 0.1]})
        >>> print(mx.rma("yi ~ 1", data).regtest())
        Regression test of funnel plot asymmetry
        <BLANKLINE>
        Predictor:              the standard error; random-effects model
        Asymmetry:              z = 1.664, p = 0.09619
        Without sampling error: 0.02511 [-0.5064, 0.5566]
        <BLANKLINE>
        Coefficients
         term       estimate  std_error  statistic  p_value  conf_low  conf_high
         Intercept   0.02511     0.2712    0.09260    0.926   -0.5064     0.5566
         sei         2.04110     1.2269    1.66362    0.096   -0.3636     4.4458
        """
        return regression_test(self, predictor, model, ni, self.level if level is None else level)

    def ranktest(self) -> RankTest:
        """Rank correlation test of funnel plot asymmetry (Begg and Mazumdar's)."""
        return rank_test(self)

    def trimfill(self, side: Side | None = None, estimator: MissingEstimator = "L0") -> TrimFill:
        """Fill in the estimates that a symmetric funnel lacks on one side.

        Parameters
        ----------
        side
            Where they are missing; None: the side that small studies lean away from.
        estimator
            Of their number: ``"L0"``, ``"R0"`` or ``"Q0"``.

        Returns
        -------
        TrimFill
            ``fit`` is an `RmaFit` with the filled estimates last; ``k0``, ``side``, ``std_error``.
        """
        return trim_and_fill(self, side, estimator)

    def fail_safe(
        self,
        kind: FailSafeKind = "Rosenthal",
        alpha: float = 0.05,
        target: float | None = None,
        weighted: bool = False,
    ) -> FailSafe:
        """How many estimates of no effect would undo the finding.

        Parameters
        ----------
        kind
            ``"Rosenthal"``, ``"Orwin"`` or ``"Rosenberg"``; see `mixedfx.meta.bias.fail_safe`.
        alpha
            Level of significance that is lost (one-sided for Rosenthal's).
        target
            Where Orwin's number brings the mean; half of it where None.
        weighted
            Whether Orwin's mean is weighted by 1 / vi.
        """
        return fail_safe(self, kind, alpha, target, weighted)

    def excess_test(
        self,
        kind: ExcessKind = "exact",
        alternative: Alternative = "two-sided",
        alpha: float = 0.05,
        theta: float | None = None,
        null: float = 0.0,
    ) -> ExcessTest:
        """Test whether there are more significant estimates than their power lets expect.

        Parameters
        ----------
        kind
            ``"exact"``, ``"binomial"`` or ``"chisq"``.
        alternative, alpha, null
            Of the tests of the single estimates.
        theta
            True effect that power is for; the mean of the fit where None. Its tau2 is part of the power.
        """
        return excess_test(self, kind, alternative, alpha, theta, null)

    def selmodel(
        self,
        type: SelectionType = "stepfun",
        steps: Any = None,
        alternative: Direction = "greater",
        mechanism: MechanismName = "conditional",
        cluster: Any = None,
        empty: Empty = "refuse",
    ) -> SelectionFit:
        """Fit the same estimates with selection by their p values, by maximum likelihood.

        Parameters
        ----------
        type, steps, alternative, mechanism, empty
            As in `mixedfx.selmodel`.
        cluster
            Clusters of estimates that share an effect: a column of the data or values. None: all are independent, and
            mechanisms are one.

        Returns
        -------
        SelectionFit
            With the test of no selection. Of fits with equal effects or a given tau2 this is not estimated.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52],
        ...                      "vi": [0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05]})
        >>> selected = mx.rma("yi ~ 1", data).selmodel("negexp")
        >>> round(float(selected.beta[0]), 3), round(selected.lrt, 3), round(selected.p_value, 3)
        (0.34, 0.022, 0.441)
        """
        return selection_of(self, cluster, read_selection(type, steps, alternative, mechanism, empty))

    def pet_peese(self, model: RegressionModel = "lm", alpha: float = 0.10, level: float | None = None) -> pd.DataFrame:
        """Effect without sampling error: by PET, by PEESE, and by the one that PET's test chooses.

        Parameters
        ----------
        model
            As in `regtest`.
        alpha
            One-sided level at which PET must find an effect for PEESE to be taken.
        level
            Confidence level.

        Returns
        -------
        DataFrame
            estimator, estimate, std_error, statistic, df, p_value, conf_low, conf_high.
        """
        return pet_peese(self, model, alpha, self.level if level is None else level)

    def plot(self, kind: str = "forest", ax: Axes | None = None, **options: Any) -> Picture:
        """Draw the fit.

        Parameters
        ----------
        kind
            ``"forest"``: studies, weights, mean and prediction interval (transf, level, group, order: ``"data"``,
            ``"estimate"``, ``"weight"``). ``"funnel"`` (contours, levels, trimfill: what `trimfill` returned).
            ``"bubble"``: a meta-regression over a moderator (variable). ``"baujat"``: heterogeneity against influence.
            ``"radial"``. ``"labbe"``: risks of both groups (ai, n1i, ci, n2i: columns). ``"heterogeneity"``: the
            distribution of true effects. What `gosh` returns draws itself.
        ax
            Axes to draw on; new ones where None.
        **options
            Of the kind, and those of its function in `mixedfx.plots`.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, 0.1, 0.9], "vi": [0.04, 0.09, 0.06], "slab": ["A", "B", "C"]})
        >>> [text.get_text() for text in mx.rma("yi ~ 1", data).plot().ax.get_yticklabels()]
        ['A', 'B', 'C', 'Mean']
        """
        return pictures.plot(self, kind, ax, **options)

    @property
    def fitted(self) -> pd.Series:
        """Mean true effects of the studies."""
        return pd.Series(self.data.X @ self.beta + self.data.offset, index=list(self.slab), name="fitted")

    @property
    def residuals(self) -> pd.Series:
        """Estimates less their mean true effects."""
        return pd.Series(self.data.y - self.fitted.to_numpy(), index=list(self.slab), name="residual")

    @property
    def study_weights(self) -> pd.Series:
        """Weights of the studies in per cent, those of the coefficients."""
        w = self.fit.w[0]
        return pd.Series(100 * w / w.sum(), index=list(self.slab), name="weight")

    def report(
        self,
        path: str | Path | None = None,
        *,
        title: str | None = None,
        data: str = "data",
        labels: Mapping[str, str] | None = None,
        level: float | None = None,
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
            Probability inside the intervals; that of the fit where None.

        Returns
        -------
        str
            The page. Pictures are inside it; nothing is loaded from elsewhere. It is light or dark as the reader is.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.rma("yi ~ 1", mx.datasets.load("school_calendars"))
        >>> page = fit.report(title="School calendars")
        >>> "<h1>School calendars</h1>" in page and "mx.rma(" in page
        True
        """
        return meta_report(self, path, title=title, data=data, labels=labels, level=level)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back.

        The file is a zip archive of arrays (the data) and JSON (arguments, estimates); it holds no code. It appears
        whole or not at all.

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
            Functions in `env`, codings other than names and matrices, columns of mixed types.
        DataError
            A file that cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, -0.9, 1.6, 0.3, 0.5, 0.2, 0.4, -0.7], "vi": 0.04,
        ...                      "lab": ["a", "a", "b", "b", "c", "c", "d", "d"]})
        >>> fit = mx.rma("yi ~ lab", data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "analysis.mfx"))
        >>> again
        <RmaFit yi ~ lab: 8 estimates, tau2 0.58 (REML), Intercept -0.20>
        """
        return storage.save(self.data, self.method, self.test, self.tau2, path)

    def __repr__(self) -> str:
        first = "" if not len(self.beta) else f", {self.names[0]} {self.beta[0]:.2f}"
        spread = "equal effects" if not self.estimator.heterogeneous else f"tau2 {self.tau2:.2f} ({self.method})"
        return f"<RmaFit {self.formula}: {self.k} estimates, {spread}{first}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
