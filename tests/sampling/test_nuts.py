"""Chains that move together draw from the density they are given; walls are divergences, interrupts interrupts.

Moments are compared with known ones within 4.5 Monte Carlo errors, effective draws counted by
`mixedfx.bayes.convergence`, which is compared with arviz-stats in its own tests.
"""

import numpy as np
import pytest
from scipy import stats

from mixedfx.bayes.convergence import convergence
from mixedfx.sampling import nuts


def agrees(x, function, expected):
    """Whether the mean of a function of (chains, draws) is the expected one."""
    values = function(x)
    ess = convergence(values[:, :, None]).bulk[0]
    return abs(values.mean() - expected) < 4.5 * values.std() / np.sqrt(ess)


def test_a_correlated_normal_distribution_of_many_scales():
    """Twelve dimensions, scales from e^-3 to e^3, begun under the identity: the metric is learned."""
    d, rng = 12, np.random.default_rng(0)
    A = rng.normal(size=(d, 2 * d))
    scale = np.exp(np.linspace(-3, 3, d))
    S = A @ A.T / (2 * d) * np.outer(scale, scale)
    P, centre = np.linalg.inv(S), scale

    def density(x):
        return -0.5 * ((x - centre) @ P * (x - centre)).sum(axis=1), -(x - centre) @ P

    chains = nuts.sample(density, np.zeros((4, d)), np.eye(d), 300, 500, np.random.default_rng(1))
    found = convergence(chains.x)
    assert found.r_hat.max() < 1.02
    assert found.bulk.min() > 400
    assert not chains.divergent.any()
    assert not chains.cut.any()
    assert chains.steps.mean() < 8  # a quarter of a period, under the learned metric
    for j in range(d):
        assert agrees(chains.x[:, :, j], lambda v: v, centre[j])
        assert agrees(chains.x[:, :, j], lambda v, j=j: (v - centre[j]) ** 2, S[j, j])
    np.testing.assert_allclose(chains.log_density, density(chains.x.reshape(-1, d))[0].reshape(4, -1), rtol=1e-9)


@pytest.mark.parametrize("learned", [True, False])
def test_skewed_and_heavy_tails_have_their_quantiles(learned, monkeypatch):
    """Log of a gamma variable, and Student's t with five degrees of freedom, by both ways of turning."""
    if not learned:
        monkeypatch.setattr(nuts, "_windows", lambda _: [])
    shape, df = 1.5, 5.0

    def density(x):
        a, t = x.T
        value = shape * a - np.exp(a) - (df + 1) / 2 * np.log1p(t**2 / df)
        return value, np.column_stack([shape - np.exp(a), -(df + 1) * t / (df + t**2)])

    chains = nuts.sample(density, np.zeros((4, 2)), np.eye(2), 300, 2500, np.random.default_rng(2))
    for j, law in enumerate((stats.loggamma(shape), stats.t(df))):
        for q in (0.02, 0.2, 0.5, 0.8, 0.98):
            assert agrees(chains.x[:, :, j], lambda v, q=q, law=law: (v < law.ppf(q)) * 1.0, q)


def test_a_coordinate_that_is_symmetric_about_zero_goes_through_it():
    """y | x ~ N(|x|, 1): what x has to do with y on one side is the opposite on the other, in one density."""

    def density(x):
        a, b = np.abs(x[:, 0]), x[:, 1]
        sign = np.where(x[:, 0] < 0, -1.0, 1.0)
        return -0.5 * (a**2 + (b - a) ** 2), np.column_stack([sign * (b - 2 * a), a - b])

    chains = nuts.sample(density, np.ones((4, 2)), np.eye(2), 200, 1500, np.random.default_rng(3), symmetric=[0])
    size, b = np.abs(chains.x[:, :, 0]), chains.x[:, :, 1]
    assert 0.3 < (chains.x[:, :, 0] < 0).mean() < 0.7
    assert agrees(size, lambda v: v, np.sqrt(2 / np.pi))
    assert agrees(b, lambda v: v**2, 2.0)
    assert agrees(size * b, lambda v: v, 1.0)


@pytest.mark.parametrize("wall", [-np.inf, np.nan])
def test_a_wall_of_no_density_is_a_divergence_and_not_an_error(wall):
    """A half-normal distribution cut off at 0.5: nothing lies beyond, the rest is right, divergences are counted."""

    def density(x):
        value = np.where(x[:, 0] < 0.5, -0.5 * x[:, 0] ** 2, wall)
        return value, np.where(x < 0.5, -x, 0.0)

    chains = nuts.sample(density, np.full((4, 1), -0.5), np.eye(1), 200, 1000, np.random.default_rng(4))
    assert chains.divergent.any()
    assert chains.x.max() < 0.5
    law = stats.truncnorm(-np.inf, 0.5)
    assert chains.x.mean() == pytest.approx(law.mean(), abs=0.08)


def test_a_density_that_fails_everywhere_ends():
    """After its start a chain meets no density at all: it stays, and every transition is a divergence."""
    calls = []

    def density(x):
        calls.append(len(x))
        return np.full(len(x), 0.0 if len(calls) == 1 else -np.inf), np.ones(x.shape)

    chains = nuts.sample(density, np.zeros((2, 3)), np.eye(3), 20, 10, np.random.default_rng(5))
    assert chains.divergent.all()
    assert not chains.x.any()


def test_the_same_seed_gives_the_same_draws_and_interrupts_pass_through():
    def normal(x):
        return -0.5 * (x**2).sum(axis=1), -x

    first, again = (
        nuts.sample(normal, np.ones((2, 3)), np.eye(3), 60, 50, np.random.default_rng(6)).x for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    heard = []

    def report(done, phase):
        heard.append((done, phase))
        if done == 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nuts.sample(normal, np.ones((2, 3)), np.eye(3), 60, 50, np.random.default_rng(6), report=report)
    assert heard[0] == (0, "warm-up")
    assert heard[-1] == (70, "sampling")


@pytest.mark.parametrize("warmup", [0, 5, 30, 60, 100, 300, 1000])
def test_windows_lie_inside_the_warmup_and_double(warmup):
    ends = nuts._windows(warmup)
    assert ends == sorted(set(ends))
    if warmup < 34:  # three quarters of which are 25 iterations
        assert ends == []
        return
    assert ends[0] >= int(0.15 * warmup)
    assert ends[-1] == warmup - int(0.1 * warmup) - 1
    lengths = np.diff([ends[0] - 1, *ends[1:]])
    assert (lengths[1:-1] == 2 * lengths[:-2]).all()
    assert lengths[-1] >= 25


def test_a_pooled_covariance_of_few_draws_can_be_factored():
    x = np.random.default_rng(7).normal(size=(5, 20))
    x[:, 3] = 1.0
    S = nuts.pooled_covariance(x)
    assert np.linalg.eigvalsh(S).min() > 0
    # the sizes of a symmetric coordinate count, and its correlations do not where it is on both sides of zero
    x = np.random.default_rng(9).normal(size=(4000, 2))
    x[:, 1] += np.abs(x[:, 0])
    S = nuts.pooled_covariance(x, [0])
    np.testing.assert_allclose(np.diag(S), [1 - 2 / np.pi, 2 - 2 / np.pi], rtol=0.1)
    assert S[0, 1] == 0
    assert nuts.pooled_covariance(x + np.array([5, 0]), [0])[0, 1] != 0
    many = np.random.default_rng(8).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 100_000)
    np.testing.assert_allclose(nuts.pooled_covariance(many), [[1, 0.8], [0.8, 1]], atol=0.02)
