r"""True effects behind the estimates, given data and parameters, drawn or predicted.

Given the parameters and the effect g of its cluster a true effect is normal: with the mean m = mu + M beta + g, the
variance tau_w^2 = (1 - rho) tau^2 and an estimate e less its bias,

    theta | y ~ N(m + B (e - m), B v),    B = tau_w^2 / (v + tau_w^2).

Selection by p values changes nothing here, since the weight of an estimate that was seen does not depend on its true
effect. The effect of a cluster is normal too, N(m0, s^2) in the notation of `mixedfx.meta.selection.clusters`, except
under the mechanism "conditional", where it is divided by the probabilities of being seen, prod A_i(g): it is then drawn
from a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import special

from mixedfx.meta.averaging.cluster_selection import log_integrand
from mixedfx.meta.averaging.cluster_weights import MECHANISM
from mixedfx.meta.averaging.given import Cells, Given, cells
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.pooled import Pooled
from mixedfx.meta.measure import Array

GRID = np.linspace(-8.0, 8.0, 161)
# What selection divides by changes with a normal distribution function of g that is no steeper than g's own spread
NODES = GRID[::5]


def true_effects(
    given: Given, found: Sequence[Member], mechanism: str, at: Pooled, rows: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draws of the true effects of estimates (n, k) and of clusters' means (n, C), on the scale of the priors.

    A cluster's mean is that of its true effects in the long run, at its moderators' mean; C = 0 without clusters.

    Parameters
    ----------
    rows
        (n,) which draws of the parameters.
    """
    s, k = given.scale, given.k
    start = np.arange(k + 1) if given.start is None else given.start
    C = len(start) - 1
    mean = at.mu[rows, None] + at.moderators[rows] @ given.M.T
    bias = at.pet[rows, None] * given.bias_column("PET") + at.peese[rows, None] * given.bias_column("PEESE")
    residual = (given.y - bias) / s - mean
    v = given.v / s**2
    shared, within = at.rho[rows] * at.tau[rows] ** 2, (1 - at.rho[rows]) * at.tau[rows] ** 2
    g = np.zeros((len(rows), C))
    if given.start is not None:
        d = v + within[:, None]
        precision = np.add.reduceat(1 / d, start[:-1], axis=1)
        tilt = np.add.reduceat(residual / d, start[:-1], axis=1)
        s2 = shared[:, None] / (1 + shared[:, None] * precision)
        g = s2 * tilt + np.sqrt(s2) * rng.standard_normal(s2.shape)
        if mechanism == "conditional":
            for m in np.unique(at.model[rows]):
                if found[m].kind == "weights" and found[m].clustered:
                    mine = np.flatnonzero(at.model[rows] == m)
                    omega = at.own[m][rows[mine] - at.first[m]]
                    args = mean[mine], within[mine], (s2 * tilt)[mine], np.sqrt(s2)[mine]
                    g[mine] = _tilted(given, cells(given, found[m].bias.prior), omega, g[mine], rng, *args)
    m0 = mean + g[:, given.owner]
    share = within[:, None] / (v + within[:, None])
    theta = m0 + share * (residual - g[:, given.owner]) + np.sqrt(share * v) * rng.standard_normal(m0.shape)
    if given.start is None:
        return theta, np.zeros((len(rows), 0))
    sizes = np.diff(start)
    return theta, np.add.reduceat(mean, start[:-1], axis=1) / sizes + g


@cache
def _between() -> Array:
    """(nodes, grid) that makes values at the grid of values at the nodes, by a cubic spline."""
    from scipy.interpolate import CubicSpline

    return CubicSpline(NODES, np.eye(len(NODES)))(GRID).T


def _tilted(
    given: Given, found: Cells, omega: Array, g: Array, rng: np.random.Generator, mean: Array, within: Array,
    centre: Array, spread: Array,
) -> Array:  # fmt: skip
    """Effects of clusters of several estimates, each seen by its own p value."""
    assert given.start is not None
    s, out = given.scale, g.copy()
    for c in np.flatnonzero(np.diff(given.start) > 1):
        rows = slice(given.start[c], given.start[c + 1])
        part = found.rows(np.arange(given.k)[rows])
        variance = np.repeat(given.v[rows] + (s**2 * within)[:, None], len(NODES), axis=0)
        g_at = centre[:, c, None] + spread[:, c, None] * NODES
        at = given.sign * s * (mean[:, None, rows] + g_at[:, :, None]).reshape(len(variance), -1)
        tilt = log_integrand(MECHANISM["conditional"], part, at, variance, np.repeat(omega, len(NODES), axis=0))
        logs = tilt.reshape(len(mean), len(NODES)) @ _between() - 0.5 * GRID**2
        mass = np.exp(logs - logs.max(axis=1, keepdims=True))
        sums = np.cumsum((mass[:, 1:] + mass[:, :-1]) / 2, axis=1)
        wanted = rng.random(len(mean)) * sums[:, -1]
        at = np.minimum((sums < wanted[:, None]).sum(axis=1), sums.shape[1] - 1)
        line = np.arange(len(mean))
        before = np.where(at > 0, sums[line, at - 1], 0.0)
        piece = np.maximum(sums[line, at] - before, 1e-300)
        z = GRID[at] + (wanted - before) / piece * (GRID[1] - GRID[0])
        out[:, c] = centre[:, c] + spread[:, c] * z
    return out


def new_effects(at: Pooled, mean: Array) -> Array:
    """(N, n) quantile-spread draws of a new true effect around means (N, n): of a new estimate in a new cluster."""
    golden = np.arange(0.5, len(at.mu)) * 0.6180339887498949 % 1
    return mean + (at.tau * special.ndtri(golden))[:, None]
