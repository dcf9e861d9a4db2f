"""What a REML fit knows about linear functionals of (beta, u) and of levels it has not seen.

For rows C = [fixed, random, new] the estimate is fixed beta-hat + random u-hat + offset: the BLUE of beta, the BLUP
of u, and 0, the population mean, for unseen levels. The error of (beta-hat, u-hat) has the covariance that
Henderson's mixed-model equations give (Henderson 1975, Biometrics 31:423), taken through the factor of the fit.
Effects of unseen levels are independent of everything observed and of each other, each with covariance sigma^2 T T'
of its term; they add new G new' to the covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from mixedfx.design.functional import Functional, NewLevel

DENSE_ROWS = 1000
BATCH = 256


class JointUncertainty(Protocol):
    """The joint distribution of (beta, u) around their estimates, given theta-hat and sigma-hat."""

    def covariance(self, fixed: NDArray[np.float64], random: sparse.csr_array) -> NDArray[np.float64]:
        """(s, s) covariance of estimate minus truth of fixed beta + random u."""
        ...

    def variances(self, fixed: NDArray[np.float64], random: sparse.csr_array) -> NDArray[np.float64]:
        """(s,) diagonal of `covariance`."""
        ...

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, p) and (n, q) joint draws of beta and u."""
        ...


@dataclass(frozen=True, eq=False)
class NormalEstimate:
    """Estimates of s linear functionals, with exact covariance given theta-hat and sigma-hat.

    Attributes
    ----------
    functional
        The s rows.
    mean
        (s,) estimates.
    joint
        Joint uncertainty of (beta, u).
    new_root
        (r, r) block-diagonal root of the covariance G of the effects of unseen levels, G = root root'.
    """

    functional: Functional
    mean: NDArray[np.float64]
    joint: JointUncertainty
    new_root: sparse.csr_array
    exact = True
    own_intervals = False
    notes = ()

    @property
    def cov(self) -> NDArray[np.float64]:
        """(s, s) covariance of estimate minus truth."""
        return self._cov

    @cached_property
    def _cov(self) -> NDArray[np.float64]:
        known = self.joint.covariance(self.functional.fixed, self.functional.random)
        return known + (self._new @ self._new.T).toarray()

    @cached_property
    def variances(self) -> NDArray[np.float64]:
        """(s,) variances of estimate minus truth: the diagonal of `cov`, without forming it."""
        known = self.joint.variances(self.functional.fixed, self.functional.random)
        return known + np.asarray(self._new.multiply(self._new).sum(axis=1)).ravel()

    @cached_property
    def sd(self) -> NDArray[np.float64]:
        """(s,) standard errors."""
        return np.sqrt(self.variances)

    @cached_property
    def _new(self) -> sparse.csr_array:
        return sparse.csr_array(self.functional.new @ self.new_root)

    def draws(self, n: int | None = None, seed: int | None = None) -> NDArray[np.float64]:
        """(n, s) joint draws, 1,000 where `n` is None.

        Up to 1,000 rows are drawn from their own (s, s) covariance; more rows through joint draws of (beta, u).
        """
        n = 1000 if n is None else n
        rng = np.random.default_rng(seed)
        if len(self.functional) <= DENSE_ROWS:
            return self.mean + rng.standard_normal((n, len(self.functional))) @ self._root().T
        out = np.empty((n, len(self.functional)))
        for start in range(0, n, BATCH):
            size = min(BATCH, n - start)
            beta, u = self.joint.draw(size, rng)
            known = beta @ self.functional.fixed.T + (self.functional.random @ u.T).T + self.functional.offset
            out[start : start + size] = known + self.unseen_draws(size, rng)
        return out

    def _root(self) -> NDArray[np.float64]:
        """(s, s) root of the covariance that draws are made with."""
        return _root(self.cov)

    def unseen_draws(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n, s) draws of what unseen levels add to each row: new g with g from the population."""
        _, r = cast(tuple[int, int], self._new.shape)
        return (self._new @ rng.standard_normal((r, n))).T


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root V D^{1/2} of a covariance that may be singular; rounding may have left eigenvalues just below zero."""
    values, vectors = linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))


def estimate(
    functional: Functional,
    beta: NDArray[np.float64],
    u: NDArray[np.float64],
    factors: Sequence[NDArray[np.float64]],
    sigma: float,
    joint: JointUncertainty,
) -> NormalEstimate:
    """Apply a functional to a fit.

    Parameters
    ----------
    functional
        The s rows.
    beta, u
        (p,) fixed effects and (q,) random effects, ordered as `Design` orders them.
    factors
        For each random term its (k, k) relative covariance factor T.
    sigma
        Residual standard deviation.
    joint
        Joint uncertainty of (beta, u).
    """
    mean = functional.fixed @ beta + functional.random @ u + functional.offset
    return NormalEstimate(functional, mean, joint, new_level_root(functional.new_levels, factors, sigma))


def new_level_root(
    new_levels: Sequence[NewLevel], factors: Sequence[NDArray[np.float64]], sigma: float
) -> sparse.csr_array:
    """(r, r) block-diagonal matrix with sigma T of its term for each unseen level, in their order."""
    if not new_levels:
        return sparse.csr_array((0, 0))
    terms = np.array([level.term for level in new_levels])
    sizes = np.array([len(factor) for factor in factors])[terms]
    starts = np.cumsum(sizes) - sizes
    rows, columns, values = [], [], []
    for t in np.unique(terms):
        i, j = np.indices(factors[t].shape)
        first = starts[terms == t][:, None]
        rows.append((first + i.ravel()).ravel())
        columns.append((first + j.ravel()).ravel())
        values.append(np.tile(sigma * factors[t].ravel(), len(first)))
    size = int(sizes.sum())
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=(size, size)))
