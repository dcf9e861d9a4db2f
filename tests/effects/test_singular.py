"""Subgroups that rest on one level of a singular term are named; averages over many levels are not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, SingularEffectsWarning

FORMULA = "y ~ z + (1 + z | g)"


def experiment(seed: int, sd: float) -> pd.DataFrame:
    """20 groups of 30; effects of z with this sd, independent of the intercepts."""
    rng = np.random.default_rng(seed)
    g, z = np.repeat(np.arange(20), 30), np.tile([0.0, 1.0], 300)
    level, slope = rng.normal(0, 1, 20), rng.normal(0, sd, 20)
    y = level[g] + (0.3 + slope[g]) * z + rng.normal(0, 1, 600)
    return pd.DataFrame({"y": y, "z": z, "g": g.astype(str), "half": np.where(g < 10, "a", "b")})


def fitted(singular: bool):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        for seed in range(20):
            fit = mx.lmer(FORMULA, experiment(seed, 0.0 if singular else 1.0))
            if fit.singular == singular:
                return fit
    raise AssertionError("none of twenty data sets is of this kind")


@pytest.mark.parametrize("comparison", ["difference", "lift"])
@pytest.mark.parametrize(("uncertainty", "says"), [("full", "include that"), ("given theta", "too short")])
def test_single_levels_of_a_singular_term_are_named(comparison, uncertainty, says):
    fit = fitted(singular=True)
    data = fit.design.frame.assign(y=fit.design.y + 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = fit.update(data=data)  # a positive outcome, so that percentages have a meaning
    with pytest.warns(SingularEffectsWarning, match=rf"(?s)within `g` are perfectly correlated.*{says}.*mx\.bayes"):
        answer = mx.effects(fit, "z", by="g", comparison=comparison, uncertainty=uncertainty)
    assert any("singular" in text for text in answer.warnings)


def test_averages_over_many_levels_and_regular_fits_are_not():
    for fit, by in ((fitted(singular=True), "half"), (fitted(singular=False), "g")):
        with warnings.catch_warnings():
            warnings.simplefilter("error", SingularEffectsWarning)
            warnings.simplefilter("ignore", mx.errors.NoVariationWarning)
            mx.effects(fit, "z", by=by, newdata=experiment(0, 0.0))


def test_the_intervals_are_too_short_given_theta_and_not_by_default():
    """Without any differences, 95 % intervals of a singular fit given theta miss the common effect far too often."""
    missed = {"full": [], "given theta": []}
    for seed in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            fit = mx.lmer(FORMULA, experiment(seed, 0.0))
            if not fit.singular or fit.varcorr["sdcor"].iloc[1] < 1e-6:
                continue  # r = 1 or -1 only
            for uncertainty, found in missed.items():
                table = mx.effects(fit, "z", by="g", uncertainty=uncertainty).table
                found.append(((table["lower"] > 0.3) | (table["upper"] < 0.3)).mean())
    assert len(missed["full"]) >= 5
    assert np.mean(missed["given theta"]) > 0.1
    # nothing varies, and intervals that allow for variation are on the wide side of 5 %
    assert np.mean(missed["full"]) < 0.05
