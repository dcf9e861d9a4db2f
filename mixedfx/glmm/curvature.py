r"""Second derivatives of Laplace's criterion.

In the notation of `mixedfx.glmm.laplace`, with Y the direct derivatives of eta in the parameters (Q for gamma,
Z dSigma h for par, none for phi), Ydot = Y - Z Lambda A^{-1} Lambda'Z'W Y the total ones,
U = Z'V^{-1}Z, K = I - Lambda A^{-1} Lambda'Z'W Z and o the elementwise product, the second derivatives in (gamma, par)
are

    2 Y'V^{-1}Y - tr(U dSigma U dSigma) + tr(Q d2Sigma) + Ydot'[diag(w'' c - w' Z Lambda r) - w'(C o C)w'] Ydot
      + {tr(K dSigma K' sum_i w'_i Ydot_i z_i z_i') - b'dSigma Z'W Ydot, and transposed}.

They are exact with one grouping factor. With several, C o C keeps the blocks of the first factor, which is good to a
few percent for gamma, and the block of par is the average information; the optimiser learns the rest. For phi there is
the profiled second derivative at the mode, -2 l_phiphi - 2 s_phi'C s_phi.

`average` is a positive approximation: 2 Y'V^{-1}Y for gamma, the average information for par.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.laplace import Pieces
from mixedfx.glmm.model import Model, plus, products
from mixedfx.glmm.modes import Mode
from mixedfx.pls.factorization import Pair

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Directions:
    """How modes and linear predictors move with the parameters.

    Attributes
    ----------
    slopes
        For each factor (m, k, k) derivatives of its Sigma.
    zq, zs
        Z'W Q and -Z's_phi.
    V
        (d, d) Y'V^{-1}Y of the direct derivatives Y of eta.
    direct
        Ydot = (Q, 0) + Z `direct`, the total derivatives.
    turned
        Z'W Ydot, less what the parameters of the family do by themselves.
    """

    slopes: list[Vector]
    zq: Pair
    zs: Pair
    V: Vector
    direct: Pair
    turned: Pair

    @property
    def beside(self) -> Pair:
        """Z'W Q beside -Z's_phi, (., p + a) columns."""
        zq, zs = self.zq, self.zs
        return np.concatenate([zq[0], zs[0]], axis=-1), np.concatenate([zq[1], zs[1]], axis=-1)


def directions(model: Model, mode: Mode, par: Vector, score: Vector) -> Directions:
    """The directions at a mode; `score` (a, n) are the derivatives of s in phi."""
    problem, (p, m, a) = model.problem, model.sizes
    d, at, T = p + m + a, mode.factorization, mode.T
    theta, phi = slice(p, p + m), slice(p + m, d)
    h = model.by_factor(mode.h)
    u = model.zero(m)
    slopes: list[Vector] = []
    for f, (where, dT) in enumerate(problem.directions(par)):
        half = dT @ T[f].T
        dS = half + half.transpose(0, 2, 1)
        slopes.append(dS)
        if not len(where):  # a factor that only holds the place of the first
            continue
        own = np.einsum("ja,mab->jbm", h[f][:, :, 0], dS)
        if f == 0:
            u[0][:, :, where] = own
        else:
            assert problem.coupling is not None
            u[1][problem.coupling.positions[f - 1][:, :, None], where] = own
    QWQ, zq = model.rows.column_products(mode.w, model.Q)
    zu = at.gram(u)
    zs = model.rows.transposed(-score.T) if a else model.zero(0)
    zy: Pair = (np.concatenate([zq[0], zu[0], zs[0]], axis=-1), np.concatenate([zq[1], zu[1], zs[1]], axis=-1))
    half = model.scaled(T, zy, transposed=True)
    solved = at.solve(half)
    V = np.zeros((d, d))
    V[:p, :p] = QWQ
    V[theta] = products(u, zy)
    V[:p, phi] = -(model.Q.T @ score.T)
    V[:, theta], V[phi] = V[theta].T, V[:, phi].T
    V -= products(half, solved)
    moved = model.scaled(T, solved)
    turned = plus(zy, at.gram(moved), -1.0)
    direct: Pair = (-moved[0], -moved[1])
    direct[0][..., theta] += u[0]
    direct[1][..., theta] += u[1]
    return Directions(slopes, zq, zs, V, direct, turned)


def average(
    model: Model, mode: Mode, par: Vector, V: Vector, Q: list[Vector], QT: list[Vector]
) -> tuple[Vector, Vector]:  # fmt: skip
    """(d, d) the positive approximation, and (m, m) what takes 2 Y'V^{-1}Y of par to the average information.

    V is that of `directions`; Q and QT are as in `mixedfx.glmm.laplace.Pieces`.
    """
    problem, (p, m, a) = model.problem, model.sizes
    theta, phi = slice(p, p + m), slice(p + m, p + m + a)
    out = 2.0 * V
    information = _average_information(V[:p, :p], V[:p, theta], V[theta, theta])
    out[theta, theta] += information
    if a:
        bend = model.likelihood.bend(mode.eta, mode.phi)
        out[phi, phi] -= 2.0 * bend
        at_phi = np.arange(p + m, p + m + a)
        out[at_phi, at_phi] = np.maximum(out[at_phi, at_phi], 0.1 * np.abs(np.diag(bend)))
    for (where, dT), own in zip(problem.directions(par), Q, strict=True):
        if not len(where):
            continue
        flat = dT.reshape(len(where), -1)
        out[np.ix_(p + where, p + where)] += 2.0 * ((own @ dT).reshape(len(where), -1) @ flat.T)
    if not problem.linear:
        out[theta, theta] += problem.along_curvature(par, [2.0 * one for one in QT])
    return (out + out.T) / 2.0, information


def curvature(model: Model, parts: Pieces) -> tuple[Vector, Vector, Pair]:
    """(d, d) average and best second derivatives, and Z'W Q beside -Z's_phi, (., p + a) columns."""
    mode, problem, (p, m, a) = parts.mode, model.problem, model.sizes
    theta, phi = slice(p, p + m), slice(p + m, p + m + a)
    found = directions(model, mode, parts.par, parts.slopes.score)
    for part in (*found.direct, *found.turned):
        part[..., phi] = 0.0
    near, information = average(model, mode, parts.par, found.V, parts.Q, parts.QT)
    extra = _implicit(model, parts, found.direct, found.turned, found.slopes, model.by_factor(parts.b))
    if problem.coupling is None:
        along = problem.directions(parts.par)
        extra[theta, theta] -= information + _trace_of_products(parts, along, found.slopes, m)
    else:
        extra[theta, theta] = 0.0
    full = near + extra
    return near, (full + full.T) / 2.0, found.beside


def _average_information(XVX: Vector, XVZ: Vector, ZVZ: Vector) -> Vector:
    """What takes 2 Y'V^{-1}Y to the average information of par, Y'PY with gamma profiled out."""
    if not len(XVX):
        return -ZVZ
    return np.asarray(XVZ.T @ np.linalg.solve(XVX, XVZ) - ZVZ)


def _implicit(
    model: Model, parts: Pieces, direct: Pair, turned: Pair, slopes: list[Vector], b: list[Vector]
) -> Vector:  # fmt: skip
    """What the mode's dependence on the parameters adds; Ydot = (Q, 0) + Z `direct`, and Z'W Ydot is `turned`."""
    mode, problem, p = parts.mode, model.problem, model.sizes[0]
    k, q, d = parts.first.shape[0], parts.first.shape[2], direct[0].shape[-1]
    out, tensor = parts.bends.moments(model.rows, model.Q, direct, parts.leverages, parts.Zr)
    tensor = tensor.transpose(3, 0, 1, 2)
    P1 = parts.first.transpose(2, 0, 1)
    TP = tensor @ P1
    out -= TP.reshape(d, -1) @ TP.transpose(0, 1, 3, 2).reshape(d, -1).T
    zw = model.by_factor(turned)
    gram = mode.factorization.problem.gram1.transpose(2, 0, 1)
    K = np.eye(k) - P1 @ gram
    coupling = mode.factorization.problem.coupling
    if coupling is not None:
        outer = parts.across[:, :, None] * coupling.values[:, None, :]
        sums = [np.bincount(coupling.row_of, outer[:, i, j], q) for i in range(k) for j in range(k)]
        K -= np.stack(sums, axis=1).reshape(q, k, k)
    for f, (where, _) in enumerate(problem.directions(parts.par)):
        if not len(where):
            continue
        mixed = -np.einsum("ja,mab,jbd->md", b[f][:, :, 0], slopes[f], zw[f], optimize=True)
        if f == 0:
            both = K[None] @ slopes[f][:, None] @ K.transpose(0, 2, 1)[None]
            mixed += both.transpose(0, 1, 3, 2).reshape(len(where), -1) @ tensor.reshape(d, -1).T
        out[p + where] += mixed
        out[:, p + where] += mixed.T
    return out


def _trace_of_products(
    parts: Pieces, directions: list[tuple[NDArray[np.intp], Vector]], slopes: list[Vector], m: int
) -> Vector:  # fmt: skip
    """(m, m) sums over levels of tr(U dSigma U dSigma) for the only factor."""
    at, ((where, _), *_) = parts.mode.factorization, directions
    out = np.zeros((m, m))
    if not len(where):
        return out
    gram = at.problem.gram1.transpose(2, 0, 1)
    U = gram - gram @ parts.first.transpose(2, 0, 1) @ gram
    UdS = U[None] @ slopes[0][:, None]
    flat = UdS.reshape(len(where), -1)
    out[np.ix_(where, where)] = flat @ UdS.transpose(0, 1, 3, 2).reshape(len(where), -1).T
    return out
