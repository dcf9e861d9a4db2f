r"""Rubin's rules: m estimates of the same numbers, from m completed data sets, as one.

With estimates q_k of s numbers, their covariances U_k and contrasts c of them,

    q = mean of q_k,   U = mean of U_k,   B = sum_k (q_k - q)(q_k - q)' / (m - 1),   T = U + (1 + 1/m) B

(Rubin 1987, Multiple Imputation for Nonresponse in Surveys). Of a contrast, r = (1 + 1/m) c'Bc / c'Uc is the increase
of its variance by what is not known of the data, and lambda = r / (1 + r) its share of the total. Degrees of freedom
are Barnard & Rubin's (1999, Biometrika 86:948): 1 / (1/nu_m + 1/nu_obs) with

    nu_m = (m - 1) / lambda^2,   nu_obs = (nu_com + 1) / (nu_com + 3) nu_com (1 - lambda),

where nu_com is what complete data would give; without it (infinite) they are Rubin's nu_m. The fraction of missing
information is (r + 2 / (nu + 3)) / (r + 1).

**Several numbers at once** (k of them, the hypothesis that they are h). D1 (Li, Raghunathan & Rubin 1991, JASA 86:1065)
takes the same increase for all, r = (1 + 1/m) tr(B U^-1) / k: D1 = (q - h)' U^-1 (q - h) / (k (1 + r)) is referred to
F(k, nu), nu of Li et al., or of Reiter (2007, Biometrika 94:502) where nu_com is finite. D2 (Li, Meng, Raghunathan &
Rubin 1991, Statistica Sinica 1:65) needs the m Wald or likelihood-ratio statistics d_k alone; D3 (Meng & Rubin 1992,
Biometrika 79:103) the mean of the likelihood-ratio statistics at the estimates of each data set and at their means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """What m estimates of s numbers have in common, and how they differ.

    Attributes
    ----------
    count
        m.
    mean
        (s,) mean of the estimates.
    within, between
        (s, s) mean of their covariances, and covariance of the estimates about their mean.
    """

    count: int
    mean: Array
    within: Array
    between: Array

    @property
    def total(self) -> Array:
        """(s, s) T, the covariance of the mean."""
        return self.within + (1.0 + 1.0 / self.count) * self.between

    @property
    def increase(self) -> Array:
        """(s,) r, by which not knowing the data increases the variance of each number."""
        within = np.diag(self.within)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (1.0 + 1.0 / self.count) * np.diag(self.between) / within


def moments(estimates: Array, covariances: Array) -> Moments:
    """Rubin's moments of (m, s) estimates and (m, s, s) covariances.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.surveys.rubin import moments
    >>> found = moments(np.array([[1.0], [2.0], [3.0]]), np.full((3, 1, 1), 0.5))
    >>> found.mean.tolist(), found.total.round(4).tolist()
    ([2.0], [[1.8333]])
    """
    estimates = np.asarray(estimates, dtype=np.float64)
    m, mean = len(estimates), estimates.mean(axis=0)
    apart = estimates - mean
    return Moments(m, mean, np.asarray(covariances).mean(axis=0), apart.T @ apart / (m - 1))


def barnard_rubin(count: int, increase: Array, complete: Array | float = np.inf) -> Array:
    """Degrees of freedom of pooled numbers.

    Parameters
    ----------
    count
        Number m of data sets.
    increase
        (s,) increases r of the variances.
    complete
        (s,) degrees of freedom of complete data; infinite where they are not limited.

    Examples
    --------
    >>> from mixedfx.surveys.rubin import barnard_rubin
    >>> barnard_rubin(5, 0.25, 40.0).round(2), barnard_rubin(5, 0.25).round(2)
    (np.float64(23.38), np.float64(100.0))
    """
    r, complete = np.asarray(increase, dtype=np.float64), np.asarray(complete, dtype=np.float64)
    share = np.where(np.isinf(r), 1.0, r / (1.0 + np.where(np.isinf(r), 0.0, r)))
    with np.errstate(divide="ignore", invalid="ignore"):
        imputed = (count - 1) / share**2
        observed = np.where(np.isinf(complete), np.inf, (complete + 1) / (complete + 3) * complete * (1 - share))
        return np.asarray(1.0 / (1.0 / imputed + 1.0 / observed))[()]


def missing_information(increase: Array, df: Array) -> Array:
    """Fraction of missing information of pooled numbers with increases r and degrees of freedom nu."""
    r = np.asarray(increase, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(r), 1.0, (r + 2.0 / (np.asarray(df) + 3.0)) / (r + 1.0))


def d1(found: Moments, difference: Array, complete: float = np.inf) -> tuple[float, float, float, float]:
    """D1 of k independent numbers: F, its numerator and denominator degrees of freedom, and r.

    Parameters
    ----------
    found
        Moments of the k numbers.
    difference
        (k,) their mean less the values of the hypothesis.
    complete
        Denominator degrees of freedom of complete data.
    """
    m, k = found.count, len(difference)
    r = (1.0 + 1.0 / m) * float(np.trace(np.linalg.solve(found.within, found.between))) / k
    F = float(difference @ np.linalg.solve(found.within, difference)) / (k * (1.0 + r))
    return F, float(k), (_li(m, k, r) if np.isinf(complete) else _reiter(m, k, r, complete)), r


def _li(m: int, k: int, r: float) -> float:
    """Denominator degrees of freedom of D1 and D3 in large samples."""
    if r <= 0:
        return np.inf
    t = k * (m - 1)
    if t > 4:
        return 4.0 + (t - 4) * (1.0 + (1.0 - 2.0 / t) / r) ** 2
    return t * (1.0 + 1.0 / k) * (1.0 + 1.0 / r) ** 2 / 2.0


def _reiter(m: int, k: int, r: float, complete: float) -> float:
    """Denominator degrees of freedom of D1 where complete data would have `complete`."""
    if r <= 0:
        return (complete + 1.0) / (complete + 3.0) * complete
    t = k * (m - 1)
    if t <= 4:  # the expansion has no moments there: the formula for one number
        return float(barnard_rubin(m, np.asarray(r), complete))
    a = r * t / (t - 2)
    star = (complete + 1.0) / (complete + 3.0) * complete
    c0, c1, c2 = 1.0 / (t - 4), star - 2.0 * (1.0 + a), star - 4.0 * (1.0 + a)
    z = 1.0 / c2 + c0 * (a**2 * c1 / ((1.0 + a) ** 2 * c2))
    z += c0 * (8.0 * a**2 * c1 / ((1.0 + a) * c2**2) + 4.0 * a**2 / ((1.0 + a) * c2))
    z += c0 * (4.0 * a**2 / (c2 * c1) + 16.0 * a**2 * c1 / c2**3) + c0 * (8.0 * a**2 / c2**2)
    return 4.0 + 1.0 / z


def d2(statistics: Array, k: int) -> tuple[float, float, float, float]:
    """D2 from m chi-square statistics of k numbers: F, its degrees of freedom, and r."""
    d = np.asarray(statistics, dtype=np.float64)
    m = len(d)
    r = (1.0 + 1.0 / m) * float(np.var(np.sqrt(np.maximum(d, 0.0)), ddof=1))
    F = (float(d.mean()) / k - (m + 1.0) / (m - 1.0) * r) / (1.0 + r)
    df = k ** (-3.0 / m) * (m - 1.0) * (1.0 + 1.0 / r) ** 2 if r > 0 else np.inf
    return F, float(k), df, r


def d3(own: Array, pooled: Array, k: int) -> tuple[float, float, float, float]:
    """D3 of k numbers: F, its degrees of freedom, and r.

    Parameters
    ----------
    own, pooled
        (m,) likelihood-ratio statistics at the estimates of each data set, and at the means of the estimates.
    k
        Parameters that the smaller model lacks.
    """
    m, mean, at_mean = len(own), float(np.mean(own)), float(np.mean(pooled))
    r = max((m + 1.0) / (k * (m - 1.0)) * (mean - at_mean), 0.0)
    return at_mean / (k * (1.0 + r)), float(k), _li(m, k, r), r
