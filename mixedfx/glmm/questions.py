"""Questions about the estimates of a generalised linear mixed model that are a line or two each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.results import tables

Vector = NDArray[np.float64]


def varcorr(design: Design, solution: GlmmSolution) -> pd.DataFrame:
    """Variances and covariances; the residual of a gaussian response last."""
    table = tables.varcorr_table(design.random, solution.factors, None)
    if solution.model.family.normal and "sigma" in solution.auxiliary:
        sigma = solution.auxiliary["sigma"]
        table.loc[len(table)] = ["Residual", None, None, sigma**2, sigma]
    return table


def sigma(solution: GlmmSolution) -> float:
    """Root of the factor of the variance function; 1 where a family has none."""
    return float(np.sqrt(solution.model.family.dispersion(solution.auxiliary)))
