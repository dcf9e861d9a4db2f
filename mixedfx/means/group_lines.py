"""What pictures of single groups show, whatever fitted them: effects of the levels, fitted values, lines of slopes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.frame import column, kind
from mixedfx.errors import OptionError, check_level, check_option
from mixedfx.means.averaging import averages
from mixedfx.means.reference_grid import fixed_predictors, reference_grid
from mixedfx.results.tables import group_name, term_names

Vector = NDArray[np.float64]

PANELS = 20  # groups that observed against fitted shows
LINES = 150  # groups whose lines are drawn
STEPS = 15  # points of a line


class Levels(Protocol):
    """A fit that knows the effects of its levels."""

    @property
    def design(self) -> Design: ...  # noqa: D102
    @property
    def ranef(self) -> dict[str, pd.DataFrame]: ...  # noqa: D102
    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]: ...  # noqa: D102


def modes_table(fit: Levels, group: str | None, term: str | None, level: float = 0.95) -> pd.DataFrame:
    """One effect of every level of a grouping factor: level, estimate, lower, upper.

    The intervals are those of the conditional distribution of the modes given all parameters.
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


def label_of(design: Design, group: str | None) -> str:
    """The label of a grouping factor, from its name in tables."""
    return design.random[term_names(design.random).index(group_name(design.random, group))].label


def fitted_rows(
    design: Design, fitted: Vector, observed: Vector, group: str | None = None, most: int = PANELS
) -> tuple[pd.DataFrame, int]:  # fmt: skip
    """Columns group, fitted, observed of some groups, from the smallest mean to the largest; and how many there are."""
    term = design.random[term_names(design.random).index(group_name(design.random, group))]
    mean = np.bincount(term.codes, fitted, term.n_levels) / np.bincount(term.codes, minlength=term.n_levels)
    order = np.argsort(mean, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))]
    rows = np.concatenate([np.flatnonzero(term.codes == c) for c in chosen])
    names = [term.levels[c] for c in term.codes[rows]]
    return pd.DataFrame({"group": names, "fitted": fitted[rows], "observed": observed[rows]}), len(order)


def slope_tables(
    fit: Any, variable: str | None = None, group: str | None = None, most: int = LINES
) -> tuple[pd.DataFrame, pd.DataFrame, str, str]:
    """Lines of the groups (group, x, y) and of the population (x, y), other predictors averaged; variable and factor.

    y is the linear predictor.

    Raises
    ------
    OptionError
        Where no numeric predictor has random slopes, or `variable` and `group` do not belong together.
    """
    design: Design = fit.design
    known = slopes_of(design)
    if not known:
        raise OptionError("no numeric predictor of this fit has random slopes", hint='Draw fit.plot("caterpillar").')
    found = [(v, g) for v, g in known if variable in (None, v) and group in (None, g)]
    if not found:
        offered = "; ".join(f"variable={v!r}, group={g!r}" for v, g in known)
        raise OptionError("there are no such random slopes", hint=f"There are: {offered}.")
    variable, label = found[0]
    values = column(design.frame, variable)
    x = np.linspace(values.min(), values.max(), STEPS)
    grid = reference_grid(fit, {variable: x})
    _, W, _ = averages(grid, [variable])
    population = fit.apply(grid.rows(fit).combine(W)).mean
    t = next(i for i, r in enumerate(design.random) if r.label == label)
    term, columns = design.random[t], design.spec.random[t].grouping.columns
    first = np.unique(term.codes, return_index=True)[1]
    chosen = np.unique(np.linspace(0, term.n_levels - 1, min(most, term.n_levels)).round().astype(int))
    left = [c for c in design.frame.columns if c not in grid.frame and c not in columns]
    lines = []
    for level in chosen:
        row = design.frame.iloc[first[level]]
        # all a left side may read; other grouping columns are left out, so that their effects are zero
        grouping = {c for r in design.spec.random for c in r.grouping.columns}
        extra = {c: row[c] for c in (*left, *columns) if c in columns or c not in grouping}
        rows = fit.design_for(grid.frame.assign(**extra), "population")
        y = fit.apply(rows.combine(W)).mean + grid.constant
        lines.append(pd.DataFrame({"group": term.levels[level], "x": x, "y": y}))
    return pd.concat(lines, ignore_index=True), pd.DataFrame({"x": x, "y": population}), variable, label


def slopes_of(design: Design) -> list[tuple[str, str]]:
    """Numeric predictors that are a column of a random term, each with its grouping factor."""
    frame, predictors = design.frame, fixed_predictors(design)
    return [
        (c, term.label)
        for term in design.random
        for c in term.columns
        if c in frame.columns and kind(column(frame, c)) == "number" and c in predictors
    ]
