"""Linear functionals of a weighted fit: estimates with t intervals by the sample's degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference.normal_estimate import NormalEstimate
from mixedfx.linalg.roots import symmetric_root
from mixedfx.results.tables import t_between, t_test

Array = NDArray[np.float64]

GIVEN_THETA = "with random effects: their variances are taken as known"


@dataclass(frozen=True, eq=False)
class SampleEstimate(NormalEstimate):
    """A `NormalEstimate` that says itself what its intervals are.

    Attributes
    ----------
    df
        Degrees of freedom of the sample.
    """

    df: float = np.inf
    own_intervals = True

    @property
    def _dfs(self) -> Array:
        return np.full(len(self.mean), self.df)

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        half = t_test(np.zeros_like(self.mean), self.sd, self._dfs, level)[1]
        return self.mean[:, None] + half[:, None] * [-1.0, 1.0]

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        low, high = -np.inf if greater is None else greater, np.inf if less is None else less
        return t_between(self.mean, self.sd, self._dfs, low, high)

    def _root(self) -> Array:
        return symmetric_root(self.cov)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws, of a multivariate t about the estimates; 1,000 where `n` is None."""
        found = super().draws(n, seed)
        if np.isinf(self.df):
            return found
        rng = np.random.default_rng([0 if seed is None else seed, len(found)])
        return self.mean + (found - self.mean) * np.sqrt(self.df / rng.chisquare(self.df, len(found)))[:, None]
