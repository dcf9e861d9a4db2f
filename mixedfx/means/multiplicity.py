"""p values and critical values adjusted for a family of tests.

* tukey: all pairwise comparisons of k means, from the studentised range q(k, df) of |t| sqrt(2) (Tukey 1953; exact for
  balanced means, conservative otherwise: Hayter 1984, Annals of Statistics 12:61).
* mvt: the maximum of |t| under the multivariate t with the correlations of these contrasts, what Dunnett's (1955, JASA
  50:1096) test is for comparisons with a control; by quasi-Monte Carlo with a fixed seed, error about 1e-4.
* bonferroni, sidak, holm (1979, Scandinavian Journal of Statistics 6:65). Holm has no intervals of its own: those
  reported with it are Bonferroni's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_option

Array = NDArray[np.float64]
Adjust = Literal["tukey", "mvt", "holm", "bonferroni", "sidak", "none"]
ADJUSTMENTS: tuple[Adjust, ...] = get_args(Adjust)
Side = Literal["two-sided", "greater", "less"]
POINTS = 20_000


def check_adjust(adjust: str, *, pairwise: bool, side: str = "two-sided") -> None:
    """Refuse an adjustment that does not exist or does not fit the family (`OptionError`)."""
    check_option("adjust", adjust, ADJUSTMENTS)
    if adjust == "tukey" and not pairwise:
        raise OptionError(
            "adjust='tukey' is for all pairwise comparisons of one set of means", hint="Use 'mvt', 'sidak' or 'holm'."
        )
    if adjust in ("tukey", "mvt") and side != "two-sided":
        raise OptionError(f"adjust={adjust!r} is for two-sided tests", hint="Use 'holm', 'sidak' or 'bonferroni'.")


def adjusted_p_values(
    statistic: Array,
    df: Array,
    adjust: Adjust,
    *,
    means: int,
    correlation: Array | None = None,
    side: Side = "two-sided",
) -> Array:
    """Adjusted p values of one family.

    Parameters
    ----------
    statistic, df
        (c,) t statistics and their degrees of freedom, infinite for z. NaN statistics are no part of the family.
    adjust
        The method.
    means
        Number k of means that the family compares, for ``"tukey"``.
    correlation
        (c, c) correlations of the contrasts, for ``"mvt"``.
    side
        Alternative.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.means.multiplicity import adjusted_p_values
    >>> t, df = np.array([1.0, 2.5, 3.0]), np.full(3, 20.0)
    >>> adjusted_p_values(t, df, "tukey", means=3).round(4)
    array([0.5854, 0.0531, 0.0186])
    """
    from scipy import stats

    known = ~np.isnan(statistic)
    t, nu, c = statistic[known], df[known], int(known.sum())
    tail = {"two-sided": 2 * stats.t.sf(np.abs(t), nu), "greater": stats.t.sf(t, nu), "less": stats.t.cdf(t, nu)}
    p = np.asarray(tail[side])
    if c > 1:
        if adjust == "bonferroni":
            p = c * p
        elif adjust == "sidak":
            p = -np.expm1(c * np.log1p(-p))
        elif adjust == "holm":
            order = np.argsort(p)
            p[order] = np.maximum.accumulate((c - np.arange(c)) * p[order])
        elif adjust == "tukey":
            integrated = np.asarray(stats.studentized_range.sf(np.sqrt(2) * np.abs(t), means, nu))
            # Bonferroni's inequality over the pairs: binding, and sharp, where the integration has lost all digits
            p = np.clip(integrated, p, means * (means - 1) / 2 * p)
        elif adjust == "mvt" and correlation is not None:
            inside = correlation[np.ix_(known, known)]
            integrated = np.array([1 - max_abs_t_cdf(abs(x), inside, v) for x, v in zip(t, nu, strict=True)])
            p = np.clip(integrated, p, c * p)  # where the integration error is larger than the p value
        else:
            assert adjust in ("none", "mvt"), adjust
    result = np.full(len(statistic), np.nan)
    result[known] = np.clip(p, 0.0, 1.0)
    return result


def critical_values(df: Array, adjust: Adjust, level: float, *, means: int, correlation: Array | None = None) -> Array:
    """(c,) factors of the standard errors for two-sided intervals that hold together with probability `level`."""
    from scipy import optimize, stats

    known = ~np.isnan(df)
    nu, c = df[known], int(known.sum())
    if c <= 1 or adjust == "none":
        found = stats.t.ppf((1 + level) / 2, nu)
    elif adjust in ("bonferroni", "holm"):
        found = stats.t.ppf(1 - (1 - level) / (2 * c), nu)
    elif adjust == "sidak":
        found = stats.t.ppf((1 + level ** (1 / c)) / 2, nu)
    elif adjust == "tukey":
        found = np.array([_tukey_quantile(level, means, float(f"{v:.8g}")) for v in nu])
    else:
        assert adjust == "mvt", adjust
        inside = np.eye(c) if correlation is None else correlation[np.ix_(known, known)]
        unique = {}
        for v in dict.fromkeys(nu.tolist()):
            low, high = stats.t.ppf((1 + level) / 2, v), stats.t.ppf(1 - (1 - level) / (2 * c), v) + 1e-3
            unique[v] = optimize.brentq(lambda q, v=v: max_abs_t_cdf(q, inside, v) - level, low - 1e-3, high + 0.05)
        found = np.array([unique[v] for v in nu.tolist()])
    result = np.full(len(df), np.nan)
    result[known] = found
    return result


@lru_cache(maxsize=1024)
def _tukey_quantile(level: float, means: int, df: float) -> float:
    """Quantile of the studentised range over sqrt(2); a fifth of a second each, and families share few."""
    from scipy import stats

    return float(stats.studentized_range.ppf(level, means, df)) / np.sqrt(2)


def max_abs_t_cdf(limit: float, correlation: Array, df: float) -> float:
    """Probability that no |t| of a multivariate t exceeds `limit`.

    Linearly dependent contrasts are allowed: with rank r the t's are A z / s for r independent normal z and
    s^2 ~ chi^2(df) / df. The length of z is independent of its direction w, and |z|^2 / (r s^2) has an F distribution,
    so that the probability is the mean of F(limit^2 / (r max |A w|^2); r, df) over directions (Deak 1980, Numerische
    Mathematik 35:369): a scrambled Sobol sequence with a fixed seed.
    """
    from scipy import special

    values, vectors = np.linalg.eigh(correlation)
    keep = values > 1e-10 * values.max()
    A = vectors[:, keep] * np.sqrt(values[keep])
    r = A.shape[1]
    squared = (limit / np.abs(_directions(r) @ A.T).max(axis=1)) ** 2
    inside = special.chdtr(r, squared) if np.isinf(df) else special.fdtr(r, df, squared / r)
    return float(inside.mean())


@lru_cache(maxsize=64)
def _directions(r: int) -> Array:
    """(N, r) points of the unit sphere."""
    from scipy import special
    from scipy.stats import qmc

    if r == 1:
        return np.ones((1, 1))
    sobol = qmc.Sobol(r, seed=1)  # pyright: ignore  (its name before SciPy 1.15, still understood)
    z = special.ndtri(sobol.random(1 << int(np.ceil(np.log2(POINTS)))))
    return z / np.linalg.norm(z, axis=1, keepdims=True)
