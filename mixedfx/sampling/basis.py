r"""The basis in which the covariance of a correlated term is sampled.

The prior of a term is stated for effects P u, u the effects as the formula names them: P moves the intercept to the
means of the covariates, or is the identity. The logarithms of the standard deviations and the partial correlations of P
u are good coordinates as a rule: the prior is a product in them, and where the data leave a standard deviation near
zero that is one coordinate running off to the left.

Not so where the prior is stated at zero and a covariate is far from there, as a calendar year. The intercept is the
level in the year 0, its correlation with the slope is minus one to several digits, and the posterior a thread along
which two large numbers keep their difference: steps that find its end are as small as the thread is thin. Such a
column is centred, q_j = z_j - m_j, and the covariance of S u sampled,

    P u = A (S u),   A the identity with -m_j in its first row,   |A| = 1,

in which the density of the prior is that of `mixedfx.covariance.unconstrained`.

Where the data say little of the slopes and the prior much, as decov() far from zero, the standard deviation that gets
near zero is that of the intercept at zero, and the basis of the prior the better one: `sampled_basis` gives that too.

Covariates close to each other, a year and its square, are left alone. Were the residual of one to take its place, a
zero standard deviation in P u would be a correlation of one in S u: importance sampling had k-hat 0.4 and half of its
points effective for ``(x + I(x**2) | site)`` from 0 to 100 standard deviations away, 0.6 and a tenth with residuals.

**Digits.** With z = q_used B (`mixedfx.pls.basis`) the columns z S^-1 have the triangle B S^-1, whose first row is that
of B less the means: what is left of it after the subtraction is taken before anything is multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.priors.resolve import TermPrior

Array = NDArray[np.float64]

FAR = 0.4  # sd of a covariate over its root mean square, below which it is far from zero: 2.3 sds away


@dataclass(frozen=True, eq=False)
class SampledBasis:
    """Matrices between the effects of a level: as named (u), as sampled (S u), as the prior has them, as used (B u).

    Attributes
    ----------
    natural
        (k, k) S^-1: u from S u. None for the identity.
    stated
        (k, k) A: effects that the prior is stated for, from S u. None for the identity.
    used
        (k, k) B S^-1: effects of the columns that the likelihood uses, from S u.
    """

    natural: Array | None
    stated: Array | None
    used: Array

    @property
    def size(self) -> Array:
        """(k,) root mean squares of the covariates that go with S u."""
        return np.sqrt((self.used**2).sum(axis=0))

    def to_natural(self, sampled: Array) -> Array:
        """(..., k, m) effects or factors of u from those of S u."""
        return sampled if self.natural is None else self.natural @ sampled

    def to_sampled(self, natural: Array) -> Array:
        """(..., k, m) effects or factors of S u from those of u."""
        return natural if self.natural is None else np.asarray(np.linalg.solve(self.natural, natural), dtype=np.float64)


def sampled_basis(prior: TermPrior, basis: Array, as_stated: bool = False) -> SampledBasis:
    """The basis for one term with a (k, k) basis B of the columns used; that of its prior if asked for."""
    if not prior.means or (as_stated and not prior.at_means):
        return SampledBasis(None, None, basis)
    k, means = len(basis), np.array(prior.means)
    if not prior.at_means:
        away = np.sqrt((basis[1:] ** 2).sum(axis=0)) < FAR * np.sqrt((basis**2).sum(axis=0))
        means = np.where(away, means, 0.0)
        means[0] = 0.0
    if not means.any():
        return SampledBasis(None, None, basis)
    to_zero, used = np.eye(k), basis.copy()
    to_zero[0] -= means
    used[0] -= basis[0, 0] * means
    return SampledBasis(to_zero, None if prior.at_means else to_zero, used)
