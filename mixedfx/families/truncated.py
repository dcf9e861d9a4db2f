r"""Counts from one on: Poisson and negative binomial distributions without their zero.

With mu and shape those of the whole distribution, and exp(-h) its probability of zero,

    log f(y) = log f_whole(y) - log(1 - exp(-h)),    h = mu (Poisson), k log(1 + mu / k) (negative binomial).

With t = log h the last is the logarithm of the inverse of the complementary log-log link at t, whose derivatives need
no difference of numbers near one (`mixedfx.families.link_derivatives`). For the negative binomial t = log k + s(x), s
the logarithm of log(1 + exp(x)), x = log mu - log k, so that dt/dlog k = 1 - s'.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.families.counts import NegativeBinomial, Poisson, _softplus
from mixedfx.families.derivatives import HIGHEST, Ladder, compose, of_logarithm, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, refuse
from mixedfx.families.links import LINKS, saturating_square

CLOGLOG = LINKS["cloglog"]


class _Truncated(Family):
    """A count without its zero; the other distribution comes after it."""

    links = ("log",)
    outcome: ClassVar[Outcome] = "positive count"
    mean_is_inverse_link = False

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse zero, negative numbers and fractions."""
        refuse(
            ~(y >= 1) | np.isinf(y) | (y != np.floor(y)),
            y,
            rows,
            f"{self.name} responses are counts 1, 2, ..., but the response is {{value}} in {{where}}",
            "Counts with zeros are family='poisson' or 'negbinomial', or 'hurdle_poisson' and 'hurdle_negbinomial', "
            "which have a model of the zeros.",
        )

    @abstractmethod
    def _hazard(self, eta: Array, aux: Auxiliary) -> Array:
        """T, the logarithm of minus the logarithm of the probability of zero."""

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """That of the whole distribution, less the logarithm of the probability of a count above zero."""
        whole = super().log_density(y, eta, aux, facts)
        return whole - CLOGLOG.log_inverse(self._hazard(eta, aux))

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Mu over the probability of a count above zero; one where mu is zero."""
        whole = self.link.log_inverse(eta) - CLOGLOG.log_inverse(self._hazard(eta, aux))
        return np.maximum(np.exp(np.minimum(whole, 700.0)), 1.0)

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The second moment of the whole over that probability, less the square of the mean."""
        mean, mu = self.mean(eta, aux), self.link.inverse(eta)
        square = super().variance(eta, aux, facts) + saturating_square(mu)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.maximum(mean * (square / np.maximum(mu, 1e-300) - mean), 0.0)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """By inversion of the upper tail, which keeps its digits where a count above zero is rare."""
        tail = rng.random(np.shape(eta)) * np.exp(CLOGLOG.log_inverse(self._hazard(eta, aux)))
        return np.maximum(self._upper_quantile(tail, eta, aux), 1.0)

    @abstractmethod
    def _upper_quantile(self, tail: Array, eta: Array, aux: Auxiliary) -> Array:
        """The smallest count of the whole distribution above which there is no more than `tail`."""


@dataclass(frozen=True, repr=False)
class TruncatedPoisson(_Truncated, Poisson):
    """Poisson distribution without its zero; see `truncated_poisson`."""

    name = "truncated_poisson"
    concave = ("log",)

    def _hazard(self, eta: Array, aux: Auxiliary) -> Array:
        return self.link.log_inverse(eta)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Those of Poisson's, less those of log(1 - exp(-mu))."""
        of_t = CLOGLOG.log_inverse_derivatives(self._hazard(eta, aux), order)
        lost = compose(of_t, self.link.log_inverse_derivatives(eta, order))
        return super().derivatives(y, eta, aux, facts, order) - stacked(lost, np.shape(eta))

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Minus the second derivative in log mu, which does not depend on y, times (d log mu)^2."""
        log_mu = self.link.log_inverse(eta)
        lost = CLOGLOG.log_inverse_derivatives(log_mu, 2)[1]
        return (np.exp(np.minimum(log_mu, 700.0)) + lost) * self.link.log_inverse_derivatives(eta, 1)[0] ** 2

    def _upper_quantile(self, tail: Array, eta: Array, aux: Auxiliary) -> Array:
        from scipy import stats

        return stats.poisson.isf(tail, np.minimum(self.link.inverse(eta), 1e15))


@dataclass(frozen=True, repr=False)
class TruncatedNegativeBinomial(_Truncated, NegativeBinomial):
    """Negative binomial distribution without its zero; see `truncated_negbinomial`."""

    name = "truncated_negbinomial"
    concave = ()

    def _hazard(self, eta: Array, aux: Auxiliary) -> Array:
        log_shape = np.log(across(aux, "shape"))
        x = self.link.log_inverse(eta) - log_shape
        return log_shape + _log_softplus(x)

    def _hazard_ladder(self, eta: Array, aux: Auxiliary, order: int) -> Ladder:
        """Derivatives of t in log mu, those of s."""
        x = self.link.log_inverse(eta) - np.log(across(aux, "shape"))
        log_h = _log_softplus(x)
        return of_logarithm(tuple(_over(rung, log_h, x) for rung in _softplus(x, order)))

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Those of the whole distribution, less those of log(1 - exp(-h))."""
        of_t = CLOGLOG.log_inverse_derivatives(self._hazard(eta, aux), order)
        in_log_mu = compose(of_t, self._hazard_ladder(eta, aux, order))
        lost = compose(in_log_mu, self.link.log_inverse_derivatives(eta, order))
        return super().derivatives(y, eta, aux, facts, order) - stacked(lost, np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log shape: that of the whole, less Z' t_k with Z = log(1 - exp(-exp(t))) and t_k = 1 - s'."""
        one, two, three = CLOGLOG.log_inverse_derivatives(self._hazard(eta, aux), 3)
        s1, s2, s3 = self._hazard_ladder(eta, aux, 3)
        rest = (
            two * s1 * (1 - s1) - one * s2,
            three * s1**2 * (1 - s1) + two * (s2 * (1 - s1) - 2 * s1 * s2) - one * s3,
        )
        lost = (one * (1 - s1), *compose(rest, self.link.log_inverse_derivatives(eta, 2)))
        whole = super().auxiliary_derivatives(y, eta, aux, facts)["shape"]
        return {"shape": whole - stacked(lost, np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(d log mu)^2 times the mean of minus the second derivative in log mu, which is linear in y."""
        shape = across(aux, "shape")
        v = _softplus(self.link.log_inverse(eta) - np.log(shape), 2)[1]
        of_t = CLOGLOG.log_inverse_derivatives(self._hazard(eta, aux), 2)
        lost = compose(of_t, self._hazard_ladder(eta, aux, 2))[1]
        return ((self.mean(eta, aux) + shape) * v + lost) * self.link.log_inverse_derivatives(eta, 1)[0] ** 2

    def _upper_quantile(self, tail: Array, eta: Array, aux: Auxiliary) -> Array:
        from scipy import stats

        shape = np.broadcast_to(across(aux, "shape"), np.shape(eta))
        mu = np.minimum(self.link.inverse(eta), 1e15)
        return stats.nbinom.isf(tail, shape, shape / (shape + mu))


def _log_softplus(x: Array) -> Array:
    """The logarithm of log(1 + exp(x))."""
    far = x < -30.0
    with np.errstate(over="ignore"):
        return np.where(far, x, np.log(np.logaddexp(0.0, np.where(far, 0.0, x))))


def _over(rung: Array, log_h: Array, x: Array) -> NDArray[np.float64]:
    """A derivative of log(1 + exp(x)) over the thing itself; below -30 all are exp(x)."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(x < -30.0, 1.0, rung * np.exp(-log_h))


def truncated_poisson(link: str = "log") -> TruncatedPoisson:
    """Count from one on, Poisson but for the zero; eta is the logarithm of the mean with the zero."""
    return TruncatedPoisson.linked(link)


def truncated_negbinomial(link: str = "log") -> TruncatedNegativeBinomial:
    """Count from one on, negative binomial but for the zero; eta is the logarithm of the mean with the zero."""
    return TruncatedNegativeBinomial.linked(link)
