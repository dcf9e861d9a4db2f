"""Fixed nodes that stand for what is not known of variance parameters: weighted points without a random number.

The points are a Sobol' sequence, its digits scrambled once and for all (Owen 1997, Annals of Statistics 25:1541), and
taken through the map of the importance sampler's proposal, which is adapted to its own weighted points a few times.
Weights are ratios of the density to that of the proposal, their tail smoothed; k-hat says
whether they can be trusted. Where it says no, the proposal is broadened and twice as many points are tried. As the
sequence is evenly spread, K points are worth several times as many random ones in the few dimensions there are, and
the same question always has the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.sampling.importance import RELIABLE, Proposal, refit, smooth

Array = NDArray[np.float64]

SCRAMBLING = 20260711  # seed of the scrambling: a part of the method, not of a question
EVEN = 0.6  # share of effective points at which a proposal needs no further round
FEWEST_EFFECTIVE, LEAST_SHARE = 10.0, 0.04  # effective points, and their share, that an answer needs
ROUNDS = 5
ATTEMPTS = 3  # with twice as many points each, before the weights are given up
BROADER = 1.3  # factor of the spread of a proposal after an attempt that failed
NEGLIGIBLE = 1e-4  # weight of all nodes together that are left out because theirs is small


@dataclass(frozen=True, eq=False)
class Nodes:
    """Weighted points of a density.

    Attributes
    ----------
    points
        (K, d) points.
    weights
        (K,) weights, sum 1.
    k_hat
        Shape of the tail of the weights before smoothing.
    ess
        Effective number of points, 1 / sum of squared weights.
    evaluations
        Evaluations of the density.
    """

    points: Array
    weights: Array
    k_hat: float
    ess: float
    evaluations: int

    @property
    def reliable(self) -> bool:
        """Whether the weights can be trusted, and are not those of a few points."""
        return self.k_hat <= RELIABLE and self.ess >= max(FEWEST_EFFECTIVE, LEAST_SHARE * len(self.points))


def evenly_spread(n: int, d: int, scrambling: int = SCRAMBLING) -> Array:
    """(n, d) numbers strictly between 0 and 1, n a power of two; the same at every call with the same scrambling."""
    from scipy.stats import qmc

    # SciPy before 1.15 knows the generator by another name
    generator: Any = {"rng" if "rng" in signature(qmc.Sobol).parameters else "seed": np.random.default_rng(scrambling)}
    points = qmc.Sobol(d, scramble=True, **generator).random(n)
    return np.clip(points, 2.0**-33, 1 - 2.0**-33)


def place_nodes(
    log_density: Callable[[Array], Array], proposal: Proposal, count: int, *, rounds: int = ROUNDS,
    attempts: int = ATTEMPTS, even: float = EVEN,
) -> Nodes:  # fmt: skip
    """Nodes of a density that may have long tails.

    Parameters
    ----------
    log_density
        Maps (n, d) points to (n,) log densities.
    proposal
        The first one, from mode and curvature.
    count
        Number of points, a power of two; those of negligible weight are left out of the answer.
    rounds
        Largest number of rounds that adapt the proposal, the last included.
    attempts
        Largest number of times that the points are doubled where k-hat is too large.
    even
        Share of effective points at which a proposal needs no further round.

    Returns
    -------
    Nodes
        Check `Nodes.reliable`.
    """
    best, evaluations = None, 0
    for attempt in range(attempts):
        n = count * 2**attempt
        uniform = evenly_spread(n, len(proposal.centre) + 2)
        for _ in range(rounds):
            points = proposal.place(uniform)
            with np.errstate(all="ignore"):  # where one point has all the weight
                weights, k_hat = smooth(log_density(points) - proposal.log_density(points))
            evaluations += n
            if not (np.isfinite(weights).all() and weights.any()):
                break
            found = Nodes(points, weights, k_hat, float(1 / np.sum(weights**2)), evaluations)
            if best is None or (found.reliable, found.ess) >= (best.reliable, best.ess):
                best = found
            if found.reliable and found.ess > even * n:
                break
            proposal = refit(proposal, points, weights, found.ess)
        if best is not None and best.reliable:
            break
        proposal = replace(proposal, scale=proposal.scale * BROADER)
    if best is None:
        return Nodes(proposal.centre[None], np.ones(1), np.inf, 1.0, evaluations)
    return replace(_without_negligible(best), evaluations=evaluations)


def _without_negligible(nodes: Nodes) -> Nodes:
    """The nodes but for those whose weights together are negligible."""
    order = np.argsort(nodes.weights)
    kept = np.sort(order[np.cumsum(nodes.weights[order]) > NEGLIGIBLE])
    weights = nodes.weights[kept]
    return replace(nodes, points=nodes.points[kept], weights=weights / weights.sum())
