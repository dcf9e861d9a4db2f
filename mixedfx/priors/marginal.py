"""Densities, distribution functions and quantiles of proper priors, cut off where their parameter cannot be.

The same object is a prior of a mean and of a standard deviation: `Marginal` is the prior of one parameter, which knows
between which numbers it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.errors import OptionError
from mixedfx.priors.bounded import Beta, Proper, Spike, Truncated, Uniform
from mixedfx.priors.location import Normal, StudentT
from mixedfx.priors.positive import Exponential, Gamma, InverseGamma

Array = NDArray[Any]  # of float64


class _Line(NamedTuple):
    """Support, log density, distribution function and its inverse of one class of priors."""

    support: Callable[[Any], tuple[float, float]]
    log_density: Callable[[Any, Array], Array]
    cdf: Callable[[Any, Array], Array]
    quantile: Callable[[Any, Array], Array]


def _all(_: Any) -> tuple[float, float]:
    return -np.inf, np.inf


def _positive(_: Any) -> tuple[float, float]:
    return 0.0, np.inf


_LINES: dict[type, _Line] = {
    Normal: _Line(
        lambda p: (0.0, np.inf) if p.half else (-np.inf, np.inf),
        lambda p, x: p.log_density(x),
        lambda p, x: special.ndtr((x - p.loc) / p.scale),
        lambda p, q: p.loc + p.scale * special.ndtri(q),
    ),
    StudentT: _Line(
        lambda p: (0.0, np.inf) if p.half else (-np.inf, np.inf),
        lambda p, x: p.log_density(x),
        lambda p, x: special.stdtr(p.df, (x - p.loc) / p.scale),
        lambda p, q: p.loc + p.scale * special.stdtrit(p.df, q),
    ),
    Exponential: _Line(
        _positive, lambda p, x: p.log_positive(x), lambda p, x: -np.expm1(-p.rate * np.maximum(x, 0.0)),
        lambda p, q: -np.log1p(-q) / p.rate,
    ),
    Gamma: _Line(
        _positive, lambda p, x: p.log_positive(x), lambda p, x: special.gammainc(p.shape, p.rate * np.maximum(x, 0.0)),
        lambda p, q: special.gammaincinv(p.shape, q) / p.rate,
    ),
    InverseGamma: _Line(
        _positive,
        lambda p, x: p.log_positive(x),
        lambda p, x: special.gammaincc(p.shape, p.scale / np.maximum(x, 1e-300)),
        lambda p, q: p.scale / special.gammainccinv(p.shape, q),
    ),
    Uniform: _Line(
        lambda p: (p.lower, p.upper),
        lambda p, x: np.full(np.shape(x), -np.log(p.upper - p.lower)),
        lambda p, x: np.clip((x - p.lower) / (p.upper - p.lower), 0.0, 1.0),
        lambda p, q: p.lower + (p.upper - p.lower) * q,
    ),
    Beta: _Line(
        lambda p: (0.0, 1.0),
        lambda p, x: special.xlogy(p.alpha - 1, x) + special.xlog1py(p.beta - 1, -x) - special.betaln(p.alpha, p.beta),
        lambda p, x: special.betainc(p.alpha, p.beta, np.clip(x, 0.0, 1.0)),
        lambda p, q: special.betaincinv(p.alpha, p.beta, q),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Marginal:
    """The prior of one parameter.

    Attributes
    ----------
    base
        A distribution.
    lower, upper
        Where it is cut off.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.priors.marginal import marginal
    >>> half = marginal(mx.priors.normal(0, 1), 0.0)
    >>> half.quantile(0.95).round(3), half.cdf(1.959964).round(4)
    (np.float64(1.96), np.float64(0.95))
    """

    base: Any
    lower: float
    upper: float

    @cached_property
    def _below(self) -> float:
        return float(_LINES[type(self.base)].cdf(self.base, np.array(self.lower))) if self.lower > -np.inf else 0.0

    @cached_property
    def mass(self) -> float:
        """Probability that the whole distribution has between `lower` and `upper`."""
        above = float(_LINES[type(self.base)].cdf(self.base, np.array(self.upper))) if self.upper < np.inf else 1.0
        return above - self._below

    def log_density(self, x: Array) -> Array:
        """Log density; minus infinity outside."""
        x = np.asarray(x, dtype=np.float64)
        inside = (x >= self.lower) & (x <= self.upper)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = _LINES[type(self.base)].log_density(self.base, np.where(inside, x, self.within))
        return np.where(inside, value - np.log(self.mass), -np.inf)

    def cdf(self, x: Array | float) -> Array:
        """Probability up to x."""
        line = _LINES[type(self.base)]
        return (line.cdf(self.base, np.clip(x, self.lower, self.upper)) - self._below) / self.mass

    def quantile(self, q: Array | float) -> Array:
        """Value with probability q below it."""
        at = self._below + self.mass * np.asarray(q, dtype=np.float64)
        return np.clip(_LINES[type(self.base)].quantile(self.base, at), self.lower, self.upper)

    @cached_property
    def within(self) -> float:
        """The median, a value that the parameter can have."""
        return float(self.quantile(0.5))

    def __str__(self) -> str:
        return str(self.base)


def marginal(prior: Proper, lower: float = -np.inf, upper: float = np.inf) -> Marginal:
    """The prior of a parameter that lies between `lower` and `upper`.

    Raises
    ------
    OptionError
        A prior that has next to no probability there, a spike, or one that is no distribution.
    """
    base: Any = prior
    if isinstance(prior, Truncated):
        base, lower, upper = prior.base, max(lower, prior.lower), min(upper, prior.upper)
    if type(base) not in _LINES or isinstance(base, Spike):
        raise OptionError(f"{prior} has no density here", hint="Use a proper prior such as normal(0, 1).")
    start, end = _LINES[type(base)].support(base)
    found = Marginal(base, max(lower, start), min(upper, end))
    if not (found.lower < found.upper and found.mass > 1e-12):
        raise OptionError(
            f"{prior} has no probability between {lower:g} and {upper:g}, where its parameter lies",
            hint="Choose another prior.",
        )
    return found
