"""Linear mixed models by the textbook: dense V, no trick shared with the package. For small data only.

With V = diag(1/w) + Z blockdiag(T T') Z' (relative to sigma^2), beta-hat = (X'V^-1 X)^-1 X'V^-1 y, u-hat = D Z'V^-1
(y - X beta-hat) and P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 (Searle, Casella & McCulloch 1992, chapters 6 and 7):

    var(beta-hat)               = sigma^2 (X'V^-1 X)^-1
    var(u-hat - u)              = sigma^2 (D - D Z'P Z D)
    cov(beta-hat - beta, u-hat - u) = -sigma^2 (X'V^-1 X)^-1 X'V^-1 Z D
    var(u | y, beta)            = sigma^2 (D - D Z'V^-1 Z D)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from mixedfx.design.design import Design
from mixedfx.results.optimization import Optimization, Outcome


def dense_Z(design):
    """(n, q) Z laid out as the design orders u."""
    Z = np.zeros((len(design.y), design.n_random))
    rows = np.arange(len(design.y))
    for start, term in zip(design.starts, design.random, strict=False):
        for c in range(term.n_columns):
            Z[rows, start + term.codes * term.n_columns + c] = term.z[:, c]
    return Z


def factors_of(design, theta):
    """One T for each term: theta is its lower triangle by columns, its diagonal, or standard deviations and rho."""
    apart, own = lambda k: np.abs(np.subtract.outer(np.arange(k), np.arange(k))), ("cs", "hetar1")
    factors, at = [], 0
    for term in design.random:
        k = term.n_columns
        T = np.zeros((k, k))
        if k > 1 and term.structure in ("id", "cs", "homcs", "ar1", "hetar1"):
            n_sds = k if term.structure in own else 1
            sds = theta[at : at + n_sds] * np.ones(k)
            rho = 0.0 if term.structure == "id" else theta[at + n_sds]
            R = rho ** apart(k) if "ar1" in term.structure else np.full((k, k), rho) + (1 - rho) * np.eye(k)
            values, vectors = np.linalg.eigh(R)
            T = np.diag(sds) @ vectors * np.sqrt(np.clip(values, 0, None))
            at += n_sds + (term.structure != "id")
        elif term.correlated:
            for j in range(k):
                T[j:, j] = theta[at : at + k - j]
                at += k - j
        else:
            T[np.diag_indices(k)] = theta[at : at + k]
            at += k
        factors.append(T)
    assert at == len(theta)
    return factors


@dataclass(frozen=True)
class DenseJoint:
    """Joint uncertainty of (beta, u), dense; the verbs of the package's own."""

    beta: np.ndarray
    u: np.ndarray
    full: np.ndarray
    conditional: list

    def covariance(self, fixed, random):
        C = np.hstack([fixed, random.toarray()])
        return C @ self.full @ C.T

    def variances(self, fixed, random):
        return np.diag(self.covariance(fixed, random)).copy()

    def draw(self, n, rng):
        values, vectors = linalg.eigh(self.full)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        both = np.concatenate([self.beta, self.u]) + rng.standard_normal((n, len(root))) @ root.T
        return both[:, : len(self.beta)], both[:, len(self.beta) :]

    def conditional_covariances(self, term):
        return self.conditional[term]


@dataclass(frozen=True)
class DenseSolution:
    """The fields of the package's own solution, by dense formulas at a given theta."""

    criterion: float
    sigma: float
    beta: np.ndarray
    u: np.ndarray
    factors: tuple
    theta: np.ndarray
    vcov: np.ndarray
    optimization: Optimization
    REML: bool
    dof: int
    joint: DenseJoint
    bases = None  # found from the rows
    monte_carlo = None  # exact


def solution_at(design: Design, theta, REML: bool = True) -> DenseSolution:
    """Everything at a given theta, sigma and beta profiled out."""
    theta = np.asarray(theta, dtype=float)
    n, p = design.X.shape
    X, y, Z = design.X, design.y - design.offset, dense_Z(design)
    factors = factors_of(design, theta)
    levels = [np.eye(t.n_levels) if t.relation is None else t.relation for t in design.random]
    blocks = [np.kron(A, T @ T.T) for A, T in zip(levels, factors, strict=True)]
    D = np.asarray(linalg.block_diag(*blocks)) if blocks else np.zeros((0, 0))
    R = np.eye(n) if design.weights is None else np.diag(1 / design.weights)
    V = R + Z @ D @ Z.T
    Vi = linalg.inv(V)
    XVX = X.T @ Vi @ X
    inverse = linalg.inv(XVX)
    beta = inverse @ X.T @ Vi @ y
    e = y - X @ beta
    u = D @ Z.T @ Vi @ e
    dof = n - p if REML else n
    sigma2 = e @ Vi @ e / dof
    criterion = np.linalg.slogdet(V)[1] + dof * (1 + np.log(2 * np.pi * sigma2))
    if REML:
        criterion += np.linalg.slogdet(XVX)[1]
    P = Vi - Vi @ X @ inverse @ X.T @ Vi
    between = -inverse @ X.T @ Vi @ Z @ D
    full = sigma2 * np.block([[inverse, between], [between.T, D - D @ Z.T @ P @ Z @ D]])
    modes = sigma2 * (D - D @ Z.T @ Vi @ Z @ D)
    conditional = []
    for start, term in zip(design.starts, design.random, strict=False):
        k = term.n_columns
        at = [slice(start + j * k, start + (j + 1) * k) for j in range(term.n_levels)]
        conditional.append(np.array([modes[s, s] for s in at]))
    joint = DenseJoint(beta, u, full, conditional)
    course = Optimization((), Outcome.INTERIOR if len(theta) else Outcome.NO_PARAMETERS, np.zeros(len(theta)), 1.0)
    return DenseSolution(
        float(criterion),
        float(np.sqrt(sigma2)),
        beta,
        u,
        tuple(factors),
        theta,
        sigma2 * inverse,
        course,
        REML,
        dof,
        joint,
    )


def criterion(design: Design, theta, REML: bool = True) -> float:
    """REML criterion or -2 log likelihood at theta."""
    return solution_at(design, theta, REML).criterion


def diagonal_of_theta(design):
    """(r,) which parameters are on the diagonal of a factor."""
    out = []
    for term in design.random:
        k = term.n_columns
        out += [i == j for j in range(k) for i in range(j, k)] if term.correlated else [True] * k
    return np.array(out, dtype=bool)


def lower_triangular(root):
    """The lower-triangular factor with non-negative diagonal of the same covariance."""
    R = np.linalg.qr(root.T, mode="r")
    signs = np.where(np.diag(R) < 0, -1.0, 1.0)
    return (signs[:, None] * R).T


def solve(design: Design, REML: bool = True) -> DenseSolution:
    """Minimise the criterion without derivatives, from theta = 1 on the diagonals."""
    start = diagonal_of_theta(design).astype(float)
    if not len(start):
        return solution_at(design, start, REML)
    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20000, "maxfev": 20000}
    found = optimize.minimize(
        lambda theta: criterion(design, theta, REML), start, method="Nelder-Mead", options=options
    )
    factors = [lower_triangular(T) for T in factors_of(design, found.x)]
    theta = np.concatenate(
        [
            T.T[np.triu_indices(len(T))] if t.correlated else np.diag(T)
            for t, T in zip(design.random, factors, strict=True)
        ]
    )
    return solution_at(design, theta, REML)
