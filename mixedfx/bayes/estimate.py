"""What a posterior knows about linear functionals of (beta, u), and of levels it has not seen: its draws of them.

The effects of an unseen level are drawn from the population, N(0, Sigma_d) with the Sigma of the same posterior draw
d: each level gets draws of its own, never one shared by all. The random numbers of a level depend on the fit's seed
and the level's name only, so that two questions about one level get the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.functional import Functional, NewLevel

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PosteriorEstimate:
    """Joint posterior draws of s linear functionals.

    Attributes
    ----------
    functional
        The s rows.
    values
        (D, s) draws.
    """

    functional: Functional
    values: Array
    exact = False

    @cached_property
    def mean(self) -> Array:
        """(s,) posterior means."""
        return self.values.mean(axis=0)

    @cached_property
    def cov(self) -> Array:
        """(s, s) posterior covariance."""
        deviation = self.values - self.mean
        return deviation.T @ deviation / max(len(self.values) - 1, 1)

    @cached_property
    def variances(self) -> Array:
        """(s,) posterior variances."""
        return self.values.var(axis=0, ddof=1)

    @cached_property
    def sd(self) -> Array:
        """(s,) posterior standard deviations."""
        return np.sqrt(self.variances)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws: all there are where `n` is None, else n of them chosen at random.

        Without replacement while there are enough; `seed` is of the choice.
        """
        if n is None:
            return self.values
        chosen = np.random.default_rng(seed).choice(len(self.values), n, replace=n > len(self.values))
        return self.values[chosen]


def estimate(functional: Functional, beta: Array, u: Array, factors: Sequence[Array], seed: int) -> PosteriorEstimate:
    """Apply a functional to draws.

    Parameters
    ----------
    functional
        The s rows.
    beta, u
        (D, p) and (D, q) draws.
    factors
        For each random term (D, k, k) lower factors of the covariance of a level's effects.
    seed
        Of the effects of unseen levels.
    """
    values = beta @ functional.fixed.T + (functional.random @ u.T).T + functional.offset
    if functional.new_levels:
        effects = np.concatenate([new_effects(level, factors, seed) for level in functional.new_levels], axis=1)
        values = values + (functional.new @ effects.T).T
    return PosteriorEstimate(functional, np.asarray(values))


def new_effects(level: NewLevel, factors: Sequence[Array], seed: int) -> Array:
    """(D, k) effects of one unseen level, one for each posterior draw."""
    factor = factors[level.term]
    rng = np.random.default_rng([seed, level.term, crc32(level.level.encode())])
    return np.einsum("dab,db->da", factor, rng.standard_normal(factor.shape[:2]))
