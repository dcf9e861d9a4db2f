r"""The integral over each level's effects of the first factor, given everything else, by adaptive quadrature.

Rows have the linear predictor eta_i = xi_i + z_i' T v, with xi all that is not of their level j of the first factor.
With l_j(v) = sum over its rows of log f - v'v / 2, v-hat its mode and A = C C' its curvature there, the nodes are
v_q = v-hat + L x_q, L = C'^{-1} (see `mixedfx.glmm.quadrature`), and

    log I_j = log|L| + log sum_q omega_q exp(l_j(v_q) + x_q'x_q / 2).

With p_q the normalised terms of the sum, the derivative of log I_j in xi_i is the mean score s-bar_i = sum_q p_q s_iq,
and minus its second derivatives are diag(w-bar) - Cov_q(s, s), the observed information less what is not known of the
level's effects (Louis 1982, JRSS B 44:226). Here are modes, nodes and these moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.glmm.model import Model
from mixedfx.glmm.node_densities import derivatives, log_densities
from mixedfx.linalg import batched
from mixedfx.linalg.halving import halved

Vector = NDArray[np.float64]

MOST, HALVINGS = 60, 30  # Newton steps to the modes of the levels, and halvings of one
ENOUGH, FLOOR = 10, 1e-14  # steps after which a decrement of this size is taken for rounding


@dataclass(frozen=True)
class Rule:
    """Nodes of the standard normal distribution in k directions.

    Attributes
    ----------
    x, log_weights
        (N, k) nodes, and (N,) log omega + x'x / 2.
    """

    x: Vector
    log_weights: Vector

    @staticmethod
    def of(nAGQ: int, k: int) -> Rule:
        """The product of Gauss and Hermite's rule with `nAGQ` nodes in each direction."""
        x1, w1 = np.polynomial.hermite_e.hermegauss(nAGQ)
        x = np.stack([part.ravel() for part in np.meshgrid(*([x1] * k), indexing="ij")], axis=1)
        logs = np.meshgrid(*([np.log(w1 / w1.sum())] * k), indexing="ij")
        return Rule(x, sum(part.ravel() for part in logs) + 0.5 * (x**2).sum(axis=1))


@dataclass(frozen=True)
class LevelModes:
    """Modes of all levels given xi.

    Attributes
    ----------
    xi, phi, T
        What they are given: (n,) rest of the linear predictor, auxiliary parameters, (k, k) factor.
    v
        (q, k) modes.
    eta, s, w
        (n,) linear predictors there, scores and weights.
    L
        (q, k, k) factors with L L' = A^{-1}.
    gram
        (q, k, k) Z'WZ of each level.
    """

    xi: Vector
    phi: Vector
    T: Vector
    v: Vector
    eta: Vector
    s: Vector
    w: Vector
    L: Vector
    gram: Vector

    @property
    def A_inverse(self) -> Vector:
        """(q, k, k) inverses of the curvatures."""
        return gram_of(self.L)


@dataclass(frozen=True)
class LevelIntegrals:
    """The integrals, and what is averaged over their nodes.

    Attributes
    ----------
    modes, rule
        Where the nodes are.
    logs
        (q,) log I_j, less what the densities leave out.
    p, v
        (q, N) normalised terms, and (q, N, k) nodes.
    eta, s, w
        (n, N) linear predictors, None of compiled loops, scores and weights; the last two None where nobody asked for
        means.
    score, weight
        (n,) their means; None likewise.
    """

    modes: LevelModes
    rule: Rule
    logs: Vector
    p: Vector
    v: Vector
    eta: Vector | None
    s: Vector | None = None
    w: Vector | None = None
    score: Vector | None = None
    weight: Vector | None = None


def level_modes(
    model: Model, xi: Vector, T: Vector, phi: Vector, v: Vector, tolerance: float
) -> LevelModes:  # fmt: skip
    """The mode of every level's effects, from v (q, k), by Newton's method; each halves its own steps.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where there is none.
    """
    own = model.likelihood

    def value(v: Vector) -> tuple[Vector, Vector]:
        eta = xi + model.levels.times_z((v @ T.T)[:, None])[:, 0]
        found = log_densities(own, eta[:, None], phi)[:, 0]
        if own.restricted is not None:
            found = np.where(own.restricted & (eta <= 0.0), -np.inf, found)
        return eta, model.levels.by_level(np.where(np.isnan(found), -np.inf, found)) - 0.5 * (v**2).sum(axis=1)

    eta, at = value(v)
    if not np.isfinite(at).all():
        v = np.where(np.isfinite(at)[:, None], v, 0.0)
        eta, at = value(v)
    if not np.isfinite(at).all():
        raise np.linalg.LinAlgError("the response has no density here")
    for count in range(MOST):
        s, w = (one[:, 0] for one in derivatives(own, eta[:, None], phi, 2))
        g = model.levels.z_by_level(s[:, None])[:, 0] @ T - v
        gram, L, observed = _curvature(model, w, eta, T, phi)
        step = product(L, product(L.transpose(0, 2, 1), g))
        decrement = (g * step).sum(axis=1)
        left = float(decrement.sum())
        if observed and (left < tolerance or (count > ENOUGH and left < FLOOR)):
            return LevelModes(xi, phi, T, v, eta, s, w, L, gram)
        v, eta, at = halved(lambda size, v=v, step=step: v + size[:, None] * step, value, at, HALVINGS)
    raise np.linalg.LinAlgError("the modes of the levels were not found")


def product(A: Vector, b: Vector) -> Vector:
    """(q, k) products A b of matrices (q, k, k) and vectors (q, k)."""
    return A[:, 0] * b if b.shape[1] == 1 else np.einsum("qab,qb->qa", A, b)


def gram_of(L: Vector) -> Vector:
    """(q, k, k) products L L'."""
    return L**2 if L.shape[1] == 1 else L @ L.transpose(0, 2, 1)


def inverse_transposed(L: Vector) -> Vector:
    """(q, k, k) inverses of L'."""
    return np.asarray(1.0 / L if L.shape[1] == 1 else np.linalg.inv(L).transpose(0, 2, 1), dtype=np.float64)


def _curvature(model: Model, w: Vector, eta: Vector, T: Vector, phi: Vector) -> tuple[Vector, Vector, bool]:
    """Z'WZ and L of each level with observed weights, or, where one has no mode there, with the expected ones."""
    k = len(T)
    for observed, weights in ((True, w), (False, None)):
        weights = model.likelihood.information(eta, phi) if weights is None else weights
        gram = np.asarray(model.rows.squares @ weights).reshape(-1, k, k)
        A = batched.sandwich(T, gram.transpose(1, 2, 0))
        A[np.arange(k), np.arange(k)] += 1.0
        try:
            L = batched.invert_lower(batched.cholesky(A)).transpose(2, 1, 0)
        except np.linalg.LinAlgError:
            if w.min() >= 0.0:
                raise
            continue
        return gram, np.ascontiguousarray(L), observed
    raise np.linalg.LinAlgError("the expected information is not positive")


def level_integrals(
    model: Model, modes: LevelModes, rule: Rule, order: int = 2
) -> LevelIntegrals:  # fmt: skip
    """The integrals of all levels, with the mean scores and weights of the rows where `order` is 2."""
    own = model.likelihood
    v = modes.v[:, None] + rule.x @ modes.L.transpose(0, 2, 1)
    if model.looped_nodes:
        return _looped(model, modes, rule, v, order)
    eta = modes.xi[:, None] + model.levels.times_z(v @ modes.T.T)
    rows = log_densities(own, eta, modes.phi)
    terms = model.levels.by_level(rows) + (rule.log_weights - 0.5 * (v**2).sum(axis=2))
    sums, p = normalised(terms)
    logs = sums + np.log(np.abs(np.diagonal(modes.L, axis1=1, axis2=2))).sum(axis=1)
    if not order:
        return LevelIntegrals(modes, rule, logs, p, v, eta)
    s, w = derivatives(own, eta, modes.phi, 2)
    by_row = p[model.rows.codes]
    s, w = finite(s, by_row), finite(w, by_row)
    score = np.einsum("nq,nq->n", by_row, s)
    return LevelIntegrals(modes, rule, logs, p, v, eta, s, w, score, np.einsum("nq,nq->n", by_row, w))


def _looped(model: Model, modes: LevelModes, rule: Rule, v: Vector, order: int) -> LevelIntegrals:
    """The same by compiled loops over many rows."""
    from mixedfx.linalg.node_rows import node_means, node_terms

    own, (n, count) = model.likelihood, (len(modes.xi), len(rule.x))
    start, z, *_ = model.node_rows
    assert own.fast is not None
    terms = rule.log_weights - 0.5 * (v**2).sum(axis=2)
    s, w = np.empty((2, n if order else 0, count))
    shape = own.shape(modes.phi)
    node_terms(own.fast.kind, own.y, own.trials, shape, modes.xi, start, z, v @ modes.T.T, terms, s, w)
    sums, p = normalised(terms)
    logs = sums + np.log(np.abs(np.diagonal(modes.L, axis1=1, axis2=2))).sum(axis=1)
    if not order:
        return LevelIntegrals(modes, rule, logs, p, v, None)
    score, weight = np.empty((2, n))
    node_means(start, p, s, w, score, weight)
    return LevelIntegrals(modes, rule, logs, p, v, None, s, w, score, weight)


def normalised(terms: Vector) -> tuple[Vector, Vector]:
    """(q,) logarithms of the sums of exp(terms) (q, N), and the shares of each."""
    largest = terms.max(axis=1)
    if not np.isfinite(largest).all():
        terms = np.where(np.isnan(terms), -np.inf, terms)
        largest = terms.max(axis=1)
        if not np.isfinite(largest).all():
            raise np.linalg.LinAlgError("no node has a density")
    p = np.exp(terms - largest[:, None])
    sums = p.sum(axis=1)
    p /= sums[:, None]
    return largest + np.log(sums), p


def finite(x: Vector, by_row: Vector) -> Vector:
    """X, zero where a node has no weight and x may be no number."""
    return x if np.isfinite(x).all() else np.where(by_row > 0.0, x, 0.0)
