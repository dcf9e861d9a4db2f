"""How a Stan engine's chains went: what is looked at, what is worth a warning, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.concerns import CONVERGED, FEW_PER_CHAIN, SLOW_ENERGY, Concern, of_key, shown, upwards
from mixedfx.bayes.convergence import convergence, energy_mixing
from mixedfx.bayes.posterior.joint import JointDraws
from mixedfx.design.design import Design
from mixedfx.draws import Key
from mixedfx.errors import (
    ApproximationWarning,
    DivergenceWarning,
    EffectiveSizeWarning,
    EnergyWarning,
    RHatWarning,
    TreedepthWarning,
)

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

    @property
    def label(self) -> str:
        """How the draws were made, in a word or two."""
        return f"{self.method} ({self.engine})"

    @property
    def independent(self) -> bool:
        """Whether draws are independent."""
        return self.method != "nuts"

    @property
    def log_evidence(self) -> None:
        """None: chains on all parameters do not give the marginal likelihood."""
        return None

    def concerns(self, random: bool) -> tuple[Concern, ...]:
        """What speaks against the draws; `random` is whether there are random terms to give advice on."""
        return _concerns(self, random)

    def facts(self, n_draws: int) -> list[tuple[str, str]]:
        """What was done, and what was seen."""
        return _facts(self, n_draws)


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


def _closer(adapt_delta: float) -> float:
    """The next acceptance rate to try: halfway and a bit more to one."""
    return 0.95 if adapt_delta < 0.95 else round(1 - (1 - adapt_delta) / 5, 4)


def _concerns(s: StanSampling, random: bool) -> tuple[Concern, ...]:
    if s.method == "prior":
        return ()
    found: list[Concern] = []
    if s.method != "nuts":
        text = f"Draws by {s.method} are from an approximation of the posterior; use algorithm='nuts' in the end."
        return ((ApproximationWarning, text),)
    centred = ", or for centred=True where the data say much about each level" if random else ""
    if s.divergences:
        text = (
            f"{s.divergences} divergent transitions: the sampler left out parts of the posterior, and intervals may "
            f"be wrong. Ask for adapt_delta={_closer(s.adapt_delta)}; if they stay, give narrower priors"
            f"{' to the sds of the random terms, or another parametrisation (centred=)' if random else ''}."
        )
        found.append((DivergenceWarning, text))
    if s.r_hat > CONVERGED:
        text = (
            f"R-hat is {upwards(s.r_hat)} for {shown(s.worst[0])}, above {CONVERGED}: the chains disagree. Ask for a "
            f"longer warmup (warmup={2 * s.warmup}) and more draws{centred}; if that does not help, look for "
            "parameters that the data do not determine."
        )
        found.append((RHatWarning, text))
    least = FEW_PER_CHAIN * s.chains
    low = [(s.ess, "", s.worst[1]), (s.ess_tail, " in the tails", s.worst[2])]
    texts = [f"{ess:.0f} effective draws{where}{of_key(key)}" for ess, where, key in low if ess < least]
    if texts:
        found.append(
            (
                EffectiveSizeWarning,
                f"Only {' and '.join(texts)}, fewer than {FEW_PER_CHAIN} for each chain: means and quantiles are "
                f"rough. Ask for more draws (draws=){centred}.",
            )
        )
    slow = [value for value in s.energy if value < SLOW_ENERGY]
    if slow:
        text = (
            f"E-BFMI is {min(slow):.2f} in {len(slow)} of {s.chains} chains, below {SLOW_ENERGY}: the sampler hardly "
            "reaches the tails, as where a prior has a heavy tail or an sd is near zero. Give narrower priors"
            f"{', or another parametrisation (centred=)' if random else ''}."
        )
        found.append((EnergyWarning, text))
    if s.at_max_treedepth:
        text = (
            f"{s.at_max_treedepth} transitions were cut short at max_treedepth={s.max_treedepth}: the draws are right, "
            f"but fewer of them count. Ask for max_treedepth={s.max_treedepth + 2}, or rescale the predictors."
        )
        found.append((TreedepthWarning, text))
    return tuple(found)


def _facts(s: StanSampling, n_draws: int) -> list[tuple[str, str]]:
    engine = f"{s.engine} {s.version}"
    if s.method == "prior":
        return [("Method", f"draws from the prior by {engine}")]
    if s.method != "nuts":
        return [("Method", f"{s.method}, an approximation, by {engine}"), ("Work", f"{s.seconds:.2f} s")]
    facts = [("Method", f"NUTS on all parameters by {engine}")]
    if s.reason:
        facts.append(("Why", s.reason))
    facts += [
        ("Draws", f"{n_draws} in {s.chains} chains, after {s.warmup} iterations of warm-up each"),
        ("R-hat", f"{s.r_hat:.3f}, largest{of_key(s.worst[0])}; chains agree up to {CONVERGED}"),
        ("ESS", f"{s.ess:.0f}{of_key(s.worst[1])}, {s.ess_tail:.0f} in the tails{of_key(s.worst[2])}, smallest"),
        ("Divergences", str(s.divergences)),
        ("Tree depth", f"{s.at_max_treedepth} transitions at the largest depth, {s.max_treedepth}"),
    ]
    if s.energy and not np.isnan(s.energy).all():
        facts.append(("E-BFMI", f"{np.nanmin(s.energy):.2f}, smallest of the chains; fine above {SLOW_ENERGY}"))
    return [*facts, ("Work", f"{s.seconds:.2f} s")]
