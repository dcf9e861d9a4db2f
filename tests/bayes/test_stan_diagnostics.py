"""Each thing that can go wrong with chains has a warning of its own, which says what to do."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import errors
from mixedfx.bayes import diagnose
from mixedfx.bayes.engines.stan_course import MOST_EFFECTS, StanSampling, worst
from mixedfx.bayes.posterior.joint import JointDraws, Predictor

GOOD = StanSampling(
    engine="stanli", version="1", method="nuts", reason="", warmup=1000, chains=4, seconds=1.0, divergences=0,
    at_max_treedepth=0, max_treedepth=10, adapt_delta=0.8, energy=(0.9, 0.8, 0.9, 0.9), r_hat=1.002, ess=1500.0,
    ess_tail=1400.0, worst=(("sigma",), ("sd", "g", "x"), ("beta", "x")),
)  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=60), "g": rng.choice(list("abcde"), 60)})
    data["y"] = rng.poisson(np.exp(0.3 * data["x"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.SamplingWarning)
        return mx.bayes(
            "y ~ x + (1 | g)", data, family="poisson", engine="stanli", draws=100, chains=2, warmup=100, seed=1,
            progress=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"divergences": 3}, errors.DivergenceWarning, r"3 divergent transitions.*adapt_delta=0\.95"),
        ({"divergences": 3, "adapt_delta": 0.95}, errors.DivergenceWarning, r"adapt_delta=0\.99"),
        ({"r_hat": 1.05}, errors.RHatWarning, r"R-hat is 1\.050 for 'sigma'.*warmup=2000"),
        ({"ess": 350.0}, errors.EffectiveSizeWarning, r"350 effective draws of \('sd', 'g', 'x'\).*draws="),
        ({"ess_tail": 350.0}, errors.EffectiveSizeWarning, r"350 effective draws in the tails of \('beta', 'x'\)"),
        ({"energy": (0.9, 0.2, 0.9, 0.9)}, errors.EnergyWarning, r"E-BFMI is 0\.20 in 1 of 4 chains"),
        ({"at_max_treedepth": 7}, errors.TreedepthWarning, r"7 transitions.*max_treedepth=12"),
        ({"method": "pathfinder"}, errors.ApproximationWarning, r"algorithm='nuts'"),
    ],
)
def test_each_concern_has_a_warning_that_says_what_to_do(fit, change, kind, words):
    bad = replace(fit, sampling=replace(GOOD, **change))
    assert issubclass(kind, errors.SamplingWarning)
    with pytest.warns(kind, match=words) as caught:
        diagnose.warn(bad)
    assert len(caught) == 1
    assert str(caught[0].message) in " ".join(bad.diagnostics().text().split()).replace("Verdict: ", "")


def test_advice_fits_the_model(fit):
    """Another parametrisation of random terms is no advice where there are none."""
    bad = replace(GOOD, divergences=3, r_hat=1.05, ess=50.0, energy=(0.1, 0.9, 0.9, 0.9))
    said = [text for _, text in diagnose.concerns(replace(fit, sampling=bad))]
    assert len(said) == 4
    assert all("centred=" in text for text in said)
    alone = replace(fit, sampling=bad, design=replace(fit.design, random=()))
    assert not any("centred=" in text for _, text in diagnose.concerns(alone))


def test_what_is_above_the_limit_is_not_shown_as_the_limit(fit):
    (_, text), *_ = diagnose.concerns(replace(fit, sampling=replace(GOOD, r_hat=1.0101)))
    assert text.startswith("R-hat is 1.011 for 'sigma', above 1.01")


def test_good_chains_are_no_concern(fit):
    good = replace(fit, sampling=GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnose.warn(good)
    assert "nothing speaks against these draws" in good.diagnostics().text()


def test_mx_bayes_issues_them():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"y": rng.poisson(2, 40), "g": rng.choice(list("abcd"), 40)})
    with pytest.warns(errors.EffectiveSizeWarning, match="effective draws") as caught:
        mx.bayes(
            "y ~ 1 + (1 | g)", data, "poisson", engine="stanli", draws=40, chains=2, warmup=50, progress=False, seed=1
        )
    assert caught[0].filename == __file__


def test_too_few_draws_to_tell_are_too_few(fit):
    one = fit.joint.predictors[0]
    joint = JointDraws((Predictor(one.beta[:8], one.u[:8], (one.factors[0][:8],)),))
    found = worst(joint, fit.design, 4)
    assert (found.bulk, found.keys[0]) == (8.0, ())
    assert np.isnan(found.r_hat)


def test_of_many_random_effects_a_part_is_looked_at(monkeypatch, fit):
    from mixedfx.bayes.engines import stan_course

    assert MOST_EFFECTS == 500
    monkeypatch.setattr(stan_course, "MOST_EFFECTS", 2)
    u = np.random.default_rng(1).normal(size=(100, 5))
    u[:50, 2] += 5.0  # not among the two that are looked at, the first and the last
    joint = replace(fit.joint, predictors=(replace(fit.joint.predictors[0], u=u),))
    assert worst(joint, fit.design, 2).r_hat < 1.3
    u[:50, 4] += 5.0
    assert worst(joint, fit.design, 2).keys[0][0] == "u"
