"""Families of counts: poisson and negative binomial.

Negative binomial with mean mu and variance mu + mu^2 / shape (Stan's neg_binomial_2). With l = log mu and k = shape

    log C(y + k - 1, y) + y (l - log(mu + k)) - k log(1 + mu / k),

where log C(y + k - 1, y) = -log(y + k) - log B(k, y + 1): as k grows this is the Poisson density without cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, refuse, times

# Beyond this the integers of double precision run out, and so does NumPy's generator.
_LARGEST_COUNT = 1e15


def _poisson(rng: np.random.Generator, mu: Array) -> Array:
    """Poisson draws; the mean itself where it is too large for a draw to differ from it, NaN where it is negative."""
    usable = (mu >= 0) & (mu < _LARGEST_COUNT)
    drawn = rng.poisson(np.where(usable, mu, 0.0)).astype(np.float64)
    return np.where(usable, drawn, np.where(mu >= 0, np.round(mu), np.nan))


class _Count(Family):
    """A response 0, 1, 2, ..."""

    links = ("log", "sqrt", "identity")
    outcome: ClassVar[Outcome] = "count"

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
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

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)


@dataclass(frozen=True, repr=False)
class Poisson(_Count):
    """Poisson distribution; see `poisson`."""

    name = "poisson"

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """The sum y log mu - mu - log y!."""
        mu = self.link.inverse(eta)
        with np.errstate(invalid="ignore"):
            found = times(y, self.link.log_inverse(eta)) - mu - special.gammaln(y + 1)
        return np.where(mu >= 0, found, -np.inf)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Poisson draws."""
        return _poisson(rng, self.link.inverse(eta))


@dataclass(frozen=True, repr=False)
class NegativeBinomial(_Count):
    """Negative binomial distribution with mean mu; see `negbinomial`."""

    name = "negbinomial"
    auxiliary = ("shape",)

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log density of neg_binomial_2(mu, shape)."""
        shape, log_mu = across(aux, "shape"), self.link.log_inverse(eta)
        choose = -np.log(y + shape) - special.betaln(shape, y + 1)
        with np.errstate(invalid="ignore"):
            log_odds = log_mu - np.log(shape)  # of a success, mu / shape
            found = choose + times(y, -np.logaddexp(0.0, -log_odds)) - shape * np.logaddexp(0.0, log_odds)
        return np.where(np.isnan(found), -np.inf, found)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
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
