"""Linear functionals of a weighted fit: estimates with t intervals by the sample's degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference.normal_estimate import NormalEstimate

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

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        from scipy import stats

        half = self.sd * stats.t.ppf((1.0 + level) / 2.0, self.df)
        return np.stack([self.mean - half, self.mean + half], axis=1)

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        from scipy import stats

        with np.errstate(divide="ignore", invalid="ignore"):
            high = np.ones(len(self.mean)) if less is None else stats.t.cdf((less - self.mean) / self.sd, self.df)
            low = np.zeros(len(self.mean)) if greater is None else stats.t.cdf((greater - self.mean) / self.sd, self.df)
        return np.clip(high - low, 0.0, 1.0)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws, of a multivariate t about the estimates; 1,000 where `n` is None."""
        found = super().draws(n, seed)
        if np.isinf(self.df):
            return found
        rng = np.random.default_rng([0 if seed is None else seed, len(found)])
        return self.mean + (found - self.mean) * np.sqrt(self.df / rng.chisquare(self.df, len(found)))[:, None]
