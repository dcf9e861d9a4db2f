r"""How the covariance of the fixed effects moves with the variance parameters, from products the engine has anyway.

Beside X'V^{-1}X = S (X in the engine's basis Q, rows weighted) one array is needed: with H = Z'V^{-1}X and H_ja its
row for column a of level j of a grouping factor,

    F_ac = sum_j H_ja H_jc'        (p, p), for each pair of columns of each factor.

A direction dT of the factor T of one grouping factor moves V by Z E Z' with E the blocks dT T' + T dT' of its levels,
so that with B = dT T' (Searle, Casella & McCulloch 1992, section 6.6)

    dS = -sum_ac B_ac (F_ac + F_ca),     d(s S^{-1}) = s S^{-1} (-dS) S^{-1},

and r^2 = y'Py moves by -2 sum_ac B_ac sum_j h_ja h_jc with h = Z'Py. A (co)variance, the coefficient of
sum_j (e_ja e_jc' + e_jc e_ja'), moves them by F_ac + F_ca (F_aa for a variance). Nothing here passes over rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.linalg import triangular
from mixedfx.pls.evaluate import Evaluation, less_fixed, random_effect_products
from mixedfx.pls.factorization import Pair
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

INSIDE = 0.6  # parameters of a structure that are inside every range


@dataclass(frozen=True)
class Products:
    """What the derivatives are made of.

    Attributes
    ----------
    H
        Z'V^{-1}X as a pair (q1, k1, p), (q2, p).
    F
        For each grouping factor (k, k, p, p), the F_ac above.
    hh
        For each grouping factor (k, k), sum_j h_ja h_jc with h = Z'Py.
    S_inverse
        (p, p) inverse of S.
    unrotate
        (p, p) R^{-1}: beta = R^{-1} gamma + shift.
    """

    H: Pair
    F: list[Vector]
    hh: list[Vector]
    S_inverse: Vector
    unrotate: Vector


def products(problem: Problem, evaluation: Evaluation) -> Products:
    """Products at the point of `evaluation`."""
    p, factorization = problem.p, evaluation.factorization
    zw: Pair = (problem.zw1, problem.zw2)
    solved = factorization.solve(factorization.scale_transposed(zw))
    ZVW = random_effect_products(problem, factorization, zw, solved)
    h = less_fixed(ZVW, evaluation.gamma)
    H: Pair = (ZVW[0][..., :p], ZVW[1][..., :p])
    F = [_level_outer(part) for part in by_factor(problem, H)]
    hh = [np.einsum("jar,jcr->ac", part, part) for part in by_factor(problem, h)]
    eye = np.eye(p)
    return Products(H, F, hh, linalg.inv(evaluation.S) if p else eye, _unrotation(problem))


def _unrotation(problem: Problem) -> Vector:
    return triangular.solve(problem.R, np.eye(problem.p))


def _level_outer(part: Vector) -> Vector:
    """(k, k, p, p) sums over levels of outer products of the rows of (q, k, p)."""
    q, k, p = part.shape
    flat = part.reshape(q, k * p)
    return (flat.T @ flat).reshape(k, p, k, p).transpose(0, 2, 1, 3)


def by_factor(problem: Problem, b: Pair) -> list[Vector]:
    """A pair (q1, k1, r), (q2, r) as one (q, k, r) array for each grouping factor."""
    if problem.coupling is None:
        return [b[0]]
    return [b[0], *(b[1][position] for position in problem.coupling.positions)]


def theta_directions(problem: Problem, evaluation: Evaluation, found: Products) -> tuple[Vector, Vector]:
    """Derivatives with respect to the scaled theta, sigma^2 held.

    Returns
    -------
    dvcov : (r, p, p)
        Of vcov(beta) = sigma^2 (X'V^{-1}X)^{-1}.
    dresidual : (r,)
        Of y'Py.
    """
    p = problem.p
    T = evaluation.factorization.T
    dS = np.zeros((problem.n_parameters, p, p))
    dresidual = np.zeros(problem.n_parameters)
    for f, (where, dT) in enumerate(problem.directions(evaluation.par)):
        half = dT @ T[f].T
        of_S = np.tensordot(half, found.F[f], axes=((1, 2), (0, 1)))
        dS[where] = of_S + of_S.transpose(0, 2, 1)
        dresidual[where] = -2.0 * np.tensordot(half, found.hh[f], axes=((1, 2), (0, 1)))
    return to_beta(dS, evaluation.sigma2, found), dresidual


def to_beta(A: Vector, sigma2: float, found: Products) -> Vector:
    """(m, p, p) sigma^2 S^{-1} A S^{-1} in the user's basis of X."""
    outer = found.unrotate @ found.S_inverse
    return sigma2 * np.einsum("ab,mbc,dc->mad", outer, A, outer, optimize=True)


def covariance_pairs(problem: Problem) -> list[tuple[int, int, int]]:
    """Grouping factor and pair of columns a <= c of each variance (a == c) or covariance that the structure has.

    The covariances are those that some parameter of the structure moves, at a point inside its range.
    """
    pairs = []
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            structure = block.structure
            inside = structure.factor(np.full(structure.n_parameters, INSIDE))
            moved = np.abs(structure.patterns(inside)).sum(axis=0) > 0.0
            columns = range(structure.k)
            own = [(a, c) for a in columns for c in columns if a == c or (moved[a, c] and a < c)]
            pairs += [(f, block.first + a, block.first + c) for a, c in own]
    return pairs


def pattern_weights(problem: Problem, T: list[Vector], pairs: list[tuple[int, int, int]]) -> Vector:
    """(m, len(pairs)) weights of `pairs` in the derivative of V by each parameter of the covariances.

    The identity where variances and covariances are free. Where they are not linear in the parameters, as those of
    ``cs``, these are the first derivatives at the factors T.
    """
    rows = []
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            for E in block.structure.patterns(T[f][block.columns, block.columns]):
                row = np.zeros(len(pairs))
                for i, (g, a, c) in enumerate(pairs):
                    if g == f and block.first <= a and c < block.first + block.structure.k:
                        row[i] = E[a - block.first, c - block.first]
                rows.append(row)
    return np.array(rows).reshape(len(rows), len(pairs))
