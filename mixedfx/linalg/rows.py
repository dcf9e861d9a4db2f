"""One pass over the rows of a large data set: products of all columns, by level and overall, without a temporary.

NumPy needs a pass over the memory for each of Q = X R^{-1}, the residual of y, their products and the sums by level;
with hundreds of thousands of rows these passes are most of a fit. The twin is the sequence of these products in
`mixedfx.pls.crossproducts`, for all smaller data and as the oracle of the tests.

Compiled code is kept on disk where that can be written (`mixedfx.linalg.compiled`).
"""

from __future__ import annotations

import numpy as np

from mixedfx.linalg.compiled import compiled


@compiled
def row_products(X, inverse, gamma, y, z, codes, ww, products):
    """Add W'W (p + 1, p + 1), lower triangle, to `ww` and z'[W, z] of each level (q, k, p + 1 + k) to `products`.

    W = [Q, y - Q gamma] with Q = X `inverse`, an upper triangle.
    """
    n, p = X.shape
    k = z.shape[1]
    width = p + 1 + k
    row = np.empty(width)
    for i in range(n):
        rest = y[i]
        for b in range(p):
            total = 0.0
            for a in range(b + 1):
                total += X[i, a] * inverse[a, b]
            row[b] = total
            rest -= total * gamma[b]
        row[p] = rest
        for c in range(k):
            row[p + 1 + c] = z[i, c]
        for a in range(p + 1):
            for b in range(a + 1):
                ww[a, b] += row[a] * row[b]
        level = codes[i]
        for a in range(k):
            for c in range(width):
                products[level, a, c] += z[i, a] * row[c]
