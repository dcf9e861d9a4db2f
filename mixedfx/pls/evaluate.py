r"""The profiled criterion, its exact gradient, and the average information with the explicit curvature of V.

With V = I + Z Lambda Lambda'Z', P = V^{-1} - V^{-1}X (X'V^{-1}X)^{-1} X'V^{-1} and r^2 = y'Py, the profiled REML
criterion is (Bates et al. 2015, equation 42)

    f = log|V| + log|X'V^{-1}X| + nu (1 + log(2 pi r^2 / nu)),      nu = n - p,

and -2 log L leaves out the second term and has nu = n. Where sigma is known, the last term is

    nu log(2 pi sigma^2) + r^2 / sigma^2.

**Gradient.** For a direction dT of the factor with levels j, with h = Z'Py and
Q = sum_j [Z'PZ]_jj - h_j h_j' / sigma^2 (for ML V^{-1} replaces P in the first term),

    df = 2 <Q T, dT>,   Q = sum_j [Z'V^{-1}Z]_jj - H_j S^{-1} H_j' - h_j h_j' / sigma^2,

H = Z'V^{-1}X, S = X'V^{-1}X. All of it is regular where T is singular, zero included.

**Information.** Second derivatives are those of Gilmour, Thompson & Cullis (1995): the mean of observed and expected
information, v_k' Z'PZ v_l / sigma^2 with Z v_k = dV_k P y, less (v_k'h)(v_l'h) / (nu sigma^4) for the profiled sigma.
V is quadratic in T, and its explicit second derivative adds 2 tr(Q dT_k dT_l'), which carries all the curvature where
T is zero; where T is not linear in the parameters, 2 <Q T, d2T_kl> is added, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import triangular
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one point, with what was asked for beside it.

    Attributes
    ----------
    par
        (r,) scaled parameters.
    criterion
        REML criterion or -2 log likelihood, constants included.
    gradient
        (r,) exact gradient with respect to `par`, or None.
    information
        (r, r) approximate second derivatives, or None.
    Q
        For each factor, the (k, k) score matrix Q; None with `gradient`.
    sigma2
        Residual variance, profiled or known.
    gamma
        (p,) fixed effects in the basis Q of X.
    S
        (p, p) X'V^{-1}X in that basis.
    residual
        y'Py, the penalised residual sum of squares.
    factorization
        M at this point.
    """

    par: Vector
    criterion: float
    gradient: Vector | None
    information: Vector | None
    Q: list[Vector] | None
    sigma2: float
    gamma: Vector
    S: Vector
    residual: float
    factorization: Factorization


def evaluate(problem: Problem, par: Vector, derivatives: bool = True) -> Evaluation:
    """Criterion at scaled parameters `par`, and its derivatives if asked.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the factorisation breaks down (parameters beyond about 1e8, or not finite).
    """
    T = problem.matrices(par)
    factorization = Factorization(problem, T)
    zw: Pair = (problem.zw1, problem.zw2)
    scaled = factorization.scale_transposed(zw)
    solved = factorization.solve(scaled)
    found = profiled(problem, problem.ww - inner(scaled, solved))
    criterion = float(factorization.logdet + found.constant)
    result = (found.sigma2, found.gamma, found.S, found.residual, factorization)
    if not derivatives:
        return Evaluation(par, criterion, None, None, None, *result)
    gradient, information, Q = _derivatives(problem, par, factorization, zw, solved, found)
    return Evaluation(par, criterion, gradient, information, Q, *result)


class Profiled(NamedTuple):
    """What is profiled out at one point.

    Attributes
    ----------
    S, L
        (p, p) X'V^{-1}X in the basis Q of X, and its Cholesky factor.
    gamma
        (p,) fixed effects in that basis.
    residual
        y'Py.
    sigma2
        Residual variance.
    constant
        The criterion without log|M|.
    """

    S: Vector
    L: Vector
    gamma: Vector
    residual: float
    sigma2: float
    constant: float

    @property
    def S_inverse(self) -> Vector:
        """(p, p) inverse of S."""
        half = triangular.solve(self.L, np.eye(len(self.S)), lower=True)
        return half.T @ half


def profiled(problem: Problem, SW: Vector) -> Profiled:
    """Fixed effects and residual variance, profiled out of (p + 1, p + 1) W'V^{-1}W for W = [X, y].

    Raises
    ------
    numpy.linalg.LinAlgError
        If X'V^{-1}X or the residual sum of squares is not positive.
    """
    p, nu = problem.p, problem.dof
    S = SW[:p, :p]
    L = np.asarray(np.linalg.cholesky(S), dtype=np.float64)
    half = triangular.solve(L, SW[:p, p], lower=True)
    residual = float(SW[p, p] - half @ half)
    if not residual > 0.0:
        raise np.linalg.LinAlgError("the residual sum of squares is not positive")
    gamma = triangular.solve(L, half, lower=True, transposed=True)
    sigma2 = residual / nu if problem.sigma is None else problem.sigma**2
    constant = nu * (LOG_2PI + np.log(sigma2)) + residual / sigma2 - problem.log_weights
    if problem.REML:
        constant += 2.0 * float(np.log(np.abs(L.diagonal() * problem.R.diagonal())).sum())
    return Profiled(S, L, gamma, residual, sigma2, float(constant))


def inner(a: Pair, b: Pair) -> Vector:
    """(r, s) products a'b in the space of the random effects."""
    rows = a[0].shape[0] * a[0].shape[1]
    first = a[0].reshape(rows, a[0].shape[2]).T @ b[0].reshape(rows, b[0].shape[2])
    return first + a[1].T @ b[1] if len(a[1]) else first


def _by_factor(problem: Problem, b: Pair) -> list[Vector]:
    """A vector (q1, k1, r), (q2, r) as one (q, k, r) array for each factor."""
    if problem.coupling is None:
        return [b[0]]
    return [b[0], *(b[1][position] for position in problem.coupling.positions)]


def less_fixed(products: Pair, gamma: Vector) -> Pair:
    """Products with y - X gamma, as one right-hand side, from products with W = [X, y]."""
    p = len(gamma)
    first, second = ((x[..., p] - x[..., :p] @ gamma)[..., None] for x in products)
    return first, second


def random_effect_products(problem: Problem, factorization: Factorization, zw: Pair, solved: Pair) -> Pair:
    """Z'V^{-1}W = Z'W - Z'Z Lambda M^{-1} Lambda'Z'W for W = [X, y]."""
    product = factorization.gram(factorization.scale(solved))
    return zw[0] - product[0], zw[1] - product[1]


def _derivatives(
    problem: Problem, par: Vector, factorization: Factorization, zw: Pair, solved: Pair, found: Profiled
) -> tuple[Vector, Vector, list[Vector]]:  # fmt: skip
    p, T, sigma2 = problem.p, factorization.T, found.sigma2
    ZVW = random_effect_products(problem, factorization, zw, solved)
    H: Pair = (ZVW[0][..., :p], ZVW[1][..., :p])
    h = less_fixed(ZVW, found.gamma)
    H_by, h_by = _by_factor(problem, H), _by_factor(problem, h)
    ZVZT, ZVZ = factorization.score_sums()
    factorization.release()
    S_inverse = found.S_inverse
    QT, Q = [], []
    for f, Tf in enumerate(T):
        outer = h_by[f][:, :, 0].T @ h_by[f][:, :, 0] / sigma2
        if problem.REML and p:
            outer += np.tensordot(H_by[f] @ S_inverse, H_by[f], axes=([0, 2], [0, 2]))
        QT.append(ZVZT[f] - outer @ Tf)
        Q.append(ZVZ[f] - outer)
    directions = problem.directions(par)
    gradient = np.empty(problem.n_parameters)
    for (where, dT), one in zip(directions, QT, strict=True):
        gradient[where] = 2.0 * (dT.reshape(-1, one.size) @ one.ravel())
    information = _information(problem, factorization, directions, H, h_by, S_inverse, Q, sigma2)
    if not problem.linear:
        information += problem.along_curvature(par, [2.0 * one for one in QT])
    return gradient, information, Q


def _information(
    problem: Problem, factorization: Factorization, directions: list[tuple[NDArray[np.intp], Vector]], H: Pair,
    h_by: list[Vector], S_inverse: Vector, Q: list[Vector], sigma2: float,
) -> Vector:  # fmt: skip
    T, r = factorization.T, problem.n_parameters
    v: Pair = (np.zeros((*problem.zw1.shape[:2], r)), np.zeros((problem.zw2.shape[0], r)))
    vPy = np.zeros(r)
    curvature = np.zeros((r, r))
    for f, (group, (where, dT)) in enumerate(zip(problem.factors, directions, strict=True)):
        at = 0
        for block in group.blocks:  # T is block diagonal over the terms of a factor, which may be many
            m, k, columns = block.structure.n_parameters, block.structure.k, block.columns
            own, own_T, hf = dT[at : at + m, columns, columns], T[f][columns, columns], h_by[f][:, columns, 0]
            mine, at = where[at : at + m], at + m
            half = own @ own_T.T
            # D h with D = dT T' + T dT'
            Dh = (hf @ (half + half.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(k, m * k)).reshape(-1, m, k)
            vPy[mine] = np.einsum("jma,ja->m", Dh, hf)
            if f == 0:
                v[0][:, columns, mine] = Dh.transpose(0, 2, 1)
            else:
                assert problem.coupling is not None
                v[1][problem.coupling.positions[f - 1][:, columns][:, :, None], mine] = Dh.transpose(0, 2, 1)
            flat = own.reshape(m, k * k)
            curvature[mine[:, None], mine] = 2.0 * ((Q[f][columns, columns] @ own).reshape(m, k * k) @ flat.T)
    Zv = factorization.gram(v)
    scaled = factorization.scale_transposed(Zv)
    half = factorization.half_solve(scaled)
    XVZv = inner(H, v)
    information = (inner(v, Zv) - inner(half, half) - XVZv.T @ S_inverse @ XVZv) / sigma2
    if problem.sigma is None:
        information -= np.outer(vPy, vPy) / (problem.dof * sigma2**2)
    information += curvature
    return (information + information.T) / 2.0
