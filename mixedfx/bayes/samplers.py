"""What `engine=` can be: every sampler under its name, and what a sampler has to have.

The two that integrate beta and u out are listed here; those that run Stan programs come from
`mixedfx.bayes.engines.registry`, where each is one line. Nothing else lists engines, their options or algorithms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mixedfx.bayes.engines.registry import ENGINES
from mixedfx.bayes.fit import PosteriorFit
from mixedfx.bayes.run_collapsed import Collapsed
from mixedfx.bayes.run_stan import OnStan
from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.priors.resolve import ResolvedPriors


class Sampler(Protocol):
    """The members of a sampler."""

    @property
    def name(self) -> str:
        """The word that chooses it."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """Arguments of `mixedfx.bayes` that it takes besides draws, chains, warmup and seed."""
        ...

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What `algorithm` can be, where it is one of its options."""
        ...

    @property
    def warmup(self) -> int:
        """Warm-up iterations of each chain where nothing else is asked for."""
        ...

    def obstacle(self, design: Design, family: Family, priors: ResolvedPriors) -> str:
        """Why it cannot sample a model; empty where it can."""
        ...

    def sample(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, chains: int,
        warmup: int, seed: int, options: Mapping[str, Any],
    ) -> PosteriorFit:  # fmt: skip
        """Sample the posterior.

        Parameters
        ----------
        design, family, priors
            The model.
        reason
            Why this sampler was chosen; empty where it was asked for.
        draws, chains, warmup, seed
            As in `mixedfx.bayes`; `draws` is a multiple of `chains`.
        options
            Those that were given, by name.
        """
        ...

    def sample_prior(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, seed: int
    ) -> PosteriorFit:
        """Sample the prior; arguments as in `sample`."""
        ...


EXACT: dict[str, Sampler] = {sampler.name: sampler for sampler in (Collapsed("collapsed"), Collapsed("nuts"))}
"""Samplers with beta and u integrated out; the first is chosen wherever it can sample the model."""


def samplers() -> dict[str, Sampler]:
    """Every sampler under its name: the exact ones first, then the Stan engines in the order of their registry."""
    return {**EXACT, **{name: OnStan(engine) for name, engine in ENGINES.items()}}
