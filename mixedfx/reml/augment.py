"""The data of a fit with what it says about each row, in broom's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from mixedfx.reml.diagnostics import LmerDiagnostics


def augment(fit: LmerDiagnostics) -> pd.DataFrame:
    """One row for each row used.

    `.cooksd` is the usual approximation r^2 h / ((1 - h)^2 p sigma^2) with Pearson residuals r and the leverage h of
    the whole model; `LmerDiagnostics.cooks_distance` is exact for the fixed effects.
    """
    design = fit.design
    weights = 1.0 / design.precision.variances
    fitted = fit.fitted.to_numpy()
    residual = design.y - fitted
    hat = fit.leverage().to_numpy()
    pearson = design.precision.whiten(residual)
    with np.errstate(divide="ignore", invalid="ignore"):
        cooks = pearson**2 * hat / ((1 - hat) ** 2 * len(fit.fixef) * fit.sigma**2)
    columns = {
        ".fitted": fitted,
        ".resid": residual,
        ".hat": hat,
        ".cooksd": cooks,
        ".fixed": design.X @ fit.fixef.to_numpy() + design.offset,
        ".offset": design.offset,
        ".weights": weights,
        ".wtres": pearson,
    }
    spec = design.spec
    frame = design.frame.drop(columns=[spec.given_offset] if spec.offset_is_own else [])  # that is `.offset` below
    if design.response_name not in frame:
        frame.insert(0, design.response_name, design.y)
    return frame.assign(**columns)
