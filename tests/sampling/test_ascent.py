"""Climbs from many starts at once end where SciPy's do, and a start without a density spoils no other."""

import numpy as np
import pytest
from scipy import optimize

from mixedfx.sampling.ascent import ascend


def rosenbrock(x):
    """Minus Rosenbrock's valley in four dimensions, with its gradient; curved, and far from quadratic."""
    return -np.array([optimize.rosen(p) for p in x]), -np.array([optimize.rosen_der(p) for p in x])


def test_a_curved_valley_is_followed_to_its_end():
    starts = np.random.default_rng(1).normal(size=(6, 4))
    found = ascend(rosenbrock, starts, np.full(4, 0.01), tolerance=1e-6, most=500)
    theirs = [optimize.minimize(optimize.rosen, s, jac=optimize.rosen_der, method="BFGS").x for s in starts]
    assert found.phi == pytest.approx(np.array(theirs), abs=1e-4)
    assert found.value == pytest.approx(0, abs=1e-8)


def test_starts_climb_independently_of_each_other():
    starts = np.random.default_rng(2).normal(size=(3, 4))
    together = ascend(rosenbrock, starts, np.full(4, 0.01))
    alone = [ascend(rosenbrock, s[None], np.full(4, 0.01)).phi[0] for s in starts]
    np.testing.assert_array_equal(together.phi, alone)


def test_a_wall_without_density_is_not_crossed_and_steps_are_bounded():
    """log x - x has no density at x <= 0; the first step of Newton's kind from 0.01 would be far too long."""
    longest = []

    def gamma(x):
        longest.append(np.abs(x).max())
        with np.errstate(invalid="ignore", divide="ignore"):
            value = np.where(x[:, 0] > 0, np.log(x[:, 0]) - x[:, 0], -np.inf)
        return value, np.where(x > 0, 1 / x - 1, 0.0)

    found = ascend(gamma, np.array([[0.01], [30.0], [-1.0]]), np.full(1, 1e6))
    assert found.phi[:2] == pytest.approx(1, abs=1e-3)
    assert found.value[2] == -np.inf
    assert max(longest) <= 30.0


def test_a_flat_start_stays_where_it_is():
    found = ascend(lambda x: (np.zeros(len(x)), np.zeros(x.shape)), np.ones((2, 3)), np.ones(3))
    np.testing.assert_array_equal(found.phi, 1.0)
