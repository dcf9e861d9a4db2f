r"""Hurdle models of counts: whether a count is zero, and counts above zero.

    f(0) = pi,    f(y) = (1 - pi) f_c(y) for y = 1, 2, ...,

f_c a distribution without its zero (Mullahy 1986, Journal of Econometrics 33:341; `mixedfx.families.truncated`). With
s(x) = log(1 + exp x) and zeta = logit pi,

    log f(0) = zeta - s(zeta),    log f(y) = log f_c(y) - s(zeta),

a sum of a function of zeta and one of eta, so that without random effects or priors in common the two parts are two
models. `mixedfx.glmer` fits them one by one; `mixedfx.bayes` samples both in one program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError
from mixedfx.families.counts import NegativeBinomial, Poisson
from mixedfx.families.derivatives import HIGHEST
from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family
from mixedfx.families.truncated import TruncatedNegativeBinomial, TruncatedPoisson
from mixedfx.families.two_parts import TwoParts


class Hurdle(TwoParts):
    """Counts above zero of a family without its zero, and zeros."""

    whole: ClassVar[type[Family]]

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse what are no counts; zeros are."""
        self.whole(self.link).check(y, facts, rows)

    def log_density(self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Log f, all constants included."""
        above = self.counts.log_density(np.maximum(y, 1.0), eta[..., 0], aux, facts)
        return np.where(y == 0.0, eta[..., 1], above) - np.logaddexp(0.0, eta[..., 1])

    def derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS, order: int = HIGHEST
    ) -> NoReturn:
        """Refused: those of either part are those of its family."""
        raise OptionError(f"{self.name} has two linear predictors, and derivatives in both")

    def auxiliary_derivatives(
        self, y: Array, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS
    ) -> Mapping[str, Array]:
        """Refused: those of the counts above zero are those of their family."""
        raise OptionError(f"{self.name} has two linear predictors, and derivatives in both")

    def information(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> NoReturn:
        """Refused: that of either part is that of its family."""
        raise OptionError(f"{self.name} has two linear predictors, and information about both")


@dataclass(frozen=True, repr=False)
class HurdlePoisson(Hurdle):
    """Zeros, and Poisson counts above zero."""

    name = "hurdle_poisson"
    of = TruncatedPoisson
    whole = Poisson


@dataclass(frozen=True, repr=False)
class HurdleNegativeBinomial(Hurdle):
    """Zeros, and negative binomial counts above zero, of variance mu + mu^2 / shape with their zero."""

    name = "hurdle_negbinomial"
    of = TruncatedNegativeBinomial
    auxiliary = TruncatedNegativeBinomial.auxiliary
    whole = NegativeBinomial


HURDLE: dict[str, type[Hurdle]] = {kind.name: kind for kind in (HurdlePoisson, HurdleNegativeBinomial)}
"""Name of a hurdle model -> its family."""
