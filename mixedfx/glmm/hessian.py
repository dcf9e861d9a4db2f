r"""Second derivatives of the criterion at the estimate, and the covariance of all parameters that they give.

With one grouping factor and no auxiliary parameter Laplace's are known exactly (`mixedfx.glmm.curvature`). Elsewhere
they are forward differences of the exact gradient, a ten-thousandth of a standard error apart, each at a mode that is
predicted by one solve; their relative error is of that size. The covariance is twice the inverse, since the criterion
is -2 log L. Parameters on the boundary, where a variance is zero or a correlation at the end of its range, are held
there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.course import predicted_mode
from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.model import Model
from mixedfx.glmm.pairs import MARK

Vector = NDArray[np.float64]

STEP = 1e-4  # standard errors
TIGHT = 1e-18  # decrement of modes whose gradients are subtracted
REGULAR = 1e-9  # smallest eigenvalue, in units of information, that says something


def hessian(model: Model, at: Evaluation, evaluate: Callable[..., Evaluation]) -> Vector:
    """(d, d) second derivatives of the criterion in psi; those of `at` where they are exact."""
    if at.exact:
        return at.curvature
    d = len(at.psi)
    base = evaluate(model, at.psi, at.mode.v, False, TIGHT, False)
    steps = STEP / np.sqrt(np.maximum(np.abs(np.diag(at.average)), 1e-8) / 2.0)
    out = np.empty((d, d))
    for i in range(d):
        psi = at.psi.copy()
        psi[i] += steps[i]
        moved = evaluate(model, psi, predicted_mode(model, base, psi), False, TIGHT, False)
        out[i] = (moved.gradient - base.gradient) / steps[i]
    return (out + out.T) / 2.0


def free_parameters(model: Model, psi: Vector, eta: Vector) -> NDArray[np.bool_]:
    """(d,) which parameters are not on the boundary, not at a limit of the family, and matter to some row.

    `eta` (n,) are the linear predictors at psi.
    """
    p = model.sizes[0]
    out = np.ones(len(psi), dtype=bool)
    for block in model.problem.blocks:
        at = slice(p + block.parameters.start, p + block.parameters.stop)
        out[at] = ~block.structure.at_end(psi[at], 0.0)
    if model.likelihood.vanished(eta):
        out[:p] = [not name.startswith(MARK) for name in model.design.fixed_names]
        for block in model.problem.blocks:
            if model.design.random[block.term].columns[0].startswith(MARK):
                out[p + block.parameters.start : p + block.parameters.stop] = False
    if model.sizes[2]:
        out[-model.sizes[2] :] = ~model.likelihood.at_limit(model.split(psi)[2])
    return out


def covariance(second: Vector, free: NDArray[np.bool_]) -> Vector | None:
    """(d, d) covariance of the parameters, zero for those that are not free; None where the criterion is flat."""
    H = second[np.ix_(free, free)] / 2.0
    out = np.zeros_like(second)
    if not len(H):
        return out
    diagonal = np.diag(H)
    if not (diagonal > 0.0).all():
        return None
    scale = 1.0 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale))
    if values[0] < REGULAR:
        return None
    half = vectors / np.sqrt(values) * scale[:, None]
    out[np.ix_(free, free)] = half @ half.T
    return out
