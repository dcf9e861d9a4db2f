r"""Measures of means and standard deviations: of two groups, of pairs, of one group.

A standardised difference d = (m1 - m2) / s with m degrees of freedom of s is biased; J(m) d is unbiased, with

    J(m) = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2))

(Hedges 1981, Journal of Educational Statistics 6(2)). For g = J d of two independent groups, with 1/n~ = 1/n1 + 1/n2,
d sqrt(n~) is noncentral t: its large-sample variance is 1/n~ + g^2 / (2 (n1 + n2)) (Hedges 1982, Psychological
Bulletin 92(2), eq. 8), an unbiased one 1/n~ + (1 - (m - 2) / (m J^2)) g^2 (Hedges 1983, ibid. 93(2), eq. 9). Where the
variances of the groups differ, d is standardised by the root s of their mean (Bonett 2008, Psychological Methods
13(2)), with variance J^2 [g^2 (s1^4 / df1 + s2^4 / df2) / (8 s^4) + (s1^2 / df1 + s2^2 / df2) / s^2], df = n - 1.

Logarithms of ratios have variances of the delta method: sd^2 / (n m^2) for log m, 1 / (2 (n - 1)) for log sd, which
1 / (2 (n - 1)) added makes unbiased (Hedges, Gurevitch and Curtis 1999, Ecology 80(4); Nakagawa et al. 2015, Methods in
Ecology and Evolution 6(2)). Of pairs the covariance comes off: 2 r sd1 sd2 / n for means, r^2 / (n - 1) for log sds.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from mixedfx.meta.measure import Array, Columns, Measure, Variance, table, weighted_mean

_TWO = ("m1i", "m2i", "sd1i", "sd2i", "n1i", "n2i")
_SPREADS = ("sd1i", "sd2i", "n1i", "n2i")
_PAIR = ("m1i", "m2i", "sd1i", "sd2i", "ri", "ni")
_ONE = ("mi", "sdi", "ni")
_BORENSTEIN = "Borenstein 2009, in Cooper, Hedges and Valentine, The Handbook of Research Synthesis, ch. 12"
_HEDGES = "Hedges 1981, Journal of Educational Statistics 6(2); 1982 and 1983, Psychological Bulletin 92(2), 93(2)"
_NAKAGAWA = "Nakagawa et al. 2015, Methods in Ecology and Evolution 6(2)"
_RATIOS = "Hedges, Gurevitch and Curtis 1999, Ecology 80(4)"


def small_sample_factor(df: Array) -> Array:
    """J(df), the factor that makes a standardised difference unbiased; NaN where df is below 2.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.effect_sizes.measures_means import small_sample_factor
    >>> small_sample_factor(np.array([10.0, 100.0])).round(6).tolist()
    [0.922746, 0.992478]
    """
    m = np.where(np.asarray(df) < 2, np.nan, df)
    return np.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2) - np.log(m / 2) / 2)


def _sizes(c: Columns) -> Array:
    return 1 / c["n1i"] + 1 / c["n2i"]


def _df(c: Columns) -> Array:
    return c["n1i"] + c["n2i"] - 2


def pooled_variance(c: Columns) -> Array:
    """(k,) variance pooled over the two groups."""
    return ((c["n1i"] - 1) * c["sd1i"] ** 2 + (c["n2i"] - 1) * c["sd2i"] ** 2) / _df(c)


def _difference(c: Columns) -> Array:
    return c["m1i"] - c["m2i"]


def _smd(c: Columns) -> Array:
    return small_sample_factor(_df(c)) * _difference(c) / np.sqrt(pooled_variance(c))


def _smd_large(c: Columns, y: Array) -> Array:
    return _sizes(c) + y**2 / (2 * (c["n1i"] + c["n2i"]))


def _smd_borenstein(c: Columns, y: Array) -> Array:
    J = small_sample_factor(_df(c))
    return J**2 * _smd_large(c, y / J)


def _smd_unbiased(c: Columns, y: Array) -> Array:
    m = _df(c)
    return _sizes(c) + (1 - (m - 2) / (m * small_sample_factor(m) ** 2)) * y**2


def _smd_average(c: Columns, y: Array) -> Array:
    return _smd_large(c, np.full(len(y), weighted_mean(y, c["n1i"] + c["n2i"])))


def _mean_variance(c: Columns) -> Array:
    return (c["sd1i"] ** 2 + c["sd2i"] ** 2) / 2


def _smdh(c: Columns) -> Array:
    return small_sample_factor(_df(c)) * _difference(c) / np.sqrt(_mean_variance(c))


def _smdh_large(c: Columns, y: Array) -> Array:
    s2, J = _mean_variance(c), small_sample_factor(_df(c))
    v1, v2, m1, m2 = c["sd1i"] ** 2, c["sd2i"] ** 2, c["n1i"] - 1, c["n2i"] - 1
    return J**2 * (y**2 * (v1**2 / m1 + v2**2 / m2) / (8 * s2**2) + (v1 / m1 + v2 / m2) / s2)


def _glass(c: Columns) -> Array:
    return small_sample_factor(c["n2i"] - 1) * _difference(c) / c["sd2i"]


def _glass_large(c: Columns, y: Array) -> Array:
    return _sizes(c) + y**2 / (2 * c["n2i"])


def _glass_borenstein(c: Columns, y: Array) -> Array:
    J = small_sample_factor(c["n2i"] - 1)
    return J**2 * _glass_large(c, y / J)


def _glass_unbiased(c: Columns, y: Array) -> Array:
    m = c["n2i"] - 1
    return _sizes(c) + (1 - (m - 2) / (m * small_sample_factor(m) ** 2)) * y**2


def _glass_average(c: Columns, y: Array) -> Array:
    return _glass_large(c, np.full(len(y), weighted_mean(y, c["n1i"] + c["n2i"])))


def _log(ratio: Array) -> Array:
    return np.log(np.where(ratio > 0, ratio, np.nan))


def _log_ratio(c: Columns) -> Array:
    return _log(c["m1i"] / c["m2i"])


def _cv(c: Columns, group: str) -> Array:
    return c[f"sd{group}i"] / c[f"m{group}i"]


def _ratio_large(c: Columns, y: Array) -> Array:
    return _cv(c, "1") ** 2 / c["n1i"] + _cv(c, "2") ** 2 / c["n2i"]


def _ratio_pooled(c: Columns, y: Array) -> Array:
    return pooled_variance(c) * (1 / (c["n1i"] * c["m1i"] ** 2) + 1 / (c["n2i"] * c["m2i"] ** 2))


def _ratio_average(c: Columns, y: Array) -> Array:
    cv1, cv2 = (weighted_mean(_cv(c, g), c[f"n{g}i"]) for g in "12")
    return cv1**2 / c["n1i"] + cv2**2 / c["n2i"]


def _ratio_one_average(c: Columns, y: Array) -> Array:
    both = np.concatenate([_cv(c, "1"), _cv(c, "2")])
    return weighted_mean(both, np.concatenate([c["n1i"], c["n2i"]])) ** 2 * _sizes(c)


def _half(n: Array) -> Array:
    """The bias of a log sd, and its variance."""
    return 1 / (2 * (n - 1))


def _variability(c: Columns) -> Array:
    return _log(c["sd1i"] / c["sd2i"]) + _half(c["n1i"]) - _half(c["n2i"])


def _cv_ratio(c: Columns) -> Array:
    return _log(_cv(c, "1") / _cv(c, "2")) + _half(c["n1i"]) - _half(c["n2i"])


def _paired_variance(c: Columns) -> Array:
    """Variance of the changes."""
    return c["sd1i"] ** 2 + c["sd2i"] ** 2 - 2 * c["ri"] * c["sd1i"] * c["sd2i"]


def _change_in_changes(c: Columns) -> Array:
    return small_sample_factor(c["ni"] - 1) * _difference(c) / np.sqrt(_paired_variance(c))


def _change_in_raw(c: Columns) -> Array:
    return small_sample_factor(c["ni"] - 1) * _difference(c) / c["sd1i"]


def _changes_large(c: Columns, y: Array) -> Array:
    return 1 / c["ni"] + y**2 / (2 * c["ni"])


def _raw_large(c: Columns, y: Array) -> Array:
    return 2 * (1 - c["ri"]) / c["ni"] + y**2 / (2 * c["ni"])


def _with_factor(variance: Variance) -> Variance:
    """Variance of d times J^2, J of n - 1."""

    def scaled(c: Columns, y: Array) -> Array:
        J = small_sample_factor(c["ni"] - 1)
        return J**2 * variance(c, y / J)

    return scaled


def _paired_ratio(c: Columns, y: Array) -> Array:
    cv1, cv2 = _cv(c, "1"), _cv(c, "2")
    return (cv1**2 + cv2**2 - 2 * c["ri"] * cv1 * cv2) / c["ni"]


def _paired_spread(c: Columns, y: Array) -> Array:
    return (1 - c["ri"] ** 2) / (c["ni"] - 1)


MEANS = table(
    Measure(
        "MD", "mean difference", "two groups", _TWO, _difference,
        {"LS": lambda c, y: c["sd1i"] ** 2 / c["n1i"] + c["sd2i"] ** 2 / c["n2i"],
         "HO": lambda c, y: pooled_variance(c) * _sizes(c)}, _BORENSTEIN,
    ),
    Measure(
        "SMD", "standardised mean difference (Hedges' g)", "two groups", _TWO, _smd,
        {"LS": _smd_large, "LS2": _smd_borenstein, "UB": _smd_unbiased, "AV": _smd_average}, _HEDGES,
    ),
    Measure(
        "SMDH", "standardised mean difference, variances unequal", "two groups", _TWO, _smdh,
        {"LS": _smdh_large}, "Bonett 2008 and 2009, Psychological Methods 13(2), 14(3)",
    ),
    Measure(
        "SMD1", "mean difference in units of the second group's sd", "two groups",
        ("m1i", "m2i", "sd2i", "n1i", "n2i"), _glass,
        {"LS": _glass_large, "LS2": _glass_borenstein, "UB": _glass_unbiased, "AV": _glass_average}, _HEDGES,
    ),
    Measure(
        "ROM", "log ratio of means", "two groups", _TWO, _log_ratio,
        {"LS": _ratio_large, "HO": _ratio_pooled, "AV": _ratio_average, "AVHO": _ratio_one_average}, _RATIOS,
        back="exp",
    ),
    Measure(
        "CVR", "log ratio of coefficients of variation", "two groups", _TWO, _cv_ratio,
        {"LS": lambda c, y: _half(c["n1i"]) + _half(c["n2i"]) + _ratio_large(c, y)}, _NAKAGAWA, back="exp",
    ),
    Measure(
        "VR", "log ratio of standard deviations", "two groups", _SPREADS, _variability,
        {"LS": lambda c, y: _half(c["n1i"]) + _half(c["n2i"])}, _NAKAGAWA, back="exp",
    ),
    Measure(
        "MC", "mean change", "paired", _PAIR, _difference, {"LS": lambda c, y: _paired_variance(c) / c["ni"]},
        "Morris and DeShon 2002, Psychological Methods 7(1)",
    ),
    Measure(
        "SMCC", "standardised mean change, sd of changes", "paired", _PAIR, _change_in_changes,
        {"LS": _changes_large, "LS2": _with_factor(_changes_large)},
        "Gibbons, Hedeker and Davis 1993, Journal of Educational Statistics 18(3)",
    ),
    Measure(
        "SMCR", "standardised mean change, sd of the first measurement", "paired",
        ("m1i", "m2i", "sd1i", "ri", "ni"), _change_in_raw, {"LS": _raw_large, "LS2": _with_factor(_raw_large)},
        "Becker 1988, British Journal of Mathematical and Statistical Psychology 41(2)",
    ),
    Measure(
        "ROMC", "log ratio of means of pairs", "paired", _PAIR, _log_ratio, {"LS": _paired_ratio},
        "Lajeunesse 2011, Ecology 92(11)", back="exp",
    ),
    Measure(
        "VRC", "log ratio of standard deviations of pairs", "paired", ("sd1i", "sd2i", "ri", "ni"),
        lambda c: _log(c["sd1i"] / c["sd2i"]), {"LS": _paired_spread}, _NAKAGAWA, back="exp",
    ),
    Measure(
        "CVRC", "log ratio of coefficients of variation of pairs", "paired", _PAIR,
        lambda c: _log(_cv(c, "1") / _cv(c, "2")),
        {"LS": lambda c, y: _paired_spread(c, y) + _paired_ratio(c, y)}, _NAKAGAWA, back="exp",
    ),
    Measure(
        "MN", "mean", "one group", _ONE, lambda c: c["mi"], {"LS": lambda c, y: c["sdi"] ** 2 / c["ni"]}, _BORENSTEIN
    ),
    Measure(
        "MNLN", "log mean", "one group", _ONE, lambda c: _log(c["mi"]),
        {"LS": lambda c, y: c["sdi"] ** 2 / (c["ni"] * c["mi"] ** 2)}, _NAKAGAWA, back="exp",
    ),
    Measure(
        "SDLN", "log standard deviation", "one group", ("sdi", "ni"), lambda c: _log(c["sdi"]) + _half(c["ni"]),
        {"LS": lambda c, y: _half(c["ni"])}, _NAKAGAWA, back="exp",
    ),
    Measure(
        "CVLN", "log coefficient of variation", "one group", _ONE, lambda c: _log(c["sdi"] / c["mi"]) + _half(c["ni"]),
        {"LS": lambda c, y: _half(c["ni"]) + c["sdi"] ** 2 / (c["ni"] * c["mi"] ** 2)}, _NAKAGAWA, back="exp",
    ),
)  # fmt: skip
