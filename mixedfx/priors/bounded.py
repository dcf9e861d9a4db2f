"""Priors of Bayes factors beside those of Bayesian fits: points, uniform, beta, and any other one cut off.

`mixedfx.robma` and `mixedfx.bma` take them, since a null hypothesis is a point and a hypothesis with a direction is cut
off. They have no Stan text: fits of `mixedfx.bayes` refuse them. What densities, distribution functions and quantiles
they have is in `mixedfx.priors.marginal`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixedfx.errors import OptionError
from mixedfx.priors.location import Normal, StudentT
from mixedfx.priors.positive import Exponential, Gamma, InverseGamma


@dataclass(frozen=True)
class Spike:
    """All probability at one value; see `mixedfx.priors.spike`."""

    at: float = 0.0

    def __str__(self) -> str:
        return f"spike({self.at:.4g})"


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution between two numbers; see `mixedfx.priors.uniform`."""

    lower: float
    upper: float

    def __str__(self) -> str:
        return f"uniform({self.lower:.4g}, {self.upper:.4g})"


@dataclass(frozen=True)
class Beta:
    """Beta distribution, mean alpha / (alpha + beta); see `mixedfx.priors.beta`."""

    alpha: float
    beta: float

    def __str__(self) -> str:
        return f"beta({self.alpha:.4g}, {self.beta:.4g})"


Whole = Normal | StudentT | Exponential | Gamma | InverseGamma | Uniform | Beta


@dataclass(frozen=True)
class Truncated:
    """A distribution cut off on one side or both; see `mixedfx.priors.truncated`."""

    base: Whole
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.base} in [{self.lower:.4g}, {self.upper:.4g}]"


Proper = Spike | Whole | Truncated
"""Priors with a probability for every interval."""


def spike(at: float = 0.0) -> Spike:
    """All probability at `at`: the parameter is known, as under a null hypothesis.

    Examples
    --------
    >>> import mixedfx as mx
    >>> print(mx.priors.spike(0))
    spike(0)
    """
    if not abs(at) < float("inf"):
        raise OptionError(f"spike({at}) is at no number", hint="Use spike(0).")
    return Spike(float(at))


def uniform(lower: float = 0.0, upper: float = 1.0) -> Uniform:
    """Uniform prior between `lower` and `upper`."""
    if not (abs(lower) < float("inf") and abs(upper) < float("inf") and lower < upper):
        raise OptionError(
            f"uniform({lower}, {upper}) is no distribution", hint="Give two finite numbers, the smaller one first."
        )
    return Uniform(float(lower), float(upper))


def beta(alpha: float = 1.0, beta: float = 1.0) -> Beta:
    """Beta prior of a number between 0 and 1, mean alpha / (alpha + beta)."""
    if not (0 < alpha < float("inf") and 0 < beta < float("inf")):
        raise OptionError(f"beta({alpha}, {beta}) is no distribution", hint="Both numbers are greater than 0.")
    return Beta(float(alpha), float(beta))


def truncated(prior: Whole, lower: float = float("-inf"), upper: float = float("inf")) -> Truncated:
    """A prior cut off below `lower` and above `upper`, and divided by what remains.

    Examples
    --------
    >>> import mixedfx as mx
    >>> print(mx.priors.truncated(mx.priors.normal(0.15, 0.1), lower=0))
    normal(0.15, 0.1) in [0, inf]
    """
    if not isinstance(prior, Whole):
        raise OptionError(f"{prior} cannot be truncated", hint="Give a proper prior such as normal(0, 1).")
    if not lower < upper:
        raise OptionError(f"truncated(..., lower={lower}, upper={upper}) leaves nothing", hint="lower < upper.")
    return Truncated(prior, float(lower), float(upper))
