r"""Trim and fill: how many estimates a symmetric funnel lacks on one side, and the mean once they are filled in.

Estimates are trimmed from the far side until the number k0 that their ranks ask for is the number that was trimmed
(Duval and Tweedie 2000, Journal of the American Statistical Association 95(449); Biometrics 56(2)). With centred
estimates, ranks r of their sizes, T the sum of the ranks of those above the centre, and k estimates,

    R0 = k - 1 - (largest rank below the centre),     L0 = (4 T - k (k + 1)) / (2 k - 1),
    Q0 = k - 1/2 - sqrt(2 k^2 - 4 T + 1/4),

rounded. If none is missing, R0 + 1 is geometric: P(R0 >= j) = 2^-(j + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mixedfx.errors import ModelError, check_option
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.refits import refits
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.weighted import Effects
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Side = Literal["left", "right"]
MissingEstimator = Literal["L0", "R0", "Q0"]
ROUNDS = 100


@dataclass(frozen=True, repr=False)
class TrimFill(Shown):
    """A fit with the estimates filled in that a symmetric funnel lacks.

    Attributes
    ----------
    fit
        `RmaFit` of all estimates, the filled ones last (labelled ``filled 1``, ...).
    k0
        How many were filled in.
    std_error
        Standard error of that number.
    side
        The side they are missing on.
    p_value
        Of none missing, by R0; NaN of the others.
    estimator
        ``"L0"``, ``"R0"`` or ``"Q0"``.
    before
        The mean without them.
    """

    fit: Any
    k0: int
    std_error: float
    side: Side
    p_value: float
    estimator: str
    before: float

    @property
    def filled(self) -> tuple[Array, Array]:
        """Estimates and sampling variances that were filled in."""
        return self.fit.data.y[self.fit.k - self.k0 :], self.fit.vi[self.fit.k - self.k0 :]

    def content(self) -> SummaryContent:
        """What is shown."""
        facts = [
            ("Missing", f"{self.k0} on the {self.side} (standard error {self.std_error:.2f}, {self.estimator})"),
            ("Mean", f"{self.fit.beta[0]:.4g} with them, {self.before:.4g} without"),
        ]
        if not np.isnan(self.p_value):
            facts.append(("None missing", f"p = {self.p_value:.4g}"))
        return SummaryContent(
            "Trim and fill",
            (
                SummaryFacts(tuple(facts)),
                frame_table(self.fit.tidy()[["term", "estimate", "std_error", "conf_low", "conf_high"]], "Model"),
            ),
        )


def missing_count(centred: Array, estimator: str) -> tuple[float, float]:
    """k0 before rounding and its standard error, from centred estimates of which the largest are in excess."""
    k = len(centred)
    ranks = np.empty(k)
    ranks[np.argsort(np.abs(centred), kind="stable")] = np.arange(1, k + 1)
    if estimator == "R0":
        below = ranks[centred < 0]
        k0 = max(0.0, k - (below.max() if len(below) else 0) - 1)
        return k0, float(np.sqrt(2 * k0 + 2))
    total = float(ranks[centred > 0].sum())
    if estimator == "L0":
        k0 = (4 * total - k * (k + 1)) / (2 * k - 1)
        return max(0.0, k0), 4 * np.sqrt(_rank_variance(k, k0)) / (2 * k - 1)
    k0 = k - 0.5 - np.sqrt(max(2 * k**2 - 4 * total + 0.25, 0.0))
    return max(0.0, k0), 2 * np.sqrt(_rank_variance(k, k0)) / np.sqrt((k - 0.5) ** 2 - k0 * (2 * k - k0 - 1))


def _rank_variance(k: int, k0: float) -> float:
    """Variance of the rank sum with k0 missing, as it was estimated, which may be below 0."""
    whole = k * (k + 1) * (2 * k + 1) + 10 * k0**3 + 27 * k0**2 + 17 * k0
    return max(0.0, (whole - 18 * k * k0**2 - 18 * k * k0 + 6 * k**2 * k0) / 24)


def trimmed(fit: RmaState, side: Side, estimator: MissingEstimator) -> tuple[int, float, float, Array]:
    """k0, its standard error, the centre, and positions of the estimates from the near side to the far."""
    check_option("estimator", estimator, ("L0", "R0", "Q0"))
    check_option("side", side, ("left", "right"))
    if fit.names != ("Intercept",):
        raise ModelError("trim and fill is for fits without moderators", hint="Fit yi ~ 1.")
    if fit.k < 3:
        raise ModelError(f"{fit.k} estimates have no funnel", hint="Three are the least.")
    sign = 1.0 if side == "left" else -1.0
    y = sign * fit.data.y
    order = np.argsort(y, kind="stable")
    y, v = y[order], fit.vi[order]
    weights = None if fit.weights is None else fit.weights[order][None]
    k0, se, centre, before = 0, 0.0, 0.0, -1
    for _ in range(ROUNDS):
        if k0 == before:
            break
        before = k0
        use = np.ones((1, fit.k))
        use[0, fit.k - k0 :] = 0.0
        found = refits(Effects(y[None], v[None], fit.effects.Q, use), fit.R, fit.estimator, "z", fit.call.tau2, weights)
        centre = float(found.beta[0, 0])
        raw, se = missing_count(y - centre, estimator)
        k0 = int(np.round(raw))
    return k0, float(se), sign * centre, order
