"""Pictures of forests and trees of effect sizes: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_option
from mixedfx.plots.picture import Picture

if TYPE_CHECKING:
    from mixedfx.meta.moderators.metacart import MetaCart
    from mixedfx.meta.moderators.metaforest import MetaForest
    from mixedfx.meta.moderators.partial import PartialDependence

MOST_PANELS = 6


def plot(forest: MetaForest, kind: str, options: Mapping[str, Any]) -> Picture:
    """Picture behind `MetaForest.plot`."""
    check_option("kind", kind, tuple(KINDS))
    try:
        return KINDS[kind](forest, **options)
    except TypeError as error:
        raise OptionError(f"plot({kind!r}): {error}") from None


def _importance(forest: MetaForest, ax: Any = None) -> Picture:
    from mixedfx.plots.importance import importance

    if not np.isfinite(forest.forest.importance).all():
        raise OptionError("the forest was grown without importance", hint="Grow it with importance=True.")
    return Picture(importance(forest.importance, xlabel="rise of the squared error by permutation", ax=ax))


def _partial(forest: MetaForest, moderators: Any = None) -> Picture:
    """Panels of partial dependence; of the most important moderators where none are named."""
    from mixedfx.plots.dependence import dependence
    from mixedfx.plots.panels import panels

    names = forest.importance["moderator"].head(MOST_PANELS).tolist() if moderators is None else list(moderators)

    def draw(name: str, ax: Any) -> None:
        one = forest.partial_dependence(name)
        dependence(_line(one), _points(one), xlabel=name, ax=ax)

    return Picture(panels(names, draw))


def _convergence(forest: MetaForest, ax: Any = None) -> Picture:
    """Squared error out of bag by the number of trees."""
    from mixedfx.plots.style import COLOURS, COLUMN, FONT, new_axes, plain

    X = np.ascontiguousarray(forest.data.X, dtype=np.float32)
    total, count, error = np.zeros(len(X)), np.zeros(len(X)), []
    for tree, out in zip(forest.forest.trees, forest.forest.out, strict=True):
        total[out] += tree.tree_.predict(X[out])[:, 0]
        count += out
        seen = count > 0
        error.append(float(np.mean((forest.data.y[seen] - total[seen] / count[seen]) ** 2)))
    axes = new_axes(COLUMN, 0.7 * COLUMN) if ax is None else ax
    plain(axes)
    axes.plot(np.arange(1, len(error) + 1), error, color=COLOURS[0], linewidth=1.2)
    axes.set_xlabel("trees", fontsize=FONT)
    axes.set_ylabel("squared error out of bag", fontsize=FONT)
    return Picture(axes)


KINDS = {"importance": _importance, "partial": _partial, "convergence": _convergence}


def _line(found: PartialDependence) -> pd.DataFrame:
    return found.table.rename(columns={found.moderators[0]: "x"})


def _points(found: PartialDependence) -> pd.DataFrame:
    observed = found.observed
    return pd.DataFrame(
        {"x": observed[found.moderators[0]], "y": observed["yi"], "weight": 1.0 / (observed["vi"] + found.tau2)}
    )


def plot_partial(found: PartialDependence, fit: Any, title: str | None) -> Picture:
    """Picture behind `PartialDependence.plot`."""
    from mixedfx.plots.dependence import dependence, dependence_map
    from mixedfx.plots.panels import panels

    if len(found.moderators) == 2:
        if fit is not None:
            raise OptionError(
                "a meta-regression is drawn beside one moderator", hint="Ask for partial dependence on one."
            )
        first, second = found.moderators
        return Picture(dependence_map(found.table, (first, second), title=title or ""))
    name = found.moderators[0]
    if fit is None:
        return Picture(dependence(_line(found), _points(found), xlabel=name, title=title or ""))
    line = _line(found)
    predicted = fit.predict(pd.DataFrame({name: line["x"]}))
    beside = pd.DataFrame(
        {"x": line["x"], "mean": predicted["estimate"].to_numpy(), "low": predicted["conf_low"].to_numpy(),
         "high": predicted["conf_high"].to_numpy()}
    )  # fmt: skip
    tables = {"meta-regression, confidence band": beside, f"forest, {100 * found.level:g} % of rows": line}
    figure = panels(
        list(tables), lambda words, ax: dependence(tables[words], _points(found), xlabel=name, title=words, ax=ax)
    )
    limits = [ax.get_ylim() for ax in figure.axes]
    for ax in figure.axes:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    return Picture(figure)


def plot_tree(found: MetaCart, ax: Any) -> Picture:
    """Picture behind `MetaCart.plot`."""
    from mixedfx.plots.tree import Branch, tree

    branches = [Branch(split.leaf, *found.sides(split)) for split in found.splits]
    return Picture(tree(branches, found.leaves, ylabel="mean effect", ax=ax))
