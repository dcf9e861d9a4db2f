"""Single-term deletions of the fixed part: `LmerFit.drop1`."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, RefittedWarning, check_option
from mixedfx.inference.hypotheses import anova_table
from mixedfx.inference.likelihood_ratio import chi_square_probability
from mixedfx.inference.terms import deletion_contrast, droppable, without_term
from mixedfx.reml.solution import Solution, maximum_likelihood, n_parameters
from mixedfx.reml.testing import Ask
from mixedfx.results.tables import aic


def drop1(design: Design, solution: Solution, reference: Ask, test: str) -> pd.DataFrame:
    """Table behind `LmerFit.drop1`.

    Raises
    ------
    ModelError
        If the fixed part has no term to delete.
    """
    check_option("test", test, ("F", "chisq"))
    terms = droppable(design)
    if not terms:
        raise ModelError("the fixed part has no term to delete")
    if test == "F":
        contrasts = {t.text: deletion_contrast(design.X, without_term(design, t)[0]) for t in terms}
        contrasts = {text: L for text, L in contrasts.items() if len(L)}
        return anova_table(contrasts, solution.beta, solution.sigma, reference())
    if solution.REML:
        warnings.warn("the REML fit is refitted by maximum likelihood for the comparison", RefittedWarning, 3)
        solution = maximum_likelihood(design, solution)
    all_parameters = n_parameters(design, solution)
    rows = [("<none>", all_parameters, aic(solution.criterion, all_parameters), np.nan, np.nan, np.nan)]
    for term in terms:
        X, names = without_term(design, term)
        smaller = replace(design, X=X, fixed_names=names)
        df = design.X.shape[1] - smaller.X.shape[1]
        criterion = maximum_likelihood(smaller, solution).criterion
        statistic = criterion - solution.criterion
        k = all_parameters - df
        rows.append((term.text, k, aic(criterion, k), statistic, df, chi_square_probability(statistic, df)))
    return pd.DataFrame(rows, columns=["term", "npar", "aic", "lrt", "df", "p_value"])
