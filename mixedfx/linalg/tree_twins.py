r"""Regression trees in NumPy: all nodes of a level, of many trees, at a time; twins of the compiled loops.

A tree divides rows that were drawn w_i times. At each node some features are tried, and the cut is made that reduces
the squared deviations from the means of both parts most (Breiman et al. 1984, *Classification and Regression Trees*),

    S_L^2 / W_L + S_R^2 / W_R   largest,    S = sum w y,  W = sum w,

halfway between two values. A node of `smallest` draws or fewer, or of one y, is a leaf; so is one whose tried features
do not vary in it.

The loops of `mixedfx.linalg.regression_trees` grow the same trees, for two reasons. y are whole numbers
(`whole_numbers`), whose sums are exact in any order: equal divisions by different features tie exactly, and the feature
tried first wins. And each node has a key of 64 bits, a hash of its parent's; the features tried are those whose hashes
with it are the smallest, without replacement.

Nodes of a tree are numbered breadth first: feature (-1 of a leaf), the codes `low` and `high` of the values around the
cut, `left` child (the right one is the next), draws W and total S.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.int32] | NDArray[np.int64]
Array = NDArray[np.float64]
Bits = NDArray[np.uint64]

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


class Nodes(NamedTuple):
    """Nodes of trees, one tree after the other."""

    tree: Ints
    feature: Ints
    low: Ints
    high: Ints
    left: Ints
    draws: Ints
    total: Ints


def whole_numbers(y: Array, draws: int) -> tuple[Ints, float, float]:
    """Y as whole numbers of a unit around their mean, such that `draws` of them add up exactly in 64 bits.

    Returns
    -------
    ndarray, float, float
        The numbers, the mean and the unit, a power of two: y = mean + unit * number, to 2^-52 of the largest deviation
        where draws are fewer than a thousand, and a bit less for each time they double.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.tree_twins import whole_numbers
    >>> number, mean, unit = whole_numbers(np.array([0.0, 1.0, 2.0]), 100)
    >>> (mean + unit * number).tolist()
    [0.0, 1.0, 2.0]
    """
    mean = float(y.mean())
    exponent = int(np.frexp(np.abs(y - mean).max())[1])
    room = min(52, 62 - int(draws).bit_length())
    unit = float(np.ldexp(1.0, exponent - room))
    return np.rint((y - mean) / unit).astype(np.int64), mean, unit


def mixed(z: Bits) -> Bits:
    """Bits of 64-bit numbers stirred (the finaliser of SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def salts_of(features: int) -> Bits:
    """(p + 2,) numbers that are added to the key of a node: of its left child, its right child, and each feature."""
    return mixed(np.array([(i + 1) * GOLDEN & MASK for i in range(features + 2)], dtype=np.uint64))


def grow_trees(
    codes: Codes, y: Ints, weights: Ints, keys: Bits, salts: Bits, tried: int, smallest: int
) -> Nodes:  # fmt: skip
    """Grow trees.

    Parameters
    ----------
    codes
        (p, n) each feature's values as 0, 1, ... in their order.
    y
        (n,) whole numbers.
    weights
        (B, n) how often each tree has drawn each row.
    keys
        (B,) of the roots.
    salts
        (p + 2,) as `salts_of` gives them.
    tried
        Features tried at a node.
    smallest
        A node of so many draws, or fewer, is a leaf.
    """
    node, row = np.nonzero(weights)
    w = weights[node, row]
    total = w * y[row]
    width = int(codes.max()) + 1
    tree, key, count = np.arange(len(weights)), keys, np.ones(len(weights), dtype=np.int64)
    out: list[tuple[Ints, ...]] = []
    index = np.zeros(len(weights), dtype=np.int64)
    while len(tree):
        start = np.searchsorted(node, np.arange(len(tree)))
        W, S = np.add.reduceat(w, start), np.add.reduceat(total, start)
        varied = np.maximum.reduceat(y[row], start) > np.minimum.reduceat(y[row], start)
        tried_at = np.argsort(mixed(key[:, None] + salts[2:]), axis=1, kind="stable")[:, :tried]
        feature, low, high = _best_cuts(codes, node, row, w, total, (smallest < W) & varied, W, S, tried_at, width)
        split = feature >= 0
        number = np.cumsum(split) - split  # of splits before, in all trees
        first = np.searchsorted(tree, np.arange(len(weights)))
        before = np.concatenate([number, [int(split.sum())]])[first]
        left = np.where(split, count[tree] + 2 * (number - before[tree]), -1)
        out.append((tree, index, feature, low, high, left, W, S))
        inside = split[node]
        node, row, w, total = node[inside], row[inside], w[inside], total[inside]
        node = 2 * number[node] + (codes[feature[node], row] > low[node])
        order = np.argsort(node, kind="stable")
        node, row, w, total = node[order], row[order], w[order], total[order]
        count += 2 * np.bincount(tree[split], minlength=len(count))
        index = (left[split][:, None] + np.arange(2)).ravel()
        key = mixed(key[split][:, None] + salts[:2]).ravel()
        tree = np.repeat(tree[split], 2)
    parts = [np.concatenate(part) for part in zip(*out, strict=True)]
    order = np.lexsort((parts[1], parts[0]))
    return Nodes(parts[0][order], *(part[order] for part in parts[2:]))


def _best_cuts(
    codes: Codes, node: Ints, row: Ints, w: Ints, total: Ints, open_: NDArray[np.bool_], W: Ints, S: Ints, tried: Ints,
    width: int,
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """Feature (-1 for none) and codes around the cut of each node."""
    best = np.full(len(W), -1.0)
    feature, low, high = np.full(len(W), -1), np.zeros(len(W), dtype=np.int64), np.zeros(len(W), dtype=np.int64)
    entries = np.flatnonzero(open_[node])
    if not len(entries):
        return feature, low, high
    node, row, w, total = node[entries], row[entries], w[entries], total[entries]
    start = np.searchsorted(node, np.arange(len(W)))  # of nodes that are not open: nothing
    for t in range(tried.shape[1]):
        code = codes[tried[node, t], row]
        order = np.argsort(node * width + code, kind="stable")
        code, ends_w, ends_S = code[order], np.cumsum(w[order]), np.cumsum(total[order])  # may wrap: differences do not
        at = np.flatnonzero((node[1:] == node[:-1]) & (code[1:] != code[:-1]))
        if not len(at):
            continue
        k = node[at]
        lower_W = ends_w[at] - np.concatenate([[0], ends_w])[start[k]]
        lower_S = ends_S[at] - np.concatenate([[0], ends_S])[start[k]]
        upper = (S[k] - lower_S).astype(np.float64)
        lower = lower_S.astype(np.float64)
        gain = lower * lower / lower_W.astype(np.float64) + upper * upper / (W[k] - lower_W).astype(np.float64)
        starts = np.flatnonzero(np.concatenate([[True], k[1:] != k[:-1]]))
        top = np.repeat(np.maximum.reduceat(gain, starts), np.diff(np.append(starts, len(k))))
        tops = np.flatnonzero(gain == top)
        tops = tops[np.concatenate([[True], np.diff(k[tops]) > 0])]  # the first of each node
        tops = tops[gain[tops] > best[k[tops]]]
        where, cut = k[tops], at[tops]
        best[where], feature[where] = gain[tops], tried[where, t]
        low[where], high[where] = code[cut], code[cut + 1]
    return feature, low, high


def leaves(feature: Ints, threshold: Array, left: Ints, start: Ints, X: Array) -> Ints:
    """(B, n) node in which each row of X ends in each tree; trees begin at `start`."""
    node = np.repeat(start[:, None], len(X), axis=1)
    rows = np.arange(len(X))
    while True:
        asked = feature[node]
        inside = asked >= 0
        if not inside.any():
            return node
        right = X[rows[None], np.maximum(asked, 0)] > threshold[node]
        node = np.where(inside, start[:, None] + left[node] + right, node)


def permutations(u: Array) -> Ints:
    """(m, r) permutations of 0, 1, ... made of numbers from 0 to 1 (Fisher and Yates; Durstenfeld 1964).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.tree_twins import permutations
    >>> permutations(np.array([[0.9, 0.1, 0.4, 0.0]])).tolist()
    [[2, 3, 1, 0]]
    """
    m, count = u.shape
    out, each = np.tile(np.arange(count), (m, 1)), np.arange(m)
    for s in range(count - 1, 0, -1):
        other = (u[:, s] * (s + 1)).astype(np.int64)
        out[each, other], out[:, s] = out[:, s].copy(), out[each, other]
    return out


def left_out_errors(
    feature: Ints, threshold: Array, left: Ints, value: Array, X: Array, y: Array, rows: Ints, owner: Ints, u: Array,
    predicted: Array, rise: Array,
) -> None:  # fmt: skip
    """Predictions of one tree for the rows left out, and the rise of the squared error by permuting each moderator.

    Parameters
    ----------
    feature, threshold, left, value
        Of the nodes of a tree.
    X, y
        (n, p) features and (n,) responses of all rows.
    rows
        Those left out.
    owner
        (p,) moderator of each feature.
    u
        (m, r) numbers from 0 to 1, of which `permutations` makes one of the rows left out for each moderator.
    predicted
        (n,) gets the predictions of those rows.
    rise
        (m,) gets the rise; with none only predictions are made.
    """
    start = np.zeros(1, dtype=np.int64)
    inside = X[rows]
    predicted[rows] = value[leaves(feature, threshold, left, start, inside)[0]]
    before = ((y[rows] - predicted[rows]) ** 2).mean() if len(rows) else 0.0
    used = [] if not len(rise) else np.unique(owner[feature[feature >= 0]]).tolist()
    if not used or not len(rows):
        return
    moved = permutations(u)
    copies = np.repeat(inside[None], len(used), axis=0)
    for copy, j in zip(copies, used, strict=True):
        own = np.flatnonzero(owner == j)
        copy[:, own] = inside[np.ix_(moved[j], own)]
    again = value[leaves(feature, threshold, left, start, copies.reshape(-1, X.shape[1]))[0]].reshape(len(used), -1)
    rise[used] = ((y[rows] - again) ** 2).mean(axis=1) - before
