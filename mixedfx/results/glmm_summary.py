"""What the summary of a generalised linear mixed model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.dispersion import Dispersion
from mixedfx.families.family import Family
from mixedfx.results.numbers import column
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.singularity import SingularityReport
from mixedfx.results.summary import (
    data_facts,
    dispersion_block,
    fixed_block,
    groups_block,
    quantiles_block,
    statistics_block,
    variances_block,
)
from mixedfx.results.tables import aic, bic

OUTCOMES = {
    "logit": "log odds",
    "log": "logarithm of the mean",
    "probit": "probit of the probability",
    "cloglog": "complementary log-log of the probability",
    "cauchit": "cauchit of the probability",
    "sqrt": "root of the mean",
    "inverse": "inverse of the mean",
    "identity": "mean",
}


def glmm_summary(
    design: Design,
    family: Family,
    *,
    approximation: str,
    criterion: float,
    n_parameters: int,
    fixed: pd.DataFrame,
    varcorr: pd.DataFrame,
    auxiliary: Mapping[str, float],
    dispersion: Dispersion | None,
    residuals: NDArray[np.float64] | None,
    convergence: str,
    singularity: SingularityReport,
    tests: str,
    priors: Sequence[str] = (),
    engine: str = "",
) -> SummaryContent:
    """Content of the summary.

    Parameters
    ----------
    design, family
        What was fitted.
    approximation
        How the integral over the random effects was taken.
    criterion, n_parameters
        -2 log likelihood, and the number of parameters.
    fixed, varcorr
        Tables of fixed effects (broom's columns) and of variances and correlations (lme4's).
    auxiliary
        Name -> estimate of the family's other parameters.
    dispersion
        The estimated model of the dispersion; None where there is none.
    residuals
        (n,) Pearson residuals; None of categories, which have none.
    convergence, singularity, tests
        As in `mixedfx.results.summary.lmm_summary`.
    priors
        Those of the coefficients in words, where the estimate is a maximum a posteriori.
    engine
        As in `mixedfx.results.summary.lmm_summary`.
    """
    statistics = {
        "-2 log L": criterion,
        "logLik": -criterion / 2,
        "AIC": aic(criterion, n_parameters),
        "BIC": bic(criterion, n_parameters, len(design.y)),
        "Parameters": n_parameters,
    }
    if priors:
        del statistics["AIC"], statistics["BIC"]
    link = family.link.name
    scale = OUTCOMES[link].replace("probability", "cumulated probability") if family.categories else OUTCOMES[link]
    what = f"{scale}, towards the higher categories" if family.categories else scale
    facts = (*data_facts(design), ("Family", f"{family.name}, link {link}: effects on the {what}"))
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(facts), statistics_block(statistics)]
    if design.random:
        blocks.append(groups_block(design.random))
    if len(varcorr):
        blocks.append(variances_block(design.random, varcorr))
    others = {name: value for name, value in auxiliary.items() if not (family.normal and name == "sigma")}
    if others:
        cells = tuple(column([value])[0] for value in others.values())
        blocks.append(SummaryTable("Distribution", tuple(others), (cells,), "r" * len(cells)))
    if dispersion is not None:
        blocks.append(dispersion_block(dispersion, f"Logarithm of {family.dispersed}"))
    blocks.append(fixed_block(fixed, "z"))
    if residuals is not None:
        blocks.append(quantiles_block("Pearson residuals", residuals))
    conclusions = [("Priors", f"{'; '.join(priors)}. -2 log L is without them; AIC has no meaning")] if priors else []
    conclusions += [("Tests", tests), ("Integral", approximation), ("Convergence", convergence)]
    if engine:
        conclusions.append(("Solver", engine))
    if design.random:
        conclusions.append(("Singularity", singularity.found))
    if singularity.to_keep:
        conclusions.append(("Design", singularity.to_keep))
    if singularity.to_try:
        conclusions.append(("Smaller model", singularity.to_try))
    how = "maximum a posteriori" if priors else "maximum likelihood"
    title = f"Generalised linear {'mixed ' if design.random else ''}model fit by {how}"
    return SummaryContent(title, (*blocks, SummaryFacts(tuple(conclusions))))
