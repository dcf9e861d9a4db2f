"""Regression trees as arrays: grown on weighted draws, by compiled loops where there is much to do, by NumPy elsewhere.

Both ways give the same trees (`mixedfx.linalg.tree_twins` has the formulas), so which of them ran is of no consequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg import tree_twins
from mixedfx.linalg.tree_twins import Array, Bits, Ints, salts_of, whole_numbers

COMPILED_FROM = 400_000  # trees times rows times features tried, from which compiled loops save more than their import
CELLS = 4_000_000  # of a table of trees by rows that is held at once


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees, the nodes of each after those of the one before.

    Attributes
    ----------
    feature
        (N,) column that a node asks for; -1 of a leaf.
    threshold
        (N,) values up to here go left.
    left
        (N,) left child, counted from the root of the tree; the right one is the next.
    value
        (N,) mean of the draws in a node.
    start
        (B + 1,) where each tree begins, and the end.
    """

    feature: Ints
    threshold: Array
    left: Ints
    value: Array
    start: Ints

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, b: int) -> Trees:
        """One tree."""
        part = slice(self.start[b], self.start[b + 1])
        start = np.array([0, self.start[b + 1] - self.start[b]])
        return Trees(self.feature[part], self.threshold[part], self.left[part], self.value[part], start)

    def each(self, X: Array) -> Array:
        """(B, n) predictions of each tree for the rows of X."""
        return self.value[tree_twins.leaves(self.feature, self.threshold, self.left, self.start[:-1], X)]

    def predict(self, X: Array) -> Array:
        """(n,) mean prediction of all trees."""
        X = np.ascontiguousarray(X, dtype=np.float64)
        total = np.zeros(len(X))
        if len(self) * len(X) >= COMPILED_FROM:
            from mixedfx.linalg.regression_trees import predict_sums

            predict_sums(self.feature, self.threshold, self.left, self.value, self.start, X, total)
        else:
            size = max(1, CELLS // max(1, len(X)))
            for first in range(0, len(self), size):
                roots = self.start[first : min(first + size, len(self))]
                found = tree_twins.leaves(self.feature, self.threshold, self.left, roots, X)
                total += self.value[found].sum(axis=0)
        return total / len(self)

    @staticmethod
    def joined(parts: Sequence[Trees]) -> Trees:
        """All of them."""
        sizes = np.concatenate([np.diff(part.start) for part in parts])
        return Trees(
            np.concatenate([part.feature for part in parts]),
            np.concatenate([part.threshold for part in parts]),
            np.concatenate([part.left for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([[0], np.cumsum(sizes)]),
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """What trees are grown on, as they need it.

    Attributes
    ----------
    X, y
        (n, p) features and (n,) responses.
    codes
        (p, n) the values of each feature as 0, 1, ... in their order.
    levels
        (p,) numbers of values.
    values
        The values of each feature, one after the other.
    offsets
        (p,) where those of a feature begin.
    whole
        (n,) y as whole numbers; y = centre + unit * whole.
    centre, unit
        See there.
    salts
        Of the hashes that draw features.
    """

    X: Array
    y: Array
    codes: NDArray[np.int32]
    levels: Ints
    values: Array
    offsets: Ints
    whole: Ints
    centre: float
    unit: float
    salts: Bits

    @classmethod
    def of(cls, X: Array, y: Array, draws: int) -> Sample:
        """Prepare features and responses for samples of at most so many draws."""
        X = np.ascontiguousarray(X, dtype=np.float64)
        found = [np.unique(column, return_inverse=True) for column in X.T]
        levels = np.array([len(values) for values, _ in found], dtype=np.int64)
        codes = np.array([code for _, code in found], dtype=np.int32).reshape(len(found), len(y))
        whole, centre, unit = whole_numbers(y, draws)
        values, offsets = np.concatenate([values for values, _ in found]), np.cumsum(levels) - levels
        return cls(X, y, codes, levels, values, offsets, whole, centre, unit, salts_of(len(found)))

    def grow(self, weights: Ints, keys: Bits, tried: int, smallest: int, compiled: bool) -> Trees:
        """Trees on samples that have drawn row i `weights[b, i]` times; see `mixedfx.linalg.tree_twins.grow_trees`."""
        if compiled:
            parts = [self._loops(w, key, tried, smallest) for w, key in zip(weights, keys, strict=True)]
            start = np.cumsum([0, *(part.shape[1] for part in parts)])
            return self._trees(*np.concatenate(parts, axis=1), start=start)
        nodes = tree_twins.grow_trees(self.codes, self.whole, weights, keys, self.salts, tried, smallest)
        start = np.searchsorted(nodes.tree, np.arange(len(weights) + 1))
        return self._trees(nodes.feature, nodes.low, nodes.high, nodes.left, nodes.draws, nodes.total, start)

    def _loops(self, weight: Ints, key: Any, tried: int, smallest: int) -> Ints:
        """(6, N) the columns of the nodes of one tree."""
        from mixedfx.linalg.regression_trees import grow_tree

        nodes = np.zeros((6, 2 * int(np.count_nonzero(weight))), dtype=np.int64)
        count = grow_tree(
            self.codes, self.levels, self.whole, weight, key, self.salts, tried, smallest, *nodes
        )  # fmt: skip
        return nodes[:, :count]

    def _trees(self, feature: Ints, low: Ints, high: Ints, left: Ints, draws: Ints, total: Ints, start: Ints) -> Trees:
        begin = self.offsets[np.maximum(feature, 0)]
        below, above = self.values[begin + low], self.values[begin + high]
        half = below + 0.5 * (above - below)
        threshold = np.where(half < above, half, below)  # between neighbours there is no number
        return Trees(feature, threshold, left, self.centre + self.unit * (total / draws), start)
