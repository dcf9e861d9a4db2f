"""Families of counts: poisson and negative binomial.

Negative binomial with mean mu and variance mu + mu^2 / shape (Stan's neg_binomial_2). With l = log mu and k = shape

    log C(y + k - 1, y) + y (l - log(mu + k)) - k log(1 + mu / k),

where log C(y + k - 1, y) = -log(y + k) - log B(k, y + 1): as k grows this is the Poisson density without cancellation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import HIGHEST, Ladder, compose, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, refuse, times
from mixedfx.families.link_derivatives import logistic
from mixedfx.families.links import saturating_square

# Beyond this the integers of double precision run out, and so does NumPy's generator.
_LARGEST_COUNT = 1e15

FAR = 1e4  # shape of a negative binomial response, in means, from which it is a Poisson one for all that data say
POISSON = (
    "the counts vary no more than a Poisson distribution says, and the shape of the negative binomial runs to "
    "infinity: family='poisson' is the same model without it."
)


def _poisson(rng: np.random.Generator, mu: Array) -> Array:
    """Poisson draws; the mean itself where it is too large for a draw to differ from it, NaN where it is negative."""
    usable = (mu >= 0) & (mu < _LARGEST_COUNT)
    drawn = rng.poisson(np.where(usable, mu, 0.0)).astype(np.float64)
    return np.where(usable, drawn, np.where(mu >= 0, np.round(mu), np.nan))


def _softplus(x: Array, order: int) -> Ladder:
    """Derivatives of log(1 + exp(x)): the logistic function and its derivatives."""
    return (special.expit(x), *logistic(x, order - 1))


class _Count(Family):
    """A response 0, 1, 2, ..."""

    links = ("log", "sqrt", "identity")
    outcome: ClassVar[Outcome] = "count"

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse negative numbers and fractions."""
        refuse(
            ~(y >= 0) | np.isinf(y),
            y,
            rows,
            f"{self.name} responses are counts 0, 1, 2, ..., but the response is {{value}} in {{where}}",
            "Leave these rows out, or choose a family for real numbers, such as 'gaussian'.",
        )
        refuse(
            y != np.floor(y),
            y,
            rows,
            f"{self.name} responses are counts 0, 1, 2, ..., but the response is {{value}} in {{where}}",
            "A rate is a count with offset(log(exposure)); positive real numbers are family='gamma'.",
        )

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)


@dataclass(frozen=True, repr=False)
class Poisson(_Count):
    """Poisson distribution; see `poisson`."""

    name = "poisson"
    concave = ("log", "sqrt", "identity")

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The sum y log mu - mu - log y!."""
        mu = self.link.inverse(eta)
        with np.errstate(invalid="ignore"):
            found = times(y, self.link.log_inverse(eta)) - mu - special.gammaln(y + 1)
        return np.where(mu >= 0, found, -np.inf)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Those of y log mu - mu."""
        of_log, of_mu = self.link.log_inverse_derivatives(eta, order), self.link.derivatives(eta, order)
        return stacked(tuple(times(y, one) - other for one, other in zip(of_log, of_mu, strict=True)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """There are no auxiliary parameters."""
        return {}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(d mu)^2 / mu, from the derivative of log mu."""
        return self.link.derivatives(eta, 1)[0] * self.link.log_inverse_derivatives(eta, 1)[0]

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Poisson draws."""
        return _poisson(rng, self.link.inverse(eta))


@dataclass(frozen=True, repr=False)
class NegativeBinomial(_Count):
    """Negative binomial distribution with mean mu; see `negbinomial`."""

    name = "negbinomial"
    concave: ClassVar[tuple[str, ...]] = ("log",)
    auxiliary = ("shape",)
    noise: ClassVar[Mapping[str, int]] = {"shape": -1}
    dispersed = "shape"

    def becomes(self, aux: Mapping[str, float], y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, str]:
        """Without overdispersion Poisson counts."""
        return {"shape": POISSON} if aux["shape"] > FAR * max(float(np.mean(y)), 1.0) else {}

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of neg_binomial_2(mu, shape)."""
        shape, log_mu = across(aux, "shape"), self.link.log_inverse(eta)
        choose = -np.log(y + shape) - special.betaln(shape, y + 1)
        with np.errstate(invalid="ignore"):
            log_odds = log_mu - np.log(shape)  # of a success, mu / shape
            found = choose + times(y, -np.logaddexp(0.0, -log_odds)) - shape * np.logaddexp(0.0, log_odds)
        return np.where(np.isnan(found), -np.inf, found)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of y l - (y + k) log(mu + k) in l = log mu, where mu / (mu + k) is logistic in l - log k; composed with l."""
        shape = across(aux, "shape")
        of_log_sum = _softplus(self.link.log_inverse(eta) - np.log(shape), order)
        outer = (y - (y + shape) * of_log_sum[0], *(-(y + shape) * rung for rung in of_log_sum[1:]))
        return stacked(compose(outer, self.link.log_inverse_derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """Of the log density, in log k: k {psi(y + k) - psi(k) - log(1 + mu / k) + 1 - (y + k) / (mu + k)}.

        With p = mu / (mu + k) the last two are (mu - y) / (mu + k) = p - y (1 - p) / k.
        """
        shape, log_odds = across(aux, "shape"), self.link.log_inverse(eta) - np.log(across(aux, "shape"))
        p, v, t = _softplus(log_odds, 3)
        own = shape * (
            special.digamma(y + shape) - special.digamma(shape) - np.logaddexp(0.0, log_odds) + p - y * (1 - p) / shape
        )
        # in l: -k p + (k + y) v, and its derivative
        outer = ((shape + y) * v - shape * p, (shape + y) * t - shape * v)
        rest = compose(outer, self.link.log_inverse_derivatives(eta, 2))
        return {"shape": stacked((own, *rest), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(d log mu)^2 mu k / (mu + k)."""
        log_mu, shape = self.link.log_inverse(eta), across(aux, "shape")
        weight = shape * special.expit(log_mu - np.log(shape))
        return weight * self.link.log_inverse_derivatives(eta, 1)[0] ** 2

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The sum mu + mu^2 / k."""
        mu = self.link.inverse(eta)
        return mu + saturating_square(mu) / across(aux, "shape")

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Poisson draws around gamma draws."""
        shape, mu = across(aux, "shape"), self.link.inverse(eta)
        return _poisson(rng, mu * rng.standard_gamma(np.broadcast_to(shape, np.shape(eta))) / shape)


def poisson(link: str = "log") -> Poisson:
    """Count with mean and variance mu.

    Links ``"log"``, ``"sqrt"``, ``"identity"``; under the last a linear predictor below zero has no density. Exposure
    is ``offset(log(time))``.

    Examples
    --------
    >>> import numpy as np
    >>> import mixedfx as mx
    >>> mx.families.poisson().mean(np.log([[2.0, 3.0]]), {}).round(6)
    array([[2., 3.]])
    """
    return Poisson.linked(link)


def negbinomial(link: str = "log") -> NegativeBinomial:
    """Count with mean mu and variance mu + mu^2 / shape. Links as in `poisson`."""
    return NegativeBinomial.linked(link)
