"""What an engine takes and what it leaves: settings, draws with the sampler's statistics, and the verbs of an engine.

An engine is given the text of a Stan program, its data and `Settings`; it returns `StanDraws`: the variables of the
program under the names and in the shapes that the program declares, the same from every engine. It never learns what
the variables mean. A new engine is one file with a class that has the members of `Engine`, and one entry of
`mixedfx.bayes.samplers.SAMPLERS`: `engine=` offers it, its options are accepted, messages name it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import MissingPackageError, OptionError, check_option
from mixedfx.progress import Asked, check_progress

Array = NDArray[np.float64]

OPTIONS = ("adapt_delta", "max_treedepth", "inits", "centred", "threads", "algorithm", "progress", "cores")
"""What `mixedfx.bayes` can pass to an engine: the fields of `Settings` with a default of their own, and ``centred``."""

ALGORITHMS = ("nuts", "pathfinder", "laplace", "variational")
INITS = ("random", "pathfinder")
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Settings:
    """How to sample; Stan's own names and defaults where Stan has them.

    Parameters
    ----------
    seed
        0 to 2^32 - 1. The same engine with the same seed gives the same draws, however many cores it uses.
    chains
        Number of chains, each with a random stream of its own.
    warmup
        Warm-up iterations of each chain, in which step size and metric adapt; not kept.
    draws
        Draws kept in total, rounded up to a multiple of `chains`.
    adapt_delta
        Acceptance rate that the step size is adapted to, between 0 and 1.
    max_treedepth
        A trajectory ends after 2^max_treedepth - 1 steps.
    threads
        Threads within each chain, for programs that call ``reduce_sum``.
    algorithm
        ``"nuts"``; or an approximation: ``"pathfinder"``, ``"laplace"``, ``"variational"`` (cmdstan only).
    inits
        ``"random"``: uniform between -2 and 2 on the unconstrained scale. ``"pathfinder"``: draws from Pathfinder.
    progress
        As in `mixedfx.bayes`.
    cores
        Chains run at the same time; by default as many as there are cores for `threads` each.

    Raises
    ------
    OptionError
        A value that is out of range.

    Examples
    --------
    >>> from mixedfx.bayes.engines.base import Settings
    >>> Settings(seed=1, chains=3, draws=1000).draws_per_chain
    334
    >>> Settings(seed=1, adapt_delta=1.0)
    Traceback (most recent call last):
    mixedfx.errors.OptionError: adapt_delta=1.0 is not between 0 and 1
    Use a number such as 0.8 (the default) or, after divergent transitions, 0.95.
    """

    seed: int
    chains: int = 4
    warmup: int = 1000
    draws: int = 4000
    adapt_delta: float = 0.8
    max_treedepth: int = 10
    threads: int = 1
    algorithm: str = "nuts"
    inits: str = "random"
    progress: Asked = None
    cores: int | None = None

    def __post_init__(self) -> None:
        if not _is_whole(self.seed) or not 0 <= self.seed <= LARGEST_SEED:
            raise OptionError(f"seed={self.seed!r} is not a whole number from 0 to 2^32 - 1", hint="Use seed=1, say.")
        for name, least in {"chains": 1, "warmup": 1, "draws": 1, "max_treedepth": 1, "threads": 1}.items():
            value = getattr(self, name)
            if not _is_whole(value) or value < least:
                raise OptionError(f"{name}={value!r} is not a whole number", hint=f"Use one that is at least {least}.")
        if self.cores is not None and (not _is_whole(self.cores) or self.cores < 1):
            raise OptionError(f"cores={self.cores!r} is not a number of cores", hint="Use cores=None for all of them.")
        if not 0 < self.adapt_delta < 1:
            raise OptionError(
                f"adapt_delta={self.adapt_delta!r} is not between 0 and 1",
                hint="Use a number such as 0.8 (the default) or, after divergent transitions, 0.95.",
            )
        check_progress(self.progress)
        check_option("algorithm", self.algorithm, ALGORITHMS)
        check_option("inits", self.inits, INITS)

    @property
    def draws_per_chain(self) -> int:
        """Draws kept of each chain."""
        return -(-self.draws // self.chains)

    @property
    def parallel_chains(self) -> int:
        """Chains that run at the same time."""
        cores = self.cores if self.cores is not None else max(1, cores_available() // self.threads)
        return min(self.chains, cores)


def _is_whole(value: object) -> bool:
    """Whether this is an integer, a NumPy one included, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def cores_available() -> int:
    """Cores that this process may use: fewer than the machine has where its affinity is limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, eq=False)
class SamplerStats:
    """What the sampler says of each transition after the warm-up; c chains, d draws of each.

    Attributes
    ----------
    divergent
        (c, d), True where the energy error of a trajectory grew beyond bounds.
    treedepth
        (c, d), doublings of each trajectory.
    energy
        (c, d), the Hamiltonian of each transition; NaN for an approximation.
    lp
        (c, d), log density on the unconstrained scale up to a constant, Stan's ``lp__``.
    acceptance
        (c, d), average acceptance probability along each trajectory; NaN for an approximation.
    leapfrogs
        (c, d), gradient evaluations of each transition.
    step_size
        (c,), the adapted step size of each chain; NaN for an approximation.
    max_treedepth
        The limit in force; a `treedepth` that reaches it means a trajectory cut short.
    """

    divergent: NDArray[np.bool_]
    treedepth: NDArray[np.int64]
    energy: Array
    lp: Array
    acceptance: Array
    leapfrogs: NDArray[np.int64]
    step_size: Array
    max_treedepth: int

    @classmethod
    def of_columns(cls, columns: Mapping[str, Array], max_treedepth: int) -> SamplerStats:
        """From Stan's own columns, each (c, d): ``divergent__``, ``treedepth__``, ``energy__`` and so on."""
        return cls(
            divergent=columns["divergent__"].astype(bool),
            treedepth=columns["treedepth__"].astype(np.int64),
            energy=np.ascontiguousarray(columns["energy__"]),
            lp=np.ascontiguousarray(columns["lp__"]),
            acceptance=np.ascontiguousarray(columns["accept_stat__"]),
            leapfrogs=columns["n_leapfrog__"].astype(np.int64),
            step_size=columns["stepsize__"][:, -1].copy(),
            max_treedepth=max_treedepth,
        )

    @classmethod
    def of_approximation(cls, lp: Array, max_treedepth: int) -> SamplerStats:
        """For independent draws: no trajectories, hence nothing that diverges; `lp` is (c, d)."""
        unknown = np.full(lp.shape, np.nan)
        zero = np.zeros(lp.shape, dtype=np.int64)
        step_size = np.full(lp.shape[0], np.nan)
        return cls(zero.astype(bool), zero, unknown, lp, unknown.copy(), zero.copy(), step_size, max_treedepth)


@dataclass(frozen=True, eq=False)
class StanDraws:
    """Draws of the variables that were asked for.

    Attributes
    ----------
    variables
        Name in the program -> (chains, draws, *declared shape); (chains, draws, 0) for a variable without elements.
    sampler
        Statistics of the sampler.
    engine, version
        Which engine it was, and its version.
    algorithm
        ``"nuts"``, or the approximation the draws are from.
    seconds
        Wall-clock time from the program's text to the draws, translation or compilation included.
    """

    variables: dict[str, Array]
    sampler: SamplerStats
    engine: str
    version: str
    algorithm: str
    seconds: float


class Usable(Protocol):
    """What can say whether it can be used here."""

    def available(self) -> str | None:
        """None if it can; else the reason and, as its last line, the one command that installs what is missing."""
        ...


class Engine(Usable, Protocol):
    """The verbs of an engine; errors are mixedfx's own, with the compiler's or the sampler's message inside."""

    @property
    def name(self) -> str:
        """The word that chooses it."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """Those of `OPTIONS` that it has."""
        ...

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those of `ALGORITHMS` that it has."""
        ...

    @property
    def compiles(self) -> bool:
        """Whether it compiles a program for a minute, to run threads within chains faster than others."""
        ...

    def sample(self, text: str, data: Mapping[str, Any], settings: Settings, keep: Collection[str]) -> StanDraws:
        """Sample the program and keep the variables named in `keep`.

        Raises
        ------
        ModelError
            A program that does not compile, data that do not fit its declarations, no starting point of finite density.
        UnknownQuantityError
            A name in `keep` that the program does not declare.
        OptionError
            A setting that this engine does not know.
        MissingPackageError
            An engine that is not installed.
        """
        ...

    def log_density(self, text: str, data: Mapping[str, Any], unconstrained: Array) -> Array:
        """Log density at points on the unconstrained scale, (s, d) -> (s,).

        The Jacobian of the constraints is included. Constants are as the program has them: ``target +=`` keeps them and
        ``~`` drops them. Minus infinity where the density cannot be evaluated.
        """
        ...

    def check(self, text: str) -> None:
        """Parse and type-check the program; nothing is sampled (`ModelError` with the compiler's message)."""
        ...


def require(engine: Usable) -> None:
    """Refuse an engine that cannot be used here.

    Raises
    ------
    MissingPackageError
        Says what is missing, and on a line of its own the command that installs it.
    """
    reason = engine.available()
    if reason is not None:
        message, _, hint = reason.rpartition("\n")
        raise MissingPackageError(message, hint=hint)
