"""Comparisons: how two average outcomes of a subgroup, one for each value of the treatment, become one number.

With h and l the averages under the higher and the lower value:

=================  ==============================  ======  =======================
name               value                           null    averages must be
=================  ==============================  ======  =======================
difference         h - l                           0       any
risk_difference    h - l                           0       probabilities
ratio              h / l                           1       positive
lnratio            ln(h / l)                       0       positive
lift               100 (h / l - 1), in percent     0       positive
odds_ratio         [h / (1 - h)] / [l / (1 - l)]   1       between 0 and 1
log_odds_ratio     ln of the odds ratio            0       between 0 and 1
=================  ==============================  ======  =======================

Averages come first, the comparison second: ``ratio`` is a ratio of weighted means, sum w h_i / sum w l_i, "how many
times as much there would be in all". The mean of ratios, sum w (h_i / l_i) / sum w, answers another question ("how
many times as much for a person drawn at random"), weighs those with small l_i most, and is not offered. In the same
way ``log_odds_ratio`` compares average probabilities; it lies nearer zero than the average difference on the logit
scale (``scale="link"``), because odds ratios do not collapse over people.

A comparison that is linear in the two averages is itself a linear functional of (beta, u) on the identity link, so
its mean and covariance are exact wherever those of the fit are. Any other is taken draw by draw, and its estimate is
the median of the draws: medians pass through monotone functions, so that ``lnratio`` is the logarithm of ``ratio``,
and an average near zero in a few draws does not decide the estimate. Where the response is a logarithm, the ratio of
two geometric means is a function of the difference of two means, and so is an odds ratio of a logit: these are exact
again. `COMPARISONS` is the registry: a new comparison is a new entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.transforms import CURVES, Affine, Curve, Transformation
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One way to compare.

    Attributes
    ----------
    name
        The name in ``effects(comparison=...)``.
    null
        Its value where the treatment does nothing.
    label
        Template of the text in the column `contrast`, from ``{high}`` and ``{low}``.
    compare
        (high, low) averages of any one shape -> the comparison, of that shape.
    slopes
        (high, low) -> its derivatives by the two, for standard errors of raw estimates.
    coefficients
        Multipliers of the two averages where the comparison is linear in them; None where it is not.
    domain
        What the averages must be for the comparison to have a meaning.
    through
        The logarithm that it is a function of: that of the ratio of the averages or of their odds; empty for neither.
    of_log
        The curve whose inverse that function is; None where it is the logarithm itself.
    """

    name: str
    null: float
    label: str
    compare: Callable[[Array, Array], Array]
    slopes: Callable[[Array, Array], tuple[Array, Array]]
    coefficients: tuple[float, float] | None = None
    domain: Literal["any", "probability", "positive", "unit"] = "any"
    through: Literal["", "ratio", "odds"] = ""
    of_log: Curve | Transformation | None = None

    def per_unit(self, values: Array, step: float) -> Array:
        """Comparisons over `step` units as those of one: a part of a difference, a root of a ratio."""
        if self.of_log is None:
            return values / step
        return self.of_log.inverse(self.of_log.forward(values) / step)

    @property
    def plain(self) -> bool:
        """Whether it is a difference, whatever the response is, of two averages or of neighbouring ones."""
        return self.name in ("difference", "slope")

    @property
    def title(self) -> str:
        """The name as it is read."""
        return self.name.replace("_", " ")

    def check(self, averages: Array, names: list[str]) -> None:
        """Refuse averages (D, r) outside the domain.

        Parameters
        ----------
        averages
            (D, r) draws of averages.
        names
            The r subgroups they belong to.

        Raises
        ------
        EffectsError
            Naming the first subgroup concerned.
        """
        if self.domain in ("any", "probability"):
            return
        outside = averages <= 0
        if self.domain == "unit":
            outside |= averages >= 1
        share = outside.mean(axis=0)
        if share.any():
            worst = int(np.argmax(share > 0))
            what = "positive averages" if self.domain == "positive" else "averages between 0 and 1"
            raise EffectsError(
                f"{self.name} needs {what}; that of {names[worst]!r} is not in {share[worst]:.3g} of the draws",
                hint='Use comparison="difference".',
            )


def _ones(high: Array, low: Array) -> tuple[Array, Array]:
    return np.ones_like(high), -np.ones_like(low)


def _odds_ratio(high: Array, low: Array) -> Array:
    return high / (1 - high) * (1 - low) / low


def _odds_slopes(high: Array, low: Array) -> tuple[Array, Array]:
    value = _odds_ratio(high, low)
    return value / (high * (1 - high)), -value / (low * (1 - low))


def _ratio_slopes(high: Array, low: Array) -> tuple[Array, Array]:
    return 1 / low, -high / low**2


def _lnratio(high: Array, low: Array) -> Array:
    return np.log(high) - np.log(low)


def _lnratio_slopes(high: Array, low: Array) -> tuple[Array, Array]:
    return 1 / high, -1 / low


def _lift(high: Array, low: Array) -> Array:
    return 100 * (high / low - 1)


def _lift_slopes(high: Array, low: Array) -> tuple[Array, Array]:
    return 100 / low, -100 * high / low**2


def _log_odds_ratio(high: Array, low: Array) -> Array:
    return np.log(_odds_ratio(high, low))


def _log_odds_slopes(high: Array, low: Array) -> tuple[Array, Array]:
    return 1 / (high * (1 - high)), -1 / (low * (1 - low))


_LINEAR = (1.0, -1.0)
_RATIO = CURVES["log"]
_PERCENT = Transformation("", "", (CURVES["log1p"], Affine(0.0, 100.0)))
COMPARISONS: dict[str, Comparison] = {
    c.name: c
    for c in (
        Comparison("difference", 0.0, "{high} - {low}", np.subtract, _ones, _LINEAR),
        Comparison("risk_difference", 0.0, "{high} - {low}", np.subtract, _ones, _LINEAR, "probability"),
        Comparison("ratio", 1.0, "{high} / {low}", np.divide, _ratio_slopes, None, "positive", "ratio", _RATIO),
        Comparison("lnratio", 0.0, "ln({high} / {low})", _lnratio, _lnratio_slopes, None, "positive", "ratio"),
        Comparison("lift", 0.0, "{high} over {low}, %", _lift, _lift_slopes, None, "positive", "ratio", _PERCENT),
        Comparison(
            "odds_ratio", 1.0, "odds({high}) / odds({low})", _odds_ratio, _odds_slopes, None, "unit", "odds", _RATIO
        ),
        Comparison(
            "log_odds_ratio",
            0.0,
            "ln(odds({high}) / odds({low}))",
            _log_odds_ratio,
            _log_odds_slopes,
            None,
            "unit",
            "odds",
        ),
    )
}


SLOPE = Comparison("slope", 0.0, "{high} - {low}", np.subtract, _ones, _LINEAR)
"""Of a numeric treatment: what outcomes rise by per unit at the value of each row. It compares no given values."""


def find_comparison(name: str) -> Comparison:
    """Return the registered comparison of this name, or `SLOPE`.

    Raises
    ------
    EffectsError
        A name that is not registered.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.effects.comparisons import find_comparison
    >>> float(find_comparison("odds_ratio").compare(np.array(0.8), np.array(0.5)).round(6))
    4.0
    """
    if name == SLOPE.name:
        return SLOPE
    if name not in COMPARISONS:
        hint = did_you_mean(name, [*COMPARISONS, SLOPE.name], all_of="Comparisons")
        raise EffectsError(f"there is no comparison {name!r}", hint=hint)
    return COMPARISONS[name]
