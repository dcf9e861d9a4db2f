"""Known standard errors are another model than weights."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import FormulaError

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def trials():
    return pd.DataFrame(
        {
            "y": [-0.9, -1.6, -1.3, -1.4, -0.2, -0.8, -1.6, 0.0],
            "s": [0.57, 0.44, 0.64, 0.14, 0.23, 0.08, 0.47, 0.06],
            "trial": list("abcdefgh"),
        }
    )


def test_known_standard_errors_leave_no_residual_variance(trials):
    """Rows vary as their standard errors say; the posterior of the same line is of the same model."""
    fit = mx.lmer("y | se(s) ~ 1 + (1 | trial)", trials)
    assert fit.sigma == 1.0
    assert "Residual" not in set(fit.varcorr["grp"])
    posterior = mx.bayes("y | se(s) ~ 1 + (1 | trial)", trials, seed=1)
    assert ("sigma",) not in posterior.draws()
    np.testing.assert_array_equal(posterior.design.known_sd, trials["s"])
    # eight trials: the posterior of the mean, whose sd takes in that of tau, lies over the estimate
    gap = posterior.fixef["Intercept"] - fit.fixef["Intercept"]
    assert abs(gap) < 0.5 * fit.tidy()["std_error"][0]


def test_successes_out_of_trials_are_refused(trials):
    with pytest.raises(FormulaError, match="no number of trials"):
        mx.lmer("k | trials(m) ~ 1 + (1 | trial)", trials.assign(k=1, m=4))


def test_weights_estimate_a_residual_variance_on_top():
    """With weights = 1 / s^2 there is a sigma, here of the size that was drawn with, as with sigma="estimate"."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(60), 5)
    s = rng.uniform(0.1, 2.0, 300)
    frame = pd.DataFrame({"g": g, "s": s, "y": rng.normal(size=60)[g] + 2.0 * s * rng.normal(size=300)})
    fit = mx.lmer("y ~ 1 + (1 | g)", frame, weights=1 / s**2)
    # The sd of the error of a standard deviation from 240 df is 2 / sqrt(480).
    assert fit.sigma == pytest.approx(2.0, abs=4 * 2 / np.sqrt(480))
    same = mx.lmer("y | se(s) ~ 1 + (1 | g)", frame, sigma="estimate")
    assert same.criterion == pytest.approx(fit.criterion, abs=1e-9)
