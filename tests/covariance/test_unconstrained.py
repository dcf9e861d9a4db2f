"""The map between covariance matrices and their coordinates, its volume, and what a change of basis does to both."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.covariance.unconstrained import (
    Layout,
    coordinates_of,
    correlation_factor,
    log_one_minus_square,
    partial_gradient,
)

SIZES = [1, 2, 3, 4]


def factor(log_sd, y):
    return np.exp(log_sd)[:, :, None] * correlation_factor(y, log_sd.shape[1])


def points(k, count=5, seed=0):
    rng = np.random.default_rng([seed, k])
    return rng.normal(size=(count, k)), 0.8 * rng.normal(size=(count, k * (k - 1) // 2))


@pytest.mark.parametrize("k", SIZES)
def test_coordinates_of_any_root_of_a_covariance_are_those_it_was_made_from(k):
    """Of the lower factor, and of that times any orthogonal matrix."""
    log_sd, y = points(k)
    F = factor(log_sd, y)
    turn = stats.ortho_group.rvs(k, random_state=1) if k > 1 else np.array([[-1.0]])
    for root in (F, F @ turn):
        found = coordinates_of(root)
        np.testing.assert_allclose(found[0], log_sd, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[1], y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_partial_correlations_are_partial_correlations(k):
    """By their definition: correlations of what is left of two columns after regression on those before."""
    log_sd, y = points(k, 1)
    S = (factor(log_sd, y) @ factor(log_sd, y).transpose(0, 2, 1))[0]
    pairs = [(row, column) for row in range(1, k) for column in range(row)]
    for (i, j), value in zip(pairs, y[0], strict=True):
        given, pair = list(range(j)), [j, i]
        left = S[np.ix_(pair, pair)]
        if given:
            left = left - S[np.ix_(pair, given)] @ np.linalg.solve(S[np.ix_(given, given)], S[np.ix_(given, pair)])
        assert left[0, 1] / np.sqrt(left[0, 0] * left[1, 1]) == pytest.approx(np.tanh(value), abs=1e-12)


def test_extreme_correlations_keep_their_digits():
    """To y = 40 and beyond, where tanh(y) is one to the last digit."""
    y = np.array([[30.0], [-40.0], [200.0]])
    L = correlation_factor(y, 2)
    np.testing.assert_allclose(coordinates_of(L)[1], y, rtol=1e-12)
    np.testing.assert_allclose(log_one_minus_square(y), 2 * np.log(2) - 2 * np.abs(y), rtol=1e-12)


def test_singular_factors_have_infinite_coordinates_and_no_nan():
    log_sd, y = coordinates_of(np.array([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 0.0]]]))
    assert y[0, 0] == np.inf
    assert log_sd[1, 0] == -np.inf
    assert not np.isnan(y).any()
    assert y[2, 0] == 0


@pytest.mark.parametrize("k", SIZES)
def test_the_volume_is_the_determinant_of_the_differences(k):
    """|d (lower triangle of Sigma) / d (log s, y)| by central differences: errors of h^2 = 1e-10 in each entry."""
    log_sd, y = points(k)
    at = np.concatenate([log_sd, y], axis=1)
    lower = np.tril_indices(k)

    def sigma(x):
        F = factor(x[None, :k], x[None, k:])[0]
        return (F @ F.T)[lower]

    found = Layout(k).log_volume(log_sd, log_one_minus_square(y))
    for x, value in zip(at, found, strict=True):
        steps = 1e-5 * np.eye(len(x))
        J = np.array([(sigma(x + h) - sigma(x - h)) / 2e-5 for h in steps])
        assert np.linalg.slogdet(J)[1] == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_gradient_in_the_partial_correlations_is_that_of_differences(k):
    _, y = points(k)
    G = np.random.default_rng(3).normal(size=(len(y), k, k))
    found = partial_gradient(y, correlation_factor(y, k), G)
    for c in range(y.shape[1]):
        h = 1e-6 * np.eye(y.shape[1])[c]
        change = (correlation_factor(y + h, k) - correlation_factor(y - h, k)) / 2e-6
        np.testing.assert_allclose(found[:, c], (G * change).sum(axis=(1, 2)), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_lkj_is_its_determinant_to_a_power_and_integrates_to_one(k):
    """Density of y = |R|^(eta - 1) over the constant times dR / dy; the mean of q / p over its draws is one."""
    eta, rng = 1.7, np.random.default_rng(5)
    layout = Layout(k)
    a = layout.beta_shapes(eta)
    y = np.arctanh(2 * rng.beta(a, a, (40_000, len(a))) - 1)
    R = correlation_factor(y, k) @ correlation_factor(y, k).transpose(0, 2, 1)
    by_definition = (
        (eta - 1) * np.linalg.slogdet(R)[1] - layout.log_lkj_constant(eta) + log_one_minus_square(y) @ layout.powers
    )
    normal = stats.multivariate_normal(np.zeros(len(a)), np.eye(len(a)) * 0.1)
    ratio = np.exp(normal.logpdf(y).reshape(-1) - by_definition)
    assert ratio.mean() == pytest.approx(1, abs=4.5 * ratio.std() / np.sqrt(len(ratio)))
    if k == 2:  # |R| = 1 - rho^2, whose power integrates to a beta function over (-1, 1)
        rho = np.tanh(y[:, 0])
        exact = stats.beta(eta, eta).logpdf((rho + 1) / 2) - np.log(2) + np.log1p(-(rho**2))
        np.testing.assert_allclose(by_definition, exact, rtol=0, atol=1e-9)
