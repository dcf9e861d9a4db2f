"""Compiled loops over the sparse coupling between the two levels of elimination, and over the sparse factor.

Row i of the coupling belongs to level i of the first factor and holds the vectors v_a (k1 numbers each) of the
columns a that it meets in the second level (`indices`, ascending within a row; `values`). Each evaluation needs two
sums over the pairs of columns that meet in a row, and no NumPy expression forms them without the dense matrix: their
twins in `mixedfx.linalg.twins` do just that, for small problems and as the oracle of the tests.

The second level is a symmetric matrix kept as its lower triangle: the columns before `split` are sparse (compressed
columns `start`, `row`, `data`, rows ascending and the diagonal first), the rest is the dense, Fortran-ordered `tail`.
The loops run column by column, so that the column of the large matrix that is read or written stays in the first cache:
`order` lists the entries of the coupling by column, `row_of` is the row of an entry and `row_end` where its row ends.

Compiled code is kept on disk where that can be written (`mixedfx.linalg.compiled`).
"""

from __future__ import annotations

import numpy as np

from mixedfx.linalg.compiled import compiled


@compiled
def downdate(tail, split, start, row, data, column_start, order, row_of, row_end, indices, values, weights):
    """Subtract sum_i V_i W_i V_i' in place; W_i (k1, k1) are in `weights` (q1, k1, k1)."""
    k = values.shape[1]
    w = np.empty(k)
    work = np.zeros(split + tail.shape[0])
    for a in range(len(column_start) - 1):
        if a >= split:
            column = tail[:, a - split]
            offset = split
        else:
            column = work
            offset = 0
        for s in range(column_start[a], column_start[a + 1]):
            entry = order[s]
            i = row_of[entry]
            if k == 1:
                w0 = values[entry, 0] * weights[i, 0, 0]
                for t in range(entry, row_end[i]):
                    column[indices[t] - offset] -= w0 * values[t, 0]
            else:
                for c in range(k):
                    w[c] = 0.0
                    for d in range(k):
                        w[c] += weights[i, c, d] * values[entry, d]
                for t in range(entry, row_end[i]):
                    total = 0.0
                    for c in range(k):
                        total += w[c] * values[t, c]
                    column[indices[t] - offset] -= total
        if a < split:
            for s in range(start[a], start[a + 1]):
                data[s] += work[row[s]]
                work[row[s]] = 0.0


@compiled
def downdate_outer(tail, split, start, row, data, column_start, order, row_of, row_end, indices, values):
    """Subtract sum_i V_i V_i' in place."""
    k = values.shape[1]
    work = np.zeros(split + tail.shape[0])
    for a in range(len(column_start) - 1):
        if a >= split:
            column = tail[:, a - split]
            offset = split
        else:
            column = work
            offset = 0
        for s in range(column_start[a], column_start[a + 1]):
            entry = order[s]
            for t in range(entry, row_end[row_of[entry]]):
                total = 0.0
                for c in range(k):
                    total += values[entry, c] * values[t, c]
                column[indices[t] - offset] -= total
        if a < split:
            for s in range(start[a], start[a + 1]):
                data[s] += work[row[s]]
                work[row[s]] = 0.0


@compiled
def quadratic_forms(tail, split, start, row, data, column_start, order, row_of, row_end, indices, values, out):
    """Add V_i' N V_i (k1, k1) of each row to `out` (q1, k1, k1); every pair meeting in a row is in N's pattern."""
    k = values.shape[1]
    total = np.empty(k)
    work = np.zeros(split + tail.shape[0])
    for a in range(len(column_start) - 1):
        if a >= split:
            column = tail[:, a - split]
            offset = split
        else:
            column = work
            offset = 0
            for s in range(start[a], start[a + 1]):
                work[row[s]] = data[s]
        diagonal = column[a - offset]
        for s in range(column_start[a], column_start[a + 1]):
            entry = order[s]
            i = row_of[entry]
            if k == 1:
                sum0 = 0.0
                for t in range(entry + 1, row_end[i]):
                    sum0 += column[indices[t] - offset] * values[t, 0]
                v = values[entry, 0]
                out[i, 0, 0] += v * (diagonal * v + 2.0 * sum0)
            else:
                total[:] = 0.0
                for t in range(entry + 1, row_end[i]):
                    x = column[indices[t] - offset]
                    for c in range(k):
                        total[c] += x * values[t, c]
                for c in range(k):
                    v = values[entry, c]
                    for d in range(k):
                        out[i, c, d] += v * (diagonal * values[entry, d] + total[d]) + total[c] * values[entry, d]


@compiled
def inverse_products(tail, split, start, row, data, column_start, order, row_of, row_end, indices, values, out):
    """Add N V_i at the columns that row i meets to `out`, shaped as `values`; N as in `quadratic_forms`."""
    k = values.shape[1]
    work = np.zeros(split + tail.shape[0])
    total = np.empty(k)
    for a in range(len(column_start) - 1):
        if a >= split:
            column = tail[:, a - split]
            offset = split
        else:
            column = work
            offset = 0
            for s in range(start[a], start[a + 1]):
                work[row[s]] = data[s]
        diagonal = column[a - offset]
        for s in range(column_start[a], column_start[a + 1]):
            entry = order[s]
            i = row_of[entry]
            if k == 1:
                v = values[entry, 0]
                sum0 = diagonal * v
                for t in range(entry + 1, row_end[i]):
                    x = column[indices[t] - offset]
                    sum0 += x * values[t, 0]
                    out[t, 0] += x * v
                out[entry, 0] += sum0
            else:
                for c in range(k):
                    total[c] = diagonal * values[entry, c]
                for t in range(entry + 1, row_end[i]):
                    x = column[indices[t] - offset]
                    for c in range(k):
                        total[c] += x * values[t, c]
                        out[t, c] += x * values[entry, c]
                for c in range(k):
                    out[entry, c] += total[c]


@compiled
def symbolic(start, row):
    """Pattern of the Cholesky factor of a symmetric matrix from its lower triangle, columns merged up the tree.

    Column j of L holds the rows of column j of the matrix and those of its children in the elimination tree, less j's
    own predecessors (George & Liu 1981, section 5.2). Returns `start` and `row` of L, rows ascending.
    """
    n = len(start) - 1
    out_start = np.zeros(n + 1, dtype=np.int64)
    out_row = np.empty(max(4 * len(row), 16), dtype=np.int32)
    first_child = np.full(n, -1, dtype=np.int32)
    next_sibling = np.full(n, -1, dtype=np.int32)
    mark = np.full(n, -1, dtype=np.int32)
    used = 0
    for j in range(n):
        if used + n - j > len(out_row):
            larger = np.empty(2 * len(out_row) + n, dtype=np.int32)
            larger[:used] = out_row[:used]
            out_row = larger
        begin = used
        out_row[used] = j
        used += 1
        mark[j] = j
        for s in range(start[j], start[j + 1]):
            i = row[s]
            if i > j and mark[i] != j:
                mark[i] = j
                out_row[used] = i
                used += 1
        child = first_child[j]
        while child >= 0:
            for s in range(out_start[child] + 1, out_start[child + 1]):
                i = out_row[s]
                if i > j and mark[i] != j:
                    mark[i] = j
                    out_row[used] = i
                    used += 1
            child = next_sibling[child]
        out_row[begin:used] = np.sort(out_row[begin:used])
        out_start[j + 1] = used
        if used > begin + 1:
            parent = out_row[begin + 1]
            next_sibling[j] = first_child[parent]
            first_child[parent] = j
    return out_start, out_row[:used].copy()


@compiled
def factorise_head(tail, split, start, row, data):
    """Left-looking Cholesky of the sparse columns in place; the tail becomes its Schur complement.

    Returns -1, or the first column whose pivot is not positive.
    """
    n = split + tail.shape[0]
    work = np.zeros(n)
    head = np.full(n, -1, dtype=np.int64)
    link = np.full(split, -1, dtype=np.int64)
    position = np.zeros(split, dtype=np.int64)
    for j in range(n):
        if j < split:
            for s in range(start[j], start[j + 1]):
                work[row[s]] = data[s]
            column = work
            offset = 0
        else:
            column = tail[:, j - split]
            offset = split
        k = head[j]
        while k >= 0:
            following = link[k]
            p = position[k]
            pivot_row = data[p]
            for s in range(p, start[k + 1]):
                column[row[s] - offset] -= data[s] * pivot_row
            position[k] = p + 1
            if p + 1 < start[k + 1]:
                i = row[p + 1]
                link[k] = head[i]
                head[i] = k
            k = following
        if j < split:
            if not work[j] > 0.0:
                return j
            pivot = np.sqrt(work[j])
            data[start[j]] = pivot
            work[j] = 0.0
            for s in range(start[j] + 1, start[j + 1]):
                data[s] = work[row[s]] / pivot
                work[row[s]] = 0.0
            position[j] = start[j] + 1
            if start[j] + 1 < start[j + 1]:
                i = row[start[j] + 1]
                link[j] = head[i]
                head[i] = j
    return -1


@compiled
def solve_head(split, start, row, data, x):
    """Forward substitution with the sparse columns of L, in place on x (n, r)."""
    for j in range(split):
        pivot = data[start[j]]
        for c in range(x.shape[1]):
            x[j, c] /= pivot
        for s in range(start[j] + 1, start[j + 1]):
            for c in range(x.shape[1]):
                x[row[s], c] -= data[s] * x[j, c]


@compiled
def solve_head_transposed(split, start, row, data, x):
    """Back substitution with the sparse columns of L', in place on x (n, r)."""
    for j in range(split - 1, -1, -1):
        for s in range(start[j] + 1, start[j + 1]):
            for c in range(x.shape[1]):
                x[j, c] -= data[s] * x[row[s], c]
        pivot = data[start[j]]
        for c in range(x.shape[1]):
            x[j, c] /= pivot


@compiled
def selected_inverse(tail, split, start, row, data, out):
    """The inverse on the pattern of the sparse columns, from the last to the first (Takahashi et al. 1973).

    `tail` holds the lower triangle of the inverse of the dense part; `out` receives the entries of the sparse columns.
    """
    n = split + tail.shape[0]
    local = np.full(n, -1, dtype=np.int64)
    total = np.zeros(n)
    for j in range(split - 1, -1, -1):
        begin, end = start[j] + 1, start[j + 1]
        for s in range(begin, end):
            local[row[s]] = s
            total[s - begin] = 0.0
        for s in range(begin, end):
            k = row[s]
            if k < split:
                total[s - begin] += out[start[k]] * data[s]
                for t in range(start[k] + 1, start[k + 1]):
                    u = local[row[t]]
                    if u >= 0:
                        total[u - begin] += out[t] * data[s]
                        total[s - begin] += out[t] * data[u]
            else:
                column = tail[:, k - split]
                total[s - begin] += column[k - split] * data[s]
                for u in range(s + 1, end):
                    x = column[row[u] - split]
                    total[u - begin] += x * data[s]
                    total[s - begin] += x * data[u]
        pivot = data[start[j]]
        diagonal = 1.0 / (pivot * pivot)
        for s in range(begin, end):
            out[s] = -total[s - begin] / pivot
            diagonal -= data[s] * out[s] / pivot
            local[row[s]] = -1
        out[start[j]] = diagonal
