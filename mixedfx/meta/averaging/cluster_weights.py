r"""Likelihood of estimates selected in clusters at many parameter values at once.

The likelihood is that of `mixedfx.meta.selection_clusters`, where mechanisms and the trapezoid rule are derived; there
one value of the parameters comes with derivatives and errors of 1e-12, here thousands come without, and to six digits,
which an evidence needs: nodes are fewer, and are added outwards until terms have died away. Clusters of one estimate
have the normaliser of N(mu, v + tau^2) under every mechanism.

`selection` is NumPy, for small data; the compiled loop beside it (`cluster_kernel.py`) takes the same nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mixedfx.meta.averaging.given import Cells, Index
from mixedfx.meta.averaging.weight_models import exceed, log_likelihood, normal_part
from mixedfx.meta.measure import Array

MECHANISM = {"joint": 0, "conditional": 1, "best": 2}
SHARP, COARSEST, GROWTH = 1.0, 0.75, 0.35  # of the step: see `step`
FINEST = 0.01  # where tau is a hundred standard errors: normal probabilities are steps there
FAR, DEAD = 5.7, 17.0  # standard deviations within which all terms are taken, logs below the top of those left out
FARTHEST = 40.0
COMPILED = 12  # rows in clusters from which the compiled loop is worth its import


def step(ratio: Array, m: Array | int, fine: float) -> Array:
    """Step of the rule in standard deviations of g; ratio is its variance over the smallest variance beside it."""
    h = np.minimum(1 / (SHARP * np.sqrt(1 + ratio)), COARSEST) / (1 + GROWTH * np.log(m))
    return np.maximum(h, FINEST) / fine


def cluster_log_likelihood(
    found: Cells, v: Array, start: Index, mechanism: str, mean: Array, tau2: Array, rho: Array, omega: Array,
    fine: float = 1.0, loop: Callable[..., Array] | None = None,
) -> Array:  # fmt: skip
    """(N,) log likelihood of estimates in clusters.

    Parameters
    ----------
    found
        Intervals of the estimates.
    v
        (k,) sampling variances.
    start
        (C + 1,) first row of each cluster.
    mechanism
        ``"conditional"``, ``"joint"`` or ``"best"``.
    mean
        (N, k) means in the direction of the p values.
    tau2, rho
        (N,) variance of true effects, and the share that clusters have in common.
    omega
        (N, J + 1) weights, 1 first.
    fine
        How many times as many nodes.
    loop
        `selection` or its compiled twin; None: by the size of the data.
    """
    N, k = mean.shape
    sizes = np.diff(start)
    alone = np.flatnonzero(sizes[np.repeat(np.arange(len(sizes)), sizes)] == 1)
    value = np.zeros(N)
    if len(alone):
        value += log_likelihood(found.rows(alone), mean[:, alone], v[alone] + tau2[:, None], omega)
    many = np.flatnonzero(sizes > 1)
    if not len(many):
        return value
    rows = np.flatnonzero(np.repeat(sizes, sizes) > 1)
    part, mean = found.rows(rows), mean[:, rows]
    first = np.concatenate([[0], np.cumsum(sizes[many])]).astype(np.intp)
    variance = v[rows] + ((1 - rho) * tau2)[:, None]
    shared = rho * tau2
    precision = np.add.reduceat(1 / variance, first[:-1], axis=1)
    tilt = np.add.reduceat((part.y - mean) / variance, first[:-1], axis=1)
    q = 1 + shared[:, None] * precision
    s2 = shared[:, None] / q
    value += normal_part(part, mean, variance) + 0.5 * (tilt * tilt * s2 - np.log(q)).sum(axis=1)
    logs = np.log(np.maximum(omega, 1e-300))
    if mechanism == "best":
        best = np.minimum.reduceat(part.cell, first[:-1])
        value += logs @ np.bincount(best, minlength=omega.shape[1])
    else:
        value += logs @ part.counts
    conditional = mechanism == "conditional"
    centre = s2 * tilt if conditional else np.zeros_like(s2)
    spread = np.sqrt(s2) if conditional else np.repeat(np.sqrt(shared)[:, None], len(many), axis=1)
    if loop is None:
        loop = selection
        if len(rows) >= COMPILED:
            from mixedfx.meta.averaging.cluster_kernel import selection as loop
    return value + loop(MECHANISM[mechanism], part, first, mean, variance, omega, centre, spread, fine)


def selection(
    mechanism: int, found: Cells, start: Index, mean: Array, variance: Array, omega: Array, centre: Array,
    spread: Array, fine: float,
) -> Array:  # fmt: skip
    """(N,) sum over clusters of the log of what selection divides by, with its sign."""
    out = np.zeros(len(mean))
    for c in range(len(start) - 1):
        rows = slice(start[c], start[c + 1])
        part = Cells(found.y[rows], found.cuts[rows], found.cell[rows], found.two_sided)
        m = int(start[c + 1] - start[c])
        d = variance[:, rows]
        ratio = spread[:, c] ** 2 / d.min(axis=1)
        h = step(ratio, m, fine)
        top, total = np.full(len(mean), -np.inf), np.zeros(len(mean))
        for side in (-1, 1):
            at, alive = (side - 1) // 2, np.arange(len(mean))
            while len(alive):
                z = h[alive] * at
                g = centre[alive, c] + spread[alive, c] * z
                logs = _integrand(mechanism, part, mean[alive, rows] + g[:, None], d[alive], omega[alive])
                logs = logs - 0.5 * z * z
                new = np.maximum(top[alive], logs)
                total[alive] = total[alive] * np.exp(top[alive] - new) + np.exp(logs - new)
                top[alive] = new
                size = np.abs(z)
                alive = alive[~(((size > FAR) & (logs < new - DEAD)) | (size > FARTHEST))]
                at += side
        integral = top + np.log(total * h / np.sqrt(2 * np.pi))
        out += integral if mechanism == 1 else -integral
    return out


def _integrand(mechanism: int, found: Cells, mean: Array, variance: Array, omega: Array) -> Array:
    T: Any = exceed(found, mean, np.sqrt(variance))
    if mechanism == 2:
        unseen = np.prod(np.maximum(1 - T, 0.0), axis=2).T
        weight = 1 + np.sum(np.diff(omega, axis=1) * unseen, axis=1)
        return np.log(np.maximum(weight, 1e-300))
    A = omega[:, -1:] + np.einsum("nj,jnk->nk", omega[:, :-1] - omega[:, 1:], T)
    logs = np.log(np.maximum(A, 1e-300)).sum(axis=1)
    return -logs if mechanism == 1 else logs
