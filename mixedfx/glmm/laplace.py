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

from mixedfx.glmm.bends import Bends, RowBends
from mixedfx.glmm.likelihood import Slopes
from mixedfx.glmm.model import Model, plus
from mixedfx.glmm.modes import Mode
from mixedfx.pls.factorization import Pair

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Pieces:
    """What gradient and curvature share.

    Attributes
    ----------
    mode, par
        Where they are.
    leverages, pulled
        (n,) c and t.
    bends
        How the weights change with the linear predictors.
    Zr
        (n,) Z Lambda r.
    b
        Z'e.
    first, across
        Lambda A^{-1} Lambda' within the levels of the first factor (k, k, q) and across (e, k).
    Q, QT
        For each factor the (k, k) score matrix, and it times T.
    slopes
        Derivatives in phi.
    r
        A^{-1} Lambda'Z't.
    """

    mode: Mode
    par: Vector
    leverages: Vector
    pulled: Vector
    bends: Bends
    Zr: Vector
    b: Pair
    first: Vector
    across: Vector
    Q: list[Vector]
    QT: list[Vector]
    slopes: Slopes
    r: Pair = field(repr=False)

    @property
    def third(self) -> Vector:
        """(n,) w', of rows with one linear predictor."""
        assert isinstance(self.bends, RowBends)
        return self.bends.third

    @property
    def fourth(self) -> Vector:
        """(n,) w'', of rows with one linear predictor."""
        assert isinstance(self.bends, RowBends)
        return self.bends.fourth


def pieces(model: Model, mode: Mode, par: Vector) -> Pieces:
    """Everything that derivatives at a mode need."""
    at, T = mode.factorization, mode.T
    first, across, second = model.rows.covariance_blocks(at)
    c = model.rows.leverages(first.transpose(2, 0, 1).ravel(), across.ravel(), second)
    bends = model.bends(mode.eta, mode.phi)
    t = bends.pulled(c)
    zt = model.rows.score_products(t)
    r = at.solve(model.scaled(T, zt, transposed=True))
    Lr = model.scaled(T, r)
    Zr = model.rows.predictor(np.zeros_like(t), Lr)
    b = plus(zt, at.gram(Lr), -1.0)
    ZVZT, ZVZ = at.score_sums()
    Q, QT = [], []
    for T_f, scaled, plain, h, b_f in zip(T, ZVZT, ZVZ, model.by_factor(mode.h), model.by_factor(b), strict=True):
        hf, bf = h[:, :, 0], b_f[:, :, 0]
        cross = bf.T @ hf
        rest = (cross + cross.T) / 2.0 - hf.T @ hf
        Q.append(plain + rest)
        QT.append(scaled + rest @ T_f)
    slopes = model.likelihood.slopes(mode.eta, mode.phi)
    return Pieces(mode, par, c, t, bends, Zr, b, first, across, Q, QT, slopes, r)


def gradient(model: Model, parts: Pieces) -> Vector:
    """(d,) derivatives of the criterion in (gamma, par, phi)."""
    mode, (p, _, a) = parts.mode, model.sizes
    out = np.zeros(sum(model.sizes))
    e = parts.pulled - mode.w * parts.Zr
    out[:p] = model.Q.T @ (e - 2.0 * mode.s)
    for (where, dT), QT in zip(model.problem.directions(parts.par), parts.QT, strict=True):
        if len(where):
            out[p + where] = 2.0 * (dT.reshape(len(where), -1) @ QT.ravel())
    if a:
        own = parts.slopes
        out[-a:] = -2.0 * own.own + own.weight @ parts.leverages + own.score @ parts.Zr
    return out
