r"""Tweedie responses: zero or positive, with mean mu and variance phi mu^p, 1 < p < 2.

They are sums of a Poisson number of gamma variables (Jorgensen 1987, JRSS B 49:127), phi the dispersion, p the power:

    log f(0) = -mu^(2-p) / {phi (2 - p)},
    log f(y) = {y mu^(1-p) / (1 - p) - mu^(2-p) / (2 - p)} / phi - log y + log sum_j W_j,
    log W_j = j {a log y - a log(p - 1) - (1 + a) log phi - log(2 - p)} - log j! - log Gamma(j a),
    a = (2 - p) / (p - 1)

(Dunn & Smyth 2005, Statistics and Computing 15:267). The sum does not know mu, so that derivatives in eta are those of
two exponentials of log mu, and those in phi and p are means of j and of j psi(j a) under weights W_j. W_j is
log-concave in j, about y^(2-p) / {phi (2 - p)} with a curvature of (1 + a) / j there: terms beyond `REACH` of its
standard deviations are below the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.counts import _poisson
from mixedfx.families.derivatives import HIGHEST, compose, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, known, moments_of, refuse

REACH = 9.0  # standard deviations of the number of terms that are summed
LEAST = 20.0  # terms beside these
AT_ONCE = 2**20  # terms of all rows held at once


@dataclass(frozen=True, repr=False)
class Tweedie(Family):
    """Tweedie distribution with a power between one and two; see `tweedie`."""

    name = "tweedie"
    links = ("log",)
    concave = ("log",)
    auxiliary = ("power", "dispersion")
    outcome: ClassVar[Outcome] = "nonnegative"
    dispersed = "dispersion"

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse what is below zero."""
        refuse(
            ~(y >= 0) | ~np.isfinite(y),
            y,
            rows,
            "tweedie responses are zero or greater, but the response is {value} in {where}",
            "A response that may be negative is family='gaussian'; one that is never zero may be family='gamma'.",
        )

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """A power in the middle, and some of the variance for the rows."""
        mean, variance = moments_of(y)
        return {"power": 1.5, "dispersion": float(np.clip(0.7 * variance / mean**1.5, 1e-3, 1e3))}

    def dispersion(self, aux: Mapping[str, float]) -> float:
        """Phi."""
        return aux["dispersion"]

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density; the logarithm of a probability for a zero."""
        return self._exponent(y, eta, aux) + self._sum(y, eta, aux)[0]

    def _exponent(self, y: Array, eta: Array, aux: Auxiliary) -> Array:
        p, log_mu = across(aux, "power"), self.link.log_inverse(eta)
        up, down = _powers(y, log_mu, p)
        return (up / (1 - p) - down / (2 - p)) / across(aux, "dispersion")

    def _sum(self, y: Array, eta: Array, aux: Auxiliary) -> tuple[Array, Array, Array]:
        """(D, m) log sum of W_j less log y, means of j and of j psi(j a); zeros for a zero."""
        shape = np.shape(eta)
        phi, p, y = (np.broadcast_to(x, shape) for x in (across(aux, "dispersion"), across(aux, "power"), y))
        out = np.zeros((3, *shape))
        some = y > 0
        if some.any():
            out[:, some] = _series(y[some], phi[some], p[some])
            out[0, some] -= np.log(y[some])
        return out[0], out[1], out[2]

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Phi mu^p."""
        return across(aux, "dispersion") * np.exp(np.minimum(across(aux, "power") * self.link.log_inverse(eta), 700.0))

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """mu^(2-p) / phi (d log mu)^2."""
        power = np.exp((2 - across(aux, "power")) * self.link.log_inverse(eta))
        return power / across(aux, "dispersion") * self.link.log_inverse_derivatives(eta, 1)[0] ** 2

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Sums of gamma draws, a Poisson number of them."""
        p, phi, log_mu = across(aux, "power"), across(aux, "dispersion"), self.link.log_inverse(eta)
        count = _poisson(rng, np.exp(np.minimum((2 - p) * log_mu, 700.0)) / (phi * (2 - p)))
        scale = phi * (p - 1) * np.exp(np.minimum((p - 1) * log_mu, 700.0))
        return rng.standard_gamma(count * (2 - p) / (p - 1)) * scale

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of {y mu^(1-p) / (1 - p) - mu^(2-p) / (2 - p)} / phi in log mu, composed with it."""
        p, phi = across(aux, "power"), across(aux, "dispersion")
        up, down = _powers(y, self.link.log_inverse(eta), p)
        outer = tuple((up * (1 - p) ** j - down * (2 - p) ** j) / phi for j in range(order))
        return stacked(compose(outer, self.link.log_inverse_derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log phi and log p; the sum by means under its terms."""
        p, phi, log_mu = across(aux, "power"), across(aux, "dispersion"), self.link.log_inverse(eta)
        up, down = _powers(y, log_mu, p)
        inner = self.link.log_inverse_derivatives(eta, 2)
        _, number, digamma = self._sum(y, eta, aux)
        a = (2 - p) / (p - 1)
        first, second = (up - down) / phi, ((1 - p) * up - (2 - p) * down) / phi
        exponent = (up / (1 - p) - down / (2 - p)) / phi
        in_phi = (-(1 + a) * number - exponent, *compose((-first, -second), inner))
        slope_a = -((p - 1) ** -2.0)
        with np.errstate(divide="ignore"):
            log_y = np.where(y > 0, np.log(y), 0.0)
        of_z = slope_a * (log_y - np.log(p - 1) - np.log(phi)) - a / (p - 1) + 1 / (2 - p)
        own = number * of_z - slope_a * digamma
        own = own + (up * (1 / (1 - p) ** 2 - log_mu / (1 - p)) - down * (1 / (2 - p) ** 2 - log_mu / (2 - p))) / phi
        rest = (-log_mu * (up - down) / phi, (up * (-1 - log_mu * (1 - p)) - down * (-1 - log_mu * (2 - p))) / phi)
        in_p = (own, *compose(rest, inner))
        shape = np.shape(eta)
        return {"dispersion": stacked(in_phi, shape), "power": stacked(tuple(p * rung for rung in in_p), shape)}


def _powers(y: Array, log_mu: Array, p: Array) -> tuple[Array, Array]:
    """Y mu^(1-p) and mu^(2-p)."""
    up = np.where(y > 0, y * np.exp(np.minimum((1 - p) * log_mu, 700.0)), 0.0)
    return up, np.exp(np.minimum((2 - p) * log_mu, 700.0))


def _series(y: Array, phi: Array, p: Array) -> Array:
    """(3, N) log sum of W_j, and means of j and of j psi(j a) under their weights."""
    a = (2 - p) / (p - 1)
    centre = y ** (2 - p) / (phi * (2 - p))
    half = REACH * np.sqrt(np.maximum(centre, 1.0) / (1 + a)) + LEAST
    low = np.maximum(np.floor(centre - half), 1.0)
    width = np.ceil(centre + half) - low + 1.0
    log_z = a * (np.log(y) - np.log(p - 1)) - (1 + a) * np.log(phi) - np.log(2 - p)
    out, order = np.empty((3, len(y))), np.argsort(width)
    begin = 0
    while begin < len(y):
        stop = begin + 1
        while stop < len(y) and (stop + 1 - begin) * width[order[min(stop + stop - begin, len(y) - 1)]] < AT_ONCE:
            stop = min(stop + stop - begin, len(y))
        at = order[begin:stop]
        j = low[at] + np.arange(width[at].max())[:, None]
        logs = j * log_z[at] - special.gammaln(j + 1) - special.gammaln(j * a[at])
        total = special.logsumexp(logs, axis=0)
        weight = np.exp(logs - total)
        out[0, at], out[1, at] = total, (weight * j).sum(axis=0)
        out[2, at] = (weight * j * special.digamma(j * a[at])).sum(axis=0)
        begin = stop
    return out


def tweedie(link: str = "log", power: float | None = None) -> Tweedie:
    """Zero or positive response, an amount that is often nothing, with mean mu and variance dispersion mu^power.

    Parameters
    ----------
    link
        ``"log"``.
    power
        Between 1 and 2 where it is known; estimated where None.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.families.tweedie(power=1.5)
    tweedie(link='log', power=1.5)
    """
    return replace(Tweedie.linked(link), held=known(power=power))
