"""Probabilities of arms: what is refused, and what clipping leaves."""

import numpy as np
import pytest

from mixedfx.errors import DataError
from mixedfx.learn.propensity import checked, clipped, read_known


@pytest.mark.parametrize("given", [[-0.2, 0.5], [1.2, 0.5], [[1.2, -0.2], [0.5, 0.5]]])
def test_known_probabilities_are_between_zero_and_one(given):
    """Before anything is clipped, so that clip= cannot hide them."""
    with pytest.raises(DataError, match="1 known propensities are below 0 or above 1"):
        read_known(given, 2, 2)


def test_clipped_probabilities_are_never_below_the_bound():
    rng = np.random.default_rng(0)
    e = rng.dirichlet([0.2, 0.3, 1.0, 0.2], 500)
    found = clipped(e, 0.05)
    assert found.min() >= 0.05 - 1e-15
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    untouched = (e >= 0.05).all(axis=1)
    assert untouched.any()
    np.testing.assert_array_equal(found[untouched], e[untouched])
    # those above stay in proportion
    np.testing.assert_allclose(clipped(np.array([[0.0, 0.3, 0.7]]), 0.1), [[0.1, 0.27, 0.63]])
    # and fall to the bound themselves where scaling takes them below it
    np.testing.assert_allclose(clipped(np.array([[0.0, 0.101, 0.899]]), 0.1), [[0.1, 0.1, 0.8]])
    arm = np.zeros(500, dtype=int)
    np.testing.assert_array_equal(checked(e, arm, 0.05, known=True), found)
