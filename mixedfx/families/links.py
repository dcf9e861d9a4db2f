"""Link functions: the mean of a response as a function of the linear predictor, and back.

A link g takes the mean mu to the linear predictor eta = g(mu). Densities are computed from log mu and log(1 - mu), not
from mu: for eta = 40 the logit link gives mu = 1 in double precision while log(1 - mu) = -40 to all digits. Each link
therefore carries both logarithms. Where exp(eta) would overflow the linear predictor saturates at 700 (exp(700) is
1e304), so that no infinity enters a sum.

Where a mean outside the domain of the link is met (eta < 0 under ``inverse`` for a positive mean) the logarithm is NaN;
families turn that into a density of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.derivatives import Ladder
from mixedfx.families.link_derivatives import LINK_DERIVATIVES

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_LARGEST = 700.0


@dataclass(frozen=True)
class Link:
    """A link function with its inverse.

    Attributes
    ----------
    name
        Its name, as brms and Stan write it.
    link
        mu -> eta.
    inverse
        eta -> mu.
    log_inverse
        eta -> log mu, without forming mu.
    log_complement
        eta -> log(1 - mu); NaN for links whose mean is no probability.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.families.links import LINKS
    >>> logit = LINKS["logit"]
    >>> logit.inverse(np.array([0.0, 40.0])), logit.log_complement(np.array([40.0]))
    (array([0.5, 1. ]), array([-40.]))
    """

    name: str
    link: Function = field(compare=False, repr=False)
    inverse: Function = field(compare=False, repr=False)
    log_inverse: Function = field(compare=False, repr=False)
    log_complement: Function = field(compare=False, repr=False)

    def derivatives(self, eta: Array, order: int = 2) -> Ladder:
        """Derivatives of mu in eta of orders 1 to `order`, at most four."""
        return LINK_DERIVATIVES[self.name][0](eta, order)

    def log_inverse_derivatives(self, eta: Array, order: int = 2) -> Ladder:
        """Derivatives of log mu."""
        return LINK_DERIVATIVES[self.name][1](eta, order)

    def log_complement_derivatives(self, eta: Array, order: int = 2) -> Ladder:
        """Derivatives of log(1 - mu)."""
        return LINK_DERIVATIVES[self.name][2](eta, order)


def saturating_exp(eta: Array) -> Array:
    """Evaluate exp(eta), at most exp(700)."""
    return np.exp(np.minimum(eta, _LARGEST))


def saturating_square(x: Array) -> Array:
    """Evaluate x * x, at most 1e300."""
    return np.square(np.clip(x, -1e150, 1e150))


def log1mexp(x: Array) -> Array:
    """log(1 - exp(x)) for x <= 0, by the branch that keeps the digits (Maechler 2012, Rmpfr vignette)."""
    x = np.asarray(x, dtype=np.float64)
    near = x > -np.log(2.0)
    with np.errstate(divide="ignore"):
        return np.where(near, np.log(-np.expm1(np.where(near, x, -1.0))), np.log1p(-np.exp(np.where(near, -1.0, x))))


def _log(mu: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(mu)


def _same(eta: Array) -> Array:
    return np.asarray(eta, dtype=np.float64)


def _unknown(eta: Array) -> Array:
    return np.full_like(eta, np.nan, dtype=np.float64)


def _log1m(mu: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log1p(-mu)


def _log_expit(eta: Array) -> Array:
    # -log(1 + exp(-eta)) without overflow; more than twice as fast as logaddexp.
    return np.minimum(eta, 0.0) - np.log1p(np.exp(-np.abs(eta)))


def _log_expit_complement(eta: Array) -> Array:
    return _log_expit(np.negative(eta))


def _log_normal_upper(eta: Array) -> Array:
    return special.log_ndtr(-np.asarray(eta, dtype=np.float64))


def _cloglog(mu: Array) -> Array:
    return _log(-_log1m(mu))


def _gumbel(eta: Array) -> Array:
    return -np.expm1(-saturating_exp(eta))


def _log_gumbel(eta: Array) -> Array:
    # log(1 - exp(-exp(eta))) is eta - exp(eta) / 2 + ... far to the left, where exp(eta) underflows.
    far = np.asarray(eta) < -30.0
    return np.where(far, eta, log1mexp(-saturating_exp(np.where(far, 0.0, eta))))


def _log_gumbel_complement(eta: Array) -> Array:
    return -saturating_exp(eta)


def _cauchit(mu: Array) -> Array:
    # -1 / tan(pi mu), with tan of the smaller of mu and 1 - mu.
    with np.errstate(divide="ignore"):
        return np.where(mu < 0.5, -1.0 / np.tan(np.pi * mu), 1.0 / np.tan(np.pi * (1.0 - mu)))


def _cauchy(eta: Array) -> Array:
    # arctan2 has no cancellation in either tail: 1/2 + arctan(eta) / pi = arctan2(1, -eta) / pi.
    return np.arctan2(1.0, -np.asarray(eta, dtype=np.float64)) / np.pi


def _log_cauchy(eta: Array) -> Array:
    return _log(_cauchy(eta))


def _log_cauchy_complement(eta: Array) -> Array:
    return _log(_cauchy(-np.asarray(eta, dtype=np.float64)))


def _reciprocal(eta: Array) -> Array:
    with np.errstate(divide="ignore"):
        return 1.0 / np.asarray(eta, dtype=np.float64)


def _log_reciprocal(eta: Array) -> Array:
    return -_log(eta)


def _log_square(eta: Array) -> Array:
    return 2.0 * _log(np.abs(eta))


def _sqrt(mu: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.sqrt(mu)


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        Link("identity", _same, _same, _log, _log1m),
        Link("log", _log, saturating_exp, _same, _unknown),
        Link("logit", special.logit, special.expit, _log_expit, _log_expit_complement),
        Link("probit", special.ndtri, special.ndtr, special.log_ndtr, _log_normal_upper),
        Link("cloglog", _cloglog, _gumbel, _log_gumbel, _log_gumbel_complement),
        Link("cauchit", _cauchit, _cauchy, _log_cauchy, _log_cauchy_complement),
        Link("inverse", _reciprocal, _reciprocal, _log_reciprocal, _unknown),
        Link("sqrt", _sqrt, saturating_square, _log_square, _unknown),
    )
}
"""Every link by its name."""
