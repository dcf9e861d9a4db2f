r"""Laplace's approximation of the log likelihood, and its exact gradient.

At the mode of v (see `mixedfx.glmm.modes`) the criterion is

    D = -2 l + log|A|,    A = Lambda'Z'W Z Lambda + I,

with observed weights w (Tierney & Kadane 1986, JASA 81:82; Breslow & Clayton 1993, JASA 88:9 for mixed models). Its
gradient follows by implicit differentiation of the mode. With C = Z Lambda A^{-1} Lambda'Z', leverages c = diag(C),
-w' the third derivative of log f, t = w' c, r = A^{-1} Lambda'Z't, e = t - W Z Lambda r, b = Z'e, h = Z's,
V = W^{-1} + Z Lambda Lambda'Z' and Sigma = T T' the covariance of one level,

    dD/dgamma = Q'(e - 2 s)
    dD/dSigma = Q = sum over levels of [Z'V^{-1}Z]_jj - h_j h_j' + (b_j h_j' + h_j b_j') / 2,    dD/dT = 2 Q T
    dD/dphi   = sum(-2 l_phi + c w_phi) + (Z Lambda r)' s_phi.

The first term of Q is what `Factorization.score_sums` gives, exact at singular T. Leverages need A^{-1} on the pattern
of Z'WZ only (`RowMap.covariance_blocks`). What is left of Newton's method, A^{-1}g, enters D to first order by
g'(r - A^{-1}g).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.likelihood import Slopes
from mixedfx.glmm.model import Model, inner, plus
from mixedfx.glmm.modes import DECREMENT, Mode, find_mode
from mixedfx.pls.factorization import Pair

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one point.

    Attributes
    ----------
    psi
        (d,) parameters (gamma, par, phi); with a joint step gamma is where it led.
    criterion
        -2 log likelihood, approximate, constants included.
    gradient
        (d,) its exact derivatives.
    average, curvature
        (d, d) second derivatives: a positive approximation, and the best that is known (see `mixedfx.glmm.curvature`).
    mode
        The random effects there.
    """

    psi: Vector
    criterion: float
    gradient: Vector
    average: Vector
    curvature: Vector
    mode: Mode


@dataclass(frozen=True)
class Pieces:
    """What gradient and curvature share.

    Attributes
    ----------
    mode, par
        Where they are.
    leverages, third, fourth
        (n,) c, w' and w''.
    Zr
        (n,) Z Lambda r.
    b
        Z'e.
    first, across
        Lambda A^{-1} Lambda' within the levels of the first factor (k, k, q) and across (e, k).
    ZVZ, Q
        For each factor the (k, k) sum of the diagonal blocks of Z'V^{-1}Z, and the score matrix.
    QT
        Q times T.
    slopes
        Derivatives in phi.
    """

    mode: Mode
    par: Vector
    leverages: Vector
    third: Vector
    fourth: Vector
    Zr: Vector
    b: Pair
    first: Vector
    across: Vector
    Q: list[Vector]
    QT: list[Vector]
    slopes: Slopes
    r: Pair = field(repr=False)


def evaluate(
    model: Model, psi: Vector, v: Pair | None = None, joint: bool = False, decrement: float = DECREMENT
) -> Evaluation:  # fmt: skip
    """Criterion, gradient and second derivatives at psi (d,), the mode sought from `v`.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there is no mode.
    """
    from mixedfx.glmm.curvature import curvature

    gamma, par, phi = model.split(psi)
    mode = find_mode(model, gamma, model.problem.matrices(par), phi, v, joint, decrement)
    parts = pieces(model, mode, par)
    left = plus(parts.r, mode.step, -1.0)
    criterion = -2.0 * mode.value + mode.factorization.logdet + inner(mode.gradient, left)
    average, full = curvature(model, parts)
    mode.factorization.release()
    at = np.concatenate([mode.gamma, par, phi])
    return Evaluation(at, criterion, gradient(model, parts), average, full, mode)


def pieces(model: Model, mode: Mode, par: Vector) -> Pieces:
    """Everything that derivatives at a mode need."""
    at, T = mode.factorization, mode.T
    first, across, second = model.rows.covariance_blocks(at)
    c = model.rows.leverages(first.transpose(2, 0, 1).ravel(), across.ravel(), second)
    higher = model.likelihood.derivatives(mode.eta, mode.phi, 4)
    third, fourth = -higher[2], -higher[3]
    t = third * c
    r = at.solve(model.scaled(T, model.rows.transposed(t[:, None]), transposed=True))
    Zr = model.rows.times(model.scaled(T, r))[:, 0]
    b = model.rows.transposed((t - mode.w * Zr)[:, None])
    ZVZT, ZVZ = at.score_sums()
    Q, QT = [], []
    for T_f, scaled, plain, h, b_f in zip(T, ZVZT, ZVZ, model.by_factor(mode.h), model.by_factor(b), strict=True):
        hf, bf = h[:, :, 0], b_f[:, :, 0]
        cross = bf.T @ hf
        rest = (cross + cross.T) / 2.0 - hf.T @ hf
        Q.append(plain + rest)
        QT.append(scaled + rest @ T_f)
    slopes = model.likelihood.slopes(mode.eta, mode.phi)
    return Pieces(mode, par, c, third, fourth, Zr, b, first, across, Q, QT, slopes, r)


def gradient(model: Model, parts: Pieces) -> Vector:
    """(d,) derivatives of the criterion in (gamma, par, phi)."""
    mode, (p, _, a) = parts.mode, model.sizes
    out = np.zeros(sum(model.sizes))
    e = parts.third * parts.leverages - mode.w * parts.Zr
    out[:p] = model.Q.T @ (e - 2.0 * mode.s)
    for (where, dT), QT in zip(model.problem.directions(parts.par), parts.QT, strict=True):
        out[p + where] = 2.0 * (dT.reshape(len(where), -1) @ QT.ravel())
    if a:
        own = parts.slopes
        out[-a:] = -2.0 * own.own + own.weight @ parts.leverages + own.score @ parts.Zr
    return out
