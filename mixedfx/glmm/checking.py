"""The check page of a generalised linear mixed model: what a reviewer would ask, each with what was seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.formula.part_formulas import right_side
from mixedfx.glmm.integration import better
from mixedfx.glmm.integration import in_words as in_words_of
from mixedfx.glmm.separation import UNTRIED, without_prior
from mixedfx.glmm.simulated import dispersion_test, quantile_residuals, zero_inflation_test
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.zero_inflation import Both, runaway_in_words, runs_off, singularities
from mixedfx.inference import checks
from mixedfx.inference.findings import CheckReport, Finding, rows_left_out
from mixedfx.inference.influence import group_influence
from mixedfx.inference.separation import in_words, separated_columns
from mixedfx.inference.simulated_test import SimulatedTest
from mixedfx.pls.projection import Projection
from mixedfx.results.singularity import SingularityReport
from mixedfx.results.tables import split_effects

SIMULATED, SEED = 250, 1  # responses behind the tests, the same at every call
ALPHA = 0.01  # size of a test; 250 simulated responses resolve it
MATTERS = 0.2  # share by which a dispersion or number of zeros must be off to change conclusions
HARMLESS, ACCURATE = 1.0, 5.0  # units of deviance: of the approximation's error


def check(
    design: Design, solution: GlmmSolution, singularity: SingularityReport, projection: Projection
) -> CheckReport:
    """Every check of a fit, and the tables of its pictures."""
    given = checks.CheckInput(projection, 1.0, solution.factors)
    largest = max(design.random, key=lambda t: len(t.levels) if len(t.levels) < len(design.y) / 2 else 0)
    influence = group_influence(projection, design.fixed_names, largest.codes, largest.levels, largest.label)
    findings = (
        *rows_left_out(design.rows),
        _convergence(solution),
        _singularity(singularity),
        _approximation(design, solution),
        *_separation(design, solution),
        *_dispersion(design, solution),
        *_zeros(design, solution),
        checks.outlying_groups(given),
        checks.leverage(given, influence.cooks_distance, influence.dfbetas, largest.label),
    )
    residual, eta = quantile_residuals(design, solution, SIMULATED, SEED, "drawn", "normal")
    modes = [
        pd.DataFrame({"group": term.label, "column": column, "mode": values[:, c]})
        for term, values in zip(design.random, given.modes, strict=True)
        for c, column in enumerate(term.columns)
    ]
    pictures = {
        "residuals": pd.DataFrame({"fitted": eta, "residual": residual}),
        "modes": pd.concat(modes, ignore_index=True),
        "influence": pd.DataFrame(
            {"group": list(largest.levels), "cooks_distance": influence.cooks_distance.to_numpy()}
        ),
    }
    return CheckReport(f"Check of {design.formula}", findings, pictures)


def check_zero_inflated(both: Both, solution: GlmmSolution) -> CheckReport:
    """The checks that a zero-inflated fit has, and the tables of its pictures."""
    design = solution.design
    reports = singularities(both, solution)
    found = next((part for part, report in reports.items() if report.singular), "count")
    findings = (
        _convergence(solution),
        _singularity(reports[found]),
        _approximation(design, solution),
        _excess(both, solution),
        *_dispersion(design, solution),
        *_zeros(design, solution),
    )
    groups = "fitted" if findings[3].status == "problem" else "drawn"
    residual, eta = quantile_residuals(design, solution, SIMULATED, SEED, groups, "normal")
    modes = [
        pd.DataFrame({"group": term.label, "column": column, "mode": values[:, c] / (values[:, c].std() or 1.0)})
        for term, values in zip(design.random, split_effects(design, solution.u), strict=True)
        for c, column in enumerate(term.columns)
    ]
    n = len(both.count.y)
    pictures = {"residuals": pd.DataFrame({"fitted": eta[:n], "residual": residual[:n]})}
    if modes:
        pictures["modes"] = pd.concat(modes, ignore_index=True)
    return CheckReport(f"Check of {both.count.formula}, zi {right_side(both.zero.formula)}", findings, pictures)


def _excess(both: Both, solution: GlmmSolution) -> Finding:
    """Whether the model of the zeros has a finite estimate."""
    names, never = runs_off(both, solution)
    if not names:
        return Finding("zero inflation", "ok", "the coefficients of the zeros have finite estimates")
    seen = "no zeros besides those of the counts" if never else f"separation in {', '.join(names)}"
    return Finding("zero inflation", "note" if never else "problem", seen, runaway_in_words(names, never))


def _convergence(solution: GlmmSolution) -> Finding:
    course = solution.optimization
    if course.converged:
        return Finding("convergence", "ok", f"{course.message}, after {course.evaluations} evaluations")
    return Finding(
        "convergence", "problem", course.message,
        "The estimates may not be those of the largest likelihood. Centre and scale the covariates, or fit a smaller "
        "random part.",
    )  # fmt: skip


def _singularity(report: SingularityReport) -> Finding:
    if not report.singular:
        return Finding("singularity", "ok", report.found)
    return Finding(
        "singularity", "note", report.found,
        "The estimate lies on the boundary: fixed effects stand, but tests of this variance do not. Try "
        f"{report.to_try}, or mx.bayes, whose prior keeps the variance away from zero.",
    )  # fmt: skip


def _approximation(design: Design, solution: GlmmSolution) -> Finding:
    """How far off the integral over the random effects is."""
    name = "approximation"
    if solution.nAGQ > 1:
        return Finding(name, "ok", in_words_of(design, solution.model.problem, solution.nAGQ, solution.settled))
    error = solution.laplace_error
    if np.isnan(error):
        return Finding(name, "note", "Laplace's; how far it is off was not worked out")
    seen = f"Laplace's, off by about {abs(error):.2g} units of deviance"
    if abs(error) <= HARMLESS:
        return Finding(name, "ok", seen)
    way = better(solution.model.problem)[1]
    if abs(error) <= ACCURATE:
        return Finding(name, "note", seen, f"Standard deviations of the random effects may be too small. {way}")
    return Finding(
        name, "problem", seen,
        f"Standard deviations of the random effects are too small, and likelihoods of models do not compare. {way}",
    )  # fmt: skip


def _separation(design: Design, solution: GlmmSolution) -> tuple[Finding, ...]:
    family = solution.model.family
    if family.outcome not in ("binary", "trials", "count"):
        return ()
    found = separated_columns(design, family, solution.beta)
    if found and not without_prior(found, solution):
        seen = f"found in {', '.join(found)}, whose priors keep the coefficients finite"
        return (Finding("separation", "ok", seen),)
    if not found:
        return (Finding("separation", "ok", "no combination of predictors decides the response"),)
    return (Finding("separation", "problem", f"found in {', '.join(found)}", in_words(found, family, UNTRIED)),)


def _dispersion(design: Design, solution: GlmmSolution) -> tuple[Finding, ...]:
    """More or less variation than the family says."""
    if solution.model.family.outcome == "binary" or solution.model.family.categories:
        return ()
    found = dispersion_test(design, solution, SIMULATED, SEED)
    seen = f"residual variation is {found.ratio:.2f} times what the model says"
    if _fine(found):
        return (Finding("dispersion", "ok", seen, p_value=found.p_value),)
    if found.ratio < 1.0:
        text = "Standard errors are too large. Look for rows that are sums or means, or bounded by something."
        return (Finding("dispersion", "note", seen, text, found.p_value),)
    ways = {
        "count": 'Fit family="negbinomial", or add an effect of each row: (1 | row).',
        "trials": "Add an effect of each row, (1 | row), or what the rows of one kind differ by.",
    }
    text = "Standard errors are too small. " + ways.get(
        solution.model.family.outcome, "The response has heavier tails than the family: look at its largest values."
    )
    return (Finding("dispersion", "problem", seen, text, found.p_value),)


def _zeros(design: Design, solution: GlmmSolution) -> tuple[Finding, ...]:
    """More or fewer zeros than the model says."""
    if solution.model.family.outcome != "count":
        return ()
    found = zero_inflation_test(design, solution, SIMULATED, SEED)
    seen = f"{found.observed:.0f} zeros, where the model expects {found.expected:.0f}"
    if _fine(found):
        return (Finding("zeros", "ok", seen, p_value=found.p_value),)
    text = (
        'Zeros may come from two sources: give those that cannot be otherwise a model of their own, zi="~ 1", or let '
        'the mean vary more, by a predictor, by family="negbinomial" or an effect of each row.'
        if found.ratio > 1.0
        else "The lowest counts may have been left out of the data: a count that starts at one is not a Poisson one."
    )
    return (Finding("zeros", "problem", seen, text, found.p_value),)


def _fine(found: SimulatedTest) -> bool:
    return found.p_value >= ALPHA or abs(found.ratio - 1.0) < MATTERS / 2
