"""Importance sampling with a multivariate t proposal, adapted a few times, and Pareto-smoothed weights.

The proposal starts at the mode with the inverse Hessian as its scale and is moved to the weighted quantiles, means and
covariances of its own draws (adaptive importance sampling; Cappé et al. 2008); its coordinates are bent, since the
posterior of a small standard deviation has a long left side on the logarithmic scale. The last round alone is used, so
its weights are exact. The largest weights are smoothed by a generalised Pareto distribution, whose shape k-hat says
whether they can be trusted: up to 0.7 they can (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72)); arviz-stats
fits it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Array = NDArray[np.float64]

RELIABLE = 0.7  # largest k-hat of trusted weights
EVEN, CALM = 0.8, 0.5  # share of effective points and k-hat at which a proposal needs no further round
DF = (5.0, 10.0)  # degrees of freedom tried
DEFENCE, WIDE, WIDE_DF = 0.1, 1.5, 3.0  # share, spread and degrees of freedom of the wider component
NORMAL_95 = float(special.ndtri(0.95))
SKEW_OF_QUANTILES = (np.sqrt(1 + NORMAL_95**2) - 1) / NORMAL_95  # asymmetry of the 5 % and 95 % quantiles for skew 1


@dataclass(frozen=True, eq=False)
class Proposal:
    """A multivariate t distribution, each coordinate bent so that its two sides may differ in width.

    x = centre + scale (z + skew ((1 + z^2)^(1/2) - 1)) with z multivariate t: sides of slopes 1 - skew and 1 + skew.
    One draw in ten comes from a wider t with heavier tails (a defensive mixture; Hesterberg 1995), which bounds the
    weights.

    Attributes
    ----------
    centre, scale, skew
        (d,) the bend; skew between -1 and 1.
    mean, root
        (d,) location and (d, d) lower factor of the scale matrix of z.
    df
        Degrees of freedom of z.
    """

    centre: Array
    scale: Array
    skew: Array
    mean: Array
    root: Array
    df: float

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """(n, d) draws."""
        wide = rng.random((n, 1)) < DEFENCE
        df = np.where(wide, WIDE_DF, self.df)
        radius = np.where(wide, WIDE, 1.0) * np.sqrt(df / rng.chisquare(df))
        return self._bent(rng.standard_normal((n, len(self.mean))), radius)

    def place(self, uniform: Array) -> Array:
        """(n, d) points at (n, d + 2) numbers between 0 and 1, evenly spread points for evenly spread numbers.

        The first number chooses the component, the second the radius, the others the direction.
        """
        wide = uniform[:, :1] < DEFENCE
        df = np.where(wide, WIDE_DF, self.df)
        chi_square = 2.0 * special.gammaincinv(df / 2, uniform[:, 1:2])
        return self._bent(special.ndtri(uniform[:, 2:]), np.where(wide, WIDE, 1.0) * np.sqrt(df / chi_square))

    def _bent(self, standard: Array, radius: Array) -> Array:
        z = self.mean + (standard @ self.root.T) * radius
        return self.centre + self.scale * (z + self.skew * (np.sqrt(1 + z**2) - 1))

    def straighten(self, x: Array) -> Array:
        """(n, d) z of points x."""
        a = self.skew
        c = (x - self.centre) / self.scale + a
        return (c - a * np.sqrt(c**2 + 1 - a**2)) / (1 - a**2)

    def log_density(self, x: Array) -> Array:
        """(n,) log density of (n, d) points."""
        z = self.straighten(x)
        slope = np.log(self.scale) + np.log1p(self.skew * z / np.sqrt(1 + z**2))
        narrow = log_t_density(z, self.mean, self.root, self.df) + np.log1p(-DEFENCE)
        wide = log_t_density(z, self.mean, WIDE * self.root, WIDE_DF) + np.log(DEFENCE)
        return np.logaddexp(narrow, wide) - slope.sum(axis=1)


def log_t_density(z: Array, mean: Array, root: Array, df: float) -> Array:
    """(n,) log density of the multivariate t distribution at (n, d) points; root is the lower factor of its scale."""
    d = len(mean)
    standard = linalg.solve_triangular(root, (z - mean).T, lower=True)
    constant = special.gammaln((df + d) / 2) - special.gammaln(df / 2) - 0.5 * d * np.log(df * np.pi)
    return constant - np.log(np.diag(root)).sum() - 0.5 * (df + d) * np.log1p((standard**2).sum(axis=0) / df)


def at_mode(mean: Array, covariance: Array) -> Proposal:
    """The first proposal: straight sides, five degrees of freedom."""
    scale = np.sqrt(np.diag(covariance))
    root = np.asarray(np.linalg.cholesky(covariance / np.outer(scale, scale)), dtype=np.float64)
    return Proposal(mean, scale, np.zeros_like(mean), np.zeros_like(mean), root, DF[0])


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
    from arviz_stats.base.array import array_stats

    finite = np.isfinite(log_ratios)
    if finite.sum() < 20:
        return np.where(finite, 1.0, 0.0) / max(finite.sum(), 1), np.inf
    floor = log_ratios[finite].min() - 50.0
    log_weights, k_hat = array_stats.psislw(-np.where(finite, log_ratios, floor))
    weights = np.where(finite, np.exp(log_weights - log_weights.max()), 0.0)
    return weights / weights.sum(), float(k_hat)


def refit(proposal: Proposal, points: Array, weights: Array, ess: float) -> Proposal:
    """The proposal moved to weighted points; few effective points move it part of the way."""
    d = points.shape[1]
    low, middle, high = (_weighted_quantiles(points, weights, q) for q in (0.05, 0.5, 0.95))
    trust = ess / (ess + 4 * d)
    left, right = np.maximum(middle - low, 1e-8), np.maximum(high - middle, 1e-8)
    lean = np.clip((right - left) / (right + left) / SKEW_OF_QUANTILES, -0.9, 0.9)
    bent = Proposal(middle, (left + right) / (2 * NORMAL_95), trust * lean, np.zeros(d), np.eye(d), proposal.df)
    z = bent.straighten(points)
    mean = weights @ z
    deviation = z - mean
    spread = (deviation * weights[:, None]).T @ deviation
    mixed = trust * spread + (1 - trust) * np.diag(np.maximum(np.diag(spread), 1.0))
    roots = [np.linalg.cholesky(mixed * (df - 2) / df) for df in DF]
    fits = [float(weights @ log_t_density(z, mean, root, df)) for root, df in zip(roots, DF, strict=True)]
    best = int(np.argmax(fits))
    return Proposal(bent.centre, bent.scale, bent.skew, mean, roots[best], DF[best])


def _weighted_quantiles(points: Array, weights: Array, q: float) -> Array:
    order = np.argsort(points, axis=0)
    sums = np.cumsum(weights[order], axis=0)
    index = np.minimum((sums < q * sums[-1]).sum(axis=0), len(points) - 1)
    return points[order[index, np.arange(points.shape[1])], np.arange(points.shape[1])]


def resample(weights: Array, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(n,) positions by systematic resampling, in random order: the floor or the ceiling of n times each weight."""
    edges = np.cumsum(weights)
    positions = np.searchsorted(edges / edges[-1], (rng.random() + np.arange(n)) / n)
    return rng.permutation(np.minimum(positions, len(weights) - 1))
