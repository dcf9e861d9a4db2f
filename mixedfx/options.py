"""`control=` of whatever iterates: optimisers of `mixedfx.lmer` and `mixedfx.glmer`, samplers of `mixedfx.bayes`.

A `Control` holds what was said and nothing else; defaults belong to whoever iterates, and so does the list of options
that it knows. An option that it does not know is refused with that list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_count, check_option
from mixedfx.progress import Asked, check_progress


@dataclass(frozen=True)
class Control:
    """What was said to `control`; None for the rest."""

    tolerance: float | None = None
    max_evaluations: int | None = None
    radius: float | None = None
    start: tuple[float, ...] | None = None
    threads: int | None = None
    progress: Asked = None
    cores: int | None = None
    proposals: int | None = None
    k_hat: float | None = None
    max_coordinates: int | None = None
    adapt_delta: float | None = None
    max_treedepth: int | None = None
    algorithm: str | None = None
    inits: str | None = None
    centred: bool | Collection[str] | None = None
    solver: str | None = None
    monte_carlo: float | None = None
    pushdown: bool | str | None = None


def control(
    tolerance: float | None = None,
    max_evaluations: int | None = None,
    radius: float | None = None,
    start: Sequence[float] | NDArray[np.float64] | None = None,
    threads: int | None = None,
    *,
    progress: Asked = None,
    cores: int | None = None,
    proposals: int | None = None,
    k_hat: float | None = None,
    max_coordinates: int | None = None,
    adapt_delta: float | None = None,
    max_treedepth: int | None = None,
    algorithm: str | None = None,
    inits: str | None = None,
    centred: bool | Collection[str] | None = None,
    solver: str | None = None,
    monte_carlo: float | None = None,
    pushdown: bool | str | None = None,
) -> Control:
    """Options for ``control=`` of `mixedfx.lmer`, `mixedfx.glmer` and `mixedfx.bayes`; a mapping serves as well.

    Who takes which stands in brackets; collapsed, nuts, importance, stanli and cmdstan are engines of `mixedfx.bayes`.
    An option that is an argument of `mixedfx.bayes` too may be given in either place; given in both, the values have to
    agree.

    Parameters
    ----------
    tolerance
        Decrease of the criterion (in units of deviance) that the next step must promise; where it promises less, the
        point is a minimum. At 1e-9, the default, theta is within some 1e-5 standard errors (lmer); 1e-8 by default of
        glmer.
    max_evaluations
        Evaluations of criterion and gradient after which the optimiser gives up, with a `ConvergenceWarning`; 200 by
        default (lmer, glmer).
    radius
        First radius of trust, relative to the length of the starting parameters; 0.25 by default (lmer).
    start
        (r,) theta to begin at, as ``fit.theta`` has it (lmer, glmer). By default components by moments (lmer); one more
        of the points from which modes are looked for (collapsed, nuts).
    threads
        Threads of BLAS; by default one for small matrices, as many as cores are free for large ones (lmer, glmer), as
        the environment says (collapsed, nuts). Threads within each chain, which sum the likelihood in slices (stanli,
        cmdstan).
    progress
        Whether to show how far the work has come, see `mixedfx.progress` (all; of lmer and glmer the evaluations, if
        asked for).
    cores
        Chains that run at the same time (stanli, cmdstan); the others use one core.
    proposals
        Number of weighted points (collapsed, importance).
    k_hat
        Shape of the weights' tail up to which importance sampling is trusted, 0.7 by default; above it NUTS samples
        (collapsed, importance).
    max_coordinates
        Variance parameters (collapsed) or parameters besides the random effects (importance) beyond which NUTS samples
        at once, 24 by default.
    adapt_delta, max_treedepth
        Acceptance rate that the step size of NUTS is adapted to, 0.8 by default (0.95 in Stan programs of yes/no
        answers or trials with random terms), and doublings of a trajectory, by default 10 (stanli, cmdstan) and 8
        (collapsed where it comes to NUTS, nuts).
    algorithm
        ``"nuts"``, or an approximation (stanli, cmdstan).
    inits
        ``"random"``, or ``"pathfinder"`` (stanli, cmdstan).
    centred
        True, or names of grouping factors, whose effects are parameters themselves (stanli, cmdstan).
    solver
        How crossed terms are solved for (lmer, glmer). ``"direct"``: by a Cholesky factor, exactly. ``"iterative"``: by
        conjugate gradients and probes, in memory that grows with the rows and levels, with a Monte Carlo error that the
        fit knows (``fit.monte_carlo``). ``"auto"``, the default: direct unless its factor would not fit in the
        memory that is free, or would take minutes where iteration takes seconds.
    monte_carlo
        Largest Monte Carlo error of a standard deviation (lmer) or of any estimate (glmer) as a share of its standard
        error, 0.02 by default; the iterative solver adds probes until it is met.
    pushdown
        Whether the database of a source, DuckDB or Spark, sums up the rows, of which groups and sums alone come back
        (lmer). True: it has to, and an error says what keeps it from it. False: rows are read in batches. ``"auto"``,
        the default: it does where the formula can be written in SQL, and DuckDB where the groups have thirty rows or
        more on average, below which batches are faster; the summary says which way was taken, and why. The iterative
        solver needs rows, and has batches.

    Raises
    ------
    OptionError
        A value that an option cannot have.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
    >>> fit = mx.lmer("score ~ style + (1 | professor)", course, control=mx.control(tolerance=1e-12))
    >>> again = mx.lmer("score ~ style + (1 | professor)", course, control={"start": fit.theta})
    >>> again.optimization.evaluations < fit.optimization.evaluations
    True
    >>> posterior = mx.bayes("score ~ style + (1 | professor)", course, seed=1, control={"max_coordinates": 1})
    >>> posterior.sampling.method
    'nuts'
    """
    numbers = {"tolerance": tolerance, "radius": radius, "k_hat": k_hat, "monte_carlo": monte_carlo}
    for name, value in numbers.items():
        if value is not None and not (_is_number(value) and 0 < value < np.inf):
            raise OptionError(f"{name}={value!r} is no positive number", hint=f"Leave {name} out for the default.")
    counts = {"max_evaluations": max_evaluations, "threads": threads, "cores": cores, "proposals": proposals}
    counts |= {"max_coordinates": max_coordinates, "max_treedepth": max_treedepth}
    for name, value in counts.items():
        if value is not None:
            check_count(name, value, 0 if name == "max_coordinates" else 1)
    if adapt_delta is not None and not (_is_number(adapt_delta) and 0 < adapt_delta < 1):
        raise OptionError(
            f"adapt_delta={adapt_delta!r} is not between 0 and 1",
            hint="Use a number such as 0.8 (the default) or, after divergent transitions, 0.95.",
        )
    if solver is not None:
        check_option("solver", solver, ("auto", "direct", "iterative"))
    if pushdown is not None:
        check_option("pushdown", pushdown, ("auto", True, False))
    check_progress(progress)
    if start is not None:
        values = np.asarray(start, dtype=np.float64)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise OptionError("start= is no vector of finite numbers", hint="Give theta, as fit.theta of another fit.")
        start = tuple(map(float, values))
    return Control(
        tolerance, max_evaluations, radius, start, threads, progress, cores, proposals, k_hat, max_coordinates,
        adapt_delta, max_treedepth, algorithm, inits, centred, solver, monte_carlo, pushdown,
    )  # fmt: skip


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def given_options(given: Control | Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``control=`` says, by name; names that `control` does not have are left to whoever iterates.

    Raises
    ------
    OptionError
        Neither a `Control` nor a mapping, or a value that an option cannot have.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        names = {field.name for field in fields(Control)}
        said = control(**{name: value for name, value in given.items() if name in names})
        others = {str(name): value for name, value in given.items() if name not in names}
        return others | given_options(said)
    if not isinstance(given, Control):
        raise OptionError(
            f"control={given!r} is neither mx.control(...) nor a mapping", hint="control={'tolerance': 1e-12}, say."
        )
    return {field.name: value for field in fields(given) if (value := getattr(given, field.name)) is not None}


def known_options(given: Control | Mapping[str, Any] | None, kind: type, who: str) -> dict[str, Any]:
    """What ``control=`` says to one that has the options that are the fields of the dataclass `kind`.

    Raises
    ------
    OptionError
        An option that it does not have, or a value that one cannot have.
    """
    options, known = given_options(given), [field.name for field in fields(kind)]
    for name in options:
        if name not in known:
            raise OptionError(f"{who} has no option {name!r}", hint=f"It has {', '.join(known)}.")
    return options
