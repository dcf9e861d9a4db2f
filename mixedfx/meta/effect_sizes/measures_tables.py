r"""Measures of 2x2 tables and of two rates.

The rows of a table are groups, its columns outcomes: a, b | c, d with row totals n1, n2. Functions of independent
binomial proportions p1 = a / n1 and p2 = c / n2 have the variance of the delta method, g1^2 p1 q1 / n1 + g2^2 p2 q2 /
n2: that is 1/a - 1/n1 + 1/c - 1/n2 for the log risk ratio, 1/a + 1/b + 1/c + 1/d for the log odds ratio L, and for
tanh(L / m), which Yule's Q (m = 2) and Y (m = 4) are, (1 - tanh^2)^2 / m^2 times it (Yule 1912, Journal of the Royal
Statistical Society 75(6)).

Peto's estimate (Yusuf, Peto, Lewis, Collins and Sleight 1985, Progress in Cardiovascular Diseases 27(5)) is (O - E) / V
with the moments of the hypergeometric distribution, E = x n1 / n and V = x y n1 n2 / (n^2 (n - 1)), where x = a + c and
y = b + d.

The phi coefficient is a correlation of two binary variables. Where only n is fixed (``"CS"``), its variance is that of
a correlation with the fourth moments of a table (Yule 1912); where the rows are fixed (``"ST"``), with w = n1 / n,
p = w p1 + (1 - w) p2 and phi = sqrt(w (1 - w)) (p1 - p2) / sqrt(p q), the delta method gives the slopes

    d phi / d p1 = sqrt(w (1 - w) / (p q)) [1 - w (p1 - p2) (1 - 2 p) / (2 p q)],

and that of p2 with the opposite sign and (1 - w) for -w.
"""

from __future__ import annotations

import numpy as np

from mixedfx.meta.measure import Array, Columns, Estimate, Measure, Variance, table, weighted_mean

_TABLE = ("ai", "bi", "ci", "di")
_RATES = ("x1i", "x2i", "t1i", "t2i")
_FLEISS = "Fleiss and Berlin 2009, in Cooper, Hedges and Valentine, The Handbook of Research Synthesis, ch. 13"
_ROTHMAN = "Rothman, Greenland and Lash 2008, Modern Epidemiology, ch. 14"


def _risks(c: Columns) -> tuple[Array, Array]:
    return c["ai"] / c["n1i"], c["ci"] / c["n2i"]


def _cells(c: Columns, y: Array) -> Array:
    return 1 / c["ai"] + 1 / c["bi"] + 1 / c["ci"] + 1 / c["di"]


def _log_risk_ratio(c: Columns) -> Array:
    p1, p2 = _risks(c)
    return np.log(p1) - np.log(p2)


def _log_odds_ratio(c: Columns) -> Array:
    return np.log(c["ai"]) + np.log(c["di"]) - np.log(c["bi"]) - np.log(c["ci"])


def _risk_difference(c: Columns) -> Array:
    p1, p2 = _risks(c)
    return p1 - p2


def _difference_variance(lost: int) -> Variance:
    def variance(c: Columns, y: Array) -> Array:
        p1, p2 = _risks(c)
        return p1 * (1 - p1) / (c["n1i"] - lost) + p2 * (1 - p2) / (c["n2i"] - lost)

    return variance


def _difference_variance_average(c: Columns, y: Array) -> Array:
    p1, p2 = (weighted_mean(p, n) for p, n in zip(_risks(c), (c["n1i"], c["n2i"]), strict=True))
    return p1 * (1 - p1) / c["n1i"] + p2 * (1 - p2) / c["n2i"]


def _arcsine(c: Columns) -> Array:
    p1, p2 = _risks(c)
    return np.arcsin(np.sqrt(p1)) - np.arcsin(np.sqrt(p2))


def peto(c: Columns) -> tuple[Array, Array, Array]:
    """Observed events in the first group, those expected, and their hypergeometric variance: (k,) each."""
    n1, n2 = c["n1i"], c["n2i"]
    n, x, y = n1 + n2, c["ai"] + c["ci"], c["bi"] + c["di"]
    return c["ai"], x * n1 / n, x * y * (n1 / n) * (n2 / n) / (n - 1)


def _peto(c: Columns) -> Array:
    observed, expected, variance = peto(c)
    return (observed - expected) / variance


def _phi(c: Columns) -> Array:
    a, b, cc, d = (c[name] for name in _TABLE)
    return (a * d - b * cc) / np.sqrt((a + b) * (cc + d) * (a + cc) * (b + d))


def _phi_multinomial(c: Columns, y: Array) -> Array:
    n = c["n1i"] + c["n2i"]
    r1, r2 = c["n1i"] / n, c["n2i"] / n
    k1, k2 = (c["ai"] + c["ci"]) / n, (c["bi"] + c["di"]) / n
    rows, columns = r1 * r2, k1 * k2
    skew = (r1 - r2) * (k1 - k2) / np.sqrt(rows * columns)
    spread = (r1 - r2) ** 2 / rows + (k1 - k2) ** 2 / columns
    return (1 - y**2 + y * (1 + y**2 / 2) * skew - 0.75 * y**2 * spread) / n


def _phi_stratified(c: Columns, y: Array) -> Array:
    (p1, p2), n1, n2 = _risks(c), c["n1i"], c["n2i"]
    w = n1 / (n1 + n2)
    p = w * p1 + (1 - w) * p2
    size, bend = np.sqrt(w * (1 - w) / (p * (1 - p))), (p1 - p2) * (1 - 2 * p) / (2 * p * (1 - p))
    first, second = size * (1 - w * bend), -size * (1 + (1 - w) * bend)
    return first**2 * p1 * (1 - p1) / n1 + second**2 * p2 * (1 - p2) / n2


def _yule(parts: int) -> tuple[Estimate, Variance]:
    def estimate(c: Columns) -> Array:
        return np.tanh(_log_odds_ratio(c) / parts)

    def variance(c: Columns, y: Array) -> Array:
        return ((1 - y**2) / parts) ** 2 * _cells(c, y)

    return estimate, variance


_Q, _VARIANCE_OF_Q = _yule(2)
_Y, _VARIANCE_OF_Y = _yule(4)

TABLES = table(
    Measure(
        "RR", "log risk ratio", "2x2 table", _TABLE, _log_risk_ratio,
        {"LS": lambda c, y: 1 / c["ai"] - 1 / c["n1i"] + 1 / c["ci"] - 1 / c["n2i"]}, _FLEISS, back="exp",
    ),
    Measure("OR", "log odds ratio", "2x2 table", _TABLE, _log_odds_ratio, {"LS": _cells}, _FLEISS, back="exp"),
    Measure(
        "RD", "risk difference", "2x2 table", _TABLE, _risk_difference,
        {"LS": _difference_variance(0), "UB": _difference_variance(1), "AV": _difference_variance_average}, _FLEISS,
    ),
    Measure(
        "AS", "difference of arcsine square roots of risks", "2x2 table", _TABLE, _arcsine,
        {"LS": lambda c, y: 1 / (4 * c["n1i"]) + 1 / (4 * c["n2i"])},
        "Rücker, Schwarzer, Carpenter and Olkin 2009, Statistics in Medicine 28(5)", add=0.0,
    ),
    Measure(
        "PETO", "Peto's log odds ratio", "2x2 table", _TABLE, _peto, {"LS": lambda c, y: 1 / peto(c)[2]},
        "Yusuf et al. 1985, Progress in Cardiovascular Diseases 27(5)", back="exp",
    ),
    Measure(
        "PHI", "phi coefficient", "2x2 table", _TABLE, _phi, {"CS": _phi_multinomial, "ST": _phi_stratified},
        "Yule 1912, Journal of the Royal Statistical Society 75(6)", add=0.0,
    ),
    Measure(
        "YUQ", "Yule's Q", "2x2 table", _TABLE, _Q, {"LS": _VARIANCE_OF_Q},
        "Yule 1912, Journal of the Royal Statistical Society 75(6)",
    ),
    Measure(
        "YUY", "Yule's Y", "2x2 table", _TABLE, _Y, {"LS": _VARIANCE_OF_Y},
        "Yule 1912, Journal of the Royal Statistical Society 75(6)",
    ),
    Measure(
        "IRR", "log incidence rate ratio", "two rates", _RATES,
        lambda c: np.log(c["x1i"] / c["t1i"]) - np.log(c["x2i"] / c["t2i"]),
        {"LS": lambda c, y: 1 / c["x1i"] + 1 / c["x2i"]}, _ROTHMAN, back="exp",
    ),
    Measure(
        "IRD", "incidence rate difference", "two rates", _RATES, lambda c: c["x1i"] / c["t1i"] - c["x2i"] / c["t2i"],
        {"LS": lambda c, y: c["x1i"] / c["t1i"] ** 2 + c["x2i"] / c["t2i"] ** 2}, _ROTHMAN,
    ),
    Measure(
        "IRSD", "difference of square roots of incidence rates", "two rates", _RATES,
        lambda c: np.sqrt(c["x1i"] / c["t1i"]) - np.sqrt(c["x2i"] / c["t2i"]),
        {"LS": lambda c, y: 1 / (4 * c["t1i"]) + 1 / (4 * c["t2i"])}, _ROTHMAN, add=0.0,
    ),
)  # fmt: skip
