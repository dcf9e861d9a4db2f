r"""Hybrid quadrature: the first factor's effects by adaptive quadrature given the others, those by Laplace.

With several grouping factors the effects of the first, which has most levels, are independent of each other given those
of the others, v2. Their integrals are taken by adaptive quadrature (`mixedfx.glmm.level_nodes`), and the integral over
v2, about which the data say far more for each effect, by Laplace's approximation of what is left:

    l(v2) = sum over levels j of log I_j(xi(v2)) - v2'v2 / 2,    xi = X beta + offset + Z2 Lambda2 v2,
    D = -2 l + log|A2|,     A2 = I + Lambda2'K Lambda2,    K = Z2'diag(w-bar)Z2 - sum_j Cov_j(h),   h_q = Z2's_q,

at the v2 where Lambda2'Z2's-bar = v2. A2 has the pattern of the Schur complement that Laplace's approximation over all
effects has: the deviations c_q = h_q - h-bar times the root of p_q stand where its coupling stands, a column for each
node. Score and information are those of fixed nodes, and the nodes are where the modes given the v2 found put them.
Where the effects of a level are normal given the data, all of this is Laplace's approximation over all effects, from
two nodes on; one node has no Cov, so that `nAGQ=1` is Laplace's approximation itself.

**Gradient.** With S = Lambda2 A2^{-1} Lambda2', D is made of log I (alpha = -2), w-bar (pi_i = z2_i'S z2_i), Cov (S)
and Lambda2 itself. That v2 moves is Lagrange's rule: to D is added lambda'(Lambda2'Z2's-bar - v2), which makes
beta = Z2 Lambda2 lambda, with lambda such that nothing changes with v2. As dF / dxi (`mixedfx.glmm.node_pullback`) is
x(lambda),

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

from mixedfx.glmm.derivatives import Formed
from mixedfx.glmm.evaluation import Evaluation, second_derivatives
from mixedfx.glmm.laplace import pieces
from mixedfx.glmm.level_nodes import LevelIntegrals, LevelModes, Rule, level_integrals, level_modes
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import DECREMENT, LOOSE, Mode, find_mode
from mixedfx.glmm.node_densities import left_out
from mixedfx.glmm.node_pullback import Pulled, Seed, pull_back
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.second_level import SecondLevel, second_scaled

Vector = NDArray[np.float64]

MOST, SMALLEST = 100, 1e-6  # Newton steps, and the share of a step below which there is no step that gains
CLOSER = 0.5  # share of the gain that was promised, to which a step may bring it that does not gain
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
    assert model.rows.Z2 is not None
    return np.asarray(model.rows.Z2 @ second_scaled(T[1:], model.problem.coupling, v2, False))[:, 0]


def z2_products(model: Model, x: Vector) -> Vector:
    """(q2, 1) Z2'x."""
    assert model.rows.Z2 is not None
    return np.asarray(model.rows.Z2.T @ x)[:, None]


def find_centre(
    model: Model, rule: Rule, gamma: Vector, T: list[Vector], phi: Vector, v: Pair, decrement: float
) -> Centre:  # fmt: skip
    """The mode of v2, and the modes of the levels given it, from v.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there is none.
    """
    coupling = model.problem.coupling
    assert coupling is not None
    xi = rest_of_predictor(model, gamma, T, v[1])
    modes = level_modes(model, xi, T[0], phi, v[0][:, :, 0], decrement)
    here = _stand(model, rule, T, modes, v[1])
    for count in range(MOST):
        if here.certain and here.gain < decrement:
            g = here.gradient
            return Centre(gamma, phi, T, here.v2, here.at, here.deviations, here.second, g, here.value, count)
        if not here.gain >= 0.0:
            raise np.linalg.LinAlgError("the step to the mode is not uphill")
        here = _moved(model, rule, T, here, decrement)
    if here.certain and here.gain < DECREMENT:
        g = here.gradient
        return Centre(gamma, phi, T, here.v2, here.at, here.deviations, here.second, g, here.value, MOST)
    raise np.linalg.LinAlgError("the mode was not found")


@dataclass(frozen=True)
class _Stand:
    """Where Newton's method for v2 stands: fields as in `Centre`, its next step and the gain that this promises."""

    v2: Vector
    at: LevelIntegrals
    value: float
    gradient: Vector
    second: SecondLevel
    deviations: Vector
    certain: bool
    step: Vector
    gain: float


def _stand(
    model: Model, rule: Rule, T: list[Vector], modes: LevelModes, v2: Vector
) -> _Stand:  # fmt: skip
    at = level_integrals(model, modes, rule)
    assert at.score is not None
    assert model.problem.coupling is not None
    g = second_scaled(T[1:], model.problem.coupling, z2_products(model, at.score), True) - v2
    second, deviations, certain = _information(model, T, at)
    step = second.solve(g)
    value = float(at.logs.sum() - 0.5 * (v2**2).sum())
    return _Stand(v2, at, value, g, second, deviations, certain, step, float((g * step).sum()))


def _moved(
    model: Model, rule: Rule, T: list[Vector], here: _Stand, decrement: float
) -> _Stand:  # fmt: skip
    """The step, halved until l does not fall, or less is left to gain.

    The score is that of fixed nodes: close to the mode l may fall by what their movement changes.
    """
    modes = here.at.modes
    moved = times_z2(model, T, here.step)
    down = model.levels.z_by_level((modes.w * moved)[:, None])[:, 0] @ T[0]
    follow = -np.einsum("qab,qb->qa", modes.A_inverse, down)
    size = 1.0
    while size > SMALLEST:
        try:
            xi, v = modes.xi + size * moved, modes.v + size * follow
            found = level_modes(model, xi, T[0], modes.phi, v, decrement)
            new = _stand(model, rule, T, found, here.v2 + size * here.step)
            if new.gain <= CLOSER * here.gain or new.value >= here.value - 1e-9 * abs(here.value):
                return new
        except np.linalg.LinAlgError:
            pass
        size /= 2.0
    raise np.linalg.LinAlgError("no step gains")


def _information(
    model: Model, T: list[Vector], at: LevelIntegrals
) -> tuple[SecondLevel, Vector, bool]:  # fmt: skip
    """A2, the deviations, and whether it is A2 indeed: without Cov where that takes away too much."""
    assert at.weight is not None
    deviations = _deviations(model, at)
    gram = model.rows.blocks(at.weight)[2]
    try:
        return SecondLevel(model.levels.coupled(deviations, gram), T[1:], None), deviations, True
    except np.linalg.LinAlgError:
        none = np.zeros((len(deviations), 1))
    gram = model.rows.blocks(model.likelihood.information(at.modes.eta, at.modes.phi))[2]
    return SecondLevel(model.levels.coupled(none, gram), T[1:], None), deviations, False


def _deviations(model: Model, at: LevelIntegrals) -> Vector:
    """(e, N) c_q times the root of p_q."""
    coupling = model.problem.coupling
    assert coupling is not None
    if model.looped_nodes:
        from mixedfx.linalg.node_rows import entry_scores

        start, _, z2, entries = model.node_rows
        out = np.zeros((len(coupling.indices), at.p.shape[1]))
        entry_scores(start, z2, entries, at.p, at.s, out)
        return out
    assert model.levels.to_entries is not None
    h, p = np.asarray(model.levels.to_entries @ at.s), at.p[coupling.row_of]
    return np.sqrt(p) * (h - (p * h).sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Answer:
    """Criterion and gradient in (gamma, T of each factor, phi)."""

    criterion: float
    gamma: Vector
    T: list[Vector]
    phi: Vector


def hybrid_answer(model: Model, centre: Centre) -> Answer:
    """The criterion and its derivatives."""
    coupling = model.problem.coupling
    assert coupling is not None
    second, at = centre.second, centre.at
    q1, e = model.problem.factors[0].n_levels, len(coupling.indices)
    S_c = second.unscaled(second.inverse_products())
    k = model.problem.factors[0].k
    S = second.on_pattern(*model.rows.gram_entries)
    pi = model.rows.leverages(np.zeros(q1 * k * k), np.zeros(e * k), S)
    base = pull_back(model, at, Seed(np.full(q1, -2.0), None, pi, S_c, centre.deviations))
    found, multiplier = solve_multiplier(model, centre, base, 2.0 * centre.v2)
    left = float((multiplier * centre.gradient).sum())
    constant = left_out(model.likelihood, centre.phi)
    criterion = -2.0 * (centre.value + constant) + second.logdet + left
    ZVZT, _ = second.score_sums()
    through = of_second(model, centre, found.xi, multiplier)
    of_T = [found.T, *(2.0 * plain + moved for plain, moved in zip(ZVZT, through, strict=True))]
    return Answer(criterion, model.Q.T @ found.xi, of_T, found.phi)


def solve_multiplier(
    model: Model, centre: Centre, base: Pulled, direct: Vector
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
        pulled = pulled.plus(pull_back(model, centre.at, Seed(zero, beta)))
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


def evaluate_hybrid(
    nAGQ: int, model: Model, psi: Vector, v: Pair | None = None, joint: bool = False, decrement: float = DECREMENT,
    second: bool = True,
) -> Evaluation:  # fmt: skip
    """Criterion by hybrid quadrature, its gradient, and second derivatives for a model: those of Laplace there.

    Arguments as in `mixedfx.glmm.evaluation.evaluate`. The mode that comes back is that of v2, the first factor's
    effects at theirs given it.
    """
    gamma, par, phi = model.split(psi)
    T = model.problem.matrices(par)
    if joint:
        mode = find_mode(model, gamma, T, phi, v, True, LOOSE)
        gamma, v = mode.gamma, mode.v
    rule = Rule.of(nAGQ, len(T[0]))
    centre = find_centre(model, rule, gamma, T, phi, model.zero() if v is None else v, min(decrement, DECREMENT))
    answer = hybrid_answer(model, centre)
    return with_second_derivatives(model, centre, par, answer, second)


def with_second_derivatives(model: Model, centre: Centre, par: Vector, answer: Answer, second: bool) -> Evaluation:
    """The answer as the optimiser takes it."""
    mode = mode_at(model, centre)
    average, full, beside = second_derivatives(model, pieces(model, mode, par), second)
    mode.factorization.release()
    gradient = gradient_of(model, par, answer)
    return Evaluation(
        np.concatenate([mode.gamma, par, mode.phi]),
        answer.criterion,
        gradient,
        Formed(average, full),
        mode,
        beside,
        False,
    )


def gradient_of(model: Model, par: Vector, answer: Answer) -> Vector:
    """(d,) derivatives in (gamma, par, phi)."""
    p, _, a = model.sizes
    out = np.zeros(sum(model.sizes))
    out[:p] = answer.gamma
    for (where, dT), of_T in zip(model.problem.directions(par), answer.T, strict=True):
        if len(where):
            out[p + where] = dT.reshape(len(where), -1) @ of_T.ravel()
    if a:
        out[-a:] = answer.phi
    return out


def mode_at(model: Model, centre: Centre) -> Mode:
    """The centre as a mode of all effects, with Laplace's curvature there.

    Nothing is left of Newton's method: it is the mode of another density than Laplace's, whose score is not zero here.
    """
    v: Pair = centre.at.modes.v[:, :, None], centre.v2
    scan = model.scan(centre.gamma, centre.T, centre.phi, v)
    blocks = model.rows.blocks(scan.w) if scan.blocks is None else scan.blocks
    try:
        factorization = Factorization(model.rows.filled(*blocks), centre.T)
    except np.linalg.LinAlgError:
        expected = model.likelihood.information(scan.eta, centre.phi)
        factorization = Factorization(model.rows.refilled(expected), centre.T)
    nothing = model.zero()
    return Mode(
        centre.gamma, centre.phi, centre.T, v, scan.eta, scan.s, scan.w, scan.value, scan.h, nothing, nothing,
        factorization, centre.steps,
    )  # fmt: skip
