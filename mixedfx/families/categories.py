"""Families of categories: cumulative (ordered) and categorical (without order).

Cumulative: P(Y <= k) = F(threshold_k - eta) with F the inverse link, thresholds increasing, no intercept in eta
(McCullagh 1980, JRSS B 42:109). The probability of a category is a difference of two values of F; its logarithm is
taken in the tail where both are small, from log F or log(1 - F), and for the logit link from
F(a) - F(b) = F(a) (1 - F(b)) (1 - exp(b - a)).

Categorical: softmax over (0, eta_2, ..., eta_K), the first category is the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.family import Array, Auxiliary, Family, Outcome, refuse
from mixedfx.families.links import log1mexp


class _Categories(Family):
    """A response among K categories, as codes 0 to K - 1."""

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
        """Codes are whole numbers from 0."""
        refuse(
            ~((y >= 0) & (y == np.floor(y))),
            y,
            rows,
            f"{self.name} responses are codes of categories, but the response is {{value}} in {{where}}",
            "Give the response as text, as a categorical column or as whole numbers.",
        )


@dataclass(frozen=True, repr=False)
class Cumulative(_Categories):
    """Ordered categories; see `cumulative`."""

    name = "cumulative"
    links = ("logit", "probit", "cloglog", "cauchit")
    outcome: ClassVar[Outcome] = "ordered"

    def _log_between(self, lower: Array, upper: Array) -> Array:
        """log(F(upper) - F(lower)) for lower < upper, either of which may be infinite."""
        link = self.link
        with np.errstate(invalid="ignore", divide="ignore"):
            if link.name == "logit":
                return link.log_inverse(upper) + link.log_complement(lower) + log1mexp(lower - upper)
            right = lower > 0
            large = np.where(right, link.log_complement(lower), link.log_inverse(upper))
            small = np.where(right, link.log_complement(upper), link.log_inverse(lower))
            gap = np.where(np.isneginf(small), -np.inf, small - large)
            return large + log1mexp(np.minimum(gap, 0.0))

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """log(F(threshold_y - eta) - F(threshold_{y-1} - eta))."""
        edges, code = _edges(aux), np.asarray(y, dtype=np.intp)
        return self._log_between(edges[:, code] - eta, edges[:, code + 1] - eta)

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """(D, m, K) probabilities of the categories."""
        edges = _edges(aux)[:, None, :] - np.asarray(eta)[..., None]
        return np.exp(self._log_between(edges[..., :-1], edges[..., 1:]))

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Codes 0 to K - 1: how many thresholds lie below a draw of the latent variable."""
        uniform = rng.random(np.shape(eta))
        below = np.zeros(np.shape(eta))
        for threshold in np.asarray(aux["threshold"], dtype=np.float64).T:
            below += uniform > self.link.inverse(threshold[:, None] - eta)
        return below


def _edges(aux: Auxiliary) -> Array:
    """(D, K + 1) thresholds between minus and plus infinity."""
    thresholds = np.asarray(aux["threshold"], dtype=np.float64)
    end = np.full((len(thresholds), 1), np.inf)
    return np.concatenate([-end, thresholds, end], axis=1)


@dataclass(frozen=True, repr=False)
class Categorical(_Categories):
    """Categories without order; see `categorical`."""

    name = "categorical"
    links = ("logit",)
    outcome: ClassVar[Outcome] = "nominal"

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log softmax of the observed category."""
        logits = _with_reference(eta)
        code = np.broadcast_to(np.asarray(y, dtype=np.intp)[None, :, None], (*logits.shape[:2], 1))
        return np.take_along_axis(logits, code, axis=2)[..., 0] - special.logsumexp(logits, axis=2)

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """(D, m, K) probabilities of the categories."""
        return special.softmax(_with_reference(eta), axis=2)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Codes 0 to K - 1."""
        cumulated = np.cumsum(self.mean(eta, aux), axis=2)
        uniform = rng.random(np.shape(eta)[:2])
        return (uniform[..., None] > cumulated[..., :-1]).sum(axis=2).astype(np.float64)


def _with_reference(eta: Array) -> Array:
    """(D, m, K) logits, 0 for the first category."""
    eta = np.asarray(eta, dtype=np.float64)
    return np.concatenate([np.zeros((*eta.shape[:2], 1)), eta], axis=2)


def cumulative(link: str = "logit") -> Cumulative:
    """Ordered categories, P(Y <= k) = F(threshold_k - eta): positive coefficients move towards the higher ones.

    The response is an ordered categorical column or whole numbers. The thresholds take the place of the intercept.
    Links ``"logit"`` (proportional odds), ``"probit"``, ``"cloglog"``, ``"cauchit"``.

    Examples
    --------
    >>> import numpy as np
    >>> import mixedfx as mx
    >>> thresholds = np.array([[-1.0, 1.0]])
    >>> mx.families.cumulative().mean(np.zeros((1, 1)), {"threshold": thresholds}).round(3)
    array([[[0.269, 0.462, 0.269]]])
    """
    return Cumulative.linked(link)


def categorical(link: str = "logit") -> Categorical:
    """Categories without order: one linear predictor for each but the first, which is the reference."""
    return Categorical.linked(link)
