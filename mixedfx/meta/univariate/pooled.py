r"""Mantel-Haenszel's and Peto's methods: one odds ratio, risk ratio or difference of many tables.

With cells a, b | c, d of a table, rows n1, n2 and n in all, Mantel and Haenszel's (1959) estimates are ratios of sums,

    OR: sum a d / n  over  sum b c / n,      RR: sum a n2 / n  over  sum c n1 / n,
    RD: sum (a n2 - c n1) / n  over  sum n1 n2 / n,

with the variances of Robins, Breslow and Greenland (1986, Biometrics 42(2)) for log OR, of Greenland and Robins (1985,
Biometrics 41(1)) for log RR, of Sato, Greenland and Robins (1989, Biometrics 45(4)) for RD. Rates of x events in time t
have the same with t for n (Rothman, Greenland and Lash 2008, Modern Epidemiology, ch. 15). Cells of zero need no
constant there. Peto's log odds ratio is sum (O - E) / sum V (`mixedfx.meta.effect_sizes.measures_tables`).

That all odds ratios are 1 is tested by Cochran, Mantel and Haenszel's statistic (|sum O - E| - 1/2)^2 / sum V; that
they are one by Breslow and Day's sum of squared deviations from the counts A that the common odds ratio psi lets
expect, A (n2 - m + A) = psi (n1 - A)(m - A) with m = a + c, over their variances, less Tarone's (1985, Biometrika
72(1)) term.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError, check_flag, check_level, check_option
from mixedfx.meta.effect_sizes.escalc import check_columns, computed
from mixedfx.meta.effect_sizes.layouts import LAYOUTS, To, checked, constant, with_constant
from mixedfx.meta.effect_sizes.measures import find_measure
from mixedfx.meta.effect_sizes.measures_tables import peto
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.measure import Array, Columns
from mixedfx.meta.reading import fetched, numbers
from mixedfx.meta.univariate.rma_report import critical_value, transformed
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.tables import fixed_table

PooledMeasure = Literal["OR", "RR", "RD", "IRR", "IRD"]


@dataclass(frozen=True, eq=False, repr=False)
class PooledFit:
    """One effect of many tables, as `mixedfx.rma_mh` and `mixedfx.rma_peto` return it.

    Attributes
    ----------
    method
        ``"Mantel-Haenszel"`` or ``"Peto"``.
    measure
        Of the effect.
    estimate, std_error
        The effect and its standard error, on the scale of `measure`.
    yi, vi
        (k,) effects of the single studies; NaN where a study has none.
    tests
        test, statistic, df, p_value: heterogeneity (Q), no effect in any study (Cochran, Mantel and Haenszel), one odds
        ratio (Breslow and Day, without and with Tarone's term).
    level
        Confidence level.
    """

    method: str
    measure: str
    estimate: float
    std_error: float
    yi: Array
    vi: Array
    tests: pd.DataFrame
    level: float

    @property
    def k(self) -> int:
        """Studies that have an effect of their own."""
        return int(np.isfinite(self.yi).sum())

    @property
    def QE(self) -> float:
        """Cochran's Q around the common effect."""
        return float(self.tests["statistic"].to_numpy()[0])

    @property
    def i2(self) -> float:
        """Share of heterogeneity in the variance of effects, in per cent."""
        return max(0.0, 100 * (self.QE - (self.k - 1)) / self.QE) if self.QE > 0 else 0.0

    @property
    def h2(self) -> float:
        """Q over its degrees of freedom."""
        return self.QE / (self.k - 1) if self.k > 1 else 1.0

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """The effect in broom's columns."""
        beta, vcov = np.array([self.estimate]), np.array([[self.std_error**2]])
        return fixed_table((self.measure,), beta, vcov, np.inf, self.level if level is None else level)

    def predict(
        self, level: float | None = None, transf: str | Callable[[Array], Array] | None = None
    ) -> pd.DataFrame:  # fmt: skip
        """The effect and its confidence interval: estimate, conf_low, conf_high, on another scale where `transf`."""
        level = self.level if level is None else level
        check_level(level)
        half = critical_value(np.inf, level) * self.std_error
        columns = {"estimate": [self.estimate], "conf_low": [self.estimate - half], "conf_high": [self.estimate + half]}
        return transformed(pd.DataFrame(columns), find_back(transf))

    def glance(self) -> pd.DataFrame:
        """One row: k, QE, its p value, I2, H2, method, measure."""
        row = {
            "k": self.k,
            "QE": self.QE,
            "QE_p_value": self.tests["p_value"].to_numpy()[0],
            "I2": self.i2,
            "H2": self.h2,
        }
        return pd.DataFrame([row | {"method": self.method, "measure": self.measure}])

    def summary(self) -> SummaryContent:
        """Everything on one page."""
        entry = find_measure(self.measure)
        blocks: list[SummaryFacts | SummaryTable] = [
            SummaryFacts((("Measure", entry.title), ("Heterogeneity", f"I2 = {self.i2:.1f} %, H2 = {self.h2:.2f}"))),
            frame_table(self.tests, "Tests"),
            frame_table(self.tidy().drop(columns=["df", "term"]), "Effect"),
        ]
        if entry.back == "exp":
            blocks.append(frame_table(self.predict(transf="exp"), "As a ratio"))
        return SummaryContent(f"{self.method}'s method, {len(self.yi)} studies", tuple(blocks))

    def __repr__(self) -> str:
        return f"<PooledFit {self.method} {self.measure}: {self.estimate:.4f} ({self.std_error:.4f}), {self.k} studies>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def rma_mh(
    measure: PooledMeasure,
    data: Any = None,
    *,
    level: float = 0.95,
    correct: bool = True,
    add: float = 0.0,
    to: To = "only0",
    **columns: Any,
) -> PooledFit:
    """Estimate a common effect of 2x2 tables or rates by Mantel and Haenszel's method.

    Parameters
    ----------
    measure
        ``"OR"``, ``"RR"``, ``"RD"`` of tables; ``"IRR"``, ``"IRD"`` of rates. Ratios are on the scale of logarithms.
    data
        Any data frame.
    level
        Confidence level.
    correct
        Whether Cochran, Mantel and Haenszel's test has the correction for continuity.
    add, to
        A constant added to the cells of the pooled tables, where `to` says as in `mixedfx.escalc`. None is needed;
        effects of single studies, of which heterogeneity is computed, have 1/2 added where a cell is zero.
    **columns
        As in `mixedfx.escalc`: ai, bi, ci, di (or n1i, n2i); x1i, x2i, t1i, t2i.

    Returns
    -------
    PooledFit

    Raises
    ------
    ModelError
        No study has an event in the groups that a ratio needs.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> trials = pd.DataFrame({"ai": [4, 6, 3], "bi": [119, 300, 228], "ci": [11, 29, 11], "di": [128, 274, 209]})
    >>> mx.rma_mh("OR", trials, ai="ai", bi="bi", ci="ci", di="di").predict(transf="exp").round(3)
       estimate  conf_low  conf_high
    0     0.243     0.131      0.452
    """
    check_option("measure", measure, ("OR", "RR", "RD", "IRR", "IRD"))
    check_level(level)
    check_flag("correct", correct)
    c, yi, vi = _read(measure, data, columns, add, to)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = _POOLED[measure](c)
    if not (np.isfinite(estimate) and np.isfinite(variance)):
        raise ModelError(
            f"there are no events from which to estimate {measure}", hint="Use measure='RD', or mixedfx.rma_peto."
        )
    tests = [_heterogeneity(yi, vi, estimate)]
    if measure in ("OR", "IRR"):
        tests.append(_no_effect(c, correct))
    if measure == "OR":
        tests += _one_odds_ratio(c, float(np.exp(estimate)))
    return PooledFit("Mantel-Haenszel", measure, estimate, float(np.sqrt(variance)), yi, vi, _table(tests), level)


def rma_peto(
    data: Any = None, *, level: float = 0.95, add: float = 0.0, to: To = "only0", **columns: Any
) -> PooledFit:  # fmt: skip
    """Estimate a common log odds ratio of 2x2 tables by Peto's method.

    Parameters
    ----------
    data
        Any data frame.
    level
        Confidence level.
    add, to
        A constant added to the cells of the pooled tables, as in `rma_mh`.
    **columns
        ai, bi, ci, di (or n1i, n2i), as in `mixedfx.escalc`.

    Returns
    -------
    PooledFit

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> trials = pd.DataFrame({"ai": [4, 6, 3], "bi": [119, 300, 228], "ci": [11, 29, 11], "di": [128, 274, 209]})
    >>> mx.rma_peto(trials, ai="ai", bi="bi", ci="ci", di="di")
    <PooledFit Peto PETO: -1.2373 (0.2566), 3 studies>
    """
    check_level(level)
    c, yi, vi = _read("PETO", data, columns, add, to)
    observed, expected, variance = peto(c)
    total = float(variance.sum())
    if total <= 0:
        raise ModelError("there are no events from which to estimate an odds ratio")
    estimate = float((observed - expected).sum() / total)
    tests = [_heterogeneity(yi, vi, estimate)]
    return PooledFit("Peto", "PETO", estimate, 1 / np.sqrt(total), yi, vi, _table(tests), level)


def _read(
    measure: str, data: Any, columns: dict[str, Any], add: float, to: To
) -> tuple[dict[str, Array], Array, Array]:  # fmt: skip
    """Complete cells of the studies, and the effects and variances of those that have events."""
    add = constant(add)
    check_option("to", to, get_args(To))
    entry = find_measure(measure)
    layout = LAYOUTS[entry.layout]
    given = {name: value for name, value in columns.items() if value is not None}
    check_columns(entry, layout, given)
    frame, labels = fetched(data, given)
    found = checked(layout, {name: numbers(value, frame, labels, name) for name, value in given.items()})
    rows = np.all([np.isfinite(found[name]) for name in entry.needs], axis=0)
    if not rows.any():
        raise ModelError("no study is complete")
    found = with_constant(layout, {name: value[rows] for name, value in found.items()}, 0.0, "none", False)
    own: tuple[float, To] = (add, to) if measure == "PETO" else (0.5, "only0")  # Peto's Q is that of the pooled tables
    dropped = with_constant(layout, found, *own, True)
    yi, vi = computed(entry, dropped, next(iter(entry.variances)))
    return with_constant(layout, found, add, to, False), yi, vi


def _odds_ratio(c: Columns) -> tuple[float, float]:
    a, b, cc, d = (c[name] for name in ("ai", "bi", "ci", "di"))
    n = a + b + cc + d
    P, Q, R, S = (a + d) / n, (b + cc) / n, a * d / n, b * cc / n
    r, s = R.sum(), S.sum()
    variance = ((P * R).sum() / r**2 + (P * S + Q * R).sum() / (r * s) + (Q * S).sum() / s**2) / 2
    return float(np.log(r / s)), float(variance)


def _risk_ratio(c: Columns) -> tuple[float, float]:
    a, cc, n1, n2 = c["ai"], c["ci"], c["n1i"], c["n2i"]
    n = n1 + n2
    r, s = (a * n2 / n).sum(), (cc * n1 / n).sum()
    return float(np.log(r / s)), float(((n1 * n2 * (a + cc) - a * cc * n) / n**2).sum() / (r * s))


def _risk_difference(c: Columns) -> tuple[float, float]:
    a, cc, n1, n2 = c["ai"], c["ci"], c["n1i"], c["n2i"]
    n = n1 + n2
    weight = (n1 * n2 / n).sum()
    estimate = ((a * n2 - cc * n1) / n).sum() / weight
    P = ((n1 / n) ** 2 * cc - (n2 / n) ** 2 * a + (n1 / n) * (n2 / n) * (n2 - n1) / 2).sum()
    Q = ((a * (n2 - cc) + cc * (n1 - a)) / n).sum() / 2
    return float(estimate), float((estimate * P + Q) / weight**2)


def _rate_ratio(c: Columns) -> tuple[float, float]:
    x1, x2, t1, t2 = c["x1i"], c["x2i"], c["t1i"], c["t2i"]
    t = t1 + t2
    r, s = (x1 * t2 / t).sum(), (x2 * t1 / t).sum()
    return float(np.log(r / s)), float((t1 * t2 * (x1 + x2) / t**2).sum() / (r * s))


def _rate_difference(c: Columns) -> tuple[float, float]:
    x1, x2, t1, t2 = c["x1i"], c["x2i"], c["t1i"], c["t2i"]
    t = t1 + t2
    weight = (t1 * t2 / t).sum()
    estimate = ((x1 * t2 - x2 * t1) / t).sum() / weight
    return float(estimate), float(((x1 * t2**2 + x2 * t1**2) / t**2).sum() / weight**2)


_POOLED: dict[str, Callable[[Columns], tuple[float, float]]] = {
    "OR": _odds_ratio, "RR": _risk_ratio, "RD": _risk_difference, "IRR": _rate_ratio, "IRD": _rate_difference
}  # fmt: skip

_Row = tuple[str, float, int, float]


def _heterogeneity(yi: Array, vi: Array, estimate: float) -> _Row:
    from scipy import special

    known = np.isfinite(yi) & (vi > 0)
    Q, df = float(((yi[known] - estimate) ** 2 / vi[known]).sum()), int(known.sum()) - 1
    return "Heterogeneity", Q, max(df, 0), float(special.chdtrc(df, Q)) if df > 0 else 1.0


def _no_effect(c: Columns, correct: bool) -> _Row:
    from scipy import special

    if "ai" in c:
        observed, expected, variance = peto(c)
    else:
        total, t = c["x1i"] + c["x2i"], c["t1i"] + c["t2i"]
        observed, expected = c["x1i"], total * c["t1i"] / t
        variance = total * (c["t1i"] / t) * (c["t2i"] / t)
    away = abs(float((observed - expected).sum()))
    statistic = (away - (0.5 if correct else 0.0)) ** 2 / float(variance.sum())
    return "No effect (Cochran-Mantel-Haenszel)", statistic, 1, float(special.chdtrc(1, statistic))


def _one_odds_ratio(c: Columns, psi: float) -> list[_Row]:
    """Breslow and Day's test without and with Tarone's term; studies without events, or all events, say nothing."""
    from scipy import special

    m = c["ai"] + c["ci"]
    rows = (m > 0) & (c["bi"] + c["di"] > 0)
    a, m, n1, n2 = c["ai"][rows], m[rows], c["n1i"][rows], c["n2i"][rows]
    # (1 - psi) A^2 + (n2 - m + psi (n1 + m)) A - psi n1 m = 0
    linear = n2 - m + psi * (n1 + m)
    root = np.sqrt(linear**2 + 4 * (1 - psi) * psi * n1 * m)
    A = 2 * psi * n1 * m / (linear + root)
    variance = 1 / (1 / A + 1 / (n1 - A) + 1 / (m - A) + 1 / (n2 - m + A))
    plain = float(((a - A) ** 2 / variance).sum())
    tarone = plain - float((a - A).sum() ** 2 / variance.sum())
    df = len(a) - 1
    if df < 1:
        return []
    return [
        ("One odds ratio (Breslow-Day)", plain, df, float(special.chdtrc(df, plain))),
        ("One odds ratio (with Tarone's term)", tarone, df, float(special.chdtrc(df, tarone))),
    ]


def _table(rows: list[_Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["test", "statistic", "df", "p_value"])
