"""What a fitted linear mixed model tells its reader: tables in broom's columns, and the page of the summary."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.errors import DegreesOfFreedomWarning, check_option
from mixedfx.inference.degrees_of_freedom import Ddf, find_ddf
from mixedfx.inference.hypotheses import coefficient_df
from mixedfx.inference.linear_fit import is_linear, linear_statistics
from mixedfx.inference.response_kind import two_valued
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


def tidy(fit: LmerState, effects: tables.Effects, ddf: Ddf | None, level: float, vcov: Vcov | None) -> pd.DataFrame:
    """Table behind `LmerFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
    names, beta = fit.design.fixed_names, fit.solution.beta
    kind = find_ddf(ddf, unknown=True)
    if effects == "fixed":
        used = fit.reference(ddf, vcov)
        return tables.fixed_table(names, beta, used.vcov, coefficient_df(used, names), level)
    if effects == "ran_pars":
        return tables.ran_pars_table(fit.varcorr)
    df = kind.number(residual_df(fit.design, fit.solution))
    return tables.ran_vals_table(fit.ranef, fit.ranef_sd, df, level)


def coefficients_without_groups(fit: LmerState, ddf: Ddf | None = "satterthwaite") -> dict[str, tuple[str, ...]]:
    """Coefficients whose degrees of freedom leave groups out; see `LmerFit.coefficients_without_groups`."""
    if not fit.singular:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegreesOfFreedomWarning)
        used = fit.reference(ddf)
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


def summary(fit: LmerState, ddf: Ddf | None, vcov: Vcov | None) -> SummaryContent:
    """Page behind `LmerFit.summary`."""
    course, solution = fit.optimization, fit.solution
    kind, of_model = find_ddf(ddf, unknown=True), vcov is None
    exact = isinstance(solution, LeastSquares) and of_model and kind.of_contrasts is not None
    tests = basis_of_tests("residual" if exact else ddf, vcov)
    engine = "" if isinstance(solution, LeastSquares) or solution.monte_carlo is None else solution.monte_carlo.words
    if of_model and ddf not in fit.uncertain.references and not isinstance(solution, LeastSquares) and not engine:
        seconds = kind.forecast(solution.problem)
        if seconds > SUMMARY_SECONDS:
            tests = f"left out: by the sizes of the model {kind.words}'s df take about {seconds:.0f} s; "
            tests += "fit.tidy() computes them"
            ddf = None
    if of_model and ddf is not None:
        for group, names in coefficients_without_groups(fit, ddf).items():
            tests += f"; those of {', '.join(names)} act as if {group} did not exist"
    linear = None
    if is_linear(fit):
        found = linear_statistics(fit.design, fit.solution.beta)
        linear = {
            "R2": found.r2, "Adjusted R2": found.adjusted, "F": found.f, "Num. df": found.num_df,
            "Den. df": found.den_df, "p": found.p_value, "Residual sd": fit.sigma,
        }  # fmt: skip
    response = ""
    streamed = fit.design.streamed
    if two_valued(fit.design.y) if streamed is None else len(streamed.facts.values) == 2:
        response = (
            f"{fit.design.response_name} takes two values: this is a linear probability model; mx.glmer or "
            "mx.bayes(..., family='bernoulli') model the probability"
        )
    return lmm_summary(
        fit.design,
        REML=fit.REML,
        criterion=fit.criterion,
        n_parameters=fit.n_parameters,
        fixed=tidy(fit, "fixed", ddf, 0.95, vcov),
        varcorr=fit.varcorr,
        scaled_residuals=fit.residuals("scaled").to_numpy() if streamed is None else None,
        convergence=f"{course.message} ({course.evaluations} evaluations)" if course.evaluations else course.message,
        singularity=fit.singularity,
        tests=tests,
        linear=linear,
        response=response,
        engine=engine,
    )


def basis_of_tests(ddf: Ddf | None, vcov: Vcov | None) -> str:
    """What the t tests of a summary rest on."""
    covariance = "" if vcov is None else vcov.kind if isinstance(vcov, RobustCovariance) else "given"
    parts = [find_ddf(ddf, unknown=True).tests, f"{covariance} standard errors" if covariance else ""]
    return ", ".join(part for part in parts if part)
