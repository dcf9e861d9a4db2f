"""The data of a fit with what it says about each row, in broom's columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.precision import Correlated
from mixedfx.reml.solution import Solution

Vector = NDArray[np.float64]


def augment(design: Design, solution: Solution, fitted: Vector, hat: Vector) -> pd.DataFrame:
    """One row for each row used; `fitted` (n,) values and leverages `hat` (n,).

    `.cooksd` is the usual approximation r^2 h / ((1 - h)^2 p sigma^2) with Pearson residuals r and the leverage h of
    the whole model; `LmerFit.cooks_distance` is exact for the fixed effects.
    """
    weights = 1.0 / design.precision.variances
    residual = design.y - fitted
    pearson = design.precision.whiten(residual)
    with np.errstate(divide="ignore", invalid="ignore"):
        cooks = pearson**2 * hat / ((1 - hat) ** 2 * len(solution.beta) * solution.sigma**2)
    if isinstance(design.precision, Correlated):
        cooks = np.full(len(fitted), np.nan)  # the approximation is for rows that nothing else speaks for
    columns = {
        ".fitted": fitted,
        ".resid": residual,
        ".hat": hat,
        ".cooksd": cooks,
        ".fixed": design.X @ solution.beta + design.offset,
        ".offset": design.offset,
        ".weights": weights,
        ".wtres": pearson,
    }
    spec = design.spec
    frame = design.frame.drop(columns=[spec.given_offset] if spec.offset_is_own else [])  # that is `.offset` below
    if design.response_name not in frame:
        frame.insert(0, design.response_name, design.y)
    return frame.assign(**columns)
