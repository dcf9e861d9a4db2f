"""What a fitted generalised linear mixed model tells its reader: tables in broom's columns, and the summary."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfx.errors import check_option
from mixedfx.glmm.state import GlmerState
from mixedfx.results import tables
from mixedfx.results.glmm_summary import glmm_summary
from mixedfx.results.render import SummaryContent

TESTS = "z, normal approximation: a generalised linear mixed model has no degrees of freedom"


def tidy(fit: GlmerState, effects: tables.Effects, level: float) -> pd.DataFrame:
    """Table behind `GlmerFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
    if effects == "fixed":
        return tables.fixed_table(fit.design.fixed_names, fit.solution.beta, fit.solution.vcov, np.inf, level)
    if effects == "ran_pars":
        return tables.ran_pars_table(fit.varcorr)
    return tables.ran_vals_table(fit.ranef, fit.ranef_sd, np.inf, level)


def glance(fit: GlmerState) -> pd.DataFrame:
    """Table behind `GlmerFit.glance`."""
    return tables.glance_table(
        nobs=fit.nobs,
        n_parameters=fit.n_parameters,
        sigma=fit.sigma,
        criterion=fit.criterion,
        REML=False,
        converged=fit.converged,
        singular=fit.singular,
    )


def summary(fit: GlmerState) -> SummaryContent:
    """Page behind `GlmerFit.summary`."""
    course = fit.optimization
    return glmm_summary(
        fit.design,
        fit.family,
        approximation=approximation(fit),
        criterion=fit.criterion,
        n_parameters=fit.n_parameters,
        fixed=tidy(fit, "fixed", 0.95),
        varcorr=fit.varcorr,
        auxiliary=fit.solution.auxiliary,
        residuals=fit.residuals("pearson").to_numpy() / fit.sigma,
        convergence=f"{course.message} ({course.evaluations} evaluations)",
        singularity=fit.singularity,
        tests=TESTS,
    )


def approximation(fit: GlmerState) -> str:
    """How the integral over the random effects was taken, and how far off that may be."""
    if not fit.design.random:
        return "none needed: there are no random effects"
    if fit.nAGQ > 1:
        return f"adaptive Gauss-Hermite quadrature, {fit.nAGQ} nodes for each effect of a level"
    return "Laplace"
