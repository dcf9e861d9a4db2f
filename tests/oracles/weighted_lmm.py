"""Weighted likelihoods of nested normal models by the textbook, slowly: on grids, and unit by unit.

Rabe-Hesketh & Skrondal (2006), section 3: the likelihood of a unit given the effects above it is an integral over its
own effects of the product of its members' likelihoods, each to the power of its weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special


@dataclass
class Level:
    """One level, top first: codes (n,), covariates (n, k), weights of units by code."""

    codes: np.ndarray
    z: np.ndarray
    weights: np.ndarray


def grid(k: int, points: int = 161, reach: float = 8.5):
    """Standard normal numbers (G, k) on a regular grid with logarithms of their probabilities (G,).

    The trapezoidal rule converges faster than any power of the step for integrands that decay like a normal density.
    """
    x = np.linspace(-reach, reach, points)
    log_p = -0.5 * x**2 - 0.5 * np.log(2 * np.pi) + np.log(x[1] - x[0])
    mesh = np.meshgrid(*[x] * k, indexing="ij")
    logs = np.meshgrid(*[log_p] * k, indexing="ij")
    return np.stack([m.ravel() for m in mesh], axis=1), sum(m.ravel() for m in logs)


def by_quadrature(y, X, row_weights, levels, beta, factors, sigma, points=161):
    """Log pseudo likelihood by sums over grids; `factors` are relative T of the levels, top first."""

    def log_f(rows, eta):
        return -0.5 * np.log(2 * np.pi * sigma**2) - 0.5 * ((y[rows][:, None] - eta) / sigma) ** 2

    return float(of_top_units(log_f, X @ beta, row_weights, levels, [sigma * T for T in factors], points)
                 @ levels[0].weights)  # fmt: skip


def of_top_units(log_f, mean, row_weights, levels, factors, points=161):
    """(K,) log integrals of the units of the top level, before their weights, by sums over grids.

    `log_f` takes rows (m,) and linear predictors (m, G) to log densities (m, G); `factors` are T, top first.
    """

    def within(rows, shift, depth):
        if depth == len(levels):
            return row_weights[rows] @ log_f(rows, mean[rows][:, None] + shift)
        level, (b, log_p) = levels[depth], grid(levels[depth].z.shape[1], points)
        effects = b @ factors[depth].T
        total = np.zeros(shift.shape[1])
        for unit in np.unique(level.codes[rows]):
            own = rows[level.codes[rows] == unit]
            moved = shift[level.codes[rows] == unit][:, :, None] + (level.z[own] @ effects.T)[:, None, :]
            inner = within(own, moved.reshape(len(own), -1), depth + 1).reshape(shift.shape[1], len(b))
            found = special.logsumexp(inner + log_p, axis=1)
            if depth == 0:
                alone[unit] = found[0]
            total += level.weights[unit] * found
        return total

    rows, alone = np.arange(len(mean)), np.empty(len(levels[0].weights))
    within(rows, np.zeros((len(mean), 1)), 0)
    return alone


def of_units(y, X, row_weights, level, beta, T, sigma):
    """(U,) log pseudo likelihoods of the units of one level, unweighted: two-level models in closed form."""
    out = []
    for unit in range(len(level.weights)):
        rows = np.flatnonzero(level.codes == unit)
        e, Z, W = y[rows] - X[rows] @ beta, level.z[rows] @ T, np.diag(row_weights[rows])
        A = np.eye(Z.shape[1]) + Z.T @ W @ Z
        inside = e @ W @ e - e @ W @ Z @ np.linalg.solve(A, Z.T @ W @ e)
        N = row_weights[rows].sum()
        out.append(-0.5 * (N * np.log(2 * np.pi * sigma**2) + np.linalg.slogdet(A)[1] + inside / sigma**2))
    return np.array(out)


def gradient(f, x, step=1e-5):
    """Central differences of a function of a vector, values of any shape; the derivative is the first axis."""
    x = np.asarray(x, dtype=float)
    out = []
    for i in range(len(x)):
        e = np.zeros(len(x))
        e[i] = step * max(1.0, abs(x[i]))
        out.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * e[i]))
    return np.array(out)


def maximum(log_likelihood, start):
    """Maximum of a log likelihood by a general optimiser that knows nothing of it."""
    found = optimize.minimize(lambda x: -log_likelihood(x), start, method="Nelder-Mead",
                              options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20_000, "maxfev": 20_000})  # fmt: skip
    return found.x, -found.fun
