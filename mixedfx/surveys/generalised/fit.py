"""WeightedGlmerFit: a generalised linear mixed model fitted with sampling weights, and what can be asked of it.

Estimates are in state.py; what a weighted linear model answers in the same way comes from `WeightedFit`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mixedfx.errors import NoOverdispersionWarning, SeparationWarning, outside
from mixedfx.inference.calls import changed
from mixedfx.inference.incomplete_rows import Na
from mixedfx.inference.separation import in_words, separated_columns
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels
from mixedfx.surveys.call import GeneralCall
from mixedfx.surveys.fit import SampleDdf, WeightedFit, warn_about
from mixedfx.surveys.generalised import prediction, report, storage
from mixedfx.surveys.generalised.estimates import warn_lacking
from mixedfx.surveys.generalised.prediction import Groups, Kind
from mixedfx.surveys.generalised.solution import solve_general
from mixedfx.surveys.generalised.state import GeneralState
from mixedfx.surveys.reading import read_sample

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True, eq=False, repr=False)
class WeightedGlmerFit(GeneralState, WeightedFit):
    """A generalised linear mixed model with sampling weights, as `mixedfx.glmer` returns it with ``sampling_weights=``.

    Estimates maximise the pseudo likelihood (Rabe-Hesketh & Skrondal 2006), the integrals over random effects taken by
    adaptive Gauss-Hermite quadrature; standard errors are linearised over primary sampling units in strata, or of
    replicate weights. Tests use t with the sample's degrees of freedom.

    Examples
    --------
    >>> import mixedfx as mx
    >>> pupils = mx.datasets.simulate_survey(1)[0]
    >>> pupils["passed"] = (pupils["score"] > 500).astype(int)
    >>> fit = mx.glmer(
    ...     "passed ~ ses + (1 | school)", pupils, "bernoulli",
    ...     sampling_weights={"row": "w_pupil", "school": "w_school"},
    ... )
    >>> fit.nAGQ, fit.df
    (11, 59.0)
    """

    call: GeneralCall | None = None

    def tidy(
        self, effects: Literal["fixed", "ran_pars", "ran_vals", "auxiliary"] = "fixed",
        ddf: SampleDdf | None = "sample", level: float = 0.95, vcov: None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects, ddf, level, vcov
            As in `WeightedFit.tidy`; ``"auxiliary"``: the family's estimated parameters, with intervals on the scale of
            their logarithms.
        """
        if effects == "auxiliary":
            return report.auxiliary_table(self, level, self.reference(ddf, vcov).df)
        chosen: tables.Effects = effects
        return super().tidy(chosen, ddf, level, vcov)

    def glance(self) -> pd.DataFrame:
        """One row as of a weighted linear model, and the family's parameters."""
        return super().glance().assign(**self.solution.auxiliary)

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return report.summary(self, self.df)

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Groups = "fitted",
        *,
        kind: Kind = "response",
        se: bool = False,
        level: float = 0.95,
        na: Na = "pass",
    ) -> pd.Series | pd.DataFrame:
        """Predicted means or linear predictors of rows.

        Parameters
        ----------
        newdata
            Any frame narwhals understands; the data of the fit where None.
        new_levels
            Of levels that the fit has not seen: ``"error"``; ``"population"``: their effects are 0; ``"sample"``: 0
            too, with their variance in the standard error.
        groups
            ``"fitted"``: with the modes of the groups. ``"average"``: with all random effects at 0. ``"integrate"``:
            the mean over the population of groups, by quadrature, which off the identity link is another number.
        kind
            ``"response"``: the mean of the response, of binomial responses the probability of a success. ``"link"``:
            the linear predictor (over the population the link of the mean).
        se
            Whether to give a table (estimate, se, lower, upper). Intervals are those of the linear predictor through
            the inverse link; over the population they take variances as known.
        level
            Level of its intervals for means.
        na
            As in `LmerFit.predict`.

        Returns
        -------
        Series or DataFrame
            One prediction for each row.
        """
        return prediction.predict(self, newdata, new_levels, groups, kind, se, level, na)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> WeightedGlmerFit:
        """Fit again with some arguments of `mixedfx.glmer` changed; see `LmerFit.update`."""
        return fit_general(
            changed(self.call, GeneralCall, "mixedfx.glmer", self.design.formula, formula, data, changes)
        )

    def save(self, path: str | Path) -> Path:
        """Write the fit to a file that `mixedfx.load` reads; see `WeightedFit.save`."""
        return storage.save(self.design, self.solution, path)

    def __repr__(self) -> str:
        kind = f"{self.family.name}({self.family.link.name}): -2 log pseudo L {self.criterion:.2f}"
        return f"<WeightedGlmerFit {self.formula}, {kind}, {tables.sizes_text(self.design)}>"


def fit_general(call: GeneralCall) -> WeightedGlmerFit:
    """Fit what a call describes, with the warnings of `mixedfx.glmer`."""
    call.check()
    family = call.found_family
    design, found, weights, sample, replicates, asked = read_sample(call, family)
    solution = solve_general(design, family, call.nAGQ, found, asked, weights, sample, replicates, call.progress)
    fit = WeightedGlmerFit(design, solution, call)
    warn_about(fit)
    problem = solution.problem
    for text in problem.responses.limits(problem.split(solution.maximum.at.psi)[2]).values():
        warnings.warn(text, NoOverdispersionWarning, outside())
    warn_lacking(solution.change, solution.nAGQ)
    apart = separated_columns(design, family, solution.beta)
    if apart:
        way = 'mx.glmer(..., priors="default") without sampling weights'
        warnings.warn(in_words(apart, family, way), SeparationWarning, outside())
    return fit
