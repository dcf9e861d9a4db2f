"""Counts with a model of their zeros: what zero-inflated and hurdle models have in common.

A row has two linear predictors, eta of the counts and zeta, the logit of the probability pi of the second source of
zeros. With m and v the mean and the variance of the counts of the first,

    mean = (1 - pi) m,    variance = (1 - pi) (v + pi m^2).

Where the counts of the first source may be zero too the model is zero-inflated (`zero_inflated.py`), else it is a
hurdle model (`hurdle.py`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.families.facts import NO_FACTS, RowFacts
from mixedfx.families.family import Array, Auxiliary, Family, Outcome


class TwoParts(Family):
    """Counts with a model of their zeros.

    Linear predictors are (D, m, 2): that of the counts, and the logit of the probability of the second source.
    """

    links = ("log",)
    outcome: ClassVar[Outcome] = "count"
    mean_is_inverse_link = False
    of: ClassVar[type[Family]]
    PREDICTORS: ClassVar[tuple[str, str]] = ("count", "zero")

    @property
    def counts(self) -> Family:
        """The family of the counts of the first source."""
        return self.of(self.link, self.held)

    def check(self, y: Array, facts: RowFacts, rows: NDArray[np.intp]) -> None:
        """Refuse what are no counts."""
        self.counts.check(y, facts, rows)

    def zero(self, eta: Array) -> Array:
        """(D, m) probability of the second source of zeros."""
        return special.expit(eta[..., 1])

    def conditional(self, eta: Array, aux: Auxiliary) -> Array:
        """(D, m) mean of the counts of the first source."""
        return self.counts.mean(eta[..., 0], aux)

    def mean(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(1 - pi) times that of the counts."""
        return special.expit(-eta[..., 1]) * self.counts.mean(eta[..., 0], aux, facts)

    def variance(self, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """(1 - pi) (v + pi m^2), m and v those of the counts."""
        m, v = (one(eta[..., 0], aux, facts) for one in (self.counts.mean, self.counts.variance))
        return special.expit(-eta[..., 1]) * (v + special.expit(eta[..., 1]) * m**2)

    def draw(self, rng: np.random.Generator, eta: Array, aux: Auxiliary, facts: RowFacts = NO_FACTS) -> Array:
        """Draws of the counts, some of them zero for the other reason."""
        drawn = self.counts.draw(rng, eta[..., 0], aux, facts)
        return np.where(rng.random(drawn.shape) < special.expit(eta[..., 1]), 0.0, drawn)
