"""What every sampler leaves of how its draws were made: a few numbers, what speaks against the draws, and its words."""

from __future__ import annotations

from typing import Protocol

from mixedfx.bayes.concerns import Concern


class Course(Protocol):
    """How draws were made, and how far they can be trusted; a frozen dataclass of plain values, which files hold."""

    @property
    def engine(self) -> str:
        """Who made them."""
        ...

    @property
    def method(self) -> str:
        """By which algorithm; ``"prior"`` for draws from the prior."""
        ...

    @property
    def label(self) -> str:
        """How they were made, in a word or two."""
        ...

    @property
    def independent(self) -> bool:
        """Whether draws are independent; else there are `ess` effective ones."""
        ...

    @property
    def ess(self) -> float:
        """Smallest effective number of draws; NaN where it is not known."""
        ...

    @property
    def r_hat(self) -> float:
        """Largest R-hat; NaN without chains."""
        ...

    @property
    def k_hat(self) -> float:
        """Shape of the tail of importance weights; NaN where there are none."""
        ...

    @property
    def divergences(self) -> int:
        """Divergent transitions."""
        ...

    @property
    def log_evidence(self) -> tuple[float, float] | None:
        """Log marginal likelihood and its Monte Carlo error; None where the sampler never has them, NaN for these."""
        ...

    def concerns(self, random: bool) -> tuple[Concern, ...]:
        """What speaks against the draws, with the class of its warning; `random`: whether there are random terms."""
        ...

    def facts(self, n_draws: int) -> list[tuple[str, str]]:
        """What was done and what was seen, heading and text, for `PosteriorFit.diagnostics`."""
        ...
