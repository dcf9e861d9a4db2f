"""Numbers that are names are asked about where they stand as numbers; other whole numbers are left in peace."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.design.identifiers import IDENTIFIER
from mixedfx.errors import IdentifierSlopeWarning


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"professor": np.repeat(np.arange(1, 16), 10), "age": rng.integers(20, 60, 150)})
    frame["dose"] = np.tile(np.arange(5), 30)
    return frame.assign(y=rng.normal(size=150), treated=np.tile([0, 1], 75), name=frame["professor"].astype(str))


def asked(formula, data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mx.lmer(formula, data)
    return [str(w.message).split("'")[1] for w in caught if w.category is IdentifierSlopeWarning]


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("y ~ professor", ["professor"]),
        ("y ~ age*professor", ["professor"]),
        ("y ~ professor + (1 | professor)", []),  # both roles, as in year + (1 | year)
        ("y ~ C(professor)", []),
        ("y ~ name", []),
        ("y ~ age + dose + treated + (1 | professor)", []),
        ("y ~ age + (1 + dose | professor)", []),
    ],
)
def test_what_is_asked_about(data, formula, names):
    assert asked(formula, data) == names


def test_the_question_names_both_ways_at_the_line_that_called(data):
    with pytest.warns(
        IdentifierSlopeWarning, match=r"15 values \(1 to 15\).*C\(professor\).*\(1 \| professor\)"
    ) as caught:
        mx.lmer("y ~ professor", data)
    assert caught[0].filename == __file__
    assert asked("y ~ professor", data.assign(professor=data["professor"] / 2)) == []


def test_names_of_identifiers():
    for name in ("id", "school", "school_id", "schoolID", "teacher.no", "the_hospital", "zip", "patient_number"):
        assert IDENTIFIER.match(name), name
    for name in ("age", "year", "dose", "valid", "grade", "width", "days", "score", "income", "states_visited", "grid"):
        assert not IDENTIFIER.match(name), name
