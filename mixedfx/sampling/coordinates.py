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

from mixedfx.covariance.sampled import Sampled
from mixedfx.pls.problem import Problem
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.basis import SampledBasis, sampled_basis
from mixedfx.sampling.covariance_prior import CovariancePrior

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TermCoordinates:
    """Where one term stands in phi: its standard deviations from `first` on, then its correlations.

    Attributes
    ----------
    first
        Its place.
    shape
        Which coordinates a covariance of its structure has.
    basis
        What its standard deviations and partial correlations are those of.
    prior
        Density of its coordinates.
    """

    first: int
    shape: Sampled
    basis: SampledBasis
    prior: CovariancePrior

    @property
    def sds(self) -> slice:
        """Positions of the log standard deviations."""
        return slice(self.first, self.first + self.shape.n_sds)

    @property
    def partials(self) -> slice:
        """Positions of the transformed correlations."""
        return slice(self.sds.stop, self.sds.stop + self.shape.n_correlations)

    @property
    def size(self) -> Array:
        """(n_sds,) root mean squares of the covariates that go with each standard deviation."""
        size = self.basis.size
        return size if self.shape.n_sds == len(size) else np.sqrt(np.mean(size**2, keepdims=True))


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
            basis, shape = sampled_basis(prior, own, self.as_stated), structure.sampled
            term = TermCoordinates(at, shape, basis, CovariancePrior(prior, shape, basis.stated))
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
            factors = tuple(t.shape.factor(phi[:, t.sds], phi[:, t.partials]) for t in self.terms)
            mixing = np.ones((D, len(self.df)))
            mixing[:, self.mixed] = np.exp(phi[:, self.mixing_first :])
        return Variances(sigma, factors, mixing, self.terms)

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
        own = [term.basis.to_sampled(F) for term, F in zip(self.terms, factors, strict=True)]
        return self._point(sigma, own, least, steepest)

    def from_used(self, sigma: float, factors: Sequence[Array], least: float = 1e-3, steepest: float = 3.0) -> Array:
        """The same from the (k, k) relative factors T of each factor of the problem, in the columns that it uses."""
        scale = sigma if self.has_sigma else float(self.problem.sigma or 1.0)
        found: list[Array] = [np.zeros((0, 0))] * len(self.terms)
        for group, T in zip(self.problem.factors, factors, strict=True):
            for block in group.blocks:
                own = T[block.columns, block.columns]
                found[block.term] = scale * linalg.solve_triangular(self.terms[block.term].basis.used, own)
        return self._point(sigma, found, least, steepest)

    def _point(self, sigma: float, factors: list[Array], least: float, steepest: float) -> Array:
        """Phi of one factor for each term, in the basis that is sampled."""
        phi, sigma = self._start(sigma)
        for term, factor in zip(self.terms, factors, strict=True):
            log_sd, y = term.shape.coordinates(factor[None])
            phi[term.sds] = np.maximum(log_sd[0], np.log(least * sigma / term.size))
            phi[term.partials] = np.clip(y[0], -steepest, steepest)
        return phi

    def translated(self, phi: Array, other: Coordinates) -> Array:
        """(D, size) points of these coordinates that describe the same as points `phi` of `other` ones."""
        out, at = phi.copy(), other.variances(phi)
        for t, term in enumerate(self.terms):
            if not np.array_equal(term.basis.used, other.terms[t].basis.used):
                out[:, term.sds], out[:, term.partials] = term.shape.coordinates(term.basis.to_sampled(at.factors(t)))
        return out

    def even(self, sigma: float, share: float) -> Array:
        """(size,) the point where each effect moves the response by `share` residual standard deviations.

        Root mean squares over rows and levels; no correlations in the basis that is sampled.
        """
        phi, sigma = self._start(sigma)
        for term in self.terms:
            phi[term.sds] = np.log(share * sigma / term.size)
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

        `gradient` has (D, k, k) for each factor of the problem. T = U F / sigma, U from the effects sampled to those
        used and F the factor sampled, so that the gradient in F is U' / sigma times that in T; and T moves with log
        sigma as it does against all log standard deviations.
        """
        out = np.zeros(phi.shape)
        if self.has_sigma:
            out[:, 0] = of_sigma
        for group, G in zip(self.problem.factors, gradient, strict=True):
            for block in group.blocks:
                term = self.terms[block.term]
                own = term.basis.used.T @ G[:, block.columns, block.columns] / at.sigma[:, None, None]
                of_sd, of_y = term.shape.pull(phi[:, term.sds], phi[:, term.partials], own)
                out[:, term.sds], out[:, term.partials] = of_sd, of_y
                if self.has_sigma:
                    out[:, 0] -= of_sd.sum(axis=1)
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
