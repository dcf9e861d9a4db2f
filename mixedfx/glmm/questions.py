"""Questions about the estimates of a generalised linear mixed model that are a line or two each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.draws import Draws
from mixedfx.errors import check_count, check_seed
from mixedfx.glmm.rows import unit_scale
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.results import tables

Vector = NDArray[np.float64]

UNCERTAINTY = (
    "Fixed effects: normal, from the second derivatives of the whole likelihood, that the variances are estimated "
    "included. Random effects: normal about their modes, given the estimated variances."
)


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


def draws(design: Design, solution: GlmmSolution, n: int | None, seed: int | None) -> Draws:
    """Joint draws of (beta, u), auxiliary parameters at their estimates; see `GlmerFit.draws`."""
    n = 1000 if n is None else n
    check_count("n", n)
    check_seed(seed)
    beta, u = solution.joint.draw(n, np.random.default_rng(seed))
    names = tuple((name,) for name in solution.auxiliary)
    rest = np.tile(np.array(list(solution.auxiliary.values()), dtype=np.float64), (n, 1))
    keys = (*tables.draw_keys(design), *names)
    return Draws(keys, np.concatenate([beta, u, rest], axis=1)[None], UNCERTAINTY)
