"""Data of a program: Stan's JSON, one text for every engine."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mixedfx.bayes.engines.data import data_json, declares, gather
from mixedfx.errors import ModelError, UnknownQuantityError


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=4), elements=st.floats(allow_nan=False)))
def test_numbers_arrive_exactly(x):
    back = np.array(json.loads(data_json({"x": x}))["x"])
    assert np.array_equal(back, x)
    assert np.array_equal(np.signbit(back), np.signbit(x))


def test_types_are_those_of_stan():
    data = {"i": 3, "r": 3.0, "flag": np.bool_(True), "codes": pd.Series([1, 2]), "empty": np.empty((0, 2))}
    assert data_json(data) == '{"i": 3, "r": 3.0, "flag": 1, "codes": [1, 2], "empty": []}'


@pytest.mark.parametrize("value", ["text", None, {"a": 1}, [1, "b"]])
def test_what_stan_has_no_type_for_is_refused_by_name(value):
    with pytest.raises(ModelError, match="'species'"):
        data_json({"species": value})


def test_a_variable_without_elements_is_told_from_one_that_does_not_exist():
    found = {"mu": np.ones((2, 5)), "sigma": np.ones((2, 5))}
    kept = gather(found, ["z", "mu"], "parameters { vector[K] z; real mu; real sigma; }", (2, 5))
    assert {name: value.shape for name, value in kept.items()} == {"z": (2, 5, 0), "mu": (2, 5)}
    assert list(kept) == ["z", "mu"]
    with pytest.raises(UnknownQuantityError, match=r"'sigm'[\s\S]*'sigma'"):
        gather(found, ["sigm"], "parameters { real mu; real sigma; }", (2, 5))


def test_a_comment_declares_nothing():
    assert not declares("/* z\n z */ real mu; // z", "z")
    assert not declares("real zz;", "z")
