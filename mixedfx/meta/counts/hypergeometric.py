r"""Random-effects meta-analysis of odds ratios given the margins of the tables: the exact conditional likelihood.

Given the events m of both groups, a of n_1 people with log odds ratio theta has the noncentral hypergeometric
distribution

    P(a | theta) = C(n_1, a) C(n_2, m - a) exp(a theta) / sum_j C(n_1, j) C(n_2, m - j) exp(j theta),

an exponential family: with mu(theta), v(theta) its mean and variance, the score is a - mu and its derivative -v
(Stijnen, Hamza and Ozdemir 2010, Statistics in Medicine 29(29)). With theta_i = x_i' beta + tau z_i, z_i ~ N(0, 1), the
integral over z_i is Gauss-Hermite quadrature about its mode, wide as the curvature there says. The predictor is linear
in delta = (beta, tau) given z, its covariates w = (x, z): by Fisher's and Louis's (1982, JRSS B 44(2)) identities, with
expectations over z given the data,

    gradient = sum E[(a - mu) w],    second derivatives = sum { -E[v w w'] + var[(a - mu) w] },

so that the maximum is found by Newton steps. The likelihood is even in tau: tau = 0 is always stationary, a maximum
where sum {(a - mu)^2 - v} <= 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from mixedfx.meta.measure import Array

NODES = 41
STEPS = 100
MODE_STEPS = 60


@dataclass(frozen=True, eq=False)
class Tables:
    """2x2 tables with margins that are given.

    Attributes
    ----------
    a, n1, n2, m
        (k,) events in the first group, sizes of both, events of both.
    """

    a: Array
    n1: Array
    n2: Array
    m: Array

    @cached_property
    def support(self) -> Array:
        """(k, S) possible values of a; beyond the last one they have no weight."""
        low = np.maximum(0.0, self.m - self.n2)
        high = np.minimum(self.n1, self.m)
        return low[:, None] + np.arange(int((high - low).max()) + 1)

    @cached_property
    def log_weights(self) -> Array:
        """(k, S) log C(n1, j) C(n2, m - j), minus infinity beyond the support."""
        j, n1, n2, m = self.support, self.n1[:, None], self.n2[:, None], self.m[:, None]
        inside = j <= np.minimum(n1, m)
        j = np.where(inside, j, np.minimum(n1, m))
        value = -special.gammaln(j + 1) - special.gammaln(n1 - j + 1)
        value = value - special.gammaln(m - j + 1) - special.gammaln(n2 - m + j + 1)
        value = value + special.gammaln(n1 + 1) + special.gammaln(n2 + 1)
        return np.where(inside, value, -np.inf)

    @cached_property
    def own(self) -> Array:
        """(k,) log weights of the values seen."""
        at = (self.a - self.support[:, 0]).astype(np.intp)
        return self.log_weights[np.arange(len(self.a)), at]

    def at(self, theta: Array) -> tuple[Array, Array, Array]:
        """Log probabilities of the values seen, means and variances, (k, q) each, at (k, q) log odds ratios."""
        out = np.empty((3, *theta.shape))
        for i, row in enumerate(theta):
            kept = np.isfinite(self.log_weights[i])
            j, weights = self.support[i, kept], self.log_weights[i, kept]
            logs = weights + row[:, None] * j
            top = logs.max(axis=1, keepdims=True)
            p = np.exp(logs - top)
            total = p.sum(axis=1)
            mean = p @ j / total
            out[0, i] = self.own[i] + row * self.a[i] - top[:, 0] - np.log(total)
            out[1, i] = mean
            out[2, i] = (p * (j - mean[:, None]) ** 2).sum(axis=1) / total
        return out[0], out[1], out[2]


@dataclass(frozen=True, eq=False)
class Maximum:
    """Maximum likelihood estimates of log odds ratios.

    Attributes
    ----------
    beta
        (p,) coefficients.
    tau
        Standard deviation of true log odds ratios around their mean, from 0.
    loglik
        Log likelihood.
    covariance
        (p + 1, p + 1) of (beta, tau), from the observed second derivatives; where tau is 0 that of beta, and NaN.
    converged
        Whether the gradient is 0 there.
    """

    beta: Array
    tau: float
    loglik: float
    covariance: Array
    converged: bool


def log_likelihood(tables: Tables, X: Array, delta: Array, nodes: int = NODES) -> tuple[float, Array, Array]:
    """Log likelihood at (beta, tau), its gradient (p + 1,) and second derivatives (p + 1, p + 1)."""
    tau = float(delta[-1])
    fixed = X @ delta[:-1]
    mode, sd = _modes(tables, fixed, tau)
    x, w = special.roots_hermitenorm(nodes)
    z = mode[:, None] + sd[:, None] * x
    logs, mean, variance = tables.at(fixed[:, None] + tau * z)
    joint = logs - 0.5 * z * z + np.log(w) + 0.5 * x * x
    top = joint.max(axis=1)
    p = np.exp(joint - top[:, None])
    total = p.sum(axis=1)
    p = p / total[:, None]
    value = top + np.log(total * sd) - 0.5 * np.log(2 * np.pi)
    W = np.concatenate([np.broadcast_to(X[:, None, :], (*z.shape, X.shape[1])), z[:, :, None]], axis=2)
    scores = (tables.a[:, None] - mean)[:, :, None] * W
    first = np.einsum("kq,kqi->ki", p, scores)
    second = np.einsum("kq,kqi,kqj->ij", p, scores, scores) - first.T @ first
    second = second - np.einsum("kq,kqi,kqj->ij", p * variance, W, W)
    return float(value.sum()), first.sum(axis=0), second


def _modes(tables: Tables, fixed: Array, tau: float) -> tuple[Array, Array]:
    """(k,) modes of z given the data, and standard deviations from the curvature there."""
    z = np.zeros(len(fixed))
    for _ in range(MODE_STEPS):
        _, mean, variance = (one[:, 0] for one in tables.at((fixed + tau * z)[:, None]))
        step = (tau * (tables.a - mean) - z) / (tau**2 * variance + 1)
        z = z + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    _, _, variance = tables.at((fixed + tau * z)[:, None])
    return z, 1 / np.sqrt(tau**2 * variance[:, 0] + 1)


def maximum(tables: Tables, X: Array, random: bool = True) -> Maximum:
    """Maximum of the likelihood; of the one with tau = 0 where not `random`."""
    p = X.shape[1]
    plain = _newton(tables, X, np.zeros(p + 1), p)
    if not random:
        return plain
    best = plain
    for start in (0.3, 1.0):
        found = _newton(tables, X, np.append(plain.beta, start), p + 1)
        if found.loglik > best.loglik + 1e-9 and found.tau > 1e-6:
            best = found
    return best


def _newton(tables: Tables, X: Array, delta: Array, free: int) -> Maximum:
    """Newton steps in the first `free` parameters, halved where they do not rise."""
    value, gradient, second = log_likelihood(tables, X, delta)
    converged = False
    for _ in range(STEPS):
        g, H = gradient[:free], second[:free, :free]
        values, vectors = np.linalg.eigh(H)
        step = vectors @ ((vectors.T @ g) / np.maximum(np.abs(values), 1e-8))  # uphill wherever the curvature is
        step = step / max(1.0, float(np.abs(step).max()) / 2.0)
        converged = float(g @ step) < 1e-14 * max(1.0, abs(value))
        if converged:
            break
        for _ in range(40):
            trial = delta.copy()
            trial[:free] += step
            found = log_likelihood(tables, X, trial)
            if found[0] >= value:
                break
            step = step / 2
        else:
            converged = bool(np.abs(g).max() < 1e-5)
            break
        delta, (value, gradient, second) = trial, found
    delta = delta.copy()
    delta[-1] = abs(delta[-1])
    p = X.shape[1]
    covariance = np.full((p + 1, p + 1), np.nan)
    covariance[:free, :free] = np.linalg.pinv(-second[:free, :free])
    return Maximum(delta[:p], float(delta[p]), value, covariance, converged)


def of_each(tables: Tables) -> tuple[Array, Array, Array]:
    """(k,) conditional estimates of single log odds ratios, their variances, and log likelihoods there.

    Where a is at an end of its support the estimate is infinite; the likelihood rises to 1.
    """
    low, high = np.maximum(0.0, tables.m - tables.n2), np.minimum(tables.n1, tables.m)
    inside = (tables.a > low) & (tables.a < high)
    theta = np.zeros(len(tables.a))
    for _ in range(200):
        _, mean, variance = (one[:, 0] for one in tables.at(theta[:, None]))
        step = np.where(inside, np.clip((tables.a - mean) / np.maximum(variance, 1e-12), -2, 2), 0.0)
        theta = theta + step
        if np.abs(step).max(initial=0.0) < 1e-11:
            break
    logs, _, variance = (one[:, 0] for one in tables.at(theta[:, None]))
    signed = np.where(tables.a <= low, -np.inf, np.inf)
    return (
        np.where(inside, theta, signed), np.where(inside, 1 / np.maximum(variance, 1e-300), np.inf),
        np.where(inside, logs, 0.0),
    )  # fmt: skip
