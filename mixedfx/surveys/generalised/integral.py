r"""The pseudo likelihood at given nodes, with its exact first and second derivatives in all parameters.

Sums over nodes take the place of the integrals of `mixedfx.surveys.recursion`: of unit j at each node of the levels
above it

    log I_j = log sum_q exp(c_jq + l_jq),

l_jq the weighted sum over its members of what they add (log f of rows, log I of units below) and c_jq a number that
depends on where the node is (`nodes.py`). With p_q the normalised terms of the sum and g_q, H_q the derivatives of l_jq
in all parameters, nodes held,

    (log I_j)_a = sum_q p_q g_q,a,    (log I_j)_ab = sum_q p_q H_q,ab + Cov_q(g_a, g_b)

(Louis 1982, JRSS B 44:226), which go up to the next level times the weight of the unit. The second derivatives of the
whole are sums of those of rows, each with the product of all p and weights on its way up, and of one covariance for
each unit and node above it.

Where nodes are, the quadrature decides; that it decides by the parameters is no part of the integral, and is left out
of derivatives: they are those of the integral to the accuracy of the quadrature, and of the sum exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.surveys.generalised.nodes import Nodes, shifted
from mixedfx.surveys.generalised.problem import GeneralProblem, Part
from mixedfx.surveys.recursion import Factor

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The log pseudo likelihood of a sample or a part of it.

    Attributes
    ----------
    value
        Log pseudo likelihood.
    scores
        (K, m) derivatives of log I of the units of the top level (of rows where there are no levels), before their
        weights.
    hessian
        (m, m) second derivatives of `value`.
    """

    value: float
    scores: Array
    hessian: Array


def value_of(problem: GeneralProblem, part: Part, nodes: list[Nodes], psi: Array) -> float:
    """Log pseudo likelihood of a part at given nodes; -inf where a unit has none."""
    gamma, par, phi = problem.split(psi)
    factors = [factor.T[0] for factor in problem.factors(par[None])]
    eta = _predictors(part, nodes, factors, gamma)
    try:
        logs, _ = _sums(part, nodes, eta, phi)
    except np.linalg.LinAlgError:
        return -np.inf
    return float(_top_weights(part) @ logs)


def evaluate(
    problem: GeneralProblem, part: Part, nodes: list[Nodes], psi: Array, natural: bool = False
) -> Evaluated:  # fmt: skip
    """The same with derivatives in psi; with `natural` psi holds parameters of the columns as given.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where no node of a unit has a density.
    """
    gamma, par, phi = problem.split(psi)
    jets = problem.factors(par[None], natural)
    factors = [jet.T[0] for jet in jets]
    eta = _predictors(part, nodes, factors, gamma)
    logs, p = _sums(part, nodes, eta, phi)
    s, h = part.responses.derivatives(eta, phi)
    of_phi = part.responses.in_auxiliary(eta, phi)  # (a, 2, P, n)
    D = _directions(problem, part, nodes, jets, eta.shape)
    P, n, q = D.shape
    a, m = len(of_phi), problem.size
    ws = part.rows * s
    by_row = np.concatenate([ws[:, :, None] * D, (part.rows * of_phi[:, 0]).transpose(1, 2, 0)], axis=2)
    hessian = np.zeros((m, m))
    if not part.depth:
        scores, paths = by_row[0] / part.rows[:, None], np.ones((1, n))
    else:
        weights = _path_weights(part, p)
        scores = _climb(part, nodes, p, weights, np.add.reduceat(by_row, part.starts[0], axis=1), hessian)
        paths = (weights[0][:, None] * p[0]).reshape(P, -1)[:, part.unit_of_row[0]]
    flat = D.reshape(-1, q)
    hessian[:q, :q] += flat.T @ ((paths * part.rows * h).reshape(-1, 1) * flat)
    _curved_factors(problem, part, nodes, jets, paths * ws, hessian)
    if a:
        mixed = flat.T @ (paths * part.rows * of_phi[:, 1]).reshape(a, -1).T
        hessian[:q, q:] += mixed
        hessian[q:, :q] += mixed.T
        hessian[q:, q:] += part.responses.bend(eta, phi, paths * part.rows)
    return Evaluated(float(_top_weights(part) @ logs), scores, hessian)


def _top_weights(part: Part) -> Array:
    return part.units[-1] if part.depth else part.rows


def _predictors(part: Part, nodes: list[Nodes], factors: list[Array], gamma: Array) -> Array:
    """(P, n) linear predictors at all combinations of nodes, those of the top level slowest."""
    eta = (part.offset + part.Q @ gamma)[None]
    for depth in range(part.depth - 1, -1, -1):
        eta = shifted(part, depth, factors[depth], eta, nodes[depth].v)
    return eta


def _sums(part: Part, nodes: list[Nodes], eta: Array, phi: Array) -> tuple[Array, list[Array]]:
    """(K,) log I of the units of the top level, and for each level (P, N, U) normalised terms."""
    rows = part.responses.log_density(eta, phi)
    if not part.depth:
        if not np.isfinite(rows).all():
            raise np.linalg.LinAlgError("the response has no density here")
        return rows[0], []
    total = np.add.reduceat(part.rows * rows, part.starts[0], axis=1)
    shares, sums = [], np.zeros((1, 0))
    for depth, own in enumerate(nodes):
        P, N, U, _ = own.v.shape
        terms = total.reshape(P, N, U) + own.logs
        largest = terms.max(axis=1)
        if not np.isfinite(largest).all():
            raise np.linalg.LinAlgError("no node has a density")
        terms = np.exp(terms - largest[:, None])
        total = terms.sum(axis=1)
        shares.append(terms / total[:, None])
        sums = largest + np.log(total)
        if depth < part.depth - 1:
            total = np.add.reduceat(sums * part.units[depth], part.starts[depth + 1], axis=1)
    return sums[0], shares


def _path_weights(part: Part, p: list[Array]) -> list[Array]:
    """For each level (P, U): the weight of a unit times all weights and shares on the way up from it."""
    found = [part.units[-1][None]]
    for depth in range(part.depth - 1, 0, -1):
        above = (found[0][:, None] * p[depth]).reshape(-1, p[depth].shape[2])
        found.insert(0, above[:, part.parents[depth - 1]] * part.units[depth - 1])
    return found


def _climb(
    part: Part, nodes: list[Nodes], p: list[Array], weights: list[Array], g: Array, hessian: Array
) -> Array:  # fmt: skip
    """Scores (K, m) of the top level; covariances over nodes are added to the Hessian."""
    m = g.shape[2]
    mean = g
    for depth, own in enumerate(nodes):
        P, N, U, _ = own.v.shape
        g = g.reshape(P, N, U, m)
        mean = np.einsum("pxu,pxum->pum", p[depth], g)
        rest = (g - mean[:, None]) * np.sqrt(weights[depth][:, None] * p[depth])[..., None]
        rest = rest.reshape(-1, m)
        hessian += rest.T @ rest
        if depth < part.depth - 1:
            g = np.add.reduceat(mean * part.units[depth][:, None], part.starts[depth + 1], axis=1)
    return mean[0]


def _directions(
    problem: GeneralProblem, part: Part, nodes: list[Nodes], jets: tuple[Factor, ...], shape: tuple[int, ...]
) -> Array:
    """(P, n, p + r) derivatives of the linear predictors in gamma and par."""
    P, n = shape
    D = np.empty((P, n, problem.p + problem.n_parameters))
    D[:, :, : problem.p] = part.Q
    for depth, jet in enumerate(jets):
        v = nodes[depth].v
        at = v.reshape(-1, *v.shape[2:])[:, part.unit_of_row[depth]]  # (P N of this level, n, k)
        repeats = P // len(at)
        for a, T_a in jet.first.items():
            moved = np.einsum("nk,xnk->xn", part.columns[depth] @ T_a[0], at)
            D[:, :, problem.p + a] = np.repeat(moved, repeats, axis=0) if repeats > 1 else moved
    return D


def _curved_factors(
    problem: GeneralProblem, part: Part, nodes: list[Nodes], jets: tuple[Factor, ...], scores: Array, hessian: Array
) -> None:  # fmt: skip
    """Add what second derivatives of the factors contribute, from scores (P, n) with all weights."""
    p = problem.p
    for depth, jet in enumerate(jets):
        if not jet.second:
            continue
        v = nodes[depth].v
        at = v.reshape(-1, *v.shape[2:])[:, part.unit_of_row[depth]]
        own = scores.reshape(len(at), -1, scores.shape[1]).sum(axis=1)
        outer = np.einsum("xn,nk,xnl->kl", own, part.columns[depth], at)
        for (a, b), T_ab in jet.second.items():
            found = float((outer * T_ab[0]).sum())
            hessian[p + a, p + b] += found
            if a != b:
                hessian[p + b, p + a] += found
