"""Single-term deletions of the fixed part: `LmerFit.drop1`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError, RefittedWarning, check_option
from mixedfx.inference.hypotheses import anova_table
from mixedfx.inference.likelihood_ratio import chi_square_probability
from mixedfx.inference.terms import deletion_contrast, droppable, without_term
from mixedfx.reml.solution import maximum_likelihood
from mixedfx.reml.testing import Vcov
from mixedfx.results.tables import DegreesOfFreedom, aic

if TYPE_CHECKING:
    from mixedfx.reml.inference import LmerInference


def drop1(fit: LmerInference, test: str, ddf: DegreesOfFreedom | None, vcov: Vcov | None) -> pd.DataFrame:
    """Table behind `LmerFit.drop1`.

    Raises
    ------
    ModelError
        If the fixed part has no term to delete.
    """
    check_option("test", test, ("F", "chisq"))
    design, solution = fit.design, fit.solution
    terms = droppable(design)
    if not terms:
        raise ModelError("the fixed part has no term to delete")
    if test == "F":
        contrasts = {t.text: deletion_contrast(design.X, without_term(design, t)[0]) for t in terms}
        contrasts = {text: L for text, L in contrasts.items() if len(L)}
        return anova_table(contrasts, solution.beta, solution.sigma, fit.reference(ddf, vcov))
    if fit.REML:
        warnings.warn("the REML fit is refitted by maximum likelihood for the comparison", RefittedWarning, 3)
        solution = maximum_likelihood(design, solution)
    rows = [("<none>", fit.n_parameters, aic(solution.criterion, fit.n_parameters), np.nan, np.nan, np.nan)]
    for term in terms:
        X, names = without_term(design, term)
        smaller = replace(design, X=X, fixed_names=names)
        df = design.X.shape[1] - smaller.X.shape[1]
        criterion = maximum_likelihood(smaller, solution).criterion
        statistic = criterion - solution.criterion
        k = fit.n_parameters - df
        rows.append((term.text, k, aic(criterion, k), statistic, df, chi_square_probability(statistic, df)))
    return pd.DataFrame(rows, columns=["term", "npar", "aic", "lrt", "df", "p_value"])
