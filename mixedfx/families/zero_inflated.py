r"""Counts with zeros from two sources: a share pi of rows is zero whatever, the others follow a family of counts.

    f(0) = pi + (1 - pi) f_c(0),    f(y) = (1 - pi) f_c(y) for y = 1, 2, ...

(Lambert 1992, Technometrics 34:1). A row has two linear predictors, eta of the counts and zeta = logit pi. With
l(eta) = log f_c and s(x) = log(1 + exp x),

    log f(0) = l + s(zeta - l) - s(zeta),    log f(y) = l - s(zeta).

Let tau = s'(zeta - l), the probability that a zero is one of the first source given that it is a zero (none where y is
above zero), v = tau (1 - tau) and t = v (1 - 2 tau), u = v (1 - 6 v) the next derivatives of s there, l_j those of l in
eta. The derivatives of log f, those of s(zeta) apart, are then

    in zeta alone           tau,  v,  t,  u
    zeta and eta            -v l_1
    zeta twice              -t l_1
    eta twice               t l_1^2 - v l_2
    zeta three times, eta   -u l_1
    both twice              u l_1^2 - t l_2
    eta three times         -u l_1^3 + 3 t l_1 l_2 - v l_3
    in eta alone            (1 - tau) l_1
                            v l_1^2 + (1 - tau) l_2
                            -t l_1^3 + 3 v l_1 l_2 + (1 - tau) l_3
                            u l_1^4 - 6 t l_1^2 l_2 + 3 v l_2^2 + 4 v l_1 l_3 + (1 - tau) l_4,

and with p_j those of l, l_1 and l_2 in the logarithm of a parameter of f_c

    (1 - tau) p_0;    v p_0 l_1 + (1 - tau) p_1,  -v p_0;
    -t p_0 l_1^2 + 2 v l_1 p_1 + v p_0 l_2 + (1 - tau) p_2,  t p_0 l_1 - v p_1,  -t p_0.

The density of a zero is not log-concave in (eta, zeta): it is flat where either source explains it alone. The
information of the complete data, the source of each zero known, is positive and above the observed one (Dempster, Laird
& Rubin 1977, JRSS B 39:1): (1 - tau) times that of the counts, and pi (1 - pi).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from scipy import special

from mixedfx.errors import OptionError
from mixedfx.families.counts import NegativeBinomial, Poisson
from mixedfx.families.derivatives import HIGHEST
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary
from mixedfx.families.link_derivatives import logistic
from mixedfx.families.overdispersed import NegativeBinomial1
from mixedfx.families.two_parts import TwoParts

LEAST, MOST = 0.05, 0.95  # share of the first source to begin with


class ZeroInflated(TwoParts):
    """Counts of a family, and zeros besides.

    Linear predictors are (D, m, 2): that of the counts, and the logit of the probability of a zero besides.
    """

    def excess(self, y: Array, eta: Array, aux: Auxiliary) -> Array:
        """(D, m) tau, the probability that a count of zero is one of those besides; zero of other counts."""
        none = self.counts.log_density(np.zeros_like(y), eta[..., 0], aux)
        return np.where(y == 0.0, special.expit(eta[..., 1] - none), 0.0)

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log f, all constants included."""
        counts, zeta = self.counts.log_density(y, eta[..., 0], aux, facts), eta[..., 1]
        return np.where(y == 0.0, np.logaddexp(zeta, counts), counts) - np.logaddexp(0.0, zeta)

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> NoReturn:
        """Refused: see `pair_derivatives`."""
        raise OptionError(f"{self.name} has two linear predictors, and derivatives in both")

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> NoReturn:
        """Refused: see `complete_information`."""
        raise OptionError(f"{self.name} has two linear predictors, and information about both")

    def pair_derivatives(self, y: Array, eta: Array, aux: Auxiliary, order: int = HIGHEST) -> list[Array]:
        """Derivatives of the log density in (eta, zeta).

        Returns
        -------
        list of (k + 1, D, m) arrays
            Those of order k = 1, 2, ...; entry j is j times in zeta and k - j times in eta.
        """
        tau, v, t, u = self._shares(y, eta, aux)
        own = self.counts.derivatives(y, eta[..., 0], aux, NO_FACTS, order)
        rest = (special.expit(eta[..., 1]), *logistic(eta[..., 1], 3))
        l1, left = own[0], 1.0 - tau
        out = [np.stack([left * l1, tau - rest[0]])]
        if order > 1:
            out.append(np.stack([v * l1**2 + left * own[1], -v * l1, v - rest[1]]))
        if order > 2:
            alone = -t * l1**3 + 3 * v * l1 * own[1] + left * own[2]
            out.append(np.stack([alone, t * l1**2 - v * own[1], -t * l1, t - rest[2]]))
        if order > 3:
            alone = u * l1**4 - 6 * t * l1**2 * own[1] + 3 * v * own[1] ** 2 + 4 * v * l1 * own[2] + left * own[3]
            thrice = -u * l1**3 + 3 * t * l1 * own[1] - v * own[2]
            out.append(np.stack([alone, thrice, u * l1**2 - t * own[1], -u * l1, u - rest[3]]))
        return out

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """Name -> (6, D, m) in log(parameter): of log f, and of its derivatives in eta, zeta, and twice in them.

        The last three are in eta twice, in both, and in zeta twice.
        """
        tau, v, t, _ = self._shares(y, eta, aux)
        l1, l2 = self.counts.derivatives(y, eta[..., 0], aux, facts, 2)
        out = {}
        for name, (p0, p1, p2) in self.counts.auxiliary_derivatives(y, eta[..., 0], aux, facts).items():
            twice = -t * p0 * l1**2 + 2 * v * l1 * p1 + v * p0 * l2 + (1 - tau) * p2
            out[name] = np.stack(
                [(1 - tau) * p0, v * p0 * l1 + (1 - tau) * p1, -v * p0, twice, t * p0 * l1 - v * p1, -t * p0]
            )
        return out

    def complete_information(self, y: Array, eta: Array, aux: Auxiliary) -> Array:
        """(2, D, m) information about eta and zeta of the complete data; there is none about both together.

        Of counts whose density is not log-concave in eta it is nothing where the observed one is negative.
        """
        own = np.maximum(-self.counts.derivatives(y, eta[..., 0], aux, NO_FACTS, 2)[1], 0.0)
        return np.stack([(1.0 - self.excess(y, eta, aux)) * own, logistic(eta[..., 1], 1)[0]])

    def starting_values(self, y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, float]:
        """Those of the counts."""
        return self.counts.starting_values(y, facts)

    def starting_share(self, y: Array) -> float:
        """A share of the first source to begin with: zeros beyond those of Poisson counts; half where they vary more.

        Poisson's mean m is that of the counts above zero, m / (1 - exp(-m)).
        """
        above = float(y[y > 0.0].mean()) if (y > 0.0).any() else 1.0
        m = above
        for _ in range(50):
            m = above * -np.expm1(-m)
        share = (float((y == 0.0).mean()) - np.exp(-m)) / max(-np.expm1(-m), 1e-3)
        return float(np.clip(share / 2.0 if self.auxiliary else share, LEAST, MOST))

    def becomes(self, aux: Mapping[str, float], y: Array, facts: RowFacts = NO_FACTS) -> Mapping[str, str]:
        """What the counts have become."""
        return self.counts.becomes(aux, y, facts)

    def _shares(self, y: Array, eta: Array, aux: Auxiliary) -> tuple[Array, Array, Array, Array]:
        """Tau and its derivatives in zeta, zero where y is above zero."""
        none = self.counts.log_density(np.zeros_like(y), eta[..., 0], aux)
        x, zero = eta[..., 1] - none, np.asarray(y == 0.0, dtype=np.float64)
        tau, (v, t, u) = special.expit(x), logistic(x, 3)
        return zero * tau, zero * v, zero * t, zero * u


@dataclass(frozen=True, repr=False)
class ZeroInflatedPoisson(ZeroInflated):
    """Poisson counts, and zeros besides."""

    name = "zero_inflated_poisson"
    of = Poisson


@dataclass(frozen=True, repr=False)
class ZeroInflatedNegativeBinomial(ZeroInflated):
    """Negative binomial counts with variance mu + mu^2 / shape, and zeros besides."""

    name = "zero_inflated_negbinomial"
    of = NegativeBinomial
    auxiliary = NegativeBinomial.auxiliary
    noise = NegativeBinomial.noise
    dispersed = NegativeBinomial.dispersed


@dataclass(frozen=True, repr=False)
class ZeroInflatedNegativeBinomial1(ZeroInflated):
    """Negative binomial counts with variance mu (1 + dispersion), and zeros besides."""

    name = "zero_inflated_nbinom1"
    of = NegativeBinomial1
    auxiliary = NegativeBinomial1.auxiliary
    noise = NegativeBinomial1.noise
    dispersed = NegativeBinomial1.dispersed


ZERO_INFLATED: dict[str, type[ZeroInflated]] = {
    kind.of.name: kind for kind in (ZeroInflatedPoisson, ZeroInflatedNegativeBinomial, ZeroInflatedNegativeBinomial1)
}
"""Name of a family of counts -> the same with zeros besides."""
