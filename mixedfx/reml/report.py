"""What a fitted linear mixed model tells its reader: tables in broom's columns, and the page of the summary."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.errors import DegreesOfFreedomWarning, check_option
from mixedfx.inference.forecast import satterthwaite_seconds
from mixedfx.inference.hypotheses import coefficient_df
from mixedfx.inference.robust import RobustCovariance
from mixedfx.inference.satterthwaite import Satterthwaite
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import residual_df
from mixedfx.reml.state import LmerState
from mixedfx.reml.testing import Vcov
from mixedfx.results import tables
from mixedfx.results.summary import lmm_summary

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent


SUMMARY_SECONDS = 5.0  # a summary that is forecast to take longer leaves the degrees of freedom out


def tidy(
    fit: LmerState, effects: tables.Effects, ddf: tables.DegreesOfFreedom | None, level: float, vcov: Vcov | None
) -> pd.DataFrame:
    """Table behind `LmerFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
    names, beta = fit.design.fixed_names, fit.solution.beta
    df = tables.degrees_of_freedom(ddf, residual_df(fit.design, fit.solution))
    if effects == "fixed":
        used = fit.reference(ddf, vcov)
        return tables.fixed_table(names, beta, used.vcov, coefficient_df(used, names), level)
    if effects == "ran_pars":
        return tables.ran_pars_table(fit.varcorr)
    return tables.ran_vals_table(fit.ranef, fit.ranef_sd, df, level)


def coefficients_without_groups(fit: LmerState) -> dict[str, tuple[str, ...]]:
    """Coefficients whose degrees of freedom leave groups out; see `LmerFit.coefficients_without_groups`."""
    if not fit.singular:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegreesOfFreedomWarning)
        used = fit.reference("satterthwaite")
    found = used.coefficients_without_groups() if isinstance(used, Satterthwaite) else {}
    alone = len(fit.solution.beta) == 1
    rest = {group: tuple(n for n in names if n != "Intercept" or alone) for group, names in found.items()}
    return {group: names for group, names in rest.items() if names}


def glance(fit: LmerState) -> pd.DataFrame:
    """Table behind `LmerFit.glance`."""
    return tables.glance_table(
        nobs=fit.nobs,
        n_parameters=fit.n_parameters,
        sigma=fit.sigma,
        criterion=fit.criterion,
        REML=fit.REML,
        converged=fit.converged,
        singular=fit.singular,
    )


def summary(fit: LmerState, ddf: tables.DegreesOfFreedom | None, vcov: Vcov | None) -> SummaryContent:
    """Page behind `LmerFit.summary`."""
    course, solution = fit.optimization, fit.solution
    exact = isinstance(solution, LeastSquares) and vcov is None and ddf in ("satterthwaite", "kenward-roger")
    tests = basis_of_tests("residual" if exact else ddf, vcov)
    if ddf == "satterthwaite" and vcov is None and ddf not in fit.uncertain.references:
        seconds = 0.0 if isinstance(solution, LeastSquares) else satterthwaite_seconds(solution.problem)
        if seconds > SUMMARY_SECONDS:
            ddf = None
            tests = (
                f"left out: by the sizes of the model Satterthwaite's df take about {seconds:.0f} s; "
                "fit.tidy() computes them"
            )
    if ddf == "satterthwaite" and vcov is None:
        for group, names in coefficients_without_groups(fit).items():
            tests += f"; those of {', '.join(names)} act as if {group} did not exist"
    return lmm_summary(
        fit.design,
        REML=fit.REML,
        criterion=fit.criterion,
        n_parameters=fit.n_parameters,
        fixed=tidy(fit, "fixed", ddf, 0.95, vcov),
        varcorr=fit.varcorr,
        scaled_residuals=fit.residuals("scaled").to_numpy(),
        convergence=f"{course.message} ({course.evaluations} evaluations)" if course.evaluations else course.message,
        singularity=fit.singularity,
        tests=tests,
    )


def basis_of_tests(ddf: tables.DegreesOfFreedom | None, vcov: Vcov | None) -> str:
    """What the t tests of a summary rest on."""
    words = {
        "satterthwaite": "Satterthwaite's degrees of freedom",
        "kenward-roger": "Kenward and Roger's degrees of freedom and standard errors",
        "residual": "n - p degrees of freedom",
        "normal": "the normal distribution",
        None: "",
    }
    covariance = "" if vcov is None else vcov.kind if isinstance(vcov, RobustCovariance) else "given"
    parts = [words.get(ddf, ""), f"{covariance} standard errors" if covariance else ""]
    return ", ".join(part for part in parts if part)
