"""Joint draws of an exact fit, taken where a comparison is not linear: their moments are those of the fit."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.effects.sampled import sampled
from mixedfx.reml.lmer import lmer

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(3)
    g, h = rng.integers(0, 40, 600), rng.integers(0, 9, 600)
    x = rng.normal(size=600)
    u = rng.normal(size=(40, 2)) @ np.array([[1.5, 0.0], [-0.6, 0.3]]).T
    y = 5 + x + u[g, 0] + u[g, 1] * x + 0.5 * rng.normal(size=9)[h] + rng.normal(size=600)
    frame = pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": h.astype(str)})
    return lmer("y ~ x + (1 + x | g) + (1 | h)", frame)


def test_draws_of_coefficients_known_and_unseen_effects_have_the_covariance_of_the_fit(fit):
    """Rows of seen levels, of unseen ones, and of both; an unseen level stands in several rows."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=14)})
    frame["g"] = ["0", "1", "new 1", "new 1", "new 2", "0", "new 3", "new 3", "2", "new 2", "new 1", "3", "3", "new 4"]
    frame["h"] = ["1", "new", "2", "new", "new", "far", "far", "1", "2", "3", "3", "new", "1", "far"]
    for given in (fit.with_uncertainty("given theta"), fit):
        rows = given.design_for(frame, new_levels="sample")
        exact = given.apply(rows)
        found = sampled(given, 3).apply(rows).draws()
        n = len(found)
        assert n >= 2000
        variance = np.diag(exact.cov)
        assert (np.abs(found.mean(axis=0) - exact.mean) < 5 * np.sqrt(variance / n)).all()
        error = np.sqrt((exact.cov**2 + np.outer(variance, variance)) / n)
        np.testing.assert_array_less(np.abs(np.cov(found.T) - exact.cov), 5 * error)


def test_unseen_levels_of_one_draw_are_independent_and_have_their_terms_covariance(fit):
    at = pd.DataFrame({"x": [0.0, 1.0]})
    frame = pd.concat([at] * 80, ignore_index=True).assign(h="1", g=np.repeat([f"new {i}" for i in range(80)], 2))
    one = sampled(fit, 1)
    drawn, known = (one.apply(fit.design_for(frame, how)).draws() for how in ("sample", "population"))
    effect = (drawn - known).reshape(len(drawn), 80, 2)
    u = np.stack([effect[..., 0], effect[..., 1] - effect[..., 0]], axis=2)
    term = next(t for t in range(2) if fit.design.random[t].label == "g")
    T = fit.sigma * fit.solution.factors[term]
    white = np.linalg.solve(T, u[..., None])[..., 0]
    n = white.shape[0] * 80
    moments = np.einsum("dla,dlb->ab", white, white) / n
    np.testing.assert_array_less(np.abs(moments - np.eye(2)), 5 * np.sqrt((1 + np.eye(2)) / n))
    across = np.einsum("dla,dlb->ab", white[:, 1:], white[:, :-1]) / n
    assert np.abs(across).max() < 5 / np.sqrt(n)
