"""Data frames of R, in files that R wrote (tests/files/data/gen_r_files.R)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError
from mixedfx.files.read import Options, recognise

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def survey():
    return recognise(DATA / "survey.rds")


def test_factors_keep_their_levels_and_order(survey):
    frame = survey.frame
    assert frame["arm"].cat.categories.tolist() == ["placebo", "drug", "none"]
    assert frame["arm"].isna().tolist() == [False, True, False, False]
    assert not frame["arm"].cat.ordered
    assert frame["dose"].cat.categories.tolist() == ["low", "mid", "high"]
    assert frame["dose"].cat.ordered


def test_a_level_that_is_na_is_a_level_as_in_r(survey):
    """R keeps such rows in a model, with a coefficient of their own."""
    assert survey.frame["region"].tolist() == ["north", "NA", "south", "NA"]
    assert "NA is a level, as R has it, called 'NA': region" in survey.notes
    rows = pd.concat(
        [survey.frame[["region"]].assign(y=[1.0, 2, 3, 5]), survey.frame[["region"]].assign(y=[2.0, 3, 5, 4])]
    )
    assert mx.lmer("y ~ region", rows).fixef.index.tolist() == ["Intercept", "region[south]", "region[NA]"]


def test_numbers_truth_text_and_times_are_what_they_were(survey):
    frame = survey.frame
    assert frame["n"].tolist()[::2] == [1, 3]
    assert frame["n"].isna().tolist() == [False, True, False, False]
    assert frame["ok"].tolist()[:2] == [True, False]
    assert frame["ok"].isna().tolist() == [False, False, True, False]
    np.testing.assert_array_equal(frame["y"], [0.5, np.nan, np.nan, 2])
    assert frame["city"].tolist() == ["Köln", None, "", "NA"]  # empty text is text in R
    assert frame["day"].dt.strftime("%Y-%m-%d").tolist()[::2] == ["2020-02-29", "1969-12-31"]
    assert str(frame["at"].iloc[0]) == "2020-02-29 12:30:00+01:00"
    assert frame["seq"].tolist() == [1, 2, 3, 4]


def test_labelled_values_of_haven_follow_the_rule_of_labels(survey):
    frame = survey.frame
    assert frame["trust"].tolist()[:3] == ["low", "2", "high"]
    assert frame["trust"].isna().tolist() == [False, False, False, True]
    assert frame["sex"].tolist() == ["male", "female", "female", "male"]
    assert frame["age"].tolist() == [30, 41, 98, 55]
    assert frame.attrs["variable_labels"] == {"y": "Score of the test", "trust": "Trust in people"}
    assert "missing, by kind: trust (refused: 1 row)" in survey.notes
    assert "left out, since they are lists or matrices: all" in survey.notes


def test_one_of_several_objects_is_named(tmp_path):
    path = DATA / "several.RData"
    with pytest.raises(
        DataError, match=r"several data frames: tibble, cars\nName one: table='tibble', .* --table tibble"
    ):
        mx.read(path)
    with pytest.raises(DataError, match="there is no data frame 'note'"):
        mx.read(path, table="note")
    cars = recognise(path, Options(table="cars"))
    assert cars.frame.index.tolist() == ["Mazda RX4", "Mazda RX4 Wag", "Datsun 710"]
    assert cars.frame["mpg"].tolist() == [21.0, 21.0, 22.8]
    assert cars.notes == ("one object of several, 'cars'; left alone: tibble, note",)
    assert mx.read(path, table="tibble", notes=False)["id"].tolist() == [6, 0]
    for name in ("one.rda", "list.rds"):
        pd.testing.assert_frame_equal(mx.read(DATA / name, notes=False), cars.frame)
    with pytest.raises(DataError, match="holds no data frame"):
        mx.read(DATA / "vector.rds")
