"""Posteriors of several data sets put together: a mixture, asked as one fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import OptionError


@pytest.fixture(scope="module")
def pupils():
    rng = np.random.default_rng(5)
    school = np.repeat(np.arange(20), 10)
    frame = pd.DataFrame({"school": school.astype(str), "coached": (school % 2).astype(int)})
    ability = 2.0 * frame["coached"] + rng.normal(0, 2, 20)[school] + rng.normal(0, 2, 200)
    return frame.assign(**{f"PV{k}": ability + rng.normal(0, 1.5, 200) for k in (1, 2, 3)})


@pytest.fixture(scope="module")
def fit(pupils):
    return mx.bayes("[PV1:PV3] ~ coached + (1 | school)", pupils, seed=3, draws=3000)


def test_draws_are_those_of_every_posterior(fit, pupils):
    single = [mx.bayes(f"PV{k} ~ coached + (1 | school)", pupils, seed=3, draws=1000) for k in (1, 2, 3)]
    beta = np.concatenate([one.joint.predictors[0].beta for one in single])
    np.testing.assert_array_equal(fit.joint.predictors[0].beta, beta)
    np.testing.assert_array_equal(
        fit.joint.auxiliary["sigma"], np.concatenate([s.joint.auxiliary["sigma"] for s in single])
    )
    assert fit.n_draws == 3000
    assert fit.chains == 3
    means = np.array([one.fixef["coached"] for one in single])
    within = np.mean([one.vcov.loc["coached", "coached"] for one in single])
    # variance of a mixture of three, to the divisors of 1,000 and 3,000
    assert fit.vcov.loc["coached", "coached"] == pytest.approx(within + means.var(), rel=2e-3)


def test_it_is_asked_as_one_fit(fit, tmp_path):
    found = mx.effects(fit, "coached")
    assert found.table["estimate"][0] == pytest.approx(fit.fixef["coached"], rel=1e-9)
    assert "3 posteriors put together, 1000 of each" in str(fit.diagnostics())
    assert "PV1, PV2, PV3" in str(fit.diagnostics())
    assert fit.ranef["school"].shape == (20, 1)
    fit.save(tmp_path / "fit.mfx")
    again = mx.load(tmp_path / "fit.mfx")
    assert (again.sampling.sets, again.sampling.what) == (("PV1", "PV2", "PV3"), "plausible values")
    np.testing.assert_array_equal(again.joint.predictors[0].u, fit.joint.predictors[0].u)


def test_priors_that_cannot_be_are_refused_as_in_one_data_set(pupils):
    with pytest.raises(OptionError):
        mx.bayes("[PV1:PV3] ~ coached + (1 | school)", pupils, engine="none")
