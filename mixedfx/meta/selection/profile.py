"""Profile-likelihood intervals of the parameters of a selection model.

The limits of a parameter are where twice the log likelihood, all other parameters at their best, has fallen by the
quantile of chi-square with one degree of freedom. A limit is at the end of what the parameter can be where it falls by
less up to there.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from mixedfx.meta.roots import between
from mixedfx.meta.selection.estimate import SelectionEstimate
from mixedfx.meta.selection.maximum import HIGHEST, LOWEST, maximise

WIDER = 40


def profile_limits(fit: SelectionEstimate, at: int, level: float) -> tuple[float, float]:
    """Limits of one parameter.

    Parameters
    ----------
    fit
        A model at its maximum.
    at
        Which of its parameters.
    level
        Confidence level.
    """
    theta, problem = fit.maximum.theta, fit.problem
    if not np.isnan(fit.known[at]):
        return np.nan, np.nan
    fall = float(special.chdtri(1, 1 - level))
    positive, logs = (
        at >= problem.p,
        at >= problem.p + problem.spreads and (not fit.given.function.smooth or fit.given.function.clip > 0),
    )
    variance = np.diag(fit.maximum.covariance)
    rough = np.where(theta != 0, np.abs(theta), float(np.median(problem.v)))
    scale = np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), rough)
    best = theta.copy()

    def deviance(value: float) -> float:
        nonlocal best
        known = fit.known.copy()
        known[at] = np.exp(value) if logs else value
        start = np.where(np.isnan(known), best, known)
        found = maximise(problem, known, [start], scale, errors=False)
        best = found.theta
        return 2 * (fit.maximum.loglik - found.loglik) - fall

    centre = float(np.log(theta[at])) if logs else float(theta[at])
    width = float(scale[at] / theta[at]) if logs else float(scale[at])
    lowest = LOWEST if logs else 0.0 if positive else -np.inf
    highest = HIGHEST if logs else np.inf
    found = []
    for side, end in ((-1.0, lowest), (1.0, highest)):
        best, near, limit = theta.copy(), centre, np.nan
        for step in range(WIDER):
            far = centre + side * width * 1.5 ** (step + 1)
            far = max(far, end) if side < 0 else min(far, end)
            if deviance(far) > 0:
                limit = between(deviance, min(near, far), max(near, far))
                break
            if far == end:
                limit = -np.inf if logs and side < 0 else np.inf if logs else end
                break
            near = far
        found.append(float(np.exp(limit)) if logs else float(limit))
    return found[0], found[1]
