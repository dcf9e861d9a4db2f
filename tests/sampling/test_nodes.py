"""Fixed nodes stand for a density: its moments, the same at every call, and a verdict where they cannot."""

import numpy as np
import pytest
from scipy import special

from mixedfx.sampling.importance import at_mode
from mixedfx.sampling.nodes import evenly_spread, place_nodes


def log_gamma_and_normal(x):
    """A gamma(3) variable on the logarithmic scale, beside a normal one whose mean and spread follow it."""
    return 3 * x[:, 0] - np.exp(x[:, 0]) - 0.5 * ((x[:, 1] - x[:, 0]) / 0.5) ** 2


FIRST = at_mode(np.array([np.log(3.0), np.log(3.0)]), np.array([[1 / 3, 1 / 3], [1 / 3, 1 / 3 + 0.25]]))


def test_even_points_are_even_and_always_the_same():
    points = evenly_spread(256, 5)
    np.testing.assert_array_equal(points, evenly_spread(256, 5))
    assert ((points > 0) & (points < 1)).all()
    # each margin has one point in each of 256 cells
    np.testing.assert_array_equal(np.sort(np.floor(256 * points), axis=0), np.tile(np.arange(256), (5, 1)).T)
    # products of two coordinates: random points would be off by 0.2 / 16 = 0.0139 in a standard error
    means = points.T @ points / 256
    assert np.abs(means[np.triu_indices(5, 1)] - 0.25).max() < 0.003


def test_nodes_have_the_moments_of_the_density():
    nodes = place_nodes(log_gamma_and_normal, FIRST, 2048)
    again = place_nodes(log_gamma_and_normal, FIRST, 2048)
    np.testing.assert_array_equal(nodes.points, again.points)
    assert nodes.reliable
    assert nodes.weights.sum() == pytest.approx(1)
    mean = nodes.weights @ nodes.points
    # E log gamma(3) = digamma(3), variance trigamma(3). Random points of this proposal are off by 0.017 in a standard
    # error
    assert mean == pytest.approx([special.digamma(3)] * 2, abs=0.005)
    variance = nodes.weights @ (nodes.points - mean) ** 2
    assert variance == pytest.approx(special.polygamma(1, 3) + np.array([0.0, 0.25]), rel=0.03)


def test_a_proposal_in_the_wrong_place_is_adapted():
    far = at_mode(np.array([-0.5, 2.5]), np.diag([0.05, 0.05]))
    nodes = place_nodes(log_gamma_and_normal, far, 512)
    assert nodes.reliable
    # 512 random points of a good proposal are off by 0.026 in a standard error
    assert nodes.weights @ nodes.points == pytest.approx([special.digamma(3)] * 2, abs=0.03)
    assert nodes.evaluations > 512


@pytest.mark.parametrize(
    "density",
    [
        lambda x: -2000.0 * ((x - 2.0) ** 2).sum(axis=1),  # a needle that no point of the first rounds hits
        lambda x: np.full(len(x), -np.inf),
        lambda x: -0.5 * ((np.sqrt((x**2).sum(axis=1)) - 8.0) / 0.05) ** 2,  # a thin shell
    ],
    ids=["needle", "nowhere", "shell"],
)
def test_a_density_that_weights_cannot_follow_is_reported(density):
    nodes = place_nodes(density, at_mode(np.zeros(8), np.eye(8)), 128)
    assert not nodes.reliable
    assert np.isfinite(nodes.weights).all()
