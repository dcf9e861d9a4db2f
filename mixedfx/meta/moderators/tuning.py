"""Choosing how a forest grows: errors on clusters left out, for each combination of weights, mtry and node size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_count, check_option, check_seed
from mixedfx.meta.moderators.features import Filling
from mixedfx.meta.moderators.forest import grow_forest
from mixedfx.meta.moderators.forest_data import WEIGHTS, ForestData, Weights, draw_weights, read_data, tau2_of
from mixedfx.meta.moderators.grown import checked_growth, grown
from mixedfx.meta.moderators.metaforest import MetaForest
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts


@dataclass(frozen=True, eq=False, repr=False)
class TunedForest(Shown):
    """Errors of all combinations, and a forest of the best.

    Attributes
    ----------
    table
        weights, mtry, min_node_size, rmse (root of the mean squared error on clusters left out), the smallest first.
    forest
        Grown with the best of them on all data.
    folds
        Number of folds.
    """

    table: pd.DataFrame
    forest: MetaForest
    folds: int

    def content(self) -> SummaryContent:
        """What is shown."""
        facts = SummaryFacts((("Errors", f"on whole clusters left out, {self.folds} folds"),))
        return SummaryContent("Tuning of a forest", (facts, frame_table(self.table, "The best first")))


def tune_metaforest(
    formula: Any, data: Any, vi: Any = "vi", cluster: Any = None, *, weights: Sequence[Weights] = WEIGHTS,
    mtry: Sequence[int | None] | None = None, min_node_size: Sequence[int] = (2, 5, 10), folds: int = 10,
    n_trees: int = 500, impute: Literal["median"] | None = None, seed: int | None = None, n_jobs: int = 1,
    progress: Asked = None,
) -> TunedForest:  # fmt: skip
    """Grow forests of each combination of options on part of the clusters, and compare their errors on the others.

    Parameters
    ----------
    formula, data, vi, cluster, impute, n_trees, seed, n_jobs, progress
        As for `mixedfx.metaforest`; missing moderators are filled in from the training part of each fold.
    weights, mtry, min_node_size
        Values to be tried; mtry by default a half, one and two times the root of the number of columns.
    folds
        Parts into which the clusters are divided; each is left out once.

    Returns
    -------
    TunedForest

    Raises
    ------
    OptionError
        More folds than clusters.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(2)
    >>> trials = pd.DataFrame({"study": np.repeat(np.arange(40), 2), "x": rng.normal(size=80), "vi": 0.05})
    >>> trials["yi"] = np.where(trials["x"] > 0, 0.8, 0.0) + rng.normal(0, 0.3, 80)
    >>> tuned = mx.tune_metaforest("yi ~ x", trials, cluster="study", weights=["random"], mtry=[1],
    ...                            min_node_size=(5, 60), folds=4, n_trees=50, seed=1)
    >>> tuned.table["min_node_size"].tolist()
    [5, 60]
    """
    for kind in weights:
        check_option("weights", kind, WEIGHTS)
    check_count("folds", folds, 2)
    check_seed(seed)
    read = read_data(formula, data, vi, cluster, impute)
    if folds > len(read.labels):
        raise OptionError(f"{folds} folds of {len(read.labels)} clusters", hint="Use fewer folds.")
    root = np.sqrt(read.X.shape[1])
    tried = sorted({max(1, int(root * share)) for share in (0.5, 1.0, 2.0)}) if mtry is None else list(mtry)
    fold = cluster_folds(len(read.labels), folds, seed)[read.clusters]
    combinations = list(product(weights, tried, min_node_size))
    out = []
    with Progress(progress, "tuning", len(combinations) * folds, "forests") as report:
        for i, (kind, columns, size) in enumerate(combinations):
            growth = checked_growth(n_trees, columns, size)
            squares = np.empty(len(read.y))
            for f in range(folds):
                squares[fold == f] = _squared_errors(read, fold != f, kind, growth, seed, n_jobs)
                report(i * folds + f + 1)
            out.append((kind, growth.tried(read.X.shape[1]), size, float(np.sqrt(squares.mean()))))
    columns = ["weights", "mtry", "min_node_size", "rmse"]
    table = pd.DataFrame(out, columns=columns).sort_values("rmse", ignore_index=True, kind="stable")
    best = table.iloc[0]
    growth = checked_growth(n_trees, int(best["mtry"]), int(best["min_node_size"]))
    return TunedForest(table, MetaForest(**grown(read, best["weights"], growth, seed, n_jobs)), folds)


def cluster_folds(clusters: int, folds: int, seed: int | None) -> NDArray[np.intp]:
    """(C,) fold of each cluster, of sizes that differ by one at most."""
    return np.random.default_rng(seed).permutation(np.arange(clusters) % folds)


def part(data: ForestData, rows: NDArray[np.bool_]) -> ForestData:
    """Some rows of the data, their clusters numbered anew."""
    codes, kept = np.unique(data.clusters[rows], return_inverse=True)
    return replace(
        data, y=data.y[rows], vi=data.vi[rows], values=data.values[rows], clusters=kept.astype(np.intp),
        labels=tuple(data.labels[c] for c in codes), used=data.used[rows],
        raw=None if data.raw is None else data.raw[rows],
    )  # fmt: skip


def divided(data: ForestData, training: NDArray[np.bool_]) -> tuple[ForestData, ForestData]:
    """Training rows and the others; moderators that were filled in are filled in anew from the training rows."""
    train, test = part(data, training), part(data, ~training)
    if train.raw is None or test.raw is None:
        return train, test
    filling = Filling.of(train.raw)
    return replace(train, values=filling.fill(train.raw)), replace(test, values=filling.fill(test.raw))


def _squared_errors(
    data: ForestData, training: NDArray[np.bool_], kind: Weights, growth: Any, seed: int | None, n_jobs: int
) -> NDArray[np.float64]:  # fmt: skip
    train, test = divided(data, training)
    w = draw_weights(kind, train.vi, tau2_of(train.y, train.vi))
    forest = grow_forest(
        train.X, train.y, w, train.clusters, growth, np.random.SeedSequence(seed), None, n_jobs
    )  # fmt: skip
    return (test.y - forest.predict(test.X)) ** 2
