"""R2 by level compares with the model without predictors, as fitted by its own formula."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning


@pytest.mark.parametrize(("family", "response"), [("bernoulli", "passed"), ("poisson", "tens"), ("gaussian", "score")])
def test_by_level_is_the_comparison_with_the_model_without_predictors(family, response):
    course = mx.datasets.load("flipped_classroom", plan="crossed")
    course = course.assign(passed=(course["score"] > 60).astype(int), tens=(course["score"] // 10).astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit, null = (mx.glmer(f"{response} ~ {x} + (1 | professor)", course, family) for x in ("style", "1"))
        table = fit.r2("level").set_index("level")
    parts, before = fit.r2("term").set_index("term"), null.r2("term").set_index("term")
    for level in table.index:
        name = next(one for one in parts.index if level in one)
        assert table.loc[level, "variance"] == pytest.approx(parts.loc[name, "variance"], rel=1e-9)
        assert table.loc[level, "null_variance"] == pytest.approx(before.loc[name, "variance"], rel=1e-3)
    np.testing.assert_allclose(table["r2"], 1 - table["variance"] / table["null_variance"])


def test_a_gaussian_model_has_that_of_lmer():
    course = mx.datasets.load("flipped_classroom", plan="crossed")
    ours = mx.glmer("score ~ style + (1 | professor)", course, "gaussian").r2("level").set_index("level")
    theirs = mx.lmer("score ~ style + (1 | professor)", course, REML=False).r2("level").set_index("level")
    variances = ["variance", "null_variance"]  # minima to 1e-8 of the criterion leave 1e-4 of a variance
    np.testing.assert_allclose(ours.loc[theirs.index, variances], theirs[variances], rtol=2e-4)
    np.testing.assert_allclose(ours.loc[theirs.index, "r2"], theirs["r2"], atol=4e-4)
