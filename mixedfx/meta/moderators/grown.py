"""GrownForest: a forest of effect sizes with its errors out of bag and its importance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import check_count
from mixedfx.meta.moderators.forest import Forest, Growth, grow_forest
from mixedfx.meta.moderators.forest_data import ForestData, Weights, draw_weights, tau2_of
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

_WEIGHT_WORDS = {
    "random": "estimates are drawn in proportion to 1 / (v + tau2)",
    "fixed": "estimates are drawn in proportion to 1 / v",
    "uniform": "all estimates are drawn alike",
}


@dataclass(frozen=True, eq=False, repr=False)
class GrownForest(Shown):
    """A forest and what it says of itself, which its questions and pictures read.

    Attributes
    ----------
    data
        What it was grown on.
    forest
        Trees, out-of-bag predictions, importance.
    weights
        Kind of the weights of the draws.
    growth
        How the trees grew.
    tau2
        Variance of true effects around one mean, before the moderators.
    seed
        Of the draws.
    n_jobs
        Threads.
    """

    data: ForestData
    forest: Forest
    weights: Weights
    growth: Growth
    tau2: float
    seed: int | None
    n_jobs: int

    @cached_property
    def oob(self) -> pd.Series:
        """(n,) out-of-bag predictions by position in the data; NaN of what every tree has drawn."""
        return pd.Series(self.forest.predicted, index=self.data.used, name="predicted")

    @cached_property
    def _seen(self) -> NDArray[np.bool_]:
        return np.isfinite(self.forest.predicted)

    @property
    def mse_oob(self) -> float:
        """Mean squared error of the out-of-bag predictions."""
        left = self.data.y[self._seen] - self.forest.predicted[self._seen]
        return float(np.mean(left**2))

    @property
    def r2_oob(self) -> float:
        """1 - mse_oob / variance of the effect sizes (divisor n - 1); negative where the mean predicts better."""
        return 1.0 - self.mse_oob / float(np.var(self.data.y, ddof=1))

    @cached_property
    def tau2_residual(self) -> float:
        """Variance of true effects that is left around the out-of-bag predictions."""
        return tau2_of((self.data.y - self.forest.predicted)[self._seen], self.data.vi[self._seen])

    @property
    def importance(self) -> pd.DataFrame:
        """Moderator and importance, the largest first."""
        table = pd.DataFrame({"moderator": self.data.coding.names, "importance": self.forest.importance})
        return table.sort_values("importance", ascending=False, ignore_index=True, kind="stable")

    def content(self) -> SummaryContent:
        """What is shown."""
        n, clusters = len(self.data.y), len(self.data.labels)
        facts = [
            ("Estimates", f"{n:,}" + (f" in {clusters:,} clusters, drawn and left out together" * (clusters < n))),
            (
                "Trees",
                f"{self.growth.n_trees:,}; {self.growth.tried(self.data.X.shape[1])} of {self.data.X.shape[1]} columns "
                f"tried at a split; nodes of {self.growth.min_node_size} draws or fewer are not split",
            ),
            ("Weights", _WEIGHT_WORDS[self.weights]),
            ("Out of bag", f"R2 {self.r2_oob:.3f}, mean squared error {self.mse_oob:.4g}"),
            ("tau2", f"{self.tau2:.4g} around one mean, {self.tau2_residual:.4g} around the out-of-bag predictions"),
        ]
        if self.r2_oob < 0:
            facts.append(("Note", "the forest predicts clusters it has not seen worse than one mean for all does"))
        blocks: list[Any] = [SummaryFacts(tuple(facts))]
        if np.isfinite(self.forest.importance).all():
            blocks.append(frame_table(self.importance, "Permutation importance", whole=".importance"))
        return SummaryContent("Forest of effect sizes", tuple(blocks))


def checked_growth(n_trees: int, mtry: int | None, min_node_size: int) -> Growth:
    """The options of growing trees, refused where they are no whole numbers."""
    check_count("n_trees", n_trees, 2)
    check_count("min_node_size", min_node_size)
    if mtry is not None:
        check_count("mtry", mtry)
    return Growth(n_trees, mtry, min_node_size)


def grown(
    data: ForestData, weights: Weights, growth: Growth, seed: int | None, n_jobs: int = 1, importance: bool = True,
    progress: Asked = None,
) -> dict[str, Any]:  # fmt: skip
    """The attributes of a forest on what was read."""
    tau2 = tau2_of(data.y, data.vi)
    w = draw_weights(weights, data.vi, tau2)
    with Progress(progress, "metaforest", growth.n_trees, "trees") as report:
        forest = grow_forest(
            data.X, data.y, w, data.clusters, growth, np.random.SeedSequence(seed),
            data.coding.columns if importance else None, n_jobs, report,
        )  # fmt: skip
    if not importance:
        forest = replace(forest, importance=np.full(len(data.coding.moderators), np.nan))
    return {
        "data": data, "forest": forest, "weights": weights, "growth": growth, "tau2": tau2, "seed": seed,
        "n_jobs": n_jobs,
    }  # fmt: skip
