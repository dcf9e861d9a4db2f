"""Estimates in files of fits are worked out anew when they are read, and compared with what was saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.archive import numbers
from mixedfx.errors import DataError

CLOSE = 1e-6  # of the criterion, relative, that another machine's rounding may differ by


def check_criterion(head: Mapping[str, Any], criterion: float) -> None:
    """Refuse a likelihood that is not that of the head (`DataError`)."""
    if not _close(head, criterion):
        raise _other(head, "another likelihood at the saved estimates than was saved")


def check_estimates(head: Mapping[str, Any], criterion: float, beta: NDArray[np.float64]) -> None:
    """Refuse a criterion, or coefficients (p,), that are not those of the head (`DataError`)."""
    coefficients = numbers(head["beta"], len(beta))
    near = _close(head, criterion) and bool(np.isfinite(coefficients).all())
    if not (near and np.allclose(beta, coefficients, rtol=1e-4, atol=1e-6 * np.abs(beta).max(initial=1.0))):
        raise _other(head, "other estimates at the saved parameters than were saved")


def _close(head: Mapping[str, Any], criterion: float) -> bool:
    wanted = float(numbers(head["criterion"], 1)[0])
    return bool(abs(criterion - wanted) <= CLOSE * (1.0 + abs(wanted)))


def _other(head: Mapping[str, Any], what: str) -> DataError:
    return DataError(
        f"this version of mixedfx finds {what}",
        hint=f"Read the file with mixedfx {head['mixedfx']}, which wrote it.",
    )
