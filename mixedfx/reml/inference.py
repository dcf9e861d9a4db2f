"""Tables, tests and intervals of a fitted linear mixed model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.errors import check_option
from mixedfx.reml.prediction import LmerPrediction
from mixedfx.results import tables
from mixedfx.results.summary import lmm_summary

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent


class LmerInference(LmerPrediction):
    """What a fit says about its parameters, and how sure it is."""

    def tidy(
        self,
        effects: tables.Effects = "fixed",
        ddf: tables.DegreesOfFreedom | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients. ``"ran_pars"``: standard deviations and correlations. ``"ran_vals"``: the
            conditional modes with their conditional standard deviations.
        ddf
            Degrees of freedom of t. None: unknown, so df, p values and intervals are NaN. ``"residual"``: n - p for
            every coefficient. ``"normal"``: infinite. The last two are anti-conservative where there are few groups.
        level
            Confidence level.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df, p_value, conf_low, conf_high; random effects begin with group (and
            level).
        """
        check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
        df = tables.degrees_of_freedom(ddf, self.nobs - len(self.solution.beta))
        if effects == "fixed":
            fit = self.solution
            return tables.fixed_table(self.design.fixed_names, fit.beta, fit.vcov, df, level)
        if effects == "ran_pars":
            return tables.ran_pars_table(self.varcorr)
        return tables.ran_vals_table(self.ranef, self.ranef_sd, df, level)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, npar, sigma, logLik, AIC, BIC, REMLcrit or deviance, df_residual, converged, singular."""
        return tables.glance_table(
            nobs=self.nobs,
            n_parameters=self.n_parameters,
            sigma=self.sigma,
            criterion=self.criterion,
            REML=self.REML,
            converged=self.converged,
            singular=self.singular,
        )

    def summary(self, ddf: tables.DegreesOfFreedom | None = None) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        course = self.optimization
        return lmm_summary(
            self.design,
            REML=self.REML,
            criterion=self.criterion,
            n_parameters=self.n_parameters,
            fixed=self.tidy(ddf=ddf),
            varcorr=self.varcorr,
            scaled_residuals=self.residuals("scaled").to_numpy(),
            convergence=f"{course.message} ({course.evaluations} evaluations)"
            if course.evaluations
            else course.message,
            singularity=self.singularity,
        )
