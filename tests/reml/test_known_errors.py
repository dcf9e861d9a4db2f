"""Known standard errors are another model than weights, and lmer says where it is fitted."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import ModelError

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


def test_the_line_that_is_advised_fits_the_model_asked_for(trials):
    """The advice is a line of code: run, it has no residual variance, and rows vary as their standard errors say."""
    with pytest.raises(ModelError, match=r"residual variance[\s\S]*weights=1 / s\*\*2 is another model") as caught:
        mx.lmer("y | se(s) ~ 1 + (1 | trial)", trials)
    line = caught.value.hint.split(" fits ")[0]
    fit = eval(line.replace("data)", "trials, seed=1)"), {"mx": mx, "trials": trials})
    assert ("sigma",) not in fit.draws()
    np.testing.assert_array_equal(fit.design.known_sd, trials["s"])


def test_weights_estimate_a_residual_variance_on_top():
    """As the refusal says: with weights = 1 / s^2 there is a sigma, here of the size that was drawn with."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(60), 5)
    s = rng.uniform(0.1, 2.0, 300)
    frame = pd.DataFrame({"g": g, "s": s, "y": rng.normal(size=60)[g] + 2.0 * s * rng.normal(size=300)})
    fit = mx.lmer("y ~ 1 + (1 | g)", frame, weights=1 / s**2)
    # The sd of the error of a standard deviation from 240 df is 2 / sqrt(480).
    assert fit.sigma == pytest.approx(2.0, abs=4 * 2 / np.sqrt(480))
