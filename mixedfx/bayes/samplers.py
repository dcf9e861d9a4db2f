"""What `engine=` can be: every sampler under its name, and what a sampler has to have.

Samplers that integrate beta and u out, one that weights draws of them, those that run Stan programs, and any other
stand in one list, `SAMPLERS`; a new one is an entry there. What `mixedfx.bayes` accepts, offers, chooses and says in
messages, and what `mixedfx.load` reads, is taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mixedfx.bayes.collapsed.run_collapsed import Collapsed
from mixedfx.bayes.engines.base import Engine
from mixedfx.bayes.engines.cmdstan import CmdStan
from mixedfx.bayes.engines.run_stan import OnStan
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.bayes.importance.run_importance import Importance
from mixedfx.bayes.posterior.fit import PosteriorFit
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

    @property
    def way(self) -> str:
        """What it does, in words that end before "which cannot be done here"."""
        ...

    @property
    def compiles(self) -> bool:
        """Whether it compiles a program for a minute, to run threads within chains faster than others."""
        ...

    @property
    def courses(self) -> tuple[type, ...]:
        """Classes of `PosteriorFit.sampling` that it leaves (`mixedfx.bayes.course.Course`), for reading saved fits."""
        ...

    def available(self) -> str | None:
        """None if it can be used here; else the reason and, as its last line, the one command that installs it."""
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


SAMPLERS: dict[str, Sampler] = {
    sampler.name: sampler
    for sampler in (Collapsed("collapsed"), Collapsed("nuts"), Importance(), OnStan(Stanli()), OnStan(CmdStan()))
}
"""Every sampler under its name, in the order in which ``engine="auto"`` looks for one that can sample a model."""


PREFERRED = ("collapsed", "importance")
"""Samplers of independent draws, one after the other tried by ``engine="auto"`` before any chain."""


def stan_engines() -> dict[str, Engine]:
    """The engines that run Stan programs, by name."""
    return {name: sampler.engine for name, sampler in SAMPLERS.items() if isinstance(sampler, OnStan)}
