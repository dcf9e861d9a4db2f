r"""The unconstrained coordinates phi that are sampled, their prior, and the way to the factors T.

    phi = [ log sigma (unless known) | for each term: log sd (k), atanh partial correlations | log precision factors ]

The last has one entry for each coefficient with a t prior: beta_k given lambda_k is normal with variance s^2 /
lambda_k, and lambda_k ~ Gamma(df / 2, rate df / 2). On the logarithmic scale a posterior that reaches down to sd = 0
has an exponential tail to the left (the density of sd is finite at zero), and one with few levels an exponential tail
to the right (a power of sd); a multivariate t proposal is heavier than both.

**Correlations.** With z_ij = tanh(y_ij), j < i, the partial correlation of columns i and j given columns 0 to j - 1,
the Cholesky factor of the correlation matrix is L_ij = z_ij prod_{l<j} (1 - z_il^2)^(1/2), L_ii = prod_{l<i} (1 -
z_il^2)^(1/2). Under LKJ(eta) the z_ij are independent, z_ij ~ Beta(a, a) on (-1, 1) with a = eta + (k - 2 - j) / 2
(Lewandowski, Kurowicka & Joe 2009), so that the density of y_ij is proportional to (1 - z_ij^2)^a.

**decov.** With variances s_c^2, trace k (tau sigma)^2 and shares pi_c = s_c^2 / trace, the density of the log s is,
Jacobian included, 2^(k-1) tau p(tau) Dirichlet-constant prod pi_c^concentration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.pls.problem import Problem
from mixedfx.priors.distributions import Decov, Share
from mixedfx.priors.resolve import ResolvedPriors, TermPrior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TermCoordinates:
    """Where one term stands in phi: `k` columns from `first` on, then its partial correlations if `correlated`."""

    first: int
    k: int
    correlated: bool
    prior: TermPrior

    @property
    def sds(self) -> slice:
        """Positions of the log standard deviations."""
        return slice(self.first, self.first + self.k)

    @property
    def partials(self) -> slice:
        """Positions of the transformed partial correlations, row by row of the lower triangle."""
        count = self.k * (self.k - 1) // 2 if self.correlated else 0
        return slice(self.first + self.k, self.first + self.k + count)

    @property
    def decov_blocks(self) -> tuple[slice, ...]:
        """Positions that share one decov prior: all columns, or each alone where they are independent."""
        if self.correlated:
            return (self.sds,)
        return tuple(slice(j, j + 1) for j in range(self.sds.start, self.sds.stop))


@dataclass(frozen=True, eq=False)
class Variances:
    """Points phi in the terms of the model.

    Attributes
    ----------
    sigma
        (D,) residual standard deviations.
    sd
        For each term (D, k) standard deviations.
    L
        For each term (D, k, k) Cholesky factors of its correlation matrix.
    mixing
        (D, m) factors of the precisions of the coefficients' priors.
    """

    sigma: Array
    sd: tuple[Array, ...]
    L: tuple[Array, ...]
    mixing: Array

    def factors(self, term: int) -> Array:
        """(D, k, k) lower factors of the covariance of a level's effects."""
        return self.sd[term][:, :, None] * self.L[term]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The layout of phi for one model.

    Attributes
    ----------
    problem
        Cross-products of the design.
    priors
        Scaled priors.
    df
        (m,) degrees of freedom of the coefficients' priors, infinite for normal ones.
    """

    problem: Problem
    priors: ResolvedPriors
    df: Array

    @property
    def has_sigma(self) -> bool:
        """Whether sigma is estimated, and then the first coordinate."""
        return self.problem.sigma is None

    @cached_property
    def terms(self) -> tuple[TermCoordinates, ...]:
        """One for each random term, in the order of the design."""
        blocks = {block.term: block for group in self.problem.factors for block in group.blocks}
        at, out = int(self.has_sigma), []
        for t, prior in enumerate(self.priors.terms):
            structure = blocks[t].structure
            term = TermCoordinates(at, structure.k, structure.n_parameters > structure.k, prior)
            out.append(term)
            at = term.partials.stop
        return tuple(out)

    @cached_property
    def mixed(self) -> NDArray[np.intp]:
        """Rows of the coefficients' prior that have a t prior."""
        return np.flatnonzero(np.isfinite(self.df))

    @property
    def mixing_first(self) -> int:
        """Position of the first log precision factor."""
        return self.terms[-1].partials.stop if self.terms else int(self.has_sigma)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.mixing_first + len(self.mixed)

    def variances(self, phi: Array) -> Variances:
        """(D, size) coordinates in the terms of the model."""
        D = len(phi)
        known = self.problem.sigma
        with np.errstate(over="ignore"):
            sigma = np.exp(phi[:, 0]) if known is None else np.full(D, known)
            sd = tuple(np.exp(phi[:, t.sds]) for t in self.terms)
            mixing = np.ones((D, len(self.df)))
            mixing[:, self.mixed] = np.exp(phi[:, self.mixing_first :])
        return Variances(sigma, sd, tuple(correlation_factor(phi[:, t.partials], t.k) for t in self.terms), mixing)

    def relative_factors(self, at: Variances) -> list[Array]:
        """For each factor of the problem (D, k, k) relative covariance factors of the columns used."""
        return self.problem.used_factors([at.factors(t) / at.sigma[:, None, None] for t in range(len(self.terms))])

    def chain(self, phi: Array, at: Variances, gradient: list[Array], of_sigma: float, of_precision: Array) -> Array:
        """(size,) gradient in phi of a function of (T_used of each factor, log sigma at fixed T, log precisions).

        `phi` and `at` hold one point. T_used = B T, so that the gradient in T is B' times that in T_used; T = diag(sd)
        L / sigma, so that d T / d log sd_c is row c of T and d T / d log sigma is -T.
        """
        out = np.zeros(self.size)
        if self.has_sigma:
            out[0] = of_sigma
        for group, G in zip(self.problem.factors, gradient, strict=True):
            natural = group.basis.T @ G
            for block in group.blocks:
                t, term = block.term, self.terms[block.term]
                scaled = natural[block.columns, block.columns] * at.sd[t][0][:, None] / at.sigma[0]  # gradient in L
                products = (scaled * at.L[t][0]).sum(axis=1)
                out[term.sds] = products
                if self.has_sigma:
                    out[0] -= products.sum()
                if term.correlated:
                    out[term.partials] = _partial_gradient(phi[0, term.partials], at.L[t][0], scaled)
        out[self.mixing_first :] = of_precision[self.mixed]
        return out

    def log_prior(self, phi: Array) -> Array:
        """(D,) log density of the prior of phi, Jacobians included, all constants kept."""
        at = self.variances(phi)
        total = np.zeros(len(phi))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.has_sigma:
                assert self.priors.sigma is not None
                total += self.priors.sigma.log_positive(at.sigma) + phi[:, 0]
            for t, term in enumerate(self.terms):
                if isinstance(term.prior.sd, Decov):
                    for columns in term.decov_blocks:
                        total += _decov_log_density(term.prior.sd, phi[:, columns], phi[:, 0])
                else:
                    for c, prior in enumerate(term.prior.sd):
                        assert not isinstance(prior, Share), "shared priors go to Stan"
                        total += prior.log_positive(at.sd[t][:, c]) + phi[:, term.first + c]
                if term.correlated:
                    assert term.prior.eta is not None
                    a = _beta_shapes(term.k, term.prior.eta)
                    total += (a * _log_one_minus_square(phi[:, term.partials]) - _log_beta_constant(a)).sum(axis=1)
            half = self.df[self.mixed] / 2
            log_factor = phi[:, self.mixing_first :]
            total += (half * np.log(half) - special.gammaln(half) + half * (log_factor - np.exp(log_factor))).sum(
                axis=1
            )
        return total

    def prior_gradient(self, phi: Array) -> Array:
        """(size,) gradient of `log_prior` at one point phi (size,)."""
        at = self.variances(phi[None])
        out = np.zeros(self.size)
        if self.has_sigma:
            assert self.priors.sigma is not None
            out[0] = float(self.priors.sigma.score_positive(at.sigma)[0]) + 1.0
        for t, term in enumerate(self.terms):
            sd = at.sd[t][0]
            if isinstance(term.prior.sd, Decov):
                for columns in term.decov_blocks:
                    prior, square = term.prior.sd, np.exp(2 * phi[columns])
                    tau = np.sqrt(np.mean(square)) / at.sigma[0]
                    share = square / np.sum(square)
                    radial = prior.shape - tau / prior.scale
                    out[columns] = radial * share + 2 * prior.concentration * (1 - len(share) * share)
                    out[0] -= radial
            else:
                for c, prior in enumerate(term.prior.sd):
                    assert not isinstance(prior, Share), "shared priors go to Stan"
                    out[term.sds.start + c] = float(prior.score_positive(sd[c])) + 1.0
            if term.correlated:
                assert term.prior.eta is not None
                out[term.partials] = -2 * _beta_shapes(term.k, term.prior.eta) * np.tanh(phi[term.partials])
        half = self.df[self.mixed] / 2
        out[self.mixing_first :] = half * (1 - np.exp(phi[self.mixing_first :]))
        return out

    def draw_prior(self, rng: np.random.Generator, n: int) -> Array:
        """(n, size) draws from the prior, which must be proper."""
        phi = np.empty((n, self.size))
        if self.has_sigma:
            assert self.priors.sigma is not None
            phi[:, 0] = np.log(self.priors.sigma.draw(rng, n, positive=True))  # type: ignore[union-attr]
        for term in self.terms:
            if isinstance(term.prior.sd, Decov):
                for columns in term.decov_blocks:
                    prior, k = term.prior.sd, columns.stop - columns.start
                    tau = rng.gamma(prior.shape, prior.scale, n)
                    share = rng.dirichlet(np.full(k, prior.concentration), n)
                    phi[:, columns] = (np.log(tau) + phi[:, 0])[:, None] + 0.5 * np.log(k * share)
            else:
                for c, prior in enumerate(term.prior.sd):
                    phi[:, term.first + c] = np.log(prior.draw(rng, n, positive=True))  # type: ignore[union-attr]
            if term.correlated:
                assert term.prior.eta is not None
                a = _beta_shapes(term.k, term.prior.eta)
                phi[:, term.partials] = np.arctanh(2 * rng.beta(a, a, (n, len(a))) - 1)
        half = self.df[self.mixed] / 2
        phi[:, self.mixing_first :] = np.log(rng.gamma(half, 1 / half, (n, len(half))))
        return phi


def correlation_factor(y: Array, k: int) -> Array:
    """(D, k, k) Cholesky factors of correlation matrices from transformed partial correlations (D, k (k - 1) / 2).

    An empty `y` gives the identity.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.sampling.coordinates import correlation_factor
    >>> L = correlation_factor(np.arctanh([[0.6]]), 2)[0]
    >>> np.round(L @ L.T, 12)
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    L = np.zeros((len(y), k, k))
    L[:, np.arange(k), np.arange(k)] = 1.0
    if y.shape[1] == 0:
        return L
    at = 0
    for i in range(1, k):
        left = np.ones(len(y))
        for j in range(i):
            L[:, i, j] = np.tanh(y[:, at]) * left
            left = left / np.cosh(np.clip(y[:, at], -350, 350))
            at += 1
        L[:, i, i] = left
    return L


def _partial_gradient(y: Array, L: Array, G: Array) -> Array:
    """(k (k - 1) / 2,) derivative in y of the sum of G * L at one point."""
    out = np.empty(len(y))
    at = 0
    for i in range(1, len(L)):
        row = y[at : at + i]
        left = np.concatenate([[1.0], np.cumprod(1 / np.cosh(np.clip(row, -350, 350)))])
        for j in range(i):
            z = np.tanh(row[j])
            out[at + j] = G[i, j] * (1 - z**2) * left[j] - z * (G[i, j + 1 : i + 1] @ L[i, j + 1 : i + 1])
        at += i
    return out


def _beta_shapes(k: int, eta: float) -> Array:
    """Shapes a of the partial correlations, row by row of the lower triangle."""
    return np.array([eta + (k - 2 - j) / 2 for i in range(1, k) for j in range(i)])


def _log_one_minus_square(y: Array) -> Array:
    """log(1 - tanh(y)^2) without cancellation."""
    size = np.abs(y)
    return 2 * (np.log(2) - size - np.log1p(np.exp(-2 * size)))


def _log_beta_constant(a: Array) -> Array:
    """Log of the integral of (1 - z^2)^(a - 1) over (-1, 1)."""
    return special.betaln(a, a) + (2 * a - 1) * np.log(2)


def _decov_log_density(prior: Decov, log_sd: Array, log_sigma: Array) -> Array:
    """(D,) log density of (D, k) log standard deviations; the correlations' part is added by the caller."""
    k, c = log_sd.shape[1], prior.concentration
    log_total = np.asarray(special.logsumexp(2 * log_sd, axis=1))
    log_tau = 0.5 * (log_total - np.log(k)) - log_sigma
    of_tau = (
        prior.shape * (log_tau - np.log(prior.scale)) - np.exp(log_tau) / prior.scale - special.gammaln(prior.shape)
    )
    of_share = special.gammaln(k * c) - k * special.gammaln(c) + c * (2 * log_sd - log_total[:, None]).sum(axis=1)
    return (k - 1) * np.log(2) + of_tau + of_share
