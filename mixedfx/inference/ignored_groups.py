r"""Contrasts whose Satterthwaite df act as if the levels of a grouping factor did not exist.

Where the estimated variance between levels is zero it enters V by its square root, so that to first order the variance
of c'beta-hat does not move with it (see `mixedfx.inference.satterthwaite`): the method takes it as known to be zero. In
a trial with eight clusters of five rows, treated or not as a whole, a treatment then has 37 df, where the true number
is that of the clusters less two.

How much a contrast depends on what was taken as known is seen in the variance itself. Let n be a direction in which the
effects of a factor with q levels do not vary, G = sum_j (z_j'n)^2-rows of one level, V + gamma G, and

    b = (dv / dgamma) / v,  v = c'vcov c,      t = tr(P G).

b is zero for a contrast within levels and equal to the number m of rows of a level for one of level means; t is m times
the number of level means that the fixed part leaves free. Were gamma estimated with the levels' own information,
2 / tr(PGPG) with tr(PGPG) at least t^2 / q, it would alone leave c'beta-hat

    df = (t / b)^2 / q

degrees of freedom: about q for a contrast of level means, and infinitely many for one within levels. A contrast is said
to rest on levels that were ignored if it depends on gamma at least half as much as level means do (df < 4 q) and is
given more than twice these df.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference.covariance_derivatives import Products, to_beta
from mixedfx.pls.evaluate import Evaluation
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

NULL = 1e-8  # squared sd between levels, in units of the residual one, that is zero
DEPENDS = 4.0  # df a level below which a contrast depends on the levels
TOO_MANY = 2.0  # times the df that the levels give


@dataclass(frozen=True)
class IgnoredGroups:
    """One direction in which the effects of a grouping factor do not vary.

    Attributes
    ----------
    term
        Position in the design of a random term over the factor.
    slope
        (p, p) derivative of the covariance of the fixed effects with respect to the variance in this direction, in
        units of the residual variance.
    information
        tr(P G), G the pattern of that variance.
    levels
        Number of levels of the factor.
    """

    term: int
    slope: Vector
    information: float
    levels: int

    def concerns(self, contrasts: Vector, vcov: Vector, df: Vector) -> NDArray[np.bool_]:
        """(s,) whether the df of the rows of (s, p) contrasts act as if the levels did not exist."""
        v = np.einsum("sp,pr,sr->s", contrasts, vcov, contrasts)
        moved = np.einsum("sp,pr,sr->s", contrasts, self.slope, contrasts)
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.where(moved > 0, (self.information * v / moved) ** 2 / self.levels, np.inf)
        return (v > 0) & (own < DEPENDS * self.levels) & (df > TOO_MANY * own)

    def most_dependent(self, rows: Vector, vcov: Vector) -> Vector:
        """(q, p) combinations of q uncorrelated rows by how much they depend on the variance: eigenvectors of b."""
        standard = rows / np.sqrt(np.einsum("sp,pr,sr->s", rows, vcov, rows))[:, None]
        return np.linalg.eigh(standard @ self.slope @ standard.T)[1].T @ standard


def ignored_groups(problem: Problem, at: Evaluation, found: Products) -> tuple[IgnoredGroups, ...]:
    """Directions in which effects do not vary, for each grouping factor; none where the fit is not singular.

    Parameters
    ----------
    problem, at, found
        The fit, the criterion with its derivatives at the estimate, and the products there.
    """
    assert at.Q is not None
    out = []
    for f, (group, T) in enumerate(zip(problem.factors, at.factorization.T, strict=True)):
        for n in _null_directions(T) if group.blocks else ():
            F = np.einsum("a,c,acpr->pr", n, n, found.F[f])
            information = float(n @ (at.Q[f] + found.hh[f] / at.sigma2) @ n)
            if not problem.REML:  # Q of maximum likelihood has V^{-1} for P
                information -= float(np.sum(F * found.S_inverse))
            block = next(b for b in group.blocks if np.any(n[b.first : b.first + b.structure.k] != 0))
            slope = to_beta(F[None], at.sigma2, found)[0]
            out.append(IgnoredGroups(block.term, slope, information, group.n_levels))
    return tuple(out)


def _null_directions(T: Vector) -> list[Vector]:
    """Unit vectors n (k,) with n'T = 0: columns without variance first, then combinations of the others."""
    zero = (T**2).sum(axis=1) < NULL
    rows = np.flatnonzero(~zero)
    out = list(np.eye(len(T))[zero])
    if len(rows):
        scaled = T[rows] / np.linalg.norm(T[rows], axis=1)[:, None]
        values, vectors = np.linalg.eigh(scaled @ scaled.T)
        for vector in vectors[:, values < NULL].T:
            n = np.zeros(len(T))
            n[rows] = vector / np.linalg.norm(T[rows], axis=1)
            out.append(n / np.linalg.norm(n))
    return out
