r"""The integral over the effects of each level of the first factor, unbiased, with a draw of them.

Given everything else the effects v (k) of one level are independent of those of others. With l(v) = sum log f(y | eta)
- v'v / 2 over its rows, points are drawn around its mode, v = c + L x with L L' the inverse of minus the second
derivative of l there, and

    I = (2 pi)^{-k/2} integral exp l(v) dv = mean over points of exp l(v_m) / ((2 pi)^{k/2} q(v_m)).

**Points.** x is a bent normal, x = sinh(delta z) / delta in each direction with z standard normal: tails heavier than
any normal, so that no weight is unbounded where the density of the effects has normal tails, as it has where log f is
concave. For one draw there are M points, M / 2 of a lattice that is shifted at random (Cranley & Patterson 1976) and
their reflections x and -x. Each has the distribution of x, so that the mean has expectation I exactly, and the product
over levels, whose shifts are independent, that of the whole integral. Evenly spread points make its variance fall
faster than 1 / M; reflections leave no term that is odd about the mode, which is where Laplace's error begins.

**The draw.** One of the points with probability in proportion to its term: joined with the weight of the mean it has
exactly the right distribution, as if all points had been weighted (random-weight importance sampling; Andrieu & Roberts
2009, Annals of Statistics 37:697). The mode need not be exact, as any c and L are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.bayes.importance.rows import Rows
from mixedfx.linalg import batched

Array = NDArray[np.float64]

BEND = 0.3  # delta of rules with more than one pair
COMPILED_FROM = 1000  # rows from which on loops are compiled


@dataclass(frozen=True)
class Rule:
    """How many pairs of points, and how far their distribution is bent."""

    pairs: int

    @property
    def points(self) -> int:
        """M."""
        return 2 * self.pairs

    @property
    def bend(self) -> float:
        """Delta; zero for a single pair, which a bend would only make uneven."""
        return BEND if self.pairs > 1 else 0.0

    def lattice(self, k: int) -> Array:
        """(pairs, k) points in the unit cube: Kronecker's sequence of the generalised golden ratio, first evenly."""
        i = np.arange(self.pairs)
        ratio = 2.0
        for _ in range(40):  # the root of ratio^k = ratio + 1
            ratio = (1.0 + ratio) ** (1.0 / k)
        steps = [1.0 / self.pairs, *(ratio ** -float(a) for a in range(1, k))]
        return np.asarray(np.outer(i, steps) % 1.0, dtype=np.float64)


def scaled(F: Array, v: Array, transposed: bool = False) -> Array:
    """(k, J, D) products of factors F (D, k, k), or their transposes, with v (k, J, D)."""
    factor = (F.transpose(2, 1, 0) if transposed else F.transpose(1, 2, 0))[:, :, None, :]
    return batched.product(factor, v[:, None])[:, 0]


def curvature(rows: Rows, F: Array, w: Array) -> Array:
    """(k, k, J, D) F'Z1'W Z1 F + I."""
    k, gram = rows.k, rows.gram(w)
    if k == 1:
        return gram * F[:, 0, 0] ** 2 + 1.0
    factor = F.transpose(1, 2, 0)[:, :, None, :]
    left = batched.product(np.broadcast_to(factor.swapaxes(0, 1), (k, k, 1, len(F))), gram)
    return batched.product(left, factor) + np.eye(k)[:, :, None, None]


def inverse_root(M: Array) -> tuple[Array, Array]:
    """(k, k, J, D) inverses K of the lower Cholesky factors of M, and (D,) log determinants of all M together.

    M is I and something positive, so that no pivot of its is below one, whatever digits were lost at points far out.
    """
    k = len(M)
    if k == 1:
        return 1.0 / np.sqrt(M), np.log(M[0, 0]).sum(axis=0)
    L = np.zeros_like(M)
    for j in range(k):
        L[j, j] = np.sqrt(np.fmax(M[j, j] - (L[j, :j] ** 2).sum(axis=0), 1.0))
        for i in range(j + 1, k):
            L[i, j] = (M[i, j] - (L[i, :j] * L[j, :j]).sum(axis=0)) / L[j, j]
    K = batched.invert_lower(L.reshape(k, k, -1)).reshape(M.shape)
    return K, -2.0 * np.log(np.einsum("aajd->ajd", K)).sum(axis=(0, 1))


def back(K: Array, x: Array) -> Array:
    """(k, J, D) K'x."""
    return batched.product(K.swapaxes(0, 1), x[:, None])[:, 0]


def solved(K: Array, g: Array) -> Array:
    """(k, J, D) M^{-1} g."""
    return back(K, batched.product(K, g[:, None])[:, 0])


def level_integrals(
    rows: Rows, base: Array, F: Array, aux: Mapping[str, Array], v: Array, steps: int, rule: Rule,
    rng: np.random.Generator,
) -> tuple[Array, Array]:  # fmt: skip
    """(D,) logs of the products of the levels' integrals, unbiased before the logarithm, and (k, J, D) draws of v.

    Parameters
    ----------
    rows
        The rows.
    base
        (n, D) what is known of the linear predictor.
    F
        (D, k, k) factors of the covariance of a level's effects.
    aux
        Auxiliary parameters of the family.
    v
        (k, J, D) where the search for the modes begins.
    steps
        Newton steps of the search.
    rule
        The points.
    rng
        Random numbers: shifts, then choices.
    """
    k, J, D = v.shape
    shifts, choices = rng.random((D, J, k)), rng.random((D, J))
    formulas = rows.density.formulas
    if rows.n >= COMPILED_FROM and formulas is not None and k <= batched.LOOP_LIMIT:
        found, drawn = _compiled(rows, base, F, aux, v, steps, rule, shifts, choices)
    else:
        found, drawn = _vectorised(rows, base, F, aux, v, steps, rule, shifts, choices)
    return found + rows.density.constant(aux, D), drawn


def _compiled(
    rows: Rows, base: Array, F: Array, aux: Mapping[str, Array], v: Array, steps: int, rule: Rule, shifts: Array,
    choices: Array,
) -> tuple[Array, Array]:  # fmt: skip
    from mixedfx.linalg.level_integrals import integrals

    k, _, D = v.shape
    shape = np.broadcast_to(next(iter(aux.values())), (D,)) if aux else np.ones(D)
    total, drawn = np.empty(D), np.ascontiguousarray(v.transpose(2, 1, 0))
    formulas = rows.density.formulas
    assert formulas is not None
    integrals(
        formulas.kind, rows.density.y, rows.density.trials, np.ascontiguousarray(shape),
        np.ascontiguousarray(base.T), rows.starts, rows.z, np.ascontiguousarray(F), steps, rule.lattice(k), rule.bend,
        shifts, choices, total, drawn,
    )  # fmt: skip
    return total, drawn.transpose(2, 1, 0)


def _vectorised(
    rows: Rows, base: Array, F: Array, aux: Mapping[str, Array], v: Array, steps: int, rule: Rule, shifts: Array,
    choices: Array,
) -> tuple[Array, Array]:  # fmt: skip
    k, J, D = v.shape
    K = np.zeros((k, k, J, D))
    for _ in range(steps):
        s, w = rows.density.slopes(base + rows.predictor(scaled(F, v)), aux)
        K, _ = inverse_root(curvature(rows, F, w))
        v = v + limited(solved(K, scaled(F, rows.scores(s), transposed=True) - v))
    log_root = sum(np.log(K[a, a]) for a in range(k))  # log|L|
    terms, points = np.empty((rule.points, J, D)), np.empty((rule.points, k, J, D))
    for m, point in enumerate(rule.lattice(k)):
        z = special.ndtri(np.clip((shifts + point) % 1.0, 2.0**-60, 1 - 2.0**-53)).transpose(2, 1, 0)
        x = np.sinh(rule.bend * z) / rule.bend if rule.bend else z
        bent = np.log(np.cosh(rule.bend * z)).sum(axis=0) if rule.bend else 0.0
        log_q = -0.5 * (z**2).sum(axis=0) - bent - log_root
        move = back(K, x)
        for sign, at in ((1.0, 2 * m), (-1.0, 2 * m + 1)):
            points[at] = v + sign * move
            value = rows.density.value(base + rows.predictor(scaled(F, points[at])), aux)
            terms[at] = rows.sums @ value - 0.5 * (points[at] ** 2).sum(axis=0) - log_q
    top = terms.max(axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    sums = np.cumsum(np.exp(terms - top), axis=0)
    with np.errstate(divide="ignore"):
        total = (np.log(sums[-1] / rule.points) + top).sum(axis=0)
    chosen = np.minimum((sums < choices.T * sums[-1]).sum(axis=0), rule.points - 1)
    return total, np.take_along_axis(points, chosen[None, None], axis=0)[0]


LONGEST = 4.0  # step of standardised effects of a level, beyond which a parabola is not believed


def limited(step: Array) -> Array:
    """Steps (k, J, D) of bounded length; what is not a number is no step."""
    step = np.where(np.isfinite(step), step, 0.0)
    length = np.sqrt((step**2).sum(axis=0))
    return step * np.minimum(1.0, LONGEST / np.maximum(length, 1e-300))
