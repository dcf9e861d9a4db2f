"""Which engine draws, and whether it has the options that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixedfx.design.design import Design
from mixedfx.errors import OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.priors.distributions import Decov, Exponential, Flat, Normal, StudentT
from mixedfx.priors.resolve import ResolvedPriors

COLLAPSED = ("collapsed", "nuts")
STAN = ("stanli", "cmdstan")
ENGINES = ("auto", *COLLAPSED, *STAN)

QUIET = ("progress", "cores")  # the draws do not depend on them, and every engine takes them
_NUTS = ("adapt_delta", "max_treedepth", "inits", "centred", "threads", "algorithm", *QUIET)
OPTIONS: dict[str, tuple[str, ...]] = {
    "collapsed": ("proposals", *QUIET),
    "nuts": ("proposals", *QUIET),
    "stanli": _NUTS,
    "cmdstan": _NUTS,
}

_COEFFICIENT = (Normal, StudentT, Flat)
_POSITIVE = (Normal, StudentT, Exponential, Flat)


@dataclass(frozen=True)
class Choice:
    """The engine that draws, and why it and not another; empty where it was asked for."""

    engine: str
    reason: str = ""


def choose(
    engine: str, design: Design, family: Family, priors: ResolvedPriors, threads: int = 1, algorithm: str = "nuts"
) -> Choice:
    """Choose the engine; between the two that run Stan programs by `mixedfx.bayes.engines.registry.choose`.

    Raises
    ------
    OptionError
        An engine that is not known, or one that cannot sample this model.
    """
    check_option("engine", engine, ENGINES)
    obstacle = not_collapsible(design, family, priors)
    if engine in COLLAPSED and obstacle:
        raise OptionError(
            f"engine={engine!r} integrates beta and u out exactly, which cannot be done here: {obstacle}",
            hint="Use engine='stanli', or 'auto', which chooses it.",
        )
    if engine != "auto":
        return Choice(engine)
    if not obstacle:
        return Choice("collapsed")
    from mixedfx.bayes.engines import registry

    effects = design.X.shape[1] + sum(term.n_columns for term in design.random)
    name = registry.choose(len(design.y) * effects, threads, algorithm)
    return Choice(name, obstacle if name == "stanli" else f"{obstacle}; CmdStan, for what was asked of the sampler")


def not_collapsible(design: Design, family: Family, priors: ResolvedPriors) -> str:
    """Why the collapsed engine cannot take a model; empty where it can."""
    if not (family.name == "gaussian" and family.identity):
        return f"the family is {family.name}" + ("" if family.name != "gaussian" else f" with {family.link.name} link")
    if not design.random:
        return "the formula has no random terms"
    if any(not isinstance(prior, _COEFFICIENT) for prior in priors.coefficients):
        return "a coefficient has a prior that is no normal or t distribution"
    sds = [sd for term in priors.terms if not isinstance(term.sd, Decov) for sd in term.sd]
    if any(not isinstance(sd, _POSITIVE) for sd in sds):
        return "an sd has a prior that only Stan knows"
    if priors.sigma is not None and not isinstance(priors.sigma, _POSITIVE):
        return "sigma has a prior that only Stan knows"
    return ""


def check_options(choice: Choice, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, if the engine has them.

    Raises
    ------
    OptionError
        Names the option and the engines that have it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name in OPTIONS[choice.engine]:
            continue
        having = [engine for engine, names in OPTIONS.items() if name in names]
        if name == "algorithm" and given[name] != "nuts":
            having = ["cmdstan"]
        chosen = f"engine='auto' chose {choice.engine!r}, which" if choice.reason else f"engine={choice.engine!r}"
        raise OptionError(
            f"{chosen} has no {name}",
            hint=f"Leave it out, or choose an engine that has it: {', '.join(map(repr, having))}.",
        )
    return given


def check_quiet_options(progress: object, cores: object) -> None:
    """Refuse values that no engine takes, where the engine would not look at them.

    Raises
    ------
    OptionError
        Names the value.
    """
    if progress is not None and not isinstance(progress, bool):
        raise OptionError(f"progress={progress!r}", hint="Use True, False, or None, which shows it on a terminal.")
    whole = isinstance(cores, int) and not isinstance(cores, bool) and cores >= 1
    if cores is not None and not whole:
        raise OptionError(f"cores={cores!r} is not a number of cores", hint="Use cores=None for all of them.")
