"""p values of estimates, the intervals that steps make of them, and how many are in each.

A step function has one parameter for each interval. An interval without estimates has the maximum of its likelihood at
a weight of 0, or, if it is the reference, at infinite weights of all the others: such an interval is refused, or merged
with a neighbour where that is asked for. A p value on a step belongs to the more significant interval: an estimate of
exactly 0 has a one-sided p value of .5, which is not above .5.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from mixedfx.errors import DataError, OptionError
from mixedfx.meta.measure import Array

Alternative = Literal["greater", "less", "two.sided"]
Empty = Literal["refuse", "merge"]
FEW = 3
CUSTOMARY = (0.025, 0.05, 0.1, 0.5)


def p_values(z: Array, two_sided: bool) -> Array:
    """(k,) p values of estimates of z standard errors in the direction in which they are significant."""
    return 2 * special.ndtr(-np.abs(z)) if two_sided else special.ndtr(-z)


def critical_values(steps: Sequence[float], two_sided: bool) -> Array:
    """(J,) z whose p value is each step."""
    return -special.ndtri(np.array(steps, dtype=np.float64) / (2 if two_sided else 1))


def read_steps(steps: Any, default: tuple[float, ...], most: int | None = None) -> tuple[float, ...]:
    """Steps as a rising tuple between 0 and 1.

    Raises
    ------
    OptionError
        Values that are no steps, or more of them than `most`.
    """
    if steps is None:
        return default
    try:
        found = tuple(float(step) for step in np.atleast_1d(np.asarray(steps, dtype=np.float64)))
    except (TypeError, ValueError):
        raise OptionError(f"steps={steps!r} are no numbers", hint="Give p values, such as steps=(.025, .5).") from None
    if found and found[-1] == 1:
        found = found[:-1]
    if not found or any(not 0 < step < 1 for step in found) or list(found) != sorted(set(found)):
        raise OptionError(
            f"steps={steps!r} are no rising p values between 0 and 1", hint="Give them as in steps=(.025, .5)."
        )
    if most is not None and len(found) > most:
        raise OptionError(
            f"{len(found)} steps are given to a smooth weight function, and one is where selection begins",
            hint="Use type='stepfun' for several steps.",
        )
    return found


def intervals(z: Array, steps: Sequence[float], two_sided: bool) -> Array:
    """(k,) interval of each estimate, 0 the most significant."""
    size = np.abs(z) if two_sided else z
    return np.sum(size[:, None] < critical_values(steps, two_sided), axis=1)


def interval_names(steps: Sequence[float]) -> list[str]:
    """The intervals as text.

    Examples
    --------
    >>> from mixedfx.meta.selection.intervals import interval_names
    >>> interval_names([0.025, 0.5])
    ['0 < p <= 0.025', '0.025 < p <= 0.5', '0.5 < p <= 1']
    """
    ends = ["0", *(f"{step:g}" for step in steps), "1"]
    return [f"{low} < p <= {high}" for low, high in itertools.pairwise(ends)]


def count_table(z: Array, steps: Sequence[float], two_sided: bool) -> pd.DataFrame:
    """How many estimates are in each interval."""
    cells = intervals(z, steps, two_sided)
    return pd.DataFrame({"interval": interval_names(steps), "k": np.bincount(cells, minlength=len(steps) + 1)})


def merged(steps: tuple[float, ...], counts: Array) -> tuple[float, ...]:
    """The steps that are left when every empty interval joins the next less significant one, the last the one before.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.selection.intervals import merged
    >>> merged((0.025, 0.05, 0.5), np.array([4, 0, 3, 0]))
    (0.025,)
    """
    filled = np.flatnonzero(counts)
    return tuple(step for j, step in enumerate(steps) if counts[j] > 0 and j < filled[-1])


def without_empty(steps: tuple[float, ...], counts: Array, empty: Empty, what: str = "estimate") -> tuple[float, ...]:
    """The steps of which no interval is empty.

    Raises
    ------
    DataError
        An interval is empty and may not be merged, or no step is left.
    """
    if (counts > 0).all():
        return steps
    names = interval_names(steps)
    lacking = " and ".join(names[j] for j in np.flatnonzero(counts == 0))
    left = merged(steps, counts)
    if not left:
        raise DataError(
            f"all {int(counts.sum())} {what}s have p values in one interval, {names[int(np.argmax(counts))]}: "
            "they say nothing of selection",
            hint="Choose steps with estimates on either side, or another alternative=.",
        )
    if empty == "refuse":
        shown = ", ".join(f"{step:g}" for step in left) + ("," if len(left) == 1 else "")
        raise DataError(
            f"no {what} has {lacking}, so that the likelihood has no maximum for the weight there",
            hint=f"Use steps=({shown}), or empty='merge', which does the same.",
        )
    return left
