"""The fixed part, where nothing varies between schools, is that of R's survey package (gen_surveys.R)."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.estimates import solve_all
from mixedfx.surveys.linearised import linearised, sampled
from mixedfx.surveys.maximum import evaluate
from mixedfx.surveys.reading import read_sample
from tests.surveys.reference import FOLDER

KNOWN = json.loads((FOLDER / "survey.json").read_text())
F = "y ~ x + sex"
SAMPLES = {"rows": {}, "clusters": {"psu": "school"}, "strata": {"psu": "school", "strata": "region"}}


@pytest.fixture(scope="module")
def data():
    return pd.read_csv(FOLDER / "pupils.csv")


def agree(fit, known):
    np.testing.assert_allclose(fit.fixef, known["coef"], rtol=1e-9)
    np.testing.assert_allclose(fit.vcov, known["vcov"], rtol=1e-8)  # weights are read from the same six digits
    assert fit.df == known["df"]


@pytest.mark.parametrize("name", SAMPLES)
def test_linearised_standard_errors_are_those_of_survey(name, data):
    agree(mx.lmer(F, data, sampling_weights=mx.sampling_weights({"row": "w_pupil"}, **SAMPLES[name])), KNOWN[name])


@pytest.mark.parametrize("name", ["BRR", "Fay", "JK1", "JK2", "JKn"])
def test_replicate_standard_errors_are_those_of_survey(name, data):
    asked = mx.replicates(f"{name}*", name.lower(), scales=[0.75] * 16 if name == "JKn" else None)
    agree(mx.lmer(F, data, sampling_weights={"row": "w_pupil"}, replicates=asked), KNOWN[name])


def test_a_mixed_model_whose_variance_is_zero_has_the_same(data):
    """At theta = 0 the covariance of the coefficients over schools is that of a sample of clusters."""
    asked = mx.sampling_weights({"row": "w_pupil", "school": "w_school"}, scaling="none")
    design, order, weights, sample, *_ = read_sample(WeightedCall(f"{F} + (1 | school)", data, asked))
    solved = solve_all(design, order, weights.conditional).one(0)
    zero = evaluate(solved.problem, solved.given, np.zeros((1, 1)))
    np.testing.assert_allclose(solved.problem.beta(zero.gamma[0], 0), KNOWN["clusters"]["coef"], rtol=1e-9)
    found = linearised(solved.problem, solved.given, np.zeros(1), zero.gamma[0], zero.sigma[0], sample)
    np.testing.assert_allclose(found.vcov[:3, :3], KNOWN["clusters"]["vcov"], rtol=1e-8)
    assert not found.free.any()
    assert sampled(order.unit_of_rows(0), None, None, ("school", "", "")).df == KNOWN["clusters"]["df"]
