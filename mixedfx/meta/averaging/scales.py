"""Answers on another effect size measure: functions of a mean effect, factors of standard deviations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfx.errors import OptionError
from mixedfx.meta.measure import Array

PER_SD = np.pi / np.sqrt(3)
_FROM: dict[str, Callable[[Array], Array]] = {
    "SMD": lambda x: x,
    "COR": lambda x: 2 * x / np.sqrt(1 - x * x),
    "ZCOR": lambda x: 2 * np.sinh(x),
    "OR": lambda x: x / PER_SD,
}
_TO: dict[str, Callable[[Array], Array]] = {
    "SMD": lambda d: d,
    "COR": lambda d: d / np.sqrt(d * d + 4),
    "ZCOR": lambda d: np.arcsinh(d / 2),
    "OR": lambda d: PER_SD * d,
}
SPREAD = {"SMD": 1.0, "ZCOR": 0.5, "OR": PER_SD, "COR": np.nan}


def converter(source: str, target: str | None) -> tuple[Callable[[Array], Array], float]:
    """Function of a mean effect, and factor of tau, from one measure to another.

    Between standardised mean differences, correlations with group membership, Fisher's z and log odds ratios, for
    groups of equal size and a logistic distribution behind odds (`mixedfx.convert_effects`). tau is doubled from
    Fisher's z to d, as near 0 one is half of the other; it has no value on the scale of correlations.

    Raises
    ------
    OptionError
        A measure that has no such way.

    Examples
    --------
    >>> from mixedfx.meta.averaging.scales import converter
    >>> back, factor = converter("SMD", "COR")
    >>> round(float(back(0.5)), 4)
    0.2425
    """
    if target is None or target == source:
        return lambda x: x, 1.0
    if source not in _FROM or target not in _TO:
        known = ", ".join(map(repr, _TO))
        raise OptionError(
            f"there is no way from measure={source or None!r} to {target!r}",
            hint=f"Between {known} there is; name what the estimates are in measure= of the fit.",
        )
    return lambda x: _TO[target](_FROM[source](x)), SPREAD[target] / SPREAD[source]
