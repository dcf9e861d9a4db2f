"""Families of positive responses: lognormal and gamma.

Parameterised as in Stan and brms: lognormal with eta the mean of log y, so that E y = exp(eta + sigma^2 / 2);
gamma(shape, shape / mu), variance mu^2 / shape, whose density is formed from log mu:

    a (r - expm1(r)) + {a log a - a - log Gamma(a)} - log y,   r = log(y / mu), the braces by Stirling's series for a
    large shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import HIGHEST, compose, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, moments_of, refuse
from mixedfx.families.links import saturating_square
from mixedfx.families.location import LOG_2PI, log_normal_density


class _Positive(Family):
    """A response above zero."""

    outcome: ClassVar[Outcome] = "positive"

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse zero and below."""
        refuse(
            ~(y > 0) | ~np.isfinite(y),
            y,
            rows,
            f"{self.name} responses are greater than 0, but the response is {{value}} in {{where}}",
            "Leave these rows out, or use family='gaussian' for a response that may be zero or negative.",
        )


@dataclass(frozen=True, repr=False)
class LogNormal(_Positive):
    """log y is normal around eta; see `lognormal`."""

    name = "lognormal"
    links = ("identity",)
    concave = ("identity",)
    auxiliary = ("sigma",)
    location = True
    log_scale = True
    mean_is_inverse_link = False

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Half the variance of the logarithms for the rows."""
        return {"sigma": float(np.sqrt(moments_of(np.log(y))[1]) * np.exp(-0.35))}

    def dispersion(self, aux: Mapping[str, float]) -> float:
        """sigma^2."""
        return aux["sigma"] ** 2

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of N(eta, sigma^2) at log y, less log y."""
        sigma, log_y = across(aux, "sigma"), np.log(y)
        return log_normal_density((log_y - eta) / sigma, sigma) - log_y

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """exp(eta + sigma^2 / 2)."""
        return np.exp(np.minimum(eta + 0.5 * across(aux, "sigma") ** 2, 700.0))

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Exponentials of normal draws."""
        return np.exp(np.minimum(eta + across(aux, "sigma") * rng.standard_normal(np.shape(eta)), 700.0))

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of -z^2 / 2, z = (log y - eta) / sigma."""
        sigma = across(aux, "sigma")
        z, zero = (np.log(y) - eta) / sigma, np.zeros_like(sigma)
        return stacked((z / sigma, -(sigma**-2.0), zero, zero)[:order], np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log sigma: z^2 - 1."""
        sigma = across(aux, "sigma")
        z = (np.log(y) - eta) / sigma
        return {"sigma": stacked((z**2 - 1, -2 * z / sigma, 2 * sigma**-2.0), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """1 / sigma^2."""
        return np.broadcast_to(across(aux, "sigma") ** -2.0, np.shape(eta))

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """exp(2 eta + sigma^2) (exp(sigma^2) - 1)."""
        square = across(aux, "sigma") ** 2
        return np.exp(np.minimum(2 * eta + square, 700.0)) * np.expm1(square)


def _stirling_excess(a: Array) -> Array:
    """Evaluate a log a - a - log Gamma(a); above 100, where the difference loses digits, by Stirling's series."""
    large = np.asarray(a) > 100.0
    big, small = np.where(large, a, 100.0), np.where(large, 1.0, a)
    series = 0.5 * (np.log(big) - LOG_2PI) - 1 / (12 * big) + 1 / (360 * big**3) - 1 / (1260 * big**5)
    return np.where(large, series, small * np.log(small) - small - special.gammaln(small))


@dataclass(frozen=True, repr=False)
class Gamma(_Positive):
    """Gamma distribution with mean mu; see `gamma`."""

    name = "gamma"
    links = ("log", "inverse", "identity")
    concave = ("log", "inverse")
    auxiliary = ("shape",)
    dispersed = "shape"

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Some of the variance for the rows."""
        mean, variance = moments_of(y)
        return {"shape": float(np.exp(np.clip(np.log(mean**2 / variance) + 0.35, -4.0, 8.0)))}

    def dispersion(self, aux: Mapping[str, float]) -> float:
        """1 / shape."""
        return 1.0 / aux["shape"]

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of gamma(shape, shape / mu)."""
        shape, log_y = across(aux, "shape"), np.log(y)
        ratio = log_y - self.link.log_inverse(eta)
        with np.errstate(invalid="ignore", over="ignore"):
            found = shape * (ratio - np.expm1(np.minimum(ratio, 700.0))) + _stirling_excess(shape) - log_y
        return np.where(np.isnan(found), -np.inf, found)

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Gamma draws; NaN where the mean is not positive."""
        shape, mu = across(aux, "shape"), self.link.inverse(eta)
        return np.where(mu > 0, mu, np.nan) * rng.standard_gamma(np.broadcast_to(shape, np.shape(eta))) / shape

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of shape (r - expm1(r)), r = log y - l, in l = log mu; composed with l."""
        shape = across(aux, "shape")
        ratio = np.exp(np.minimum(np.log(y) - self.link.log_inverse(eta), 700.0))
        outer = (shape * (ratio - 1), -shape * ratio, shape * ratio, -shape * ratio)[:order]
        return stacked(compose(outer, self.link.log_inverse_derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log shape: shape {r - expm1(r) + log shape - psi(shape)}."""
        shape = across(aux, "shape")
        ratio = np.minimum(np.log(y) - self.link.log_inverse(eta), 700.0)
        own = shape * (ratio - np.expm1(ratio) + np.log(shape) - special.digamma(shape))
        of_log = (shape * np.expm1(ratio), -shape * np.exp(ratio))
        rest = compose(of_log, self.link.log_inverse_derivatives(eta, 2))
        return {"shape": stacked((own, *rest), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Shape (d log mu)^2."""
        return across(aux, "shape") * self.link.log_inverse_derivatives(eta, 1)[0] ** 2

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """mu^2 / shape."""
        return saturating_square(self.link.inverse(eta)) / across(aux, "shape")


def lognormal(link: str = "identity") -> LogNormal:
    """Log-normal response: log y ~ N(eta, sigma^2). Coefficients are effects on the mean of log y."""
    return LogNormal.linked(link)


def gamma(link: str = "log") -> Gamma:
    """Gamma response with mean mu and variance mu^2 / shape.

    Links ``"log"``, ``"inverse"``, ``"identity"``; under the last two a linear predictor below zero has no density.
    """
    return Gamma.linked(link)
