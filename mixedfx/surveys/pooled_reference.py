"""Rubin's rules as a reference of tests: covariance of pooled coefficients, degrees of freedom of contrasts.

Every test of fixed effects goes through a `Reference` (`mixedfx.inference.hypotheses`). This one is made of those
of the m fits, whose degrees of freedom are what complete data would give: Satterthwaite's, averaged, in the place
of nu_com of `mixedfx.surveys.rubin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.rank import independent_columns
from mixedfx.inference.hypotheses import Reference
from mixedfx.surveys.rubin import Moments, barnard_rubin, d1, moments

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PooledReference:
    """Covariance and degrees of freedom of the mean of m estimates.

    Attributes
    ----------
    estimates
        (m, p) coefficients.
    references
        Those of the m fits.
    """

    estimates: Array
    references: Sequence[Reference]

    def of(self, L: Array) -> Moments:
        """Moments of contrasts L (s, p)."""
        return moments(self.estimates @ L.T, np.array([L @ one.vcov @ L.T for one in self.references]))

    @cached_property
    def moments(self) -> Moments:
        """Moments of the coefficients."""
        return self.of(np.eye(self.estimates.shape[1]))

    @property
    def vcov(self) -> Array:
        """(p, p) total covariance."""
        return self.moments.total

    def complete_df(self, contrasts: Array) -> Array:
        """(s,) degrees of freedom that complete data would give, the mean over the fits."""
        return np.mean([one.t_df(contrasts) for one in self.references], axis=0)

    def t_df(self, contrasts: Array) -> Array:
        """(s,) Barnard and Rubin's degrees of freedom."""
        contrasts = np.atleast_2d(contrasts)
        return np.atleast_1d(
            barnard_rubin(len(self.references), self.of(contrasts).increase, self.complete_df(contrasts))
        )

    def f_test(self, L: Array, difference: Array) -> tuple[float, float, float]:
        """D1 of L beta = rhs: F, numerator and denominator degrees of freedom."""
        sd = np.sqrt(np.diag(self.vcov))
        kept = independent_columns((L * np.where(sd > 0, sd, 1.0)).T)  # D1 is the same for any rows that span them
        if len(kept) == 0:
            return np.nan, 0.0, np.nan
        complete = float(np.mean([one.f_test(L[kept], difference[kept])[2] for one in self.references]))
        return d1(self.of(L[kept]), difference[kept], complete)[:3]
