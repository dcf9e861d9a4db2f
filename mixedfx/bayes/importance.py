"""Importance sampling with a multivariate t proposal, adapted a few times, and Pareto-smoothed weights.

The proposal starts at the mode with the inverse Hessian as its scale and is moved to the weighted mean and covariance of
its own draws (adaptive importance sampling; Cappé et al. 2008). The last round alone is used, so its weights are exact.
The largest weights are smoothed by a generalised Pareto distribution, whose shape k-hat says whether they can be trusted: up to
0.7 they can (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72)); arviz-stats fits it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Array = NDArray[np.float64]

RELIABLE = 0.7  # largest k-hat of trusted weights


@dataclass(frozen=True, eq=False)
class TProposal:
    """Multivariate t distribution.

    Attributes
    ----------
    mean
        (d,) centre.
    root
        (d, d) lower factor of the scale matrix.
    df
        Degrees of freedom.
    """

    mean: Array
    root: Array
    df: float

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """(n, d) draws."""
        normal = rng.standard_normal((n, len(self.mean)))
        return self.mean + (normal @ self.root.T) * np.sqrt(self.df / rng.chisquare(self.df, (n, 1)))

    def log_density(self, x: Array) -> Array:
        """(n,) log density of (n, d) points."""
        d, df = len(self.mean), self.df
        z = linalg.solve_triangular(self.root, (x - self.mean).T, lower=True)
        constant = special.gammaln((df + d) / 2) - special.gammaln(df / 2) - 0.5 * d * np.log(df * np.pi)
        return constant - np.log(np.diag(self.root)).sum() - 0.5 * (df + d) * np.log1p((z**2).sum(axis=0) / df)


@dataclass(frozen=True, eq=False)
class ImportanceSample:
    """Weighted points of the posterior.

    Attributes
    ----------
    points
        (N, d) draws from the proposal.
    log_ratios
        (N,) log of posterior (unnormalised) over proposal.
    weights
        (N,) smoothed weights, sum 1.
    k_hat
        Shape of the tail of the weights.
    ess
        Effective number of draws, 1 / sum of squared weights.
    rounds
        Rounds of adaptation.
    evaluations
        Evaluations of the density, adaptation included.
    """

    points: Array
    log_ratios: Array
    weights: Array
    k_hat: float
    ess: float
    rounds: int
    evaluations: int

    @property
    def log_evidence(self) -> tuple[float, float]:
        """Log of the integral of the density, and its Monte Carlo standard error."""
        top = self.log_ratios.max()
        ratios = np.exp(self.log_ratios - top)
        mean = ratios.mean()
        return float(top + np.log(mean)), float(ratios.std(ddof=1) / mean / np.sqrt(len(ratios)))


def smooth(log_ratios: Array) -> tuple[Array, float]:
    """Weights (sum 1) with a Pareto-smoothed tail, and k-hat."""
    from arviz_stats.base import array_stats

    finite = np.isfinite(log_ratios)
    if finite.sum() < 20:
        return np.where(finite, 1.0, 0.0) / max(finite.sum(), 1), np.inf
    floor = log_ratios[finite].min() - 50.0
    log_weights, k_hat = array_stats.psislw(-np.where(finite, log_ratios, floor))
    weights = np.where(finite, np.exp(log_weights - log_weights.max()), 0.0)
    return weights / weights.sum(), float(k_hat)


def adapt(
    log_density: Callable[[Array], Array], mean: Array, covariance: Array, n: int, rng: np.random.Generator,
    rounds: int, df: float = 5.0,
) -> tuple[TProposal, int, int]:  # fmt: skip
    """A proposal with the mean and covariance of the posterior.

    Parameters
    ----------
    log_density
        Maps (n, d) points to (n,) log densities.
    mean, covariance
        Mode and inverse Hessian.
    n
        Points in each round.
    rng
        Random numbers.
    rounds
        Largest number of rounds; fewer where the weights are even already.
    df
        Degrees of freedom of the proposal.

    Returns
    -------
    tuple
        The proposal, the rounds taken, the evaluations used.
    """
    d = len(mean)
    proposal = TProposal(mean, np.linalg.cholesky(covariance), df)
    for turn in range(1, rounds + 1):
        points = proposal.draw(rng, n)
        weights, _ = smooth(log_density(points) - proposal.log_density(points))
        ess = 1 / np.sum(weights**2)
        centre = weights @ points
        deviation = points - centre
        spread = (deviation * weights[:, None]).T @ deviation
        # few effective points say little about a covariance: keep some of the old one
        trust = ess / (ess + 2 * d)
        old = proposal.root @ proposal.root.T * df / (df - 2)
        mixed = trust * spread + (1 - trust) * old
        proposal = TProposal(
            trust * centre + (1 - trust) * proposal.mean, np.linalg.cholesky(mixed * (df - 2) / df), df
        )
        if ess > 0.75 * n:
            return proposal, turn, turn * n
    return proposal, rounds, rounds * n


def resample(weights: Array, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(n,) positions by systematic resampling: each point the floor or the ceiling of n times its weight, in random order."""
    edges = np.cumsum(weights)
    positions = np.searchsorted(edges / edges[-1], (rng.random() + np.arange(n)) / n)
    return rng.permutation(np.minimum(positions, len(weights) - 1))
