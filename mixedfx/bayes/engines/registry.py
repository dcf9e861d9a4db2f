"""The engines that run Stan programs, and the one that is chosen when nobody says.

This is the only list of them: what `mixedfx.bayes` accepts, offers and says in messages is read off it. The samplers
that need no Stan stand beside them in `mixedfx.bayes.samplers`.
"""

from __future__ import annotations

from collections.abc import Iterable

from mixedfx.bayes.engines.base import ALGORITHMS, Engine, require
from mixedfx.bayes.engines.cmdstan import CmdStan
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.errors import check_option

# Another engine is a file beside this one and a line here. The first is the one to use where nothing speaks against it.
ENGINES: dict[str, Engine] = {engine.name: engine for engine in (Stanli(), CmdStan())}

LARGE = 1_000_000  # numbers in the data of a program


def get_engine(name: str) -> Engine:
    """The engine of this name, ready for use.

    Raises
    ------
    OptionError
        No engine has this name.
    MissingPackageError
        It is not installed; the message has the command that installs it.

    Examples
    --------
    >>> from mixedfx.bayes.engines.registry import get_engine
    >>> get_engine("stanli").name
    'stanli'
    """
    check_option("engine", name, ENGINES)
    require(ENGINES[name])
    return ENGINES[name]


def choose(numbers: int, threads: int = 1, algorithm: str = "nuts") -> str:
    """Name of the Stan engine for ``engine="auto"``.

    * An approximation by name (``algorithm=``) goes to the first engine that has it: CmdStan.
    * A large model that asks for threads within chains goes to an engine that compiles, CmdStan, if it is installed:
      its data hold at least a million numbers, so that the minute the compiler takes is little of the whole.
    * Everything else goes to the first engine of the registry that is installed: to stanli, or to CmdStan where stanli
      is missing.

    Size alone does not favour CmdStan. A Bernoulli model with varying slopes, its gradient in milliseconds: stanli 0.6,
    8 and 120 with 10^4, 10^5 and 10^6 rows; CmdStan 2.35 at -O3, 1.4, 31 and 820 at its first evaluation. Sampled to
    the end with 10^4 rows, stanli took 4.5 seconds and CmdStan, compiled before, 8.5.

    Parameters
    ----------
    numbers
        How many numbers the data of the program hold.
    threads, algorithm
        As in `Settings`.

    Raises
    ------
    OptionError
        An algorithm that no engine has.
    MissingPackageError
        What is needed is not installed; the message has the command that installs it.

    Examples
    --------
    >>> from mixedfx.bayes.engines.registry import choose
    >>> choose(numbers=1200)
    'stanli'
    """
    check_option("algorithm", algorithm, ALGORITHMS)
    wanted = [engine for engine in ENGINES.values() if algorithm in engine.algorithms]
    if numbers >= LARGE and threads > 1:
        wanted.sort(key=lambda engine: not engine.compiles)
    # One after the other: to ask whether CmdStan is there takes half a second the first time.
    usable = (engine.name for engine in wanted if engine.available() is None)
    return next(usable, None) or get_engine(_first(wanted)).name


def _first(engines: Iterable[Engine]) -> str:
    """Name of the one that comes first in the registry."""
    names = {engine.name for engine in engines}
    return next(name for name in ENGINES if name in names)
