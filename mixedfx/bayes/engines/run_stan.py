"""Sampling by a Stan engine: shape, text, data, draws, names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx.bayes.collapsed.engine import check_memory
from mixedfx.bayes.engines.base import LARGEST_SEED, Engine, Settings, require
from mixedfx.bayes.engines.stan_course import StanSampling, energies, transitions_of, worst
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.joint import JointDraws
from mixedfx.bayes.posterior.two_part_fit import posterior_fit
from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.priors.resolve import ResolvedPriors


@dataclass(frozen=True)
class OnStan:
    """The sampler that has a Stan engine run the program of a model; see `mixedfx.bayes.samplers.Sampler`."""

    engine: Engine
    warmup = 1000
    way = "samples all parameters by a Stan program"
    courses = (StanSampling,)

    @property
    def name(self) -> str:
        """That of the engine."""
        return self.engine.name

    @property
    def options(self) -> tuple[str, ...]:
        """Those of the engine."""
        return self.engine.options

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those of the engine."""
        return self.engine.algorithms

    @property
    def compiles(self) -> bool:
        """As the engine does."""
        return self.engine.compiles

    def available(self) -> str | None:
        """As the engine says."""
        return self.engine.available()

    def obstacle(self, design: Design, family: Family, priors: ResolvedPriors) -> str:
        """Why there is no program for a model; empty where there is one."""
        return "the sampling errors of V are correlated" if design.known_covariance is not None else ""

    def sample(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, chains: int,
        warmup: int, seed: int, options: Mapping[str, Any],
    ) -> PosteriorFit:  # fmt: skip
        """Sample the posterior."""
        return stan_fit(
            design, family, priors, self.engine, reason, draws=draws, chains=chains, warmup=warmup, seed=seed,
            options=options,
        )  # fmt: skip

    def sample_prior(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, seed: int
    ) -> PosteriorFit:
        """Sample the prior: four chains on the program without its likelihood."""
        draws += -draws % 4
        return stan_fit(
            design, family, priors, self.engine, reason, draws=draws, chains=4, warmup=500, seed=seed,
            options={"progress": False}, prior_only=True,
        )  # fmt: skip


HIGHER = 0.95  # acceptance rate of chains of multilevel models of yes/no answers


def stan_fit(
    design: Design,
    family: Family,
    priors: ResolvedPriors,
    engine: Engine,
    reason: str,
    *,
    draws: int,
    chains: int,
    warmup: int,
    seed: int,
    options: Mapping[str, Any],
    prior_only: bool = False,
) -> PosteriorFit:
    """Sample a model with a Stan engine.

    Parameters
    ----------
    design, family, priors
        The model.
    engine, reason
        The engine, and why it was chosen; empty where it was asked for.
    draws, chains, warmup, seed
        As in `mixedfx.bayes`.
    options
        Options of the engine.
    prior_only
        Whether to leave the likelihood out.
    """
    from mixedfx.bayes.stan.data import program_data
    from mixedfx.bayes.stan.parameters import joint_draws, variables
    from mixedfx.bayes.stan.program import program_text
    from mixedfx.bayes.stan.shape import model_shape

    options = dict(options)
    shape = model_shape(
        design, family, priors, centred=options.pop("centred", False), threads=options.get("threads", 1)
    )
    predictors = len(design.categories or ()) if shape.nominal else 1
    width = sum(one.n_random + len(one.fixed_names) for one in design.of_predictors(predictors))
    check_memory(draws, 2 * width + 10)
    require(engine)
    if higher_acceptance(design, family):
        options.setdefault("adapt_delta", HIGHER)
    settings = Settings(seed=seed % (LARGEST_SEED + 1), chains=chains, warmup=warmup, draws=draws, **options)
    data = program_data(design, family, priors, shape, prior_only=prior_only)
    found = engine.sample(program_text(shape), data, settings, variables(shape))
    joint = joint_draws(found.variables, design, family, priors, shape)
    method = "prior" if prior_only else found.algorithm
    sampling = _sampling(joint, design, found, settings, method, reason)
    transitions = transitions_of(found.sampler) if method == "nuts" else None
    kind = posterior_fit(design)
    return kind(design, family, priors, joint, sampling, chains, seed, transitions=transitions)


def higher_acceptance(design: Design, family: Family) -> bool:
    """Whether chains take smaller steps by default: answers of two values say little of each level's variance.

    The posterior of a standard deviation then reaches zero, where the funnel of its effects is narrow (as rstanarm,
    whose default it is).
    """
    yes_or_no = design if family.outcome in ("binary", "trials") else design.zero
    return yes_or_no is not None and bool(yes_or_no.random)


def _sampling(joint: JointDraws, design: Design, found: Any, settings: Any, method: str, reason: str) -> StanSampling:
    """What the chains left behind, looked through."""
    looked = worst(joint, design, settings.chains) if method == "nuts" else None
    stats = found.sampler
    return StanSampling(
        engine=found.engine,
        version=found.version,
        method=method,
        reason=reason,
        warmup=settings.warmup,
        chains=settings.chains,
        seconds=found.seconds,
        divergences=int(np.sum(stats.divergent)),
        at_max_treedepth=int(np.sum(stats.treedepth >= stats.max_treedepth)) if method == "nuts" else 0,
        max_treedepth=settings.max_treedepth,
        adapt_delta=settings.adapt_delta,
        energy=energies(stats.energy) if method == "nuts" else (),
        r_hat=np.nan if looked is None else looked.r_hat,
        ess=float(joint.n_draws) if looked is None else looked.bulk,
        ess_tail=float(joint.n_draws) if looked is None else looked.tail,
        worst=((), (), ()) if looked is None else looked.keys,
    )
