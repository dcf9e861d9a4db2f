r"""How many estimates of no effect would undo a finding.

* Rosenthal (1979, Psychological Bulletin 86(3)): that make the sum of the k z values, over the root of their number, no
  longer significant, (sum z / z_alpha)^2 - k.
* Orwin (1983, Journal of Educational Statistics 8(2)): that bring the mean down to a target, k (mean - target) /
  target.
* Rosenberg (2005, Evolution 59(2)): of average weight, that make the weighted mean no longer significant: with weights
  w, [(sum w y)^2 / z_(alpha/2)^2 - sum w] / mean w.

Whole numbers, rounded up, at least 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixedfx.errors import OptionError, check_flag, check_option
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

FailSafeKind = Literal["Rosenthal", "Orwin", "Rosenberg"]


@dataclass(frozen=True, repr=False)
class FailSafe(Shown):
    """A fail-safe number.

    Attributes
    ----------
    kind
        Whose.
    n
        How many estimates of no effect.
    p_value
        Of the estimates as they are; NaN for Orwin's.
    alpha
        Level that is given up.
    mean, target
        Mean effect and where it is brought, for Orwin's and Rosenberg's; NaN else.
    """

    kind: str
    n: int
    p_value: float
    alpha: float
    mean: float
    target: float

    def content(self) -> SummaryContent:
        """What is shown."""
        facts = [("Fail-safe N", f"{self.n:,} ({self.kind})")]
        if self.kind == "Orwin":
            facts.append(("Mean", f"{self.mean:.4g}, brought to {self.target:.4g}"))
        else:
            facts.append(("Significance", f"p = {self.p_value:.4g}, brought to {self.alpha:g}"))
        return SummaryContent("Estimates of no effect that would undo the finding", (SummaryFacts(tuple(facts)),))


def fail_safe(fit: RmaState, kind: FailSafeKind, alpha: float, target: float | None, weighted: bool) -> FailSafe:
    """Number behind `RmaFit.fail_safe`."""
    from scipy import special

    check_option("kind", kind, ("Rosenthal", "Orwin", "Rosenberg"))
    check_flag("weighted", weighted)
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha!r} is not a probability", hint="Use 0.05, say.")
    y, v, k = fit.data.y, fit.vi, fit.k
    if kind == "Rosenthal":
        z = abs(float(np.sum(y / np.sqrt(v)))) / np.sqrt(k)
        n = k * (z / special.ndtri(1 - alpha)) ** 2 - k
        return FailSafe(kind, _whole(n), float(special.ndtr(-z)), alpha, np.nan, np.nan)
    w = 1 / v
    if kind == "Rosenberg":
        mean = float(w @ y / w.sum())
        z = abs(mean) * np.sqrt(w.sum())
        n = ((w @ y) ** 2 / special.ndtri(1 - alpha / 2) ** 2 - w.sum()) / w.mean()
        return FailSafe(kind, _whole(n), float(2 * special.ndtr(-z)), alpha, mean, np.nan)
    mean = float(w @ y / w.sum()) if weighted else float(y.mean())
    target = mean / 2 if target is None else float(target)
    if target == 0 or target * mean < 0:
        raise OptionError(
            f"target={target:g} is not between 0 and the mean, {mean:.4g}", hint="Name a small effect of its sign."
        )
    return FailSafe(kind, _whole(k * (mean - target) / target), np.nan, alpha, mean, target)


def _whole(n: float) -> int:
    return int(max(0.0, np.ceil(n - 1e-9)))
