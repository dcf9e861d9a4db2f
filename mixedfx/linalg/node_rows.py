"""Compiled passes over many rows and the nodes of their levels: integrals, mean scores, and their derivatives.

Rows are sorted by level, level j has those from `start[j]` on; `u` (q, N, k) are the effects of a level at its nodes,
in the columns of z (n, k), and `xi` (n,) is what else the linear predictor has. Row i meets the entries `entries[i]`
of the coupling with the covariates `z2[i]`. `kind` and `shape` as in `mixedfx.linalg.density_rows`. The twins are the
NumPy expressions of `mixedfx.glmm.level_nodes` and `mixedfx.glmm.node_pullback`.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfx.linalg.compiled import compiled
from mixedfx.linalg.density_rows import density, higher


@compiled
def node_terms(kind, y, m, shape, xi, start, z, u, terms, s, w):
    """Add the log densities of the rows of each level to `terms` (q, N); scores and weights go to s and w (n, N).

    With s of no rows they are not kept.
    """
    k, count, kept = z.shape[1], terms.shape[1], len(s) > 0
    for j in range(len(start) - 1):
        for i in range(start[j], start[j + 1]):
            for q in range(count):
                eta = xi[i]
                for a in range(k):
                    eta += z[i, a] * u[j, q, a]
                value, score, weight = density(kind, y[i], m[i], eta, shape)
                terms[j, q] += value
                if kept:
                    s[i, q] = score
                    w[i, q] = weight


@compiled
def node_means(start, p, s, w, score, weight):
    """Means of s and w (n, N) under the terms p (q, N) of each row's level, into score and weight (n,)."""
    count = p.shape[1]
    for j in range(len(start) - 1):
        for i in range(start[j], start[j + 1]):
            a = 0.0
            b = 0.0
            for q in range(count):
                if p[j, q] > 0.0:
                    a += p[j, q] * s[i, q]
                    b += p[j, q] * w[i, q]
            score[i] = a
            weight[i] = b


@compiled
def entry_scores(start, z2, entries, p, s, h):
    """Add z2 times the deviation of s from its mean, times the root of p, to h (e, N)."""
    count, m2 = p.shape[1], z2.shape[1]
    root = np.empty(count)
    for j in range(len(start) - 1):
        for q in range(count):
            root[q] = math.sqrt(p[j, q])
        for i in range(start[j], start[j + 1]):
            mean = 0.0
            for q in range(count):
                if p[j, q] > 0.0:
                    mean += p[j, q] * s[i, q]
            for q in range(count):
                if p[j, q] > 0.0:
                    x = root[q] * (s[i, q] - mean)
                    for c in range(m2):
                        h[entries[i, c], q] += z2[i, c] * x


@compiled
def pulled_rows(kind, y, m, shape, xi, start, z, u, z2, entries, p, known_s, known_w, phi_p, beta, pi, S_c, out, of_z):
    """Kappa summed over the nodes of each row into `out` (n,), and times z over the rows of each level into `of_z`.

    `phi_p` (q, N) comes with what alpha and the entries add, and leaves with what `beta` and `pi` (n,) add; these and
    `S_c` (e, N) may have no rows. Scores and weights `known_s` and `known_w` (n, N) without rows are found anew.
    """
    k, count, m2 = z.shape[1], p.shape[1], z2.shape[1]
    with_beta, with_pi, with_entries, known = len(beta) > 0, len(pi) > 0, len(S_c) > 0, len(known_s) > 0
    sums = np.empty(count)
    for j in range(len(start) - 1):
        if with_beta or with_pi:
            sums[:] = 0.0
            mean = 0.0
            for i in range(start[j], start[j + 1]):
                for q in range(count):
                    if p[j, q] > 0.0:
                        if known:
                            s, w = known_s[i, q], known_w[i, q]
                        else:
                            eta = xi[i]
                            for a in range(k):
                                eta += z[i, a] * u[j, q, a]
                            _, s, w = density(kind, y[i], m[i], eta, shape)
                        x = 0.0
                        if with_beta:
                            x += beta[i] * s
                        if with_pi:
                            x += pi[i] * w
                        sums[q] += x
                        mean += p[j, q] * x
            for q in range(count):
                phi_p[j, q] += p[j, q] * (sums[q] - mean)
        for i in range(start[j], start[j + 1]):
            total = 0.0
            for q in range(count):
                if p[j, q] == 0.0:
                    continue
                eta = xi[i]
                if with_pi or not known:
                    for a in range(k):
                        eta += z[i, a] * u[j, q, a]
                if known:
                    s, w = known_s[i, q], known_w[i, q]
                else:
                    _, s, w = density(kind, y[i], m[i], eta, shape)
                kappa = phi_p[j, q] * s
                psi = 0.0
                if with_beta:
                    psi += p[j, q] * beta[i]
                if with_entries:
                    x = 0.0
                    for c in range(m2):
                        x += z2[i, c] * S_c[entries[i, c], q]
                    psi -= 2.0 * math.sqrt(p[j, q]) * x
                kappa -= psi * w
                if with_pi:
                    third, _ = higher(kind, y[i], m[i], eta, shape)
                    kappa += p[j, q] * pi[i] * third
                total += kappa
                for a in range(k):
                    of_z[j, q, a] += kappa * z[i, a]
            out[i] = total
