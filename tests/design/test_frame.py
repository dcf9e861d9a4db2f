"""Frames of any library become the same plain pandas columns."""

import datetime
import decimal
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mixedfx.design.build import build_design
from mixedfx.design.frame import column_names, kind, missing, nearest, plain, to_pandas
from mixedfx.design.rows import functional_for
from mixedfx.errors import DataError, some_rows

DOSE = pl.Enum(["low", "mid", "high", "never"])
FRAMES = {
    "polars": lambda d: pl.from_pandas(d).cast({"dose": DOSE}),
    "polars lazy": lambda d: pl.from_pandas(d).cast({"dose": DOSE}).lazy(),
    "pyarrow": lambda d: pa.Table.from_pandas(d, preserve_index=False),
    "pandas nullable": lambda d: d.convert_dtypes(),
    "pandas on arrow": lambda d: d.convert_dtypes(dtype_backend="pyarrow"),
}


def with_holes(data):
    data = data.copy()
    data["whole"] = data["k"].astype("Int64")
    data["flag"] = data["b"].astype("boolean")
    data.loc[3, "x"] = np.nan
    data.loc[4, "race"] = None
    data.loc[5, "whole"] = pd.NA
    data.loc[6, "flag"] = pd.NA
    data.loc[7, "dose"] = None
    return data


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x*race + (x | g)",
        "y ~ b + dose + center(x) + (0 + race || h) + (1 | race:dose)",
        "y ~ x + C(whole) + flag + dose + race + (1 | h:whole) + (1 | flag:g)",
    ],
)
def test_every_library_gives_the_same_design(data, frame, formula):
    data = with_holes(data)
    given = frame(data)
    expected = build_design(formula, data, sigma_free=False, weights="w")
    design = build_design(formula, given, sigma_free=False, weights="w")
    assert design.fixed_names == expected.fixed_names
    np.testing.assert_array_equal(design.X, expected.X)
    np.testing.assert_array_equal(design.y, expected.y)
    np.testing.assert_array_equal(design.weights, expected.weights)
    assert design.rows.missing == expected.rows.missing
    for one, other in zip(design.random, expected.random, strict=True):
        assert (one.label, one.columns, one.levels) == (other.label, other.columns, other.levels)
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.z, other.z)
    for name in expected.frame.columns:
        assert kind(design.frame[name]) == kind(expected.frame[name])
        assert design.frame[name].tolist() == expected.frame[name].tolist()
    complete = data.dropna()
    rows = functional_for(design, frame(complete))
    np.testing.assert_allclose(rows.fixed, functional_for(expected, complete).fixed, atol=1e-14)
    np.testing.assert_allclose(rows.random.toarray(), functional_for(expected, complete).random.toarray(), atol=1e-14)


def test_new_data_of_no_columns_keep_their_rows(data):
    design = build_design("y ~ 1 + (1 | g)", data, sigma_free=False)
    for new in (data[["x"]], pl.from_pandas(data[["x"]]), pl.from_pandas(data[["x"]]).lazy()):
        assert len(functional_for(design, new)) == len(data)


def test_categories_keep_their_order():
    levels = ["low", "mid", "high"]
    arrow = pa.table({"dose": pa.DictionaryArray.from_arrays(pa.array([2, 0, 1, 0]), pa.array(levels))})
    polars = pl.DataFrame({"dose": pl.Series(["high", "low", "mid", "low"], dtype=pl.Enum(levels))})
    for frame in (arrow, polars):
        column = to_pandas(frame)["dose"]
        assert list(column.cat.categories) == levels
        assert column.tolist() == ["high", "low", "mid", "low"]


@pytest.mark.parametrize("ordered", [True, False])
def test_arrow_dictionaries_in_pandas_are_categories_in_their_order(ordered):
    given = pd.Series(pd.Categorical(["mid", "low", None, "mid"], ["low", "mid", "high"], ordered=ordered))
    arrow = pa.Table.from_pandas(given.to_frame("dose"), preserve_index=False)
    frame = arrow.to_pandas(types_mapper=pd.ArrowDtype)
    assert isinstance(frame["dose"].dtype, pd.ArrowDtype)
    for source in (frame, frame.set_axis([3, 3, 0, 1]), arrow):
        column = to_pandas(source)["dose"]
        pd.testing.assert_series_equal(column, given, check_names=False)
        assert column.cat.ordered == ordered


def test_arrow_dictionaries_of_several_pieces_and_with_odd_entries():
    pieces = pa.chunked_array(
        [pa.array(["z", None, "a"]).dictionary_encode(), pa.array(["m", "z"]).dictionary_encode()]
    )
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None, 3]), pa.array(["b", None, "a", "b"]))
    for column, values, levels in (
        (pieces, ["z", None, "a", "m", "z"], ["z", "a", "m"]),
        (odd, ["b", None, "a", None, "b"], ["b", "a"]),
        (pa.chunked_array([], pa.dictionary(pa.int8(), pa.string())), [], []),
    ):
        table = pa.table({"f": column})
        for source in (table, table.to_pandas(types_mapper=pd.ArrowDtype)):
            found = to_pandas(source)["f"]
            assert found.astype(object).where(found.notna(), None).tolist() == values
            assert list(found.cat.categories) == levels


def test_whole_numbers_of_128_bits():
    # DuckDB sums whole numbers as such; they are identifiers and counts like any other where 64 bits hold them.
    sums = duckdb.sql(
        "SELECT sum(i) AS s, g FROM (SELECT range AS i, range % 3 AS g FROM range(9)) GROUP BY g ORDER BY g"
    )
    assert to_pandas(sums)["s"].tolist() == [9, 12, 15]
    assert to_pandas(sums)["s"].dtype == np.int64
    wide = pl.Series([1, None, 2**63 - 1], dtype=pl.Int128)
    found = to_pandas(
        pl.DataFrame({"a": wide, "b": wide.fill_null(2**63), "c": pl.Series([None] * 3, dtype=pl.Int128)})
    )
    assert found["a"].isna().tolist() == [False, True, False]
    assert (found["a"][2], found["b"][1], found["c"].isna().all()) == (2**63 - 1, 2**63, True)
    for beyond in (
        pl.DataFrame({"id": [2**64]}, schema={"id": pl.Int128}),
        pd.DataFrame({"id": [2**64]}, dtype=object),
    ):
        with pytest.raises(DataError, match="column 'id' holds whole numbers from 18446744073709551616"):
            plain(to_pandas(beyond))


@pytest.mark.parametrize("code", [2, 2.0])
def test_categories_of_several_kinds_become_text(code):
    # As read_stata and pyreadstat make them where only some codes have labels.
    survey = pd.DataFrame({"educ": pd.Categorical(["Low", code, "High", code], ["Low", code, "High"], ordered=True)})
    column = to_pandas(survey)["educ"]
    assert (list(column.cat.categories), column.cat.ordered) == (["Low", "2", "High"], True)
    assert column.tolist() == ["Low", "2", "High", "2"]
    twice = pd.DataFrame({"educ": pd.Categorical(["2", code, "Low"], ["2", code, "Low"])})
    with pytest.raises(DataError, match="two levels of 'educ' are both written '2'"):
        to_pandas(twice)
    assert to_pandas(twice.iloc[1:])["educ"].tolist() == ["2", "Low"]


def test_new_rows_of_a_partly_labelled_column_are_known_by_their_labels(data):
    data["educ"] = pd.Categorical((["Low", 2.0, "High"] * 500)[: len(data)], ["Low", 2.0, "High"])
    design = build_design("y ~ educ + (1 | g)", data, sigma_free=False)
    assert design.fixed_names == ("Intercept", "educ[2]", "educ[High]")
    rows = data[data["educ"] == 2.0]
    for column in (
        rows["educ"],
        [2.0] * len(rows),
        [2] * len(rows),
        ["2"] * len(rows),
        pd.Categorical([2.0] * len(rows)),
    ):
        new = functional_for(design, rows.assign(educ=column))
        np.testing.assert_array_equal(new.fixed, [[1.0, 1.0, 0.0]] * len(rows))


def test_what_speaks_arrow_is_read():
    batch = pa.record_batch({"x": [1, 2]})
    for source in (batch, pa.RecordBatchReader.from_batches(batch.schema, [batch])):
        assert to_pandas(source)["x"].tolist() == [1, 2]


def test_a_polars_categorical_has_no_order_of_its_own_and_gets_the_sorted_one():
    # Its physical order is that of first appearance in the process, which would make the reference a matter of luck.
    column = to_pandas(pl.DataFrame({"f": pl.Series(["z", "a", None, "z"], dtype=pl.Categorical)}))["f"]
    assert list(column.cat.categories) == ["a", "z"]
    assert column.isna().tolist() == [False, False, True, False]


def test_only_the_needed_columns_are_fetched_and_shared():
    data = pd.DataFrame({"a": np.arange(5.0), "b": 1.0, "c": object()}, index=[3, 3, 1, 0, 2])
    frame = to_pandas(data, ["b", "a"])
    assert list(frame.columns) == ["b", "a"]
    assert frame.index.tolist() == [0, 1, 2, 3, 4]
    assert np.shares_memory(frame["a"].to_numpy(), data["a"].to_numpy())
    data.loc[:, "a"] = 7.0  # copy on write
    assert frame["a"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("data", ["data.csv", {"x": [1, 2]}, np.eye(2), None, [1, 2]])
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(DataError, match="which is no data frame"):
        to_pandas(data)
    with pytest.raises(DataError, match="which is no data frame"):
        build_design("y ~ x", data)


def test_column_names(data):
    for frame in (data, pl.from_pandas(data), pl.from_pandas(data).lazy(), pa.Table.from_pandas(data)):
        assert column_names(frame) == list(data.columns)


@pytest.mark.parametrize(
    ("values", "expected", "values_of"),
    [
        (pd.array([1, 2], dtype="Int8"), "number", [1, 2]),
        (pd.array([1.5, 2], dtype="Float32"), "number", [1.5, 2.0]),
        (pd.array([True, False], dtype="boolean"), "boolean", [True, False]),
        ([1, 2.5], "number", [1, 2.5]),
        (np.array([1, 2.5], dtype=object), "number", [1, 2.5]),
        (np.array([True, False], dtype=object), "boolean", [True, False]),
        ([decimal.Decimal("1.5"), decimal.Decimal("2")], "number", [1.5, 2.0]),
        (["a", "b"], "text", ["a", "b"]),
        (np.array(["a", "b"], dtype=object), "text", ["a", "b"]),
        (pd.array(["a", "b"], dtype="string"), "text", ["a", "b"]),
        (pd.Categorical([2, 1]), "category", [2, 1]),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "time", None),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("Europe/Berlin"), "time", None),
        ([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], "time", None),
        (pd.to_timedelta([1, 2], unit="D"), "time", None),
        (pd.to_timedelta([1, 2], unit="D").astype(pd.ArrowDtype(pa.duration("ns"))), "time", None),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]).astype(pd.ArrowDtype(pa.timestamp("us", "UTC"))), "time", None),
        (pd.array([decimal.Decimal(1), decimal.Decimal(2)], pd.ArrowDtype(pa.decimal128(5, 1))), "number", [1.0, 2.0]),
    ],
)
def test_plain_columns_are_of_five_kinds(values, expected, values_of):
    column = plain(pd.DataFrame({"v": values}))["v"]
    assert kind(column) == expected
    assert values_of is None or column.tolist() == values_of


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], "column 'v' holds values of type int, str"),
        ([1j, 2.0], "complex numbers"),
        ([object(), object()], "of type object"),
        ([[1], [2]], "of type list"),
        ([True, "a"], "of type bool, str"),
    ],
)
def test_columns_of_no_kind_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        plain(pd.DataFrame({"v": values}))


def test_plain_frames_are_passed_through(data):
    data["dose"] = data["dose"].cat.remove_unused_categories()
    assert plain(data) is data


def test_missing_of_every_kind():
    frame = pd.DataFrame(
        {
            "float": [1, np.nan],
            "text": [None, "a"],
            "category": pd.Categorical(["a", None]),
            "nullable": pd.array([1, None], dtype="Int64"),
            "time": pd.to_datetime([None, "2024-01-01"]),
            "whole": [1, 2],
            "complete": ["a", "b"],
        }
    )
    assert {k: v.tolist() for k, v in missing(frame).items()} == {
        "float": [False, True],
        "text": [True, False],
        "category": [False, True],
        "nullable": [False, True],
        "time": [True, False],
    }


def test_nearest_names():
    assert nearest("Schol", ["school", "class", 3]) == "Did you mean 'school'?"
    assert nearest("mat1", ["math", "mat2", "z"]) == "Did you mean 'math' or 'mat2'?"
    assert nearest("qqq", ["school"]) is None


def test_rows_in_messages():
    assert some_rows([3]) == "row 3"
    assert some_rows([3, 8, 12]) == "rows 3, 8 and 12"
    assert some_rows(np.arange(90)) == "rows 0, 1, 2, 3, 4, ... (90 in all)"


def test_heavy_libraries_are_imported_only_when_a_design_is_built():
    code = (
        "import sys, mixedfx.design.build, mixedfx.design.rows\n"
        "print([m for m in ('formulaic', 'narwhals', 'pyarrow.parquet', 'numba', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bins_made_by_cut_are_factors(data):
    data["bin"] = pd.cut(data["w"], [1.0, 1.5, 2.0, 3.0])
    design = build_design("y ~ bin + (1 | bin:race)", data, sigma_free=False)
    assert design.fixed_names == ("Intercept", "bin[(1.5, 2.0]]", "bin[(2.0, 3.0]]")
    assert design.random[0].levels[0] == "(1.0, 1.5]:Asian"
    np.testing.assert_array_equal(functional_for(design, data.head(5)).fixed, design.X[:5])
