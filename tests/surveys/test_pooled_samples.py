"""Plausible values in a weighted sample, with replicate weights: as PISA combines them."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.errors import OptionError
from mixedfx.surveys.rubin import barnard_rubin

WEIGHTS = {"row": "w_pupil", "school": "w_school"}


@pytest.fixture(scope="module")
def pisa():
    schools = mx.datasets.simulate_survey(1)[0]
    rng = np.random.default_rng(2)
    return schools.assign(**{f"PV{k}": schools["score"] + rng.normal(0, 25, len(schools)) for k in (1, 2, 3)})


@pytest.fixture(scope="module")
def fit(pisa):
    return mx.lmer("[PV1:PV3] ~ ses + (1 | school)", pisa, sampling_weights=WEIGHTS)


def test_the_variance_of_the_sample_and_that_of_the_values_add_up(pisa, fit):
    single = [mx.lmer(f"PV{k} ~ ses + (1 | school)", pisa, sampling_weights=WEIGHTS) for k in (1, 2, 3)]
    beta = np.array([one.fixef for one in single])
    total = np.mean([one.vcov for one in single], axis=0) + (1 + 1 / 3) * np.cov(beta.T)
    np.testing.assert_allclose(fit.vcov, total, rtol=1e-9)
    np.testing.assert_allclose(fit.fixef, beta.mean(axis=0), rtol=1e-12)
    found = fit.tidy()
    np.testing.assert_allclose(found["df"], barnard_rubin(3, found["riv"], 59.0), rtol=1e-9)  # 60 schools, no strata
    assert "those of the sample" in " ".join(str(fit).split())


def test_effects_and_means_have_both(fit):
    effect, slope = mx.effects(fit, "ses").table.iloc[0], fit.tidy().iloc[1]
    assert [effect.estimate, effect.sd] == pytest.approx([slope.estimate, slope.std_error], rel=1e-7)
    mean = mx.emmeans(fit, "~ 1", at={"ses": 0}).table.iloc[0]
    assert mean.emmean == pytest.approx(fit.fixef["Intercept"], rel=1e-9)


def test_pseudo_likelihoods_are_not_compared(pisa, fit):
    smaller = mx.lmer("[PV1:PV3] ~ 1 + (1 | school)", pisa, sampling_weights=WEIGHTS)
    assert fit.compare(smaller, "D1")["p_value"].iloc[0] < 1e-6
    for method in ("D2", "D3"):
        with pytest.raises(OptionError, match="pseudo likelihoods"):
            fit.compare(smaller, method)
