"""Ensembles that come from elsewhere, such as a file: whether the functions that users call could have made them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx.errors import OptionError
from mixedfx.priors.bias import PEESE, PET, NoBias, Weights, weight_function
from mixedfx.priors.bounded import Spike
from mixedfx.priors.ensembles import Ensemble, Option, ensemble, model, option
from mixedfx.priors.marginal import marginal

PARTS = ("effect", "heterogeneity", "hierarchical", "bias")


def check_ensemble(given: Ensemble) -> None:
    """Refuse an ensemble that `ensemble` and `model` would refuse, or whose priors are no distributions.

    Raises
    ------
    OptionError
        Naming what is wrong.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import mixedfx as mx
    >>> from mixedfx.priors.checked_ensembles import check_ensemble
    >>> from mixedfx.priors.location import Normal
    >>> check_ensemble(mx.priors.robma3())
    >>> check_ensemble(replace(mx.priors.robma3(), effect=(mx.priors.option(Normal(0.0, -1.0)),)))
    Traceback (most recent call last):
    mixedfx.errors.OptionError: normal(0, -1) is no distribution
    Its scale is positive and finite.
    """
    named: dict[str, Any] = {part: getattr(given, part) for part in (*PARTS, "covariates", "factors", "moderators")}
    ensemble(**named, scale=given.scale, direction=given.direction)
    for one in given.models:
        model(one.effect, one.heterogeneity, one.bias, one.hierarchical, one.odds)
        for part in PARTS:
            _check(getattr(one, part))
    for name, options in (*named.items(), *given.moderators.items()):
        for one in options if name != "moderators" else ():
            _check(one)


def _check(one: Option) -> None:
    option(one.prior, one.odds)
    prior = one.prior.prior if isinstance(one.prior, PET | PEESE) else one.prior
    if isinstance(prior, Weights):
        weight_function(prior.side, prior.steps, prior.alpha)
    elif not isinstance(prior, Spike | NoBias):
        found = marginal(prior)
        low, middle, high = found.quantile(np.array([0.25, 0.5, 0.75]))
        ordered = np.isfinite([low, high]).all() and low <= middle <= high and low < high
        if not ordered or np.isnan(found.log_density(np.array([low, middle, high]))).any():
            raise OptionError(f"{prior} is no distribution", hint="Its scale is positive and finite.")
