"""The basis in which covariances are sampled: at the covariates' means, or where their priors are stated."""

import warnings

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.bayes.collapsed import engine
from mixedfx.errors import MixedfxWarning
from tests.sampling.test_location import frame


def fitted(shift):
    data = frame(9)
    data["x"] += shift
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.bayes("y ~ x + (1 + x | g)", data, priors="rstanarm", draws=4000, seed=1, progress=False)


@pytest.mark.parametrize("shift", [40.0, 100.0, 300.0])
def test_a_prior_that_says_more_than_the_data_is_sampled_in_its_own_basis(shift):
    """decov's prior holds at zero, here far from the data: less than a tenth of the points counted at the means."""
    sampling = fitted(shift).sampling
    assert sampling.method == "importance"
    assert sampling.ess > 0.5 * sampling.proposals
    assert sampling.k_hat < 0.5


def test_either_basis_gives_one_posterior_in_one_set_of_coordinates(monkeypatch):
    ours = fitted(40.0)
    monkeypatch.setattr(engine, "POOR", 0.0)
    other = fitted(40.0)
    assert other.sampling.ess < 0.1 * other.sampling.proposals
    value, error = zip(ours.sampling.log_evidence, other.sampling.log_evidence, strict=True)
    assert value[0] == pytest.approx(value[1], abs=4 * np.hypot(*error))
    # at least 3,000 effective draws of each: five standard errors of the difference
    for key in [("beta", "x"), ("sd", "g", "x"), ("sigma",)]:
        a, b = (np.log(np.abs(fit.draws()[key])).ravel() for fit in (ours, other))
        assert a.mean() == pytest.approx(b.mean(), abs=5 * a.std() * np.sqrt(2 / 3000))
    # phi is that of the target that the fit keeps, whichever was sampled
    np.testing.assert_allclose(np.exp(ours.collapsed.phi[:, 0]), ours.draws()["sigma",].ravel(), rtol=1e-12)
    np.testing.assert_allclose(
        np.sqrt((ours.collapsed.variances.factors(0)[:, 1] ** 2).sum(axis=1)), ours.draws()["sd", "g", "x"].ravel()
    )
