"""Pictures of forests of effect sizes: the tables that `mixedfx.plots` draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixedfx.errors import OptionError, check_option
from mixedfx.meta.moderators.grown import GrownForest
from mixedfx.meta.moderators.partial import line_of, partial_dependence, points_of
from mixedfx.plots.picture import Picture

MOST_PANELS = 6


def plot(forest: GrownForest, kind: str, options: Mapping[str, Any]) -> Picture:
    """Picture behind `MetaForest.plot`."""
    check_option("kind", kind, tuple(KINDS))
    try:
        return KINDS[kind](forest, **options)
    except TypeError as error:
        raise OptionError(f"plot({kind!r}): {error}") from None


def _importance(forest: GrownForest, ax: Any = None) -> Picture:
    from mixedfx.plots.importance import importance

    if not np.isfinite(forest.forest.importance).all():
        raise OptionError("the forest was grown without importance", hint="Grow it with importance=True.")
    return Picture(importance(forest.importance, xlabel="rise of the squared error by permutation", ax=ax))


def _partial(forest: GrownForest, moderators: Any = None) -> Picture:
    """Panels of partial dependence; of the most important moderators where none are named."""
    from mixedfx.plots.dependence import dependence
    from mixedfx.plots.panels import panels

    names = forest.importance["moderator"].head(MOST_PANELS).tolist() if moderators is None else list(moderators)

    def draw(name: str, ax: Any) -> None:
        one = partial_dependence(forest, (name,), 40, 500, 0.95)
        dependence(line_of(one), points_of(one), xlabel=name, ax=ax)

    return Picture(panels(names, draw))


def _convergence(forest: GrownForest, ax: Any = None) -> Picture:
    """Squared error out of bag by the number of trees."""
    from mixedfx.plots.style import COLOURS, COLUMN, FONT, new_axes, plain

    X, trees = forest.data.X, forest.forest.trees
    total, count, error = np.zeros(len(X)), np.zeros(len(X)), []
    for b, out in enumerate(forest.forest.out):
        total[out] += trees[b].each(X[out])[0]
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
