"""A mixture of proposals covers several modes: exact weights, the right masses, and no component is lost."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.sampling.importance import at_mode, smooth
from mixedfx.sampling.mixture_proposal import MixtureProposal, adapt, at_modes, log_masses
from mixedfx.sampling.mode import Mode

CENTRES, SPREADS, SHARES = np.array([[-4.0, 0.0], [3.0, 2.0]]), (0.5, 1.2), (0.3, 0.7)


def two_hills(x):
    """Two normal distributions of masses 0.3 e^2 and 0.7 e^2."""
    parts = [
        np.log(share) + stats.multivariate_normal(centre, spread**2 * np.eye(2)).logpdf(x).reshape(-1)
        for centre, spread, share in zip(CENTRES, SPREADS, SHARES, strict=True)
    ]
    return 2.0 + np.logaddexp(*parts)


def modes(factor=1.0):
    return [
        Mode(centre, float(two_hills(centre[None])[0]), factor * spread**2 * np.eye(2))
        for centre, spread in zip(CENTRES, SPREADS, strict=True)
    ]


def test_laplace_is_exact_for_normal_hills():
    assert [mode.log_mass for mode in modes()] == pytest.approx(2 + np.log(SHARES), abs=1e-3)


def test_the_density_of_a_mixture_is_that_of_its_draws():
    """The mean of n / q under q is 1 for a normal density n within reach of both components."""
    proposal = at_modes(modes())
    x = proposal.draw(np.random.default_rng(1), 50_000)
    ratio = np.exp(stats.multivariate_normal([0.0, 1.0], 4 * np.eye(2)).logpdf(x) - proposal.log_density(x))
    assert ratio.mean() == pytest.approx(1, abs=4.5 * ratio.std() / np.sqrt(len(ratio)))
    np.testing.assert_allclose(proposal.responsibilities(x[:50]).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 0.3, 4.0])
def test_masses_near_modes_are_right_whatever_the_first_proposal(factor):
    """Curvature off by a factor of three or four: first and last estimates of both masses agree with the truth."""
    found = adapt(two_hills, at_modes(modes(factor)), 2000, np.random.default_rng(2), 6)
    np.testing.assert_allclose(found.log_mass, 2 + np.log(SHARES), atol=0.25)
    x = found.proposal.draw(np.random.default_rng(3), 8000)
    log_ratios = two_hills(x) - found.proposal.log_density(x)
    weights, k_hat = smooth(log_ratios)
    assert k_hat < 0.5
    assert 1 / np.sum(weights**2) > 0.7 * 8000
    drawn = log_masses(log_ratios, at_modes(modes(factor)).responsibilities(x))
    # 8,000 points, 70 % effective: a log mass has an error of 0.02
    np.testing.assert_allclose(drawn, 2 + np.log(SHARES), atol=0.1)
    np.testing.assert_allclose(found.proposal.shares, SHARES, atol=0.06)


def test_a_component_without_points_keeps_its_place():
    """All points lie at the second mode: the first component stays where it is, with a small share."""
    first = at_modes(modes())
    points = CENTRES[1] + np.random.default_rng(4).normal(size=(500, 2))
    moved = first.refit(points, np.full(500, 1 / 500))
    np.testing.assert_array_equal(moved.components[0].mean, first.components[0].mean)
    assert moved.shares[0] == pytest.approx(0.025, rel=0.1)
    assert moved.shares.sum() == pytest.approx(1)


def test_one_mode_is_adaptive_importance_sampling():
    one = at_mode(np.zeros(2), np.eye(2))
    mixture = MixtureProposal((one,), np.ones(1))
    x = one.draw(np.random.default_rng(5), 100)
    np.testing.assert_array_equal(mixture.draw(np.random.default_rng(5), 100), x)
    np.testing.assert_allclose(mixture.log_density(x), one.log_density(x), rtol=1e-12)
