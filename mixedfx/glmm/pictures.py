"""Pictures of a generalised linear mixed model by name: the tables that `mixedfx.plots` draws, and the page of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.frame import column
from mixedfx.design.labels import variable_label
from mixedfx.errors import OptionError, check_option
from mixedfx.glmm.rows import refuse_categories
from mixedfx.glmm.simulated import quantile_residuals
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.means.group_lines import LINES, PANELS, fitted_rows, label_of, modes_table, slope_tables
from mixedfx.plots.style import new_figure
from mixedfx.results.tables import group_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixedfx.glmm.state import GlmerState

SIMULATED, SEED = 250, 1  # responses behind quantile residuals, the same at every call


def plot(fit: GlmerState, what: str | None, ax: Axes | None, **options: Any) -> Axes | Figure:
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


def residual_table(design: Design, solution: GlmmSolution, n: int = SIMULATED, seed: int | None = SEED) -> pd.DataFrame:
    """Columns fitted (linear predictor) and residual (normal scores of quantile residuals)."""
    residual, eta = quantile_residuals(design, solution, n, seed, "drawn", "normal")
    return pd.DataFrame({"fitted": eta, "residual": residual})


def observed_table(fit: GlmerState) -> pd.DataFrame:
    """Columns fitted and observed: means and responses, of binomial rows the shares of successes."""
    refuse_categories(fit.family, "one fitted mean", "Draw 'quantile residuals' or 'residuals'.")
    return pd.DataFrame({"fitted": fit.fitted.to_numpy(), "observed": _observed_values(fit)})


def fitted_table(fit: GlmerState, group: str | None = None, most: int = PANELS) -> tuple[pd.DataFrame, int]:
    """Columns group, fitted, observed of some groups; see `mixedfx.means.group_lines.fitted_rows`."""
    table = observed_table(fit)
    return fitted_rows(fit.design, table["fitted"].to_numpy(), table["observed"].to_numpy(), group, most)


def _observed_values(fit: GlmerState) -> Any:
    trials = fit.design.trials
    return fit.design.y if trials is None else fit.design.y / np.maximum(trials, 1.0)


def _quantile_residuals(
    fit: GlmerState, ax: Axes | None, n: int = SIMULATED, seed: int | None = SEED, groups: str = "drawn"
) -> Axes | Figure:  # fmt: skip
    """Two panels: quantiles against uniform ones, and residuals over ranks of the fitted values; one on given axes."""
    from mixedfx.plots.quantile_residuals import quantile_panels, uniform_quantiles

    residual, eta = quantile_residuals(fit.design, fit.solution, n, seed, groups, "uniform")
    if ax is not None:
        return uniform_quantiles(residual, ax)
    return quantile_panels(pd.DataFrame({"fitted": eta, "residual": residual}))


def _residuals(fit: GlmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import residuals_against_fitted

    axes = residuals_against_fitted(residual_table(fit.design, fit.solution), ax)
    axes.set_xlabel("linear predictor", fontsize=axes.xaxis.label.get_fontsize())
    axes.set_ylabel("quantile residual", fontsize=axes.yaxis.label.get_fontsize())
    return axes


def _spread(fit: GlmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import spread_against_fitted

    axes = spread_against_fitted(residual_table(fit.design, fit.solution), ax)
    axes.set_xlabel("linear predictor", fontsize=axes.xaxis.label.get_fontsize())
    return axes


def _quantiles(fit: GlmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import normal_quantiles

    values = residual_table(fit.design, fit.solution)["residual"].to_numpy()
    return normal_quantiles({"residuals": values}, ax, "Quantiles of residuals")


def _observed(fit: GlmerState, ax: Axes | None) -> Axes:
    from mixedfx.plots.diagnostics import response_against_fitted

    return response_against_fitted(observed_table(fit), ax, _response(fit))


def _response(fit: GlmerState) -> str:
    """What the response is called."""
    return variable_label(fit.design.frame, fit.design.response_name)


def _caterpillar(
    fit: GlmerState, ax: Axes | None, group: str | None = None, term: str | None = None, level: float = 0.95,
    **options: Any,
) -> Axes:  # fmt: skip
    from mixedfx.plots.caterpillar import caterpillar

    group = group_name(fit.design.random, group)
    table = modes_table(fit, group, term, level)
    term = str(fit.ranef[group].columns[0]) if term is None else term
    options.setdefault("xlabel", f"{term} by {group}, {fit.family.link.name} ({100 * level:g} % intervals)")
    return caterpillar(table, ax=ax, **options)


def _fitted(fit: GlmerState, ax: Axes | None, group: str | None = None, groups: int = PANELS) -> Figure:
    from mixedfx.plots.by_group import observed_against_fitted

    if ax is not None:
        raise OptionError("'fitted' draws a panel for each group on a figure of its own", hint="Leave ax= out.")
    table, n = fitted_table(fit, group, groups)
    shown = len(set(table["group"]))
    label = label_of(fit.design, group)
    note = None if shown == n else f"{shown} of {n} levels of {label}, from smallest to largest mean"
    return observed_against_fitted(table, response=_response(fit), note=note)


def _slope_lines(
    fit: GlmerState, ax: Axes | None, variable: str | None = None, group: str | None = None, groups: int = LINES,
    points: bool = True, **options: Any,
) -> Axes:  # fmt: skip
    """Lines of the levels on the scale of the response, other predictors averaged on that of the linear predictor."""
    from mixedfx.plots.by_group import slopes

    refuse_categories(fit.family, "one fitted mean", "Draw 'caterpillar'.")
    lines, population, variable, label = slope_tables(fit.with_uncertainty("given theta"), variable, group, groups)
    back = fit.family.link.inverse
    lines, population = (table.assign(y=back(table["y"].to_numpy())) for table in (lines, population))
    data = pd.DataFrame({"x": column(fit.design.frame, variable).to_numpy(), "y": _observed_values(fit)})
    n = next(t.n_levels for t in fit.design.random if t.label == label)
    shown = len(set(lines["group"]))
    options.setdefault("title", f"{label}: {n} lines" if shown == n else f"{label}: {shown} of {n} lines")
    options = {"xlabel": variable_label(fit.design.frame, variable), "ylabel": _response(fit), **options}
    return slopes(lines, population, data if points else None, ax=ax, **options)


KINDS: Mapping[str, Callable[..., Any]] = {
    "quantile residuals": _quantile_residuals,
    "residuals": _residuals,
    "spread": _spread,
    "quantiles": _quantiles,
    "observed": _observed,
    "caterpillar": _caterpillar,
    "slopes": _slope_lines,
    "fitted": _fitted,
}


def page(fit: GlmerState) -> Figure:
    """Residuals, their spread and quantiles, observed values, and the effects of up to five terms, on one page."""
    draw: list[Callable[[Axes], Any]] = [
        lambda ax, k=k: KINDS[k](fit, ax)
        for k in ("residuals", "spread", "quantiles", "observed")
        if not (k == "observed" and fit.family.categories)
    ]
    effects = [(name, str(c)) for name, modes in fit.ranef.items() for c in modes.columns]
    draw += [
        lambda ax, g=g, c=c: _caterpillar(fit, ax, g, c, title=f"{c} by {g}", xlabel="95 % intervals")
        for g, c in effects[:5]
    ]
    rows = -(-len(draw) // 3)
    figure = new_figure(8.7, 2.7 * rows)
    grid = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes in grid[len(draw) :]:
        axes.set_visible(False)
    for one, axes in zip(draw, grid, strict=False):
        one(axes)
    return figure
