"""Which sampler draws, and whether it has the options that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixedfx.bayes.engines.base import require
from mixedfx.bayes.samplers import PREFERRED, SAMPLERS, Sampler
from mixedfx.design.design import Design
from mixedfx.errors import ImportanceError, OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.options import Control, given_options
from mixedfx.priors.resolve import ResolvedPriors

LARGE = 1_000_000  # numbers in the data of a program


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
    engine: str, design: Design, family: Family, priors: ResolvedPriors, options: Mapping[str, Any] | None = None
) -> Choice:
    """Choose the sampler.

    ``"auto"`` is the first of the registry where it can sample the model, which integrates beta and u out; then the
    one that weights draws, unless an option was given that it does not have; of the others that can, the one of
    `choose_among`. `options` are those that were given.

    Raises
    ------
    OptionError
        An engine that is not known, or one that cannot sample this model; a model that none can.
    """
    check_option("engine", engine, ("auto", *SAMPLERS))
    obstacles = {name: sampler.obstacle(design, family, priors) for name, sampler in SAMPLERS.items()}
    able = [SAMPLERS[name] for name, obstacle in obstacles.items() if not obstacle]
    if not able:
        why = "; ".join(f"{name}: {obstacle}" for name, obstacle in obstacles.items())
        raise OptionError(
            f"no engine can sample this model ({why})",
            hint="Beside correlated errors, write a gaussian model with a random term, and priors that are normal or t "
            "for coefficients and half normal, half t, exponential, gamma or decov for sds.",
        )
    if engine != "auto":
        chosen = SAMPLERS[engine]
        if obstacles[engine]:
            raise OptionError(
                f"engine={engine!r} {chosen.way}, which cannot be done here: {obstacles[engine]}",
                hint=f"Use engine={able[0].name!r}, or 'auto', which chooses it.",
            )
        return Choice(chosen)
    first, *others = PREFERRED
    if not obstacles[first]:
        return Choice(SAMPLERS[first])
    given = options or {}
    for name in others:
        if not obstacles[name] and set(given) <= set(SAMPLERS[name].options):
            return Choice(SAMPLERS[name], obstacles[first])
    return _by_chains(able, design, obstacles[first], given)


def instead(
    refusal: ImportanceError, design: Design, family: Family, priors: ResolvedPriors, options: Mapping[str, Any]
) -> Choice:
    """The sampler for ``engine="auto"`` where one of those preferred has refused: chains on all parameters."""
    able = [sampler for sampler in SAMPLERS.values() if not sampler.obstacle(design, family, priors)]
    return _by_chains(able, design, refusal.message, options)


def _by_chains(able: Sequence[Sampler], design: Design, why: str, options: Mapping[str, Any]) -> Choice:
    able = [sampler for sampler in able if sampler.name not in PREFERRED]
    effects = design.X.shape[1] + sum(term.n_columns for term in design.random)
    threads, algorithm = options.get("threads", 1), options.get("algorithm")
    chosen = choose_among(able, len(design.y) * effects, threads, algorithm)
    asked = "" if chosen is able[0] else f"; {chosen.name}, for what was asked of the sampler"
    return Choice(chosen, why + asked)


def choose_among(able: Sequence[Sampler], numbers: int, threads: int = 1, algorithm: str | None = None) -> Sampler:
    """The sampler for ``engine="auto"`` of those that can sample a model.

    * An algorithm by name (``algorithm=``) goes to the first that has it; approximations have CmdStan.
    * A large model that asks for threads within chains goes to one that compiles, CmdStan, if it is installed:
      its data hold at least a million numbers, so that the minute the compiler takes is little of the whole.
    * Everything else goes to the first that is installed: to stanli, or to CmdStan where stanli is missing.

    Size alone does not favour CmdStan. A Bernoulli model with varying slopes, its gradient in milliseconds: stanli 0.6,
    8 and 120 with 10^4, 10^5 and 10^6 rows; CmdStan 2.35 at -O3, 1.4, 31 and 820 at its first evaluation. Sampled to
    the end with 10^4 rows, stanli took 4.5 seconds and CmdStan, compiled before, 8.5.

    Parameters
    ----------
    able
        In the order of the registry.
    numbers
        How many numbers the data of the program hold.
    threads, algorithm
        As in `mixedfx.bayes`; None where no algorithm was asked for.

    Raises
    ------
    OptionError
        An algorithm that none of them has.
    MissingPackageError
        What is needed is not installed; the message has the command that installs it.

    Examples
    --------
    >>> from mixedfx.bayes.choice import choose_among
    >>> from mixedfx.bayes.samplers import SAMPLERS
    >>> choose_among([SAMPLERS["stanli"], SAMPLERS["cmdstan"]], numbers=1200).name
    'stanli'
    """
    if algorithm is not None:
        check_option("algorithm", algorithm, dict.fromkeys(name for sampler in able for name in sampler.algorithms))
        able = [sampler for sampler in able if algorithm in sampler.algorithms]
    ordered = sorted(able, key=lambda sampler: not sampler.compiles) if numbers >= LARGE and threads > 1 else able
    # One after the other: to ask whether CmdStan is there takes half a second the first time.
    usable = next((sampler for sampler in ordered if sampler.available() is None), None)
    if usable is None:
        require(able[0])
    return usable or able[0]


def with_control(options: Mapping[str, Any], control: Control | Mapping[str, Any] | None) -> dict[str, Any]:
    """The options that were given, by their own names or in ``control=``.

    Raises
    ------
    OptionError
        One that has two values, or a value that it cannot have.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given_options(control).items():
        if name in given and given[name] != value:
            raise OptionError(f"{name}={given[name]!r}, and {value!r} in control=", hint="Give it once.")
        given[name] = value
    return given_options(given)


def check_options(choice: Choice, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, if the engine has them.

    Raises
    ------
    OptionError
        Names the option and the engines that have it.
    """
    for name, value in options.items():
        if name in choice.sampler.options:
            continue
        having = [known.name for known in SAMPLERS.values() if name in known.options]
        if name == "algorithm":
            able = [known.name for known in SAMPLERS.values() if value in known.algorithms]
            having = able or having
        chosen = f"engine='auto' chose {choice.engine!r}, which" if choice.reason else f"engine={choice.engine!r}"
        raise OptionError(
            f"{chosen} has no {name}: it has {', '.join(choice.sampler.options)}",
            hint=f"Leave it out, or choose an engine that has it: {', '.join(map(repr, having))}."
            if having
            else "Leave it out: no engine has it.",
        )
    return dict(options)
