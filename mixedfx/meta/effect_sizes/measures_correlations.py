r"""Measures of association, of proportions and rates of one group, and of reliability.

The correlation r of n pairs has the large-sample variance (1 - r^2)^2 / (n - 1). With F the hypergeometric function,

    r F(1/2, 1/2; (n - 2) / 2; 1 - r^2)   is unbiased for rho, and
    1 - (n - 3) / (n - 2) (1 - r^2) F(1, 1; n / 2; 1 - r^2)   for rho^2

(Olkin and Pratt 1958, Annals of Mathematical Statistics 29(1)), so that the square of the first less the second is an
unbiased estimate of its variance (Hedges 1989, Journal of Applied Psychology 74(3)); `"UB"` of the raw correlation has
r in the place of the first, and may be negative. A partial correlation from a regression on m predictors has n - m - 1
degrees of freedom, and its variances have these for n - 1, that of z too (Aloe and Thompson 2013).

Freeman and Tukey's (1950, Annals of Mathematical Statistics 21(4)) double arcsine is the mean of asin sqrt(x / (n + 1))
and asin sqrt((x + 1) / (n + 1)). Coefficient alpha of m items has -log(1 - alpha) of variance 2 m / ((m - 1) (n - 2))
(Bonett 2002, Journal of Educational and Behavioral Statistics 27(4)).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from mixedfx.meta.measure import Array, Columns, Measure, Variance, table, weighted_mean

_PAIRS = ("ri", "ni")
_PARTIAL = ("ti", "ni", "mi")
_PROPORTION = ("xi", "mi", "ni")
_RATE = ("xi", "ti")
_ALPHA = ("ai", "mi", "ni")
_OLKIN = (
    "Olkin and Pratt 1958, Annals of Mathematical Statistics 29(1); Hedges 1989, Journal of Applied Psychology 74(3)"
)
_ALOE = "Aloe and Thompson 2013, Journal of the Society for Social Work and Research 4(4)"
_FREEMAN = "Freeman and Tukey 1950, Annals of Mathematical Statistics 21(4)"
_BONETT = "Bonett 2002, Journal of Educational and Behavioral Statistics 27(4); 2010, Psychological Methods 15(4)"
_FLEISS = "Fleiss and Berlin 2009, in Cooper, Hedges and Valentine, The Handbook of Research Synthesis, ch. 13"


def unbiased_correlation(r: Array, n: Array) -> Array:
    """(k,) Olkin and Pratt's estimate of rho; NaN for n below 5."""
    return np.where(n > 4, r * special.hyp2f1(0.5, 0.5, (n - 2) / 2, 1 - r**2), np.nan)


def _unbiased_square(r: Array, n: Array) -> Array:
    """(k,) unbiased estimate of rho^2."""
    found = 1 - (n - 3) / (n - 2) * (1 - r**2) * special.hyp2f1(1.0, 1.0, n / 2, 1 - r**2)
    return np.where(n > 4, found, np.nan)


def _correlation_large(c: Columns, y: Array) -> Array:
    return (1 - y**2) ** 2 / (c["ni"] - 1)


def _correlation_average(c: Columns, y: Array) -> Array:
    return (1 - weighted_mean(y, c["ni"]) ** 2) ** 2 / (c["ni"] - 1)


def _correlation_unbiased(c: Columns, y: Array) -> Array:
    return y**2 - _unbiased_square(c["ri"], c["ni"])


_CORRELATION: dict[str, Variance] = {
    "LS": _correlation_large, "UB": _correlation_unbiased, "AV": _correlation_average
}  # fmt: skip


def _partial(c: Columns) -> Array:
    return c["ti"] / np.sqrt(c["ti"] ** 2 + _partial_df(c))


def _partial_df(c: Columns) -> Array:
    return c["ni"] - c["mi"] - 1


def _partial_large(c: Columns, y: Array) -> Array:
    return (1 - y**2) ** 2 / _partial_df(c)


def _partial_average(c: Columns, y: Array) -> Array:
    return (1 - weighted_mean(y, c["ni"]) ** 2) ** 2 / _partial_df(c)


def _share(c: Columns) -> Array:
    return c["xi"] / c["ni"]


def _average_share(c: Columns) -> float:
    return weighted_mean(_share(c), c["ni"])


def _share_variance(lost: int) -> Variance:
    return lambda c, y: _share(c) * (1 - _share(c)) / (c["ni"] - lost)


def _share_average(c: Columns, y: Array) -> Array:
    p = _average_share(c)
    return p * (1 - p) / c["ni"]


def _log_share_average(c: Columns, y: Array) -> Array:
    return 1 / (c["ni"] * _average_share(c)) - 1 / c["ni"]


def _logit_average(c: Columns, y: Array) -> Array:
    p = _average_share(c)
    return 1 / (c["ni"] * p) + 1 / (c["ni"] * (1 - p))


def double_arcsine(x: Array, n: Array) -> Array:
    """(k,) Freeman and Tukey's transformation of x of n."""
    return (np.arcsin(np.sqrt(x / (n + 1))) + np.arcsin(np.sqrt((x + 1) / (n + 1)))) / 2


def _items(c: Columns) -> Array:
    return c["mi"] / ((c["mi"] - 1) * (c["ni"] - 2))


CORRELATIONS = table(
    Measure("COR", "correlation", "correlation", _PAIRS, lambda c: c["ri"], _CORRELATION, _OLKIN),
    Measure(
        "UCOR", "unbiased correlation", "correlation", _PAIRS, lambda c: unbiased_correlation(c["ri"], c["ni"]),
        _CORRELATION, _OLKIN,
    ),
    Measure(
        "ZCOR", "Fisher's z of a correlation", "correlation", _PAIRS, lambda c: np.arctanh(c["ri"]),
        {"LS": lambda c, y: 1 / (c["ni"] - 3)}, "Fisher 1921, Metron 1", back="tanh",
    ),
    Measure(
        "PCOR", "partial correlation", "partial correlation", _PARTIAL, _partial,
        {"LS": _partial_large, "AV": _partial_average}, _ALOE,
    ),
    Measure(
        "ZPCOR", "Fisher's z of a partial correlation", "partial correlation", _PARTIAL,
        lambda c: np.arctanh(_partial(c)), {"LS": lambda c, y: 1 / _partial_df(c)}, _ALOE, back="tanh",
    ),
)  # fmt: skip

ONE_GROUP = table(
    Measure(
        "PR", "proportion", "proportion", _PROPORTION, _share,
        {"LS": _share_variance(0), "UB": _share_variance(1), "AV": _share_average}, _FLEISS,
    ),
    Measure(
        "PLN", "log proportion", "proportion", _PROPORTION, lambda c: np.log(_share(c)),
        {"LS": lambda c, y: 1 / c["xi"] - 1 / c["ni"], "AV": _log_share_average}, _FLEISS, back="exp",
    ),
    Measure(
        "PLO", "logit of a proportion", "proportion", _PROPORTION, lambda c: np.log(c["xi"] / c["mi"]),
        {"LS": lambda c, y: 1 / c["xi"] + 1 / c["mi"], "AV": _logit_average}, _FLEISS, back="expit",
    ),
    Measure(
        "PAS", "arcsine square root of a proportion", "proportion", _PROPORTION,
        lambda c: np.arcsin(np.sqrt(_share(c))), {"LS": lambda c, y: 1 / (4 * c["ni"])}, _FLEISS, add=0.0,
        back="sin_squared",
    ),
    Measure(
        "PFT", "double arcsine of a proportion", "proportion", _PROPORTION,
        lambda c: double_arcsine(c["xi"], c["ni"]), {"LS": lambda c, y: 1 / (4 * c["ni"] + 2)}, _FREEMAN, add=0.0,
    ),
    Measure(
        "IR", "incidence rate", "rate", _RATE, lambda c: c["xi"] / c["ti"],
        {"LS": lambda c, y: c["xi"] / c["ti"] ** 2}, _FLEISS,
    ),
    Measure(
        "IRLN", "log incidence rate", "rate", _RATE, lambda c: np.log(c["xi"] / c["ti"]),
        {"LS": lambda c, y: 1 / c["xi"]}, _FLEISS, back="exp",
    ),
    Measure(
        "IRS", "square root of an incidence rate", "rate", _RATE, lambda c: np.sqrt(c["xi"] / c["ti"]),
        {"LS": lambda c, y: 1 / (4 * c["ti"])}, _FLEISS, add=0.0, back="square",
    ),
    Measure(
        "IRFT", "Freeman and Tukey's transformation of an incidence rate", "rate", _RATE,
        lambda c: (np.sqrt(c["xi"] / c["ti"]) + np.sqrt((c["xi"] + 1) / c["ti"])) / 2,
        {"LS": lambda c, y: 1 / (4 * c["ti"])}, _FREEMAN, add=0.0,
    ),
)  # fmt: skip

RELIABILITY = table(
    Measure(
        "ARAW", "coefficient alpha", "reliability", _ALPHA, lambda c: c["ai"],
        {"LS": lambda c, y: 2 * _items(c) * (1 - y) ** 2}, _BONETT,
    ),
    Measure(
        "AHW", "1 - (1 - alpha)^(1/3)", "reliability", _ALPHA, lambda c: 1 - np.cbrt(1 - c["ai"]),
        {"LS": lambda c, y: 18 * c["mi"] * (c["ni"] - 1) * (1 - y) ** 2 / ((c["mi"] - 1) * (9 * c["ni"] - 11) ** 2)},
        "Hakstian and Whalen 1976, Psychometrika 41(2)", back="cube_complement",
    ),
    Measure(
        "ABT", "-log(1 - alpha)", "reliability", _ALPHA, lambda c: -np.log1p(-c["ai"]),
        {"LS": lambda c, y: 2 * _items(c)}, _BONETT, back="exp_complement",
    ),
)  # fmt: skip
