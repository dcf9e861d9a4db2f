"""RmaFit: a fitted meta-analysis of independent estimates, and the questions that can be asked of it.

Methods are one line each; the work is done by functions of the fit's state, in files by subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.meta import rma_report
from mixedfx.meta.measure import Array
from mixedfx.meta.permutation import PermutationTest, Statistic, permutation_test
from mixedfx.meta.rma_report import Parm
from mixedfx.meta.rma_state import RmaState
from mixedfx.meta.tau2_intervals import IntervalMethod

if TYPE_CHECKING:
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

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns: term, estimate, std_error, statistic, df, p_value, conf_low, conf_high."""
        return rma_report.tidy(self, level)

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
        self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, level: float | None = None
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
        """
        return rma_report.hypothesis(self, hypothesis, rhs, joint, level)

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
            Name of a function in `mixedfx.meta.transforms.BACK` (``"exp"``, ``"tanh"``, ``"expit"``, ...) or a function
            of arrays, applied to estimates and limits; standard errors are left out then.

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

    def __repr__(self) -> str:
        first = "" if not len(self.beta) else f", {self.names[0]} {self.beta[0]:.2f}"
        spread = "equal effects" if not self.estimator.heterogeneous else f"tau2 {self.tau2:.2f} ({self.method})"
        return f"<RmaFit {self.formula}: {self.k} estimates, {spread}{first}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
