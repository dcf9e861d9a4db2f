"""Pictures of a fit by name: the tables that `mixedfx.plots` draws, and the page with all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.design.frame import column
from mixedfx.design.labels import variable_label
from mixedfx.errors import OptionError, check_option
from mixedfx.means.group_lines import LINES, PANELS, fitted_rows, label_of, modes_table, slope_tables, slopes_of
from mixedfx.plots.style import new_figure
from mixedfx.reml.profiling import profile
from mixedfx.results.tables import group_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.reml.state import LmerState


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


def _response(fit: LmerState) -> str:
    """What the response is called."""
    return variable_label(fit.design.frame, fit.design.response_name)


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
    design = fit.design
    table, n = fitted_rows(design, fit.fitted.to_numpy(), design.y, group, groups)
    shown = len(set(table["group"]))
    note = None if shown == n else f"{shown} of {n} levels of {label_of(design, group)}, from smallest to largest mean"
    return observed_against_fitted(table, response=_response(fit), note=note)


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
    options = {"xlabel": variable_label(fit.design.frame, variable), "ylabel": _response(fit), **options}
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
    return response_against_fitted(table, ax, _response(fit))


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
    draw: list[Callable[[Axes], Any]] = [
        lambda ax, k=k: KINDS[k](fit, ax) for k in ("residuals", "spread", "quantiles", "observed")
    ]
    draw += [
        lambda ax, v=v, g=g: _slope_lines(fit, ax, v, g, title=f"Slopes in {v} by {g}")
        for v, g in slopes_of(fit.design)[:3]
    ]
    effects = [(name, str(c)) for name, modes in fit.ranef.items() for c in modes.columns]
    draw += [
        lambda ax, g=g, c=c: _caterpillar(fit, ax, g, c, title=f"{c} by {g}", xlabel="95 % intervals")
        for g, c in effects[: 9 - len(draw)]
    ]
    rows = -(-len(draw) // 3)
    figure = new_figure(8.7, 2.7 * rows)
    grid = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes in grid[len(draw) :]:
        axes.set_visible(False)
    for one, axes in zip(draw, grid, strict=False):
        one(axes)
    return figure
