"""What a fitted generalised linear mixed model tells its reader: tables in broom's columns, and the summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_option
from mixedfx.glmm.auxiliary import ByRow, Single, Thresholds
from mixedfx.glmm.integration import better, in_words
from mixedfx.glmm.questions import estimated_dispersion
from mixedfx.glmm.state import GlmerState
from mixedfx.inference.robust import covariance_words
from mixedfx.results import tables
from mixedfx.results.glmm_summary import glmm_summary
from mixedfx.results.render import SummaryContent

TESTS = "z, normal approximation: a generalised linear mixed model has no degrees of freedom"


def tidy(fit: GlmerState, effects: tables.Effects, level: float, vcov: Any = None) -> pd.DataFrame:
    """Table behind `GlmerFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals", "auxiliary"))
    if vcov is not None and effects != "fixed":
        raise OptionError("vcov= is a covariance of the fixed effects", hint='Use effects="fixed".')
    if effects == "fixed":
        used = fit.reference("normal", vcov)
        used.t_df(np.eye(len(fit.design.fixed_names)))  # says which coefficients rest on one cluster
        table = tables.fixed_table(fit.design.fixed_names, fit.solution.beta, used.vcov, np.inf, level)
        if fit.family.outcome != "ordered":
            return table
        own = auxiliary_table(fit, level)
        return pd.concat([pd.DataFrame(own.loc[own["term"].isin(thresholds_of(fit))]), table], ignore_index=True)
    if effects == "auxiliary":
        return auxiliary_table(fit, level)
    if effects == "ran_pars":
        return tables.ran_pars_table(fit.varcorr)
    return tables.ran_vals_table(fit.ranef, fit.ranef_sd, np.inf, level)


def thresholds_of(fit: GlmerState) -> tuple[str, ...]:
    """Labels of the thresholds of an ordered response; none of others."""
    parts = fit.solution.model.likelihood.parameters.parts
    return tuple(label for part in parts if isinstance(part, Thresholds) for label in part.labels)


def auxiliary_table(fit: GlmerState, level: float) -> pd.DataFrame:
    """Parameters of the family in broom's columns, intervals of those above zero on the scale of their coordinates."""
    solution = fit.solution
    own, (p, _, a) = solution.model.likelihood.parameters, solution.model.sizes
    phi = solution.model.split(solution.psi)[2]
    estimate, slopes = own.natural(phi), own.slopes(phi)
    table = tables.fixed_table(own.labels, estimate, solution.full_covariance[p:, p:], np.inf, level)
    half = tables.fixed_table(
        own.labels, phi, solution.full_covariance[p:, p:] / np.outer(slopes, slopes), np.inf, level
    )
    ends = [own.natural(half[name].to_numpy()) for name in ("conf_low", "conf_high")]
    free = np.array([np.isinf(low) for low, _ in own.ranges], dtype=bool) if a else np.zeros(0, dtype=bool)
    table["conf_low"], table["conf_high"] = ends
    table.loc[~free, ["statistic", "p_value"]] = np.nan  # no value of a shape is that of nothing
    return table


def glance(fit: GlmerState) -> pd.DataFrame:
    """Table behind `GlmerFit.glance`."""
    table = tables.glance_table(
        nobs=fit.nobs,
        n_parameters=fit.n_parameters,
        sigma=fit.sigma,
        criterion=fit.criterion,
        REML=False,
        converged=fit.converged,
        singular=fit.singular,
    )
    if len(fit.priors):
        table = table.assign(AIC=np.nan, BIC=np.nan)
    parts = fit.solution.model.likelihood.parameters.parts
    shown = [part.name for part in parts if isinstance(part, Single | ByRow)]
    return table.assign(**{name: fit.solution.auxiliary[name] for name in shown if name not in table})


def summary(fit: GlmerState, vcov: Any = None) -> SummaryContent:
    """Page behind `GlmerFit.summary`."""
    course = fit.optimization
    return glmm_summary(
        fit.design,
        fit.family,
        approximation=approximation(fit),
        criterion=fit.criterion,
        n_parameters=fit.n_parameters,
        fixed=tidy(fit, "fixed", 0.95, vcov),
        varcorr=fit.varcorr,
        auxiliary={
            name: value
            for name, value in fit.solution.auxiliary.items()
            if name not in thresholds_of(fit) and not name.startswith("dispersion__")
        },
        dispersion=estimated_dispersion(fit.design, fit.solution),
        residuals=None if fit.family.categories else fit.residuals("pearson").to_numpy() / fit.sigma,
        convergence=f"{course.message} ({course.evaluations} evaluations)",
        singularity=fit.singularity,
        engine="" if fit.solution.monte_carlo is None else fit.solution.monte_carlo.words,
        priors=[f"{name} ~ {used}" for name, _, used in fit.priors.itertuples(index=False)],
        tests=TESTS if vcov is None else f"{TESTS}; covariance of the fixed effects: {covariance_words(vcov)}",
    )


HARMLESS = 1.0  # units of deviance up to which the error of the approximation changes no conclusion
ACCURATE = 5.0  # units up to which the estimate of it is good to some 20 %


def approximation(fit: GlmerState) -> str:
    """How the integral over the random effects was taken, and how far off that is."""
    if not fit.design.random:
        return "none needed: there are no random effects"
    if fit.nAGQ > 1:
        return in_words(fit.design, fit.solution.model.problem, fit.nAGQ, fit.solution.settled)
    error = fit.laplace_error
    if np.isnan(error):
        return "Laplace's approximation; how far it is off was not worked out"
    if abs(error) < 5e-4:
        return "Laplace's approximation, exact to the digits shown"
    size = f"{abs(error):.1g}" if abs(error) < 1.0 else f"{abs(error):.1f}"
    text = f"Laplace's approximation, off by about {size} deviance units: "
    if abs(error) <= HARMLESS:
        return text + "harmless"
    way = better(fit.solution.model.problem)[0]
    if abs(error) <= ACCURATE:
        return text + f"standard deviations of the random effects may be too small; {way}"
    return (
        text
        + f"standard deviations of the random effects are too small, and likelihoods of models do not compare; {way}"
    )
