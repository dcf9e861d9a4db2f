r"""Checks of a fitted linear mixed model, one function for each question; `mixedfx.inference.findings` makes the page.

Every test looks at conditional residuals divided by their own standard deviation, sigma sqrt(1 - h), or at modes
divided by theirs, so that unequal groups and leverage are not mistaken for outliers. Each has the size `ALPHA`, divided
by the number of places it looks at, and a defect must also be large enough to matter where rows are many.

* Shape of the residuals: tests of skewness and kurtosis (D'Agostino 1970; Anscombe & Glynn 1983).
* Spread: the score test of Koenker (1981), n R^2 of squared residuals on the fitted values and each column of X; and
  Brown & Forsythe (1974) between the levels of each grouping factor.
* Outlying groups: the largest distance of a standardised mode from their median in units of their median absolute
  deviation, which an outlier does not inflate; its distribution under normality is simulated.
* Omitted slopes: with s = Z_c'Py / sigma for a column c of X whose effect does not vary over g in the model, s's is a
  quadratic form with weights the eigenvalues of Z_c'PZ_c if its variance is zero (the score test of a variance
  component, Lin 1997, Biometrika 84:309); its distribution by four moments (Liu, Tang & Zhang 2009).
* Collinearity: variance inflation from the correlation of the estimated coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.grouping import rows_of
from mixedfx.errors import OptionError
from mixedfx.inference.findings import Finding
from mixedfx.inference.response_kind import other_model, two_valued
from mixedfx.inference.robust import cluster_codes
from mixedfx.pls.projection import Projection

Vector = NDArray[np.float64]

ALPHA = 0.005  # size of each check: a clean fit passes all of them about 97 times in 100
SKEWED, HEAVY = 0.3, 0.6  # skewness and excess kurtosis from which conclusions may change
UNEQUAL = 1.3  # ratio of residual standard deviations from which conclusions may change
INFLATED = 10.0  # variance inflation factor worth a note
MOST_LEVELS = 2000  # of a grouping factor whose omitted slopes are tested with its dense (q, q) matrix
SIMULATIONS = 4000
TWO = "a response of two values has residuals of two: see the kind of response"
SMALL = "; seen for certain, but too little to change conclusions"


@dataclass(frozen=True, eq=False)
class CheckInput:
    """A fit as the checks see it.

    Attributes
    ----------
    projection
        Rows of the fit.
    sigma
        Residual standard deviation.
    factors
        For each random term its (k, k) relative covariance factor.
    """

    projection: Projection
    sigma: float
    factors: Sequence[Vector]

    @property
    def response(self) -> Vector:
        """(n,) the response as modelled."""
        return self.projection.design.y

    @cached_property
    def residual(self) -> Vector:
        """(n,) standardised conditional residuals."""
        rest = np.sqrt(np.clip(1.0 - self.projection.leverage, 1e-8, None))
        return self.projection.residual / (self.sigma * rest)

    @cached_property
    def fitted(self) -> Vector:
        """(n,) fitted values."""
        design = self.projection.design
        return design.y - design.precision.color(self.projection.residual)

    @cached_property
    def modes(self) -> list[Vector]:
        """For each random term (q, k) modes in units of their standard deviations; NaN where a mode cannot vary."""
        design, joint = self.projection.design, self.projection.joint
        out = []
        for t, (term, T) in enumerate(zip(design.random, self.factors, strict=True)):
            start, stop = design.starts[t : t + 2]
            prior = self.sigma**2 * (T**2).sum(axis=1)
            own = np.arange(stop - start)
            rows = sparse.csr_array((np.ones(len(own)), (own, own + start)), shape=(len(own), design.n_random))
            error = joint.variances(np.zeros((len(own), len(joint.beta))), rows)
            variance = prior - error.reshape(term.n_levels, term.n_columns)
            known = variance > 1e-6 * prior
            modes = joint.u[start:stop].reshape(term.n_levels, term.n_columns)
            out.append(np.where(known, modes / np.sqrt(np.where(known, variance, 1.0)), np.nan))
        return out


def residual_shape(given: CheckInput) -> Finding:
    """Skewness and tails of the residuals."""
    from scipy import stats

    r = given.residual
    if len(r) < 20:
        return Finding("normality of residuals", "ok", f"{len(r)} rows are too few to tell")
    if two_valued(given.response):
        return Finding("normality of residuals", "ok", TWO)
    skew, kurtosis = float(stats.skew(r)), float(stats.kurtosis(r))
    p = min(1.0, 2 * min(float(stats.skewtest(r).pvalue), float(stats.kurtosistest(r).pvalue)))
    seen = f"skewness {skew:.2f}, excess kurtosis {kurtosis:.2f}"
    if p >= ALPHA or (abs(skew) < SKEWED and abs(kurtosis) < HEAVY):
        return Finding("normality of residuals", "ok", seen + SMALL * (p < ALPHA), p_value=p)
    what = "tails are heavier than normal" if kurtosis >= HEAVY else "the distribution is not normal"
    if abs(skew) >= SKEWED:
        what = "the distribution is skewed" if kurtosis < HEAVY else "skewed, with heavy tails"
    return Finding(
        "normality of residuals", "problem", f"{what}: {seen}",
        "Averages are little affected, but prediction intervals and single outlying rows are. Look at the rows with "
        f"the largest residuals; {other_model(given.response)}.",
        p,
    )  # fmt: skip


def spread(given: CheckInput) -> Finding:
    """Whether the residual variance changes with the fitted values or a column of X."""
    from scipy import stats

    if two_valued(given.response):
        return Finding("constant variance", "ok", TWO)
    design, squares = given.projection.design, given.residual**2
    places = [("fitted values", given.fitted)]
    places += [(name, design.X[:, j]) for j, name in enumerate(design.fixed_names) if np.ptp(design.X[:, j]) > 0]
    centred = squares - squares.mean()
    p_values, ratios = [], []
    for _, x in places:
        x = x - x.mean()
        length = np.sqrt(x @ x)
        correlation = 0.0 if length == 0 else float(centred @ x / length / np.sqrt(centred @ centred))
        p_values.append(float(stats.chi2.sf(len(x) * correlation**2, 1)))
        ratios.append(_ratio_of_spread(squares, x))
    k = int(np.argmin(p_values))
    p = min(1.0, p_values[k] * len(places))
    seen = f"residual sd differs by a factor of {ratios[k]:.2f} between low and high {places[k][0]}"
    if p >= ALPHA or ratios[k] < UNEQUAL:
        return Finding("constant variance", "ok", seen + SMALL * (p < ALPHA), p_value=p)
    return Finding(
        "constant variance", "problem", seen,
        f"Standard errors are too small where the spread is large. {_robust(given)}Model the variance by weights=, or "
        "transform the response.",
        p,
    )  # fmt: skip


def _robust(given: CheckInput) -> str:
    """A sentence of advice; a robust covariance needs a grouping factor in which all others are nested."""
    try:
        cluster_codes(given.projection.design, None)
    except OptionError:
        return ""
    return "Give tests vcov=fit.vcov_robust(). "


def _ratio_of_spread(squares: Vector, x: Vector) -> float:
    """Residual sd in the upper over that in the lower third of x, the larger over the smaller."""
    low, high = np.quantile(x, [1 / 3, 2 / 3])
    a, b = squares[x <= low].mean(), squares[x >= high].mean()
    return float(np.sqrt(max(a, b) / max(min(a, b), 1e-300)))


def spread_between_groups(given: CheckInput) -> Finding:
    """Whether the residual variance differs between the levels of a grouping factor."""
    from scipy import stats

    if two_valued(given.response):
        return Finding("variance between groups", "ok", TWO)
    r = given.residual
    p_values: dict[str, float] = {}
    ratio: dict[str, float] = {}
    for label, codes, q in _groupings(given):
        groups = [np.abs(r[rows] - np.median(r[rows])) for rows in rows_of(codes, q) if len(rows) >= 5]
        if len(groups) < 2:
            continue
        p_values[label] = float(stats.f_oneway(*groups).pvalue)
        means = np.array([g.mean() for g in groups])
        ratio[label] = float(np.quantile(means, 0.9) / max(np.quantile(means, 0.1), 1e-300))
    if not p_values:
        return Finding("variance between groups", "ok", "no grouping factor with five rows in two of its levels")
    label = min(p_values, key=lambda g: p_values[g])
    p = min(1.0, p_values[label] * len(p_values))
    seen = f"residual spread in the 10 % widest over the 10 % narrowest levels of {label}: {ratio[label]:.2f}"
    if p >= ALPHA:
        return Finding("variance between groups", "ok", seen, p_value=p)
    return Finding(
        "variance between groups", "problem", seen,
        f"Levels of {label} with a wide spread get too much weight. {_robust(given)}Model the variance by weights=.",
        p,
    )  # fmt: skip


def _groupings(given: CheckInput) -> list[tuple[str, NDArray[np.intp], int]]:
    seen = {t.label: (t.label, t.codes, t.n_levels) for t in given.projection.design.random}
    return list(seen.values())


def outlying_groups(given: CheckInput) -> Finding:
    """Levels whose mode is too far from the others'."""
    places: list[tuple[float, float, str, str]] = []
    for term, modes in zip(given.projection.design.random, given.modes, strict=True):
        for c, column in enumerate(term.columns):
            z = modes[:, c]
            known = np.flatnonzero(np.isfinite(z))
            if len(known) < 6:
                continue
            distance = _robust_distance(z[known])
            worst = int(np.argmax(distance))
            p = _outlier_p_value(float(distance[worst]), len(known))
            places.append((p, float(distance[worst]), f"{term.label} {term.levels[known[worst]]}", column))
    if not places:
        return Finding("outlying groups", "ok", _untold(given, 6))
    p, distance, level, column = min(places)
    p = min(1.0, p * len(places))
    seen = f"the farthest is {level} ({column}), {distance:.1f} robust standard deviations from the median"
    if p >= ALPHA:
        return Finding("outlying groups", "ok", seen, p_value=p)
    return Finding(
        "outlying groups", "problem", seen,
        f"One level widens the variance for all and pulls its neighbours. Look at the data of {level}, and fit without "
        "it: fit.influence(by=...) says what changes.",
        p,
    )  # fmt: skip


def _untold(given: CheckInput, least: int) -> str:
    """Why no column of a random term has `least` modes to look at: too few levels, or effects that do not vary."""
    zero: dict[str, None] = {}
    few: dict[str, int] = {}
    for term, modes in zip(given.projection.design.random, given.modes, strict=True):
        for column, known in zip(term.columns, np.isfinite(modes).sum(axis=0), strict=True):
            if known == 0:
                zero[f"{term.label} ({column})"] = None
            else:
                few[term.label] = max(few.get(term.label, 0), int(known))
    parts = [f"fewer than {least} levels to look at: {', '.join(f'{g} ({n})' for g, n in few.items())}"] if few else []
    if zero:
        parts.append(f"the estimated variance of {', '.join(zero)} is zero, so there are no effects to look at")
    return "; ".join(parts)


def _robust_distance(z: Vector) -> Vector:
    centre = np.median(z, axis=-1, keepdims=True)
    deviation = np.abs(z - centre)
    return deviation / np.maximum(1.4826 * np.median(deviation, axis=-1, keepdims=True), 1e-12)


def _outlier_p_value(distance: float, q: int) -> float:
    """Share of normal samples of q whose largest robust distance is at least this; Bonferroni's bound for q > 1000."""
    from scipy import stats

    if q > 1000:
        return float(min(1.0, q * 2 * stats.norm.sf(distance)))
    return float((1 + (_largest_distances(q) >= distance).sum()) / (1 + SIMULATIONS))


@cache
def _largest_distances(q: int) -> Vector:
    """(SIMULATIONS,) largest robust distances in normal samples of q."""
    z = np.random.default_rng(q).standard_normal((SIMULATIONS, q))
    return _robust_distance(z).max(axis=1)


def mode_shape(given: CheckInput) -> Finding:
    """Skewness and tails of the modes."""
    from scipy import stats

    places: list[tuple[float, str]] = []
    for term, modes in zip(given.projection.design.random, given.modes, strict=True):
        for c, column in enumerate(term.columns):
            z = modes[np.isfinite(modes[:, c]), c]
            if len(z) >= 20:
                p = min(float(stats.skewtest(z).pvalue), float(stats.kurtosistest(z).pvalue)) * 2
                what = f"{term.label} ({column}): skewness {stats.skew(z):.2f}, excess kurtosis {stats.kurtosis(z):.2f}"
                places.append((p, what))
    if not places:
        return Finding("normality of random effects", "ok", _untold(given, 20))
    p, seen = min(places)
    p = min(1.0, p * len(places))
    if p >= ALPHA:
        return Finding("normality of random effects", "ok", seen, p_value=p)
    return Finding(
        "normality of random effects", "note", seen,
        "Fixed effects are little affected; effects of single levels and predictions for new ones are. A predictor of "
        "the levels may be missing.",
        p,
    )  # fmt: skip


def omitted_slopes(given: CheckInput) -> Finding:
    """Columns of X whose effect varies over a grouping factor, though the model holds it constant."""
    projection = given.projection
    design = projection.design
    best: tuple[float, str, str] | None = None
    count = 0
    columns_of: dict[str, set[str]] = {}
    for term in design.random:
        columns_of.setdefault(term.label, set()).update(term.columns)
    for label, codes, q in _groupings(given):
        if q > MOST_LEVELS:
            continue
        for j, name in enumerate(design.fixed_names):
            if name == "Intercept" or name in columns_of[label] or _constant_within(design.X[:, j], codes, q):
                continue
            count += 1
            p = _slope_p_value(projection, codes, q, design.X[:, j], given.sigma)
            if best is None or p < best[0]:
                best = (p, name, label)
    if best is None:
        return Finding("omitted slopes", "ok", "every column that varies within groups has a random slope")
    p = min(1.0, best[0] * count)
    _, name, label = best
    seen = f"the strongest of {count} candidates is the effect of {name} varying over {label}"
    if p >= ALPHA:
        return Finding("omitted slopes", "ok", seen, p_value=p)
    return Finding(
        "omitted slopes", "problem", seen,
        f"The standard error of {name} is too small as long as its effect is held constant: let it vary, with its "
        f"variable on the left side of the term over {label}.",
        p,
    )  # fmt: skip


def _constant_within(x: Vector, codes: NDArray[np.intp], q: int) -> bool:
    first = np.zeros(q)
    first[codes] = x
    return bool(np.array_equal(first[codes], x))


def _slope_p_value(projection: Projection, codes: NDArray[np.intp], q: int, x: Vector, sigma: float) -> float:
    """P value of s's under a variance of zero; see the module's text."""
    slopes = sparse.csr_array((x - x.mean(), (np.arange(len(x)), codes)), shape=(len(x), q))
    Z = sparse.csr_array(projection.precision.whiten(slopes).T)
    score = Z @ projection.residual / sigma
    fixed, random = projection.rows
    explained = projection.joint.covariance(np.asarray(Z @ fixed), sparse.csr_array(Z @ random))
    matrix = (Z @ Z.T).toarray() - explained / sigma**2
    return quadratic_form_p_value(float(score @ score), np.asarray(np.linalg.eigvalsh(matrix), dtype=np.float64))


def quadratic_form_p_value(value: float, weights: Vector) -> float:
    """P(sum of weights times chi-squared variables > value), by moments (Liu, Tang & Zhang 2009, section 2).

    Their chi square has the skewness of the sum and, the variables being central, no noncentrality: by Cauchy and
    Schwarz s1^2 <= s2 in their notation.
    """
    from scipy import stats

    c1, c2, c3 = (float((weights**k).sum()) for k in (1, 2, 3))
    df = c2**3 / c3**2
    standard = (value - c1) / np.sqrt(2 * c2)
    return float(stats.chi2.sf(standard * np.sqrt(2 * df) + df, df))


def collinearity(given: CheckInput) -> Finding:
    """Variance inflation of the coefficients."""
    vcov = given.projection.joint.vcov
    names = given.projection.design.fixed_names
    keep = [j for j, name in enumerate(names) if name != "Intercept"]
    if len(keep) < 2:
        return Finding("collinearity", "ok", "fewer than two coefficients besides the intercept")
    block = vcov[np.ix_(keep, keep)]
    sd = np.sqrt(np.diag(block))
    inflation = np.diag(np.linalg.inv(block / np.outer(sd, sd)))
    k = int(np.argmax(inflation))
    seen = f"the largest variance inflation factor is {inflation[k]:.1f} ({names[keep[k]]})"
    if inflation[k] < INFLATED:
        return Finding("collinearity", "ok", seen)
    involved = [names[keep[j]] for j in np.flatnonzero(inflation >= INFLATED)]
    return Finding(
        "collinearity", "problem", seen,
        f"The data hardly tell the effects of {', '.join(involved)} apart: each is uncertain, their combination is "
        "not. Leave one out, combine them, or centre variables that enter an interaction.",
    )  # fmt: skip


def leverage(given: CheckInput, influence: pd.Series, dfbetas: pd.DataFrame, by: str) -> Finding:
    """Groups without which a coefficient would move by more than chance explains.

    Parameters
    ----------
    given
        The fit.
    influence, dfbetas
        Cook's distance and DFBETAS of each group.
    by
        What the groups are.
    """
    size = dfbetas.abs().to_numpy()
    if not np.isfinite(size).any():
        return Finding("influence", "ok", "no coefficient is determined without one of the groups")
    place = np.unravel_index(np.nanargmax(size), size.shape)
    level, name, moved = dfbetas.index[place[0]], dfbetas.columns[place[1]], float(size[place])
    seen = (
        f"without {by} {level} the coefficient of {name} moves by {moved:.2f} standard errors (largest Cook's distance "
        f"{float(np.nanmax(influence)):.2f})"
    )
    rows = int((given.projection.leverage > 0.95).sum())
    if rows:
        seen += f"; {rows} rows decide their own fitted value (leverage above 0.95)"
    if moved < max(1.0, 4.0 / np.sqrt(len(dfbetas))):
        return Finding("influence", "ok", seen)
    return Finding(
        "influence", "note", seen, f"The conclusion about {name} rests on {by} {level}: report it with and without."
    )
