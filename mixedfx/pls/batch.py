r"""The criterion of one grouping factor for many responses at once, each at its own parameters.

Bootstrap, power and simulation fit the same design to thousands of responses. With a single grouping factor every
block of M is small, and all responses can be evaluated together: arrays carry the responses on their last axis, B of
them. The formulas are those of `mixedfx.pls.evaluate`, written with K_j = (I + T T'G_j)^{-1}, N_j = T M_j^{-1} T' and

    Z'V^{-1}Z_jj = G_j K_j,    Z'V^{-1}W_j = K_j' Z'W_j,    W'V^{-1}W = W'W - sum_j W'Z_j N_j Z_j'W.

`mixedfx.pls.evaluate` is the oracle of its tests. Data sets in which whole levels were drawn with replacement
(`Resamples`) are batched alike: sums over levels then count each level as often as it was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import batched
from mixedfx.linalg.batched import product, transposed
from mixedfx.pls.evaluate import LOG_2PI
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Responses:
    """Cross-products of B responses with one design.

    Attributes
    ----------
    zy
        (q1, k1, B) products Z1'y0 of the first factor.
    zy2
        (q2, B) products of the second level.
    Qy
        (p, B) products Q'y0.
    yy
        (B,) sums of squares of y0.
    shift
        (p, B) least squares coefficients taken out of each response.
    """

    zy: Vector
    zy2: Vector
    Qy: Vector
    yy: Vector
    shift: Vector

    def __len__(self) -> int:
        return len(self.yy)


@dataclass(frozen=True)
class Resamples:
    """B data sets made of the levels of one, each level any number of times.

    Attributes
    ----------
    counts
        (q1, B) how often each level was drawn.
    QQ
        (p, p, B) products Q'Q of the rows drawn.
    dof
        (B,) divisors of sigma^2.
    log_weights
        (B,) sums of log w.
    """

    counts: Vector
    QQ: Vector
    dof: Vector
    log_weights: Vector


@dataclass(frozen=True)
class BatchEvaluation:
    """Criterion (B,), gradient (B, r), information (B, r, r), sigma2 (B,) and gamma (B, p) of B responses."""

    criterion: Vector
    gradient: Vector
    information: Vector
    sigma2: Vector
    gamma: Vector


def _factors(problem: Problem, par: Vector) -> Vector:
    """(k, k, B) T of the only factor at each row of `par` (B, r)."""
    return np.ascontiguousarray(problem.matrices(par)[0].transpose(1, 2, 0))


def evaluate_batch(
    problem: Problem, responses: Responses, par: Vector, resamples: Resamples | None = None
) -> BatchEvaluation:
    """Evaluate B responses at (B, r) scaled parameters; `problem` has a single grouping factor.

    Responses whose factorisation breaks down get an infinite criterion. With `resamples` the products of `responses`
    are those of the rows drawn, but `zy`, which stays that of each level.
    """
    p, k, r = problem.p, problem.factors[0].k, problem.n_parameters
    counts = None if resamples is None else resamples.counts
    nu = problem.dof if resamples is None else resamples.dof
    QQ = problem.ww[:p, :p, None] if resamples is None else resamples.QQ
    log_weights = problem.log_weights if resamples is None else resamples.log_weights
    G, zQ = problem.gram1, np.ascontiguousarray(problem.zw1[:, :, :p].transpose(1, 2, 0))
    q, B = G.shape[2], len(par)
    T = _factors(problem, par)[:, :, None, :]
    G = G[..., None]
    M = product(transposed(T), product(G, T))
    M[np.arange(k), np.arange(k)] += 1.0
    L = batched.cholesky(M.reshape(k, k, -1))
    logdet = 2.0 * _over_levels(np.log(L[np.arange(k), np.arange(k)]).sum(axis=0).reshape(1, 1, q, B), counts)[0, 0]
    M_inverse = batched.gram_of_lower(batched.invert_lower(L)).reshape(k, k, q, B)
    N = product(T, product(M_inverse, transposed(T)))
    K = -product(N, G)
    K[np.arange(k), np.arange(k)] += 1.0

    zy = np.ascontiguousarray(responses.zy.transpose(1, 0, 2))[:, None]
    zQ = zQ[..., None]
    NzQ, Nzy = product(N, zQ), product(N, zy)
    S = QQ - _over_levels(product(transposed(zQ), NzQ), counts)
    Sy = responses.Qy - _over_levels(product(transposed(zQ), Nzy), counts)[:, 0]
    yVy = responses.yy - _over_levels(product(transposed(zy), Nzy), counts)[0, 0]
    if p:
        LS = batched.cholesky(S)
        S_inverse = batched.gram_of_lower(batched.invert_lower(LS))
        logdet_S = 2.0 * np.log(LS[np.arange(p), np.arange(p)]).sum(axis=0)
    else:
        S_inverse, logdet_S = S, np.zeros(B)
    gamma = product(S_inverse, Sy[:, None])
    residual = yVy - np.einsum("cB,cB->B", gamma[:, 0], Sy)
    sigma2 = residual / nu if problem.sigma is None else np.full(B, problem.sigma**2)
    criterion = logdet + nu * (LOG_2PI + np.log(sigma2)) + residual / sigma2 - log_weights
    if problem.REML:
        criterion = criterion + logdet_S + 2.0 * np.log(np.abs(np.diag(problem.R))).sum()

    H = product(transposed(K), zQ)
    h = product(transposed(K), zy) - product(H, gamma[:, :, None])
    ZVZ = product(G, K)
    Q = _over_levels(ZVZ - product(h, transposed(h)) / sigma2, counts)
    if problem.REML and p:
        Q = Q - _over_levels(product(H, product(S_inverse[:, :, None], transposed(H))), counts)
    QT = product(Q, T[:, :, 0])
    # entries of a triangle need no matrices of their own
    entries = problem.entries
    dT = None if entries is not None else np.moveaxis(problem.directions(par)[0][1], 0, -1)
    if dT is None:
        gradient = np.stack([2.0 * QT[a, b] for _, a, b in entries or ()], axis=1)
    else:
        gradient = 2.0 * np.einsum("mabB,abB->Bm", dT, QT)

    v = np.zeros((k, r, q, B))
    for m, (_, a, b) in enumerate(entries or ()):
        v[:, m] = h[a, 0] * T[:, b]
        v[a, m] += product(transposed(T[:, b : b + 1]), h)[0, 0]
    if dT is not None:
        half = np.einsum("mabB,cbB->macB", dT, T[:, :, 0])
        v[:] = np.einsum("macB,cjB->amjB", half + half.transpose(0, 2, 1, 3), h[:, 0])
    vPy = _over_levels(product(transposed(v), h), counts)
    inner = _over_levels(product(transposed(v), product(ZVZ, v)), counts)
    if p:
        XVZv = _over_levels(product(transposed(H), v), counts)
        inner = inner - product(transposed(XVZv), product(S_inverse, XVZv))
    information = inner / sigma2
    if problem.sigma is None:
        information = information - product(vPy, transposed(vPy)) / (nu * sigma2**2)
    for m, (_, a, b) in enumerate(entries or ()):
        for l, (_, c, d) in enumerate(entries or ()):  # noqa: E741
            if b == d:
                information[m, l] += Q[a, c] + Q[c, a]
    if dT is not None:
        information += 2.0 * np.einsum("mabB,acB,lcbB->mlB", dT, Q, dT)
        information += np.moveaxis(problem.along_curvature(par, [2.0 * np.moveaxis(QT, -1, 0)]), 0, -1)
    information = np.moveaxis((information + transposed(information)) / 2.0, -1, 0)
    return BatchEvaluation(np.where(residual > 0, criterion, np.inf), gradient, information, sigma2, gamma[:, 0].T)


def _over_levels(A: Vector, counts: Vector | None) -> Vector:
    """(k, m, B) sums over the levels of (k, m, q, B) matrices, each level as often as `counts` (q, B) says."""
    return A.sum(axis=2) if counts is None else np.einsum("kmqB,qB->kmB", A, counts)
