"""`control=` of bayes: each engine does what its options say, in whichever place they were said."""

import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import mixedfx as mx
from mixedfx.bayes.collapsed.engine import point_of
from mixedfx.errors import OptionError, SamplingWarning

FORMULA = "score ~ style + (1 | professor)"
FEW = {"draws": 200, "warmup": 100, "chains": 2, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def course():
    return mx.datasets.load("flipped_classroom", plan="crossed")


def sampled(course, engine="auto", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return mx.bayes(FORMULA, course, engine=engine, **FEW, **options)


def test_tolerance_and_limit_of_importance_sampling(course):
    assert sampled(course).sampling.method == "importance"
    slopes = FORMULA.replace("(1 |", "(1 + style |")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        strict = mx.bayes(slopes, course, **FEW, control={"k_hat": 0.01}).sampling  # it is 0.16
    assert strict.method == "nuts"
    assert strict.reason.endswith("above 0.01")
    assert sampled(course, control=mx.control(max_coordinates=1)).sampling.reason == "2 coordinates, more than 1"
    assert sampled(course, control={"proposals": 5000}).sampling.proposals == 5000


def test_acceptance_and_depth_of_nuts_on_the_collapsed_density(course):
    wide, close = (sampled(course, "nuts", control={"adapt_delta": rate}) for rate in (0.5, 0.99))
    assert close.transitions["acceptance_rate"].mean() > wide.transitions["acceptance_rate"].mean() + 0.05
    short = sampled(course, "nuts", control={"max_treedepth": 1})
    assert short.transitions["tree_depth"].max() == 1
    assert short.sampling.at_max_treedepth > 0


@pytest.mark.parametrize("engine", ["collapsed", "nuts"])
def test_a_start_is_one_more_point_from_which_modes_are_looked_for(course, engine):
    theta = mx.lmer(FORMULA, course).theta
    usual, told = sampled(course, engine), sampled(course, engine, control={"start": theta})
    assert told.sampling.starts == usual.sampling.starts + 1
    assert told.tidy()["estimate"].to_numpy() == pytest.approx(usual.tidy()["estimate"].to_numpy(), abs=0.5)
    with pytest.raises(OptionError, match="start= has 2 numbers, and theta has 1"):
        sampled(course, engine, control={"start": [1.0, 1.0]})


def test_the_start_is_the_point_that_theta_says(course):
    fit = mx.lmer("score ~ style + (1 + class_size | professor)" if "class_size" in course else FORMULA, course)
    posterior = sampled(course)
    at = posterior.collapsed.target.coordinates.variances(point_of(posterior.collapsed.target, fit.theta)[None])
    assert at.sigma[0] == pytest.approx(fit.sigma, rel=1e-8)
    assert at.factors(0)[0] == pytest.approx(fit.covariance_factors[0][0], rel=1e-8)


def test_threads_of_the_collapsed_engine_are_those_of_blas(course, monkeypatch):
    from mixedfx.bayes.collapsed import run_collapsed

    seen, real = [], run_collapsed.build_target

    def build(*given):
        seen.append(max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
        return real(*given)

    monkeypatch.setattr(run_collapsed, "build_target", build)
    sampled(course, control={"threads": 1})
    assert seen == [1]


def test_a_stan_engine_takes_its_options_in_either_place(course):
    by_name = sampled(course, "stanli", adapt_delta=0.95, max_treedepth=6)
    together = sampled(course, "stanli", control={"adapt_delta": 0.95, "max_treedepth": 6})
    both = sampled(course, "stanli", adapt_delta=0.95, control=mx.control(adapt_delta=0.95, max_treedepth=6))
    assert (together.sampling.adapt_delta, together.sampling.max_treedepth) == (0.95, 6)
    for other in (together, both):
        np.testing.assert_array_equal(by_name.joint.predictors[0].beta, other.joint.predictors[0].beta)


def test_an_option_has_one_value(course):
    with pytest.raises(OptionError, match=r"adapt_delta=0\.9, and 0\.95 in control=\nGive it once"):
        sampled(course, "stanli", adapt_delta=0.9, control={"adapt_delta": 0.95})


@pytest.mark.parametrize(
    "wrong",
    [
        {"k_hat": 0}, {"k_hat": True}, {"max_coordinates": -1}, {"adapt_delta": 1.0}, {"adapt_delta": "high"},
        {"max_treedepth": 0}, {"proposals": 2.5}, {"threads": 0}, {"start": [np.nan]}, {"progress": 1},
        {"cores": 0}, 0.9,
    ],
)  # fmt: skip
def test_values_that_an_option_cannot_have_are_refused(wrong, course):
    with pytest.raises(OptionError):
        sampled(course, control=wrong)


def test_control_decides_between_engines_as_the_arguments_do(course):
    with pytest.raises(OptionError, match=r"engine='auto' chose 'stanli', which has no k_hat"):
        mx.bayes("score ~ style", course, control={"k_hat": 0.5})
