"""RmaMvFit: a meta-analysis of dependent estimates, and the questions that can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mixedfx.inference.robust import CovarianceKind
from mixedfx.inference.robust_report import Robust
from mixedfx.inference.robust_tests import Df
from mixedfx.meta.measure import Array
from mixedfx.meta.multivariate import mv_pictures, mv_refits, mv_report, storage
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.meta.page import meta_report
from mixedfx.meta.robust import robust_mv
from mixedfx.meta.selection.fit import SelectionFit
from mixedfx.meta.selection.intervals import Alternative, Empty
from mixedfx.meta.selection.levels import selection_of_levels
from mixedfx.meta.selection.options import MechanismName, SelectionType, read_selection
from mixedfx.plots.picture import Picture
from mixedfx.reml.profiling import profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.inference.profile import Profile
    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True, eq=False, repr=False)
class RmaMvFit(RmaMvState):
    """A fitted multilevel meta-analysis, as `mixedfx.rma_mv` returns it.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> schools = pd.DataFrame({"yi": [-0.2, 0.1, 0.3, 0.6, 0.5, 0.7, 0.0, 0.2, -0.1, 0.1],
    ...                         "vi": [0.04] * 10, "district": list("aabbbccddd"), "school": range(10)})
    >>> fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools)
    >>> fit
    <RmaMvFit yi ~ 1 + (1 | district/school): 10 estimates (REML), Intercept 0.21>
    >>> fit.i2()[["group", "i2"]].round(0)
                 group    i2
    0         district  34.0
    1  district:school  25.0
    2            (all)  58.0
    3       (sampling)  42.0
    """

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns: term, estimate, std_error, statistic, df, p_value, conf_low, conf_high."""
        return mv_report.tidy(self, level)

    def glance(self) -> pd.DataFrame:
        """One row: k, QE, QM, both log likelihoods, criteria, method, test."""
        return mv_report.glance(self)

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return mv_report.summary(self)

    def confint(self, parm: Literal["fixed", "components"] | None = None, level: float | None = None) -> pd.DataFrame:
        """Confidence intervals of coefficients (Wald) and of variances and correlations (profile likelihood).

        Parameters
        ----------
        parm
            ``"fixed"``, ``"components"``, or None for both.
        level
            Confidence level; that of the fit where None.

        Returns
        -------
        DataFrame
            group, term, estimate, conf_low, conf_high. Components of a REML fit are profiled by the restricted
            likelihood. An end that the data do not determine is the end of the range.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> schools = pd.DataFrame({"yi": [-0.2, 0.1, 0.3, 0.6, 0.5, 0.7, 0.0, 0.2, -0.1, 0.1],
        ...                         "vi": [0.04] * 10, "district": list("aabbbccddd"), "school": range(10)})
        >>> fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools)
        >>> fit.confint("components").round(2)
                     group    term  estimate  conf_low  conf_high
        0         district  sigma2      0.03       0.0       0.48
        1  district:school  sigma2      0.02       0.0       0.20
        """
        return mv_report.confint(self, parm, level)

    def profile(self, parm: str = "ran_pars", level: float | None = None) -> Profile:
        """Profile likelihood of sds and correlations, restricted for a REML fit; ``.plot()`` draws it."""
        return profile(
            self.design, self.model.solution, parm, self.level if level is None else level, restricted=True
        )  # fmt: skip

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
        return mv_report.hypothesis(self, hypothesis, rhs, joint, level)

    def predict(
        self, newdata: Any = None, level: float | None = None, transf: str | Callable[[Array], Array] | None = None
    ) -> pd.DataFrame:
        """Mean true effects, their confidence intervals, and prediction intervals of a new true effect.

        The true effect is that of an estimate whose levels are all new: of a new school in a new district.

        Parameters
        ----------
        newdata
            Moderators of what is predicted, and what structured terms need, such as the outcome; grouping columns are
            not needed. None: those of the fit (one row without moderators).
        level
            Confidence level; that of the fit where None.
        transf
            As in `RmaFit.predict`.

        Returns
        -------
        DataFrame
            estimate, std_error, conf_low, conf_high, pred_low, pred_high.
        """
        return mv_report.predict(self, newdata, level, transf)

    def i2(self) -> pd.DataFrame:
        """Share of each level in the variance of a typical estimate, in per cent, and what sampling has of it.

        The variances over their sum with the typical sampling variance (`typical_variance`), the measure of Nakagawa &
        Santos (2012, Evolutionary Ecology 26:1253) for V and moderators of any kind. The variance of a term with slopes
        or several outcomes is its mean over the rows.
        """
        return mv_report.i2(self)

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predictions of the random effects of each level, by grouping factor."""
        return self.model.ranef

    def blup(self, level: float | None = None) -> pd.DataFrame:
        """Best linear unbiased predictions of the true effects behind the estimates: estimate, std_error, limits."""
        return mv_refits.blup(self, level)

    def robust(
        self, cluster: Any = None, kind: CovarianceKind = "CR2", df: Df = "satterthwaite", level: float | None = None
    ) -> Robust:
        """Tests with a cluster-robust covariance, valid whatever the dependence within clusters is.

        Parameters
        ----------
        cluster
            A column of the data or a grouping factor whose levels are independent; None: the one that all others are
            nested in.
        kind
            ``"CR2"``: unbiased under the working model (Pustejovsky & Tipton 2018). ``"CR0"``, ``"CR1"``, ``"CR1p"``,
            ``"CR3"``.
        df
            ``"satterthwaite"``, ``"saddlepoint"``, or ``"naive"``: clusters less one.
        level
            Confidence level; that of the fit where None.

        Warns
        -----
        FewClustersWarning
            Fewer than four degrees of freedom, when its tables are asked for.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> schools = pd.DataFrame({"yi": [-0.2, 0.1, 0.3, 0.6, 0.5, 0.7, 0.0, 0.2, -0.1, 0.1, 0.2, 0.4, 0.3, 0.1],
        ...                         "vi": [0.04] * 14, "district": list("aabbbccdddeeff"), "school": range(14)})
        >>> robust = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools).robust()
        >>> robust.tidy()[["term", "estimate", "std_error", "df"]].round(3)
                term  estimate  std_error     df
        0  Intercept     0.226      0.081  4.931
        """
        return robust_mv(self.model, cluster, kind, df, self.level if level is None else level)

    def selmodel(
        self,
        type: SelectionType = "stepfun",
        steps: Any = None,
        alternative: Alternative = "greater",
        mechanism: MechanismName = "conditional",
        empty: Empty = "refuse",
    ) -> SelectionFit:
        """Fit the same estimates with selection by their p values, by maximum likelihood.

        The fit has an effect of each estimate and of one level of clusters: ``(1 | district/school)``.

        Parameters
        ----------
        type, steps, alternative, mechanism, empty
            As in `mixedfx.selmodel`.

        Returns
        -------
        SelectionFit

        Raises
        ------
        ModelError
            Other random terms; sampling errors that are correlated.

        Examples
        --------
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> schools = pd.DataFrame({"yi": [0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52],
        ...                         "vi": [0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05],
        ...                         "district": list("aabbccddeeff"), "school": range(12)})
        >>> fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools)
        >>> [round(float(fit.selmodel(mechanism=m).beta[0]), 3) for m in ("conditional", "joint", "best")]
        [0.207, 0.08, 0.278]
        """
        return selection_of_levels(self, read_selection(type, steps, alternative, mechanism, empty))

    def anova(self, other: RmaMvState) -> pd.DataFrame:
        """Likelihood-ratio test of this fit and another of the same estimates; see `mixedfx.anova`."""
        from mixedfx.inference.comparison import anova

        return anova(self.model, other.model)

    def leave_out(self, cluster: str | None = None) -> pd.DataFrame:
        """Refit without each cluster in turn (without each estimate: name its innermost level).

        Parameters
        ----------
        cluster
            Column or grouping factor; None: the one that all others are nested in.

        Returns
        -------
        DataFrame
            A row for each cluster: coefficients, their standard errors, components, QE; NaN where what is left does
            not determine the coefficients.
        """
        return mv_refits.leave_out(self, cluster)

    def plot(self, kind: str = "forest", ax: Axes | None = None, **options: Any) -> Picture:
        """Draw the fit.

        Parameters
        ----------
        kind
            ``"forest"``: estimates, their weights, mean and prediction interval (transf, level, slab: labels; order:
            ``"data"``, ``"estimate"``, ``"weight"``; group: a grouping factor, whose levels get a heading and the
            prediction of their mean, or a column). ``"funnel"`` (contours, levels, tau2). ``"bubble"``: a
            meta-regression over a moderator (variable). Components are drawn by ``profile().plot()``.
        ax
            Axes to draw on; new ones where None.
        **options
            Of the kind, and those of its function in `mixedfx.plots`.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", mx.datasets.load("school_calendars"))
        >>> axes = fit.plot("forest", group="district", slab="school").ax
        >>> [text.get_text().strip() for text in axes.get_yticklabels()][:6]
        ['district 11', '1', '2', '3', '4', 'Predicted mean']
        """
        return mv_pictures.plot(self, kind, ax, **options)

    @property
    def fitted(self) -> pd.Series:
        """Mean true effects X beta of the rows."""
        mean = self.design.X @ self.beta + self.design.offset
        return pd.Series(mean, index=self.design.frame.index, name="fitted")

    @property
    def residuals(self) -> pd.Series:
        """Estimates less their mean true effects."""
        return pd.Series(self.design.y, index=self.design.frame.index, name="residual") - self.fitted.to_numpy()

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
        >>> fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", mx.datasets.load("school_calendars"))
        >>> page = fit.report(title="School calendars")
        >>> "<h1>School calendars</h1>" in page and "mx.rma_mv(" in page
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
        >>> fit = mx.rma_mv("yi ~ 1 + (1 | lab)", data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "analysis.mfx"))
        >>> again
        <RmaMvFit yi ~ 1 + (1 | lab): 8 estimates (REML), Intercept 0.24>
        """
        return storage.save(self, path)

    def __repr__(self) -> str:
        first = "" if not len(self.beta) else f", {self.names[0]} {self.beta[0]:.2f}"
        return f"<RmaMvFit {self.formula}: {self.k} estimates ({self.method}){first}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
