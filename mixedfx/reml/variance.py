"""R2 and intraclass correlations of a fit; for R2 by level, the same model without its predictors."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from mixedfx.design.design import Design
from mixedfx.errors import ConvergenceWarning, FewLevelsWarning, IdentifiabilityWarning, check_option, outside
from mixedfx.inference.variance_explained import (
    VarianceParts,
    icc_table,
    partition_table,
    r2_by_level_table,
    r2_table,
    variance_parts,
)
from mixedfx.reml.solution import Solution, solve_whole

By = Literal["level", "term"]


def parts_of(design: Design, solution: Solution) -> VarianceParts:
    """Variance of a row by where it comes from."""
    factors = tuple(solution.sigma * factor[None] for factor in solution.factors)
    return variance_parts(design, solution.beta, factors, solution.sigma**2)


def r2(design: Design, solution: Solution, by: By | None) -> pd.DataFrame:
    """Marginal and conditional R2, or the variance explained by level or by term.

    Raises
    ------
    OptionError
        For an unknown `by`.
    """
    check_option("by", by, (None, "level", "term"))
    parts = parts_of(design, solution)
    if by == "level":
        return r2_by_level_table(parts, parts_of(*without_predictors(design, solution.REML)))
    return r2_table(parts) if by is None else partition_table(parts)


def icc(design: Design, solution: Solution) -> pd.DataFrame:
    """Intraclass correlations and design effects."""
    return icc_table(design, parts_of(design, solution))


def without_predictors(design: Design, REML: bool) -> tuple[Design, Solution]:
    """The same random part and rows, what is known of these too, with an intercept as the only fixed effect, fitted.

    What few levels or a singular fit mean was said when the model itself was fitted, and is not said again.

    Warns
    -----
    ConvergenceWarning
        Where the optimiser did not certify a minimum.
    """
    from mixedfx.design.build import build_design

    formula = replace(design.formula, fixed="1", offsets=())
    left = {name for random in design.spec.random for name in random.part.levels}
    with warnings.catch_warnings():
        for said in (FewLevelsWarning, IdentifiabilityWarning):
            warnings.simplefilter("ignore", said)
        smaller = build_design(
            replace(formula, text=str(formula)),
            design.frame,
            weights=design.weights,
            offset=design.offset,
            contrasts={name: how for name, how in design.spec.contrasts.items() if name in left},
            env=design.spec.env,
            V=_known(design),
            sigma=design.scale,
            dispersion=None if design.dispersion is None else design.dispersion.formula,
        )
    smaller, solution = solve_whole(smaller, REML)
    course = solution.optimization
    if not course.converged:
        warnings.warn(f"the model without predictors: {course.message}", ConvergenceWarning, stacklevel=outside())
    return smaller, solution


def _known(design: Design) -> Any:
    """What is known of the rows' errors beside what the formula says itself."""
    if design.known_sd is not None and not design.formula.knows_errors:
        return design.known_sd**2
    return design.known_covariance
