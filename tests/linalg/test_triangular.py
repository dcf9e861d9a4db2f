"""LAPACK's routine against SciPy's, over orders in memory, triangles, shapes, and no unknowns at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from mixedfx.linalg.triangular import solve


@given(
    st.integers(0, 6), st.sampled_from([None, 0, 1, 3]), st.booleans(), st.booleans(), st.sampled_from("CF"),
    st.sampled_from("CF"), st.integers(0, 10_000),
)  # fmt: skip
def test_it_solves_what_scipy_solves(p, s, lower, transposed, order, order_b, seed):
    rng = np.random.default_rng(seed)
    A = np.array(rng.normal(size=(p, p)) + 3 * np.eye(p), order=order)  # the other triangle is full of other numbers
    b = np.array(rng.normal(size=p if s is None else (p, s)), order=order_b)
    kept = A.copy(), b.copy()
    found = solve(A, b, lower, transposed)
    assert found.shape == b.shape
    if p and b.size:
        wanted = linalg.solve_triangular(A, b, lower=lower, trans=int(transposed))
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(A, kept[0])
    np.testing.assert_array_equal(b, kept[1])


def test_a_row_of_a_larger_array_is_a_right_hand_side_too():
    A, b = np.triu(np.arange(1.0, 10.0).reshape(3, 3)), np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(solve(A, b[:, 1]), linalg.solve_triangular(A, b[:, 1]))
    np.testing.assert_allclose(solve(A[:2, :2], b[:2]), linalg.solve_triangular(A[:2, :2], b[:2]))


def test_a_zero_on_the_diagonal_is_an_error():
    with pytest.raises(np.linalg.LinAlgError, match="entry 2"):
        solve(np.diag([1.0, 0.0]), np.ones(2))
