"""How draws with beta and u integrated out were made: numbers, what speaks against them, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx.bayes.concerns import CONVERGED, FEW, SLOW_ENERGY, Concern, upwards
from mixedfx.errors import (
    DivergenceWarning,
    EffectiveSizeWarning,
    EnergyWarning,
    ImportanceWarning,
    ModeWarning,
    RHatWarning,
    TreedepthWarning,
)
from mixedfx.sampling.importance import RELIABLE

MISSED, SMALL_SHARE = 2.0, 0.01  # log mass that draws may lack near a mode; shares of modes that do not matter


@dataclass(frozen=True, eq=False)
class Sampling:
    """How draws were made, and how far they can be trusted.

    Attributes
    ----------
    method
        ``"importance"`` or ``"nuts"``.
    reason
        Why NUTS was used; empty for importance sampling.
    k_hat
        Shape of the tail of the importance weights; NaN where there are none.
    ess
        Effective number of draws: of the weights before resampling, or the smallest over the coordinates for NUTS.
    proposals
        Number of weighted points; 0 for NUTS.
    distinct
        Number of distinct (theta, sigma) among the draws kept.
    r_hat
        Largest R-hat over the coordinates; NaN for independent draws.
    divergences
        Divergent transitions of NUTS.
    evaluations
        Evaluations of the density, of all stages.
    seconds
        Time taken.
    log_evidence
        Log marginal likelihood and its Monte Carlo error; NaN for NUTS.
    modes
        Modes that matter.
    starts
        Points that the search for modes began at, the REML estimate among them.
    log_mass
        Log mass near each mode: by proposals that stand there, or by Laplace's approximation for NUTS.
    drawn
        Log mass near each mode that the draws stand for.
    mass_error
        Standard error of the largest of `log_mass`; infinite for Laplace's.
    at_max_treedepth
        Transitions of NUTS that were cut short.
    energy
        (chains,) E-BFMI of NUTS.
    """

    method: str
    reason: str
    k_hat: float
    ess: float
    proposals: int
    distinct: int
    r_hat: float
    divergences: int
    evaluations: int
    seconds: float
    log_evidence: tuple[float, float]
    modes: int
    starts: int = 0
    log_mass: tuple[float, ...] = ()
    drawn: tuple[float, ...] = ()
    mass_error: float = np.inf
    at_max_treedepth: int = 0
    energy: tuple[float, ...] = ()

    @property
    def engine(self) -> str:
        """The word of `engine=` for these draws."""
        return "nuts" if self.method == "nuts" else "collapsed"

    @property
    def label(self) -> str:
        """How the draws were made, in a word or two."""
        return self.method

    @property
    def independent(self) -> bool:
        """Whether draws are independent."""
        return self.method != "nuts"

    def concerns(self, random: bool) -> tuple[Concern, ...]:
        """What speaks against the draws; `random` plays no part, as there are always random terms."""
        return _concerns(self)

    def facts(self, n_draws: int) -> list[tuple[str, str]]:
        """What was done, and what was seen."""
        return _facts(self, n_draws)


def missed_mass(s: Sampling) -> float:
    """Logarithm of the ratio of mass near a mode to the mass that draws stand for there; 0 where they agree.

    Agreement is up to e^2 and three Monte Carlo errors, for a mode with more than a hundredth of the mass.
    """
    if s.method != "importance" or not s.log_mass:
        return 0.0
    mass, drawn = np.array(s.log_mass), np.array(s.drawn)
    matters = mass > np.logaddexp(np.logaddexp.reduce(mass), np.logaddexp.reduce(drawn)) + np.log(SMALL_SHARE)
    excess = np.where(matters, mass - drawn, -np.inf).max()
    return float(excess) if excess > MISSED + 3 * s.mass_error else 0.0


def _times(log_ratio: float) -> str:
    """How many times, in digits that can be read."""
    return f"{np.exp(log_ratio):.3g} times" if log_ratio < 15 else f"e^{log_ratio:.0f} times"


def _percentages(log_mass: tuple[float, ...]) -> str:
    """Shares of the whole, as text."""
    share = np.exp(np.array(log_mass) - np.logaddexp.reduce(log_mass))
    *first, last = (f"{value:.0%}" for value in share)
    return f"{', '.join(first)} and {last}" if first else last


def _way_out(s: Sampling) -> str:
    """Advice where chains do not go between modes."""
    if s.reason == "asked for":
        return "engine='collapsed' covers all modes at once, if its weights can be trusted; or give narrower priors."
    return "Give narrower priors."


def _modes(s: Sampling) -> str:
    """Where the starting points led."""
    if s.modes == 1:
        return f"one, to which all {s.starts} starting points lead, the REML estimate among them"
    return (
        f"{s.modes}, from {s.starts} starting points, the REML estimate among them, with {_percentages(s.log_mass)} of "
        f"the mass and {_percentages(s.drawn)} of the draws"
    )


def _concerns(s: Sampling) -> tuple[Concern, ...]:
    found: list[Concern] = []
    if s.method == "prior":
        return ()
    missed = missed_mass(s)
    if missed > 0:
        text = (
            f"Near one of the {s.starts} starting points lies {_times(missed)} the mass that the draws stand for "
            "there: they left out a part of the posterior. Ask for engine='nuts' or engine='stanli', or give narrower "
            "priors."
        )
        found.append((ModeWarning, text))
    elif s.method == "nuts" and s.modes > 1:
        text = (
            f"The posterior has {s.modes} modes, with about {_percentages(s.log_mass)} of its mass; chains hardly go "
            f"from one to another, and {_percentages(s.drawn)} of the draws are near them: intervals depend on where "
            f"chains began. {_way_out(s)}"
        )
        found.append((ModeWarning, text))
    if s.method == "importance" and s.k_hat > RELIABLE:
        text = f"k-hat is {s.k_hat:.2f}, above {RELIABLE}: a few draws dominate, and intervals may be wrong."
        found.append((ImportanceWarning, text))
    if s.method == "nuts" and s.r_hat > CONVERGED:
        text = (
            f"R-hat is {upwards(s.r_hat)}, above {CONVERGED}: the chains disagree; ask for more iterations (draws=, "
            "warmup=)."
        )
        found.append((RHatWarning, text))
    if s.divergences:
        text = f"{s.divergences} divergent transitions: NUTS could not follow the density everywhere."
        found.append((DivergenceWarning, text))
    slow = [value for value in s.energy if value < SLOW_ENERGY]
    if slow:
        text = (
            f"E-BFMI is {min(slow):.2f} in {len(slow)} of {len(s.energy)} chains, below {SLOW_ENERGY}: the sampler "
            "hardly reaches the tails, as where a prior has a heavy tail. Give narrower priors, or ask for more draws."
        )
        found.append((EnergyWarning, text))
    if s.at_max_treedepth:
        text = (
            f"{s.at_max_treedepth} transitions were cut short: the draws are right, but fewer of them count. Ask for a "
            "longer warmup (warmup=)."
        )
        found.append((TreedepthWarning, text))
    if s.ess < FEW:
        text = (
            f"Only {s.ess:.0f} effective draws of (theta, sigma): quantiles in the tails are rough; ask for more draws."
        )
        found.append((EffectiveSizeWarning, text))
    return tuple(found)


def _facts(s: Sampling, n_draws: int) -> list[tuple[str, str]]:
    if s.method == "prior":
        return [("Method", "independent draws from the prior")]
    facts: list[tuple[str, str]] = []
    if s.method == "importance":
        share = s.ess / s.proposals
        facts += [
            ("Method", "beta and u integrated out; (theta, sigma) by importance sampling; draws are independent"),
            ("k-hat", f"{s.k_hat:.2f}; weights can be trusted up to {RELIABLE}"),
            ("Weights", f"{s.ess:.0f} effective of {s.proposals} weighted points ({share:.0%})"),
            ("Draws", f"{n_draws}, with {s.distinct} distinct (theta, sigma), each with its own (beta, u)"),
        ]
    else:
        facts += [
            ("Method", "beta and u integrated out; (theta, sigma) by NUTS"),
            ("Why NUTS", s.reason),
            ("R-hat", f"{s.r_hat:.3f}, largest over the coordinates; chains agree up to {CONVERGED}"),
            ("ESS", f"{s.ess:.0f} effective of {n_draws} draws, smallest over the coordinates"),
            ("Divergences", str(s.divergences)),
        ]
    if s.starts:
        facts.append(("Modes", _modes(s)))
    return [*facts, ("Work", f"{s.evaluations} evaluations, {s.seconds:.2f} s")]
