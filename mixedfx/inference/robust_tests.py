r"""Tests with a cluster-robust covariance: degrees of freedom, p values, and several contrasts at once.

With p_i, p_j as in `mixedfx.inference.robust`, the covariance of contrasts C beta-hat is estimated by a sum over the m
clusters of outer products, whose expectations and covariances under the working model follow from the matrices

    P_ij = [i = j] a'W_i a - b_i'b_j      (q, q),      a = M C',  W_i = G_i'Phi_i G_i,  b_i = M^(1/2) X_i'G_i a.

Let Omega = sum_i P_ii, and B_ij = Omega^(-1/2) P_ij Omega^(-1/2). The covariances of the entries of the standardised
estimate are

    Cov(s t, u v) = sum_ij B_ij[s,u] B_ij[t,v] + B_ij[s,v] B_ij[t,u].

* **One contrast**, t^2 / 1: Satterthwaite's df 1 / sum_ij B_ij^2 (Bell & McCaffrey 2002); ``"saddlepoint"``: the
  estimate is a combination of chi squares with weights lambda, the eigenvalues of (P_ij), and P(|t| > c) = P(Z^2 - c^2
  sum lambda_i Z_i^2 / sum lambda > 0) is found by the saddlepoint approximation (Kuonen 1999, Biometrika 86:929);
  ``"naive"``: m - 1.
* **Several**: Hotelling's T^2 with eta degrees of freedom, (eta - q + 1) / (eta q) Q ~ F(q, eta - q + 1), eta matching
  the variances of a Wishart matrix: ``"HTZ"`` their total, eta = q (q + 1) / sum_st Var(st) (Zhang 2012); ``"HTA"`` in
  the mean square of all covariances, eta = 2 sum_st Var(st) / sum Cov^2 (Tipton & Pustejovsky 2015, Journal of
  Educational and Behavioral Statistics 40:604). ``"EDF"``: F from the degrees of freedom nu_j of the eigenvectors of
  the standardised estimate, those below 4.1 taken as 4.1, whose sum of nu_j t_j^2 matches two moments of F (Cai & Hayes
  2008, same journal 33:21). ``"naive"``: Q / q ~ F(q, m - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Vector = NDArray[np.float64]
JointTest = Literal["HTZ", "HTA", "EDF", "naive"]
Df = Literal["satterthwaite", "saddlepoint", "naive"]

JOINT_TESTS = ("HTZ", "HTA", "EDF", "naive")
DFS = ("satterthwaite", "saddlepoint", "naive")
LEAST_EDF = 4.1  # degrees of freedom below which the moments that EDF matches do not exist
NEAR = 0.01  # saddlepoint this close to zero, where its formula is a limit


@dataclass(frozen=True)
class Pieces:
    """What covariances of an estimated covariance are made of.

    Attributes
    ----------
    model
        (p, p) covariance of the coefficients under the working model.
    within, across
        (m, p, p) G_j'Phi_j G_j and X_j'G_j of each cluster.
    """

    model: Vector
    within: Vector
    across: Vector

    def products(self, rows: Vector) -> tuple[Vector, Vector]:
        """(m, q, q) a'W_j a and (m, p, q) b_j for (q, p) contrasts."""
        a = self.model @ rows.T
        within = np.einsum("ps,jpr,rt->jst", a, self.within, a, optimize=True)
        return within, np.einsum("op,jpr,rs->jos", linalg.cholesky(self.model), self.across, a, optimize=True)

    def standardised(self, rows: Vector) -> tuple[Vector, Vector, Vector] | None:
        """The same with Omega = I, and the (q, q) root of its inverse; None where Omega is singular."""
        within, b = self.products(rows)
        values, vectors = np.linalg.eigh(within.sum(axis=0) - np.einsum("jos,jot->st", b, b))
        if not values[0] > 0:
            return None
        root = (vectors / np.sqrt(values)) @ vectors.T
        return root @ within @ root, b @ root, root

    def matrix(self, row: Vector) -> Vector:
        """(m, m) P of one contrast (p,)."""
        within, b = self.products(row[None])
        flat = b[:, :, 0]
        return np.diag(within[:, 0, 0]) - flat @ flat.T


def covariances(within: Vector, b: Vector) -> Vector:
    """(q, q, q, q) Cov(s t, u v) of the entries of an estimated covariance, from `Pieces.standardised`.

    sum_ij of products of P_ij: the terms b_i'b_j of all pairs first, then the pairs i = j put right.
    """
    G = np.einsum("jos,jru->orsu", b, b, optimize=True)  # sum_j b_j[o,s] b_j[r,u]
    # sum_ij (b_i's . b_j'u)(b_i't . b_j'v) = <sum_i b_i[o,s] b_i[r,t], sum_j b_j[o,u] b_j[r,v]>
    cross = np.einsum("orst,oruv->sutv", G, G, optimize=True)
    outer = np.einsum("jos,jou->jsu", b, b, optimize=True)
    own = within - outer
    straight = cross + np.einsum("jsu,jtv->sutv", own, own) - np.einsum("jsu,jtv->sutv", outer, outer)
    return straight.transpose(0, 2, 1, 3) + straight.transpose(0, 2, 3, 1)


def satterthwaite_df(pieces: Pieces, row: Vector) -> float:
    """Degrees of freedom of one contrast."""
    return wishart_df(pieces, row[None], "HTZ")


def wishart_df(pieces: Pieces, rows: Vector, test: Literal["HTZ", "HTA"]) -> float:
    """Degrees of freedom eta of Hotelling's T^2 for (q, p) contrasts; NaN where they cannot be estimated."""
    found = pieces.standardised(rows)
    if found is None:
        return np.nan
    q = len(rows)
    Cov = covariances(found[0], found[1])
    total = float(np.einsum("stst->", Cov))
    if test == "HTZ":
        return q * (q + 1) / total
    return 2.0 * total / float(np.sum(Cov**2))


def edf(pieces: Pieces, rows: Vector, vcov: Vector, Q: float) -> tuple[float, float]:
    """F and denominator df of the sum of squares Q of q contrasts by their eigenvectors' degrees of freedom."""
    found = pieces.standardised(rows)
    if found is None:
        return np.nan, np.nan
    within, b, root = found
    q = len(rows)
    _, vectors = np.linalg.eigh(root @ (rows @ vcov @ rows.T) @ root)
    nu = np.empty(q)
    for j in range(q):
        x = vectors[:, j]
        own, flat = np.einsum("s,jst,t->j", x, within, x), b @ x
        P = np.diag(own) - flat @ flat.T
        nu[j] = 1.0 / float(np.sum(P**2))
    nu = np.maximum(nu, LEAST_EDF)
    mean = float(np.sum(nu / (nu - 2.0)))
    variance = 2.0 * float(np.sum(nu**2 * (nu - 1.0) / ((nu - 2.0) ** 2 * (nu - 4.0))))
    if q * variance > 2.0 * mean**2:
        scale = (mean**2 * (q - 2.0) + 2.0 * q * variance) / (mean * (variance + mean**2))
        return scale * Q / q, 4.0 + 2.0 * mean**2 * (q + 2.0) / (q * variance - 2.0 * mean**2)
    return Q / mean, np.inf


def saddlepoint_weights(pieces: Pieces, row: Vector) -> Vector:
    """(m,) weights of the chi squares that the estimated variance of one contrast is made of."""
    return np.asarray(np.clip(np.linalg.eigvalsh(pieces.matrix(row)), 0.0, None), dtype=np.float64)


def _brentq() -> Any:
    """Brent's search for a root; `scipy.optimize` takes long to import, and most fits are asked nothing of this."""
    from scipy.optimize import brentq

    return brentq


def critical_ratio(alpha: float, weights: Vector) -> float:
    """T whose tail is alpha: the end of an interval, in standard errors.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.robust_tests import critical_ratio
    >>> round(critical_ratio(0.05, np.ones(10)), 2)  # t with ten degrees of freedom: 2.23
    2.25
    """
    high = 2.0
    while tail_of_ratio(high, weights) > alpha and high < 1e8:
        high *= 2.0
    root: Any = _brentq()(lambda t: tail_of_ratio(t, weights) - alpha, 0.5, high, xtol=1e-10)
    return float(root)


def tail_of_ratio(t: float, weights: Vector) -> float:
    """P(Z^2 > t^2 sum w_i Z_i^2 / sum w_i), Z and the Z_i independent standard normal: the two-sided p value of t.

    Examples
    --------
    The approximation of t with ten degrees of freedom, whose p value at 2 is .0734:

    >>> import numpy as np
    >>> from mixedfx.inference.robust_tests import tail_of_ratio
    >>> round(tail_of_ratio(2.0, np.ones(10)), 4)
    0.0753
    """
    if not np.isfinite(t):
        return 0.0 if np.isinf(t) else np.nan
    g = np.append(1.0, -(t**2) * weights / weights.sum())

    def slope(s: float) -> float:
        return float(np.sum(g / (1.0 - 2.0 * g * s)))

    if abs(g.sum()) < 1e-12:
        s = 0.0
    else:  # between the poles of the cumulant generating function, on the side of zero that the mean is not
        ends = (1.0 / (2.0 * g.min()), 0.0) if g.sum() > 0 else (0.0, 1.0 / (2.0 * g.max()))
        shrink = 1.0 - 1e-12
        root: Any = _brentq()(slope, ends[0] * shrink, ends[1] * shrink, xtol=1e-14)
        s = float(root)
    if abs(s) <= NEAR:
        return float(0.5 - np.sum(g**3) / (3.0 * np.sqrt(np.pi) * np.sum(g**2) ** 1.5))
    r = np.sign(s) * np.sqrt(np.sum(np.log(1.0 - 2.0 * g * s)))
    u = s * np.sqrt(2.0 * np.sum(g**2 / (1.0 - 2.0 * g * s) ** 2))
    return float(special.ndtr(-r) - np.exp(-(r**2) / 2.0) / np.sqrt(2.0 * np.pi) * (1.0 / r - 1.0 / u))
