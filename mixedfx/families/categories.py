"""Families of categories: cumulative (ordered) and categorical (without order).

Cumulative: P(Y <= k) = F(threshold_k - eta) with F the inverse link, thresholds increasing, no intercept in eta
(McCullagh 1980, JRSS B 42:109). The probability of a category is a difference of two values of F; its logarithm is
taken in the tail where both are small, from log F or log(1 - F), and for the logit link from
F(a) - F(b) = F(a) (1 - F(b)) (1 - exp(b - a)).

Categorical: softmax over (0, eta_2, ..., eta_K), the first category is the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.errors import OptionError
from mixedfx.families.derivatives import HIGHEST, Ladder, of_logarithm, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, refuse
from mixedfx.families.link_derivatives import Climb
from mixedfx.families.links import log1mexp


class _Categories(Family):
    """A response among K categories, as codes 0 to K - 1."""

    mean_is_inverse_link = False

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Codes are whole numbers from 0."""
        refuse(
            ~((y >= 0) & (y == np.floor(y))),
            y,
            rows,
            f"{self.name} responses are codes of categories, but the response is {{value}} in {{where}}",
            "Give the response as text, as a categorical column or as whole numbers.",
        )

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """P (1 - p) of each category's indicator."""
        p = self.mean(eta, aux)
        return p * (1 - p)


@dataclass(frozen=True, repr=False)
class Cumulative(_Categories):
    """Ordered categories; see `cumulative`."""

    name = "cumulative"
    links = ("logit", "probit", "cloglog", "cauchit")
    concave = ("logit", "probit", "cloglog")
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

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """log(F(threshold_y - eta) - F(threshold_{y-1} - eta))."""
        edges, code = _edges(aux), np.asarray(y, dtype=np.intp)
        return self._log_between(edges[:, code] - eta, edges[:, code + 1] - eta)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of log(F(b) - F(a)), a and b being the thresholds around the category less eta."""
        edges, code = _edges(aux), np.asarray(y, dtype=np.intp)
        a, b = edges[:, code] - eta, edges[:, code + 1] - eta
        if self.link.name == "logit":  # log F(b) + log(1 - F(a)) + what does not depend on eta
            found = [
                one + other
                for one, other in zip(
                    _bounded(self.link.log_inverse_derivatives, b, order),
                    _bounded(self.link.log_complement_derivatives, a, order),
                    strict=True,
                )
            ]
        else:
            ratios = zip(self._over(a, b, b, order), self._over(a, b, a, order), strict=True)
            found = of_logarithm(tuple(upper - lower for upper, lower in ratios))
        return stacked(tuple((-1) ** j * rung for j, rung in enumerate(found, start=1)), np.shape(eta))

    def _over(self, a: Array, b: Array, at: Array, order: int) -> Ladder:
        """Derivatives of F at one of the edges, divided by F(b) - F(a)."""
        log_between = self._log_between(a, b)
        with np.errstate(over="ignore", invalid="ignore"):
            return tuple(
                np.where(rung == 0, 0.0, rung * np.exp(-log_between))
                for rung in _bounded(self.link.derivatives, at, order)
            )

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In the thresholds: F'(b) / (F(b) - F(a)) in the upper one, the negative with F'(a) in the lower.

        As eta enters through the edges alone, with r_j = F^(j) / (F(b) - F(a)) at the edge and l_1, l_2 the derivatives
        of the log density in eta, B = r_1 has B' = -r_2 - B l_1 and B'' = r_3 + r_2 l_1 - B' l_1 - B l_2.
        """
        edges, code = _edges(aux), np.asarray(y, dtype=np.intp)
        a, b = edges[:, code] - eta, edges[:, code + 1] - eta
        one, two = self.derivatives(y, eta, aux, facts, 2)
        out = np.zeros((edges.shape[1] - 2, 3, *np.shape(eta)))
        for at, side, sign in ((b, code, 1.0), (a, code - 1, -1.0)):
            first, second, third = self._over(a, b, at, 3)
            slope = -second - first * one
            bend = third + second * one - slope * one - first * two
            for k in range(len(out)):
                here = side == k
                out[k][:, :, here] += sign * np.stack([first, slope, bend])[:, :, here]
        return {"threshold": out}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Sum over the categories of probability times squared score."""
        probability = self.mean(eta, aux)
        total = np.zeros(np.shape(eta))
        for k in range(probability.shape[2]):
            score = self.derivatives(np.full(np.shape(eta)[1], k), eta, aux, order=1)[0]
            total += probability[..., k] * score**2
        return total

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(D, m, K) probabilities of the categories."""
        edges = _edges(aux)[:, None, :] - np.asarray(eta)[..., None]
        return np.exp(self._log_between(edges[..., :-1], edges[..., 1:]))

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Codes 0 to K - 1: how many thresholds lie below a draw of the latent variable."""
        uniform = rng.random(np.shape(eta))
        below = np.zeros(np.shape(eta))
        for threshold in np.asarray(aux["threshold"], dtype=np.float64).T:
            below += uniform > self.link.inverse(threshold[:, None] - eta)
        return below


def _bounded(climb: Climb, at: Array, order: int) -> Ladder:
    """Derivatives at an edge; zero at the outer ones, which are infinite."""
    inside = np.isfinite(at)
    return tuple(np.where(inside, rung, 0.0) for rung in climb(np.where(inside, at, 0.0), order))


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

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log softmax of the observed category."""
        logits = _with_reference(eta)
        code = np.broadcast_to(np.asarray(y, dtype=np.intp)[None, :, None], (*logits.shape[:2], 1))
        return np.take_along_axis(logits, code, axis=2)[..., 0] - special.logsumexp(logits, axis=2)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Refused: there are K - 1 linear predictors."""
        raise self._several()

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """There are no auxiliary parameters."""
        return {}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Refused: there are K - 1 linear predictors."""
        raise self._several()

    def _several(self) -> OptionError:
        return OptionError(
            "derivatives in the linear predictor: a categorical response has several",
            hint="Ordered categories (family='cumulative') have one.",
        )

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(D, m, K) probabilities of the categories."""
        return special.softmax(_with_reference(eta), axis=2)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
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
