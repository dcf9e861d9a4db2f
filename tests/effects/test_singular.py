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
def test_single_levels_of_a_singular_term_are_named(comparison):
    fit = fitted(singular=True)
    data = fit.design.frame.assign(y=fit.design.y + 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = fit.update(data=data)  # a positive outcome, so that percentages have a meaning
    with pytest.warns(SingularEffectsWarning, match=r"(?s)within `g` are perfectly correlated.*mx\.bayes"):
        answer = mx.effects(fit, "z", by="g", comparison=comparison)
    assert any("singular" in text for text in answer.warnings)


def test_averages_over_many_levels_and_regular_fits_are_not():
    for fit, by in ((fitted(singular=True), "half"), (fitted(singular=False), "g")):
        with warnings.catch_warnings():
            warnings.simplefilter("error", SingularEffectsWarning)
            warnings.simplefilter("ignore", mx.errors.NoVariationWarning)
            mx.effects(fit, "z", by=by, newdata=experiment(0, 0.0))


def test_the_intervals_are_too_short_indeed():
    """Without any differences, 95 % intervals of a singular fit miss the common effect far oftener than in 5 %."""
    missed = []
    for seed in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            fit = mx.lmer(FORMULA, experiment(seed, 0.0))
            if not fit.singular or fit.varcorr["sdcor"].iloc[1] < 1e-6:
                continue  # r = 1 or -1 only
            table = mx.effects(fit, "z", by="g").table
        missed.append(((table["lower"] > 0.3) | (table["upper"] < 0.3)).mean())
    assert len(missed) >= 5
    assert np.mean(missed) > 0.1
