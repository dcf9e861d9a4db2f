"""Options of the wrong type or out of range are refused in words by whichever function has them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxError, OptionError, check_count, check_flag, check_level, check_option, check_seed

FORMULA = "y ~ x + z + (1 | g)"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(8), 10)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=80), "z": rng.integers(0, 2, 80)})
    return frame.assign(y=rng.normal(size=8)[g] + rng.normal(size=80))


@pytest.fixture(scope="module")
def fits(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mx.lmer(FORMULA, data), mx.bayes(FORMULA, data, draws=50, seed=1)


# name of the option -> what takes it, from (fit, posterior, data, value)
FLAGS = {
    "REML": lambda f, b, d, v: mx.lmer(FORMULA, d, REML=v),
    "se": lambda f, b, d, v: f.predict(d, se=v),
    "use_u": lambda f, b, d, v: f.simulate(1, use_u=v),
    "use_u of a bootstrap": lambda f, b, d, v: f.bootstrap(5, use_u=v),
    "joint": lambda f, b, d, v: f.test("x", joint=v),
    "refit": lambda f, b, d, v: f.influence(by="g", refit=v),
}
LEVELS = {
    "tidy": lambda f, b, d, v: f.tidy(level=v),
    "confint": lambda f, b, d, v: f.confint(level=v),
    "predict": lambda f, b, d, v: f.predict(d, interval="confidence", level=v),
    "test": lambda f, b, d, v: f.test("x", joint=False, level=v),
    "emmeans": lambda f, b, d, v: mx.emmeans(f, "z", level=v),
    "effects": lambda f, b, d, v: mx.effects(f, "z", level=v),
    "predict of a posterior": lambda f, b, d, v: b.predict(d, level=v),
    "tidy of a posterior": lambda f, b, d, v: b.tidy(level=v),
}
COUNTS = {
    "n of simulate": lambda f, b, d, v: f.simulate(v),
    "n of draws": lambda f, b, d, v: f.draws(v),
    "n of bootstrap": lambda f, b, d, v: f.bootstrap(v),
    "simulate": lambda f, b, d, v: f.ranova(simulate=v),
    "draws": lambda f, b, d, v: mx.bayes(FORMULA, d, draws=v),
    "chains": lambda f, b, d, v: mx.bayes(FORMULA, d, chains=v),
    "warmup": lambda f, b, d, v: mx.bayes(FORMULA, d, warmup=v),
}
SEEDS = {
    "simulate": lambda f, b, d, v: f.simulate(1, seed=v),
    "draws": lambda f, b, d, v: f.draws(5, seed=v),
    "bootstrap": lambda f, b, d, v: f.bootstrap(5, seed=v),
    "ranova": lambda f, b, d, v: f.ranova(seed=v),
    "effects": lambda f, b, d, v: mx.effects(f, "z", seed=v),
    "predict": lambda f, b, d, v: f.predict(d, seed=v),
    "bayes": lambda f, b, d, v: mx.bayes(FORMULA, d, draws=20, seed=v),
}
CHOICES = {
    "na": lambda f, b, d, v: mx.lmer(FORMULA, d, na=v),
    "ddf": lambda f, b, d, v: f.tidy(ddf=v),
    "effects of tidy": lambda f, b, d, v: f.tidy(effects=v),
    "groups": lambda f, b, d, v: f.predict(d, groups=v),
    "groups of effects": lambda f, b, d, v: mx.effects(f, "z", groups=v),
    "kind": lambda f, b, d, v: f.residuals(kind=v),
    "kind of a covariance": lambda f, b, d, v: f.vcov_robust(kind=v),
    "method": lambda f, b, d, v: f.confint(method=v),
    "new_levels": lambda f, b, d, v: f.predict(d, new_levels=v),
    "type": lambda f, b, d, v: f.anova(type=v),
    "test of drop1": lambda f, b, d, v: f.drop1(test=v),
    "weights of means": lambda f, b, d, v: mx.emmeans(f, "z", weights=v),
    "engine": lambda f, b, d, v: mx.bayes(FORMULA, d, engine=v),
}


def refused(question, fits, data, value):
    with pytest.raises(MixedfxError) as caught:
        question(*fits, data, value)
    assert str(caught.value).count("\n") >= 1  # what is wrong, and a line that mends it


@pytest.mark.parametrize("option", FLAGS)
@pytest.mark.parametrize("value", ["yes", "ML", 2, 0, None])
def test_flags_are_true_or_false(option, value, fits, data):
    refused(FLAGS[option], fits, data, value)


@pytest.mark.parametrize("option", LEVELS)
@pytest.mark.parametrize("value", ["a", 95, None, 0, 1, True, float("nan")])
def test_levels_are_numbers_between_0_and_1(option, value, fits, data):
    refused(LEVELS[option], fits, data, value)


@pytest.mark.parametrize("option", COUNTS)
@pytest.mark.parametrize("value", ["a", -1, 2.5, [3]])
def test_counts_are_whole_numbers(option, value, fits, data):
    refused(COUNTS[option], fits, data, value)


@pytest.mark.parametrize("option", SEEDS)
@pytest.mark.parametrize("value", ["a", 2.5, -1])
def test_seeds_are_whole_numbers_from_0(option, value, fits, data):
    refused(SEEDS[option], fits, data, value)


@pytest.mark.parametrize("option", CHOICES)
@pytest.mark.parametrize("value", ["nothing of the kind", 7, ["fixed"]], ids=str)
def test_choices_are_one_of_those_listed(option, value, fits, data):
    refused(CHOICES[option], fits, data, value)


def test_numbers_and_truth_values_of_numpy_are_as_good_as_pythons():
    check_flag("REML", np.bool_(True))
    check_count("n", np.int64(3))
    check_seed(np.int32(0))
    check_seed(None)
    check_level(np.float64(0.9))
    check_option("kind", np.str_("CR2"), ("CR0", "CR2"))
    check_option("ddf", None, ("normal", None))
    with pytest.raises(OptionError, match="Use REML=True or REML=False"):
        check_flag("REML", "ML")
    with pytest.raises(OptionError, match="n=True is not a whole number from 1"):
        check_count("n", True)
