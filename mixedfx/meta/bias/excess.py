r"""Test of excess significance: whether there are more significant estimates than their power lets expect.

An estimate of a true effect N(theta, tau^2) is N(theta, v + tau^2), and significant in the direction asked for with
probability pi_i; the number O of those is compared with E = sum pi_i (Ioannidis and Trikalinos 2007, Clinical Trials
4(3)): by its exact distribution, a sum of Bernoulli variables with probabilities pi_i (Francis 2013, Journal of
Mathematical Psychology 57(5)), by a binomial one with their mean, or by chi-square, (O - E)^2 / E + (O - E)^2 / (k -
E). The limit estimate is the theta of which O would just be not in excess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixedfx.errors import ModelError, OptionError, check_option
from mixedfx.meta.measure import Array
from mixedfx.meta.roots import between
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Alternative = Literal["two-sided", "greater", "less"]
ExcessKind = Literal["exact", "binomial", "chisq"]


@dataclass(frozen=True, repr=False)
class ExcessTest(Shown):
    """What the test found.

    Attributes
    ----------
    observed, expected
        Numbers of significant estimates.
    power
        (k,) probability of each estimate to be significant.
    p_value
        Of so many, or more.
    statistic
        Chi-square; NaN of the other kinds.
    theta
        True effect that power is for.
    limit
        theta at which the p value is .10; NaN where there is none between `theta` and the null.
    kind
        ``"exact"``, ``"binomial"`` or ``"chisq"``.
    """

    observed: int
    expected: float
    power: Array
    p_value: float
    statistic: float
    theta: float
    limit: float
    kind: str

    def content(self) -> SummaryContent:
        """What is shown."""
        facts = [
            ("Significant", f"{self.observed} of {len(self.power)}, expected {self.expected:.2f}"),
            ("Excess", f"p = {self.p_value:.4g} ({self.kind})"),
            ("True effect", f"{self.theta:.4g}"),
        ]
        if not np.isnan(self.limit):
            facts.append(("Limit estimate", f"{self.limit:.4g}, of which there would be no excess at the .10 level"))
        return SummaryContent("Test of excess significance", (SummaryFacts(tuple(facts)),))


def excess_test(
    fit: RmaState, kind: ExcessKind, alternative: Alternative, alpha: float, theta: float | None, null: float
) -> ExcessTest:
    """Test behind `RmaFit.excess_test`."""
    check_option("kind", kind, ("exact", "binomial", "chisq"))
    check_option("alternative", alternative, ("two-sided", "greater", "less"))
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha!r} is not a probability", hint="Use 0.05, say.")
    if fit.names != ("Intercept",):
        raise ModelError("the test of excess significance is for fits without moderators", hint="Fit yi ~ 1.")
    from scipy import special

    z = (fit.data.y - null) / np.sqrt(fit.vi)
    critical = special.ndtri(1 - (alpha / 2 if alternative == "two-sided" else alpha))
    significant = {"two-sided": np.abs(z) > critical, "greater": z > critical, "less": z < -critical}[alternative]
    observed = int(significant.sum())
    effect = float(fit.beta[0]) if theta is None else float(theta)

    def powers(at: float) -> Array:
        spread = np.sqrt(fit.vi + fit.tau2)
        up = special.ndtr((at - null - critical * np.sqrt(fit.vi)) / spread)
        down = special.ndtr((null - at - critical * np.sqrt(fit.vi)) / spread)
        return {"two-sided": up + down, "greater": up, "less": down}[alternative]

    power = powers(effect)
    p, statistic = excess_probability(observed, power, kind)
    return ExcessTest(
        observed, float(power.sum()), power, p, statistic, effect,
        _limit(lambda at: excess_probability(observed, powers(at), kind)[0] - 0.10, effect, null), kind,
    )  # fmt: skip


def excess_probability(observed: int, power: Array, kind: str) -> tuple[float, float]:
    """Probability of so many significant estimates or more, and chi-square (NaN of the other kinds)."""
    from scipy import special

    k, expected = len(power), float(power.sum())
    if kind == "chisq":
        difference = observed - expected
        statistic = difference**2 / expected + difference**2 / (k - expected)
        return float(special.ndtr(-np.sign(difference) * np.sqrt(statistic))), statistic
    if kind == "binomial":
        return (1.0 if observed == 0 else float(special.bdtrc(observed - 1, k, expected / k))), np.nan
    counts = np.array([1.0])
    for p in power:  # the distribution of a sum, one variable at a time
        counts = np.append(counts * (1 - p), 0.0) + np.append(0.0, counts * p)
    return float(counts[observed:].sum()), np.nan


def _limit(f: Callable[[float], float], theta: float, null: float) -> float:
    """Where f crosses 0 between the null and beyond theta; NaN where it does not."""
    if f(null) > 0:
        return np.nan
    away = theta - null if theta != null else 1.0
    far = null + away
    for _ in range(60):
        if f(far) > 0:
            return between(f, null, far) if far > null else -between(lambda s: f(-s), -null, -far)
        away *= 2
        far = null + away
    return np.nan
