r"""Growing a random-effects meta-tree: one tau2 common to all leaves, estimated anew for every split that is tried.

Leaves l = 1..L partition the estimates. With w = 1 / v, Q_l the weighted sum of squares within a leaf and

    C = sum w - sum_l (sum_l w^2 / sum_l w),        tau2 = max(0, (sum_l Q_l - (k - L)) / C)

(DerSimonian and Laird within leaves), w* = 1 / (v + tau2) and leaf means y*_l, the heterogeneity between leaves is

    Q*_B = sum_l W*_l (y*_l - y*)^2,     W*_l = sum_l w*,  y* the mean of all with weights w*.

The next split is the one, of any leaf and moderator, that makes Q*_B largest, with its own tau2 (Li, Dusseldorp &
Meulman 2017, British Journal of Mathematical and Statistical Psychology 70:118, and their later random-effects trees).
The levels of a category are put in the order of their mean estimates in the leaf, and cut like numbers. Splits are
added one at a time, so that smaller trees are the beginnings of larger ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

GAIN = 1e-5  # least rise of Q*_B for a split
CHUNK = 4_000_000  # entries of weights that are held at once


@dataclass(frozen=True, eq=False)
class Variable:
    """One moderator of a tree.

    Attributes
    ----------
    name
        Its column.
    values
        (k,) numbers, or codes of levels.
    levels
        The levels; None of a number.
    """

    name: str
    values: Array
    levels: tuple[str, ...] | None


@dataclass(frozen=True)
class Split:
    """One split.

    Attributes
    ----------
    leaf
        Which leaf is split, by its number before; the right part gets the next number.
    variable
        Position of the moderator.
    cut
        Numbers up to here go left; None of a category.
    left
        Codes of the levels that go left; empty of a number.
    tau2, Q
        tau2 and Q*_B with this split.
    """

    leaf: int
    variable: int
    cut: float | None
    left: frozenset[int]
    tau2: float
    Q: float

    def goes_left(self, values: Array) -> Mask:
        """(n,) which values go left; a level that the leaf did not have goes right."""
        if self.cut is not None:
            return values <= self.cut
        return np.isin(values, list(self.left))


def leaves_of(splits: Sequence[Split], variables: Sequence[Array], n: int) -> NDArray[np.intp]:
    """(n,) leaf of each row: the first split divides leaf 0, its right part becomes leaf 1, and so on."""
    leaf = np.zeros(n, dtype=np.intp)
    for number, split in enumerate(splits, 1):
        inside = leaf == split.leaf
        leaf[inside & ~split.goes_left(variables[split.variable])] = number
    return leaf


def common_tau2(y: Array, v: Array, leaf: NDArray[np.intp]) -> float:
    """The tau2 of a partition."""
    w, count = 1.0 / v, int(leaf.max()) + 1
    W = np.bincount(leaf, w, count)
    mean = np.bincount(leaf, w * y, count) / W
    Q = float(np.sum(w * (y - mean[leaf]) ** 2))
    C = float(W.sum() - np.sum(np.bincount(leaf, w**2, count) / W))
    return max(0.0, (Q - (len(y) - count)) / C) if C > 0.0 else 0.0


def between(y: Array, v: Array, leaf: NDArray[np.intp], tau2: float) -> tuple[float, Array, Array]:
    """Q*_B, and the (L,) means and weights of the leaves."""
    w, count = 1.0 / (v + tau2), int(leaf.max()) + 1
    W = np.bincount(leaf, w, count)
    mean = np.bincount(leaf, w * y, count) / W
    total: Array = np.asarray(W, dtype=np.float64)
    return float(np.sum(W * (mean - np.sum(w * y) / np.sum(w)) ** 2)), mean, total


def grow(
    y: Array, v: Array, variables: Sequence[Variable], max_splits: int, min_split: int, min_bucket: int
) -> tuple[Split, ...]:  # fmt: skip
    """The splits of a tree in the order in which they were found.

    Parameters
    ----------
    y, v
        (k,) effect sizes and sampling variances.
    variables
        The moderators.
    max_splits
        At most so many.
    min_split
        A leaf with fewer estimates is not split.
    min_bucket
        Least number of estimates of a new leaf.
    """
    splits: list[Split] = []
    leaf = np.zeros(len(y), dtype=np.intp)
    Q = 0.0
    while len(splits) < max_splits:
        found = [
            best
            for j in range(len(splits) + 1)
            if (leaf == j).sum() >= min_split
            for i, variable in enumerate(variables)
            if (best := best_split(y, v, leaf, j, i, variable, min_bucket)) is not None
        ]
        if not found:
            break
        best = max(found, key=lambda split: split.Q)
        if best.Q - Q < GAIN:
            break
        Q = best.Q
        inside = leaf == best.leaf
        leaf[inside & ~best.goes_left(variables[best.variable].values)] = len(splits) + 1
        splits.append(best)
    return tuple(splits)


def best_split(
    y: Array, v: Array, leaf: NDArray[np.intp], j: int, position: int, variable: Variable, min_bucket: int
) -> Split | None:  # fmt: skip
    """The best cut of leaf j by one moderator; None where no cut leaves both parts large enough."""
    inside = np.flatnonzero(leaf == j)
    codes, ordered = _ordered(variable, y, inside)
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    cuts = np.flatnonzero(np.diff(sorted_codes) > 0) + 1  # number of rows that go left
    cuts = cuts[(cuts >= min_bucket) & (cuts <= len(inside) - min_bucket)]
    if not len(cuts):
        return None
    others = leaf != j
    tau2 = _tau2_of_cuts(y, v, leaf, others, inside[order], cuts)
    Q = _Q_of_cuts(y, v, leaf, others, inside[order], cuts, tau2)
    at = int(np.argmax(Q))
    if variable.levels is None:
        cut = float((sorted_codes[cuts[at] - 1] + sorted_codes[cuts[at]]) / 2.0)
        return Split(j, position, cut, frozenset(), float(tau2[at]), float(Q[at]))
    left = frozenset(int(c) for c in ordered[: int(sorted_codes[cuts[at] - 1]) + 1])
    return Split(j, position, None, left, float(tau2[at]), float(Q[at]))


def _ordered(variable: Variable, y: Array, inside: NDArray[np.intp]) -> tuple[Array, Array]:
    """Values of the rows of a leaf that can be cut like numbers, and for categories the codes in that order."""
    values = variable.values[inside]
    if variable.levels is None:
        return values, values
    present = np.unique(values)
    means = np.array([y[inside][values == code].mean() for code in present])
    ordered = present[np.argsort(means, kind="stable")]
    place = np.empty(len(variable.levels))
    place[ordered.astype(np.intp)] = np.arange(len(ordered))
    return place[values.astype(np.intp)], ordered


def _tau2_of_cuts(
    y: Array, v: Array, leaf: NDArray[np.intp], others: Mask, rows: NDArray[np.intp], cuts: NDArray[np.intp]
) -> Array:  # fmt: skip
    """(c,) tau2 of the partition with each cut of the sorted rows of a leaf."""
    w = 1.0 / v
    Q, C, count = 0.0, 0.0, 0
    for other in np.unique(leaf[others]):
        mine = leaf == other
        W = w[mine].sum()
        Q += float(np.sum(w[mine] * (y[mine] - np.sum(w[mine] * y[mine]) / W) ** 2))
        C += float(W - np.sum(w[mine] ** 2) / W)
        count += 1
    sums = np.cumsum(np.stack([w[rows], w[rows] * y[rows], w[rows] * y[rows] ** 2, w[rows] ** 2]), axis=1)
    left, whole = sums[:, cuts - 1], sums[:, -1:]
    for W, wy, wyy, ww in (left, whole - left):
        Q = Q + (wyy - wy**2 / W)
        C = C + (W - ww / W)
    free = len(y) - (count + 2)
    return np.maximum(0.0, (Q - free) / C)


def _Q_of_cuts(
    y: Array, v: Array, leaf: NDArray[np.intp], others: Mask, rows: NDArray[np.intp], cuts: NDArray[np.intp],
    tau2: Array,
) -> Array:  # fmt: skip
    """(c,) Q*_B of each cut with its own tau2."""
    out = np.empty(len(cuts))
    size = max(1, CHUNK // len(y))
    labels = np.unique(leaf[others])
    for start in range(0, len(cuts), size):
        part = slice(start, start + size)
        w = 1.0 / (v[None] + tau2[part, None])
        wy = w * y
        W_all, y_all = w.sum(axis=1), wy.sum(axis=1)
        total = np.zeros(len(w))
        for other in labels:
            mine = leaf == other
            total += wy[:, mine].sum(axis=1) ** 2 / w[:, mine].sum(axis=1)
        running, running_y = np.cumsum(w[:, rows], axis=1), np.cumsum(wy[:, rows], axis=1)
        pick = np.arange(len(w)), cuts[part] - 1
        W, m = running[pick], running_y[pick]
        total += m**2 / W + (running_y[:, -1] - m) ** 2 / (running[:, -1] - W)
        out[part] = total - y_all**2 / W_all
    return out
