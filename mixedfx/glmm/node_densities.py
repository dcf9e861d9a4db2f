"""Log densities of rows and their derivatives at many nodes: (n, N) linear predictors, a column for each node.

The commonest families are asked by the formulas of `mixedfx.glmm.densities` written for single rows, one exponential
for each row and node; all others answer for themselves, through `mixedfx.glmm.likelihood`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.likelihood import Likelihood

Vector = NDArray[np.float64]


def log_densities(own: Likelihood, eta: Vector, phi: Vector) -> Vector:
    """(n, N) log densities, less what `left_out` says."""
    if own.fast is None:
        return np.ascontiguousarray(own.node_values(eta.T, phi).T)
    return _values(own, eta, phi)


def left_out(own: Likelihood, phi: Vector) -> float:
    """What `log_densities` leave out of the sum over all rows."""
    return 0.0 if own.fast is None else own.constant(phi)


def derivatives(own: Likelihood, eta: Vector, phi: Vector, order: int) -> tuple[Vector, ...]:
    """(n, N) score s, weight w and minus the third derivative, as many as `order` asks for."""
    if own.fast is not None:
        return _derivatives(own, eta, phi, order)
    found = own.node_derivatives(np.ascontiguousarray(eta.T), phi, order)
    signs = (1.0, -1.0, -1.0)
    return tuple(np.ascontiguousarray(sign * one.T) for sign, one in zip(signs, found, strict=False))


def slopes(own: Likelihood, eta: Vector, phi: Vector) -> tuple[Vector, Vector, Vector]:
    """(a, n, N) derivatives in phi of log density, score and weight."""
    found = own.auxiliary_derivatives(np.ascontiguousarray(eta.T), phi)
    return found[:, 0].transpose(0, 2, 1), found[:, 1].transpose(0, 2, 1), -found[:, 2].transpose(0, 2, 1)


def _values(own: Likelihood, eta: Vector, phi: Vector) -> Vector:
    assert own.fast is not None
    y, m, shape = own.y[:, None], own.trials[:, None], own.shape(phi)
    if own.fast.kind == 0:
        return y * eta - m * (np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta))))
    mu = np.exp(np.minimum(eta, 700.0))
    if own.fast.kind == 1:
        return y * eta - mu
    if own.fast.kind == 2:
        return y * eta - (y + shape) * np.log1p(mu / shape)
    return -shape * (eta + y / mu)


def _derivatives(own: Likelihood, eta: Vector, phi: Vector, order: int) -> tuple[Vector, ...]:
    assert own.fast is not None
    y, m, shape = own.y[:, None], own.trials[:, None], own.shape(phi)
    if own.fast.kind == 0:
        p = 1.0 / (1.0 + np.exp(-np.clip(eta, -700.0, 700.0)))
        s = y - m * p
        if order == 1:
            return (s,)
        w = m * p * (1.0 - p)
        return (s, w) if order == 2 else (s, w, w * (1.0 - 2.0 * p))
    mu = np.exp(np.minimum(eta, 700.0))
    if own.fast.kind == 1:
        return (y - mu, mu, mu)[:order]
    if own.fast.kind == 2:
        total, counts = shape + mu, y + shape
        q, r = mu / total, shape / total
        a = counts * q
        return (y - a, a * r, a * r * (r - q))[:order]
    a = shape * y / mu
    return (a - shape, a, -a)[:order]
