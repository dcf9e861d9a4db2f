"""GlmerFit: a generalised linear mixed model fitted by maximum likelihood, and the questions that can be asked of it.

Estimates and predictions are in state.py. Methods are one line each; the work is done by functions of a design and its
estimates, in files by subject.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.design.checks import check_levels_of
from mixedfx.design.design import Design
from mixedfx.errors import (
    ConvergenceWarning,
    NoOverdispersionWarning,
    SeparationWarning,
    SingularFitWarning,
    outside,
)
from mixedfx.glmm import report
from mixedfx.glmm.call import Call, changed
from mixedfx.glmm.control import read_control
from mixedfx.glmm.separation import in_words, separated_columns
from mixedfx.glmm.solve import solve
from mixedfx.glmm.state import GlmerState
from mixedfx.results import tables

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True, eq=False, repr=False)
class GlmerFit(GlmerState):
    """A fitted generalised linear mixed model, as `mixedfx.glmer` returns it.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them.
    call
        What the fit was made from, by reference, for `update`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> course["passed"] = (course["score"] > 60).astype(int)
    >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
    >>> fit
    <GlmerFit passed ~ 1 + style + (1 | professor), bernoulli(logit): -2 log L 449.71, 375 rows, professor 15>
    """

    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients, on the scale of the linear predictor. ``"ran_pars"``: standard deviations and
            correlations. ``"ran_vals"``: the conditional modes with their conditional standard deviations.
        level
            Confidence level.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic (z), df (infinite: there are no degrees of freedom), p_value, conf_low,
            conf_high; random effects begin with group (and level).

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> print(fit.tidy()[["term", "estimate", "std_error", "statistic"]].round(2).to_string(index=False))
                       term  estimate  std_error  statistic
                  Intercept      1.48       0.35       4.21
        style[Some Flipped]     -1.07       0.34      -3.15
          style[No Flipped]     -1.54       0.34      -4.58
        """
        return report.tidy(self, effects, level)

    def glance(self) -> pd.DataFrame:
        """One row about the whole fit: nobs, npar, sigma, logLik, AIC, BIC, deviance (-2 log L), converged, ..."""
        return report.glance(self)

    def summary(self) -> SummaryContent:
        """Page for reading, with ``text()`` and ``html()``; printing the fit prints it."""
        return report.summary(self)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> GlmerFit:
        """Fit again with some arguments of `mixedfx.glmer` changed.

        Parameters
        ----------
        formula
            A change such as ``". ~ . + x - (1 | g)"``, where a dot stands for what was there; None keeps the formula.
        data
            New data; None keeps the data of the fit, which are held by reference.
        **changes
            family, link, nAGQ, weights, offset, na, contrasts, env, control.
        """
        call = changed(self.call, self.design.formula, formula, data, changes)
        return fit_call(call)

    def __repr__(self) -> str:
        kind = f"{self.family.name}({self.family.link.name}): -2 log L {self.criterion:.2f}"
        return f"<GlmerFit {self.formula}, {kind}, {tables.sizes_text(self.design)}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_call(call: Call) -> GlmerFit:
    """Read the data of a call and fit them."""
    from mixedfx.design.build import build_design

    call.check()
    return fit_design(build_design(**call.of_design), call)


def fit_design(design: Design, call: Call) -> GlmerFit:
    """Fit the design that `call` made, with the warnings of `mixedfx.glmer`."""
    family = call.found_family
    check_levels_of(design, family)
    fit = GlmerFit(design, solve(design, family, call.nAGQ, read_control(call.control)), call)
    found = separated_columns(design, family, fit.solution.beta)
    if found:
        warnings.warn(in_words(found, family), SeparationWarning, outside())
    elif not fit.converged:
        course = fit.optimization
        text = f"{course.message} after {course.evaluations} evaluations; the estimates may be off"
        warnings.warn(text, ConvergenceWarning, outside())
    solution = fit.solution
    if solution.model.likelihood.at_limit(solution.model.split(solution.psi)[2]).any():
        warnings.warn(
            "the counts vary no more than a Poisson distribution says, and the shape of the negative binomial runs to "
            "infinity: family='poisson' is the same model without it.",
            NoOverdispersionWarning,
            outside(),
        )
    if fit.singular:
        warnings.warn(fit.singularity.text, SingularFitWarning, outside())
    return fit
