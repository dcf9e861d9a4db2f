"""How a Stan engine's chains went: what is looked at, and what is worth a warning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.convergence import convergence, energy_mixing
from mixedfx.bayes.joint import JointDraws
from mixedfx.design.design import Design
from mixedfx.draws import Key

Array = NDArray[np.float64]

MOST_EFFECTS = 500  # random effects whose chains are looked at; of more, so many evenly spread ones


@dataclass(frozen=True, eq=False)
class StanSampling:
    """How draws were made by a Stan engine, and how far they can be trusted.

    Attributes
    ----------
    engine, version
        Engine and the version of it.
    method
        ``"nuts"``, another algorithm of the engine, or ``"prior"``.
    reason
        Why this engine was used.
    warmup
        Warm-up iterations of each chain.
    chains
        Number of chains.
    seconds
        Time taken, compilation included.
    divergences
        Divergent transitions over all chains.
    at_max_treedepth
        Transitions that stopped because they reached `max_treedepth`.
    max_treedepth, adapt_delta
        As NUTS ran.
    energy
        (chains,) E-BFMI.
    r_hat, ess, ess_tail
        Largest R-hat, smallest effective sample sizes of bulk and tails; NaN without chains.
    worst
        The quantities with these three.
    """

    engine: str
    version: str
    method: str
    reason: str
    warmup: int
    chains: int
    seconds: float
    divergences: int
    at_max_treedepth: int
    max_treedepth: int
    adapt_delta: float
    energy: tuple[float, ...]
    r_hat: float
    ess: float
    ess_tail: float
    worst: tuple[Key, Key, Key]
    k_hat: float = float("nan")


TRANSITIONS = {
    "lp": "lp",
    "energy": "energy",
    "diverging": "divergent",
    "tree_depth": "treedepth",
    "n_steps": "leapfrogs",
    "acceptance_rate": "acceptance",
}
"""ArviZ's name of what NUTS says of a transition -> that of an engine's `SamplerStats`."""


def transitions_of(sampler: Any) -> dict[str, Array]:
    """(D,) arrays of what the sampler says of each transition, chain by chain, under ArviZ's names."""
    return {name: np.asarray(getattr(sampler, own), dtype=np.float64).ravel() for name, own in TRANSITIONS.items()}


@dataclass(frozen=True, eq=False)
class Worst:
    """Largest R-hat and smallest effective sample sizes, each with its quantity."""

    r_hat: float
    bulk: float
    tail: float
    keys: tuple[Key, Key, Key]


def worst(joint: JointDraws, design: Design, chains: int) -> Worst:
    """Look for the quantity whose chains did worst.

    All parameters are looked at, and up to 500 random effects. Where chains are too short to tell, all draws count.
    """
    keys, values = joint.every(design)
    effects = sum(predictor.u.shape[1] for predictor in joint.predictors)
    head = len(keys) - effects
    at = np.arange(len(keys))
    if effects > MOST_EFFECTS:
        at = np.concatenate([at[:head], head + np.linspace(0, effects - 1, MOST_EFFECTS).astype(np.intp)])
    found = convergence(values[:, at].reshape(chains, -1, len(at)))
    if np.isnan(found.r_hat).all():
        return Worst(np.nan, float(joint.n_draws), float(joint.n_draws), ((), (), ()))
    places = (int(np.nanargmax(found.r_hat)), int(np.nanargmin(found.bulk)), int(np.nanargmin(found.tail)))
    where: tuple[Key, Key, Key] = (keys[at[places[0]]], keys[at[places[1]]], keys[at[places[2]]])
    return Worst(float(found.r_hat[places[0]]), float(found.bulk[places[1]]), float(found.tail[places[2]]), where)


def energies(energy: Array | None) -> tuple[float, ...]:
    """E-BFMI of each chain; nothing where there is no energy."""
    if energy is None or np.size(energy) == 0:
        return ()
    return tuple(float(value) for value in energy_mixing(np.asarray(energy, dtype=np.float64)))
