r"""Which moderators are worth keeping: forests grown over and over, and the share of times each moderator stayed.

A moderator that says nothing has an importance that is as often a little below zero as above: its permutation makes
errors out of bag larger or smaller by chance. Three ways of asking, as in MetaForest (Van Lissa 2020):

``"recursive"``  A forest is grown; while any importance is negative the moderator with the smallest is left out and the
                 forest grown anew. Repeated with other draws.
``"replicate"``  Forests of all moderators with other draws.
``"bootstrap"``  The same, each on a bootstrap sample of the clusters.

Of the first the share of repeats in which a moderator stays decides, of the others the 2.5 % quantile of its
importance, which must be positive. A fourth makes a promise:

``"shadow"``     To each forest a copy of every moderator is added whose values are shuffled between clusters, and a
                 moderator stays where its importance is above that of every shuffled copy (Kursa & Rudnicki 2010,
                 Journal of Statistical Software 36(11)). A moderator of noise and its own copy can change places, so it
                 is above all m copies as often as its copy is above it and the others. Only one copy is the largest of
                 them: in a repeat at most one moderator of noise is expected to stay, a share of at most 1 / m (1 /
                 (m + 1) where all are alike), and with `cutoff` c at most 1 / c of them are expected to be kept. Of
                 moderators that differ within clusters of different sizes this holds nearly: a large cluster that gets
                 the values of a small one has some of them twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import check_count, check_option
from mixedfx.meta.moderators.features import Coding
from mixedfx.meta.moderators.forest import Array, grow_forest
from mixedfx.meta.moderators.forest_data import ForestData, draw_weights
from mixedfx.meta.moderators.grown import GrownForest
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Kind = Literal["recursive", "replicate", "bootstrap", "shadow"]
KINDS: tuple[Kind, ...] = ("recursive", "replicate", "bootstrap", "shadow")
CUTOFF: dict[str, float] = {"recursive": 0.1, "shadow": 0.5}
"""Share of repeats above which a moderator is kept; that of "recursive" is MetaForest's."""


@dataclass(frozen=True, eq=False, repr=False)
class Preselection(Shown):
    """What repeated forests kept.

    Attributes
    ----------
    table
        moderator, share of repeats in which it stayed, median, low and high (2.5 and 97.5 %) of its importance, keep.
    kind
        How it was asked.
    repeats
        Number of repeats.
    cutoff
        Share above which a moderator is kept; None where the quantile decides.
    """

    table: pd.DataFrame
    kind: Kind
    repeats: int
    cutoff: float | None

    @property
    def kept(self) -> list[str]:
        """The moderators that are kept, the most frequent first."""
        return self.table.loc[self.table["keep"], "moderator"].tolist()

    def content(self) -> SummaryContent:
        """What is shown."""
        rule = (
            "the 2.5 % quantile of its importance is positive"
            if self.cutoff is None
            else f"it stays in more than {100 * self.cutoff:g} % of them"
        )
        facts = SummaryFacts(
            (("Repeats", f"{self.repeats:,}, {self.kind}; a moderator is kept where {rule}"),
             ("Kept", ", ".join(self.kept) or "none"))
        )  # fmt: skip
        return SummaryContent("Moderators kept", (facts, frame_table(self.table, "By moderator")))


def preselect(
    forest: GrownForest, repeats: int, kind: Kind, cutoff: float | None, progress: Asked
) -> Preselection:  # fmt: skip
    """Answer behind `MetaForest.preselect`."""
    check_option("kind", kind, KINDS)
    check_count("repeats", repeats)
    if cutoff is None:
        cutoff = CUTOFF.get(kind)
    data, names = forest.data, forest.data.coding.names
    stayed = np.zeros((repeats, len(names)), dtype=bool)
    importance = np.full((repeats, len(names)), np.nan)
    streams = np.random.SeedSequence(forest.seed).spawn(repeats + 1)[1:]
    with Progress(progress, f"{kind} preselection", repeats, "repeats") as report:
        for i, stream in enumerate(streams):
            stayed[i], importance[i] = _REPEATS[kind](forest, data, stream)
            report(i + 1)
    with np.errstate(invalid="ignore"):
        low, median, high = np.nanquantile(
            np.where(np.isnan(importance), -np.inf, importance), [0.025, 0.5, 0.975], axis=0
        )
    share = stayed.mean(axis=0)
    keep = share > cutoff if cutoff is not None else low > 0.0
    table = pd.DataFrame(
        {"moderator": names, "share": share, "median": median, "low": low, "high": high, "keep": keep}
    ).sort_values(["share", "median"], ascending=False, ignore_index=True, kind="stable")
    table[["median", "low", "high"]] = table[["median", "low", "high"]].replace(-np.inf, np.nan)
    return Preselection(table, kind, repeats, cutoff)


def _importance(forest: GrownForest, data: ForestData, stream: np.random.SeedSequence) -> Array:
    """(m,) importance in one forest with other draws."""
    w = draw_weights(forest.weights, data.vi, forest.tau2)
    found = grow_forest(data.X, data.y, w, data.clusters, forest.growth, stream, data.coding.columns, forest.n_jobs)
    return found.importance


def _recursive(forest: GrownForest, data: ForestData, stream: np.random.SeedSequence) -> tuple[Any, Array]:
    names = list(data.coding.names)
    left, found = list(names), np.full(len(names), np.nan)
    while left:
        importance = _importance(forest, data.keep(left), stream.spawn(1)[0])
        if importance.min() >= 0.0:
            found[[names.index(name) for name in left]] = importance
            break
        del left[int(importance.argmin())]
    return np.isin(names, left), found


def _replicate(forest: GrownForest, data: ForestData, stream: np.random.SeedSequence) -> tuple[Any, Array]:
    importance = _importance(forest, data, stream)
    return importance > 0.0, importance


def _bootstrap(forest: GrownForest, data: ForestData, stream: np.random.SeedSequence) -> tuple[Any, Array]:
    """Clusters drawn with replacement; copies of one are drawn and left out together.

    As clusters of their own they would be predicted by trees that have seen their copy, and any moderator that tells
    clusters apart would seem to matter.
    """
    first, second = stream.spawn(2)
    chosen = np.random.default_rng(first).integers(len(data.labels), size=len(data.labels))
    at = np.concatenate([np.flatnonzero(data.clusters == c) for c in chosen])
    codes, clusters = np.unique(data.clusters[at], return_inverse=True)
    drawn = replace(
        data, y=data.y[at], vi=data.vi[at], values=data.values.iloc[at], clusters=clusters, used=data.used[at],
        labels=tuple(data.labels[c] for c in codes),
    )  # fmt: skip
    importance = _importance(forest, drawn, second)
    return importance > 0.0, importance


def _shadow(forest: GrownForest, data: ForestData, stream: np.random.SeedSequence) -> tuple[Any, Array]:
    first, second = stream.spawn(2)
    rng, m = np.random.default_rng(first), len(data.coding.names)
    shadows = {}
    for name in data.coding.names:
        shadows[f"{name} (shuffled)"] = data.values[name].to_numpy()[shuffled(data.clusters, rng)]
    values = pd.concat([data.values, pd.DataFrame(shadows, index=data.values.index)], axis=1)
    copies = tuple(replace(one, name=f"{one.name} (shuffled)") for one in data.coding.moderators)
    both = replace(data, values=values, coding=Coding((*data.coding.moderators, *copies)))
    importance = _importance(forest, both, second)
    return importance[:m] > max(importance[m:].max(), 0.0), importance[:m]


def shuffled(clusters: Any, rng: np.random.Generator) -> Any:
    """(n,) rows whose values a row gets: whole clusters change places, and within one its rows are drawn from there."""
    order = rng.permutation(int(clusters.max()) + 1)
    rows = [np.flatnonzero(clusters == c) for c in range(len(order))]
    out = np.empty(len(clusters), dtype=np.intp)
    for c, other in enumerate(order):
        source = rows[other]
        size = len(rows[c])
        out[rows[c]] = source[rng.permutation(len(source))[:size]] if size <= len(source) else rng.choice(source, size)
    return out


_REPEATS = {"recursive": _recursive, "replicate": _replicate, "bootstrap": _bootstrap, "shadow": _shadow}
