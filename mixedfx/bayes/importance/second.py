r"""The joint mode of all random effects given the parameters, and draws of those of the second level.

With v1 (k, J) and v2 (q2) standardised effects, F1 and F2 their factors, s and w score and weight of the rows,

    g1 = F1'Z1's - v1,    g2 = F2'Z2's - v2,    M = F1'Z1'W Z1 F1 + I  (a block for each level),
    B = Z1'W Z2,          S = F2' (Z2'W Z2 - B' F1 M^{-1} F1' B) F2 + I,

Newton's step is v2 += S^{-1} (g2 - F2'B'F1 M^{-1} g1), v1 += M^{-1} (g1 - F1'B F2 dv2). At the mode S is the precision
of the second level in Laplace's approximation, v1 integrated out, and log|A| = log|M| + log|S|. Sums over levels run
over the pattern of B (`mixedfx.bayes.importance.rows.Rows.pairs`); S is dense, a matrix for each draw.

**Draws.** v2 = mode + S^{-1/2} z and its reflection, z standard normal; given each, the levels of the first factor are
integrated out (`mixedfx.bayes.importance.levels`). The mean of the two terms is unbiased for the whole integral, and
one of the two is taken in proportion to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.importance.levels import (
    Rule,
    curvature,
    inverse_root,
    level_integrals,
    limited,
    scaled,
    solved,
)
from mixedfx.bayes.importance.rows import Rows
from mixedfx.linalg import batched

Array = NDArray[np.float64]
Factors = tuple[Array, ...]
SURE = 0.2  # twice the promised gain of a step that is taken without a look at what it gains
STEEPEST = 1e10  # precision of a standardised effect where digits are lost
SMALLEST = 1e-4  # share of a step below which a draw stays where it is


@dataclass(frozen=True, eq=False)
class Newton:
    """Newton's step at one point of each of D draws, and what it was made of.

    Attributes
    ----------
    step1, step2
        (k, J, D) and (q2, D), bounded for each level.
    gain
        (D,) twice the gain that the whole step promises.
    logdet
        (D,) log|A|.
    K
        (k, k, J, D) inverse Cholesky factors of M.
    root
        (D, q2, q2) lower Cholesky factors of S.
    across
        (k, e, D) F1'B on its pattern.
    """

    step1: Array
    step2: Array
    gain: Array
    logdet: Array
    K: Array
    root: Array
    across: Array


@dataclass(frozen=True, eq=False)
class JointMode:
    """Random effects at the mode given the parameters of D draws.

    Attributes
    ----------
    v1, v2
        (k, J, D) and (q2, D).
    laplace
        (D,) Laplace's approximation of the log likelihood, what is left of Newton's method to first order.
    """

    v1: Array
    v2: Array
    laplace: Array


def spread(rows: Rows, factors: Factors, v2: Array, transposed: bool = False) -> Array:
    """(q2, D) F2 v2, or F2'v2."""
    out = np.empty_like(v2)
    for t, where in rows.slices:
        F = factors[t]
        k = F.shape[1]
        part = v2[where].reshape(-1, k, v2.shape[1])
        out[where] = np.einsum("dba,lbd->lad" if transposed else "dab,lbd->lad", F, part).reshape(-1, v2.shape[1])
    return out


def first_factor(rows: Rows, factors: Factors) -> Array:
    """(D, k, k) factors of the first factor's effects, block diagonal over its terms."""
    if len(rows.first) == 1:
        return factors[rows.first[0]]
    out, at = np.zeros((len(factors[0]), rows.k, rows.k)), 0
    for t in rows.first:
        k = factors[t].shape[1]
        out[:, at : at + k, at : at + k] = factors[t]
        at += k
    return out


def newton(
    rows: Rows, base: Array, factors: Factors, aux: Mapping[str, Array], v1: Array, v2: Array
) -> Newton:  # fmt: skip
    """Newton's step from (v1, v2); arguments as in `joint_mode`."""
    F1 = first_factor(rows, factors)
    s, w = rows.density.slopes(predictor(rows, base, factors, v1, v2), aux)
    K, logdet = inverse_root(curvature(rows, F1, w))
    g1 = scaled(F1, rows.scores(s), transposed=True) - v1
    step1 = solved(K, g1)
    if rows.q2:
        g2 = spread(rows, factors, rows.Z2_transposed @ s, transposed=True) - v2
        root, across = _second(rows, factors, F1, K, w)
        step2 = _solve(root, g2 - spread(rows, factors, _gather(rows, across, step1), transposed=True))
        step1 = step1 - moved(rows, factors, K, across, step2)
        logdet = logdet + 2.0 * np.log(np.einsum("daa->da", root)).sum(axis=1)
        gain = (g1 * step1).sum(axis=(0, 1)) + (g2 * step2).sum(axis=0)
    else:
        root, across, step2 = np.zeros((len(F1), 0, 0)), np.zeros((rows.k, 0, len(F1))), v2
        gain = (g1 * step1).sum(axis=(0, 1))
    step2 = np.where(np.isfinite(step2), step2, 0.0)
    return Newton(limited(step1), step2, np.where(np.isfinite(gain), gain, 0.0), logdet, K, root, across)


def predictor(rows: Rows, base: Array, factors: Factors, v1: Array, v2: Array) -> Array:
    """(n, D) linear predictor."""
    eta = base + rows.predictor(scaled(first_factor(rows, factors), v1))
    return eta + rows.Z2 @ spread(rows, factors, v2) if rows.q2 else eta


def joint_mode(
    rows: Rows, base: Array, factors: Factors, aux: Mapping[str, Array], v1: Array, v2: Array, steps: int,
    tolerance: float,
) -> JointMode:  # fmt: skip
    """The mode, from (v1, v2).

    Parameters
    ----------
    rows, base, factors, aux
        The model at D points: (n, D) fixed part of the predictor, for each random term (D, k, k) factors.
    v1, v2
        (k, J, D) and (q2, D) where the search begins.
    steps
        Newton steps at most, halved where they do not gain.
    tolerance
        Twice the gain that a step must promise for some draw.
    """

    def value(v1: Array, v2: Array) -> Array:
        found = rows.density.value(predictor(rows, base, factors, v1, v2), aux).sum(axis=0)
        return found - 0.5 * ((v1**2).sum(axis=(0, 1)) + (v2**2).sum(axis=0))

    at = newton(rows, base, factors, aux, v1, v2)
    for _ in range(steps):
        most = at.gain.max(initial=0.0)
        if most <= tolerance:
            break
        size = np.ones(base.shape[1])
        if most > SURE:
            size = _size(value, v1, v2, at)
        v1, v2 = v1 + size * at.step1, v2 + size * at.step2
        at = newton(rows, base, factors, aux, v1, v2)
    constant = rows.density.constant(aux, base.shape[1])
    return JointMode(v1, v2, value(v1, v2) + constant + 0.5 * at.gain - 0.5 * at.logdet)


def _size(value: Callable[[Array, Array], Array], v1: Array, v2: Array, at: Newton) -> Array:
    """(D,) shares of the steps that gain; zero where none does."""
    size, now = np.ones(v1.shape[2]), value(v1, v2)
    while True:
        found = value(v1 + size * at.step1, v2 + size * at.step2)
        worse = ~(found >= now - 1e-9 * np.abs(now)) & (size > 0)
        if not worse.any():
            return size
        size[worse] /= 4.0
        size[size < SMALLEST] = 0.0


def _second(rows: Rows, factors: Factors, F1: Array, K: Array, w: Array) -> tuple[Array, Array]:
    """(D, q2, q2) Cholesky factors of S, and (k, e, D) F1'B."""
    D, q2 = w.shape[1], rows.q2
    map2, one, two = rows.gram2
    S = np.zeros((D, q2, q2))
    S[:, one, two] = (map2 @ w).T
    mapping, levels, columns = rows.coupling
    B = (mapping @ w).reshape(rows.k, -1, D)
    across = scaled(F1, B, transposed=True)
    half = batched.product(K[:, :, levels], across[:, None])[:, 0]
    if rows.crowded:
        dense = np.zeros((D, rows.k, rows.n_levels, q2))
        dense[:, :, levels, columns] = half.transpose(2, 0, 1)
        dense = dense.reshape(D, -1, q2)
        S -= dense.transpose(0, 2, 1) @ dense
    else:
        left, right, sums, one, two = rows.pairs
        S[:, one, two] -= (sums @ (half[:, left] * half[:, right]).sum(axis=0)).T
    for t, where in rows.slices:
        F = factors[t]
        k = F.shape[1]
        if k == 1:
            S[:, where] *= F
            S[:, :, where] *= F
            continue
        S[:, where] = np.einsum("dba,dlbq->dlaq", F, S[:, where].reshape(D, -1, k, q2)).reshape(D, -1, q2)
        S[:, :, where] = np.einsum("dba,dqlb->dqla", F, S[:, :, where].reshape(D, q2, -1, k)).reshape(D, q2, -1)
    at = np.arange(q2)
    S[:, at, at] += 1.0
    return _root(S), across


def _root(S: Array) -> Array:
    """(D, q2, q2) Cholesky factors; S is I and something positive, whatever digits were lost at points far out."""
    try:
        return np.asarray(np.linalg.cholesky(S), dtype=np.float64)
    except np.linalg.LinAlgError:
        broken = np.flatnonzero(~np.isfinite(S.reshape(len(S), -1)).all(axis=1))
        S[broken] = np.eye(S.shape[1])
        values, vectors = np.linalg.eigh(S)
        bounded = (vectors * np.clip(values, 1.0, STEEPEST)[:, None]) @ vectors.transpose(0, 2, 1)
        return np.asarray(np.linalg.cholesky(bounded), dtype=np.float64)


def _gather(rows: Rows, across: Array, x: Array) -> Array:
    """(q2, D) B'F1 x, of x (k, J, D)."""
    return rows.to_columns @ (across * x[:, rows.coupling[1]]).sum(axis=0)


def moved(rows: Rows, factors: Factors, K: Array, across: Array, step2: Array) -> Array:
    """(k, J, D) M^{-1} F1'B F2 step2: how the modes of the first factor answer to the second level."""
    terms = across * spread(rows, factors, step2)[rows.coupling[2]]
    return solved(K, np.stack([rows.to_levels @ one for one in terms]))


def _solve(root: Array, b: Array) -> Array:
    """(q2, D) S^{-1} b, of the Cholesky factors of S."""
    half = np.linalg.solve(root, b.T[:, :, None])
    return np.asarray(np.linalg.solve(root.transpose(0, 2, 1), half)[:, :, 0].T, dtype=np.float64)


def integrals(
    rows: Rows, base: Array, factors: Factors, aux: Mapping[str, Array], start: tuple[Array, Array], steps: int,
    rule: Rule, rng: np.random.Generator,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """(D,) unbiased estimates of the likelihood, as logarithms, and draws (k, J, D) and (q2, D) of the effects.

    Parameters
    ----------
    rows, base, factors, aux
        The model at D points: (n, D) fixed part of the predictor, for each random term (D, k, k) factors.
    start
        Where the search for modes begins, (k, J, D) and (q2, D), of standardised effects.
    steps
        Newton steps.
    rule
        Points for each level.
    rng
        Random numbers.
    """
    D = base.shape[1]
    v1, v2 = start
    if not rows.q2:
        total, drawn = level_integrals(rows, base, first_factor(rows, factors), aux, v1, steps, rule, rng)
        return total, drawn, np.zeros((0, D))
    at = newton(rows, base, factors, aux, v1, v2)
    for _ in range(steps - 1):
        v1, v2 = v1 + at.step1, v2 + at.step2
        at = newton(rows, base, factors, aux, v1, v2)
    v1, v2 = v1 + at.step1, v2 + at.step2
    z = rng.standard_normal((rows.q2, D))
    move = np.asarray(np.linalg.solve(at.root.transpose(0, 2, 1), z.T[:, :, None])[:, :, 0].T, dtype=np.float64)
    answer = moved(rows, factors, at.K, at.across, move)
    log_q = -0.5 * (z**2).sum(axis=0) + np.log(np.einsum("daa->da", at.root)).sum(axis=1)
    F1, terms, ones, twos = first_factor(rows, factors), [], [], []
    for sign in (1.0, -1.0):
        drawn2 = v2 + sign * move
        known = base + rows.Z2 @ spread(rows, factors, drawn2)
        total, drawn = level_integrals(rows, known, F1, aux, v1 - sign * answer, 1, rule, rng)
        terms.append(total - 0.5 * (drawn2**2).sum(axis=0) - log_q)
        ones.append(drawn)
        twos.append(drawn2)
    whole = np.logaddexp(*terms)
    with np.errstate(invalid="ignore"):
        second = np.log(rng.random(D)) < terms[1] - whole
    return whole - np.log(2.0), np.where(second, ones[1], ones[0]), np.where(second, twos[1], twos[0])
