r"""The likelihood of a location-scale model, log tau_i^2 = z_i'alpha, and its maximum.

With w_i = 1 / (v_i + tau_i^2) and P as in `mixedfx.meta.univariate.weighted`, the derivatives of the (restricted)
log likelihood by the variances are

    s_i = [(Py)_i^2 - P_ii] / 2,        h_ij = P_ij^2 / 2 - (Py)_i P_ij (Py)_j,

P_ii and P_ij^2 being w_i and w_i^2 (i = j, else 0) for ML, and those by alpha are Z'(tau^2 s) and
Z'[diag(tau^2) h diag(tau^2) + diag(tau^2 s)] Z (Viechtbauer and Lopez-Lopez 2022, Research Synthesis Methods 13(6)).
Newton's method is damped (Levenberg) until the likelihood rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.likelihood import loglik
from mixedfx.meta.univariate.weighted import Effects, Weighted

STEPS = 200
FLAT = 1e-9  # of Newton's decrement: twice the log likelihood that is still to be had
NOTHING = 1e-6  # of a sampling variance: a tau_i^2 that is as good as zero
LARGEST = 30.0  # of |log tau^2| moved in one step, before which a variance is as good as zero


@dataclass(frozen=True, eq=False)
class ScaleEstimate:
    """Where the likelihood is largest.

    Attributes
    ----------
    alpha
        (q,) coefficients of log tau^2.
    vcov
        (q, q) inverse of the observed information; NaN where that is not positive definite.
    loglik
        Its value.
    converged
        Whether it is a maximum.
    """

    alpha: Array
    vcov: Array
    loglik: float
    converged: bool


def variances(Z: Array, alpha: Array) -> Array:
    """(k,) tau_i^2."""
    return np.exp(np.clip(Z @ alpha, -700, 700))


def fit_at(effects: Effects, Z: Array, alpha: Array) -> Weighted:
    """Weighted least squares with the variances of alpha."""
    return Weighted(effects, 1.0 / (effects.v + variances(Z, alpha)))


def derivatives(effects: Effects, Z: Array, alpha: Array, reml: bool) -> tuple[float, Array, Array, Array]:
    """Log likelihood, its gradient, Hessian and expected information in alpha."""
    fit, tau2 = fit_at(effects, Z, alpha), variances(Z, alpha)
    w, Py = fit.w[0], fit.Py[0]
    wQ = w[:, None] * effects.Q
    P = np.diag(w) - wQ @ fit.G[0] @ wQ.T
    squares, own = (P**2, np.diag(P)) if reml else (np.diag(w**2), w)
    score = (Py**2 - own) / 2
    hessian = squares / 2 - Py[:, None] * P * Py
    TZ = tau2[:, None] * Z
    second = TZ.T @ hessian @ TZ + Z.T @ ((tau2 * score)[:, None] * Z)
    return float(loglik(fit, reml)[0]), Z.T @ (tau2 * score), second, TZ.T @ (squares / 2) @ TZ


def maximise(effects: Effects, Z: Array, reml: bool, start: Array) -> ScaleEstimate:
    """The maximum near `start`; from the expected information where the observed one is not positive definite."""
    alpha, damping = start, 1e-3
    value, gradient, hessian, expected = derivatives(effects, Z, alpha, reml)
    converged = False
    for _ in range(STEPS):
        information = -hessian if np.linalg.eigvalsh(-hessian)[0] > 0 else expected
        size = np.diag(np.diag(information)) + 1e-12 * np.eye(len(alpha))
        step = np.linalg.solve(information + damping * size, gradient)
        if not np.isfinite(step).all() or np.abs(Z @ step).max() > LARGEST:
            damping *= 10
            if damping > 1e12:
                break
            continue
        found = derivatives(effects, Z, alpha + step, reml)
        if found[0] >= value - 1e-12 * (1 + abs(value)):
            decrement = float(gradient @ step)
            alpha = alpha + step
            value, gradient, hessian, expected = found
            damping = damping / 10 if damping > 1e-12 else 0.0
            if decrement < FLAT**2 or (decrement < FLAT and damping == 0.0 and np.abs(step).max() < FLAT):
                converged = True
                break
        else:
            damping = max(damping, 1e-12) * 10
            if damping > 1e12:
                break
    some = bool((variances(Z, alpha) > NOTHING * effects.v[0]).all())  # else the likelihood is flat, not curved
    converged = converged and some and bool(np.linalg.eigvalsh(-hessian)[0] > 0)
    vcov = np.linalg.inv(-hessian) if converged else np.full(hessian.shape, np.nan)
    return ScaleEstimate(alpha, vcov, value, converged)
