"""Comparisons: how two average outcomes of a subgroup, one for each value of the treatment, become one number.

A comparison that is linear in the two averages is itself a linear functional of (beta, u) on the identity link, so
its mean and covariance are exact wherever those of the fit are. `COMPARISONS` is the registry: a new comparison is a
new entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError


@dataclass(frozen=True)
class Comparison:
    """One way to compare.

    Attributes
    ----------
    name
        The name in ``effects(comparison=...)``.
    null
        Its value where the treatment does nothing.
    coefficients
        Multipliers of the average outcomes under the higher and the lower value of the treatment.
    label
        Template of the text in the column `contrast`, from ``{high}`` and ``{low}``.
    """

    name: str
    null: float
    coefficients: tuple[float, float]
    label: str


COMPARISONS: dict[str, Comparison] = {
    "difference": Comparison("difference", null=0.0, coefficients=(1.0, -1.0), label="{high} - {low}"),
}


def find_comparison(name: str) -> Comparison:
    """Return the registered comparison of this name.

    Raises
    ------
    EffectsError
        A name that is not registered.

    Examples
    --------
    >>> from mixedfx.effects.comparisons import find_comparison
    >>> find_comparison("difference").null
    0.0
    """
    if name not in COMPARISONS:
        mend = did_you_mean(name, COMPARISONS, all_of="Comparisons")
        raise EffectsError(f"there is no comparison {name!r}", mend=mend)
    return COMPARISONS[name]
