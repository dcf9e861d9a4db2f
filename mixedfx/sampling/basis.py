r"""The basis in which the covariance of a correlated term is sampled.

The prior of a term is stated for effects P u, u the effects as the formula names them: P moves the intercept to the
means of the covariates, or is the identity. Standard deviations and correlations of P u are good coordinates too, since
the prior is a product in them, while the columns that go with P u, z P^-1, do not stand close to one another. Where one
does, as a calendar year beside a constant, or the square of a year beside the year, the likelihood determines the sum
of two large effects and not each, and the posterior of their covariance is a thread that no proposal follows. There the
column's residual takes its place: with c the coefficients of its regression on the columns before it,

    q_j = (z P^-1)_j - (z P^-1)_{<j} c,    P u = A (S u),    A the identity less c in column j,    |A| = 1,

and the standard deviations and correlations of S u = A^-1 P u are sampled. The density of the prior in them is that of
`mixedfx.covariance.unconstrained`. To sample residuals of all columns, wherever they stand, would not do: with three
columns and more a zero standard deviation in P u is a correlation of one in S u, and where the data leave a standard
deviation near zero, importance sampling fails in S u that succeeds in P u.

**Digits.** With z = q_used B (`mixedfx.pls.basis`) the columns z P^-1 have the triangle B P^-1, whose first row is that
of B less the means: what is left of it after the subtraction is taken from B before anything is multiplied. The
coefficients c solve a triangle of B P^-1, and the column of a residual in the columns used is its pivot alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.priors.resolve import TermPrior

Array = NDArray[np.float64]

CLOSE = 0.2  # share of a column's length that those before it leave, below which its residual takes its place


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


def sampled_basis(prior: TermPrior, basis: Array) -> SampledBasis:
    """The basis for one correlated term with a (k, k) basis B of the columns used."""
    k = len(basis)
    used, to_zero = basis.copy(), None
    if prior.centring:
        used[0] -= basis[0, 0] * np.array(prior.centring)
        to_zero = np.eye(k)
        to_zero[0] -= prior.centring
    length = np.sqrt((used**2).sum(axis=0))
    close = [j for j in range(1, k) if used[j, j] < CLOSE * length[j]]
    if not close:
        return SampledBasis(to_zero, None, used)
    stated = np.eye(k)
    triangle = used.copy()
    for j in close:
        stated[:j, j] = -linalg.solve_triangular(triangle[:j, :j], triangle[:j, j], check_finite=False)
        used[:j, j] = 0.0
    return SampledBasis(stated if to_zero is None else to_zero @ stated, stated, used)


def independent_basis(basis: Array) -> SampledBasis:
    """The basis for a term of independent effects, which are sampled as they are."""
    return SampledBasis(None, None, basis)
