"""Single-term deletions of the fixed part of a generalised linear mixed model: `GlmerFit.drop1`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, check_option
from mixedfx.glmm.penalised import refuse_penalised
from mixedfx.glmm.refits import with_design
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.testing import Ask
from mixedfx.inference.hypotheses import wald_terms
from mixedfx.inference.likelihood_ratio import chi_square_probability
from mixedfx.inference.terms import contrast_of_deletion, droppable, without_term
from mixedfx.progress import Asked, Progress
from mixedfx.results.tables import aic


def drop1(design: Design, solution: GlmmSolution, ask: Ask, test: str, progress: Asked = None) -> pd.DataFrame:
    """Table behind `GlmerFit.drop1`.

    Raises
    ------
    ModelError
        If the fixed part has no term to delete.
    """
    check_option("test", test, ("chisq", "wald"))
    terms = droppable(design)
    if not terms:
        raise ModelError("the fixed part has no term to delete")
    if test == "wald":
        contrasts = {t.text: contrast_of_deletion(design, t) for t in terms}
        return wald_terms({text: L for text, L in contrasts.items() if len(L)}, solution.beta, ask())
    refuse_penalised(solution.model, "drop1")
    k = len(solution.psi)
    rows = [("<none>", k, aic(solution.criterion, k), np.nan, np.nan, np.nan)]
    with Progress(progress, "deletions", len(terms), "terms") as report:
        for term in report.over(terms):
            X, names = without_term(design, term)
            df = design.X.shape[1] - X.shape[1]
            criterion = with_design(replace(design, X=X, fixed_names=names), solution, solution.theta).criterion
            statistic = criterion - solution.criterion
            p_value = chi_square_probability(statistic, df)
            rows.append((term.text, k - df, aic(criterion, k - df), statistic, df, p_value))
    return pd.DataFrame(rows, columns=["term", "npar", "aic", "lrt", "df", "p_value"])
