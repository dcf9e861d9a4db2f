"""Which sampler draws, and whether it has the options that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixedfx.bayes.engines import registry
from mixedfx.bayes.samplers import EXACT, Sampler, samplers
from mixedfx.design.design import Design
from mixedfx.errors import OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.priors.resolve import ResolvedPriors


@dataclass(frozen=True)
class Choice:
    """The sampler that draws, and why it and not another; empty where it was asked for."""

    sampler: Sampler
    reason: str = ""

    @property
    def engine(self) -> str:
        """Its name."""
        return self.sampler.name


def choose(
    engine: str, design: Design, family: Family, priors: ResolvedPriors, threads: int = 1, algorithm: str = "nuts"
) -> Choice:
    """Choose the sampler; between those that run Stan programs by `mixedfx.bayes.engines.registry.choose`.

    Raises
    ------
    OptionError
        An engine that is not known, or one that cannot sample this model.
    """
    known = samplers()
    check_option("engine", engine, ("auto", *known))
    if engine != "auto":
        obstacle = known[engine].obstacle(design, family, priors)
        if obstacle:
            raise OptionError(
                f"engine={engine!r} integrates beta and u out exactly, which cannot be done here: {obstacle}",
                hint=f"Use engine={next(iter(registry.ENGINES))!r}, or 'auto', which chooses it.",
            )
        return Choice(known[engine])
    exact = next(iter(EXACT.values()))
    obstacle = exact.obstacle(design, family, priors)
    if not obstacle:
        return Choice(exact)
    effects = design.X.shape[1] + sum(term.n_columns for term in design.random)
    name = registry.choose(len(design.y) * effects, threads, algorithm)
    usual = name == next(iter(registry.ENGINES))
    return Choice(known[name], obstacle if usual else f"{obstacle}; {name}, for what was asked of the sampler")


def check_options(choice: Choice, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, if the engine has them.

    Raises
    ------
    OptionError
        Names the option and the engines that have it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name in choice.sampler.options:
            continue
        having = [known.name for known in samplers().values() if name in known.options]
        if name == "algorithm":
            able = [known.name for known in samplers().values() if value in known.algorithms]
            having = able or having
        chosen = f"engine='auto' chose {choice.engine!r}, which" if choice.reason else f"engine={choice.engine!r}"
        raise OptionError(
            f"{chosen} has no {name}",
            hint=f"Leave it out, or choose an engine that has it: {', '.join(map(repr, having))}.",
        )
    return given
