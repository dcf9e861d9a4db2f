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

Trees are scikit-learn's, grown on the rows that were drawn (repeated as often as drawn), so that the size of a node
counts draws, as in the forests that MetaForest is built on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.optional import package

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


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
        Fitted scikit-learn trees.
    out
        (B, n) whether a row was out of bag.
    predicted
        (n,) mean prediction of the trees that a row is out of bag of; NaN where there is none.
    importance
        (m,) mean rise of the squared error by permutation of each moderator; NaN where it was not asked for.
    """

    trees: tuple[Any, ...]
    out: NDArray[np.bool_]
    predicted: Array
    importance: Array

    def predict(self, X: Array) -> Array:
        """(m,) mean prediction of all trees for features (m, c)."""
        features = np.ascontiguousarray(X, dtype=np.float32)
        total = np.zeros(len(features))
        for tree in self.trees:
            total += tree.tree_.predict(features)[:, 0]
        return total / len(self.trees)


def draw_rows(weights: Array, clusters: Rows, rng: np.random.Generator) -> Rows:
    """The rows of one bootstrap sample: clusters first, then rows within them.

    Parameters
    ----------
    weights
        (n,) positive.
    clusters
        (n,) codes 0 to C - 1.
    """
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.bincount(clusters, weights)
    mean = sums / sizes
    chosen = np.searchsorted(np.cumsum(mean / mean.sum())[:-1], rng.random(len(sizes)), side="right")
    within = np.cumsum(weights[order])
    before = np.concatenate([[0.0], np.cumsum(sums)[:-1]])
    picked = np.repeat(chosen, sizes[chosen])
    at = np.searchsorted(within, before[picked] + rng.random(len(picked)) * sums[picked], side="right")
    at = np.clip(at, starts[picked], starts[picked] + sizes[picked] - 1)  # rounding of the cumulative sums
    return order[at]


def grow_forest(
    X: Array, y: Array, weights: Array, clusters: Rows, growth: Growth, seed: int | np.random.SeedSequence,
    moderators: Sequence[Rows] | None = None, n_jobs: int = 1, told: Callable[[int], None] | None = None,
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
    """
    features = np.ascontiguousarray(X, dtype=np.float32)
    streams = (
        np.random.SeedSequence(seed).spawn(growth.n_trees) if isinstance(seed, int) else seed.spawn(growth.n_trees)
    )

    def one(stream: np.random.SeedSequence) -> tuple[Any, NDArray[np.bool_], Array, Array]:
        return _one_tree(features, y, weights, clusters, growth, np.random.default_rng(stream), moderators)

    found = []
    if n_jobs == 1:
        for stream in streams:
            found.append(one(stream))
            if told is not None:
                told(len(found))
    else:
        with ThreadPoolExecutor(n_jobs) as pool:
            for part in pool.map(one, streams):
                found.append(part)
                if told is not None:
                    told(len(found))
    out = np.stack([part[1] for part in found])
    totals, counts = np.sum([part[2] for part in found], axis=0), out.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = np.where(counts > 0, totals / counts, np.nan)
    importance = np.mean([part[3] for part in found], axis=0)
    return Forest(tuple(part[0] for part in found), out, predicted, importance)


def new_tree(mtry: int, min_node_size: int, seed: int) -> Any:
    """A tree of scikit-learn's that is not grown yet.

    Raises
    ------
    MissingPackageError
        Without scikit-learn.
    """
    tree = package("sklearn.tree", "forests need", "learn", "scikit-learn")
    return tree.DecisionTreeRegressor(max_features=mtry, min_samples_split=min_node_size + 1, random_state=seed)


def _one_tree(
    X: NDArray[np.float32], y: Array, weights: Array, clusters: Rows, growth: Growth, rng: np.random.Generator,
    moderators: Sequence[Rows] | None,
) -> tuple[Any, NDArray[np.bool_], Array, Array]:  # fmt: skip
    rows = draw_rows(weights, clusters, rng)
    tree = new_tree(growth.tried(X.shape[1]), growth.min_node_size, int(rng.integers(2**31 - 1)))
    tree.fit(X[rows], y[rows], check_input=False)
    drawn = np.zeros(int(clusters.max()) + 1, dtype=bool)
    drawn[clusters[rows]] = True
    out = ~drawn[clusters]
    predicted = np.zeros(len(y))
    importance = np.full(0 if moderators is None else len(moderators), np.nan)
    if out.any():
        predicted[out] = tree.tree_.predict(X[out])[:, 0]
        if moderators is not None:
            importance = _rise(tree.tree_, X[out], y[out], predicted[out], moderators, rng)
    elif moderators is not None:
        importance = np.zeros(len(moderators))
    return tree, out, predicted, importance


def _rise(
    tree: Any, X: NDArray[np.float32], y: Array, predicted: Array, moderators: Sequence[Rows], rng: np.random.Generator
) -> Array:  # fmt: skip
    """(m,) rise of the mean squared error on rows out of bag by permuting each moderator."""
    splits = set(np.unique(tree.feature).tolist())
    used = [j for j, columns in enumerate(moderators) if not splits.isdisjoint(columns.tolist())]
    rise = np.zeros(len(moderators))
    if not used:
        return rise
    permuted = np.repeat(X[None], len(used), axis=0)
    for copy, j in zip(permuted, used, strict=True):
        copy[:, moderators[j]] = X[np.ix_(rng.permutation(len(X)), moderators[j])]
    again = tree.predict(permuted.reshape(-1, X.shape[1]))[:, 0].reshape(len(used), len(X))
    rise[used] = ((y - again) ** 2).mean(axis=1) - ((y - predicted) ** 2).mean()
    return rise
