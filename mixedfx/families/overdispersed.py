r"""Families that vary more than Poisson and binomial ones: nbinom1 and beta_binomial.

**nbinom1** is negative binomial with variance mu (1 + alpha), alpha the dispersion: its size is k = mu / alpha, and

    log f = log k^(y) - log y! - k log(1 + alpha) + y log(alpha / (1 + alpha)),   k^(y) = k (k + 1) ... (k + y - 1).

**beta_binomial** has a probability that is beta(mu phi, (1 - mu) phi) in each row, m trials, and variance
m mu (1 - mu) (phi + m) / (phi + 1):

    log f = log C(m, y) + log a^(y) + log b^(m - y) - log phi^(m),   a = mu phi, b = (1 - mu) phi.

Derivatives are those of rising factorials in the logarithms of k, a and b (`mixedfx.families.rising`), whose
derivatives in eta are those of log mu and log(1 - mu).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.binary import Binomial, _given
from mixedfx.families.counts import FAR, _Count, _poisson
from mixedfx.families.derivatives import HIGHEST, compose, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, across
from mixedfx.families.rising import log_rising, rising_derivatives

MANY = 2000.0  # mean from which the information of a count is that of its first two moments
NO_MORE_THAN_POISSON = (
    "the counts vary no more than a Poisson distribution says, and the dispersion runs to zero: family='poisson' is "
    "the same model without it."
)
NO_MORE_THAN_BINOMIAL = (
    "the successes vary no more than a binomial distribution says, and phi runs to infinity: family='binomial' is the "
    "same model without it."
)


@dataclass(frozen=True, repr=False)
class NegativeBinomial1(_Count):
    """Negative binomial distribution with a variance that is linear in the mean; see `nbinom1`."""

    name = "nbinom1"
    links = ("log", "sqrt")
    auxiliary = ("dispersion",)
    noise: ClassVar[Mapping[str, int]] = {"dispersion": 1}
    dispersed = "dispersion"

    def becomes(self, aux: Mapping[str, float], y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, str]:
        """Without overdispersion Poisson counts."""
        return {"dispersion": NO_MORE_THAN_POISSON} if aux["dispersion"] < 1 / FAR else {}

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of a negative binomial distribution of size mu / alpha."""
        alpha, size = across(aux, "dispersion"), self._size(eta, across(aux, "dispersion"))
        rest = y * (np.log(alpha) - np.log1p(alpha)) - size * np.log1p(alpha) - special.gammaln(y + 1)
        return log_rising(y, size) + rest

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of log k^(y) - k log(1 + alpha) in log k, composed with log mu."""
        alpha, size = across(aux, "dispersion"), self._size(eta, across(aux, "dispersion"))
        lost = size * np.log1p(alpha)
        outer = tuple(rung - lost for rung in rising_derivatives(y, size, order))
        return stacked(compose(outer, self.link.log_inverse_derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log alpha: minus the derivative in log k, and (y - mu) / (1 + alpha)."""
        alpha = across(aux, "dispersion")
        size = self._size(eta, alpha)
        lost, mu = size * np.log1p(alpha), size * alpha
        one, two, three = (rung - lost for rung in rising_derivatives(y, size, 3))
        own = (y - mu) / (1 + alpha) - one
        outer = (-two - mu / (1 + alpha), -three - mu / (1 + alpha))
        return {"dispersion": stacked((own, *compose(outer, self.link.log_inverse_derivatives(eta, 2))), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(d log mu)^2 {k log(1 + alpha) - sum over j of P(Y > j) k j / (k + j)^2}; of large means that of moments."""
        alpha = np.broadcast_to(across(aux, "dispersion"), np.shape(eta))
        size = self._size(eta, alpha)
        mu = size * alpha
        few = mu < MANY
        k, a = size[few], alpha[few]
        total = k * np.log1p(a)
        last = float((mu[few] + 40 * np.sqrt(mu[few] * (1 + a)) + 60 * (1 + a)).max(initial=0.0))
        for j in range(1, int(last)):
            more = special.betainc(j + 1.0, np.maximum(k, 1e-300), a / (1 + a)) * k * j / (k + j) ** 2
            total = total - more
            if j > mu[few].max(initial=0.0) and (more <= 1e-14 * total).all():
                break
        out = mu / (1 + alpha)
        out[few] = total
        return out * self.link.log_inverse_derivatives(eta, 1)[0] ** 2

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Mu (1 + alpha)."""
        return self.link.inverse(eta) * (1 + across(aux, "dispersion"))

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Poisson draws around gamma draws."""
        alpha = across(aux, "dispersion")
        return _poisson(rng, rng.standard_gamma(self._size(eta, alpha)) * alpha)

    def _size(self, eta: Array, alpha: Array) -> Array:
        """K, kept off zero."""
        return np.maximum(np.exp(np.minimum(self.link.log_inverse(eta) - np.log(alpha), 700.0)), 1e-300)


@dataclass(frozen=True, repr=False)
class BetaBinomial(Binomial):
    """Successes out of known numbers of trials, the probability being beta; see `beta_binomial`."""

    name = "beta_binomial"
    concave = ()
    auxiliary = ("phi",)
    noise: ClassVar[Mapping[str, int]] = {"phi": -1}
    dispersed = "phi"

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Some extra variation."""
        return {"phi": 5.0}

    def becomes(self, aux: Mapping[str, float], y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, str]:
        """Without overdispersion binomial successes."""
        most = float(np.max(_given(facts), initial=1.0))
        return {"phi": NO_MORE_THAN_BINOMIAL} if aux["phi"] > FAR * most else {}

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The sum of logarithms of the rising factorials."""
        m, phi = _given(facts), across(aux, "phi")
        a, b = self._shapes(eta, phi)
        choose = -np.log1p(m) - special.betaln(y + 1, m - y + 1)
        return choose + log_rising(y, a) + log_rising(m - y, b) - log_rising(m, phi)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Those of log a^(y) and of log b^(m - y)."""
        m, (a, b) = _given(facts), self._shapes(eta, across(aux, "phi"))
        of_a = compose(rising_derivatives(y, a, order), self.link.log_inverse_derivatives(eta, order))
        of_b = compose(rising_derivatives(m - y, b, order), self.link.log_complement_derivatives(eta, order))
        return stacked(tuple(one + other for one, other in zip(of_a, of_b, strict=True)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log phi: the derivatives in log a and in log b, less that of log phi^(m)."""
        m, phi = _given(facts), across(aux, "phi")
        a, b = self._shapes(eta, phi)
        of_a, of_b = rising_derivatives(y, a, 3), rising_derivatives(m - y, b, 3)
        own = of_a[0] + of_b[0] - rising_derivatives(m, phi, 1)[0]
        rest_a = compose(of_a[1:], self.link.log_inverse_derivatives(eta, 2))
        rest_b = compose(of_b[1:], self.link.log_complement_derivatives(eta, 2))
        rest = (one + other for one, other in zip(rest_a, rest_b, strict=True))
        return {"phi": stacked((own, *rest), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The mean of the squared score, by a sum over the numbers of successes."""
        m = np.broadcast_to(_given(facts), np.shape(eta)[-1:])
        total = np.zeros(np.shape(eta))
        for y in range(int(m.max(initial=0.0)) + 1):
            some = np.flatnonzero(m >= y)
            own = {name: x if np.ndim(x) < 2 else np.asarray(x)[:, some] for name, x in aux.items()}
            count, known = np.full(len(some), float(y)), facts.take(some)
            score = self.derivatives(count, eta[:, some], own, known, 1)[0]
            total[:, some] += np.exp(self.log_density(count, eta[:, some], own, known)) * score**2
        return total

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """M mu (1 - mu) (phi + m) / (phi + 1); of one trial where the trials are not given."""
        phi, m = across(aux, "phi"), 1.0 if facts.trials is None else facts.trials
        return self._spread(eta) * m * (phi + m) / (phi + 1)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Binomial draws with probabilities that are beta draws."""
        m = np.broadcast_to(_given(facts), np.shape(eta)).astype(np.int64)
        a, b = self._shapes(eta, across(aux, "phi"))
        return rng.binomial(m, np.clip(rng.beta(a, b), 0.0, 1.0)).astype(np.float64)

    def _shapes(self, eta: Array, phi: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both shapes, kept off zero."""
        a, b = phi * np.exp(self.link.log_inverse(eta)), phi * np.exp(self.link.log_complement(eta))
        return np.maximum(a, 1e-300), np.maximum(b, 1e-300)


def nbinom1(link: str = "log") -> NegativeBinomial1:
    """Count with mean mu and variance mu (1 + dispersion), a multiple of the mean.

    Links ``"log"``, ``"sqrt"``.
    """
    return NegativeBinomial1.linked(link)


def beta_binomial(link: str = "logit") -> BetaBinomial:
    """Successes out of m trials, ``k | trials(m) ~ ...``, whose probability varies between rows.

    It is beta(mu phi, (1 - mu) phi): the variance is m mu (1 - mu) (phi + m) / (phi + 1). Links as in `bernoulli`.
    """
    return BetaBinomial.linked(link)
