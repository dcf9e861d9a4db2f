"""Mixtures of normal distributions: shares against their sum by hand, quantiles as roots of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixedfx.sampling.mixture import moments, quantiles, share_between


def made(seed, K, spread):
    """Weights (K,), means and standard deviations (K, 3)."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(K)), spread * rng.normal(size=(K, 3)), np.exp(rng.normal(size=(K, 3)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    K=st.integers(1, 30),
    spread=st.sampled_from([0.0, 0.3, 30.0]),
    q=st.sampled_from([1e-4, 0.05, 0.5, 0.9, 0.9999]),
)
def test_the_quantile_is_the_root_of_the_distribution(seed, K, spread, q):
    weights, means, sds = made(seed, K, spread)
    x = quantiles(weights, means, sds, q)
    by_hand = np.array([weights @ stats.norm.cdf(x[j], means[:, j], sds[:, j]) for j in range(3)])
    # quantiles are good to 1e-8 of the spread, at which F moves by less than that over the smallest sd
    np.testing.assert_allclose(by_hand, q, atol=1e-6)
    np.testing.assert_allclose(share_between(weights, means, sds, -np.inf, x), by_hand, rtol=1e-12)


def test_moments_and_shares_are_those_of_draws():
    weights, means, sds = made(1, 5, 2.0)
    rng = np.random.default_rng(2)
    k = rng.choice(5, 200_000, p=weights)
    draws = means[k] + sds[k] * rng.normal(size=(200_000, 3))
    mean, variance = moments(weights, means, sds)
    error = np.sqrt(variance / 200_000)
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 5 * error)
    fourth = ((draws - mean) ** 4).mean(axis=0)
    np.testing.assert_array_less(np.abs(draws.var(axis=0) - variance), 5 * np.sqrt(fourth / 200_000))
    inside = ((draws > -1) & (draws < 2)).mean(axis=0)
    assert np.abs(share_between(weights, means, sds, -1.0, 2.0) - inside).max() < 5 * 0.5 / np.sqrt(200_000)


def test_shares_far_out_do_not_cancel():
    one = np.ones(1)
    assert share_between(one, np.zeros((1, 1)), np.ones((1, 1)), 12.0, np.inf)[0] == pytest.approx(
        stats.norm.sf(12.0), rel=1e-10
    )


def test_a_constant_is_its_own_quantile_and_lies_strictly_between():
    weights, means, sds = np.array([0.25, 0.75]), np.array([[2.0, 0.0], [2.0, 4.0]]), np.zeros((2, 2))
    np.testing.assert_allclose(quantiles(weights, means, sds, 0.5)[0], 2.0)
    # a fourth of the mass at 0, the rest at 4: any quantile is near one of them
    assert quantiles(weights, means, sds, 0.2)[1] == pytest.approx(0.0, abs=1e-7)
    assert quantiles(weights, means, sds, 0.3)[1] == pytest.approx(4.0, abs=1e-7)
    np.testing.assert_array_equal(share_between(weights, means, sds, 2.0, 5.0), [0.0, 0.75])
