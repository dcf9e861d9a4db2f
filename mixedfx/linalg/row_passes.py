"""Passes over rows sorted by the levels of the first factor: products with Z1'Z2, Z2'Z2 and the Schur complement.

A row holds E columns of the second level and what it has there; where all that is one (random intercepts, rows of
weight one) no values are kept, only the columns. The Schur complement Z2'Z2 - Z2'Z1 W Z1'Z2 is applied level by
level: sums over the rows of a level are formed, taken through the (k, k) block of W, and put back, so that neither
Z1'Z2 nor Z2'Z2 is ever formed. Right-hand sides stand next to each other, (effects, m), and are worked on together.

Every pass takes a range of levels, so that threads can share it. The twins, sparse products, are in
`mixedfx.pls.incidence`.
"""

from __future__ import annotations

import numpy as np

from mixedfx.linalg.compiled import compiled


@compiled
def place_rows(codes, columns, values, z, following, column, value, first):
    """Put rows at the next place of their level: `columns` (m, E), `values` (m, E) and `z` (m, k), or none of these."""
    plain, ones = value.shape[0] == 0, first.shape[0] == 0
    for r in range(len(codes)):
        at = following[codes[r]]
        following[codes[r]] = at + 1
        for e in range(columns.shape[1]):
            column[at, e] = columns[r, e]
            if not plain:
                value[at, e] = values[r, e]
        if not ones:
            for a in range(z.shape[1]):
                first[at, a] = z[r, a]


@compiled
def schur_plain(begin, end, start, column, W, P, out):
    """Add (Z2'Z2 - Z2'Z1 W Z1'Z2) P to `out` (q2, m) where each row has one column, and all values are one."""
    m = P.shape[1]
    total = np.zeros(m, P.dtype)
    for i in range(begin, end):
        for c in range(m):
            total[c] = 0.0
        for r in range(start[i], start[i + 1]):
            j = column[r, 0]
            for c in range(m):
                total[c] += P[j, c]
        for c in range(m):
            total[c] *= W[i, 0, 0]
        for r in range(start[i], start[i + 1]):
            j = column[r, 0]
            for c in range(m):
                out[j, c] += P[j, c] - total[c]


@compiled
def schur_rows(begin, end, start, column, value, z, W, P, out):
    """Add (Z2'Z2 - Z2'Z1 W Z1'Z2) P to `out` (q2, m); Z2'Z2 P alone where W is empty."""
    m, E, k = P.shape[1], column.shape[1], W.shape[1]
    plain, ones, alone = value.shape[0] == 0, z.shape[0] == 0, W.shape[0] == 0
    total, moved = np.zeros((k, m), P.dtype), np.zeros((k, m), P.dtype)
    row = np.zeros(m, P.dtype)
    for i in range(begin, end):
        if not alone:
            total[:] = 0.0
            for r in range(start[i], start[i + 1]):
                if ones and plain:
                    for e in range(E):
                        j = column[r, e]
                        for c in range(m):
                            total[0, c] += P[j, c]
                    continue
                row[:] = 0.0
                for e in range(E):
                    j = column[r, e]
                    v = 1.0 if plain else value[r, e]
                    for c in range(m):
                        row[c] += v * P[j, c]
                for a in range(k):
                    v = 1.0 if ones else z[r, a]
                    for c in range(m):
                        total[a, c] += v * row[c]
            moved[:] = 0.0
            for a in range(k):
                for b in range(k):
                    v = W[i, a, b]
                    for c in range(m):
                        moved[a, c] += v * total[b, c]
        for r in range(start[i], start[i + 1]):
            row[:] = 0.0
            for e in range(E):
                j = column[r, e]
                v = 1.0 if plain else value[r, e]
                for c in range(m):
                    row[c] += v * P[j, c]
            if not alone:
                for a in range(k):
                    v = 1.0 if ones else z[r, a]
                    for c in range(m):
                        row[c] -= v * moved[a, c]
            for e in range(E):
                j = column[r, e]
                v = 1.0 if plain else value[r, e]
                for c in range(m):
                    out[j, c] += v * row[c]


@compiled
def down_rows(begin, end, start, column, value, z, b, out):
    """Add Z2'Z1 b to `out` (q2, m), for b (q1, k, m)."""
    m, E, k = b.shape[2], column.shape[1], b.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    row = np.zeros(m, b.dtype)
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            row[:] = 0.0
            for a in range(k):
                v = 1.0 if ones else z[r, a]
                for c in range(m):
                    row[c] += v * b[i, a, c]
            for e in range(E):
                j = column[r, e]
                v = 1.0 if plain else value[r, e]
                for c in range(m):
                    out[j, c] += v * row[c]


@compiled
def up_rows(begin, end, start, column, value, z, P, out):
    """Z1'Z2 P into `out` (q1, k, m), for P (q2, m)."""
    m, E, k = P.shape[1], column.shape[1], out.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    row = np.zeros(m, P.dtype)
    for i in range(begin, end):
        out[i] = 0.0
        for r in range(start[i], start[i + 1]):
            row[:] = 0.0
            for e in range(E):
                j = column[r, e]
                v = 1.0 if plain else value[r, e]
                for c in range(m):
                    row[c] += v * P[j, c]
            for a in range(k):
                v = 1.0 if ones else z[r, a]
                for c in range(m):
                    out[i, a, c] += v * row[c]


@compiled
def noise_rows(begin, end, start, column, value, z, noise, first, second):
    """Z'e of rows `noise` (rows of these levels, m): into `first` (q1, k, m) and added to `second` (q2, m)."""
    m, E, k = noise.shape[1], column.shape[1], first.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            row = noise[r - start[begin]]
            for a in range(k):
                v = 1.0 if ones else z[r, a]
                for c in range(m):
                    first[i, a, c] += v * row[c]
            for e in range(E):
                j = column[r, e]
                v = 1.0 if plain else value[r, e]
                for c in range(m):
                    second[j, c] += v * row[c]


@compiled
def diagonal_rows(begin, end, start, column, value, z, W, lead, size, place, held, seen, blocks):
    """Add the diagonal blocks of Z2'Z2 - Z2'Z1 W Z1'Z2 to `blocks`; those of Z2'Z2 where W is empty.

    Entries `lead` begin a level of a factor of `size` columns each, and entry b of the row of column j stands at
    ``place[j] + b``. `held` (q2, k) zeros and `seen` (q2,) numbers below `begin` are room to work in.
    """
    E, k = column.shape[1], held.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            for f in range(len(lead)):
                for a in range(size[f]):
                    e = lead[f] + a
                    v = 1.0 if plain else value[r, e]
                    at = place[column[r, e]]
                    for b in range(size[f]):
                        blocks[at + b] += v * (1.0 if plain else value[r, lead[f] + b])
            if W.shape[0]:
                for e in range(E):
                    v = 1.0 if plain else value[r, e]
                    j = column[r, e]
                    for a in range(k):
                        held[j, a] += v * (1.0 if ones else z[r, a])
        if not W.shape[0]:
            continue
        for r in range(start[i], start[i + 1]):
            for f in range(len(lead)):
                j = column[r, lead[f]]
                if seen[j] == i:
                    continue
                seen[j] = i
                for a in range(size[f]):
                    for b in range(size[f]):
                        total = 0.0
                        for c in range(k):
                            for d in range(k):
                                total += held[j + a, c] * W[i, c, d] * held[j + b, d]
                        blocks[place[j + a] + b] -= total
        for r in range(start[i], start[i + 1]):
            for e in range(E):
                j = column[r, e]
                for a in range(k):
                    held[j, a] = 0.0


@compiled
def forms_rows(begin, end, start, column, value, z, lead, size, place, blocks, held, seen, out):
    """Sums over the levels j that each level i meets of V_ji' E_j V_ji into `out` (q1, k, k), V = Z2'Z1.

    `blocks` holds the E_j as `diagonal_rows` lays them out; the rest is as there.
    """
    E, k = column.shape[1], held.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    for i in range(begin, end):
        out[i] = 0.0
        for r in range(start[i], start[i + 1]):
            for e in range(E):
                v = 1.0 if plain else value[r, e]
                j = column[r, e]
                for a in range(k):
                    held[j, a] += v * (1.0 if ones else z[r, a])
        for r in range(start[i], start[i + 1]):
            for f in range(len(lead)):
                j = column[r, lead[f]]
                if seen[j] == i:
                    continue
                seen[j] = i
                for c in range(size[f]):
                    for d in range(size[f]):
                        v = blocks[place[j + c] + d]
                        for a in range(k):
                            for b in range(k):
                                out[i, a, b] += held[j + c, a] * v * held[j + d, b]
        for r in range(start[i], start[i + 1]):
            for e in range(E):
                j = column[r, e]
                for a in range(k):
                    held[j, a] = 0.0


@compiled
def schur_weighted(begin, end, start, column, weight, W, P, out):
    """Add (Z2'Z2 - Z2'Z1 W Z1'Z2) P to `out` (q2, m) where each row has one column, and weight (n,) is all it has."""
    m = P.shape[1]
    total = np.zeros(m, P.dtype)
    for i in range(begin, end):
        for c in range(m):
            total[c] = 0.0
        for r in range(start[i], start[i + 1]):
            j, w = column[r, 0], weight[r]
            for c in range(m):
                total[c] += w * P[j, c]
        for c in range(m):
            total[c] *= W[i, 0, 0]
        for r in range(start[i], start[i + 1]):
            j, w = column[r, 0], weight[r]
            for c in range(m):
                out[j, c] += w * (P[j, c] - total[c])


@compiled
def times_rows(begin, end, start, column, value, z, b, P, out):
    """Z1 b + Z2 P into `out` (n, m), for b (q1, k, m) and P (q2, m)."""
    m, E, k = P.shape[1], column.shape[1], b.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            for c in range(m):
                out[r, c] = 0.0
            for a in range(k):
                v = 1.0 if ones else z[r, a]
                for c in range(m):
                    out[r, c] += v * b[i, a, c]
            for e in range(E):
                v = 1.0 if plain else value[r, e]
                j = column[r, e]
                for c in range(m):
                    out[r, c] += v * P[j, c]


@compiled
def gram_rows(begin, end, start, z, weight, out):
    """Z1'diag(weight) Z1 of each level into `out` (k, k, q1)."""
    k, ones = out.shape[0], z.shape[0] == 0
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            for a in range(k):
                for b in range(k):
                    out[a, b, i] += weight[r] * (1.0 if ones else z[r, a] * z[r, b])


@compiled
def block_leverages(begin, end, start, column, value, z, weight, W, inner, lead, size, place, blocks, held, out):
    """Leverages z1'W z1 + x'E x of rows into `out` (n,), x = z2 - V W z1, for block-diagonal E.

    V = Z2'diag(weight) Z1 of the row's level, W + W V'E V W is `inner` (q1, k, k), and E is laid out in `blocks` as
    `diagonal_rows` has it; `held` (q2, k) zeros are room to work in. Rows themselves have no weights here.
    """
    E, k = column.shape[1], held.shape[1]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    moved = np.zeros(k)
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            for e in range(E):
                v = weight[r] * (1.0 if plain else value[r, e])
                j = column[r, e]
                for a in range(k):
                    held[j, a] += v * (1.0 if ones else z[r, a])
        for r in range(start[i], start[i + 1]):
            total = 0.0
            for a in range(k):
                moved[a] = 0.0
                for b in range(k):
                    v = 1.0 if ones else z[r, b]
                    moved[a] += W[i, a, b] * v
                    total += (1.0 if ones else z[r, a]) * inner[i, a, b] * v
            for f in range(len(lead)):
                for a in range(size[f]):
                    v = 1.0 if plain else value[r, lead[f] + a]
                    at = place[column[r, lead[f] + a]]
                    for b in range(size[f]):
                        j = column[r, lead[f] + b]
                        other = 1.0 if plain else value[r, lead[f] + b]
                        for c in range(k):
                            other -= 2.0 * held[j, c] * moved[c]
                        total += v * blocks[at + b] * other
            out[r] = total
        for r in range(start[i], start[i + 1]):
            for e in range(E):
                j = column[r, e]
                for a in range(k):
                    held[j, a] = 0.0


@compiled
def product_leverages(
    begin, end, start, column, value, z, left, right, first_left, first_right, third, Q, u1, u2, bend, total, sums
):
    """Sums over c of x'l_c x'r_c of each row are added to `total` (n,), and pulled along directions to `sums` (m, d).

    `left` and `right` (q2, m) are in the columns of Z2, `first_left` and `first_right` (q1, k, m) what is subtracted
    along z1. A row pulls along direction d with third (Q, 0)_d + third z'u_d + bend_d, where u1 is (q1, k, d), u2
    (q2, d), Q (n, p) the first p directions, and bend (a, n) the last a. No directions: sums are left alone.
    """
    m, E, k = left.shape[1], column.shape[1], first_left.shape[1]
    d, p, a0 = sums.shape[1], Q.shape[1], sums.shape[1] - bend.shape[0]
    plain, ones = value.shape[0] == 0, z.shape[0] == 0
    one, two = np.zeros(m, left.dtype), np.zeros(m, left.dtype)
    pull = np.zeros(d)
    for i in range(begin, end):
        for r in range(start[i], start[i + 1]):
            for c in range(m):
                one[c] = 0.0
                two[c] = 0.0
            for a in range(k):
                v = 1.0 if ones else z[r, a]
                for c in range(m):
                    one[c] -= v * first_left[i, a, c]
                    two[c] -= v * first_right[i, a, c]
            for e in range(E):
                v = 1.0 if plain else value[r, e]
                j = column[r, e]
                for c in range(m):
                    one[c] += v * left[j, c]
                    two[c] += v * right[j, c]
            for c in range(m):
                one[c] *= two[c]
                total[r] += one[c]
            if d == 0:
                continue
            for g in range(d):
                x = Q[r, g] if g < p else 0.0
                for a in range(k):
                    x += (1.0 if ones else z[r, a]) * u1[i, a, g]
                for e in range(E):
                    x += (1.0 if plain else value[r, e]) * u2[column[r, e], g]
                pull[g] = third[r] * x
                if g >= a0:
                    pull[g] += bend[g - a0, r]
            for c in range(m):
                for g in range(d):
                    sums[c, g] += one[c] * pull[g]
