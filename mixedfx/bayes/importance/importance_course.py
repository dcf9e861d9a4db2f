"""How draws with weighted random effects were made: numbers, what speaks against them, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx.bayes.concerns import FEW, Concern
from mixedfx.errors import EffectiveSizeWarning, ImportanceWarning
from mixedfx.sampling.importance import RELIABLE


@dataclass(frozen=True, eq=False)
class ImportanceSampling:
    """How draws were made, and how far they can be trusted.

    Attributes
    ----------
    k_hat
        Shape of the tail of the importance weights; NaN for draws from the prior.
    ess
        Effective number of draws, of the weights before resampling.
    proposals
        Number of weighted points.
    distinct
        Number of distinct points among the draws kept.
    points
        Points for each level of the largest grouping factor, in each draw.
    forecast
        Variance of the log weights given the parameters, as it was forecast.
    evaluations
        Evaluations of the density at one point, of all stages.
    seconds
        Time taken.
    modes, starts
        Modes that matter, and points that the search for them began at.
    log_evidence
        Log marginal likelihood and its Monte Carlo error; NaN for draws from the prior.
    method
        ``"importance"``, or ``"prior"``.
    """

    k_hat: float
    ess: float
    proposals: int
    distinct: int
    points: int
    forecast: float
    evaluations: int
    seconds: float
    modes: int
    starts: int
    log_evidence: tuple[float, float] = (np.nan, np.nan)
    method: str = "importance"

    @property
    def engine(self) -> str:
        """The word of `engine=` for these draws."""
        return "importance"

    @property
    def label(self) -> str:
        """How the draws were made, in a word."""
        return self.method

    @property
    def independent(self) -> bool:
        """True."""
        return True

    @property
    def r_hat(self) -> float:
        """NaN: there are no chains."""
        return np.nan

    @property
    def divergences(self) -> int:
        """None diverge, as there are no chains."""
        return 0

    def concerns(self, random: bool) -> tuple[Concern, ...]:
        """What speaks against the draws."""
        found: list[Concern] = []
        if self.k_hat > RELIABLE:
            text = f"k-hat is {self.k_hat:.2f}, above {RELIABLE}: a few draws dominate, and intervals may be wrong."
            found.append((ImportanceWarning, text))
        if self.method != "prior" and self.ess < FEW:
            text = f"Only {self.ess:.0f} effective draws: quantiles in the tails are rough; ask for more draws."
            found.append((EffectiveSizeWarning, text))
        return tuple(found)

    def facts(self, n_draws: int) -> list[tuple[str, str]]:
        """What was done, and what was seen."""
        if self.method == "prior":
            return [("Method", "independent draws from the prior")]
        share = self.ess / self.proposals
        return [
            ("Method", "all parameters by importance sampling, random effects around their modes; draws are exact"),
            ("k-hat", f"{self.k_hat:.2f}; weights can be trusted up to {RELIABLE}"),
            ("Forecast", f"log weights of variance {self.forecast:.2g} given parameters; {self.points} points a level"),
            ("Weights", f"{self.ess:.0f} effective of {self.proposals} weighted points ({share:.0%})"),
            ("Draws", f"{n_draws}, {self.distinct} of them distinct"),
            ("Modes", f"{self.modes}, from {self.starts} starting points"),
            ("Work", f"{self.evaluations} evaluations, {self.seconds:.2f} s"),
        ]  # fmt: skip
