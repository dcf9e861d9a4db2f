"""Families of real responses around a location: gaussian and student.

Parameterised as in Stan and brms: student(nu, mu, sigma). Derivatives are taken in z = (y - mu) / scale and composed
with the link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import HIGHEST, Ladder, compose, stacked
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome, across, known, moments_of, refuse
from mixedfx.families.links import saturating_square

LOG_2PI = float(np.log(2 * np.pi))
MANY_DEGREES = 1e4  # of freedom, from which a Student distribution is a normal one for all that data say
NORMAL = (
    "the residuals have no heavier tails than a normal distribution, and the degrees of freedom run to infinity: "
    "family='gaussian' is the same model without them."
)


def _scale(aux: Auxiliary, facts: RowFacts) -> Array:
    """(D, m) or (D, 1) scale of each row: known, or sigma / sqrt(weight)."""
    if facts.known_sd is not None:
        return np.asarray(facts.known_sd, dtype=np.float64)[None, :]
    sigma = across(aux, "sigma")
    return sigma if facts.weights is None else sigma / np.sqrt(facts.weights)


def log_normal_density(z: Array, scale: Array) -> Array:
    """Log density of N(0, scale^2) at z times the scale."""
    return -0.5 * LOG_2PI - np.log(scale) - 0.5 * saturating_square(z)


class _Location(Family):
    """A real response around mu."""

    links = ("identity", "log", "inverse")
    outcome: ClassVar[Outcome] = "real"
    weights = True
    location = True

    @property
    def identity(self) -> bool:
        """Whether the link is the identity."""
        return self.link.name == "identity"

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Any finite number will do."""
        refuse(~np.isfinite(y), y, rows, "the response is {value} in {where}", "Drop or repair these rows.")

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """mu; of a student response with nu <= 1, which has no mean, its centre."""
        return self.link.inverse(eta)

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Half the variance for the rows; tails of eight degrees of freedom."""
        return {"sigma": float(np.sqrt(moments_of(y)[1]) * np.exp(-0.35)), "nu": 8.0}

    def dispersion(self, aux: Mapping[str, float]) -> float:
        """sigma^2; one where standard deviations are known."""
        return aux.get("sigma", 1.0) ** 2


@dataclass(frozen=True, repr=False)
class Gaussian(_Location):
    """Normal distribution; see `gaussian`."""

    name = "gaussian"
    auxiliary = ("sigma",)
    normal = True
    dispersed = "sigma"
    concave = ("identity",)

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of N(mu, scale^2)."""
        scale = _scale(aux, facts)
        return log_normal_density((y - self.link.inverse(eta)) / scale, scale)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Normal draws."""
        return self.link.inverse(eta) + _scale(aux, facts) * rng.standard_normal(np.shape(eta))

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of -z^2 / 2, z = (y - mu) / scale, composed with mu."""
        scale = _scale(aux, facts)
        z, zero = (y - self.link.inverse(eta)) / scale, np.zeros_like(scale)
        outer = (z / scale, -(scale**-2.0), zero, zero)[:order]
        return stacked(compose(outer, self.link.derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log sigma: z^2 - 1."""
        if facts.known_sd is not None:
            return {}
        scale = _scale(aux, facts)
        z = (y - self.link.inverse(eta)) / scale
        rest = compose((-2 * z / scale, 2 * scale**-2.0), self.link.derivatives(eta, 2))
        return {"sigma": stacked((z**2 - 1, *rest), np.shape(eta))}

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(d mu / scale)^2."""
        return (self.link.derivatives(eta, 1)[0] / _scale(aux, facts)) ** 2

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The square of the scale."""
        return np.broadcast_to(_scale(aux, facts) ** 2, np.shape(eta))


@dataclass(frozen=True, repr=False)
class Student(_Location):
    """Student's t distribution around mu; see `student`."""

    name = "student"
    auxiliary = ("nu", "sigma")
    noise: ClassVar[Mapping[str, int]] = {"nu": -1}
    dispersed = "sigma"

    def becomes(self, aux: Mapping[str, float], y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, str]:
        """Without heavy tails a normal response."""
        return {"nu": NORMAL} if aux["nu"] > MANY_DEGREES else {}

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log density of mu + scale * t_nu; its constant is -log B(nu / 2, 1 / 2) - log(nu) / 2 - log scale."""
        scale, nu = _scale(aux, facts), across(aux, "nu")
        z = (y - self.link.inverse(eta)) / scale
        constant = -special.betaln(nu / 2, 0.5) - 0.5 * np.log(nu) - np.log(scale)
        return constant - (nu + 1) / 2 * np.log1p(saturating_square(z) / nu)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Draws of t."""
        shocks = rng.standard_t(np.broadcast_to(across(aux, "nu"), np.shape(eta)))
        return self.link.inverse(eta) + _scale(aux, facts) * shocks

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> Array:
        """Of the kernel in z = (y - mu) / scale, composed with mu; see `_kernel`."""
        scale, nu = _scale(aux, facts), across(aux, "nu")
        outer = _in_location(_kernel((y - self.link.inverse(eta)) / scale, nu, order), scale)
        return stacked(compose(outer, self.link.derivatives(eta, order)), np.shape(eta))

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """In log sigma and in log nu.

        With q the kernel in z: in log sigma -1 - z q'; in nu, t = nu + z^2, {psi((nu + 1) / 2) - psi(nu / 2) - 1 / nu -
        log(1 + z^2 / nu)} / 2 + (nu + 1) z^2 / (2 nu t).
        """
        scale, nu, inner = _scale(aux, facts), across(aux, "nu"), self.link.derivatives(eta, 2)
        z = (y - self.link.inverse(eta)) / scale
        square, q = saturating_square(z), _kernel(z, nu, 3)
        t = nu + square
        level = special.digamma((nu + 1) / 2) - special.digamma(nu / 2) - 1 / nu - np.log1p(square / nu)
        own = 0.5 * nu * level + 0.5 * (nu + 1) * square / t
        of_z = (nu * z * ((nu + 1) / t - 1) / t, nu * ((nu + 1) * (nu - 3 * square) / t - (nu - square)) / t**2)
        out = {"nu": stacked((own, *compose(_in_location(of_z, scale), inner)), np.shape(eta))}
        if facts.known_sd is None:
            of_z = (-(q[0] + z * q[1]), -(2 * q[1] + z * q[2]))
            out["sigma"] = stacked((-1 - z * q[0], *compose(_in_location(of_z, scale), inner)), np.shape(eta))
        return out

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(nu + 1) / (nu + 3) (d mu / scale)^2."""
        nu = across(aux, "nu")
        return (nu + 1) / (nu + 3) * (self.link.derivatives(eta, 1)[0] / _scale(aux, facts)) ** 2

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """The square of the scale times nu / (nu - 2); infinite for nu <= 2."""
        nu = across(aux, "nu")
        factor = np.where(nu > 2, nu / np.where(nu > 2, nu - 2, 1.0), np.inf)
        return np.broadcast_to(_scale(aux, facts) ** 2 * factor, np.shape(eta))


def _kernel(z: Array, nu: Array, order: int) -> Ladder:
    """Derivatives in z of -(nu + 1) / 2 log(1 + z^2 / nu)."""
    z = np.clip(z, -1e70, 1e70)
    square, c = z * z, -(nu + 1)
    t = nu + square
    return (
        c * z / t,
        c * (nu - square) / t**2,
        c * 2 * z * (square - 3 * nu) / t**3,
        c * 6 * (6 * nu * square - square**2 - nu**2) / t**4,
    )[:order]


def _in_location(of_z: Ladder, scale: Array) -> Ladder:
    """Derivatives in mu from those in z = (y - mu) / scale."""
    return tuple(rung * (-1 / scale) ** j for j, rung in enumerate(of_z, start=1))


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


def student(link: str = "identity", nu: float | None = None) -> Student:
    """Student's t response, robust against outliers: (y - mu) / sigma ~ t with nu degrees of freedom.

    Parameters
    ----------
    link
        ``"identity"``, ``"log"`` or ``"inverse"``.
    nu
        Degrees of freedom where they are known, above 1; estimated where None.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.families.student(nu=4)
    student(link='identity', nu=4)
    """
    return replace(Student.linked(link), held=known(nu=nu))
