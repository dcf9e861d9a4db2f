"""SelectionFit: a fitted selection model, and the questions that can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mixedfx.meta.measure import Array
from mixedfx.meta.selection import pictures
from mixedfx.meta.selection import report as selection_report
from mixedfx.meta.selection.state import SelectionState
from mixedfx.plots.picture import Picture
from mixedfx.results.render import Shown, SummaryContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IntervalKind = Literal["wald", "profile"]


@dataclass(frozen=True, eq=False, repr=False)
class SelectionFit(SelectionState, Shown):
    """A fitted selection model, as `mixedfx.selmodel` and `RmaFit.selmodel` return it.

    Its attributes are those of `mixedfx.meta.selection.state.SelectionState`.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"yi": [0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52],
    ...                      "vi": [0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05]})
    >>> fit = mx.selmodel("yi ~ 1", data)
    >>> fit.tidy()[["term", "estimate", "std_error", "p_value"]].round(3)
            term  estimate  std_error  p_value
    0  Intercept     0.148      0.105    0.159
    >>> fit.weights()[["interval", "k", "estimate"]].round(2)
             interval  k  estimate
    0  0 < p <= 0.025  7      1.00
    1  0.025 < p <= 1  5      0.08
    """

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns: term, estimate, std_error, statistic, df, p_value, conf_low, conf_high."""
        return selection_report.tidy(self, level)

    def weights(self, level: float | None = None) -> pd.DataFrame:
        """Parameters of the weight function, by interval for step functions.

        Returns
        -------
        DataFrame
            interval, k (for mechanism "best" in clusters, their best estimates), estimate, std_error, conf_low,
            conf_high; term in the place of interval and k for smooth weights. Limits are those of log weights for step
            functions and the beta function; those of other parameters end at 0.
        """
        return selection_report.weights(self, level)

    def counts(self) -> pd.DataFrame:
        """How many estimates are in each interval of p values: at the steps, or at .025, .05, .1 and .5."""
        return selection_report.counts(self)

    def glance(self) -> pd.DataFrame:
        """One row: k, clusters, tau2, rho, likelihoods, LRT against no selection, criteria, type, mechanism."""
        return selection_report.glance(self)

    def confint(self, level: float | None = None, method: IntervalKind = "wald") -> pd.DataFrame:
        """Intervals of coefficients, variances and weights.

        Parameters
        ----------
        level
            Confidence level; that of the fit where None.
        method
            ``"wald"``: from standard errors (of logarithms, for weights). ``"profile"``: where the likelihood, all
            other parameters at their best, falls by the quantile of chi-square; slower, and right where parameters
            are near 0.

        Returns
        -------
        DataFrame
            term, estimate, conf_low, conf_high.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52],
        ...                      "vi": [0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05]})
        >>> mx.selmodel("yi ~ 1", data).confint(method="profile").round(2)
                               term  estimate  conf_low  conf_high
        0                 Intercept      0.15     -0.09       0.36
        1                      tau2      0.00      0.00       0.08
        2  weight of 0.025 < p <= 1      0.08      0.01       0.62
        """
        return selection_report.confint(self, level, method)

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """What each mechanism of selection would say, without selection first; one row, ``any``, without clusters.

        Returns
        -------
        DataFrame
            mechanism, estimate and std_error of the first coefficient, tau2, weights, logLik, LRT, p_value, note.
        """
        return selection_report.sensitivity(self)

    def weight_at(self, p: Array) -> Array:
        """Weights of p values, relative to the most significant interval, or to what the weight function is of 1.

        Parameters
        ----------
        p
            p values in the direction of the alternative.
        """
        return selection_report.weight_at(self, np.asarray(p, dtype=np.float64))

    def plot(self, ax: Axes | None = None, level: float | None = None, **options: Any) -> Picture:
        """Draw the weight function with its interval.

        Parameters
        ----------
        ax
            Axes to draw on; new ones where None.
        level
            Of the interval; that of the fit where None.
        **options
            Of `mixedfx.plots.weight_function`: spacing, xlabel, ylabel, title, width.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52],
        ...                      "vi": [0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05]})
        >>> mx.selmodel("yi ~ 1", data).plot().ax.get_xlabel()
        'p value (one-sided)'
        """
        return pictures.plot(self, ax, level, **options)

    def content(self) -> SummaryContent:
        """What is shown."""
        return selection_report.summary(self, self.sensitivity)

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return self.content()
