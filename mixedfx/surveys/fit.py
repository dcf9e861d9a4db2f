"""WeightedFit: a linear mixed model fitted with sampling weights, and the questions that can be asked of it.

Estimates and predictions of rows are in state.py. Methods are one line; the work is done by functions of a design and
its estimates.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.draws import Draws
from mixedfx.errors import ConvergenceWarning, OptionError, SingularFitWarning, check_option, outside
from mixedfx.inference.calls import changed
from mixedfx.inference.hypotheses import Constant, anova_table, hypothesis_table
from mixedfx.inference.incomplete_rows import Na
from mixedfx.inference.terms import term_contrasts
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels
from mixedfx.surveys import prediction, report, storage
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.reading import read_sample
from mixedfx.surveys.solution import WeightedSolution, solve_sample
from mixedfx.surveys.state import WeightedState

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent

SampleDdf = Literal["sample", "normal"]


@dataclass(frozen=True, eq=False, repr=False)
class WeightedFit(WeightedState):
    """A linear mixed model with sampling weights, as `mixedfx.lmer` returns it where ``sampling_weights=`` is given.

    Estimates are by pseudo maximum likelihood (`mixedfx.surveys.recursion`); standard errors are those of the sample:
    linearised over primary sampling units in strata, or of replicate weights. REML has no weighted form.

    Examples
    --------
    >>> import mixedfx as mx
    >>> schools = mx.datasets.simulate_survey(1)[0]
    >>> fit = mx.lmer(
    ...     "score ~ ses + (1 | school)", schools, sampling_weights={"row": "w_pupil", "school": "w_school"}
    ... )
    >>> fit
    <WeightedFit score ~ 1 + ses + (1 | school): -2 log pseudo L 176699.99, 720 rows, school 60>
    >>> print(fit.tidy()[["term", "estimate", "std_error", "df"]].round(2).to_string(index=False))
         term  estimate  std_error   df
    Intercept    503.12       5.38 59.0
          ses     34.70       4.17 59.0
    """

    def tidy(
        self, effects: tables.Effects = "fixed", ddf: SampleDdf | None = "sample", level: float = 0.95,
        vcov: None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients. ``"ran_pars"``: standard deviations and correlations, with standard errors.
            ``"ran_vals"``: the modes of the random effects.
        ddf
            Degrees of freedom of t: ``"sample"``, those of `df`, or ``"normal"``, infinite.
        level
            Confidence level.
        vcov
            None: the covariance by the sample is the only one.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df, p_value, conf_low, conf_high; random effects begin with group (and
            level). Intervals of standard deviations are on the scale of their logarithms, of correlations on Fisher's.
        """
        return report.tidy(self, effects, level, self.reference(ddf, vcov).df)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, npar, sigma, pseudo_logLik, df, design_effect, effective_n, converged, singular."""
        row = self.design_effects.iloc[0]
        found = {
            "nobs": self.nobs, "npar": self.n_parameters, "sigma": self.sigma, "pseudo_logLik": self.loglik,
            "df": self.df, "design_effect": row["design_effect"], "effective_n": row["effective_n"],
            "converged": self.converged, "singular": self.singular,
        }  # fmt: skip
        return pd.DataFrame([found])

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return report.summary(self, self.df)

    def confint(self, parm: Literal["fixed", "components"] | None = None, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals by t: group, term, estimate, conf_low, conf_high.

        Parameters
        ----------
        parm
            ``"fixed"``; ``"components"``, standard deviations on the scale of their logarithms and correlations on
            Fisher's; None for both.
        level
            Confidence level.
        """
        return report.confint(self, parm, level, self.df)

    def reference(self, ddf: SampleDdf | None = "sample", vcov: None = None) -> Constant:
        """Covariance of the fixed effects by the sample, with its degrees of freedom.

        Raises
        ------
        OptionError
            For other degrees of freedom, or another covariance.
        """
        check_option("ddf", ddf, ("sample", "normal", None))
        if vcov is not None:
            raise OptionError("vcov= is for fits without sampling weights: the sample says the covariance of this one")
        df = {"sample": self.df, "normal": np.inf, None: np.nan}[ddf]
        return Constant(self.solution.spread.beta, df)

    def test(
        self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, ddf: SampleDdf | None = "sample",
        level: float = 0.95,
    ) -> pd.DataFrame:  # fmt: skip
        """Wald test of a general linear hypothesis L beta = rhs, written as for `LmerFit.test`.

        Returns
        -------
        DataFrame
            hypothesis, num_df, den_df, f_value, p_value; or broom's columns where ``joint=False``.
        """
        used = self.reference(ddf)
        return hypothesis_table(
            hypothesis, rhs, self.design.fixed_names, self.solution.beta, lambda: used, joint, level
        )

    def anova(self, type: Literal["I", "II", "III", 1, 2, 3] = "III") -> pd.DataFrame:
        """Wald's F test of each term of the fixed part: term, num_df, den_df, f_value, p_value."""
        roman: Any = {1: "I", 2: "II", 3: "III"}.get(type, type) if isinstance(type, int) else type
        contrasts = term_contrasts(self.design, roman)
        table = anova_table(contrasts, self.solution.beta, self.sigma, self.reference())
        return table.drop(columns=["sum_sq", "mean_sq"])

    @property
    def asked_instead(self) -> str:
        """What to ask instead of what likelihoods answer."""
        return (
            "Of fits with sampling weights likelihoods are pseudo likelihoods, whose differences have no chi-square "
            "distribution: test coefficients by fit.test(['a', 'b']), terms by fit.anova()."
        )

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
        *,
        se: bool = False,
        level: float = 0.95,
        na: Na = "pass",
    ) -> pd.Series | pd.DataFrame:
        """Predicted means of rows.

        Parameters
        ----------
        newdata
            Any frame narwhals understands; the data of the fit where None.
        new_levels
            Of levels that the fit has not seen: ``"error"``; ``"population"``: their effects are 0; ``"sample"``: 0
            too, with their variance in the standard error.
        groups
            ``"fitted"``: with the estimated effects of the groups. ``"average"``: with all random effects at 0.
        se
            Whether to give a table (estimate, se, lower, upper).
        level
            Level of its intervals for means.
        na
            As in `LmerFit.predict`.

        Returns
        -------
        Series or DataFrame
            One prediction for each row, in the units of the response as modelled.
        """
        return prediction.predict(self, newdata, new_levels, groups, se, level, na)

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of (beta, u) around their estimates, normal: one chain of n, 1,000 where None."""
        return prediction.draws(self, n, seed)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> WeightedFit:
        """Fit again with some arguments of `mixedfx.lmer` changed; see `LmerFit.update`."""
        return fit_call(changed(self.call, WeightedCall, "mixedfx.lmer", self.design.formula, formula, data, changes))

    def save(self, path: str | Path) -> Path:
        """Write the fit to a file that `mixedfx.load` reads, in any session and version with the same format.

        The file holds formula, the rows used with all weights, and the estimates, and no code.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            Functions in `env`, which a file of data cannot hold.
        """
        assert isinstance(self.solution, WeightedSolution)
        return storage.save(self.design, self.solution, path)

    def __repr__(self) -> str:
        kind = f"-2 log pseudo L {self.criterion:.2f}"
        return f"<WeightedFit {self.formula}: {kind}, {tables.sizes_text(self.design)}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_call(call: WeightedCall) -> WeightedFit:
    """Fit what a call describes, with the warnings of `mixedfx.lmer`."""
    return fit_responses(call)[0]


def fit_responses(call: WeightedCall, Y: NDArray[np.float64] | None = None) -> list[WeightedFit]:
    """Fits of many responses that share the rows, the weights and the replicates of a call, all at once.

    Parameters
    ----------
    call
        The arguments; the response of its formula says which rows are used.
    Y
        (n, M) responses of the rows used, in the order of the data, such as plausible values; that of the formula
        where None.

    Returns
    -------
    list
        M fits.
    """
    design, found, weights, sample, replicates, asked = read_sample(call)
    solutions = solve_sample(design, found, asked, weights, sample, replicates, call.progress, Y)
    fits = []
    for m, solution in enumerate(solutions):
        own = design if Y is None else replace(design, y=np.ascontiguousarray(Y[:, m], dtype=np.float64))
        fits.append(WeightedFit(own, solution, call))
        warn_about(fits[-1])
    return fits


def warn_about(fit: WeightedFit) -> None:
    """Say what speaks against a fit that was just made."""
    if not fit.converged:
        course = fit.optimization
        text = f"{course.message} after {course.evaluations} evaluations; the estimates may be off"
        warnings.warn(text, ConvergenceWarning, outside())
    certified = fit.solution.certified
    if certified is not None and not certified.all():
        lost = int((~certified).sum())
        text = f"{lost} of {len(certified)} fits with replicate weights were not certified as maxima"
        warnings.warn(text, ConvergenceWarning, outside())
    if fit.design.random and fit.singular:
        warnings.warn(fit.singularity.line, SingularFitWarning, outside())
