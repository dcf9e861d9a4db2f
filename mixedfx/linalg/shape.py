"""The shape of a sparse matrix, as the two numbers it is."""

from __future__ import annotations

from typing import cast

from scipy import sparse


def shape_of(matrix: sparse.csr_array | sparse.csc_array) -> tuple[int, int]:
    """(rows, columns) of a two-dimensional sparse array; SciPy has no types of its own that would say so."""
    return cast("tuple[int, int]", matrix.shape)
