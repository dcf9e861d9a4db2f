"""Compiled loops over rows with weights: sums on the pattern of Z'WZ, and leverages of the rows.

Row i has level `codes[i]` and covariates `z[i]` (k) of the first factor, and covariates `z2[i]` (m) of the second
level, whose products go to the entries `entries[i]` (m) of the coupling and `pairs[i]` (m, m) of Z2'Z2. The twin is the
sparse matrix of `mixedfx.pls.row_map.MappedRows`.
"""

from __future__ import annotations

from mixedfx.linalg.compiled import compiled


@compiled
def add_blocks(codes, z, z2, entries, pairs, w, first, coupling, gram):
    """Add w z z' of each row to the flat blocks `first` (q1 k k), `coupling` (e k) and `gram`."""
    n, k = z.shape
    m = z2.shape[1]
    for i in range(n):
        base = codes[i] * k * k
        for a in range(k):
            x = w[i] * z[i, a]
            for b in range(k):
                first[base + a * k + b] += x * z[i, b]
        for c in range(m):
            x = w[i] * z2[i, c]
            for a in range(k):
                coupling[entries[i, c] * k + a] += x * z[i, a]
            for d in range(m):
                gram[pairs[i, c, d]] += x * z2[i, d]


@compiled
def row_leverages(codes, z, z2, entries, pairs, first, across, second, out):
    """Z'Pz of each row into `out` (n,), from the flat blocks of P."""
    n, k = z.shape
    m = z2.shape[1]
    for i in range(n):
        base = codes[i] * k * k
        total = 0.0
        for a in range(k):
            for b in range(k):
                total += z[i, a] * z[i, b] * first[base + a * k + b]
        for c in range(m):
            for a in range(k):
                total += 2.0 * z2[i, c] * z[i, a] * across[entries[i, c] * k + a]
            for d in range(m):
                total += z2[i, c] * z2[i, d] * second[pairs[i, c, d]]
        out[i] = total
