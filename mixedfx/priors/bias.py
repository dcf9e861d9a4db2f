r"""Hypotheses about publication bias: none, a step function of p values, PET and PEESE, each with its prior.

**Weights.** An estimate whose p value is in the most significant interval is seen with probability proportional to 1,
in the following ones w_1 >= w_2 >= ..., w_j = 1 - (eta_0 + ... + eta_{j-1}) with eta ~ Dirichlet(alpha): cumulative
sums, so that no interval is likelier to be seen than a more significant one (Maier, Bartos and Wagenmakers 2023,
Psychological Methods 28(1)). Equivalently w_j is a product of independent sticks, s_j ~ Beta(alpha_j + ... + alpha_J,
alpha_{j-1}).

**PET and PEESE.** The mean of an estimate of standard error se is mu + PET se, or mu + PEESE se^2 (Stanley and
Doucouliagos 2014, Research Synthesis Methods 5(1)), with positive coefficients in the direction of the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_option
from mixedfx.priors.bounded import Proper, Spike
from mixedfx.priors.construct import half_cauchy
from mixedfx.priors.marginal import marginal

Side = Literal["one-sided", "two-sided"]


@dataclass(frozen=True)
class NoBias:
    """No publication bias; see `mixedfx.priors.no_bias`."""

    def __str__(self) -> str:
        return "none"


@dataclass(frozen=True)
class Weights:
    """Step function of p values with cumulative-Dirichlet weights; see `mixedfx.priors.weight_function`."""

    side: Side
    steps: tuple[float, ...]
    alpha: tuple[float, ...]

    @property
    def two_sided(self) -> bool:
        """Whether p values are."""
        return self.side == "two-sided"

    @property
    def sticks(self) -> NDArray[np.float64]:
        """(J, 2) parameters of the beta distributions of the sticks."""
        alpha = np.array(self.alpha)
        return np.column_stack([np.cumsum(alpha[::-1])[::-1][1:], alpha[:-1]])

    def __str__(self) -> str:
        plain = set(self.alpha) == {1.0}
        alpha = "" if plain else f", alpha {', '.join(f'{a:g}' for a in self.alpha)}"
        return f"{self.side} {', '.join(f'{s:g}' for s in self.steps)}{alpha}"


@dataclass(frozen=True)
class PET:
    """Mean effects that rise with the standard error; see `mixedfx.priors.pet`."""

    prior: Proper

    def __str__(self) -> str:
        return f"PET {self.prior}"


@dataclass(frozen=True)
class PEESE:
    """Mean effects that rise with the sampling variance; see `mixedfx.priors.peese`."""

    prior: Proper

    def __str__(self) -> str:
        return f"PEESE {self.prior}"


Bias = NoBias | Weights | PET | PEESE


def no_bias() -> NoBias:
    """The hypothesis of no publication bias."""
    return NoBias()


def weight_function(
    side: Side = "one-sided", steps: Sequence[float] | float = (0.025,), alpha: Sequence[float] | None = None
) -> Weights:
    """Selection by p values: a step function whose weights fall with p, a cumulative Dirichlet distribution.

    Parameters
    ----------
    side
        ``"one-sided"`` p values, small in the direction of the bias, or ``"two-sided"`` ones.
    steps
        Rising p values between 0 and 1 at which the weight changes.
    alpha
        Concentrations, one for each interval, the most significant first; 1 each where None.

    Examples
    --------
    >>> import mixedfx as mx
    >>> print(mx.priors.weight_function("one-sided", (0.025, 0.5)))
    one-sided 0.025, 0.5
    """
    check_option("side", side, ("one-sided", "two-sided"))
    found = tuple(float(step) for step in np.atleast_1d(np.asarray(steps, dtype=np.float64)))
    if not found or any(not 0 < step < 1 for step in found) or list(found) != sorted(set(found)):
        raise OptionError(f"steps={steps!r} are no rising p values", hint="Give them as in steps=(0.025, 0.5).")
    given = (1.0,) * (len(found) + 1) if alpha is None else tuple(float(a) for a in alpha)
    if len(given) != len(found) + 1 or any(not 0 < a < np.inf for a in given):
        raise OptionError(
            f"alpha={alpha!r}: {len(found)} steps make {len(found) + 1} intervals",
            hint="Give a positive number for each interval.",
        )
    return Weights(side, found, given)


def pet(prior: Proper | None = None) -> PET:
    """Precision-effect test as a model: the mean of an estimate is mu + PET se; half-Cauchy(1) where None."""
    return PET(_coefficient(half_cauchy(1.0) if prior is None else prior))


def peese(prior: Proper | None = None) -> PEESE:
    """Precision-effect estimate with standard errors as a model: mu + PEESE se^2; half-Cauchy(5) where None."""
    return PEESE(_coefficient(half_cauchy(5.0) if prior is None else prior))


def _coefficient(prior: Proper) -> Proper:
    if isinstance(prior, Spike):
        raise OptionError("PET and PEESE with a known coefficient are no hypotheses of bias", hint="Use no_bias().")
    marginal(prior, 0.0)
    return prior
