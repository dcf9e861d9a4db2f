"""How the optimiser of a (RE)ML fit works: what it calls a minimum, how long it tries, where it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.frame import nearest
from mixedfx.errors import OptionError, check_count

TOLERANCE = 1e-9  # predicted decrease of the criterion, in units of deviance, at which a point is a minimum
MAX_EVALUATIONS = 200
START_RADIUS = 0.25  # first radius of trust, relative to the length of the starting parameters (or one)


@dataclass(frozen=True)
class Control:
    """Options of the optimiser; see `control`.

    Attributes
    ----------
    tolerance, max_evaluations, radius, start, threads
        As in `control`.
    """

    tolerance: float = TOLERANCE
    max_evaluations: int = MAX_EVALUATIONS
    radius: float = START_RADIUS
    start: tuple[float, ...] | None = None
    threads: int | None = None


def control(
    tolerance: float = TOLERANCE,
    max_evaluations: int = MAX_EVALUATIONS,
    radius: float = START_RADIUS,
    start: Sequence[float] | NDArray[np.float64] | None = None,
    threads: int | None = None,
) -> Control:
    """Options for ``control=`` of `mixedfx.lmer`; a mapping of them serves as well.

    Parameters
    ----------
    tolerance
        Decrease of the criterion (in units of deviance) that the next step must promise; where it promises less, the
        point is a minimum. At 1e-9 theta is within some 1e-5 standard errors.
    max_evaluations
        Evaluations of criterion and gradient after which the optimiser gives up, with a `ConvergenceWarning`.
    radius
        First radius of trust, relative to the length of the starting parameters.
    start
        (r,) theta to begin at, as ``fit.theta`` has it; None: variance components by moments.
    threads
        Threads of BLAS during the fit; None: one for small matrices, as many as cores are free for large ones.

    Raises
    ------
    OptionError
        A value that an option cannot have.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> fit = mx.lmer("score ~ style + (1 | professor)", course, control=mx.control(tolerance=1e-12))
    >>> again = mx.lmer("score ~ style + (1 | professor)", course, control={"start": fit.theta})
    >>> again.optimization.evaluations < fit.optimization.evaluations
    True
    """
    for name, value in (("tolerance", tolerance), ("radius", radius)):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not 0 < value < np.inf:
            raise OptionError(f"{name}={value!r} is no positive number", hint=f"Leave {name} out for the default.")
    check_count("max_evaluations", max_evaluations, 1)
    if threads is not None:
        check_count("threads", threads, 1)
    if start is not None:
        values = np.asarray(start, dtype=np.float64)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise OptionError("start= is no vector of finite numbers", hint="Give theta, as fit.theta of another fit.")
        start = tuple(map(float, values))
    return Control(float(tolerance), int(max_evaluations), float(radius), start, threads)


def read_control(given: Control | Mapping[str, Any] | None) -> Control:
    """What ``control=`` says.

    Raises
    ------
    OptionError
        An option that there is not, or a value that it cannot have.
    """
    if given is None:
        return Control()
    if isinstance(given, Control):
        return given
    if not isinstance(given, Mapping):
        raise OptionError(
            f"control={given!r} is neither mx.control(...) nor a mapping", hint="control={'tolerance': 1e-12}, say."
        )
    names = [field.name for field in fields(Control)]
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise OptionError(f"control has no option {unknown[0]!r}", hint=nearest(unknown[0], names))
    return control(**given)
