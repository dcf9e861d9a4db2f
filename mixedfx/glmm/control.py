"""How the optimiser of a generalised linear mixed model works; `mixedfx.control` says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixedfx.options import Control, known_options
from mixedfx.progress import Asked

TOLERANCE = 1e-8  # predicted decrease of the criterion, in units of deviance, at which a point is a minimum
MAX_EVALUATIONS = 200
MONTE_CARLO = 0.02  # largest Monte Carlo error of an estimate, as a share of its standard error


@dataclass(frozen=True)
class GlmmControl:
    """Options of the optimiser, as `mixedfx.control` describes them."""

    tolerance: float = TOLERANCE
    max_evaluations: int = MAX_EVALUATIONS
    start: tuple[float, ...] | None = None
    threads: int | None = None
    progress: Asked = False
    solver: Literal["auto", "direct", "iterative"] = "auto"
    monte_carlo: float = MONTE_CARLO


DEFAULT = GlmmControl()


def read_control(given: Control | Mapping[str, Any] | None) -> GlmmControl:
    """What ``control=`` says to the optimiser.

    Raises
    ------
    OptionError
        An option that it does not know, or a value that one cannot have.
    """
    return GlmmControl(**known_options(given, GlmmControl, "the optimiser"))
