r"""What selection divides the likelihood of clusters by, at many parameter values, in NumPy; and its nodes.

The trapezoid rule of `mixedfx.meta.selection.clusters` with steps for six digits: nodes are added outwards until terms
have died away. `cluster_kernel.py` has the compiled twin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx.meta.averaging.given import Cells, Index
from mixedfx.meta.averaging.weight_models import exceed
from mixedfx.meta.measure import Array

SHARP, COARSEST, GROWTH = 1.0, 0.75, 0.35  # of the step: see `step`
FINEST = 0.03  # where tau is thirty standard errors: normal probabilities are steps there
FAR, DEAD = 5.7, 17.0  # standard deviations within which all terms are taken, logs below the top of those left out
FARTHEST = 40.0


def step(ratio: Array, m: Array | int, fine: float) -> Array:
    """Step of the rule in standard deviations of g; ratio is its variance over the smallest variance beside it."""
    h = np.minimum(1 / (SHARP * np.sqrt(1 + ratio)), COARSEST) / (1 + GROWTH * np.log(m))
    return np.maximum(h, FINEST) / fine


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
                logs = log_integrand(mechanism, part, mean[alive, rows] + g[:, None], d[alive], omega[alive])
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


def log_integrand(mechanism: int, found: Cells, mean: Array, variance: Array, omega: Array) -> Array:
    """(N,) log of what is integrated beside the normal density, at means and variances (N, m) given g."""
    T: Any = exceed(found, mean, np.sqrt(variance))
    if mechanism == 2:
        unseen = np.prod(np.maximum(1 - T, 0.0), axis=2).T
        weight = 1 + np.sum(np.diff(omega, axis=1) * unseen, axis=1)
        return np.log(np.maximum(weight, 1e-300))
    A = omega[:, -1:] + np.einsum("nj,jnk->nk", omega[:, :-1] - omega[:, 1:], T)
    logs = np.log(np.maximum(A, 1e-300)).sum(axis=1)
    return -logs if mechanism == 1 else logs
