r"""Partial dependence: what a forest predicts along a moderator while the others stay as they are in the data.

For a value x of the moderator the forest predicts every row with x in the place of the row's own value (Friedman 2001,
Annals of Statistics 29:1189). The mean of these predictions is the partial dependence; their median and percentiles say
how much the other moderators matter beside it. The percentiles are those of rows, not the uncertainty of an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_count, check_level
from mixedfx.meta.moderators.forest import Array
from mixedfx.meta.moderators.grown import GrownForest
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

if TYPE_CHECKING:
    from mixedfx.plots.picture import Picture


@dataclass(frozen=True, eq=False, repr=False)
class PartialDependence(Shown):
    """Predictions along one or two moderators.

    Attributes
    ----------
    table
        The moderators, mean, median, low and high of the predictions of the rows.
    moderators
        One or two names.
    rows
        Number of rows that were averaged over.
    level
        Of the band from low to high.
    observed
        The moderators of all rows, and yi and vi, for the points of a picture.
    tau2
        Variance of true effects, for the size of the points.
    """

    table: pd.DataFrame
    moderators: tuple[str, ...]
    rows: int
    level: float
    observed: pd.DataFrame
    tau2: float

    def content(self) -> SummaryContent:
        """What is shown."""
        facts = SummaryFacts(
            ((
                "Band",
                f"{100 * self.level:g} % of the predictions of {self.rows:,} rows, whose other moderators differ; it "
                "is no confidence interval",
            ),)
        )  # fmt: skip
        return SummaryContent(
            f"Partial dependence on {' and '.join(self.moderators)}", (facts, frame_table(self.table, "Predictions"))
        )

    def plot(self, fit: Any = None, title: str | None = None) -> Picture:
        """Mean and band over the effect sizes as points; two moderators as a heat map.

        Parameters
        ----------
        fit
            A meta-regression (`mixedfx.rma`, `mixedfx.rma_mv`) on the same moderator, drawn beside: its line with the
            confidence band.
        title
            Title; the moderators where None.
        """
        return _plotted(self, fit, title)


def partial_dependence(
    forest: GrownForest, moderators: tuple[str, ...], points: int, rows: int | None, level: float
) -> PartialDependence:  # fmt: skip
    """Answer behind `MetaForest.partial_dependence`."""
    data = forest.data
    if len(moderators) not in (1, 2) or any(name not in data.coding.names for name in moderators):
        raise OptionError(
            f"partial dependence is along one or two moderators of the forest, not {moderators!r}",
            hint=f"Moderators: {', '.join(data.coding.names)}.",
        )
    check_count("points", points, 2)
    check_level(level)
    chosen = np.arange(len(data.y))
    if rows is not None and rows < len(chosen):
        check_count("rows", rows)
        chosen = np.sort(np.random.default_rng(0).choice(chosen, rows, replace=False))
    values = data.values.iloc[chosen]
    grids = [grid(data.values[name].to_numpy(), _levels(forest, name), points) for name in moderators]
    out = []
    for at in product(*grids):
        moved = values.assign(**dict(zip(moderators, at, strict=True)))
        found = forest.forest.predict(data.coding.features(moved))
        low, median, high = np.quantile(found, [(1 - level) / 2, 0.5, (1 + level) / 2])
        out.append((*at, found.mean(), median, low, high))
    table = pd.DataFrame(out, columns=[*moderators, "mean", "median", "low", "high"])
    observed = data.values[list(moderators)].assign(yi=data.y, vi=data.vi)
    return PartialDependence(table, moderators, len(chosen), level, observed, forest.tau2)


def _levels(forest: GrownForest, name: str) -> tuple[str, ...] | None:
    return next(one.levels for one in forest.data.coding.moderators if one.name == name)


def grid(values: Any, levels: tuple[str, ...] | None, points: int) -> list[Any] | Array:
    """Values at which predictions are made: levels, the values of the data where they are few, else evenly spaced."""
    if levels is not None:
        return list(levels)
    present = np.unique(values.astype(np.float64))
    return present if len(present) <= points else np.linspace(present[0], present[-1], points)


def line_of(found: PartialDependence) -> pd.DataFrame:
    """The line of a picture: x, mean, low, high."""
    return found.table.rename(columns={found.moderators[0]: "x"})


def points_of(found: PartialDependence) -> pd.DataFrame:
    """The effect sizes of a picture: x, y, and weight 1 / (v + tau2)."""
    observed = found.observed
    return pd.DataFrame(
        {"x": observed[found.moderators[0]], "y": observed["yi"], "weight": 1.0 / (observed["vi"] + found.tau2)}
    )


def _plotted(found: PartialDependence, fit: Any, title: str | None) -> Picture:
    """Picture behind `PartialDependence.plot`."""
    from mixedfx.plots.dependence import dependence, dependence_map
    from mixedfx.plots.panels import panels
    from mixedfx.plots.picture import Picture

    if len(found.moderators) == 2:
        if fit is not None:
            raise OptionError(
                "a meta-regression is drawn beside one moderator", hint="Ask for partial dependence on one."
            )
        first, second = found.moderators
        return Picture(dependence_map(found.table, (first, second), title=title or ""))
    name = found.moderators[0]
    if fit is None:
        return Picture(dependence(line_of(found), points_of(found), xlabel=name, title=title or ""))
    line = line_of(found)
    predicted = fit.predict(pd.DataFrame({name: line["x"]}))
    beside = pd.DataFrame(
        {"x": line["x"], "mean": predicted["estimate"].to_numpy(), "low": predicted["conf_low"].to_numpy(),
         "high": predicted["conf_high"].to_numpy()}
    )  # fmt: skip
    tables = {"meta-regression, confidence band": beside, f"forest, {100 * found.level:g} % of rows": line}
    figure = panels(
        list(tables), lambda words, ax: dependence(tables[words], points_of(found), xlabel=name, title=words, ax=ax)
    )
    limits = [ax.get_ylim() for ax in figure.axes]
    for ax in figure.axes:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    return Picture(figure)
