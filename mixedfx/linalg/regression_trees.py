"""Compiled growth of regression trees, their predictions, and their errors after permutation.

Formulas, the layout of a tree and the NumPy twins are those of `mixedfx.linalg.tree_twins`, which give the same trees
to the last bit: sums are of whole numbers, so that the order of the rows does not matter, and ties are broken alike.
"""

from __future__ import annotations

import numpy as np

from mixedfx.linalg.compiled import compiled

WIDE = 2  # values of a feature beside rows of a node up to which they are counted by value; sorted from there


@compiled
def mixed(z):
    """Bits of a 64-bit number stirred (the finaliser of SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def drawn_features(key, salts, hashes, drawn):
    """The features with the smallest hashes, in their order, into `drawn`."""
    tried, held = len(drawn), 0
    for f in range(len(salts) - 2):
        h = mixed(key + salts[f + 2])
        if held == tried and h >= hashes[tried - 1]:
            continue
        at = held if held < tried else tried - 1
        while at > 0 and hashes[at - 1] > h:
            hashes[at] = hashes[at - 1]
            drawn[at] = drawn[at - 1]
            at -= 1
        hashes[at] = h
        drawn[at] = f
        if held < tried:
            held += 1


@compiled
def sort_short(values, count):
    """Sort the first `count` values in place."""
    if count > 60:
        values[:count] = np.sort(values[:count])
        return
    for a in range(1, count):
        one, at = values[a], a
        while at > 0 and values[at - 1] > one:
            values[at] = values[at - 1]
            at -= 1
        values[at] = one


@compiled
def reduction(lower_total, lower_weight, S, W):
    """S_L^2 / W_L + S_R^2 / W_R."""
    lower, upper = float(lower_total), float(S - lower_total)
    return lower * lower / float(lower_weight) + upper * upper / float(W - lower_weight)


@compiled
def grow_tree(codes, levels, y, weight, key, salts, tried, smallest, feature, low, high, left, draws, total):
    """Grow one tree into the arrays of nodes, whose number is returned."""
    n, widest = len(y), 0
    for f in range(len(levels)):
        widest = max(widest, levels[f])
    rows, row_weight, row_total, m = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64), 0
    for i in range(n):
        if weight[i] > 0:
            rows[m], row_weight[m], row_total[m] = i, weight[i], weight[i] * y[i]
            m += 1
    begin, end, keys = np.empty(2 * m, np.int64), np.empty(2 * m, np.int64), np.empty(2 * m, np.uint64)
    hashes, drawn = np.empty(tried, np.uint64), np.empty(tried, np.int64)
    bin_weight, bin_total, ordered = np.empty(widest, np.int64), np.empty(widest, np.int64), np.empty(m, np.int64)
    begin[0], end[0], keys[0] = 0, m, key
    count, node = 1, 0
    while node < count:
        a, b = begin[node], end[node]
        W, S, pure, first = 0, 0, True, y[rows[a]]
        for s in range(a, b):
            W += row_weight[s]
            S += row_total[s]
            if y[rows[s]] != first:
                pure = False
        feature[node], left[node], draws[node], total[node] = -1, -1, W, S
        if smallest < W and not pure:
            drawn_features(keys[node], salts, hashes, drawn)
            best, chosen, below, above = -1.0, -1, 0, 0
            for t in range(tried):
                f = drawn[t]
                own, width = codes[f], levels[f]
                lower_weight, lower_total, before = 0, 0, -1
                if width == 2:  # one sum of each, in registers
                    for s in range(a, b):
                        c = np.int64(own[rows[s]])
                        lower_weight += c * row_weight[s]
                        lower_total += c * row_total[s]
                    if 0 < lower_weight < W:
                        gain = reduction(S - lower_total, W - lower_weight, S, W)
                        if gain > best:
                            best, chosen, below, above = gain, f, 0, 1
                elif width <= WIDE * (b - a):
                    for c in range(width):
                        bin_weight[c] = 0
                        bin_total[c] = 0
                    for s in range(a, b):
                        c = own[rows[s]]
                        bin_weight[c] += row_weight[s]
                        bin_total[c] += row_total[s]
                    for c in range(width):
                        if bin_weight[c] == 0:
                            continue
                        if before >= 0:
                            gain = reduction(lower_total, lower_weight, S, W)
                            if gain > best:
                                best, chosen, below, above = gain, f, before, c
                        lower_weight += bin_weight[c]
                        lower_total += bin_total[c]
                        before = c
                        if lower_weight == W:
                            break
                else:
                    for s in range(a, b):
                        ordered[s - a] = (np.int64(own[rows[s]]) << 32) | s
                    sort_short(ordered, b - a)
                    for s in range(b - a):
                        c, i = ordered[s] >> 32, ordered[s] & 4294967295
                        if s > 0 and c != before:
                            gain = reduction(lower_total, lower_weight, S, W)
                            if gain > best:
                                best, chosen, below, above = gain, f, before, c
                        lower_weight += row_weight[i]
                        lower_total += row_total[i]
                        before = c
            if chosen >= 0:
                own, s, e = codes[chosen], a, b - 1
                while s <= e:
                    if own[rows[s]] <= below:
                        s += 1
                    else:
                        rows[s], rows[e] = rows[e], rows[s]
                        row_weight[s], row_weight[e] = row_weight[e], row_weight[s]
                        row_total[s], row_total[e] = row_total[e], row_total[s]
                        e -= 1
                feature[node], low[node], high[node], left[node] = chosen, below, above, count
                begin[count], end[count], keys[count] = a, s, mixed(keys[node] + salts[0])
                begin[count + 1], end[count + 1], keys[count + 1] = s, b, mixed(keys[node] + salts[1])
                count += 2
        node += 1
    return count


@compiled
def predict_sums(feature, threshold, left, value, start, X, out):
    """Add the predictions of all trees for the rows of X to `out`."""
    for i in range(len(X)):
        for b in range(len(start) - 1):
            node = start[b]
            while feature[node] >= 0:
                node = start[b] + left[node] + (0 if X[i, feature[node]] <= threshold[node] else 1)
            out[i] += value[node]


@compiled
def permutations(u):
    """(m, r) permutations of 0, 1, ... made of numbers from 0 to 1."""
    m, count = u.shape
    out = np.empty((m, count), np.int64)
    for j in range(m):
        for s in range(count):
            out[j, s] = s
        for s in range(count - 1, 0, -1):
            other = int(u[j, s] * (s + 1))
            out[j, s], out[j, other] = out[j, other], out[j, s]
    return out


@compiled
def left_out_errors(feature, threshold, left, value, X, y, rows, owner, u, predicted, rise):
    """Predictions of one tree for the rows left out, and the rise of the squared error by permuting each moderator.

    Only rows whose way through the tree asks for a moderator are sent through it again, from the first such question.
    """
    m, count = len(rise), len(rows)
    moved = permutations(u)
    seen = np.full(m, -1)
    path = np.empty(len(feature), np.int64)
    for s in range(count):
        i, node, depth = rows[s], 0, 0
        while feature[node] >= 0:
            path[depth] = node
            depth += 1
            node = left[node] + (0 if X[i, feature[node]] <= threshold[node] else 1)
        predicted[i] = value[node]
        if m == 0:
            continue
        before = (y[i] - value[node]) ** 2
        for d in range(depth):
            j = owner[feature[path[d]]]
            if seen[j] == s:
                continue
            seen[j] = s
            other, node = rows[moved[j, s]], path[d]
            while feature[node] >= 0:
                f = feature[node]
                x = X[other, f] if owner[f] == j else X[i, f]
                node = left[node] + (0 if x <= threshold[node] else 1)
            rise[j] += (y[i] - value[node]) ** 2 - before
    for j in range(m):
        rise[j] /= max(count, 1)
