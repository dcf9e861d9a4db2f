"""How the optimiser of a (RE)ML fit works: what it calls a minimum, how long it tries, where it begins.

`mixedfx.control` says it; here are the options that the optimiser knows, and their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixedfx.options import Control, known_options
from mixedfx.progress import Asked

TOLERANCE = 1e-9  # predicted decrease of the criterion, in units of deviance, at which a point is a minimum
MAX_EVALUATIONS = 200
MONTE_CARLO = 0.02  # largest Monte Carlo error of a standard deviation, as a share of its standard error
START_RADIUS = 0.25  # first radius of trust, relative to the length of the starting parameters (or one)


@dataclass(frozen=True)
class OptimiserControl:
    """Options of the optimiser, as `mixedfx.control` describes them."""

    tolerance: float = TOLERANCE
    max_evaluations: int = MAX_EVALUATIONS
    radius: float = START_RADIUS
    start: tuple[float, ...] | None = None
    threads: int | None = None
    progress: Asked = False
    solver: Literal["auto", "direct", "iterative"] = "auto"
    monte_carlo: float = MONTE_CARLO
    pushdown: bool | Literal["auto"] = "auto"


def read_control(given: Control | Mapping[str, Any] | None) -> OptimiserControl:
    """What ``control=`` says to the optimiser.

    Raises
    ------
    OptionError
        An option that it does not know, or a value that one cannot have.
    """
    return OptimiserControl(**known_options(given, OptimiserControl, "the optimiser"))
