r"""What an ensemble is fitted to: estimates on the scale of the fit, clusters, moderators, and critical values.

Priors are about parameters on a scale of their own; `scale` says what one unit of it is on the scale of the fit. With
``scale="fisher_z"`` standardised mean differences d and correlations r become Fisher's z, where sampling variances
are 1 / (n - 3) whatever the effect is:

    d:  z = asinh(d / 2),   n = (d^2 + 8) / (2 se^2),          critical value  asinh(t / sqrt(n))
    r:  z = atanh(r),       n = (1 - r^2)^2 / se^2 + 1,        critical value  atanh(t / sqrt(n + t^2 - 2))

with t the quantile of Student's distribution with n - 2 degrees of freedom: an estimate is significant by the test that
was made of it, on its own scale. mu and tau of d are twice those of z (asinh(d / 2) is d / 2 near 0), PEESE, which
multiplies a variance, is half that of d's, and PET, which multiplies a standard error, has no unit.

Rows are sorted by cluster. A p value on a step belongs to the more significant interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.errors import DataError, OptionError, some_rows
from mixedfx.meta.measure import Array
from mixedfx.priors.bias import Weights
from mixedfx.priors.marginal import Marginal

Index = NDArray[np.intp]
Critical = Callable[[float], Array]  # p value of one tail -> (k,) estimates that have it


@dataclass(frozen=True)
class Moderator:
    """Columns of one moderator.

    Attributes
    ----------
    name
        As in the formula.
    columns
        Positions among the columns of `Given.M`.
    labels
        Names of what is reported: the covariate, or the levels of a factor.
    report
        (labels, columns) what each label is of the coefficients: 1, or the contrasts.
    centre, sd
        Of a covariate; 0 and 1 of a factor.
    """

    name: str
    columns: tuple[int, ...]
    labels: tuple[str, ...]
    report: Array
    centre: float = 0.0
    sd: float = 1.0

    @property
    def factor(self) -> bool:
        """Whether it is a factor."""
        return len(self.labels) > 1


@dataclass(frozen=True, eq=False)
class Given:
    """Estimates of an ensemble, sorted by cluster.

    Attributes
    ----------
    y, v
        (k,) estimates and sampling variances on the scale of the fit.
    scale
        Length of one unit of the priors' scale on that of the fit.
    sign
        1 or -1: the direction in which one-sided p values are small.
    critical
        Estimates with given one-sided p values in the positive direction.
    M
        (k, q) columns of the moderators.
    moderators
        Which they are.
    start
        (C + 1,) first row of each cluster and k; None without clusters.
    order
        (k,) position of each row among the rows used.
    labels, cluster_labels
        (k,) names of estimates and (C,) of clusters.
    original
        (k,) estimates as they were given.
    measure
        What they are; "" where nobody said.
    fisher
        Whether they were transformed.
    n
        (k,) sample sizes, where they were given.
    """

    y: Array
    v: Array
    scale: float
    sign: int
    critical: Critical
    M: Array
    moderators: tuple[Moderator, ...]
    start: Index | None
    order: Index
    labels: tuple[str, ...]
    cluster_labels: tuple[str, ...]
    original: Array
    measure: str
    fisher: bool
    n: Array | None = None

    @property
    def k(self) -> int:
        """Number of estimates."""
        return len(self.y)

    @cached_property
    def se(self) -> Array:
        """(k,) standard errors."""
        return np.sqrt(self.v)

    @cached_property
    def owner(self) -> Index:
        """(k,) cluster of each row."""
        start = self.start if self.start is not None else np.arange(self.k + 1)
        return np.repeat(np.arange(len(start) - 1), np.diff(start)).astype(np.intp)

    def bias_column(self, kind: str) -> Array:
        """(k,) what the coefficient of PET or PEESE multiplies, in the direction of the bias; zeros of neither."""
        if kind == "PET":
            return self.sign * self.se
        if kind == "PEESE":
            return self.sign * self.v / self.scale
        return np.zeros(self.k)


@dataclass(frozen=True)
class Spread:
    """The coordinate u of tau in which integrals are done, tau = unit sinh(u): straight below `unit`, logs above.

    Where the likelihood does not change any more, below a standard error, and where the prior has its first tenth,
    tau itself is the better coordinate, since most priors of it have a density at 0; in its tail log tau is.
    """

    unit: float

    def tau(self, u: Array) -> Array:
        """Tau at u."""
        return self.unit * np.sinh(u)

    def coordinate(self, tau: float) -> float:
        """U of tau."""
        return float(np.arcsinh(tau / self.unit))

    def log_slope(self, u: Array) -> Array:
        """Log of the derivative of tau by u."""
        return np.log(self.unit * np.cosh(u))


def spread_of(given: Given, tau: Marginal | float) -> Spread:
    """The coordinate for a prior of tau."""
    unit = float(np.median(given.se)) / given.scale
    return Spread(min(unit, max(float(tau.quantile(0.1)), 1e-3 * unit)) if isinstance(tau, Marginal) else unit)


@dataclass(frozen=True, eq=False)
class Cells:
    """Intervals of p values of one weight function, in the direction in which estimates are significant.

    Attributes
    ----------
    y
        (k,) estimates, positive in that direction.
    cuts
        (k, J) estimates whose p value is each step, falling.
    cell
        (k,) interval of each estimate, 0 the most significant.
    two_sided
        Whether p values are.
    """

    y: Array
    cuts: Array
    cell: Index
    two_sided: bool

    @cached_property
    def counts(self) -> Index:
        """(J + 1,) estimates in each interval."""
        return np.bincount(self.cell, minlength=self.cuts.shape[1] + 1)

    def rows(self, chosen: Array) -> Cells:
        """Those of some rows."""
        return Cells(self.y[chosen], self.cuts[chosen], self.cell[chosen], self.two_sided)


def cells(given: Given, weights: Weights) -> Cells:
    """Intervals of the estimates; a p value on a step is in the more significant one."""
    y = given.sign * given.y
    tails = [step / 2 if weights.two_sided else step for step in weights.steps]
    cuts = np.column_stack([given.critical(tail) for tail in tails])
    size = np.abs(y) if weights.two_sided else y
    return Cells(y, cuts, np.sum(size[:, None] < cuts, axis=1).astype(np.intp), weights.two_sided)


def on_fisher(y: Array, v: Array, measure: str, n: Array | None, rows: Array) -> tuple[Array, Array, float, Critical]:
    """Estimates, variances, scale and critical values on the scale of Fisher's z.

    Parameters
    ----------
    y, v
        Estimates and sampling variances of ``"SMD"``, ``"COR"`` or ``"ZCOR"``.
    measure
        Which of them.
    n
        Sample sizes where they are known.
    rows
        Positions in the data, for errors.

    Raises
    ------
    OptionError
        Another measure.
    DataError
        Sample sizes of 3 or less, correlations of 1 and beyond.
    """
    if measure == "SMD":
        size = (y * y + 8) / (2 * v) if n is None else n
        z = np.arcsinh(y / 2)
    elif measure == "COR":
        bad = np.flatnonzero(np.abs(y) >= 1)
        if len(bad):
            raise DataError(f"correlations lie between -1 and 1, unlike those of {some_rows(rows[bad])}")
        size = (1 - y * y) ** 2 / v + 1 if n is None else n
        z = np.arctanh(y)
    elif measure == "ZCOR":
        size = 1 / v + 3 if n is None else n
        z = y
    else:
        raise OptionError(
            f"priors of robma3 are about standardised mean differences, and measure={measure!r} is none",
            hint="measure='SMD', 'COR' or 'ZCOR'; or priors='robma4'; or an ensemble with scale='yi' of its own.",
        )
    bad = np.flatnonzero(~(size > 3))
    if len(bad):
        raise DataError(
            f"the standard errors of {some_rows(rows[bad])} stand for samples of 3 or fewer, and Fisher's z has none",
            hint="Correct them, or give the sample sizes as ni=.",
        )
    df = size - 2

    def critical(tail: float) -> Array:
        t = -special.stdtrit(df, tail)
        return np.arcsinh(t / np.sqrt(size)) if measure == "SMD" else np.arctanh(t / np.sqrt(df + t * t))

    variances = 1 / (size - 3)
    if measure == "ZCOR":
        return z, v, 0.5, lambda tail: -special.ndtri(tail) * np.sqrt(v)
    return z, variances, 0.5, critical


def as_given(v: Array) -> Critical:
    """Critical values of estimates that are normal on their own scale."""
    se = np.sqrt(v)
    return lambda tail: -special.ndtri(tail) * se
