r"""Likelihood of estimates selected in clusters at many parameter values at once.

The likelihood is that of `mixedfx.meta.selection.clusters`, where mechanisms and the trapezoid rule are derived; there
one value of the parameters comes with derivatives and errors of 1e-12, here thousands come without, and to six digits,
which an evidence needs: nodes are fewer, and are added outwards until terms have died away. Clusters of one estimate
have the normaliser of N(mu, v + tau^2) under every mechanism.

Small data take `cluster_selection.selection`, which is NumPy, others its compiled twin.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfx.meta.averaging import cluster_selection
from mixedfx.meta.averaging.given import Cells, Index
from mixedfx.meta.averaging.weight_models import log_likelihood, normal_part
from mixedfx.meta.measure import Array

MECHANISM = {"joint": 0, "conditional": 1, "best": 2}
COMPILED = 12  # rows in clusters from which the compiled loop is worth its import


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
        NumPy or compiled; None: by the size of the data.
    """
    N = len(mean)
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
        loop = cluster_selection.selection
        if len(rows) >= COMPILED:
            from mixedfx.meta.averaging.cluster_kernel import selection as loop
    return value + loop(MECHANISM[mechanism], part, first, mean, variance, omega, centre, spread, fine)
