"""The proposal is a density, adaptation finds skewed targets, weights and resampling do what they say."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.sampling.importance import (
    ImportanceSample,
    Proposal,
    at_mode,
    log_t_density,
    refit,
    resample,
    smooth,
)
from mixedfx.sampling.mixture_proposal import MixtureProposal, adapt


def bent():
    root = np.array([[1.0, 0.0], [0.5, 0.8]])
    return Proposal(np.array([1.0, -2.0]), np.array([0.5, 2.0]), np.array([0.6, -0.8]), np.array([0.1, 0.2]), root, 5.0)


def test_the_t_density_is_scipys():
    root = np.array([[1.5, 0.0], [-0.4, 0.7]])
    x = np.random.default_rng(0).normal(size=(20, 2))
    expected = stats.multivariate_t(np.array([0.3, 1.0]), root @ root.T, 4.0).logpdf(x)
    np.testing.assert_allclose(log_t_density(x, np.array([0.3, 1.0]), root, 4.0), expected, rtol=1e-12)


def test_straightening_undoes_the_bend():
    proposal, rng = bent(), np.random.default_rng(1)
    x = proposal.draw(rng, 100)
    z = proposal.straighten(x)
    again = proposal.centre + proposal.scale * (z + proposal.skew * (np.sqrt(1 + z**2) - 1))
    np.testing.assert_allclose(again, x, rtol=1e-10)


def test_the_density_of_a_bent_proposal_is_that_of_its_draws():
    """The mean of n / q under q is 1 for a normal density n."""
    proposal, rng = bent(), np.random.default_rng(2)
    x = proposal.draw(rng, 100_000)
    inside = stats.multivariate_normal([1.0, -2.0], np.diag([0.05, 0.5]))
    ratio = np.exp(inside.logpdf(x) - proposal.log_density(x))
    assert ratio.mean() == pytest.approx(1, abs=4.5 * ratio.std() / np.sqrt(len(ratio)))


def skewed(x):
    """A gamma variable on the logarithmic scale, long to the left, beside a normal one that depends on it."""
    return 0.8 * x[:, 0] - np.exp(x[:, 0]) - 0.5 * ((x[:, 1] - 0.7 * x[:, 0]) / 0.3) ** 2


def alone(proposal):
    """A mixture of one."""
    return MixtureProposal((proposal,), np.ones(1))


def test_adaptation_makes_weights_even():
    first = at_mode(np.array([np.log(0.8), 0.7 * np.log(0.8)]), np.array([[1.25, 0.87], [0.87, 0.7]]))
    rng = np.random.default_rng(3)

    def share(proposal):
        x = proposal.draw(rng, 4000)
        weights, k_hat = smooth(skewed(x) - proposal.log_density(x))
        return 1 / np.sum(weights**2) / 4000, k_hat

    found = adapt(skewed, alone(first), 1000, rng, 6)
    proposal = found.proposal.components[0]
    before, after = share(first), share(proposal)
    assert found.rounds >= 1
    assert found.evaluations == 1000 * found.rounds
    assert after[0] > 0.75
    assert after[0] > before[0]
    assert after[1] < 0.7
    assert proposal.skew[0] < -0.1


def test_log_evidence_is_that_of_a_known_integral():
    rng = np.random.default_rng(4)
    proposal = adapt(skewed, alone(at_mode(np.zeros(2), np.eye(2))), 1000, rng, 6).proposal
    x = proposal.draw(rng, 20_000)
    ratios = skewed(x) - proposal.log_density(x)
    weights, k_hat = smooth(ratios)
    value, error = ImportanceSample(x, ratios, weights, k_hat, 1 / np.sum(weights**2), 0, 0).log_evidence
    from scipy.special import gammaln

    assert abs(value - (gammaln(0.8) + np.log(0.3 * np.sqrt(2 * np.pi)))) < 4 * error
    assert error < 0.01


def test_a_proposal_with_thin_tails_is_caught_by_k_hat():
    """A normal proposal of half the width for a normal target has weights of infinite variance."""
    x = np.random.default_rng(5).normal(0, 0.5, (4000, 1))
    ratios = stats.norm.logpdf(x[:, 0]) - stats.norm.logpdf(x[:, 0], scale=0.5)
    weights, k_hat = smooth(ratios)
    assert k_hat > 0.6
    assert weights.sum() == pytest.approx(1)


def test_points_without_density_get_no_weight():
    ratios = np.random.default_rng(6).normal(size=200)
    ratios[7] = -np.inf
    weights, _ = smooth(ratios)
    assert weights[7] == 0
    assert smooth(np.full(100, -np.inf))[1] == np.inf


def test_systematic_resampling_keeps_counts_within_one_of_their_expectation():
    weights = np.random.default_rng(7).dirichlet(np.ones(50))
    counts = np.bincount(resample(weights, 1000, np.random.default_rng(8)), minlength=50)
    assert np.abs(counts - 1000 * weights).max() < 1
    assert counts.sum() == 1000


def test_refitting_to_few_points_stays_close_to_them_and_regular():
    points = np.random.default_rng(9).normal(size=(30, 3))
    weights = np.zeros(30)
    weights[:2] = 0.5
    proposal = refit(at_mode(np.zeros(3), np.eye(3)), points, weights, 2.0)
    assert np.linalg.eigvalsh(proposal.root @ proposal.root.T).min() > 0.1
