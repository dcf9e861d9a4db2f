"""Families of continuous responses: gaussian, student, lognormal, gamma, beta.

Parameterised as in Stan and brms: student(nu, mu, sigma); lognormal with eta the mean of log y, so that E y =
exp(eta + sigma^2 / 2); gamma(shape, shape / mu), variance mu^2 / shape; beta(mu phi, (1 - mu) phi), variance
mu (1 - mu) / (1 + phi). Densities are formed from log mu and log(1 - mu):

    gamma   a (r - expm1(r)) + {a log a - a - log Gamma(a)} - log y,   r = log(y / mu), the braces by Stirling's series
            for a large shape;
    beta    1 / B(a, b) = a b / (phi (phi + 1) B(a + 1, b + 1)), which has a finite logarithm where a or b underflows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, refuse
from mixedfx.families.links import saturating_square

_LOG_2PI = float(np.log(2 * np.pi))


def _scale(aux: Auxiliary, weights: Array | None, known_sd: Array | None) -> Array:
    """(D, m) or (D, 1) scale of each row: known, or sigma / sqrt(weight)."""
    if known_sd is not None:
        return np.asarray(known_sd, dtype=np.float64)[None, :]
    sigma = across(aux, "sigma")
    return sigma if weights is None else sigma / np.sqrt(weights)


def _log_normal_density(z: Array, scale: Array) -> Array:
    return -0.5 * _LOG_2PI - np.log(scale) - 0.5 * saturating_square(z)


class _Location(Family):
    """A real response around mu."""

    links = ("identity", "log", "inverse")
    outcome: ClassVar[Outcome] = "real"
    weights = True

    @property
    def identity(self) -> bool:
        """Whether the link is the identity."""
        return self.link.name == "identity"

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
        """Any finite number will do."""
        refuse(~np.isfinite(y), y, rows, "the response is {value} in {where}", "Drop or repair these rows.")

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """mu; of a student response with nu <= 1, which has no mean, its centre."""
        return self.link.inverse(eta)


@dataclass(frozen=True, repr=False)
class Gaussian(_Location):
    """Normal distribution; see `gaussian`."""

    name = "gaussian"
    auxiliary = ("sigma",)

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log density of N(mu, scale^2)."""
        scale = _scale(aux, weights, known_sd)
        return _log_normal_density((y - self.link.inverse(eta)) / scale, scale)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Normal draws."""
        return self.link.inverse(eta) + _scale(aux, weights, known_sd) * rng.standard_normal(np.shape(eta))


@dataclass(frozen=True, repr=False)
class Student(_Location):
    """Student's t distribution around mu; see `student`."""

    name = "student"
    auxiliary = ("nu", "sigma")

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log density of mu + scale * t_nu; its constant is -log B(nu / 2, 1 / 2) - log(nu) / 2 - log scale."""
        scale, nu = _scale(aux, weights, known_sd), across(aux, "nu")
        z = (y - self.link.inverse(eta)) / scale
        constant = -special.betaln(nu / 2, 0.5) - 0.5 * np.log(nu) - np.log(scale)
        return constant - (nu + 1) / 2 * np.log1p(saturating_square(z) / nu)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Draws of t."""
        shocks = rng.standard_t(np.broadcast_to(across(aux, "nu"), np.shape(eta)))
        return self.link.inverse(eta) + _scale(aux, weights, known_sd) * shocks


class _Positive(Family):
    """A response above zero."""

    outcome: ClassVar[Outcome] = "positive"

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
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
    auxiliary = ("sigma",)

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log density of N(eta, sigma^2) at log y, less log y."""
        sigma, log_y = across(aux, "sigma"), np.log(y)
        return _log_normal_density((log_y - eta) / sigma, sigma) - log_y

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """exp(eta + sigma^2 / 2)."""
        return np.exp(np.minimum(eta + 0.5 * across(aux, "sigma") ** 2, 700.0))

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Exponentials of normal draws."""
        return np.exp(np.minimum(eta + across(aux, "sigma") * rng.standard_normal(np.shape(eta)), 700.0))


def _stirling_excess(a: Array) -> Array:
    """Evaluate a log a - a - log Gamma(a); above 100, where the difference loses digits, by Stirling's series."""
    large = np.asarray(a) > 100.0
    big, small = np.where(large, a, 100.0), np.where(large, 1.0, a)
    series = 0.5 * (np.log(big) - _LOG_2PI) - 1 / (12 * big) + 1 / (360 * big**3) - 1 / (1260 * big**5)
    return np.where(large, series, small * np.log(small) - small - special.gammaln(small))


@dataclass(frozen=True, repr=False)
class Gamma(_Positive):
    """Gamma distribution with mean mu; see `gamma`."""

    name = "gamma"
    links = ("log", "inverse", "identity")
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
        """Log density of gamma(shape, shape / mu)."""
        shape, log_y = across(aux, "shape"), np.log(y)
        ratio = log_y - self.link.log_inverse(eta)
        with np.errstate(invalid="ignore", over="ignore"):
            found = shape * (ratio - np.expm1(np.minimum(ratio, 700.0))) + _stirling_excess(shape) - log_y
        return np.where(np.isnan(found), -np.inf, found)

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Gamma draws; NaN where the mean is not positive."""
        shape, mu = across(aux, "shape"), self.link.inverse(eta)
        return np.where(mu > 0, mu, np.nan) * rng.standard_gamma(np.broadcast_to(shape, np.shape(eta))) / shape


@dataclass(frozen=True, repr=False)
class Beta(Family):
    """Beta distribution with mean mu; see `beta`."""

    name = "beta"
    links = ("logit", "probit", "cloglog", "cauchit")
    auxiliary = ("phi",)
    outcome = "unit"

    def check(self, y: Array, trials: Array | None, rows: NDArray[np.intp]) -> None:
        """Refuse 0, 1 and beyond."""
        refuse(
            ~((y > 0) & (y < 1)),
            y,
            rows,
            "beta responses lie between 0 and 1, both left out, but the response is {value} in {where}",
            "Counts out of a total are family='binomial', with k | trials(m) ~ ...",
        )

    def log_density(
        self,
        y: Array,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Log density of beta(mu phi, (1 - mu) phi)."""
        phi = across(aux, "phi")
        log_mu, log_rest = self.link.log_inverse(eta), self.link.log_complement(eta)
        a, b = phi * np.exp(log_mu), phi * np.exp(log_rest)
        # log a + log b - log phi = log phi + log mu + log(1 - mu)
        constant = np.log(phi) + log_mu + log_rest - np.log1p(phi) - special.betaln(a + 1, b + 1)
        return constant + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y)

    def mean(self, eta: Array, aux: Auxiliary, trials: Array | None = None) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        aux: Auxiliary,
        trials: Array | None = None,
        weights: Array | None = None,
        known_sd: Array | None = None,
    ) -> Array:
        """Beta draws; kept off 0 and 1, which double precision would reach in the tails."""
        phi, tiny = across(aux, "phi"), np.finfo(np.float64).tiny
        a = np.maximum(phi * np.exp(self.link.log_inverse(eta)), tiny)
        b = np.maximum(phi * np.exp(self.link.log_complement(eta)), tiny)
        return np.clip(rng.beta(a, b), tiny, 1 - np.finfo(np.float64).epsneg)


def gaussian(link: str = "identity") -> Gaussian:
    """Normal response: y ~ N(mu, sigma^2).

    Parameters
    ----------
    link
        ``"identity"``, ``"log"`` or ``"inverse"``.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.families.gaussian()
    gaussian(link='identity')
    """
    return Gaussian.linked(link)


def student(link: str = "identity") -> Student:
    """Student's t response, robust against outliers: (y - mu) / sigma ~ t with nu degrees of freedom.

    Links ``"identity"``, ``"log"``, ``"inverse"``.
    """
    return Student.linked(link)


def lognormal(link: str = "identity") -> LogNormal:
    """Log-normal response: log y ~ N(eta, sigma^2). Coefficients are effects on the mean of log y."""
    return LogNormal.linked(link)


def gamma(link: str = "log") -> Gamma:
    """Gamma response with mean mu and variance mu^2 / shape.

    Links ``"log"``, ``"inverse"``, ``"identity"``; under the last two a linear predictor below zero has no density.
    """
    return Gamma.linked(link)


def beta(link: str = "logit") -> Beta:
    """Beta response between 0 and 1 with mean mu and variance mu (1 - mu) / (1 + phi).

    Links ``"logit"``, ``"probit"``, ``"cloglog"``, ``"cauchit"``.
    """
    return Beta.linked(link)
