"""Responses between 0 and 1: beta.

Parameterised as in Stan and brms: beta(mu phi, (1 - mu) phi), variance mu (1 - mu) / (1 + phi). The density is formed
from log mu and log(1 - mu), and 1 / B(a, b) = a b / (phi (phi + 1) B(a + 1, b + 1)) has a finite logarithm where a or b
underflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import HIGHEST, compose, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, across, moments_of, refuse


@dataclass(frozen=True, repr=False)
class Beta(Family):
    """Beta distribution with mean mu; see `beta`."""

    name = "beta"
    links = ("logit", "probit", "cloglog", "cauchit")
    auxiliary = ("phi",)
    outcome = "unit"
    dispersed = "phi"

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Some of the variance for the rows."""
        mean, variance = moments_of(y)
        return {"phi": float(np.exp(np.clip(np.log(mean * (1 - mean) / variance) + 0.35, -2.0, 8.0)))}

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse 0, 1 and beyond."""
        refuse(
            ~((y > 0) & (y < 1)),
            y,
            rows,
            "beta responses lie between 0 and 1, both left out, but the response is {value} in {where}",
            "Counts out of a total are family='binomial', with k | trials(m) ~ ...",
        )

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of beta(mu phi, (1 - mu) phi)."""
        phi = across(aux, "phi")
        log_mu, log_rest = self.link.log_inverse(eta), self.link.log_complement(eta)
        a, b = phi * np.exp(log_mu), phi * np.exp(log_rest)
        # log a + log b - log phi = log phi + log mu + log(1 - mu)
        constant = np.log(phi) + log_mu + log_rest - np.log1p(phi) - special.betaln(a + 1, b + 1)
        return constant + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y)

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The mean mu."""
        return self.link.inverse(eta)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Beta draws; kept off 0 and 1, which double precision would reach in the tails."""
        a, b = self._shapes(eta, across(aux, "phi"))
        return np.clip(rng.beta(a, b), np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """In mu, with a = mu phi, b = (1 - mu) phi: phi {psi(b) - psi(a) + logit y} and its derivatives."""
        phi = across(aux, "phi")
        a, b = self._shapes(eta, phi)
        outer = [phi * (special.digamma(b) - special.digamma(a) + special.logit(y))]
        for j in range(1, order):
            outer.append(-(phi ** (j + 1)) * (special.polygamma(j, a) - (-1) ** j * special.polygamma(j, b)))
        return stacked(compose(tuple(outer), self.link.derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log phi: phi {psi(phi) - mu psi(a) - (1 - mu) psi(b) + mu log y + (1 - mu) log(1 - y)}."""
        phi = across(aux, "phi")
        a, b = self._shapes(eta, phi)
        psi_a, psi_b = special.digamma(a), special.digamma(b)
        one_a, one_b = special.polygamma(1, a), special.polygamma(1, b)
        own = phi * special.digamma(phi) + a * (np.log(y) - psi_a) + b * (np.log1p(-y) - psi_b)
        of_mu = (
            phi * (special.logit(y) - psi_a - a * one_a + psi_b + b * one_b),
            -(phi**2) * (2 * one_a + a * special.polygamma(2, a) + 2 * one_b + b * special.polygamma(2, b)),
        )
        rest = compose(of_mu, self.link.derivatives(eta, 2))
        return {"phi": stacked((own, *rest), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(phi d mu)^2 {psi'(a) + psi'(b)}."""
        phi = across(aux, "phi")
        a, b = self._shapes(eta, phi)
        return (phi * self.link.derivatives(eta, 1)[0]) ** 2 * (special.polygamma(1, a) + special.polygamma(1, b))

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Mu (1 - mu) / (1 + phi)."""
        return np.exp(self.link.log_inverse(eta) + self.link.log_complement(eta)) / (1 + across(aux, "phi"))

    def _shapes(self, eta: Array, phi: Array) -> tuple[Array, Array]:
        """Both shapes, kept off zero."""
        tiny = np.finfo(np.float64).tiny
        a, b = phi * np.exp(self.link.log_inverse(eta)), phi * np.exp(self.link.log_complement(eta))
        return np.maximum(a, tiny), np.maximum(b, tiny)


def beta(link: str = "logit") -> Beta:
    """Beta response between 0 and 1 with mean mu and variance mu (1 - mu) / (1 + phi).

    Links ``"logit"``, ``"probit"``, ``"cloglog"``, ``"cauchit"``.
    """
    return Beta.linked(link)
