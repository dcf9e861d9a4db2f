"""Sampling of generalised linear mixed models by importance, without Markov chains.

It takes every family with one linear predictor and a density whose derivatives it knows; `obstacle` says what is in the
way of a model, and the engine (`mixedfx.bayes.importance.engine`) refuses where its weights cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mixedfx.bayes.collapsed.engine import check_memory
from mixedfx.bayes.importance.engine import ImportanceSettings, sample
from mixedfx.bayes.importance.importance_course import ImportanceSampling
from mixedfx.bayes.importance.target import build_target
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.priors.auxiliary import AUXILIARY
from mixedfx.priors.joint import Decov, Share
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.progress import Progress


class Importance:
    """The sampler; see `mixedfx.bayes.samplers.Sampler`."""

    name = "importance"
    options = ("proposals", "progress", "cores", "k_hat", "max_coordinates")
    algorithms = ()
    warmup = 1
    way = "weights draws around the modes of the random effects"
    compiles = False
    courses = (ImportanceSampling,)

    def available(self) -> str | None:
        """None: it is always there."""
        return None

    def obstacle(self, design: Design, family: Family, priors: ResolvedPriors) -> str:
        """Why a model cannot be sampled; empty where it can be tried."""
        return obstacle(design, family, priors)

    def sample(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, chains: int,
        warmup: int, seed: int, options: Mapping[str, Any],
    ) -> PosteriorFit:  # fmt: skip
        """Sample the posterior."""
        known = {field.name for field in fields(ImportanceSettings)}
        settings = ImportanceSettings(**{name: value for name, value in options.items() if name in known})
        check_memory(2 * draws, design.n_random + len(design.fixed_names) + 2)
        with Progress(options.get("progress")) as line:
            target = build_target(design, family, priors)
            found = sample(
                target, draws, np.random.default_rng(seed), settings,
                lambda stage, done, total: line(done, total, what=stage),
            )  # fmt: skip
        return PosteriorFit(design, family, priors, target.joint(found.psi, found.u), found.sampling, chains, seed)

    def sample_prior(
        self, design: Design, family: Family, priors: ResolvedPriors, *, reason: str, draws: int, seed: int
    ) -> PosteriorFit:
        """Draw from the prior, independently."""
        check_memory(draws, design.n_random + len(design.fixed_names) + 2)
        joint = prior_draws(design, family, priors, draws, np.random.default_rng(seed))
        nothing = ImportanceSampling(np.nan, float(draws), 0, draws, 0, np.nan, 0, 0.0, 0, 0, method="prior")
        return PosteriorFit(design, family, priors, joint, nothing, 1, seed)


def obstacle(design: Design, family: Family, priors: ResolvedPriors) -> str:
    """Why a model cannot be sampled; empty where it can be tried."""
    if family.linear_gaussian:
        return "the model is Gaussian, whose random effects integrate out"
    if family.categories:
        return f"the family is {family.name}"
    if design.zero is not None:
        return f"the family is {family.name}, whose rows have two linear predictors"
    if not design.random:
        return "the formula has no random terms"
    if design.known_covariance is not None:
        return "the sampling errors of V are correlated"
    if any(term.relation is not None for term in design.random):
        return "levels of a grouping factor have known correlations"
    if priors.sparse is not None:
        return f"the {priors.sparse.name} prior is one of many scales together"
    if any(isinstance(sd, Share) for term in priors.terms if not isinstance(term.sd, Decov) for sd in term.sd):
        return "an sd shares a prior with others"
    if any(AUXILIARY[name].bounded for name in priors.auxiliary):
        return "an auxiliary parameter has two bounds"
    if "sigma" in priors.auxiliary and any(isinstance(term.sd, Decov) for term in priors.terms):
        return "decov() counts in sigmas, and sigma is not the residual of the linear predictor"
    return ""


def prior_draws(
    design: Design, family: Family, priors: ResolvedPriors, n: int, rng: np.random.Generator
) -> JointDraws:  # fmt: skip
    """Draws of everything from a proper prior."""
    target, names = build_target(design, family, priors), design.fixed_names
    beta = np.stack([prior.draw(rng, n) for prior in priors.coefficients], axis=1) if names else np.zeros((n, 0))  # type: ignore[union-attr]
    if "Intercept" in names:
        beta[:, names.index("Intercept")] -= beta @ priors.centring
    phi = target.coordinates.draw_prior(rng, n)
    at = target.coordinates.variances(phi)
    factors = tuple(at.factors(t) for t in range(len(design.random)))
    auxiliary = {}
    for name, prior in priors.auxiliary.items():
        least, values = AUXILIARY[name].bounds[0], prior.draw(rng, n, positive=True)
        while (low := values <= least).any():
            values[low] = prior.draw(rng, int(low.sum()), positive=True)
        auxiliary[name] = values
    blank = Predictor(beta, np.zeros((n, design.n_random)), factors)
    return JointDraws((blank,), auxiliary).with_new_groups(design, rng)
