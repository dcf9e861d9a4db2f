"""Compiled kernels against their NumPy twins and against dense linear algebra."""

import numpy as np
import pytest
from scipy import linalg, sparse

from mixedfx.linalg import batched, kernels, twins
from mixedfx.pls.coupling import entry_pairs


def coupling_arrays(rng, q1, q2, k1, density=0.3):
    """A random coupling in the layout of the kernels, and the same as a dense (q1, q2, k1) array."""
    present = rng.random((q1, q2)) < density
    present[np.arange(q2) % q1, np.arange(q2)] = True
    dense = rng.normal(size=(q1, q2, k1)) * present[:, :, None]
    rows, indices = np.nonzero(present)
    start = np.searchsorted(rows, np.arange(q1 + 1))
    order = np.argsort(indices, kind="stable")
    column_start = np.searchsorted(indices[order], np.arange(q2 + 1))
    arrays = (
        column_start.astype(np.int64), order.astype(np.int64), rows.astype(np.int32),
        start[1:].astype(np.int64), indices.astype(np.int32),
    )  # fmt: skip
    return arrays, np.ascontiguousarray(dense[rows, indices]), dense


def positive(rng, q, k):
    root = rng.normal(size=(q, k, k))
    return root @ root.transpose(0, 2, 1)


def empty_head():
    return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0)


def sparse_problem(rng, n=40, split=25):
    """A sparse positive definite matrix, and the pattern of its factor up to `split`."""
    off = sparse.random_array((n, n), density=0.06, rng=rng)
    matrix = (off + off.T).toarray() + 4.0 * np.eye(n)
    lower = sparse.csc_array(np.tril(matrix))
    lower.sort_indices()
    start, row = kernels.symbolic(lower.indptr.astype(np.int64), lower.indices.astype(np.int32))
    start, row = start[: split + 1], row[: start[split]]
    column = np.repeat(np.arange(split), np.diff(start))
    return matrix, start, row, matrix[row, column], np.asfortranarray(matrix[split:, split:].copy())


@pytest.mark.parametrize("k1", [1, 2, 3])
def test_downdate_equals_its_twin(k1):
    rng = np.random.default_rng(k1)
    arrays, values, dense = coupling_arrays(rng, 12, 9, k1)
    weights = positive(rng, 12, k1)
    compiled, twin = np.zeros((9, 9), order="F"), np.zeros((9, 9))
    kernels.downdate(compiled, 0, *empty_head(), *arrays, values, weights)
    twins.downdate(twin, dense, weights)
    np.testing.assert_allclose(np.tril(compiled), np.tril(twin), atol=1e-12)
    columns = np.array([5, 2])
    some = np.zeros((9, 2))
    twins.downdate_columns(some, dense, weights, columns)
    np.testing.assert_allclose(some, twin[:, columns], atol=1e-12)


@pytest.mark.parametrize("k1", [1, 3])
@pytest.mark.parametrize("split", [0, 5])
def test_downdate_without_weights_is_that_with_the_identity(k1, split):
    rng = np.random.default_rng(k1)
    arrays, values, dense = coupling_arrays(rng, 12, 9, k1)
    expected, twin, paired = np.zeros((3, 9, 9))
    twins.downdate(expected, dense, np.broadcast_to(np.eye(k1), (12, k1, k1)))
    twins.downdate(twin, dense, None)
    np.testing.assert_allclose(twin, expected, atol=1e-12)
    start = np.concatenate([[0], np.cumsum([9 - a for a in range(split)])]).astype(np.int64)
    row = np.concatenate([np.arange(a, 9) for a in range(split)] or [[]]).astype(np.int32)
    head, tail = np.zeros(len(row)), np.zeros((9 - split, 9 - split), order="F")
    kernels.downdate_outer(tail, split, start, row, head, *arrays, values)
    np.testing.assert_allclose(np.tril(tail), np.tril(expected[split:, split:]), atol=1e-12)
    np.testing.assert_allclose(head, expected[row, np.repeat(np.arange(split), np.diff(start))], atol=1e-12)
    _, _, rows, _, indices = arrays
    pairs = entry_pairs(np.bincount(rows, minlength=12), indices, 9)
    twins.downdate_pairs(paired, pairs.first, pairs.second, pairs.level, pairs.place, values, None)
    np.testing.assert_allclose(paired, expected, atol=1e-12)


@pytest.mark.parametrize("k1", [1, 2, 3])
@pytest.mark.parametrize("split", [0, 5])
def test_quadratic_forms_equal_their_twin(k1, split):
    rng = np.random.default_rng(k1)
    arrays, values, dense = coupling_arrays(rng, 12, 9, k1)
    N = positive(rng, 1, 9)[0]
    start = np.concatenate([[0], np.cumsum([9 - a for a in range(split)])]).astype(np.int64)
    row = np.concatenate([np.arange(a, 9) for a in range(split)] or [[]]).astype(np.int32)
    column = np.repeat(np.arange(split), np.diff(start))
    out = np.zeros((12, k1, k1))
    tail = np.asfortranarray(np.tril(N[split:, split:]))
    kernels.quadratic_forms(tail, split, start, row, N[row, column], *arrays, values, out)
    np.testing.assert_allclose(out, twins.quadratic_forms(N, dense), atol=1e-12)


@pytest.mark.parametrize("split", [0, 1, 25, 40])
def test_sparse_factor_solves_and_inverts(split):
    matrix, start, row, data, tail = sparse_problem(np.random.default_rng(split), split=split)
    assert kernels.factorise_head(tail, split, start, row, data) == -1
    if tail.size:
        tail = np.asfortranarray(linalg.cholesky(np.tril(tail) + np.tril(tail, -1).T, lower=True))
    expected = linalg.cholesky(matrix, lower=True)
    column = np.repeat(np.arange(split), np.diff(start))
    np.testing.assert_allclose(data, expected[row, column], atol=1e-12)
    np.testing.assert_allclose(tail, expected[split:, split:], atol=1e-12)

    b = np.random.default_rng(1).normal(size=(40, 3))
    x = b.copy()
    kernels.solve_head(split, start, row, data, x)
    if tail.size:
        x[split:] = linalg.solve_triangular(tail, x[split:], lower=True)
        x[split:] = linalg.solve_triangular(tail, x[split:], lower=True, trans=1)
    kernels.solve_head_transposed(split, start, row, data, x)
    np.testing.assert_allclose(matrix @ x, b, atol=1e-11)

    inverse = np.linalg.inv(matrix)
    out = np.zeros_like(data)
    kernels.selected_inverse(np.asfortranarray(inverse[split:, split:]), split, start, row, data, out)
    np.testing.assert_allclose(out, inverse[row, column], atol=1e-12)


def test_symbolic_pattern_holds_the_numeric_factor():
    rng = np.random.default_rng(3)
    matrix, start, row, _, _ = sparse_problem(rng, n=60, split=60)
    pattern = np.zeros((60, 60), dtype=bool)
    pattern[row, np.repeat(np.arange(60), np.diff(start))] = True
    factor = linalg.cholesky(matrix, lower=True)
    assert np.all(pattern[np.abs(factor) > 1e-12])
    assert np.all(np.diff(row)[np.diff(np.repeat(np.arange(60), np.diff(start))) == 0] > 0), "rows ascend in a column"


def test_indefinite_matrix_is_reported():
    _, start, row, data, tail = sparse_problem(np.random.default_rng(0))
    data[start[7]] = -1.0
    assert kernels.factorise_head(tail, 25, start, row, data) == 7


@pytest.mark.parametrize("k", [1, 2, 3, 8, 11])
def test_batched_algebra_equals_lapack(k):
    rng = np.random.default_rng(k)
    A = positive(rng, 30, k) + np.eye(k)
    batch = np.ascontiguousarray(A.transpose(1, 2, 0))
    L = batched.cholesky(batch)
    np.testing.assert_allclose(L.transpose(2, 0, 1), np.linalg.cholesky(A), atol=1e-10)
    inverse = batched.gram_of_lower(batched.invert_lower(L))
    np.testing.assert_allclose(inverse.transpose(2, 0, 1), np.linalg.inv(A), atol=1e-9)
    T = np.tril(rng.normal(size=(k, k)))
    np.testing.assert_allclose(batched.sandwich(T, batch).transpose(2, 0, 1), T.T @ A @ T, atol=1e-10)


def test_batched_cholesky_refuses_an_indefinite_member():
    A = np.ones((2, 2, 3)) + 2.0 * np.eye(2)[:, :, None]
    A[1, 1, 2] = -1.0
    with pytest.raises(np.linalg.LinAlgError):
        batched.cholesky(A)
