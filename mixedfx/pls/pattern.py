"""Symmetric matrices kept as sparse columns (compressed, rows ascending, diagonal first) and a dense tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg.shape import shape_of

Vector = NDArray[np.float64]


def scatter(
    gram: sparse.csc_array, start: NDArray[np.int64], row: NDArray[np.int32], split: int, head: Vector, tail: Vector
) -> None:
    """Add the lower triangle of `gram` plus the identity to the sparse columns and the dense tail."""
    columns = shape_of(gram)[1]
    column = np.repeat(np.arange(columns), np.diff(gram.indptr))
    rows = gram.indices
    dense = (column >= split) & (rows >= column)
    tail[rows[dense] - split, column[dense] - split] = gram.data[dense]
    tail[np.arange(tail.shape[0]), np.arange(tail.shape[0])] += 1.0
    if split:
        sparse_part = (column < split) & (rows >= column)
        head[_position(column[sparse_part], rows[sparse_part], start, row, columns)] = gram.data[sparse_part]
        head[start[:-1]] += 1.0


def _position(
    column: NDArray[np.integer], rows: NDArray[np.integer], start: NDArray[np.int64], row: NDArray[np.int32], n: int
) -> NDArray[np.intp]:
    """Where entries (rows, column) stand in a compressed-column pattern with ascending rows."""
    keys = np.repeat(np.arange(len(start) - 1, dtype=np.int64), np.diff(start)) * n + row
    return np.searchsorted(keys, column.astype(np.int64) * n + rows)


def lookup(
    low: NDArray[np.intp], high: NDArray[np.intp], start: NDArray[np.int64], row: NDArray[np.int32], split: int,
    head: Vector, tail: Vector,
) -> Vector:  # fmt: skip
    """Entries (high, low), high >= low, of a symmetric matrix kept as sparse columns and a dense tail."""
    out = np.empty(len(low))
    dense = low >= split
    out[dense] = tail[high[dense] - split, low[dense] - split]
    if not dense.all():
        n = split + tail.shape[0]
        out[~dense] = head[_position(low[~dense], high[~dense], start, row, n)]
    return out
