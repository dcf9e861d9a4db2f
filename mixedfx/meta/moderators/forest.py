r"""Random forests of effect sizes: weighted draws by clusters, out-of-bag predictions, permutation importance.

MetaForest (Van Lissa 2020, in *Small sample size solutions*, Routledge) grows each tree on a bootstrap sample in which
an estimate is drawn with a probability proportional to its weight: 1 / (v + tau2) (``"random"``), 1 / v (``"fixed"``)
or 1. Estimates of one study are not independent, so here whole clusters are drawn and left out: cluster c with a
probability proportional to the mean weight of its n_c estimates, and from it n_c estimates with replacement in
proportion to their weights, C times for C clusters. An estimate is then expected to be drawn in proportion to its
weight, as without clusters:

    (W_c / n_c) n_c (w_i / W_c) = w_i.

Out of bag are the clusters that were not drawn. With err_b(x) the mean squared error of tree b on its rows out of bag,
the importance of a moderator is the mean over trees of err_b(moderator permuted among these rows) - err_b. All columns
of a moderator are permuted together, so that a category has one importance and not one for each of its levels.

Trees are grown on the rows that were drawn, each counting as often as it was drawn: so does the size of a node, as in
the forests that MetaForest is built on, and a node whose tried features do not vary is a leaf as there.

The trees are our own (`trees`). Grown on scikit-learn's, and asked about every moderator by permuted copies of the
rows, 500 trees on 1,109 effects and 43 moderators with importance took four times as long (benchmarks/RESULTS.md), and
needed another package. A category stays a set of indicators, which a tree may take one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.meta.moderators.trees import COMPILED_FROM, Sample, Trees

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

BLOCK = 10  # trees that compiled loops grow between two reports
ENTRIES = 200_000  # rows times trees that grow together without them


@dataclass(frozen=True)
class Growth:
    """How trees grow.

    Attributes
    ----------
    n_trees
        Number of trees.
    mtry
        Columns that are tried at each split; the root of their number, rounded down, where None.
    min_node_size
        A node of this many draws, or fewer, is not split.
    """

    n_trees: int = 500
    mtry: int | None = None
    min_node_size: int = 5

    def tried(self, columns: int) -> int:
        """Columns tried at each split, of so many."""
        return max(1, int(np.sqrt(columns))) if self.mtry is None else min(self.mtry, columns)


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees and what they left out.

    Attributes
    ----------
    trees
        As arrays.
    out
        (B, n) whether a row was out of bag.
    predicted
        (n,) mean prediction of the trees that a row is out of bag of; NaN where there is none.
    importance
        (m,) mean rise of the squared error by permutation of each moderator; NaN where it was not asked for.
    """

    trees: Trees
    out: NDArray[np.bool_]
    predicted: Array
    importance: Array

    def predict(self, X: Array) -> Array:
        """(m,) mean prediction of all trees for features (m, c)."""
        return self.trees.predict(X)


@dataclass(frozen=True, eq=False)
class Draws:
    """Bootstrap samples: clusters first, then rows within them.

    Attributes
    ----------
    order
        (n,) rows, those of one cluster together.
    sizes, starts
        (C,) rows of each cluster, and where they begin in that order.
    shares
        (C,) cumulative probabilities of the clusters.
    within
        (n,) cumulative weights of the rows in that order.
    before, sums
        (C,) weights of the rows before each cluster, and in it.
    """

    order: Rows
    sizes: Rows
    starts: Rows
    shares: Array
    within: Array
    before: Array
    sums: Array

    @classmethod
    def of(cls, weights: Array, clusters: Rows) -> Draws:
        """From positive weights (n,) and the codes of the clusters (n,), 0 to C - 1."""
        order, sizes = np.argsort(clusters, kind="stable"), np.bincount(clusters)
        sums: Array = np.bincount(clusters, weights).astype(np.float64)
        before: Array = np.cumsum(sums) - sums
        mean = sums / sizes
        starts = np.cumsum(sizes) - sizes
        return cls(order, sizes, starts, np.cumsum(mean / mean.sum()), np.cumsum(weights[order]), before, sums)

    def rows(self, rng: np.random.Generator) -> Rows:
        """The rows of one sample."""
        chosen = np.searchsorted(self.shares[:-1], rng.random(len(self.sizes)), side="right")
        picked = np.repeat(chosen, self.sizes[chosen])
        at = np.searchsorted(self.within, self.before[picked] + rng.random(len(picked)) * self.sums[picked], "right")
        first = self.starts[picked]
        return self.order[np.clip(at, first, first + self.sizes[picked] - 1)]  # sums are rounded

    @property
    def most(self) -> int:
        """A sample has no more rows."""
        return len(self.sizes) * int(self.sizes.max())


def draw_rows(weights: Array, clusters: Rows, rng: np.random.Generator) -> Rows:
    """The rows of one bootstrap sample, see `Draws`."""
    return Draws.of(weights, clusters).rows(rng)


def grow_forest(
    X: Array, y: Array, weights: Array, clusters: Rows, growth: Growth, seed: int | np.random.SeedSequence,
    moderators: Sequence[Rows] | None = None, n_jobs: int = 1, told: Callable[[int], None] | None = None,
    compiled: bool | None = None,
) -> Forest:  # fmt: skip
    """Grow a forest.

    Parameters
    ----------
    X, y
        (n, c) features and (n,) effect sizes.
    weights
        (n,) of the draws.
    clusters
        (n,) codes of what is drawn together.
    growth
        How trees grow.
    seed
        Of the draws; each tree has a stream of its own, so that `n_jobs` does not matter.
    moderators
        Columns of each moderator, whose importance is wanted; None for no importance.
    n_jobs
        Threads.
    told
        Called with the number of trees that are done.
    compiled
        Whether by compiled loops, which give the same; by default where there is enough to do.
    """
    draws = Draws.of(weights, clusters)
    sample = Sample.of(X, y, draws.most)
    tried = growth.tried(X.shape[1])
    loops = growth.n_trees * len(y) * tried >= COMPILED_FROM if compiled is None else compiled
    owner = np.zeros(X.shape[1], dtype=np.int64)
    for j, columns in enumerate(moderators or ()):
        owner[columns] = j
    m = 0 if moderators is None else len(moderators)
    streams = np.random.SeedSequence(seed) if isinstance(seed, int) else seed
    streams = streams.spawn(growth.n_trees)
    size = BLOCK if loops else max(1, ENTRIES // len(y))
    blocks = [streams[first : first + size] for first in range(0, len(streams), size)]

    def one(block: Sequence[np.random.SeedSequence]) -> _Block:
        return _grown(sample, draws, clusters, tried, growth.min_node_size, owner, m, block, loops)

    found: list[_Block] = []
    with ThreadPoolExecutor(n_jobs) if n_jobs > 1 else nullcontext() as pool:
        for part in map(one, blocks) if pool is None else pool.map(one, blocks):
            found.append(part)
            if told is not None:
                told(min(len(found) * size, growth.n_trees))
    out = np.concatenate([part.out for part in found])
    totals, counts = np.sum([part.predicted for part in found], axis=0), out.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = np.where(counts > 0, totals / counts, np.nan)
    importance = np.sum([part.rise for part in found], axis=0) / growth.n_trees
    return Forest(Trees.joined([part.trees for part in found]), out, predicted, importance)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some trees: out of bag (b, n), sums of their predictions there (n,) and of their rises of the error (m,)."""

    trees: Trees
    out: NDArray[np.bool_]
    predicted: Array
    rise: Array


def _grown(
    sample: Sample, draws: Draws, clusters: Rows, tried: int, smallest: int, owner: Rows, m: int,
    streams: Sequence[np.random.SeedSequence], loops: bool,
) -> _Block:  # fmt: skip
    if loops:
        from mixedfx.linalg.regression_trees import left_out_errors
    else:
        from mixedfx.linalg.tree_twins import left_out_errors
    n, generators = len(sample.y), [np.random.default_rng(stream) for stream in streams]
    drawn = np.empty((len(streams), n), dtype=np.int64)
    keys = np.empty(len(streams), dtype=np.uint64)
    for b, rng in enumerate(generators):
        drawn[b] = np.bincount(draws.rows(rng), minlength=n)
        keys[b] = rng.integers(2**64 - 1, dtype=np.uint64, endpoint=True)
    trees = sample.grow(drawn, keys, tried, smallest, loops)
    out, total, rise = np.zeros((len(streams), n), dtype=bool), np.zeros(n), np.zeros(m)
    for b, rng in enumerate(generators):
        seen = np.bincount(clusters, drawn[b]) > 0
        out[b] = ~seen[clusters]
        rows = np.flatnonzero(out[b])
        moved = rng.random((m, len(rows)))
        predicted, own, one = np.zeros(n), np.zeros(m), trees[b]
        left_out_errors(
            one.feature, one.threshold, one.left, one.value, sample.X, sample.y, rows, owner, moved, predicted, own
        )
        total += predicted
        rise += own
    return _Block(trees, out, total, rise)
