"""Resampled data: groups drawn with replacement, and modes and residuals reflated to their estimated covariances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.inference.predictor import fitted_values
from mixedfx.linalg.roots import symmetric_root

if TYPE_CHECKING:
    from mixedfx.reml.least_squares import LeastSquares
    from mixedfx.reml.solve import RemlSolution

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]


def reflated(design: Design, solution: RemlSolution | LeastSquares) -> tuple[list[Vector], Vector]:
    """Modes and residuals with the covariances that were estimated for them.

    Returns
    -------
    tuple
        For each term (levels, k) effects with mean zero and covariance sigma^2 T T'; and (n,) residuals with mean zero
        and variance sigma^2, times the root of the precision.
    """
    effects = []
    for t, (term, factor) in enumerate(zip(design.random, solution.factors, strict=True)):
        start, stop = design.starts[t : t + 2]
        u = solution.u[start:stop].reshape(term.n_levels, term.n_columns)
        u = u - u.mean(axis=0)
        values, vectors = np.linalg.eigh(u.T @ u / len(u))
        kept = values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)
        white = (u @ vectors[:, kept]) / np.sqrt(values[kept]) @ vectors[:, kept].T
        effects.append(white @ symmetric_root(solution.sigma**2 * factor @ factor.T))
    e = design.precision.whiten(design.y - fitted_values(design, solution.beta, solution.u))
    e = e - e.mean()
    return effects, e * (solution.sigma / float(np.sqrt((e**2).mean())))
