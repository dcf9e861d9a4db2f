"""The models of an ensemble: which hypothesis each has of every component, its parameters and prior probability."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixedfx.errors import OptionError
from mixedfx.meta.averaging.gaussian import Coefficients, mean_prior
from mixedfx.meta.averaging.given import Given
from mixedfx.priors.bias import PEESE, PET, NoBias, Weights
from mixedfx.priors.bounded import Spike
from mixedfx.priors.ensembles import Ensemble, Option
from mixedfx.priors.marginal import Marginal, marginal

COMPONENTS = ("effect", "heterogeneity", "hierarchical", "bias")


@dataclass(frozen=True, eq=False)
class Member:
    """One model.

    Attributes
    ----------
    effect, heterogeneity, bias
        Its hypotheses.
    hierarchical
        That of rho; None without clusters or where tau is 0.
    moderators
        Hypothesis of each moderator, in the order of the data.
    coefficients
        Mean and moderators as the integrals take them.
    prior
        Prior probability.
    """

    effect: Option
    heterogeneity: Option
    hierarchical: Option | None
    bias: Option
    moderators: tuple[Option, ...]
    coefficients: Coefficients
    prior: float

    @property
    def kind(self) -> str:
        """``"none"``, ``"weights"``, ``"PET"`` or ``"PEESE"``."""
        return {NoBias: "none", Weights: "weights", PET: "PET", PEESE: "PEESE"}[type(self.bias.prior)]

    @cached_property
    def tau(self) -> Marginal | float:
        """Prior of tau, or its value."""
        return known_or(self.heterogeneity.prior, 0.0, np.inf)

    @cached_property
    def rho(self) -> Marginal | float:
        """Prior of rho, or its value; 0 where nothing is shared."""
        return 0.0 if self.hierarchical is None else known_or(self.hierarchical.prior, 0.0, 1.0)

    @cached_property
    def slope(self) -> Marginal | None:
        """Prior of PET or PEESE."""
        return marginal(self.bias.prior.prior, 0.0) if self.kind in ("PET", "PEESE") else None

    @property
    def clustered(self) -> bool:
        """Whether estimates of a cluster may share an effect."""
        return isinstance(self.rho, Marginal) or self.rho > 0

    def alternative(self, component: str) -> bool | None:
        """Whether a component is present; None where the model says nothing of it."""
        found: Any = getattr(self, component) if component in COMPONENTS else None
        return None if found is None else not found.null


def known_or(prior: Any, lower: float, upper: float) -> Marginal | float:
    """The prior of a parameter, or the value of a spike."""
    return float(prior.at) if isinstance(prior, Spike) else marginal(prior, lower, upper)


def members(ensemble: Ensemble, given: Given) -> tuple[Member, ...]:
    """Every model of an ensemble that the data tell apart, with prior probabilities that sum to 1.

    Without clusters, and where tau is 0, the hypotheses of rho are one: such models appear once, with the probability
    of all of them.
    """
    per_moderator = [_moderator_options(ensemble, m) for m in given.moderators]
    if ensemble.models:
        whole = [(m.effect, m.heterogeneity, m.hierarchical, m.bias, m.odds) for m in ensemble.models]
    else:
        parts = (ensemble.effect, ensemble.heterogeneity, ensemble.hierarchical, ensemble.bias)
        whole = [
            (e, h, r, b, e.odds * h.odds * b.odds * r.odds / sum(one.odds for one in ensemble.hierarchical))
            for e, h, b, r in itertools.product(parts[0], parts[1], parts[3], parts[2])
        ]
    merged: dict[tuple[Any, ...], float] = {}
    for effect, heterogeneity, shared, bias, odds in whole:
        for moderators in itertools.product(*per_moderator):
            share = given.start is not None and not _none(heterogeneity.prior)
            key = (effect, heterogeneity, shared if share else None, bias, moderators)
            weight = odds * float(np.prod([one.odds for one in moderators]))
            if key in merged and ensemble.models:
                raise OptionError("two of the models are the same", hint="Give one of them the odds of both.")
            merged[key] = merged.get(key, 0.0) + weight
    total = sum(merged.values())
    return tuple(
        Member(effect, tau, shared, bias, others, _coefficients(effect, others, given), weight / total)
        for (effect, tau, shared, bias, others), weight in merged.items()
    )


def _none(prior: Any) -> bool:
    return isinstance(prior, Spike) and prior.at == 0


def _moderator_options(ensemble: Ensemble, moderator: Any) -> tuple[Option, ...]:
    default = ensemble.factors if moderator.factor else ensemble.covariates
    return ensemble.moderators.get(moderator.name, default)


def _coefficients(effect: Option, moderators: tuple[Option, ...], given: Given) -> Coefficients:
    columns: list[int] = []
    sds: list[float] = []
    for one, moderator in zip(moderators, given.moderators, strict=True):
        if not isinstance(one.prior, Spike):
            columns += moderator.columns
            sds += [one.prior.scale] * len(moderator.columns)
    return Coefficients(mean_prior(effect.prior), tuple(columns), tuple(sds))
