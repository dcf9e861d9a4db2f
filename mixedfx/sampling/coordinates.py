r"""The unconstrained coordinates phi that are sampled, their prior, and the way to the factors T.

    phi = [ log sigma (unless known) | for each term: log sd (k), atanh partial correlations | log precision factors ]

The last has one entry for each coefficient with a t prior: beta_k given lambda_k is normal with variance s^2 /
lambda_k, and lambda_k ~ Gamma(df / 2, rate df / 2). On the logarithmic scale a posterior that reaches down to sd = 0
has an exponential tail to the left (the density of sd is finite at zero), and one with few levels an exponential tail
to the right (a power of sd); a multivariate t proposal is heavier than both.

**Basis.** The standard deviations and partial correlations of a correlated term are those of effects S u, u the
effects as the formula names them: S u are those that the prior is stated for, the intercept at the means of the
covariates, say, or at zero, if the covariates are not far from there (`mixedfx.sampling.basis`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from mixedfx.covariance.unconstrained import coordinates_of, correlation_factor, partial_gradient
from mixedfx.pls.problem import Problem
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.basis import SampledBasis, sampled_basis
from mixedfx.sampling.covariance_prior import CovariancePrior

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TermCoordinates:
    """Where one term stands in phi: `k` columns from `first` on, then its partial correlations if `correlated`.

    Attributes
    ----------
    first, k, correlated
        Its place and shape.
    basis
        What its standard deviations and partial correlations are those of.
    prior
        Density of its coordinates.
    """

    first: int
    k: int
    correlated: bool
    basis: SampledBasis
    prior: CovariancePrior

    @property
    def sds(self) -> slice:
        """Positions of the log standard deviations."""
        return slice(self.first, self.first + self.k)

    @property
    def partials(self) -> slice:
        """Positions of the transformed partial correlations, row by row of the lower triangle."""
        count = self.k * (self.k - 1) // 2 if self.correlated else 0
        return slice(self.first + self.k, self.first + self.k + count)


@dataclass(frozen=True, eq=False)
class Variances:
    """Points phi in the terms of the model.

    Attributes
    ----------
    sigma
        (D,) residual standard deviations.
    sampled
        For each term (D, k, k) lower factors of the covariance of a level's effects in the basis that is sampled.
    mixing
        (D, m) factors of the precisions of the coefficients' priors.
    terms
        The terms.
    """

    sigma: Array
    sampled: tuple[Array, ...]
    mixing: Array
    terms: tuple[TermCoordinates, ...]

    def factors(self, term: int) -> Array:
        """(D, k, k) factors F of the covariance F F' of a level's effects as the formula names them.

        Triangular where the term is sampled as it is.
        """
        return self.terms[term].basis.to_natural(self.sampled[term])


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
    as_stated
        Whether covariances are sampled in the basis that their priors are stated for, wherever the covariates are.
    """

    problem: Problem
    priors: ResolvedPriors
    df: Array
    as_stated: bool = False

    @property
    def has_sigma(self) -> bool:
        """Whether sigma is estimated, and then the first coordinate."""
        return self.problem.sigma is None

    @cached_property
    def terms(self) -> tuple[TermCoordinates, ...]:
        """One for each random term, in the order of the design."""
        used = {block.term: (group, block) for group in self.problem.factors for block in group.blocks}
        at, out = int(self.has_sigma), []
        for t, prior in enumerate(self.priors.terms):
            group, block = used[t]
            structure, own = block.structure, group.basis[block.columns, block.columns]
            correlated = structure.n_parameters > structure.k
            basis = sampled_basis(prior, own, self.as_stated)
            density = CovariancePrior(prior, structure.k, correlated, basis.stated)
            term = TermCoordinates(at, structure.k, correlated, basis, density)
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

    # --- from phi to the model and back ------------------------------------------------------------------------------

    def variances(self, phi: Array) -> Variances:
        """(D, size) coordinates in the terms of the model."""
        D = len(phi)
        known = self.problem.sigma
        with np.errstate(over="ignore"):
            sigma = np.exp(phi[:, 0]) if known is None else np.full(D, known)
            sampled = tuple(
                np.exp(phi[:, t.sds])[:, :, None] * correlation_factor(phi[:, t.partials], t.k) for t in self.terms
            )
            mixing = np.ones((D, len(self.df)))
            mixing[:, self.mixed] = np.exp(phi[:, self.mixing_first :])
        return Variances(sigma, sampled, mixing, self.terms)

    def relative_factors(self, at: Variances) -> list[Array]:
        """For each factor of the problem (D, k, k) relative covariance factors of the columns used."""
        out = []
        for group in self.problem.factors:
            parts = [self._used(block.term, at) for block in group.blocks]
            if len(parts) == 1:
                out.append(parts[0])
                continue
            T = np.zeros((len(at.sigma), group.k, group.k))
            for block, part in zip(group.blocks, parts, strict=True):
                T[:, block.columns, block.columns] = part
            out.append(T)
        return out

    def _used(self, t: int, at: Variances) -> Array:
        """(D, k, k) relative factors of one term in the columns used."""
        return self.terms[t].basis.used @ (at.sampled[t] / at.sigma[:, None, None])

    def from_factors(self, sigma: float, factors: Sequence[Array], least: float = 1e-3, steepest: float = 3.0) -> Array:
        """(size,) the point with given covariances of the effects as the formula names them.

        Parameters
        ----------
        sigma
            Residual standard deviation; not looked at where it is known.
        factors
            For each term a (k, k) factor F of the covariance F F' of a level's effects; singular ones too, which are
            moved inside.
        least
            Smallest standard deviation, in units of sigma: of an effect times the root mean square of its covariate.
        steepest
            Largest atanh of a partial correlation.

        Returns
        -------
        ndarray
            phi, the precision factors of coefficients with t priors at one.
        """
        sampled = [term.basis.to_sampled(F) for term, F in zip(self.terms, factors, strict=True)]
        return self._point(sigma, sampled, least, steepest)

    def from_used(self, sigma: float, factors: Sequence[Array], least: float = 1e-3, steepest: float = 3.0) -> Array:
        """The same from the (k, k) relative factors T of each factor of the problem, in the columns that it uses."""
        scale = sigma if self.has_sigma else float(self.problem.sigma or 1.0)
        sampled: list[Array] = [np.zeros((0, 0))] * len(self.terms)
        for group, T in zip(self.problem.factors, factors, strict=True):
            for block in group.blocks:
                own = T[block.columns, block.columns]
                sampled[block.term] = scale * linalg.solve_triangular(self.terms[block.term].basis.used, own)
        return self._point(sigma, sampled, least, steepest)

    def _point(self, sigma: float, sampled: list[Array], least: float, steepest: float) -> Array:
        """Phi of one factor for each term, in the basis that is sampled."""
        phi, sigma = self._start(sigma)
        for term, factor in zip(self.terms, sampled, strict=True):
            log_sd, y = coordinates_of(factor[None])
            phi[term.sds] = np.maximum(log_sd[0], np.log(least * sigma / term.basis.size))
            if term.correlated:
                phi[term.partials] = np.clip(y[0], -steepest, steepest)
        return phi

    def translated(self, phi: Array, other: Coordinates) -> Array:
        """(D, size) points of these coordinates that describe the same as points `phi` of `other` ones."""
        out, at = phi.copy(), other.variances(phi)
        for t, term in enumerate(self.terms):
            if not np.array_equal(term.basis.used, other.terms[t].basis.used):
                out[:, term.sds], out[:, term.partials] = coordinates_of(term.basis.to_sampled(at.factors(t)))
        return out

    def even(self, sigma: float, share: float) -> Array:
        """(size,) the point where each effect moves the response by `share` residual standard deviations.

        Root mean squares over rows and levels; no correlations in the basis that is sampled.
        """
        phi, sigma = self._start(sigma)
        for term in self.terms:
            phi[term.sds] = np.log(share * sigma / term.basis.size)
        return phi

    def _start(self, sigma: float) -> tuple[Array, float]:
        """Phi of zeros but for sigma, and sigma itself where it is known."""
        phi = np.zeros(self.size)
        if not self.has_sigma:
            return phi, float(self.problem.sigma or 1.0)
        phi[0] = np.log(sigma)
        return phi, sigma

    # --- gradients ---------------------------------------------------------------------------------------------------

    def chain(
        self, phi: Array, at: Variances, gradient: list[Array], of_sigma: float | Array, of_precision: Array
    ) -> Array:
        """(D, size) gradients in phi of a function of (T of each factor, log sigma at fixed T, log precisions).

        `gradient` has (D, k, k) for each factor of the problem. T = U diag(sd) L / sigma, U from the effects sampled to
        those used, so that the gradient in T_s = diag(sd) L / sigma is U' times that in T; d T_s / d log sd_c is row c
        of T_s, and d T_s / d log sigma is -T_s.
        """
        out = np.zeros(phi.shape)
        if self.has_sigma:
            out[:, 0] = of_sigma
        for group, G in zip(self.problem.factors, gradient, strict=True):
            for block in group.blocks:
                term, T = self.terms[block.term], at.sampled[block.term] / at.sigma[:, None, None]
                own = term.basis.used.T @ G[:, block.columns, block.columns]
                products = (own * T).sum(axis=2)
                out[:, term.sds] = products
                if self.has_sigma:
                    out[:, 0] -= products.sum(axis=1)
                if term.correlated:
                    L = correlation_factor(phi[:, term.partials], term.k)
                    scale = np.exp(phi[:, term.sds]) / at.sigma[:, None]
                    out[:, term.partials] = partial_gradient(phi[:, term.partials], L, own * scale[:, :, None])
        out[:, self.mixing_first :] = of_precision[:, self.mixed]
        return out

    # --- the prior ---------------------------------------------------------------------------------------------------

    def log_prior(self, phi: Array) -> Array:
        """(D,) log density of the prior of phi, Jacobians included, all constants kept."""
        at = self.variances(phi)
        total = np.zeros(len(phi))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.has_sigma:
                assert self.priors.sigma is not None
                total += self.priors.sigma.log_positive(at.sigma) + phi[:, 0]
            for term, factors in zip(self.terms, at.sampled, strict=True):
                total += term.prior.log_density(phi[:, term.sds], phi[:, term.partials], factors, np.log(at.sigma))
            half = self.df[self.mixed] / 2
            log_factor = phi[:, self.mixing_first :]
            total += (half * np.log(half) - special.gammaln(half) + half * (log_factor - np.exp(log_factor))).sum(
                axis=1
            )
        return total

    def prior_gradient(self, phi: Array) -> Array:
        """(D, size) gradients of `log_prior`."""
        at = self.variances(phi)
        out = np.zeros(phi.shape)
        if self.has_sigma:
            assert self.priors.sigma is not None
            out[:, 0] = self.priors.sigma.score_positive(at.sigma) + 1.0
        for term, factors in zip(self.terms, at.sampled, strict=True):
            of_sd, of_partial, of_sigma = term.prior.gradient(
                phi[:, term.sds], phi[:, term.partials], factors, np.log(at.sigma)
            )
            out[:, term.sds] = of_sd
            out[:, term.partials] = of_partial
            if self.has_sigma:
                out[:, 0] += of_sigma
        half = self.df[self.mixed] / 2
        out[:, self.mixing_first :] = half * (1 - np.exp(phi[:, self.mixing_first :]))
        return out

    def draw_prior(self, rng: np.random.Generator, n: int) -> Array:
        """(n, size) draws from the prior, which must be proper."""
        phi = np.empty((n, self.size))
        log_sigma = np.zeros(n)
        if self.has_sigma:
            assert self.priors.sigma is not None
            log_sigma = np.log(self.priors.sigma.draw(rng, n, positive=True))  # type: ignore[union-attr]
            phi[:, 0] = log_sigma
        for term in self.terms:
            phi[:, term.sds], phi[:, term.partials] = term.prior.draw(rng, log_sigma)
        half = self.df[self.mixed] / 2
        phi[:, self.mixing_first :] = np.log(rng.gamma(half, 1 / half, (n, len(half))))
        return phi
