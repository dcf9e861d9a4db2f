r"""Quadrature over both of two nested factors: families in places.

Given the effect v2 of a place its families are independent, and places are independent of each other. With l_P(v2) the
sum of log I_j(xi(v2)) over the families of place P, less v2'v2 / 2 (`mixedfx.glmm.level_nodes`), the integral over v2
is taken by adaptive quadrature, too, about the mode and curvature that `mixedfx.glmm.hybrid` finds, A2_P = C C':

    v2_m = v2-hat + L x_m,  L = C'^{-1},     log J_P = log|L| + log sum_m omega_m exp(l_P(v2_m) + x_m'x_m / 2),
    D = -2 sum over places of log J_P,

families about their own modes at every node of their place. It converges to the likelihood itself as nodes are added.

**Gradient.** With P_m the normalised terms, a node's own part is the pull-back (`mixedfx.glmm.node_pullback`) of
log I with alpha = -2 P_m. Let a_m = T2'Z2'x_m + 2 P_m v2_m be the coefficients of dv2_m: then m = sum a_m and
M = sum a_m x_m' - 2 L'^{-1} are those of v2-hat and L, and as in `mixedfx.glmm.quadrature` L gives A2 the coefficients
G = -L X L' / 2, X symmetric with the lower triangle of M'L. From there on it is the hybrid's gradient with G in the
place of A2^{-1}, no log I, and m in the place of 2 v2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.hybrid import (
    Answer,
    Centre,
    find_centre,
    of_second,
    solve_multiplier,
    times_z2,
    with_second_derivatives,
    z2_products,
)
from mixedfx.glmm.level_nodes import LevelIntegrals, LevelModes, Rule, level_integrals, level_modes, normalised
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import DECREMENT, LOOSE, find_mode
from mixedfx.glmm.node_densities import left_out
from mixedfx.glmm.node_pullback import Pulled, Seed, pull_back
from mixedfx.linalg import batched
from mixedfx.pls.factorization import Pair
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

MOST_COLUMNS = 3  # effects of a place and a family together, up to which both are integrated by nodes
KEPT = 2**23  # rows times nodes of both kinds, up to which what the nodes gave is kept for the gradient


def is_nested(problem: Problem) -> bool:
    """Whether there are two factors, few effects to a level, and every level of the first is in one of the second."""
    coupling = problem.coupling
    if coupling is None or len(problem.factors) != 2 or not problem.factors[0].blocks:
        return False
    first, second = problem.factors
    if second.mixing is not None or first.k + second.k > MOST_COLUMNS:
        return False
    return len(coupling.indices) == second.k * np.count_nonzero(np.diff(coupling.row_end, prepend=0))


@dataclass(frozen=True)
class Outer:
    """The nodes of every place.

    Attributes
    ----------
    rule
        Their rule.
    place, column
        (q2 k2,) place and column of each effect of the second level, in its permuted order.
    of_level
        (q1,) place of each level of the first factor.
    K, L
        (q2, k2, k2) information of a place and the factor with L L' = A2^{-1}.
    v2
        (q2, M, k2) nodes.
    found
        What the levels' integrals are at each; modes alone where that is too much.
    P
        (q2, M) normalised terms.
    total
        Sum of log J.
    """

    rule: Rule
    place: NDArray[np.intp]
    column: NDArray[np.intp]
    of_level: NDArray[np.intp]
    K: Vector
    L: Vector
    v2: Vector
    found: list[LevelIntegrals | LevelModes] = field(repr=False)
    P: Vector = field(repr=False)
    total: float


def evaluate_nested(
    nAGQ: int, model: Model, psi: Vector, v: Pair | None = None, joint: bool = False, decrement: float = DECREMENT,
    second: bool = True,
) -> Evaluation:  # fmt: skip
    """Criterion by quadrature over both factors, its gradient, and Laplace's second derivatives for a model.

    Arguments as in `mixedfx.glmm.evaluation.evaluate`.
    """
    gamma, par, phi = model.split(psi)
    T = model.problem.matrices(par)
    if joint:
        mode = find_mode(model, gamma, T, phi, v, True, LOOSE)
        gamma, v = mode.gamma, mode.v
    rule = Rule.of(nAGQ, len(T[0]))
    centre = find_centre(model, rule, gamma, T, phi, model.zero() if v is None else v, min(decrement, DECREMENT))
    outer = outer_nodes(model, centre, Rule.of(nAGQ, len(T[1])), min(decrement, DECREMENT))
    return with_second_derivatives(model, centre, par, nested_answer(model, centre, outer), second)


def outer_nodes(model: Model, centre: Centre, rule: Rule, decrement: float) -> Outer:
    """The nodes of all places about the centre, and the integrals of their families there."""
    coupling, T, at = model.problem.coupling, centre.T, centre.at
    assert coupling is not None
    position = coupling.positions[0]
    count, k2 = position.shape
    place, column = np.empty(position.size, dtype=np.intp), np.empty(position.size, dtype=np.intp)
    place[position], column[position] = np.arange(count)[:, None], np.arange(k2)
    of_level = np.zeros(model.problem.factors[0].n_levels, dtype=np.intp)
    of_level[coupling.row_of] = place[coupling.indices]
    K = _information(model, centre, position, place, column)
    A = np.eye(k2) + T[1].T @ K @ T[1]
    inverse = batched.invert_lower(batched.cholesky(np.ascontiguousarray(A.transpose(1, 2, 0))))
    L = np.ascontiguousarray(inverse.transpose(2, 1, 0))
    middle = centre.v2[:, 0][position]
    v2 = middle[:, None] + np.einsum("qab,nb->qna", L, rule.x)
    keep = len(at.modes.xi) * at.p.shape[1] * len(rule.x) <= KEPT
    values, found = np.empty((count, len(rule.x))), []
    for m in range(len(rule.x)):
        moved = times_z2(model, T, _flat(v2[:, m] - middle, position))
        down = model.levels.z_by_level((at.modes.w * moved)[:, None])[:, 0] @ T[0]
        start = at.modes.v - np.einsum("qab,qb->qa", at.modes.A_inverse, down)
        modes = level_modes(model, at.modes.xi + moved, T[0], centre.phi, start, decrement)
        here = level_integrals(model, modes, at.rule, 0)
        found.append(here if keep else modes)
        values[:, m] = np.bincount(of_level, here.logs, count)
    values += rule.log_weights - 0.5 * (v2**2).sum(axis=2)
    logs, P = normalised(values)
    total = float(logs.sum() + np.log(np.abs(np.diagonal(L, axis1=1, axis2=2))).sum())
    return Outer(rule, place, column, of_level, K, L, v2, found, P, total)


def _information(
    model: Model, centre: Centre, position: NDArray[np.intp], place: NDArray[np.intp], column: NDArray[np.intp]
) -> Vector:  # fmt: skip
    """(q2, k2, k2) what the rows of each place say of its effects, their families' effects integrated out."""
    coupling, (count, k2) = model.problem.coupling, position.shape
    assert coupling is not None
    assert centre.at.weight is not None
    row, col = model.rows.gram_entries
    K = np.zeros((count, k2, k2))
    K[place[row], column[row], column[col]] = model.rows.blocks(centre.at.weight)[2]
    c = _by_place(centre.deviations, coupling.indices, column, k2)
    outer = np.einsum("jaq,jbq->jab", c, c)
    np.subtract.at(K, place[coupling.indices[::k2]], outer)
    return K


def _by_place(x: Vector, indices: NDArray[np.int32], column: NDArray[np.intp], k2: int) -> Vector:
    """(levels, k2, N) entries (e, N) of the levels that have rows, in the order of the place's columns."""
    order = np.argsort(column[indices].reshape(-1, k2), axis=1)
    return np.take_along_axis(x.reshape(-1, k2, x.shape[1]), order[:, :, None], axis=1)


def _flat(by_place: Vector, position: NDArray[np.intp]) -> Vector:
    """(q2 k2, 1) effects in permuted order from (q2, k2)."""
    out = np.empty((position.size, 1))
    out[position, 0] = by_place
    return out


def nested_answer(model: Model, centre: Centre, outer: Outer) -> Answer:
    """The criterion and its derivatives."""
    coupling, T, at = model.problem.coupling, centre.T, centre.at
    assert coupling is not None
    position, T2 = coupling.positions[0], T[1]
    count, k2 = position.shape
    own: Pulled | None = None
    m, M, of_T2 = np.zeros((count, k2)), np.zeros((count, k2, k2)), np.zeros((k2, k2))
    for i, x in enumerate(outer.rule.x):
        kept = outer.found[i]
        here = kept if isinstance(kept, LevelIntegrals) else level_integrals(model, kept, at.rule, 0)
        share, v2 = outer.P[:, i, None], outer.v2[:, i]
        pulled = pull_back(model, here, Seed(-2.0 * outer.P[outer.of_level, i]))
        zx = z2_products(model, pulled.xi)[:, 0][position]
        a = zx @ T2 + 2.0 * share * v2
        m += a
        M += a[:, :, None] * x
        of_T2 += zx.T @ v2
        own = pulled if own is None else own.plus(pulled)
    assert own is not None
    M -= 2.0 * np.linalg.inv(outer.L).transpose(0, 2, 1)
    X = M.transpose(0, 2, 1) @ outer.L
    X = np.tril(X) + np.tril(X, -1).transpose(0, 2, 1)
    G = -0.5 * (outer.L @ X @ outer.L.transpose(0, 2, 1))
    S = T2 @ G @ T2.T
    found, multiplier = solve_multiplier(
        model, centre, pull_back(model, at, _seed(model, centre, outer, S)), _flat(m, position)
    )
    of_T2 += 2.0 * np.einsum("qab,bc,qcd->ad", outer.K, T2, G)
    of_T2 += of_second(model, centre, found.xi, multiplier)[0]
    both = found.plus(own)
    left = float((multiplier * centre.gradient).sum())
    criterion = -2.0 * (outer.total + left_out(model.likelihood, centre.phi)) + left
    return Answer(criterion, model.Q.T @ both.xi, [both.T, of_T2], both.phi)


def _seed(model: Model, centre: Centre, outer: Outer, S: Vector) -> Seed:
    """What the places' curvature makes of the levels' moments at the centre, S (q2, k2, k2) in the place of S."""
    coupling, k = model.problem.coupling, model.problem.factors[0].k
    assert coupling is not None
    k2, e, q1 = S.shape[1], len(coupling.indices), model.problem.factors[0].n_levels
    c = _by_place(centre.deviations, coupling.indices, outer.column, k2)
    S_c = np.matmul(S[outer.place[coupling.indices[::k2]]], c)
    order = np.argsort(outer.column[coupling.indices].reshape(-1, k2), axis=1)
    back = np.empty_like(S_c)
    np.put_along_axis(back, order[:, :, None], S_c, axis=1)
    row, col = model.rows.gram_entries
    pi = model.rows.leverages(
        np.zeros(q1 * k * k), np.zeros(e * k), S[outer.place[row], outer.column[row], outer.column[col]]
    )
    return Seed(np.zeros(q1), None, pi, back.reshape(e, -1), centre.deviations)
