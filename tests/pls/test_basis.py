"""The basis of a term: the columns it makes are orthogonal, of unit mean square, and those given times its inverse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.pls.basis import left_to_right, term_basis, used_columns
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from tests.oracles.natural import used_factors
from tests.oracles.random_designs import make_design, shapes


def columns(seed, k, shift, scale, n=90):
    rng = np.random.default_rng(seed)
    z = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1)) @ (np.eye(k - 1) + 0.5)])
    z[:, 1:] = scale * (z[:, 1:] + shift)
    return z, np.sqrt(rng.uniform(0.2, 3.0, n))


@given(
    seed=st.integers(0, 1000), k=st.integers(1, 4), weighted=st.booleans(),
    shift=st.sampled_from([0.0, 5.0, 1e3, -1e6, 1e8]), scale=st.sampled_from([1e-160, 1e-9, 1.0, -1e9, 1e160]),
)  # fmt: skip
def test_columns_are_orthogonal_wherever_zero_is(seed, k, weighted, shift, scale):
    z, root = columns(seed, k, shift, scale)
    rows = z * root[:, None] if weighted else z
    B = term_basis(rows, "triangles")
    np.testing.assert_array_equal(B, np.triu(B))
    assert np.all(np.diag(B) > 0)
    q = used_columns(z, B) * (root[:, None] if weighted else 1.0)
    # at 1e8 standard deviations eight digits are left of a column, and seven of an inner product
    np.testing.assert_allclose(q.T @ q / len(q), np.eye(k), atol=1e-15 * abs(shift) * k + 1e-9)
    np.testing.assert_allclose((q @ B) / np.abs(z).max(axis=0), rows / np.abs(z).max(axis=0), atol=1e-14)


def test_independent_columns_are_scaled_and_nothing_else():
    z, root = columns(1, 3, 7.0, 2.0)
    B = term_basis(z * root[:, None], "units")
    np.testing.assert_allclose(B, np.diag(np.sqrt((z**2 * root[:, None] ** 2).mean(axis=0))), rtol=1e-12)
    np.testing.assert_allclose(used_columns(z, B), z / np.diag(B), rtol=1e-12)


def test_the_unit_of_weights_goes_into_the_basis():
    z, root = columns(2, 3, 40.0, 1.0)
    rows = z * root[:, None]
    np.testing.assert_allclose(term_basis(1e5 * rows, "triangles"), 1e5 * term_basis(rows, "triangles"), rtol=1e-10)


@pytest.mark.parametrize("correlated", [True, False])
def test_columns_that_are_dependent_or_zero_stay_as_they_are(correlated):
    """Scaled by their length, and nothing is taken from the columns behind them."""
    z, _ = columns(3, 3, 1e4, 1.0)
    z = np.column_stack([z[:, :2], 2.0 * z[:, 1] + 1.0, np.zeros(len(z)), z[:, 2]])
    B = term_basis(z, "triangles" if correlated else "units")
    for dependent in (2, 3):
        above = np.delete(B[:, dependent], dependent)
        assert not above.any()
        assert not B[dependent, dependent + 1 :].any()
    assert B[3, 3] == 1.0
    q = used_columns(z, B)
    np.testing.assert_allclose(q @ B, z, rtol=1e-12, atol=1e-8)
    if correlated:
        kept = q[:, [0, 1, 4]]
        np.testing.assert_allclose(kept.T @ kept / len(q), np.eye(3), atol=1e-9)


def test_full_dummies_and_a_number_far_from_zero():
    """No column is the constant, but their sum is."""
    rng = np.random.default_rng(4)
    f = rng.integers(0, 3, 80)
    z = np.column_stack([np.eye(3)[f], 1e6 + rng.normal(size=80)])
    q = used_columns(z, term_basis(z, "triangles"))
    np.testing.assert_allclose(q.T @ q / 80, np.eye(4), atol=1e-8)


@given(seed=st.integers(0, 1000), m=st.integers(1, 6), k=st.integers(1, 5))
def test_left_to_right_is_the_qr_decomposition(seed, m, k):
    A = np.random.default_rng(seed).integers(-2, 3, (m, k)).astype(float)
    R = left_to_right(A)
    assert np.all(np.diag(R) > 0)
    rank = [np.linalg.matrix_rank(A[:, : j + 1]) for j in range(k)]
    kept = [j for j in range(k) if rank[j] > (rank[j - 1] if j else 0)]
    own = R[np.ix_(kept, kept)]
    np.testing.assert_allclose(own.T @ own, A[:, kept].T @ A[:, kept], atol=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), shapes=shapes)
def test_theta_goes_to_the_engine_and_back(seed, shapes):
    design = make_design(seed, shapes)
    problem = build_problem(design)
    rng = np.random.default_rng(seed)
    theta = np.abs(rng.normal(size=(3, problem.n_parameters)))
    par = problem.parameters(theta)
    np.testing.assert_allclose(problem.theta(par), theta, rtol=1e-9, atol=1e-10)
    for row, one in zip(theta, par, strict=True):
        np.testing.assert_allclose(problem.parameters(row), one, rtol=1e-12, atol=1e-13)
        wanted = used_factors(design, problem, row)
        for T, B_T in zip(problem.matrices(one), wanted, strict=True):
            np.testing.assert_allclose(T @ T.T, B_T @ B_T.T, rtol=1e-10, atol=1e-10)
    u = rng.normal(size=(4, problem.factors[0].k, 2))
    group = problem.factors[0]
    np.testing.assert_allclose(group.basis @ group.natural(u), u, rtol=1e-12, atol=1e-12)
    c = rng.normal(size=u.shape)
    # c'u of the effects as given is the same number in those used
    np.testing.assert_allclose(
        np.einsum("qks,qks->qs", group.coefficients(c), u), np.einsum("qks,qks->qs", c, group.natural(u)), atol=1e-10
    )


def test_a_frame_is_the_same_model_with_its_columns_turned():
    """Criterion, gradient and information of T = C L are those of L for the columns used, times C."""
    design = make_design(5, [(9, 3, True, "g"), (7, 2, True, "h"), (7, 1, False, "h")])
    problem = build_problem(design)
    rng = np.random.default_rng(0)
    frames = {0: np.linalg.qr(rng.normal(size=(3, 3)))[0], 1: np.linalg.qr(rng.normal(size=(2, 2)))[0]}
    turned = replace(problem, frames=frames)
    par = rng.normal(size=problem.n_parameters)
    here = evaluate(turned, par)

    whiten = design.precision.whiten
    terms = [
        replace(
            term, z=used_columns(term.z, term_basis(whiten(term.z), term.covariance.scaling)) @ frames.get(t, np.eye(1))
        )
        for t, term in enumerate(design.random)
    ]
    other = build_problem(replace(design, random=tuple(terms)))
    for group in other.factors:
        np.testing.assert_allclose(group.basis, np.eye(group.k), atol=1e-12)
    there = evaluate(other, par)
    assert here.criterion == pytest.approx(there.criterion, rel=1e-12)
    np.testing.assert_allclose(here.gradient, there.gradient, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(here.information, there.information, rtol=1e-9, atol=1e-9)
    plain = problem.lower(turned.matrices(par))
    assert evaluate(problem, plain).criterion == pytest.approx(here.criterion, rel=1e-12)
    np.testing.assert_allclose(turned.theta(par), problem.theta(plain), rtol=1e-9)
