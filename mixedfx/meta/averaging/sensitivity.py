"""How an averaged meta-analysis changes with the scales of its priors and with the mechanism of selection.

The scale of one component's priors is multiplied, all else stays: the effect's, that of heterogeneity, of PET and
PEESE, of a moderator. Null hypotheses stay as they are, and so do priors without a scale (of rho, and of weights). Only
the models that the change touches are computed anew; the others keep their evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_option
from mixedfx.meta.averaging import report
from mixedfx.meta.averaging.members import Member, members
from mixedfx.meta.averaging.solve import Solved, solve
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.selection.clusters import MECHANISMS
from mixedfx.priors.bias import PEESE, PET
from mixedfx.priors.bounded import Truncated, Uniform
from mixedfx.priors.ensembles import Ensemble, ModelPrior, Option
from mixedfx.priors.location import Normal, StudentT
from mixedfx.priors.positive import Exponential, Gamma, InverseGamma
from mixedfx.progress import Asked, Progress

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def _uniform(prior: Uniform, factor: float) -> Uniform:
    """Around its middle where it has both signs, from 0 where it has one."""
    middle = (prior.lower + prior.upper) / 2 if prior.lower < 0 < prior.upper else 0.0
    return Uniform(middle + factor * (prior.lower - middle), middle + factor * (prior.upper - middle))


_WIDER: Mapping[type, Callable[[Any, float], Any]] = {
    Normal: lambda p, f: replace(p, scale=f * p.scale),
    StudentT: lambda p, f: replace(p, scale=f * p.scale),
    InverseGamma: lambda p, f: replace(p, scale=f * p.scale),
    Gamma: lambda p, f: replace(p, rate=p.rate / f),
    Exponential: lambda p, f: replace(p, rate=p.rate / f),
    Uniform: _uniform,
    Truncated: lambda p, f: replace(p, base=wider(p.base, f)),
    PET: lambda p, f: PET(wider(p.prior, f)),
    PEESE: lambda p, f: PEESE(wider(p.prior, f)),
}


def wider(prior: Any, factor: float) -> Any:
    """The prior with its scale multiplied; locations, and where it is cut off, stay. One without a scale as it is.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.meta.averaging.sensitivity import wider
    >>> print(wider(mx.priors.inv_gamma(1, 0.15), 2), wider(mx.priors.pet(), 0.5), wider(mx.priors.spike(0), 2))
    inv_gamma(1, 0.3) PET half_cauchy(0.5) spike(0)
    """
    change = _WIDER.get(type(prior))
    return prior if change is None else change(prior, factor)


def scaled_components(fit: RobmaState) -> tuple[str, ...]:
    """Components, and moderators by the names of `RobmaFit.components`, some prior of which has a scale."""
    found = []
    for name in report.component_flags(fit):
        options = {o for m in fit.members if (o := _option(fit, m, name)) is not None}
        if any(_change(one, 2.0) != one for one in options):
            found.append(name)
    return tuple(found)


def _option(fit: RobmaState, member: Member, component: str) -> Option | None:
    if component in ("effect", "heterogeneity", "hierarchical", "bias"):
        return getattr(member, component)
    return member.moderators[_moderators(fit)[component]]


def _moderators(fit: RobmaState) -> dict[str, int]:
    """Position of each moderator, by the name of its component."""
    names = list(report.component_flags(fit))[-len(fit.given.moderators) :] if fit.given.moderators else []
    return {name: j for j, name in enumerate(names)}


def _change(option: Option, factor: float) -> Option:
    return option if option.null else replace(option, prior=wider(option.prior, factor))


def rescaled(fit: RobmaState, component: str, factor: float) -> Ensemble:
    """The ensemble with the scale of one component's alternatives multiplied."""
    old = fit.ensemble

    def each(options: Sequence[Option]) -> tuple[Option, ...]:
        return tuple(_change(one, factor) for one in options)

    if component in ("effect", "heterogeneity", "bias"):
        listed: tuple[ModelPrior, ...] = tuple(
            replace(m, **{component: _change(getattr(m, component), factor)}) for m in old.models
        )
        return replace(old, models=listed, **{component: each(getattr(old, component))})
    moderator = fit.given.moderators[_moderators(fit)[component]]
    own = old.moderators.get(moderator.name, old.factors if moderator.factor else old.covariates)
    return replace(old, moderators={**old.moderators, moderator.name: each(own)})


def sensitivity(
    fit: RobmaState,
    priors: str | Sequence[str] | None,
    factors: Sequence[float],
    mechanisms: str | Sequence[str] | None,
    progress: Asked,
) -> pd.DataFrame:
    """Table behind `RobmaFit.sensitivity`."""
    values = np.asarray(factors, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not ((values > 0) & np.isfinite(values)).all():
        raise OptionError(f"factors={factors!r} are not positive numbers", hint="Write factors=(0.5, 1, 2).")
    known = scaled_components(fit)
    asked = known if priors is None else (priors,) if isinstance(priors, str) else tuple(priors)
    for name in asked:
        check_option("priors", name, known)
    named = (fit.mechanism,) if mechanisms is None else (mechanisms,) if isinstance(mechanisms, str) else mechanisms
    for mechanism in named:
        check_option("mechanisms", mechanism, tuple(MECHANISMS))
    settings = [
        (name, float(factor), mechanism)
        for name in (asked or ("",))
        for factor in (values if name else (1.0,))
        for mechanism in dict.fromkeys(named)
    ]
    known_models = {_key(m, fit.mechanism): s for m, s in zip(fit.members, fit.solved, strict=True)}
    tables = []
    with Progress(progress, "models under other priors", len(settings), "settings") as told:
        for name, factor, mechanism in told.over(settings):
            other = _refitted(fit, rescaled(fit, name, factor) if name else fit.ensemble, mechanism, known_models)
            table = report.components(other).reset_index().drop(columns="models")
            table["mu"] = float(other.pooled.mu @ other.pooled.weights / other.pooled.weights.sum())
            for column, value in (("mechanism", mechanism), ("factor", factor), ("scaled", name)):
                table.insert(0, column, value)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _refitted(fit: RobmaState, ensemble: Ensemble, mechanism: str, known: dict[Any, Solved]) -> RobmaState:
    """The averaged meta-analysis under another ensemble or mechanism; `known` are models that are computed already."""
    found = members(ensemble, fit.given)
    new = [m for m in found if _key(m, mechanism) not in known]
    if new:
        known |= zip((_key(m, mechanism) for m in new), solve(fit.given, new, mechanism, fit.seed, False), strict=True)
    solved = tuple(known[_key(m, mechanism)] for m in found)
    return replace(fit, ensemble=ensemble, members=found, solved=solved, mechanism=mechanism)


def _key(member: Member, mechanism: str) -> tuple[Any, ...]:
    """What the evidence of a model hangs on."""
    selected = member.kind == "weights" and member.clustered
    options = member.effect, member.heterogeneity, member.hierarchical, member.bias, *member.moderators
    return *(None if one is None else one.prior for one in options), mechanism if selected else ""
