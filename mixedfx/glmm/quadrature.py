r"""Adaptive Gauss-Hermite quadrature over the random effects of one grouping factor, with its exact gradient.

The integral over the effects v (k) of one level, with l(v) = sum log f - v'v / 2 over its rows, v-hat its mode and
A = C C' its curvature there, is taken at the nodes v_q = v-hat + L x_q, L = C'^{-1}, of the standard normal rule
(x_q, omega_q) in each direction (Pinheiro & Bates 1995, JCGS 4:12):

    log I = log|L| + log sum_q omega_q exp(l(v_q) + x_q'x_q / 2),      D = -2 sum over levels of log I.

One node is Laplace's approximation, constants included. Derivatives move the nodes, too. With p_q the normalised terms
of the sum, g_q = dl/dv at node q, m = sum p_q g_q and M = sum p_q g_q x_q' + L'^{-1}, and because dL = -L Phi(L'dA L)'
where Phi takes the lower triangle and half the diagonal,

    d log I = sum_q p_q dl_q + m'dv-hat - tr(N dA) / 2,      N = L X L',

X symmetric with the lower triangle of M'L. For one node N = A^{-1} and m = 0. As in `mixedfx.glmm.laplace` then, with
c_i = z_i'T N T'z_i, t = w' c and r = A^{-1}(m - T'Z't / 2),

    gamma: Q'(s-bar - t / 2 - W Z T r)
    T:     sum over levels of sum_q p_q h_q v_q' - G T N - (Z't / 2 + Z'W Z T r) v-hat' + h r'
    phi:   sum_i sum_q p_q l_phi - c w_phi / 2 + s_phi Z T r,

s-bar the mean score over the nodes, h_q = Z's at node q, G = Z'WZ of the level. Second derivatives are those of
Laplace's criterion, which the optimiser corrects as it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.glmm.derivatives import Formed
from mixedfx.glmm.evaluation import Evaluation, second_derivatives
from mixedfx.glmm.laplace import pieces
from mixedfx.glmm.level_nodes import Rule
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import DECREMENT, Mode, find_mode
from mixedfx.pls.factorization import Pair

Vector = NDArray[np.float64]

NUMBERS = 2**22  # rows times nodes held at once


@dataclass(frozen=True)
class Nodes:
    """Nodes and terms of every level.

    Attributes
    ----------
    x, log_weights
        (N, k) nodes of the rule, and (N,) log omega + x'x / 2.
    L
        (q, k, k) factors with L L' = A^{-1}.
    v
        (q, N, k) nodes.
    """

    x: Vector
    log_weights: Vector
    L: Vector
    v: Vector


def evaluate_nodes(
    nAGQ: int, model: Model, psi: Vector, v: Pair | None = None, joint: bool = False, decrement: float = DECREMENT,
    second: bool = True,
) -> Evaluation:  # fmt: skip
    """Criterion by quadrature with `nAGQ` nodes in each direction, its gradient, and second derivatives for a model.

    Arguments as in `mixedfx.glmm.evaluation.evaluate`.
    """
    gamma, par, phi = model.split(psi)
    mode = find_mode(model, gamma, model.problem.matrices(par), phi, v, joint, decrement)
    parts = pieces(model, mode, par)
    nodes = _nodes(mode, nAGQ)
    logs, terms = _terms(model, mode, nodes)
    criterion = -2.0 * float(np.log(np.abs(np.diagonal(nodes.L, axis1=1, axis2=2))).sum() + logs.sum())
    average, full, beside = second_derivatives(model, parts, second)
    at = np.concatenate([mode.gamma, par, phi])
    gradient = _gradient(model, mode, par, nodes, terms, parts.third)
    return Evaluation(at, criterion, gradient, Formed(average, full), mode, beside, False)


def _nodes(mode: Mode, nAGQ: int) -> Nodes:
    at = mode.factorization
    rule = Rule.of(nAGQ, at.L1_inverse.shape[0])
    L = np.ascontiguousarray(at.L1_inverse.transpose(2, 1, 0))  # C'^{-1} of each level
    v = mode.v[0][:, None, :, 0] + np.einsum("qab,nb->qna", L, rule.x)
    return Nodes(rule.x, rule.log_weights, L, v)


def _predictors(model: Model, mode: Mode, nodes: Nodes) -> Iterator[tuple[slice, Vector]]:
    """Linear predictors (nodes, n) of all rows, some nodes at a time."""
    fixed = model.offset + model.Q @ mode.gamma
    u, codes, z = nodes.v @ mode.T[0].T, model.rows.codes, model.rows.z
    step = max(1, NUMBERS // max(len(fixed), 1))
    for begin in range(0, len(nodes.x), step):
        at = slice(begin, begin + step)
        yield at, fixed + np.einsum("na,nqa->qn", z, u[codes, at], optimize=True)


def _terms(model: Model, mode: Mode, nodes: Nodes) -> tuple[Vector, Vector]:
    """(q,) logarithms of the sums, and their (q, N) normalised terms."""
    own, levels = model.likelihood, len(nodes.L)
    values = np.empty((levels, len(nodes.x)))
    for at, eta in _predictors(model, mode, nodes):
        many = own.auxiliary(mode.phi, len(eta))
        rows = own.family.log_density(own.y, eta, many, own.facts)
        values[:, at] = _by_level(model, rows)
    values += nodes.log_weights - 0.5 * (nodes.v**2).sum(axis=2)
    logs = np.asarray(special.logsumexp(values, axis=1), dtype=np.float64)
    return logs, np.exp(values - logs[:, None])


def _by_level(model: Model, rows: Vector) -> Vector:
    """(q, N) sums over the rows of each level of (N, n)."""
    start = np.flatnonzero(np.r_[True, np.diff(model.rows.codes) > 0])
    levels = model.problem.factors[0].n_levels
    out = np.zeros((levels, len(rows)))
    out[model.rows.codes[start]] = np.add.reduceat(rows, start, axis=1).T
    return out


def _gradient(model: Model, mode: Mode, par: Vector, nodes: Nodes, terms: Vector, third: Vector) -> Vector:
    own, (p, _, a), T = model.likelihood, model.sizes, mode.T[0]
    n, k, levels = len(own.y), T.shape[0], len(nodes.L)
    codes, z = model.rows.codes, model.rows.z
    mean_score, of_phi = np.zeros(n), np.zeros(a)
    total_T, m, gx = np.zeros((k, k)), np.zeros((levels, k)), np.zeros((levels, k, k))
    for at, eta in _predictors(model, mode, nodes):
        many = own.auxiliary(mode.phi, len(eta))
        weight = terms[codes, at].T
        s = own.family.derivatives(own.y, eta, many, own.facts, 1)[0]
        mean_score += (weight * s).sum(axis=0)
        h = np.stack([_by_level(model, s * z[:, c]) for c in range(k)], axis=2)
        g = h @ T - nodes.v[:, at]
        share = terms[:, at]
        total_T += np.einsum("qn,qna,qnb->ab", share, h, nodes.v[:, at], optimize=True)
        m += np.einsum("qn,qna->qa", share, g)
        gx += np.einsum("qn,qna,nb->qab", share, g, nodes.x[at], optimize=True)
        if a:
            of_phi += np.einsum("dn,adn->a", weight, own.auxiliary_derivatives(eta, mode.phi)[:, 0])
    L = nodes.L
    M = gx + np.linalg.inv(L).transpose(0, 2, 1)
    X = M.transpose(0, 2, 1) @ L
    X = np.tril(X) + np.tril(X, -1).transpose(0, 2, 1)
    N = L @ X @ L.transpose(0, 2, 1)
    TN = T @ N
    c = np.einsum("na,nab,nb->n", z, (TN @ T.T)[codes], z, optimize=True)
    t = third * c
    zt = model.rows.score_products(t)[0][:, :, 0]
    A_inverse = L @ L.transpose(0, 2, 1)
    r = np.einsum("qab,qb->qa", A_inverse, m - 0.5 * zt @ T)
    ZTr = np.einsum("na,na->n", z, (r @ T.T)[codes])
    h, v = mode.h[0][:, :, 0], mode.v[0][:, :, 0]
    back = 0.5 * zt + model.rows.score_products(mode.w * ZTr)[0][:, :, 0]
    gram = mode.factorization.problem.gram1.transpose(2, 0, 1)
    of_factor = total_T - (gram @ TN).sum(axis=0) - back.T @ v + h.T @ r
    out = np.zeros(sum(model.sizes))
    out[:p] = model.Q.T @ (mean_score - 0.5 * t - mode.w * ZTr)
    for where, dT in model.problem.directions(par):
        if len(where):
            out[p + where] = dT.reshape(len(where), -1) @ of_factor.ravel()
    if a:
        slopes = own.slopes(mode.eta, mode.phi)
        out[-a:] = of_phi - 0.5 * slopes.weight @ c + slopes.score @ ZTr
    return -2.0 * out
