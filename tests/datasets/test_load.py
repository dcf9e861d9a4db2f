"""The data sets that come with the package."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx.datasets as datasets
from mixedfx.datasets.load import about, describe, load, names
from mixedfx.errors import DataError


def test_star_holds_the_pupils_of_the_experiment():
    star = load("star")
    assert star.shape == (5826, 10)
    assert star["id"].is_unique
    # Totals of the file the Parquet file was made from, counted there by hand; integers, so exact.
    assert star["id"].sum() == 542_830_910
    assert star["math"].sum() == 2_827_923
    assert star["read"].sum() == 2_507_091
    assert star["read"].isna().sum() == 85
    assert star["small"].sum() == 1747
    assert star["cltype"].value_counts().to_dict() == {"reg+A": 2062, "reg": 2017, "small": 1747}
    assert star.groupby(["race", "gender", "lunch"], observed=True).size().sum() == 5826
    assert star["race"].value_counts().to_dict() == {"White": 3936, "Black": 1890}
    assert star["gender"].value_counts().to_dict() == {"boy": 2991, "girl": 2835}
    assert star["lunch"].value_counts().to_dict() == {"paid": 3009, "free": 2817}
    assert star["schtype"].value_counts().to_dict() == {"rural": 2718, "inner": 1302, "suburb": 1282, "urban": 524}


def test_the_school_calendars_are_the_table_of_the_references():
    """tests/reference/meta has the file that the references were computed from."""
    schools = load("school_calendars")
    known = pd.read_csv(Path(__file__).parents[1] / "reference" / "meta" / "konstantopoulos2011.csv")
    assert schools.shape == (56, 6)
    assert schools["district"].nunique() == 11
    assert list(schools["district"].cat.categories[:3]) == ["11", "12", "18"], "districts are in numerical order"
    found = schools.astype({"district": int, "school": int})
    pd.testing.assert_frame_equal(found, known[list(found.columns)], check_dtype=False, check_exact=True)


def test_star_columns_have_the_types_a_model_needs():
    star = load("star")
    for name in ("id", "math", "small"):
        assert star[name].dtype == np.int64, name
    assert star["read"].dtype == np.float64
    for name in ("sch", "cltype", "race", "gender", "lunch", "schtype"):
        assert isinstance(star[name].dtype, pd.CategoricalDtype), name
        assert not star[name].isna().any(), name
        assert set(star[name].cat.categories) == set(star[name]), f"{name} has unused categories"
    assert list(star["sch"].cat.categories[:3]) == ["1", "2", "3"], "schools are in numerical order"
    assert star["sch"].nunique() == 79
    assert {name: star[name].cat.categories[0] for name in ("race", "gender", "lunch", "cltype")} == {
        "race": "Black",
        "gender": "boy",
        "lunch": "free",
        "cltype": "reg",
    }


def test_small_in_star_means_a_small_class_and_pools_the_two_regular_ones():
    star = load("star")
    assert ((star["small"] == 1) == (star["cltype"] == "small")).all()
    assert set(star.loc[star["small"] == 0, "cltype"]) == {"reg", "reg+A"}


def test_every_star_school_has_small_and_regular_classes_in_shares_of_its_own():
    shares = load("star").groupby("sch", observed=True)["small"].mean()
    assert shares.between(0.1, 0.5).all()
    assert shares.max() - shares.min() > 0.2


@pytest.mark.parametrize("name", names())
def test_each_load_is_a_copy_of_its_own(name):
    first = load(name)
    untouched = first.copy()
    first.iloc[:, 0] = 0
    pd.testing.assert_frame_equal(load(name), untouched)


@pytest.mark.parametrize("name", names())
def test_every_column_is_explained(name):
    assert list(about(name).columns) == list(load(name).columns)
    assert all(about(name).columns.values())


def test_the_docstring_of_load_explains_every_column_of_star_and_cites_the_source():
    text = load.__doc__ or ""
    for name in about("star").columns:
        assert f"\n    {name} " in text, name
    assert "doi:10.7910/DVN/SIWH9F" in text
    assert "CC0" in text


def test_the_licence_travels_with_the_data():
    folder = resources.files("mixedfx.datasets").joinpath("_data")
    provenance = folder.joinpath("README.md").read_text(encoding="utf-8")
    shipped = {entry.name for entry in folder.iterdir() if entry.name.endswith((".csv.gz", ".csv"))}
    for file in shipped:
        assert f"## {file}" in provenance, f"{file} has no provenance"
    assert "CC0 1.0" in about("star").licence
    assert "CC0 1.0 Universal" in folder.joinpath("CC0-1.0.txt").read_text(encoding="utf-8")
    assert about("star").source.split("doi:")[1] in provenance
    assert "doi.org/10.1002/jrsm.35" in provenance
    assert "doi:10.1002/jrsm.35" in about("school_calendars").source


def test_describe_tells_size_source_and_licence_of_every_data_set():
    table = describe().set_index("name")
    assert tuple(table.index) == names()
    assert table.loc["star", ["rows", "columns"]].tolist() == [5826, 10]
    assert table.loc["flipped_classroom", ["rows", "columns"]].tolist() == [375, 4]
    assert (table[["summary", "source", "licence"]] != "").all(axis=None)


@pytest.mark.parametrize(
    ("wrong", "offered"), [("stars", "'star'"), ("STAR", "'star'"), ("flipped", "'flipped_classroom'")]
)
def test_a_misspelt_name_is_answered_with_the_nearest(wrong, offered):
    with pytest.raises(DataError, match=f"there is no data set '{wrong}'") as caught:
        load(wrong)
    assert caught.value.hint == f"Did you mean {offered}?"


def test_a_name_like_no_other_is_answered_with_the_list():
    with pytest.raises(DataError) as caught:
        about("qqq")
    assert caught.value.hint == "Data sets: star, flipped_classroom, school_calendars."


def test_the_functions_are_bound_in_the_package():
    assert datasets.load("flipped_classroom").shape == (375, 4)
    assert datasets.names() == names()


def test_looking_for_data_sets_does_not_import_pyarrow_before_it_is_needed():
    code = (
        "import sys; import pandas; before = set(sys.modules); import mixedfx.datasets; "
        "print(sorted(m for m in set(sys.modules) - before if m.startswith(('pyarrow', 'matplotlib', 'formulaic'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
