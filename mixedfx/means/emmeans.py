"""Estimated marginal means and slopes: predictions of the fixed part on a reference grid, averaged over its factors.

Random effects are at their population mean of zero. The means are on the scale of the linear predictor, of ``log(y)``
where the formula has that on its left, unless they are asked for in units of y (`mixedfx.means.units`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.frame import column, kind
from mixedfx.design.functional import Functional
from mixedfx.design.labels import level_label, quoted
from mixedfx.errors import NotEstimableWarning, OptionError, check_flag, check_level, check_option
from mixedfx.inference.degrees_of_freedom import Ddf
from mixedfx.means.answers import Asker, Rows
from mixedfx.means.averaging import Weights, asked, averages
from mixedfx.means.marginal_means import MarginalMeans
from mixedfx.means.reference_grid import ReferenceGrid, reference_grid
from mixedfx.means.units import units_of
from mixedfx.results.protocol import Fit, answering
from mixedfx.results.summary import rows_text
from mixedfx.results.undetermined import needed_columns, reason

Array = NDArray[np.float64]
# Central differences of five points are exact for polynomials up to degree 4, whatever the step; this share of the
# range of the predictor keeps their rounding near 1e-12 and the error for other smooth curves near 1e-10.
STEP = 3e-3
NODES = np.arange(-2.0, 3.0)


def emmeans(
    fit: Fit,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: Weights = "equal",
    ddf: Ddf | None = None,
    vcov: Any = None,
    level: float = 0.95,
    scale: Literal["link", "response"] = "link",
    bias_adjust: bool = False,
) -> MarginalMeans:
    """Estimated marginal means.

    Factors of the fixed part stand at all their levels, numbers at their mean (at both values where they have but two),
    random effects at zero. Means are averages over the factors that are not named.

    Parameters
    ----------
    fit
        A fit by REML, ML or Bayes.
    specs
        Column or columns whose combinations get a mean, or text such as ``"~ a * b | c"``; ``"~ 1"`` for one mean.
    by
        Columns that split the means into groups, within which `MarginalMeans.pairs` compares.
    at
        Predictor -> value or values that it takes instead, ``{"Days": [0, 5, 9], "recipe": ["A", "B"]}``.
    weights
        Average over the other factors with equal weights; ``"proportional"``: as often as their combinations occur in
        the data; ``"outer"``: with the product of their margins; ``"cells"``: as often as they occur with the levels
        that the mean is for. Rows of the data are counted, whatever their precision weights; trials where rows are
        ``k | trials(m)``, of which the means of numbers are taken too.
    ddf
        ``"satterthwaite"`` (where None), ``"kenward-roger"``, ``"residual"`` or ``"normal"``.
    vcov
        Covariance of the fixed effects to use instead: what ``fit.vcov_robust()`` returns, or a (p, p) matrix, for
        which `ddf` has to be ``"residual"`` or ``"normal"``.
    level
        Probability inside the intervals.
    scale
        ``"link"``: of the linear predictor, log(days) under ``log(days) ~ ...``. ``"response"``: means are averaged
        there and taken back to days (and through the inverse of the link, for a posterior with one); the column is
        response. Contrasts of logarithms are then ratios of geometric means, of logits odds ratios, of shifted and
        scaled responses differences; any others stay on the scale of the model.
    bias_adjust
        With ``scale="response"``: arithmetic means of a response drawn from the population, with the variance of
        residuals and random effects, instead of the plain inverse.

    Returns
    -------
    MarginalMeans
        ``.table``, ``.pairs()``, ``.contrast()``, ``.test()``, ``.joint()``, ``.plot()``. For a posterior fit means,
        standard deviations and quantiles of its draws.

    Raises
    ------
    OptionError
        A column that is no predictor of the fixed part, an unknown level, weights or degrees of freedom.

    Warns
    -----
    NotEstimableWarning
        Where means cannot be estimated from these data; they are NaN.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("math ~ small * race + (1 | sch)", mx.datasets.load("star"))
    >>> means = mx.emmeans(fit, "~ small | race")
    >>> means.table[["small", "race", "emmean"]].round(1)
       small   race  emmean
    0      0  Black   466.7
    1      1  Black   477.4
    2      0  White   489.9
    3      1  White   497.8

    Geometric means, and their ratio, from a model of logarithms:

    >>> fit = mx.lmer("log(math) ~ small + (1 | sch)", mx.datasets.load("star"))
    >>> means = mx.emmeans(fit, "small", scale="response")
    >>> means.table["response"].round(1).tolist(), means.pairs().table[["contrast", "ratio"]].round(3).values.tolist()
    ([480.7, 489.3], [['small 0 / small 1', 0.982]])
    """
    names, groups = asked(specs, by)
    check_level(level)
    fit = answering(fit, ("posterior", "design"), "marginal means")
    asker = Asker.of(fit, ddf, vcov)
    check_option("scale", scale, ("link", "response"))
    check_flag("bias_adjust", bias_adjust)
    if bias_adjust and scale == "link":
        raise OptionError("bias_adjust=True is about means of the response", hint='Ask with scale="response".')
    grid = reference_grid(fit, at, (*names, *groups))
    means = _means(asker, grid, grid.rows(fit), names, groups, weights, "emmean", level)
    if scale == "link":
        return means
    units = units_of(fit, grid, averages(grid, (*names, *groups), weights)[1], bias_adjust)
    return means if units is None else replace(means, units=units, notes=without_link(means.notes))


def emtrends(
    fit: Fit,
    var: str,
    specs: str | Sequence[str] = (),
    by: str | Sequence[str] | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    weights: Weights = "equal",
    ddf: Ddf | None = None,
    vcov: Any = None,
    level: float = 0.95,
) -> MarginalMeans:
    """Slopes of a numeric predictor, by group.

    The derivative of the linear predictor with respect to `var`, at its mean or at the values of ``at=``, by central
    differences that are exact for polynomials up to degree 4.

    Parameters
    ----------
    fit, by, at, weights, ddf, vcov, level
        As in `emmeans`.
    var
        The predictor.
    specs
        Columns whose combinations get a slope, as in `emmeans`; the average slope where empty.

    Returns
    -------
    MarginalMeans
        Its table has a column trend, in units of the response as modelled per unit of `var`.

    Raises
    ------
    OptionError
        As `emmeans`; also where `var` is not numeric.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("math ~ small * race + (1 | sch)", mx.datasets.load("star"))
    >>> mx.emtrends(fit, "small", "race").pairs().table[["contrast", "estimate"]].round(2)
            contrast  estimate
    0  Black - White     2.85
    """
    names, groups = asked(specs, by) if len(specs) or by is not None else ((), ())
    check_level(level)
    fit = answering(fit, ("posterior", "design"), "marginal trends")
    asker = Asker.of(fit, ddf, vcov)
    grid = reference_grid(fit, at, (*names, *groups, var))
    values = column(fit.design.frame, var)
    if kind(values) != "number" or var in grid.coded:
        raise OptionError(f"{var!r} is a factor in this model and has no slope", hint="Compare its means: mx.emmeans.")
    low, high = float(values.min()), float(values.max())
    ends = (low, high) if fit.design.terms.ends_with_data(var) else (-np.inf, np.inf)
    derivative = _derivative(fit, grid, var, STEP * (high - low), ends)
    return _means(asker, grid, derivative, names, groups, weights, "trend", level)


def _derivative(
    fit: Fit, grid: ReferenceGrid, var: str, step: float, ends: tuple[float, float]
) -> Functional:  # fmt: skip
    """Functionals (m rows) of the derivative with respect to `var` at each point.

    That of the polynomial of degree 4 through five equidistant values, with the point in their middle, or where a
    spline would end among them (`ends`) as near to the middle as it can be.
    """
    x = grid.frame[var].to_numpy(dtype=np.float64)
    inside = (ends[0] <= x) & (x <= ends[1])
    middle = np.where(inside, np.clip(x, ends[0] + 2 * step, ends[1] - 2 * step), x)
    moved = [np.where(inside, np.clip(middle + k * step, *ends), middle + k * step) for k in NODES]
    frame = pd.concat([grid.frame.assign(**{var: values}) for values in moved], ignore_index=True)
    powers = np.arange(len(NODES))
    at = (x - middle)[:, None] / step
    slopes = powers * at ** np.maximum(powers - 1, 0)  # derivatives of 1, t, ..., t^4 at t
    weights = np.linalg.solve(NODES ** powers[:, None], slopes.T) / step  # (5, m)
    W = sparse.csr_array(sparse.hstack([sparse.diags_array(w) for w in weights]))
    return grid.rows(fit, frame).combine(W)


def _means(
    asker: Asker,
    grid: ReferenceGrid,
    functional: Functional,
    names: tuple[str, ...],
    groups: tuple[str, ...],
    weights: Weights,
    quantity: str,
    level: float,
) -> MarginalMeans:
    """Average the points of the grid, and warn of means that the data cannot tell."""
    cells, W, void = averages(grid, (*names, *groups), weights)
    rows = Rows(functional.combine(W), void)
    lost = ~rows.answerable
    if lost.any():
        which = ["; ".join(f"{c} = {level_label(v)}" for c, v in row.items()) for _, row in cells[lost].iterrows()]
        columns = needed_columns(asker.fit.design, rows.functional.null)
        why = [reason(columns)] if columns else []
        why += ["cells without rows have no weights"] if void.any() else []
        warnings.warn(
            f"{lost.sum()} of {len(lost)} cannot be estimated and are NaN{f': {quoted(which)}' if which[0] else ''}. "
            + "; ".join(f"{one[0].upper()}{one[1:]}" for one in why),
            NotEstimableWarning,
            stacklevel=3,
        )
    notes = _notes(grid, names + groups, weights, asker)
    return MarginalMeans(asker, rows, cells, groups, quantity, level, notes)


ON_LINK = "on the scale of the linear predictor"


def without_link(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Notes without that on the scale of the linear predictor."""
    return tuple(note for note in notes if not note.startswith(ON_LINK))


def _notes(grid: ReferenceGrid, named: tuple[str, ...], weights: Weights, asker: Asker) -> tuple[str, ...]:
    averaged = [name for name, values in grid.values.items() if name not in named and len(values) > 1]
    fixed = [f"{n} = {level_label(v[0])}" for n, v in _shown(grid).items() if n not in named and len(v) == 1]
    notes = []
    if averaged:
        notes.append(f"averaged over {', '.join(averaged)} ({weights} weights)")
    if fixed:
        notes.append(f"at {', '.join(fixed)}")
    link = asker.fit.family.link
    if link.name != "identity":
        notes.append(f"{ON_LINK} ({link.name})")
    if asker.fit.design.trials is not None and (weights != "equal" or fixed):
        notes.append("rows count by their trials")
    if asker.fit.design.random:
        notes.append("random effects at their population mean of zero")
    rows = asker.fit.design.rows
    if len(rows.used) < rows.total:
        notes.append(rows_text(rows))
    return tuple(notes)


def _shown(grid: ReferenceGrid) -> dict[str, tuple[Any, ...]]:
    """Values of the grid with numbers at four significant digits."""
    return {n: tuple(float(f"{v:.4g}") if isinstance(v, float) else v for v in vs) for n, vs in grid.values.items()}
