r"""Likelihood and restricted likelihood of tau^2, and their maxima.

With w = 1 / (v + tau^2), P of `mixedfx.meta.univariate.weighted` and beta profiled out,

    l(tau^2)   = -k/2 log 2 pi + 1/2 sum log w - 1/2 y'P y                                             (ML)
    l_R(tau^2) = -(k - p)/2 log 2 pi + 1/2 log|X'X| + 1/2 sum log w - 1/2 log|X'W X| - 1/2 y'P y       (REML)

The term 1/2 log|X'X| makes l_R the density of error contrasts (Harville 1974, Biometrika 61(2)); it does not depend on
tau^2, and lme4's criterion leaves it out. Since dP / dtau^2 = -P P, the derivatives are

    2 l'   = y'P P y - sum w,     2 l_R' = y'P P y - tr P,       -2 l'' = 2 y'P P P y - sum w^2 or tr P P,

and the expected information is half of sum w^2 or tr P P (Harville 1977, Journal of the American Statistical
Association 72(358)). l may have several maxima: the best point of a grid is where Newton's method starts, which the
sign of l' keeps in a bracket.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mixedfx.meta.measure import Array
from mixedfx.meta.roots import root
from mixedfx.meta.univariate.weighted import Effects, Weighted

GRID = np.concatenate([[0.0], 2.0 ** np.arange(-9, 5)])  # of the variance of y


def loglik(fit: Weighted, reml: bool) -> Array:
    """(B,) log likelihood at the weights of a fit; the restricted one with the density's constant."""
    effects = fit.effects
    with np.errstate(divide="ignore"):
        logs = np.log(fit.w)
    if effects.use is not None:
        logs = np.where(effects.use > 0, logs, 0.0)
    value = 0.5 * np.sum(logs, axis=1) - 0.5 * fit.yPy
    if not reml:
        return value - effects.k / 2 * np.log(2 * np.pi)
    # log|X'X| - log|X'W X| is log|Q'Q| - log|Q'W Q| for any basis Q; Q'Q is the identity unless rows are left out
    own = 0.0 if effects.use is None else np.linalg.slogdet(effects.Q.T @ (effects.use[:, :, None] * effects.Q))[1]
    return value - effects.df / 2 * np.log(2 * np.pi) + (own - fit.log_determinant) / 2


def maximum(effects: Effects, reml: bool, start: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(B,) tau^2 with the largest (restricted) likelihood near `start`, and whether Newton's method got there."""
    if effects.size == 1 and effects.use is None:
        return root(_slope_of_one(effects, reml), start, np.min(effects.v, axis=1))

    def slope_down(tau2: Array, chosen: NDArray[np.intp]) -> tuple[Array, Array]:
        fit = effects.take(chosen).at(tau2)
        trace = fit.trP if reml else fit.w.sum(axis=1)
        squares = fit.trPP if reml else np.sum(fit.w**2, axis=1)
        observed = fit.yPPPy - squares / 2
        return (trace - fit.yPPy) / 2, np.where(observed > 0, observed, squares / 2)

    scale = np.broadcast_to(np.min(effects.v, axis=1), (effects.size,))
    return root(slope_down, start, scale)


def _slope_of_one(effects: Effects, reml: bool) -> Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]:
    """-l' and -l'' of one data set as `maximum` has them, without the leading axis, which takes most of the time."""
    y, v, Q = effects.y[0], effects.v[0], effects.Q
    if Q.shape[1] == 1:
        return _slope_of_mean(y, v, Q[:, 0], reml)

    def slope_down(tau2: Array, chosen: NDArray[np.intp]) -> tuple[Array, Array]:
        w = 1.0 / (v + tau2)
        WQ = w[:, None] * Q
        A = Q.T @ WQ
        G = np.linalg.inv(A)
        u = w * (y - Q @ (G @ (y @ WQ)))
        c = u @ WQ
        cubes = (w * u) @ u - c @ (G @ c)
        trace, squares = w.sum(), w @ w
        if reml:
            second, third = G @ (WQ.T @ WQ), G @ (WQ.T @ (w[:, None] * WQ))
            trace = trace - second.trace()
            squares = squares - 2.0 * third.trace() + (second * second.T).sum()
        observed = cubes - squares / 2.0
        return np.array([(trace - u @ u) / 2.0]), np.array([observed if observed > 0 else squares / 2.0])

    return slope_down


def _slope_of_mean(
    y: Array, v: Array, q: Array, reml: bool
) -> Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]:
    """The same of one column q, where matrices are numbers."""
    qq = q * q

    def slope_down(tau2: Array, chosen: NDArray[np.intp]) -> tuple[Array, Array]:
        w = 1.0 / (v + tau2)
        w2 = w * w
        A = w @ qq
        u = w * (y - q * ((w * y) @ q / A))
        wu = w * u
        cubes = wu @ u - (wu @ q) ** 2 / A
        trace, squares = w.sum(), w2.sum()
        if reml:
            second = w2 @ qq / A
            trace = trace - second
            squares = squares - 2.0 * ((w2 * w) @ qq) / A + second * second
        observed = cubes - squares / 2.0
        return np.array([(trace - u @ u) / 2.0]), np.array([observed if observed > 0 else squares / 2.0])

    return slope_down


def best_of_grids(effects: Effects, reml: bool) -> Array:
    """(B,) the point of a grid of tau^2 with the largest likelihood of each data set."""
    use = 1.0 if effects.use is None else effects.use
    mean = np.sum(use * effects.y, axis=1) / effects.k
    spread = np.sum(use * (effects.y - mean[:, None]) ** 2, axis=1) / effects.k
    unit = np.maximum(spread, np.min(effects.v, axis=1)) * np.ones(effects.size)
    values = np.stack([loglik(effects.at(step * unit), reml) for step in GRID])
    return GRID[np.argmax(np.nan_to_num(values, nan=-np.inf), axis=0)] * unit


def best_of_grid(effects: Effects, reml: bool) -> float:
    """The point of a grid of tau^2 with the largest likelihood, for one data set."""
    y, v, Q = effects.y[0], effects.v[0], effects.Q
    spread = float(y @ y / len(y) - y.mean() ** 2)
    tau2 = GRID * max(spread, float(v.min()))
    w = 1.0 / (v + tau2[:, None])
    p = Q.shape[1]
    A = (w @ (Q[:, :, None] * Q[:, None, :]).reshape(len(v), p * p)).reshape(-1, p, p)
    wy = w * y
    b = wy @ Q
    half = np.linalg.solve(A, b[:, :, None])[:, :, 0] if p > 1 else b / A[:, 0]
    value = np.log(w).sum(axis=1) - (wy @ y - (b * half).sum(axis=1))
    if reml:
        value -= np.linalg.slogdet(A)[1] if p > 1 else np.log(A[:, 0, 0])
    return float(tau2[np.argmax(value)])
