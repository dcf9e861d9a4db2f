"""Kenward and Roger's and Satterthwaite's formulas with n x n matrices. For small data only.

Sigma = sigma^2 (R + Z D Z') is written as a sum of gamma_i G_i, one G_i for each variance and covariance and R for the
residual (Kenward & Roger 1997). Second derivatives of the criterion are those of Gilmour, Thompson & Cullis (1995)
before averaging: with P_S = Sigma^{-1} - Sigma^{-1}X Phi X'Sigma^{-1} and P of the likelihood Sigma^{-1},

    d2 f / dg_i dg_j = -tr(P G_i P G_j) + 2 y'P_S G_i P_S G_j P_S y      (first P: Sigma^{-1} for ML).
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from tests.oracles.dense_lmm import dense_Z, factors_of


def components(design):
    """(n, n) G of each variance and covariance, term by term, and the residual's last."""
    Z = dense_Z(design)
    out = []
    for start, term in zip(design.starts, design.random, strict=False):
        k = term.n_columns
        for a in range(k):
            for c in range(a, k):
                if a != c and not term.correlated:
                    continue
                E = np.zeros((k, k))
                E[a, c] = E[c, a] = 1.0
                columns = Z[:, start : start + term.n_levels * k]
                out.append(columns @ np.kron(np.eye(term.n_levels), E) @ columns.T)
    out.append(np.eye(len(design.y)) if design.weights is None else np.diag(1.0 / design.weights))
    return out


def gammas(design, theta, sigma):
    """Coefficients of `components` at theta and sigma."""
    out = []
    for term, T in zip(design.random, factors_of(design, theta), strict=True):
        G = sigma**2 * T @ T.T
        k = term.n_columns
        out += [G[a, c] for a in range(k) for c in range(a, k) if a == c or term.correlated]
    return np.array([*out, sigma**2])


def pieces(design, theta, sigma):
    """Sigma^{-1}, Phi, P, the G."""
    G = components(design)
    Sigma = sum(g * A for g, A in zip(gammas(design, theta, sigma), G, strict=True))
    inverse = linalg.inv(Sigma)
    X = design.X
    Phi = linalg.inv(X.T @ inverse @ X)
    return inverse, Phi, inverse - inverse @ X @ Phi @ X.T @ inverse, G


def expected_information(P, G):
    """(m, m) tr(P G_i P G_j)."""
    return np.array([[np.sum((P @ A) * (P @ B).T) for B in G] for A in G])


def kenward_roger(design, theta, sigma):
    """Adjusted covariance, Phi, the derivatives Phi P_i Phi, and W."""
    inverse, Phi, P, G = pieces(design, theta, sigma)
    X, m = design.X, len(G)
    Pi = [-X.T @ inverse @ A @ inverse @ X for A in G]
    W = 2 * linalg.inv(expected_information(P, G))
    U = np.zeros_like(Phi)
    for i in range(m):
        for j in range(m):
            Q = X.T @ inverse @ G[i] @ inverse @ G[j] @ inverse @ X
            U += W[i, j] * (Q - Pi[i] @ Phi @ Pi[j])
    return Phi + 2 * Phi @ U @ Phi, Phi, [Phi @ A @ Phi for A in Pi], W


def kenward_roger_f(L, difference, adjusted, Phi, derivatives, W):
    """F, q and df of L of full row rank, the moments of Kenward & Roger (1997, section 3) as printed there."""
    q = len(L)
    Theta = L.T @ linalg.inv(L @ Phi @ L.T) @ L
    A1 = A2 = 0.0
    for i, Di in enumerate(derivatives):
        for j, Dj in enumerate(derivatives):
            A1 += W[i, j] * np.trace(Theta @ Di) * np.trace(Theta @ Dj)
            A2 += W[i, j] * np.trace(Theta @ Di @ Theta @ Dj)
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    low = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / low, (q - g) / low, (q + 2 - g) / low
    E = 1 / (1 - A2 / q)
    V = 2 / q * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    rho = V / (2 * E**2)
    m = 4 + (q + 2) / (q * rho - 1)
    scale = m / (E * (m - 2))
    return scale * difference @ linalg.inv(L @ adjusted @ L.T) @ difference / q, q, m


def observed_second_derivatives(design, theta, sigma, REML=True):
    """(m, m) second derivatives of the criterion in the gammas."""
    inverse, _, P, G = pieces(design, theta, sigma)
    y = design.y - design.offset
    first = P if REML else inverse
    Py = P @ y
    return np.array([[-np.sum((first @ A) * (first @ B).T) + 2 * Py @ A @ P @ B @ Py for B in G] for A in G])


def satterthwaite_df(design, theta, sigma, contrast, REML=True):
    """Degrees of freedom 2 v^2 / var(v) in the gammas; the point must be a minimum inside the parameter space."""
    _, Phi, _, G = pieces(design, theta, sigma)
    inverse = pieces(design, theta, sigma)[0]
    X = design.X
    v = contrast @ Phi @ contrast
    g = np.array([contrast @ Phi @ X.T @ inverse @ A @ inverse @ X @ Phi @ contrast for A in G])
    return v**2 / (g @ linalg.solve(observed_second_derivatives(design, theta, sigma, REML), g))
