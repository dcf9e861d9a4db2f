"""Pictures of a fit by name: the tables that `mixedfx.plots` draws, and the page with all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.design.frame import column, kind
from mixedfx.errors import OptionError, check_level, check_option
from mixedfx.means.averaging import averages
from mixedfx.means.reference_grid import reference_grid
from mixedfx.reml.profiling import profile
from mixedfx.results.tables import group_name, term_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.reml.state import LmerState

PANELS = 20  # groups that observed against fitted shows
LINES = 150  # groups whose lines are drawn
STEPS = 15  # points of a line


def plot(fit: LmerState, what: str | None, ax: Axes | None, **options: Any) -> Axes | Figure:
    """Draw one picture, or the page with all of them.

    Raises
    ------
    OptionError
        For an unknown kind, or one that this fit has no data for.
    """
    if what is None:
        if ax is not None or options:
            raise OptionError("the page of all pictures takes no options", hint=f"Name one: {', '.join(KINDS)}.")
        return page(fit)
    check_option("kind", what, tuple(KINDS))
    return KINDS[what](fit, ax, **options)


def modes_table(fit: LmerState, group: str | None, term: str | None, level: float = 0.95) -> pd.DataFrame:
    """One effect of every level of a grouping factor: level, estimate, lower, upper.

    The intervals are those of the conditional distribution of the modes given theta, sigma and beta.
    """
    from scipy.special import ndtri

    check_level(level)
    group = group_name(fit.design.random, group)
    modes, sd = fit.ranef[group], fit.ranef_sd[group]
    term = str(modes.columns[0]) if term is None else term
    check_option("term", term, tuple(modes.columns))
    estimate, half = modes[term].to_numpy(), float(ndtri((1 + level) / 2)) * sd[term].to_numpy()
    columns = {"level": modes.index, "estimate": estimate, "lower": estimate - half, "upper": estimate + half}
    return pd.DataFrame(columns)


def fitted_table(fit: LmerState, group: str | None = None, most: int = PANELS) -> tuple[pd.DataFrame, int]:
    """Columns group, fitted, observed of some groups, from the smallest mean to the largest; and how many there are."""
    label = _label(fit, group)
    term = next(t for t in fit.design.random if t.label == label)
    y, fitted = fit.design.y, fit.fitted.to_numpy()
    mean = np.bincount(term.codes, fitted, term.n_levels) / np.bincount(term.codes, minlength=term.n_levels)
    order = np.argsort(mean, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))]
    rows = np.concatenate([np.flatnonzero(term.codes == c) for c in chosen])
    names = [term.levels[c] for c in term.codes[rows]]
    return pd.DataFrame({"group": names, "fitted": fitted[rows], "observed": y[rows]}), len(order)


def slope_tables(
    fit: LmerState, variable: str | None = None, group: str | None = None, most: int = LINES
) -> tuple[pd.DataFrame, pd.DataFrame, str, str]:
    """Lines of the groups (group, x, y) and of the population (x, y), other predictors averaged; variable and factor.

    Raises
    ------
    OptionError
        Where no numeric predictor has random slopes, or `variable` and `group` do not belong together.
    """
    known = _slopes(fit)
    if not known:
        raise OptionError("no numeric predictor of this fit has random slopes", hint='Draw fit.plot("caterpillar").')
    found = [(v, g) for v, g in known if variable in (None, v) and group in (None, g)]
    if not found:
        offered = "; ".join(f"variable={v!r}, group={g!r}" for v, g in known)
        raise OptionError("there are no such random slopes", hint=f"There are: {offered}.")
    variable, label = found[0]
    values = column(fit.design.frame, variable)
    x = np.linspace(values.min(), values.max(), STEPS)
    subject: Any = fit
    grid = reference_grid(subject, {variable: x})
    _, W, _ = averages(grid, [variable])
    population = fit.apply(grid.rows(subject).combine(W)).mean
    t = next(i for i, r in enumerate(fit.design.random) if r.label == label)
    term, columns = fit.design.random[t], fit.design.spec.random[t].grouping.columns
    first = np.unique(term.codes, return_index=True)[1]
    chosen = np.unique(np.linspace(0, term.n_levels - 1, min(most, term.n_levels)).round().astype(int))
    left = [c for c in fit.design.frame.columns if c not in grid.frame and c not in columns]
    lines = []
    for level in chosen:
        row = fit.design.frame.iloc[first[level]]
        # all a left side may read; other grouping columns are left out, so that their effects are zero
        grouping = {c for r in fit.design.spec.random for c in r.grouping.columns}
        extra = {c: row[c] for c in (*left, *columns) if c in columns or c not in grouping}
        rows = fit.design_for(grid.frame.assign(**extra), "population")
        y = fit.apply(rows.combine(W)).mean + grid.constant
        lines.append(pd.DataFrame({"group": term.levels[level], "x": x, "y": y}))
    return pd.concat(lines, ignore_index=True), pd.DataFrame({"x": x, "y": population}), variable, label


def _slopes(fit: LmerState) -> list[tuple[str, str]]:
    """Numeric predictors that are a column of a random term, each with its grouping factor."""
    frame = fit.design.frame
    return [
        (c, term.label)
        for term in fit.design.random
        for c in term.columns
        if c in frame.columns and kind(column(frame, c)) == "number" and c in _predictors(fit)
    ]


def _predictors(fit: LmerState) -> tuple[str, ...]:
    from mixedfx.means.reference_grid import fixed_predictors

    return fixed_predictors(fit.design)


def _label(fit: LmerState, group: str | None) -> str:
    name = group_name(fit.design.random, group)
    names = term_names(fit.design.random)
    return fit.design.random[names.index(name)].label


def _caterpillar(
    fit: LmerState,
    ax: Axes | None,
    group: str | None = None,
    term: str | None = None,
    level: float = 0.95,
    **options: Any,
) -> Axes:
    from mixedfx.plots.caterpillar import caterpillar

    group = group_name(fit.design.random, group)
    table = modes_table(fit, group, term, level)
    term = str(fit.ranef[group].columns[0]) if term is None else term
    options.setdefault("xlabel", f"{term} by {group} ({100 * level:g} % intervals)")
    return caterpillar(table, ax=ax, **options)


def _fitted(fit: LmerState, ax: Axes | None, group: str | None = None, groups: int = PANELS) -> Figure:
    from mixedfx.plots.by_group import observed_against_fitted

    if ax is not None:
        raise OptionError("'fitted' draws a panel for each group on a figure of its own", hint="Leave ax= out.")
    table, n = fitted_table(fit, group, groups)
    shown = len(set(table["group"]))
    note = None if shown == n else f"{shown} of {n} levels of {_label(fit, group)}, from smallest to largest mean"
    return observed_against_fitted(table, response=fit.design.response_name, note=note)


def _slope_lines(
    fit: LmerState,
    ax: Axes | None,
    variable: str | None = None,
    group: str | None = None,
    groups: int = LINES,
    points: bool = True,
    **options: Any,
) -> Axes:
    from mixedfx.plots.by_group import slopes

    lines, population, variable, label = slope_tables(fit, variable, group, groups)
    data = pd.DataFrame({"x": column(fit.design.frame, variable).to_numpy(), "y": fit.design.y})
    n = next(t.n_levels for t in fit.design.random if t.label == label)
    shown = len(set(lines["group"]))
    options.setdefault("title", f"{label}: {n} lines" if shown == n else f"{label}: {shown} of {n} lines")
    options = {"xlabel": variable, "ylabel": fit.design.response_name, **options}
    return slopes(lines, population, data if points else None, ax=ax, **options)


def _profile(
    fit: LmerState,
    ax: Axes | None,
    parm: str | Sequence[str] | None = None,
    level: float = 0.99,
    density: bool = False,
) -> Figure:
    if ax is not None:
        raise OptionError("'profile' draws a panel for each parameter on a figure of its own", hint="Leave ax= out.")
    return profile(fit.design, fit.solution, parm, level).plot(density=density).figure


def _scaled(fit: LmerState) -> pd.DataFrame:
    return pd.DataFrame({"fitted": fit.fitted.to_numpy(), "residual": fit.residuals("scaled").to_numpy()})


def _residuals(fit: LmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import residuals_against_fitted

    axes = residuals_against_fitted(_scaled(fit), ax)
    axes.set_ylabel("residual / sigma", fontsize=axes.yaxis.label.get_fontsize())
    return axes


def _observed(fit: LmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import response_against_fitted

    table = pd.DataFrame({"fitted": fit.fitted.to_numpy(), "observed": fit.design.y})
    return response_against_fitted(table, ax, fit.design.response_name)


def _spread(fit: LmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import spread_against_fitted

    return spread_against_fitted(_scaled(fit), ax)


def _quantiles(fit: LmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import normal_quantiles

    return normal_quantiles({"residuals": fit.residuals("scaled").to_numpy()}, ax, "Quantiles of residuals")


KINDS: Mapping[str, Callable[..., Any]] = {
    "residuals": _residuals,
    "spread": _spread,
    "quantiles": _quantiles,
    "caterpillar": _caterpillar,
    "slopes": _slope_lines,
    "observed": _observed,
    "fitted": _fitted,
    "profile": _profile,
}


def page(fit: LmerState) -> Figure:
    """All pictures that fit on one page: residuals, their spread and quantiles, observed values, slopes, effects.

    At most three panels of slopes and nine in all; pictures with a panel for each group or parameter stand alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    draw: list[Callable[[Axes], Any]] = [
        lambda ax, k=k: KINDS[k](fit, ax) for k in ("residuals", "spread", "quantiles", "observed")
    ]
    draw += [
        lambda ax, v=v, g=g: _slope_lines(fit, ax, v, g, title=f"Slopes in {v} by {g}") for v, g in _slopes(fit)[:3]
    ]
    effects = [(name, str(c)) for name, modes in fit.ranef.items() for c in modes.columns]
    draw += [
        lambda ax, g=g, c=c: _caterpillar(fit, ax, g, c, title=f"{c} by {g}", xlabel="95 % intervals")
        for g, c in effects[: 9 - len(draw)]
    ]
    rows = -(-len(draw) // 3)
    figure = Figure(figsize=(8.7, 2.7 * rows), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes in grid[len(draw) :]:
        axes.set_visible(False)
    for one, axes in zip(draw, grid, strict=False):
        one(axes)
    return figure
