"""Linear functionals of (beta, u), pooled over data sets by Rubin's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference.full_estimate import FullEstimate
from mixedfx.results.protocol import LinearEstimate
from mixedfx.results.tables import t_between, t_test
from mixedfx.surveys.rubin import Moments, barnard_rubin, moments

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PooledLinear:
    """What m fits know of the same s numbers.

    Intervals are t, with Barnard and Rubin's degrees of freedom. Complete data would have those of each fit for rows of
    fixed effects alone, and infinitely many for others, whose intervals are not those of t.

    Attributes
    ----------
    parts
        What each fit answers.
    offset
        (s,) constants added to the numbers.
    """

    parts: Sequence[LinearEstimate]
    offset: Array | float = 0.0
    exact = True
    own_intervals = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What the fits have to say, each thing once."""
        return tuple(dict.fromkeys(note for part in self.parts for note in part.notes))

    @cached_property
    def pooled(self) -> Moments:
        """Moments of the s numbers."""
        return moments(np.array([part.mean for part in self.parts]), np.array([part.cov for part in self.parts]))

    @property
    def mean(self) -> Array:
        """(s,) means of the estimates."""
        return self.pooled.mean + self.offset

    @property
    def cov(self) -> Array:
        """(s, s) total covariance."""
        return self.pooled.total

    @property
    def sd(self) -> Array:
        """(s,) standard errors."""
        return np.sqrt(np.clip(np.diag(self.cov), 0.0, None))

    @cached_property
    def df(self) -> Array:
        """(s,) degrees of freedom."""
        complete = np.full(len(self.mean), np.inf)
        known = [part for part in self.parts if isinstance(part, FullEstimate)]
        if len(known) == len(self.parts):
            alone = np.all([part.of_beta for part in known], axis=0)
            rows = [part.reference().t_df(part.functional.fixed[alone]) for part in known]
            complete[alone] = np.mean(rows, axis=0)
        increase = np.where(self.sd > 0, self.pooled.increase, 0.0)
        return np.atleast_1d(barnard_rubin(len(self.parts), increase, complete))

    def interval(self, level: float) -> Array:
        """(s, 2) ends of central intervals."""
        half = t_test(np.zeros_like(self.mean), self.sd, self.df, level)[1]
        return self.mean[:, None] + half[:, None] * [-1.0, 1.0]

    def probability(self, greater: float | None = None, less: float | None = None) -> Array:
        """(s,) probability of lying above `greater` and below `less`."""
        low, high = -np.inf if greater is None else greater, np.inf if less is None else less
        return t_between(self.mean, self.sd, self.df, low, high)

    def draws(self, n: int | None = None, seed: int | None = None) -> Array:
        """(n, s) joint draws, 4,000 where `n` is None.

        A draw is that of a fit, chosen at random, about its own estimate, put about the mean and moved by a normal draw
        with covariance (1 + 1/m) B. All is scaled as t with the median of the degrees of freedom is, the same for all
        rows, so that linear relations between rows hold in every draw.
        """
        n = 4000 if n is None else n
        rng, m = np.random.default_rng(seed), len(self.parts)
        which = rng.integers(0, m, n)
        out = np.empty((n, len(self.mean)))
        for k, part in enumerate(self.parts):
            chosen = np.flatnonzero(which == k)
            if len(chosen):
                out[chosen] = part.draws(len(chosen), int(rng.integers(2**31))) - part.mean
        apart = np.array([part.mean for part in self.parts]) - self.pooled.mean
        moved = out + np.sqrt((1.0 + 1.0 / m) / (m - 1)) * rng.standard_normal((n, m)) @ apart
        df = float(np.median(self.df)) if len(self.mean) else np.inf
        return self.mean + (moved if np.isinf(df) else moved * np.sqrt(df / rng.chisquare(df, (n, 1))))
