"""Residuals of rows and new responses of a linear mixed model."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import check_option
from mixedfx.inference.predictor import fitted_values

ResidualKind = Literal["response", "pearson", "scaled", "standardized", "marginal", "marginal_standardized"]
PROJECTED = ("standardized", "marginal", "marginal_standardized")  # kinds that need the joint covariance of the rows


def residual_values(
    design: Design, fitted: NDArray[np.float64], sigma: float, kind: ResidualKind
) -> NDArray[np.float64]:
    """(n,) y minus fitted; ``"pearson"`` times the root of the precision; ``"scaled"`` divided by sigma too."""
    check_option("kind", kind, ("response", "pearson", "scaled", *PROJECTED))
    out = design.y - fitted
    if kind != "response":
        out = design.precision.whiten(out)
    return out / sigma if kind == "scaled" else out


def simulate_responses(
    design: Design,
    beta: NDArray[np.float64],
    u: NDArray[np.float64],
    sigma: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(draws, n) responses X beta + offset + Z u + e, one for each row of u (draws, q); var(e) = sigma^2 V."""
    mean = fitted_values(design, beta, u)
    return mean + sigma * design.precision.color(rng.standard_normal(mean.shape).T).T
