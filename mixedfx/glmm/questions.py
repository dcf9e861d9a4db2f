"""Questions about the estimates of a generalised linear mixed model that are a line or two each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.glmm.rows import unit_scale
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.hypotheses import Constant, Reference
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
    return float(np.sqrt(unit_scale(solution.model.family, solution.auxiliary)))


def reference(design: Design, solution: GlmmSolution, ddf: Any, vcov: Any) -> Reference:
    """Covariance of the fixed effects with infinite degrees of freedom.

    Raises
    ------
    OptionError
        Other degrees of freedom, or a covariance that is not (p, p).
    """
    if ddf not in ("normal", None):
        raise OptionError(
            f"ddf={ddf!r} is not known of a generalised linear mixed model: its tests are z and chi square",
            hint='Leave it out, or use ddf="normal".',
        )
    used = solution.vcov if vcov is None else np.asarray(vcov, dtype=np.float64)
    p = len(design.fixed_names)
    if used.shape != (p, p):
        raise OptionError(f"vcov= is not a ({p}, {p}) matrix")
    return Constant(used, np.inf if ddf == "normal" else np.nan)
