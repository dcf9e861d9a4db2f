"""Questions about the estimates of a generalised linear mixed model that are a line or two each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.dispersion import Dispersion
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


def estimated_dispersion(design: Design, solution: GlmmSolution) -> Dispersion | None:
    """The model of the dispersion with its coefficients and their covariance; None where there is none."""
    if design.dispersion is None:
        return None
    names = solution.model.likelihood.names
    at = [i for i, name in enumerate(names) if name.startswith("dispersion__")]
    values = np.array([solution.auxiliary[names[i]] for i in at])
    where = len(solution.beta) + np.array(at, dtype=np.intp)
    return replace(design.dispersion, gamma=values, vcov=solution.full_covariance[np.ix_(where, where)])


def mean_table(design: Design, values: Vector, name: str, index: pd.Index | None) -> pd.Series | pd.DataFrame:
    """Means of rows as a series, (m, K) of categories as a table."""
    if values.ndim == 1:
        return pd.Series(values, index=index, name=name)
    return pd.DataFrame(values, index=index, columns=list(map(str, design.categories or ())))


def sigma(solution: GlmmSolution) -> float:
    """Root of the factor of the variance function; 1 where a family has none."""
    return float(np.sqrt(solution.model.family.dispersion(solution.auxiliary)))
