"""Sampling with beta and u integrated out: importance sampling and NUTS on the variance parameters.

Both take Gaussian models with random terms whose priors are normal given scales; `obstacle` says what is in the way of
a model. The numbers are in `mixedfx.bayes.collapsed.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mixedfx.bayes.collapsed import collapsed
from mixedfx.bayes.collapsed.engine import EngineSettings, check_memory, sample
from mixedfx.bayes.collapsed.exact_course import Sampling
from mixedfx.bayes.collapsed.prior_draws import prior_sample
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.linalg.threads import blas_threads
from mixedfx.priors.joint import Decov
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.progress import Progress
from mixedfx.sampling.target import build_target


@dataclass(frozen=True)
class Collapsed:
    """A sampler of the collapsed posterior; see `mixedfx.bayes.samplers.Sampler`.

    Attributes
    ----------
    name
        ``"collapsed"``: importance sampling where it can be trusted, else NUTS. ``"nuts"``: NUTS at once.
    """

    name: str
    options = (
        "proposals", "progress", "cores", "threads", "k_hat", "max_coordinates", "start", "adapt_delta",
        "max_treedepth",
    )  # fmt: skip
    algorithms = ()
    warmup = 300
    way = "integrates beta and u out exactly"
    compiles = False
    courses = (Sampling,)

    def available(self) -> str | None:
        """None: it is always there."""
        return None

    def obstacle(self, design: Design, family: Family, priors: ResolvedPriors) -> str:
        """Why beta and u of a model cannot be integrated out; empty where they can."""
        return obstacle(design, family, priors)

    def sample(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, chains: int,
        warmup: int, seed: int, options: Mapping[str, Any],
    ) -> PosteriorFit:  # fmt: skip
        """Sample the posterior."""
        known = {field.name for field in fields(EngineSettings)}
        settings = EngineSettings(**{name: value for name, value in options.items() if name in known})
        threads = nullcontext() if options.get("threads") is None else blas_threads(0, options["threads"])
        with threads, Progress(options.get("progress")) as line:

            def report(stage: str, done: int, total: int) -> None:
                line(done, total, what=stage)

            target = build_target(design, priors)
            found = sample(target, draws, chains, warmup, np.random.default_rng(seed), self.name, settings, report)
            joint, part = collapsed.joint_draws(target, found)
        transitions = found.transitions
        return PosteriorFit(
            design, family, priors, joint, found.sampling, chains, seed, part, transitions=transitions
        )  # fmt: skip

    def sample_prior(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, seed: int
    ) -> PosteriorFit:
        """Draw from the prior, independently."""
        target = build_target(design, priors)
        check_memory(draws, design.n_random + len(design.fixed_names) + target.size)
        found = prior_sample(target, draws, np.random.default_rng(seed))
        joint, part = collapsed.joint_draws(target, found)
        return PosteriorFit(design, family, priors, joint, found.sampling, 1, seed, part)


def obstacle(design: Design, family: Family, priors: ResolvedPriors) -> str:
    """Why beta and u of a model cannot be integrated out; empty where they can."""
    if not family.linear_gaussian:
        return f"the family is {family.name}" + (f" with {family.link.name} link" if family.normal else "")
    if not design.random:
        return "the formula has no random terms"
    if not all(prior.exact for prior in priors.coefficients):
        return "a coefficient has a prior that is no normal or t distribution"
    sds = [sd for term in priors.terms if not isinstance(term.sd, Decov) for sd in term.sd]
    if not all(sd.exact for sd in sds):
        return "an sd has a prior that only Stan knows"
    if priors.sigma is not None and not priors.sigma.exact:
        return "sigma has a prior that only Stan knows"
    return ""
