r"""Evidence and draws where importance weights fail: NUTS, and bridge sampling for the evidence.

Half of the draws give a t distribution g for the bridge, the other half and as many draws of g estimate the evidence
by the fixed point of Meng and Wong (1996, Statistica Sinica 6:831): with l = density / g and shares s of either sample,

    Z = mean_g { l / (s_1 l + s_2 Z) } / mean_posterior { 1 / (s_1 l + s_2 Z) }.

Its relative error is that of Fruhwirth-Schnatter (2004, Econometrics Journal 7:143), the posterior's part with the
effective number of draws. Gradients are central differences: the coordinates are few.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from mixedfx.meta.averaging.importance_models import ImportanceModel
from mixedfx.meta.averaging.normal_models import Evidence
from mixedfx.meta.averaging.target import Target
from mixedfx.meta.measure import Array
from mixedfx.sampling import nuts
from mixedfx.sampling.importance import Proposal, at_mode

CHAINS, WARMUP, DRAWS = 4, 300, 500
STEP = 1e-4


class HasDensity(Protocol):
    """What has a log density at points."""

    def log_density(self, theta: Array, /) -> Array:
        """(n,) log densities of (n, d) points."""
        ...


def by_chains(model: ImportanceModel, seed: int, warmup: int = WARMUP, draws: int = DRAWS) -> ImportanceModel:
    """The model with draws and evidence of chains that begin at its weighted points."""
    target = model.target
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(model.points), CHAINS, p=model.weights)
    centre = model.weights @ model.points
    spread = model.points - centre
    covariance = (spread * model.weights[:, None]).T @ spread + 1e-4 * np.eye(len(centre))
    chains = nuts.sample(
        lambda x: with_gradient(target, x), model.points[chosen], covariance, warmup, draws, rng
    )  # fmt: skip
    first, second = chains.x[:, : draws // 2], chains.x[:, draws // 2 :]
    bridge = at_mode(*moments(first.reshape(-1, target.dim)))
    effective = effective_size(second)
    value, error = bridge_sampling(target, second.reshape(-1, target.dim), bridge, effective, rng)
    points = chains.x.reshape(-1, target.dim)
    evidence = Evidence(value, error, model.evidence.k_hat, "bridge sampling")
    return replace(model, evidence=evidence, points=points, weights=np.full(len(points), 1 / len(points)))


def with_gradient(target: Target, x: Array) -> tuple[Array, Array]:
    """Log density and its gradient at (m, d) points."""
    m, d = x.shape
    steps = STEP * np.eye(d)
    every = np.concatenate([x[None], x + steps[:, None], x - steps[:, None]]).reshape(-1, d)
    values = target.log_density(every).reshape(2 * d + 1, m)
    with np.errstate(invalid="ignore"):
        gradient = (values[1 : d + 1] - values[d + 1 :]).T / (2 * STEP)
    return values[0], np.where(np.isfinite(gradient), gradient, 0.0)


def moments(x: Array) -> tuple[Array, Array]:
    """Mean (d,) and covariance (d, d) of draws (n, d)."""
    return x.mean(axis=0), np.atleast_2d(np.cov(x.T)) + 1e-9 * np.eye(x.shape[1])


def effective_size(x: Array) -> float:
    """Smallest effective number of draws of the coordinates of (c, n, d) chains, by batch means."""
    c, n, d = x.shape
    size = max(1, int(np.sqrt(n)))
    used = x[:, : n // size * size].reshape(c, -1, size, d)
    between = size * used.mean(axis=2).reshape(-1, d).var(axis=0, ddof=1)
    return float(np.min(np.clip(x.reshape(-1, d).var(axis=0) / np.maximum(between, 1e-300), 1e-3, 1.0)) * c * n)


def bridge_sampling(
    target: HasDensity, x: Array, bridge: Proposal, effective: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Log evidence and its relative error from draws (n, d) of the posterior."""
    n = len(x)
    drawn = bridge.draw(rng, n)
    with np.errstate(all="ignore"):
        posterior = target.log_density(x) - bridge.log_density(x)
        proposed = target.log_density(drawn) - bridge.log_density(drawn)
    shift = float(np.median(posterior))
    l1, l2 = np.exp(posterior - shift), np.exp(np.where(np.isfinite(proposed), proposed, -np.inf) - shift)
    s1 = effective / (effective + n)
    s2 = 1 - s1
    Z = 1.0
    for _ in range(500):
        new = float(np.mean(l2 / (s1 * l2 + s2 * Z)) / np.mean(1 / (s1 * l1 + s2 * Z)))
        if abs(new / Z - 1) < 1e-10:
            break
        Z = new
    f1, f2 = 1 / (s1 * l1 / Z + s2), (l2 / Z) / (s1 * l2 / Z + s2)
    error2 = f2.var() / f2.mean() ** 2 / n + f1.var() / f1.mean() ** 2 / effective
    return float(np.log(Z) + shift), float(np.sqrt(error2))
