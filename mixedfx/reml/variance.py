"""R2 and intraclass correlations of a fit; for R2 by level, the same model without its predictors."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mixedfx.errors import FewLevelsWarning, IdentifiabilityWarning, SingularFitWarning, check_option
from mixedfx.inference.variance_explained import (
    VarianceParts,
    icc_table,
    partition_table,
    r2_by_level_table,
    r2_table,
    variance_parts,
)

if TYPE_CHECKING:
    from mixedfx.reml.fit import LmerFit
    from mixedfx.reml.state import LmerState

By = Literal["level", "term"]


def parts_of(fit: LmerState) -> VarianceParts:
    """Variance of a row by where it comes from."""
    return variance_parts(fit.design, fit.fixef.to_numpy(), fit.covariance_factors, fit.sigma**2)


def r2(fit: LmerState, by: By | None) -> pd.DataFrame:
    """Marginal and conditional R2, or the variance explained by level or by term.

    Raises
    ------
    OptionError
        For an unknown `by`.
    """
    check_option("by", by, (None, "level", "term"))
    if by == "level":
        return r2_by_level_table(parts_of(fit), parts_of(null_fit(fit)))
    return r2_table(parts_of(fit)) if by is None else partition_table(parts_of(fit))


def icc(fit: LmerState) -> pd.DataFrame:
    """Intraclass correlations and design effects."""
    return icc_table(fit.design, parts_of(fit))


def null_fit(fit: LmerState) -> LmerFit:
    """The same random part, rows, weights and offset with an intercept as the only fixed effect.

    What few levels or a singular fit mean was said when the model itself was fitted, and is not said again.
    """
    from mixedfx.reml.lmer import lmer

    design = fit.design
    formula = replace(design.formula, fixed="1", offsets=())
    left = {name for random in design.spec.random for name in random.part.levels}
    with warnings.catch_warnings():
        for said in (FewLevelsWarning, IdentifiabilityWarning, SingularFitWarning):
            warnings.simplefilter("ignore", said)
        return lmer(
            replace(formula, text=str(formula)),
            design.frame,
            REML=fit.REML,
            weights=design.weights,
            offset=design.offset,
            contrasts={name: how for name, how in design.spec.contrasts.items() if name in left},
            env=design.spec.env,
        )
