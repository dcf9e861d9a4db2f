"""Ensembles of meta-analytic models: for each component hypotheses with priors and odds, and the named sets.

A component is the mean effect, heterogeneity, how much of it clusters share (hierarchical), publication bias, or a
moderator. Its hypotheses are priors; a spike is a null hypothesis and everything else an alternative, unless `option`
says otherwise. The ensemble holds every combination, with prior probability in proportion to the product of its odds
(Gronau, Heck, Berkhout, Haaf and Wagenmakers 2021, Advances in Methods and Practices in Psychological Science 4(3)), or
the models that are listed one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np

from mixedfx.errors import ImproperPosteriorError, OptionError, check_option
from mixedfx.priors.bias import PEESE, PET, Bias, NoBias, Weights
from mixedfx.priors.bounded import Beta, Proper, Spike, Truncated, Uniform
from mixedfx.priors.construct import half_cauchy, half_normal, inv_gamma, normal
from mixedfx.priors.location import Flat, Normal, StudentT
from mixedfx.priors.marginal import marginal
from mixedfx.priors.positive import Exponential, Gamma, InverseGamma

MEAN_PRIORS = (Spike, Normal, StudentT, Uniform)
POSITIVE_PRIORS = (Spike, Normal, StudentT, Uniform, Exponential, Gamma, InverseGamma, Beta)
UNIT_SD = {"SMD": np.sqrt(2.0), "ZCOR": 1.0, "OR": 2.0, "RR": 2.0, "HR": 2.0, "IRR": 2.0}
BIAS_SETS = ("none", "PSMA", "PP", "2w", "6w")
Direction = Literal["positive", "negative", "detect"]


@dataclass(frozen=True)
class Option:
    """One hypothesis of a component.

    Attributes
    ----------
    prior
        What it says of the parameter.
    odds
        Its prior odds among those of the component.
    null
        Whether it is one of those that say that the component is absent.
    """

    prior: Any
    odds: float = 1.0
    null: bool = False

    def __str__(self) -> str:
        return str(self.prior)


@dataclass(frozen=True)
class ModelPrior:
    """One listed model; see `mixedfx.priors.model`."""

    effect: Option
    heterogeneity: Option
    bias: Option
    hierarchical: Option
    odds: float


@dataclass(frozen=True)
class Ensemble:
    """Hypotheses of every component; see `mixedfx.priors.ensemble`.

    Attributes
    ----------
    effect, heterogeneity, hierarchical, bias
        Options of each.
    covariates, factors
        Options of the coefficients of a standardised covariate, and of a factor's deviations from the mean.
    moderators
        Options of single moderators, by name.
    models
        Models listed one by one; then the components hold no more than what these have.
    scale
        ``"fisher_z"``: estimates are fitted as Fisher's z, and priors are about standardised mean differences.
        ``"yi"``: as they are.
    direction
        Direction in which estimates are likelier to be seen; ``"detect"``: that of their median.
    name
        Of the set.
    """

    effect: tuple[Option, ...]
    heterogeneity: tuple[Option, ...]
    hierarchical: tuple[Option, ...]
    bias: tuple[Option, ...]
    covariates: tuple[Option, ...]
    factors: tuple[Option, ...]
    moderators: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    models: tuple[ModelPrior, ...] = ()
    scale: Literal["fisher_z", "yi"] = "yi"
    direction: Direction = "detect"
    name: str = "custom"


def option(prior: Any, odds: float = 1.0, null: bool | None = None) -> Option:
    """A hypothesis with prior odds, and whether it is a null hypothesis.

    Parameters
    ----------
    prior
        A prior, or a hypothesis of bias.
    odds
        Prior odds beside the other hypotheses of the component.
    null
        None: a spike and `no_bias` are, others are not.

    Examples
    --------
    >>> import mixedfx as mx
    >>> near_zero = mx.priors.option(mx.priors.normal(0, 0.05), odds=2, null=True)
    >>> print(near_zero, near_zero.odds)
    normal(0, 0.05) 2
    """
    if not 0 < odds < float("inf"):
        raise OptionError(f"odds={odds} are no odds", hint="Give a number greater than 0.")
    return Option(prior, odds, isinstance(prior, Spike | NoBias) if null is None else null)


def ensemble(
    effect: Any = None,
    heterogeneity: Any = None,
    bias: Any = "none",
    hierarchical: Any = None,
    covariates: Any = None,
    factors: Any = None,
    moderators: Mapping[str, Any] | None = None,
    models: Sequence[ModelPrior] = (),
    scale: Literal["fisher_z", "yi"] = "yi",
    direction: Direction = "detect",
) -> Ensemble:
    """Models of a meta-analysis to be averaged: all combinations of the hypotheses that are listed.

    Parameters
    ----------
    effect
        Priors of the mean effect: normal, t, Cauchy, uniform, these truncated, spikes; or `option`.
    heterogeneity
        Priors of tau.
    bias
        ``"none"``, ``"PSMA"``, ``"PP"``, ``"2w"``, ``"6w"``, or a list of `no_bias`, `weight_function`, `pet`, `peese`.
    hierarchical
        Priors of rho, the share of tau^2 that the estimates of a cluster have in common; beta(1, 1) where None.
        ``[spike(0), beta(1, 1)]`` tests for clustering.
    covariates, factors
        Priors of the coefficients of standardised covariates, and of deviations of a factor's levels from their mean:
        normal around 0, or spikes.
    moderators
        Priors of single moderators by name, in the place of these two.
    models
        Models made by `model`, in the place of all combinations.
    scale, direction
        As in `Ensemble`.

    Raises
    ------
    ImproperPosteriorError
        A flat prior: a Bayes factor with it is not defined.
    OptionError
        Priors that a parameter cannot have.

    Examples
    --------
    >>> import mixedfx as mx
    >>> p = mx.priors
    >>> mine = p.ensemble(effect=[p.spike(0), p.normal(0, 0.5)], heterogeneity=[p.half_normal(0.3)])
    >>> [str(option) for option in mine.effect]
    ['spike(0)', 'normal(0, 0.5)']
    """
    if not models and (effect is None or heterogeneity is None):
        raise OptionError(
            "an ensemble has priors of the effect and of heterogeneity",
            hint="Give effect=[spike(0), normal(0, 1)] and heterogeneity=[spike(0), half_normal(0.5)], or models=.",
        )
    check_option("scale", scale, ("fisher_z", "yi"))
    check_option("direction", direction, ("positive", "negative", "detect"))
    if models:
        listed = tuple(models)
        parts = [tuple(dict.fromkeys(getattr(m, part) for m in listed)) for part in ("effect", "heterogeneity", "bias")]
        shared = tuple(dict.fromkeys(m.hierarchical for m in listed))
    else:
        listed = ()
        parts = [_effects(effect), _spreads(heterogeneity), bias_options(bias)]
        shared = _shares(Beta(1.0, 1.0) if hierarchical is None else hierarchical)
    default = [Spike(0.0), Normal(0.0, 0.25)]
    return Ensemble(
        parts[0], parts[1], shared, parts[2],
        coefficient_options(default if covariates is None else covariates, "covariates"),
        coefficient_options(default if factors is None else factors, "factors"),
        {name: coefficient_options(given, name) for name, given in (moderators or {}).items()},
        listed, scale, direction,
    )  # fmt: skip


def model(effect: Any, heterogeneity: Any, bias: Any = None, hierarchical: Any = None, odds: float = 1.0) -> ModelPrior:
    """One model of an ensemble whose models are listed: a prior or `option` of each component, and its odds."""
    one = [
        _effects(effect), _spreads(heterogeneity), bias_options([NoBias() if bias is None else bias]),
        _shares(Beta(1.0, 1.0) if hierarchical is None else hierarchical),
    ]  # fmt: skip
    if any(len(options) != 1 for options in one):
        raise OptionError("a model has one prior of each component", hint="Write one model for each combination.")
    return ModelPrior(one[0][0], one[1][0], one[2][0], one[3][0], option(None, odds).odds)


def robma3(**components: Any) -> Ensemble:
    """Priors of RoBMA 3: effects ~ N(0, 1), tau ~ inverse gamma(1, 0.15), on the scale of Cohen's d.

    Estimates are fitted as Fisher's z, with mu and tau halved; the 36 models of PSMA are those with and without an
    effect, heterogeneity, and bias by six step functions (1 / 12 each), PET (1 / 4) and PEESE (1 / 4). Coefficients of
    moderators are N(0, 1 / 4). The direction of bias is positive.

    Parameters
    ----------
    **components
        Any argument of `ensemble` in the place of its own, such as ``hierarchical=[spike(0), beta(1, 1)]``.

    Examples
    --------
    >>> import mixedfx as mx
    >>> [str(option) for option in mx.priors.robma3().heterogeneity]
    ['spike(0)', 'inv_gamma(1, 0.15)']
    """
    own: dict[str, Any] = {
        "effect": [Spike(0.0), normal(0, 1)],
        "heterogeneity": [Spike(0.0), inv_gamma(1, 0.15)],
        "bias": "PSMA",
        "scale": "fisher_z",
        "direction": "positive",
    }
    return _named("robma3", own, components)


def robma4(measure: str | None = None, unit_sd: float | None = None, **components: Any) -> Ensemble:
    """Priors of RoBMA 4: fractions of the unit-information standard deviation u of an effect size measure.

    The effect is N(0, u / 2), tau half-normal(u / 4), coefficients of moderators N(0, u / 4); PEESE is half-Cauchy with
    scale 5 sqrt(2) / u, which is 5 for standardised mean differences. u (Rover et al. 2021, Research Synthesis Methods
    12(4)) is sqrt(2) for standardised mean differences, 1 for Fisher's z, 2 for logarithms of odds, risk, hazard and
    rate ratios. Estimates are fitted as they are; the direction of bias is that of their median.

    Parameters
    ----------
    measure
        ``"SMD"``, ``"ZCOR"``, ``"OR"``, ``"RR"``, ``"HR"``, ``"IRR"``.
    unit_sd
        u of another measure.
    **components
        Any argument of `ensemble` in the place of its own.

    Examples
    --------
    >>> import mixedfx as mx
    >>> print(mx.priors.robma4("SMD").effect[1])
    normal(0, 0.7071)
    """
    u = UNIT_SD.get(measure or "", 0.0) if unit_sd is None else float(unit_sd)
    if not u > 0:
        known = ", ".join(map(repr, UNIT_SD))
        what = f"measure={measure!r}" if unit_sd is None else f"unit_sd={unit_sd!r}"
        raise OptionError(
            f"robma4 has no unit of {what}",
            hint=f"Use measure={known}; of another, give unit_sd=, sqrt(sum of n / sum of 1 / se^2), say.",
        )
    own: dict[str, Any] = {
        "effect": [Spike(0.0), normal(0, u / 2)],
        "heterogeneity": [Spike(0.0), half_normal(u / 4)],
        "bias": bias_set("PSMA", 5 * np.sqrt(2) / u),
        "covariates": [Spike(0.0), normal(0, u / 4)],
        "factors": [Spike(0.0), normal(0, u / 4)],
        "scale": "yi",
        "direction": "detect",
    }
    return _named("robma4", own, components)


def _named(name: str, own: dict[str, Any], components: Mapping[str, Any]) -> Ensemble:
    return replace(ensemble(**{**own, **components}), name=name if not components else f"{name}, changed")


def bias_set(name: str, peese_scale: float = 5.0) -> tuple[Option, ...]:
    """The hypotheses of a named set, odds 1 of no bias and 1 of all others together."""
    check_option("bias", name, BIAS_SETS)
    two = (("two-sided", (0.05,)), ("two-sided", (0.05, 0.1)))
    one = tuple(("one-sided", steps) for steps in ((0.05,), (0.025, 0.05), (0.05, 0.5), (0.025, 0.05, 0.5)))
    weights = [Weights(cast(Any, side), steps, (1.0,) * (len(steps) + 1)) for side, steps in (*two, *one)]
    lines: list[Any] = [PET(half_cauchy(1.0)), PEESE(half_cauchy(peese_scale))]
    sets: dict[str, list[tuple[Any, float]]] = {
        "none": [],
        "PSMA": [(w, 1 / 12) for w in weights] + [(x, 1 / 4) for x in lines],
        "PP": [(x, 1 / 2) for x in lines],
        "2w": [(w, 1 / 2) for w in weights[:2]],
        "6w": [(w, 1 / 6) for w in weights],
    }
    return (Option(NoBias(), 1.0, True), *(Option(prior, odds, False) for prior, odds in sets[name]))


def bias_options(given: Any, peese_scale: float = 5.0) -> tuple[Option, ...]:
    """The hypotheses of a name or a list."""
    if given is None:
        given = "none"
    if isinstance(given, str):
        return bias_set(given, peese_scale)
    found = _options(given, "bias")
    for one in found:
        if not isinstance(one.prior, Bias):
            raise OptionError(
                f"{one.prior!r} is no hypothesis of bias",
                hint=f"Use {', '.join(map(repr, BIAS_SETS))}, or a list of no_bias(), weight_function(...), pet(), "
                "peese().",
            )
    return found


def _options(given: Any, what: str) -> tuple[Option, ...]:
    listed = given if isinstance(given, list | tuple) else [given]
    found = tuple(one if isinstance(one, Option) else option(one) for one in listed)
    if not found:
        raise OptionError(f"{what} has no prior", hint=f"Give one, or a list: {what}=[...].")
    return found


def _checked(given: Any, what: str, allowed: tuple[type, ...], lower: float, upper: float) -> tuple[Option, ...]:
    found = _options(given, what)
    for one in found:
        prior: Proper = one.prior
        base = prior.base if isinstance(prior, Truncated) else prior
        if isinstance(base, Flat):
            raise ImproperPosteriorError(
                f"{what} has a flat prior: it is no distribution, and Bayes factors with it are not defined",
                hint="Give a proper prior, such as normal(0, 1) or uniform(-1, 1).",
            )
        if not isinstance(base, allowed):
            names = "spike, normal, student_t, cauchy, uniform"
            raise OptionError(f"{one.prior!r} cannot be a prior of {what}", hint=f"Priors there are {names}, and such.")
        if getattr(base, "autoscale", False):
            raise OptionError(
                f"{what} has a prior in units of the data (autoscale=True), which would look at the data first",
                hint="Give its scale in units of the effect.",
            )
        if isinstance(base, Spike):
            if not lower <= base.at <= upper or (what == "hierarchical" and base.at >= 1):
                raise OptionError(f"{base} is no value of {what}", hint=f"It is from {lower:g} to {upper:g}.")
        else:
            marginal(prior, lower, upper)
    return found


def _effects(given: Any) -> tuple[Option, ...]:
    return _checked(given, "effect", MEAN_PRIORS, -np.inf, np.inf)


def _spreads(given: Any) -> tuple[Option, ...]:
    return _checked(given, "heterogeneity", POSITIVE_PRIORS, 0.0, np.inf)


def _shares(given: Any) -> tuple[Option, ...]:
    return _checked(given, "hierarchical", (Spike, Beta, Uniform), 0.0, 1.0)


def coefficient_options(given: Any, what: str) -> tuple[Option, ...]:
    """Hypotheses of the coefficients of a moderator."""
    found = _checked(given, what, (Spike, Normal), -np.inf, np.inf)
    for one in found:
        if isinstance(one.prior, Truncated) or (isinstance(one.prior, Normal) and (one.prior.half or one.prior.loc)):
            raise OptionError(
                f"{one.prior} is a prior of {what}, whose coefficients have normal ones around 0",
                hint="Use spike(0) and normal(0, scale).",
            )
        if isinstance(one.prior, Spike) and one.prior.at != 0:
            raise OptionError(f"{one.prior} of {what} is no null hypothesis", hint="Use spike(0).")
    return found
