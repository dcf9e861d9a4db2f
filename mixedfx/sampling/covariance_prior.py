r"""The prior of the covariance of one random term, in the coordinates that are sampled.

Coordinates (log s, y) are those of `mixedfx.covariance.unconstrained`, of the covariance in the basis that is sampled.
The prior is stated in a basis of its own, the covariates at their means or at zero, which `across` leads to: where the
sampled effects are v, the prior is that of the covariance of A v. The density of one in the coordinates of the other is
derived there.

**decov.** With variances s_c^2, trace k (tau sigma)^2 and shares pi_c = s_c^2 / trace, the density of the log s is,
Jacobian included, 2^(k-1) tau p(tau) Dirichlet-constant prod pi_c^concentration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.covariance.sampled import Sampled
from mixedfx.covariance.unconstrained import (
    Layout,
    coordinates_of,
    correlation_factor,
    log_one_minus_square,
    partial_gradient,
)
from mixedfx.priors.distributions import Positive
from mixedfx.priors.joint import Decov, Share
from mixedfx.priors.resolve import TermPrior

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CovariancePrior:
    """Density of the coordinates of one term, with its gradient and draws.

    Attributes
    ----------
    prior
        Priors of the standard deviations and of the correlations, in the basis they are stated in.
    shape
        Which coordinates they are.
    across
        (k, k) A, from effects in the sampled basis to effects in the basis of the prior; None where they are the same,
        as they always are for other structures than unstructured ones.
    """

    prior: TermPrior
    shape: Sampled
    across: Array | None = None

    @property
    def k(self) -> int:
        """Number of columns."""
        return self.shape.k

    @cached_property
    def layout(self) -> Layout:
        """The partial correlations."""
        return Layout(self.k)

    @cached_property
    def log_across(self) -> float:
        """Log |A|."""
        return 0.0 if self.across is None else float(np.linalg.slogdet(self.across)[1])

    @cached_property
    def back(self) -> Array | None:
        """(k, k) inverse of A."""
        return None if self.across is None else np.asarray(np.linalg.inv(self.across), dtype=np.float64)

    @property
    def eta(self) -> float:
        """Parameter of the LKJ prior of a term with correlations; 1 where there are none."""
        return 1.0 if self.prior.eta is None else self.prior.eta

    def log_density(self, log_sd: Array, y: Array, factors: Array, log_sigma: Array) -> Array:
        """(D,) log densities.

        Parameters
        ----------
        log_sd, y
            (D, k) and (D, k (k - 1) / 2) coordinates.
        factors
            (D, k, k) factors of the covariance that they are those of.
        log_sigma
            (D,) log residual standard deviations; only decov looks at them.
        """
        if self.across is None:
            return self._of_sds(log_sd, log_sigma) + self.shape.log_lkj(y, self.eta)
        log_left = log_one_minus_square(y)
        stated = self._stated(factors)[1]
        log_correlation = 2 * (log_sd.sum(axis=1) - stated.sum(axis=1) + self.log_across) + log_left.sum(axis=1)
        return (
            self._of_sds(stated, log_sigma)
            + (self.eta - 1) * log_correlation
            - self.layout.log_lkj_constant(self.eta)
            - self.layout.log_volume(stated, np.zeros_like(log_left))
            + (self.k + 1) * self.log_across
            + self.layout.log_volume(log_sd, log_left)
        )

    def gradient(self, log_sd: Array, y: Array, factors: Array, log_sigma: Array) -> tuple[Array, Array, Array]:
        """(D, k), (D, k (k - 1) / 2) and (D,) derivatives of `log_density` in log_sd, y and log_sigma."""
        if self.across is None:
            of_sd, of_sigma = self._score(log_sd, log_sigma)
            return of_sd, self.shape.lkj_score(y, self.eta), of_sigma
        z = np.tanh(y)
        M, stated = self._stated(factors)
        of_stated, of_sigma = self._score(stated, log_sigma)
        surplus = 2 * (self.eta - 1) + self.k + 1
        # d log s_i / d factor = A_i' M_i / s_i^2, through row i of M = A factor
        G = self.across.T @ (((of_stated - surplus) * np.exp(-2 * stated))[:, :, None] * M)
        of_sd = surplus + (G * factors).sum(axis=2)
        L = correlation_factor(y, self.k)
        through = partial_gradient(y, L, G * np.exp(log_sd)[:, :, None])
        return of_sd, through - 2 * (self.eta - 1 + self.layout.powers) * z, of_sigma

    def draw(self, rng: np.random.Generator, log_sigma: Array) -> tuple[Array, Array]:
        """(D, k) log standard deviations and (D, k (k - 1) / 2) partial correlations, one for each log sigma."""
        n = len(log_sigma)
        log_sd = np.empty((n, self.shape.n_sds))
        for at, prior in self._parts:
            if isinstance(prior, Decov):
                tau = rng.gamma(prior.shape, prior.scale, n)
                share = rng.dirichlet(np.full(log_sd[:, at].shape[1], prior.concentration), n)
                log_sd[:, at] = (np.log(tau) + log_sigma)[:, None] + 0.5 * np.log(share.shape[1] * share)
            else:
                log_sd[:, at] = np.log(prior.draw(rng, n, positive=True))[:, None]  # type: ignore[union-attr]
        y = self.shape.draw_lkj(rng, n, self.eta)
        if self.back is None:
            return log_sd, y
        return coordinates_of(self.back @ (np.exp(log_sd)[:, :, None] * correlation_factor(y, self.k)))

    def _stated(self, factors: Array) -> tuple[Array, Array]:
        """(D, k, k) factors in the basis of the prior, and the (D, k) logarithms of their standard deviations."""
        assert self.across is not None
        M = self.across @ factors
        size = np.abs(M).max(axis=(1, 2))  # squares of what is near the limits of double precision
        size = np.where(size > 0, size, 1.0)
        return M, np.log(size)[:, None] + 0.5 * np.log(((M / size[:, None, None]) ** 2).sum(axis=2))

    @cached_property
    def _parts(self) -> list[tuple[slice, Positive | Decov]]:
        """Columns that share a prior: all under decov, or each alone where they are independent."""
        if isinstance(self.prior.sd, Decov):
            if self.shape.n_correlations:
                return [(slice(0, self.shape.n_sds), self.prior.sd)]
            return [(slice(c, c + 1), self.prior.sd) for c in range(self.shape.n_sds)]
        assert not any(isinstance(prior, Share) for prior in self.prior.sd), "shared priors go to Stan"
        return [(slice(c, c + 1), prior) for c, prior in enumerate(self.prior.sd)]  # type: ignore[misc]

    def _of_sds(self, log_sd: Array, log_sigma: Array) -> Array:
        """(D,) log density of the logarithms of the standard deviations that the prior is stated for."""
        total = np.zeros(len(log_sd))
        for at, prior in self._parts:
            if isinstance(prior, Decov):
                total += _decov_log_density(prior, log_sd[:, at], log_sigma)
            else:
                total += prior.log_positive(np.exp(log_sd[:, at.start])) + log_sd[:, at.start]
        return total

    def _score(self, log_sd: Array, log_sigma: Array) -> tuple[Array, Array]:
        """(D, k) and (D,) derivatives of `_of_sds` in the log standard deviations and in log sigma."""
        of_sd, of_sigma = np.empty(log_sd.shape), np.zeros(len(log_sd))
        for at, prior in self._parts:
            if isinstance(prior, Decov):
                square = np.exp(2 * log_sd[:, at])
                tau = np.sqrt(square.mean(axis=1)) / np.exp(log_sigma)
                share = square / square.sum(axis=1, keepdims=True)
                radial = prior.shape - tau / prior.scale
                of_sd[:, at] = radial[:, None] * share + 2 * prior.concentration * (1 - share.shape[1] * share)
                of_sigma -= radial
            else:
                of_sd[:, at.start] = prior.score_positive(np.exp(log_sd[:, at.start])) + 1.0
        return of_sd, of_sigma


def _decov_log_density(prior: Decov, log_sd: Array, log_sigma: Array) -> Array:
    """(D,) log density of (D, k) log standard deviations; the correlations' part is added by the caller."""
    k, c = log_sd.shape[1], prior.concentration
    top = log_sd.max(axis=1)
    log_total = 2 * top + np.log(np.exp(2 * (log_sd - top[:, None])).sum(axis=1))
    log_tau = 0.5 * (log_total - np.log(k)) - log_sigma
    of_tau = (
        prior.shape * (log_tau - np.log(prior.scale)) - np.exp(log_tau) / prior.scale - special.gammaln(prior.shape)
    )
    of_share = special.gammaln(k * c) - k * special.gammaln(c) + c * (2 * log_sd - log_total[:, None]).sum(axis=1)
    return (k - 1) * np.log(2) + of_tau + of_share
