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
    unweighted = part.responses.in_auxiliary(eta, phi)  # (a, 2, P, n)
    of_phi = part.rows * unweighted
    ws = part.rows * s
    hessian = np.zeros((problem.size, problem.size))
    if not part.depth:
        scores = np.concatenate([s[0][:, None] * part.Q, unweighted[:, 0, 0].T], axis=1)
        paths = np.ones(eta.shape)
    else:
        weights = _path_weights(part, p)
        scores = _climb(part, nodes, p, weights, _of_units(problem, part, nodes, jets, ws, of_phi[:, 0]), hessian)
        paths = (weights[0][:, None] * p[0]).reshape(len(eta), -1)[:, part.unit_of_row[0]]
    _of_rows(problem, part, nodes, jets, (paths * ws, paths * part.rows * h, paths * of_phi[:, 1]), hessian)
    if len(of_phi):
        hessian[-len(of_phi) :, -len(of_phi) :] += part.responses.bend(eta, phi, paths * part.rows)
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


def _of_units(
    problem: GeneralProblem, part: Part, nodes: list[Nodes], jets: tuple[Factor, ...], ws: Array, of_phi: Array
) -> Array:
    """(P, U, m) derivatives of what each unit of the first level adds, from weighted scores (P, n) of its rows."""
    P, starts, p = len(ws), part.starts[0], problem.p
    out = np.empty((P, len(starts), problem.size))

    def sums(x: Array) -> Array:
        return np.add.reduceat(x, starts, axis=1)

    for c in range(p):
        out[:, :, c] = sums(ws * part.Q[:, c])
    for depth, jet in enumerate(jets):
        z = part.columns[depth]
        h = np.stack([sums(ws * z[:, k]) for k in range(z.shape[1])], axis=2)
        unit = part.unit_of_row[depth][starts]
        v = _flat(nodes[depth].v)[:, unit]
        h = h.reshape(len(v), -1, *h.shape[1:])
        for a, T_a in jet.first.items():
            moved = v @ T_a[0].T
            out[:, :, p + a] = np.einsum("xruk,xuk->xru", h, moved).reshape(P, -1)
    for i, own in enumerate(of_phi):
        out[:, :, p + problem.n_parameters + i] = sums(own)
    return out


def _flat(v: Array) -> Array:
    """(P N, U, k) nodes of a level, from (P, N, U, k)."""
    return v.reshape(-1, *v.shape[2:])


def _of_rows(
    problem: GeneralProblem, part: Part, nodes: list[Nodes], jets: tuple[Factor, ...],
    moments: tuple[Array, Array, Array], hessian: Array,
) -> None:  # fmt: skip
    """Add the second derivatives of rows.

    `moments` are (P, n) first and second derivatives in eta and (a, P, n) those in eta and phi, with all weights. What
    enters a second derivative in par is their means over nodes of 1, v and v v', so that parameters cost nothing by
    node.
    """
    first, second, mixed = moments
    p, q = problem.p, problem.p + problem.n_parameters
    hessian[:p, :p] += part.Q.T @ (second.sum(axis=0)[:, None] * part.Q)
    hessian[:p, q:] += part.Q.T @ mixed.sum(axis=1).T
    at = [_flat(own.v)[:, part.unit_of_row[depth]] for depth, own in enumerate(nodes)]
    for depth, jet in enumerate(jets):
        v, z = at[depth], part.columns[depth]
        moved = {p + a: z @ T_a[0] for a, T_a in jet.first.items()}  # (n, k), times v

        def by_level(x: Array, size: int = len(v)) -> Array:
            return x.reshape(size, -1, x.shape[-1]).sum(axis=1)

        mean = np.einsum("xn,xnk->nk", by_level(second), v)
        of_phi = [np.einsum("xn,xnk->nk", by_level(own), v) for own in mixed]
        for a, za in moved.items():
            hessian[:p, a] += part.Q.T @ (za * mean).sum(axis=1)
            for i, own in enumerate(of_phi):
                hessian[a, q + i] += (za * own).sum()
        for upper in range(depth, part.depth):
            wide, zu = at[upper], part.columns[upper]
            repeated = np.repeat(wide, len(v) // len(wide), axis=0) if upper > depth else v
            square = np.einsum("xn,xnk,xnl->nkl", by_level(second), v, repeated, optimize=True)
            for a, za in moved.items():
                for b, T_b in jets[upper].first.items():
                    if upper > depth or p + b >= a:
                        hessian[a, p + b] += np.einsum("nk,nl,nkl->", za, zu @ T_b[0], square, optimize=True)
        if jet.second:
            outer = np.einsum("nk,nl->kl", z, np.einsum("xn,xnk->nk", by_level(first), v))
            for (a, b), T_ab in jet.second.items():
                hessian[p + a, p + b] += float((outer * T_ab[0]).sum())
    low = np.tril_indices(len(hessian), -1)
    hessian[low] = hessian.T[low]
