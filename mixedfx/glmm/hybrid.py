r"""Hybrid quadrature: the first factor's effects by adaptive quadrature given the others, those by Laplace.

With several grouping factors the effects of the first, which has most levels, are independent of each other given those
of the others, v2. Their integrals are taken by adaptive quadrature (`mixedfx.glmm.level_nodes`), and the integral over
v2, about which the data say far more for each effect, by Laplace's approximation of what is left:

    l(v2) = sum over levels j of log I_j(xi(v2)) - v2'v2 / 2,    xi = X beta + offset + Z2 Lambda2 v2,
    D = -2 l + log|A2|,     A2 = I + Lambda2'K Lambda2,    K = Z2'diag(w-bar)Z2 - sum_j Cov_j(h),   h_q = Z2's_q,

at the v2 where Lambda2'Z2's-bar = v2. A2 has the pattern of the Schur complement that Laplace's approximation over all
effects has: the deviations c_q = h_q - h-bar times the root of p_q stand where its coupling stands, a column for each
node. Score and information are those of fixed nodes, and the nodes are where the modes given the v2 found put them; with
one node in the place of many that is Laplace's approximation over all effects but for K, so `nAGQ=1` is that itself.

**Gradient.** With S = Lambda2 A2^{-1} Lambda2', D is made of log I (alpha = -2), w-bar (pi_i = z2_i'S z2_i), Cov (S) and
Lambda2 itself. That v2 moves is Lagrange's rule: to D is added lambda'(Lambda2'Z2's-bar - v2), beta = Z2 Lambda2 lambda,
with lambda such that nothing changes with v2. As dF / dxi (`mixedfx.glmm.node_pullback`) is x(lambda),

    Lambda2'Z2'x(lambda) + 2 v2 - lambda = 0;

but for the nodes' movement it is A2 lambda = known, so that a few corrections by A2^{-1} solve it. Then

    gamma: Q'x,    T1, phi: of the pull-back,
    T2:    sum over levels of (Z2'x)_j v2_j' + (Z2's-bar)_j lambda_j' + 2 T2'^{-1}(I - [A2^{-1}]_jj).

It is exact for any number of nodes. What is left of Newton's method enters D to first order by lambda'(...).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.level_nodes import LevelIntegrals, Rule, level_integrals, level_modes
from mixedfx.glmm.level_rows import LevelRows
from mixedfx.glmm.model import Model
from mixedfx.glmm.node_densities import left_out
from mixedfx.glmm.node_pullback import Pulled, Seed, pull_back
from mixedfx.pls.coupling import Coupling
from mixedfx.pls.factorization import Pair
from mixedfx.pls.second_level import SecondLevel, second_scaled

Vector = NDArray[np.float64]

MOST, SMALLEST = 100, 1e-6  # Newton steps, and the share of a step below which there is no step that gains
SLACK = 0.25  # share of the promised gain that l may fall by, as its score is that of fixed nodes
CORRECTIONS, SOLVED = 60, 1e-11  # of lambda, and the relative size of one that ends them


@dataclass(frozen=True)
class Centre:
    """The effects v2 of the second level at their mode.

    Attributes
    ----------
    gamma, phi, T, v2
        Where it is.
    at
        Integrals over the first factor there.
    deviations
        (e, N) c_q times the root of p_q.
    second
        A2.
    gradient
        (q2, 1) Lambda2'Z2's-bar - v2, what is left.
    value
        l(v2).
    steps
        Newton steps taken.
    """

    gamma: Vector
    phi: Vector
    T: list[Vector]
    v2: Vector
    at: LevelIntegrals
    deviations: Vector
    second: SecondLevel
    gradient: Vector
    value: float
    steps: int


def rest_of_predictor(model: Model, gamma: Vector, T: list[Vector], v2: Vector) -> Vector:
    """(n,) xi."""
    return model.offset + model.Q @ gamma + times_z2(model, T, v2)


def times_z2(model: Model, T: list[Vector], v2: Vector) -> Vector:
    """(n,) Z2 Lambda2 v2 for v2 (q2, 1)."""
    assert model.problem.coupling is not None
    return np.asarray(model.rows.Z2 @ second_scaled(T[1:], model.problem.coupling, v2, False))[:, 0]


def z2_products(model: Model, x: Vector) -> Vector:
    """(q2, 1) Z2'x."""
    assert model.rows.Z2 is not None
    return np.asarray(model.rows.Z2.T @ x)[:, None]


def find_centre(
    model: Model, levels: LevelRows, rule: Rule, gamma: Vector, T: list[Vector], phi: Vector, v: Pair, decrement: float
) -> Centre:  # fmt: skip
    """The mode of v2, and the modes of the levels given it, from v.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there is none.
    """
    coupling = model.problem.coupling
    assert coupling is not None
    modes = level_modes(model, levels, rest_of_predictor(model, gamma, T, v[1]), T[0], phi, v[0][:, :, 0], decrement)
    at = level_integrals(model, levels, modes, rule)
    v2 = v[1]
    value = float(at.logs.sum() - 0.5 * (v2**2).sum())
    for count in range(MOST):
        assert at.score is not None
        g = second_scaled(T[1:], coupling, z2_products(model, at.score), True) - v2
        second, deviations, own = _information(model, levels, T, at)
        step = second.solve(g)
        gain = float((g * step).sum())
        if own and gain < decrement:
            return Centre(gamma, phi, T, v2, at, deviations, second, g, value, count)
        if not gain >= 0.0:
            raise np.linalg.LinAlgError("the step to the mode is not uphill")
        size = 1.0
        moved = times_z2(model, T, step)
        first = levels.z_by_level((modes.w * moved)[:, None])[:, 0] @ T[0]
        follow = -np.einsum("qab,qb->qa", modes.A_inverse, first)
        while True:
            xi = at.modes.xi + size * moved
            try:
                modes = level_modes(model, levels, xi, T[0], phi, at.modes.v + size * follow, decrement)
                new = level_integrals(model, levels, modes, rule)
                there = v2 + size * step
                found = float(new.logs.sum() - 0.5 * (there**2).sum())
            except np.linalg.LinAlgError:
                found = -np.inf
            if found >= value - SLACK * size * gain - 1e-9 * abs(value):
                break
            size /= 2.0
            if size < SMALLEST:
                raise np.linalg.LinAlgError("no step gains")
        v2, at, value = there, new, found
    raise np.linalg.LinAlgError("the mode was not found")


def _information(
    model: Model, levels: LevelRows, T: list[Vector], at: LevelIntegrals
) -> tuple[SecondLevel, Vector, bool]:  # fmt: skip
    """A2, the deviations, and whether it is A2 indeed: without Cov where that takes away too much."""
    assert levels.to_entries is not None
    assert at.weight is not None
    h = np.asarray(levels.to_entries @ at.s)
    p = at.p[_row_of(model)]
    deviations = np.sqrt(p) * (h - (p * h).sum(axis=1, keepdims=True))
    gram = model.rows.blocks(at.weight)[2]
    try:
        return SecondLevel(levels.coupled(deviations, gram), T[1:], None), deviations, True
    except np.linalg.LinAlgError:
        none = np.zeros((len(h), 1))
    gram = model.rows.blocks(model.likelihood.information(at.modes.eta, at.modes.phi))[2]
    return SecondLevel(levels.coupled(none, gram), T[1:], None), deviations, False


def _row_of(model: Model) -> NDArray[np.int32]:
    coupling = model.problem.coupling
    assert coupling is not None
    return coupling.row_of


@dataclass(frozen=True)
class Answer:
    """Criterion and gradient in (gamma, T of each factor, phi)."""

    criterion: float
    gamma: Vector
    T: list[Vector]
    phi: Vector


def hybrid_answer(model: Model, levels: LevelRows, centre: Centre) -> Answer:
    """The criterion and its derivatives."""
    coupling = model.problem.coupling
    assert coupling is not None
    second, at = centre.second, centre.at
    q1, e = model.problem.factors[0].n_levels, len(coupling.indices)
    S_c = second.unscaled(second.inverse_products())
    k = model.problem.factors[0].k
    S = second.on_pattern(*model.rows.gram_entries)
    pi = model.rows.leverages(np.zeros(q1 * k * k), np.zeros(e * k), S)
    base = pull_back(model, levels, at, Seed(np.full(q1, -2.0), None, pi, S_c, centre.deviations))
    found, multiplier = solve_multiplier(model, levels, centre, base, 2.0 * centre.v2)
    left = float((multiplier * centre.gradient).sum())
    constant = left_out(model.likelihood, centre.phi)
    criterion = -2.0 * (centre.value + constant) + second.logdet + left
    ZVZT, _ = second.score_sums()
    return Answer(
        criterion,
        model.Q.T @ found.xi,
        [found.T, *(2.0 * plain + moved for plain, moved in zip(ZVZT, of_second(model, centre, found.xi, multiplier), strict=True))],
        found.phi,
    )  # fmt: skip


def solve_multiplier(
    model: Model, levels: LevelRows, centre: Centre, base: Pulled, direct: Vector
) -> tuple[Pulled, Vector]:  # fmt: skip
    """Lambda (q2, 1) with Lambda2'Z2'x(lambda) + direct = lambda, and what is pulled back with it.

    `base` is the pull-back at lambda = 0, and `direct` (q2, 1) the derivative of F in v2 itself.
    """
    coupling, T = model.problem.coupling, centre.T
    assert coupling is not None
    zero = np.zeros(model.problem.factors[0].n_levels)
    multiplier, pulled = np.zeros_like(centre.v2), base
    for _ in range(CORRECTIONS):
        rest = second_scaled(T[1:], coupling, z2_products(model, pulled.xi), True) + direct - multiplier
        move = centre.second.solve(rest)
        if float(np.abs(move).max(initial=0.0)) <= SOLVED * (1.0 + float(np.abs(multiplier).max(initial=0.0))):
            break
        multiplier = multiplier + move
        beta = times_z2(model, T, move)
        pulled = pulled.plus(pull_back(model, levels, centre.at, Seed(zero, beta)))
    return pulled, multiplier


def of_second(model: Model, centre: Centre, x: Vector, multiplier: Vector) -> list[Vector]:
    """For each factor of the second level the derivative in T through xi and through the equation of v2."""
    coupling, at = model.problem.coupling, centre.at
    assert coupling is not None
    assert at.score is not None
    zx, zs = z2_products(model, x)[:, 0], z2_products(model, at.score)[:, 0]
    v2, lam = centre.v2[:, 0], multiplier[:, 0]
    return [
        np.einsum("ja,jb->ab", zx[place], v2[place]) + np.einsum("ja,jb->ab", zs[place], lam[place])
        for place in coupling.positions
    ]
