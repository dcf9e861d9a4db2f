"""Files of Stata, SPSS and SAS, written with the libraries that read them, or by a generator beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest

import mixedfx as mx
from mixedfx.files.read import Options, recognise

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def spss(tmp_path_factory):
    path = tmp_path_factory.mktemp("spss") / "survey.sav"
    frame = pd.DataFrame(
        {
            "trust": [1.0, 2, 3, -9, np.nan, -8],
            "gender": [2.0, 1, 1, 2, 2, 1],
            "vote": ["a", "b", "", "zz", "a", "b"],
            "age": [30.0, 40, 98, 120, 50, 60],
            "day": pd.to_datetime(["2020-01-01"] * 6),
        }
    )
    pyreadstat.write_sav(
        frame, str(path), column_labels={"trust": "Trust in  people, $x_1$"},
        variable_value_labels={
            "trust": {1: "low", 3: "high", -9: "refused", -8: "do not know"}, "gender": {2: "woman", 1: "man"},
            "vote": {"a": "Party A", "b": "Party B"}, "age": {98: "98 or older"},
        },
        missing_ranges={"trust": [{"lo": -9, "hi": -8}], "age": [120], "vote": ["zz"]},
        variable_measure={"trust": "ordinal"},
    )  # fmt: skip
    return path


def test_spss_labels_are_categories_in_their_order_and_user_missing_values_are_counted(spss):
    found = recognise(spss)
    frame = found.frame
    assert frame["trust"].tolist()[:3] == ["low", "2", "high"]
    assert frame["trust"].isna().tolist() == [False, False, False, True, True, True]
    assert frame["trust"].cat.categories.tolist() == ["low", "2", "high"]
    assert frame["trust"].cat.ordered
    assert frame["gender"].cat.categories.tolist() == ["woman", "man"]  # as the file lists them
    assert not frame["gender"].cat.ordered
    assert frame["vote"].tolist()[:2] == ["Party A", "Party B"]
    assert frame["vote"].isna().tolist() == [False, False, True, True, False, False]
    assert frame["age"].dtype == np.float64
    assert frame["age"].isna().tolist() == [False, False, False, True, False, False]
    assert frame["day"].dt.year.tolist() == [2020] * 6
    assert frame.attrs["variable_labels"] == {"trust": "Trust in people, $x_1$"}
    assert found.notes == (
        "labels of 1 variable, which pictures show",
        "categories, by the labels of codes: trust (3), gender (2), vote (2)",
        "codes without a label, categories of their own: '2' in trust (1 row)",
        "numbers, since most codes have no label (values=\"labels\" makes categories): age (98 = '98 or older')",
        "missing, by kind: trust (refused: 1 row, do not know: 1 row), vote (blank: 1 row, zz: 1 row), "
        "age (120: 1 row)",
    )


def test_codes_stay_codes_where_they_are_asked_for(spss):
    frame = recognise(spss, Options(values="codes")).frame
    np.testing.assert_array_equal(frame["trust"], [1, 2, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(frame["gender"], [2, 1, 1, 2, 2, 1])


def test_compressed_spss_files_read_the_same(spss, tmp_path):
    frame, about = pyreadstat.read_sav(str(spss), user_missing=True)
    pyreadstat.write_sav(
        frame, str(tmp_path / "survey.zsav"), compress=True, variable_value_labels=about.variable_value_labels
    )
    found = recognise(tmp_path / "survey.zsav").frame
    assert found["gender"].tolist() == recognise(spss).frame["gender"].tolist()


def test_stata_extended_missing_values_are_counted_and_system_missing_ones_are_missing(tmp_path):
    """pyreadstat 1.3 reads a system-missing value beside an extended one as an arbitrary number; it is missing here."""
    path = tmp_path / "survey.dta"
    frame = pd.DataFrame({"q": pd.Series([1, 2, "a", "b", None, "a"], dtype=object), "n": [1, 2, 3, 4, 5, 6],
                          "arm": ["A", "", "B", "B", "A", "A"]})  # fmt: skip
    pyreadstat.write_dta(
        frame, str(path), column_labels={"q": "Question", "n": "Number"}, missing_user_values={"q": ["a", "b"]},
        variable_value_labels={"q": {2: "yes", 1: "no", "a": "refused"}, "n": {1: "one"}},
    )  # fmt: skip
    found = recognise(path)
    assert found.frame["q"].tolist()[:2] == ["no", "yes"]
    assert found.frame["q"].isna().tolist() == [False, False, True, True, True, True]
    assert found.frame["q"].cat.categories.tolist() == ["no", "yes"]  # Stata keeps labels by their codes
    assert found.frame["n"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.frame["arm"].isna().tolist() == [False, True, False, False, False, False]
    assert found.frame.attrs["variable_labels"] == {"q": "Question", "n": "Number"}
    assert "missing, by kind: q (.a 'refused': 2 rows, .b: 1 row), arm (blank: 1 row)" in found.notes


@pytest.mark.parametrize("version", [114, 117, 118, 119])
def test_stata_files_of_every_version_pandas_writes_are_read(tmp_path, version):
    frame = pd.DataFrame({"y": [1.5, np.nan, 3], "k": [1, 2, 3], "g": pd.Categorical(["b", "a", "b"], ["b", "a"])})
    frame["day"] = pd.to_datetime(["2020-02-29", "2021-01-01", None])
    path = tmp_path / "data.dta"
    frame.to_stata(path, write_index=False, version=version, convert_dates={"day": "td"})
    found = recognise(path).frame
    np.testing.assert_array_equal(found["y"], frame["y"])
    assert found["k"].tolist() == [1, 2, 3]
    assert found["g"].tolist() == ["b", "a", "b"]
    assert found["g"].cat.categories.tolist() == ["b", "a"]
    assert found["day"].tolist()[:2] == frame["day"].tolist()[:2]


def test_sas_special_missing_values_are_counted(tmp_path):
    found = recognise(DATA / "trial.sas7bdat")
    assert found.frame["arm"].tolist()[::2] == ["drug", "placebo", "drug"]
    assert found.frame["arm"].isna().sum() == 1
    np.testing.assert_array_equal(found.frame["score"], [1.5, 2, np.nan, np.nan, np.nan, np.nan])
    assert found.frame.attrs["variable_labels"] == {"score": "Score of the test"}
    assert found.notes[-1] == "missing, by kind: score (.A: 2 rows, .R: 1 row), arm (blank: 1 row)"
    path = tmp_path / "trial.xpt"
    pyreadstat.write_xport(found.frame.fillna({"arm": ""}), str(path), column_labels={"score": "Score"})
    again = recognise(path).frame
    np.testing.assert_array_equal(again["score"], found.frame["score"])
    assert again.attrs["variable_labels"] == {"score": "Score"}


def test_a_model_knows_the_same_reference_level_from_every_program(spss, tmp_path):
    """The same question has one order of answers, that of its codes, whichever program wrote the file."""
    codes, labels = [1, 2, 3] * 20, {1: "never", 2: "rarely", 3: "always"}
    frame = pd.DataFrame({"q": codes, "y": np.arange(60.0) % 7, "g": [i // 6 for i in range(60)]})
    pyreadstat.write_sav(frame, str(tmp_path / "a.sav"), variable_value_labels={"q": labels})
    pyreadstat.write_dta(frame, str(tmp_path / "a.dta"), variable_value_labels={"q": labels})
    names = [mx.lmer("y ~ q + (1 | g)", mx.read(tmp_path / f"a.{kind}", notes=False)).fixef.index.tolist()
             for kind in ("sav", "dta")]  # fmt: skip
    assert names[0] == names[1] == ["Intercept", "q[rarely]", "q[always]"]
