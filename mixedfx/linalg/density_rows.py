"""Compiled passes over many rows: log densities with their derivatives, and what they add to Z's and Z'WZ.

`kind` numbers the distributions below; `shape` is the shape of a negative binomial or gamma response, and log densities
leave out what does not depend on eta. The twins are the vectorised formulas of `mixedfx.glmm.densities`, where the
kinds have their names, and the sparse products of `mixedfx.pls.row_map`; rows are as in `mixedfx.linalg.weighted_rows`.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfx.linalg.compiled import compiled

LOGIT, POISSON, NEGBINOMIAL, GAMMA = range(4)


@compiled
def density(kind, y, m, eta, shape):
    """Log f, its derivative in eta, and minus its second derivative."""
    if kind == LOGIT:
        q = math.exp(-abs(eta))
        d = 1.0 / (1.0 + q)
        p = d if eta >= 0.0 else q * d
        return y * eta - m * (max(eta, 0.0) + math.log1p(q)), y - m * p, m * q * d * d
    mu = math.exp(min(eta, 700.0))
    if kind == POISSON:
        return y * eta - mu, y - mu, mu
    if kind == NEGBINOMIAL:
        total = shape + mu
        q = mu / total
        a = (y + shape) * q
        return y * eta - (y + shape) * math.log1p(mu / shape), y - a, a * (shape / total)
    a = shape * y / mu
    return -shape * eta - a, a - shape, a


@compiled
def higher(kind, y, m, eta, shape):
    """Minus the third and minus the fourth derivative of log f."""
    if kind == LOGIT:
        q = math.exp(-abs(eta))
        d = 1.0 / (1.0 + q)
        w = m * q * d * d
        tilt = (q - 1.0) * d if eta >= 0.0 else (1.0 - q) * d
        return w * tilt, w * (1.0 - 6.0 * q * d * d)
    mu = math.exp(min(eta, 700.0))
    if kind == POISSON:
        return mu, mu
    if kind == NEGBINOMIAL:
        total = shape + mu
        q = mu / total
        r = shape / total
        a = (y + shape) * q * r
        return a * (r - q), a * (1.0 - 6.0 * q * r)
    a = shape * y / mu
    return -a, a


@compiled
def scan(
    kind, y, m, shape, base, codes, z, z2, columns, entries, pairs, u1, u2, eta, s, w, h1, h2, first, coupling, gram
):
    """One pass: eta = base + z'u1 + z2'u2, s, w; Z's and the blocks of Z'WZ are added to. Returns the sum of log f."""
    n, k = z.shape
    m2 = z2.shape[1]
    total = 0.0
    for i in range(n):
        g = codes[i]
        x = base[i]
        for a in range(k):
            x += z[i, a] * u1[g, a]
        for c in range(m2):
            x += z2[i, c] * u2[columns[i, c]]
        value, score, weight = density(kind, y[i], m[i], x, shape)
        total += value
        eta[i], s[i], w[i] = x, score, weight
        at = g * k * k
        for a in range(k):
            h1[g, a] += score * z[i, a]
            wz = weight * z[i, a]
            for b in range(k):
                first[at + a * k + b] += wz * z[i, b]
        for c in range(m2):
            h2[columns[i, c]] += score * z2[i, c]
            wz = weight * z2[i, c]
            for a in range(k):
                coupling[entries[i, c] * k + a] += wz * z[i, a]
            for d in range(m2):
                gram[pairs[i, c, d]] += wz * z2[i, d]
    return total


@compiled
def higher_rows(kind, y, m, shape, eta, third, fourth):
    """Minus the third and fourth derivatives of all rows."""
    for i in range(len(y)):
        third[i], fourth[i] = higher(kind, y[i], m[i], eta[i], shape)


@compiled
def weighted_columns(w, Q, codes, z, z2, columns, QWQ, zq1, zq2):
    """Add Q'WQ (lower triangle), and Z'WQ: (q1, k, p) of the first factor and (q2, p) of the second level."""
    n, p = Q.shape
    k = z.shape[1]
    m2 = z2.shape[1]
    for i in range(n):
        g = codes[i]
        for a in range(p):
            x = w[i] * Q[i, a]
            for b in range(a + 1):
                QWQ[a, b] += x * Q[i, b]
            for c in range(k):
                zq1[g, c, a] += x * z[i, c]
            for c in range(m2):
                zq2[columns[i, c], a] += x * z2[i, c]


@compiled
def moments(Q, codes, z, z2, columns, u1, u2, weight, third, squares, tensor):
    """With ydot = (Q, 0) + Z u: add sums of weight ydot ydot' (lower triangle) and of third ydot z z' by level.

    u1 is (q1, k, d), u2 (q2, d), `squares` (d, d) and `tensor` (q1, k, k, d).
    """
    n, p = Q.shape
    k = z.shape[1]
    m2 = z2.shape[1]
    d = squares.shape[0]
    y = np.empty(d)
    for i in range(n):
        g = codes[i]
        for a in range(d):
            x = Q[i, a] if a < p else 0.0
            for c in range(k):
                x += z[i, c] * u1[g, c, a]
            for c in range(m2):
                x += z2[i, c] * u2[columns[i, c], a]
            y[a] = x
        for a in range(d):
            x = weight[i] * y[a]
            for b in range(a + 1):
                squares[a, b] += x * y[b]
        for c in range(k):
            for e in range(c + 1):
                x = third[i] * z[i, c] * z[i, e]
                for a in range(d):
                    tensor[g, c, e, a] += x * y[a]
