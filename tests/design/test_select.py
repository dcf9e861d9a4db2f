"""Rows used and dropped: missing values, weights, offsets, known standard deviations."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mixedfx.design.build import build_design
from mixedfx.errors import DataError, FormulaError, RowsDroppedWarning


def built(formula, data, **options):
    return build_design(formula, data, sigma_free=False, **options)


def test_missing_values_are_dropped_and_accounted_for(data):
    data.loc[[1, 2], "x"] = np.nan
    data.loc[[2, 5], "race"] = None
    data.loc[9, "h"] = None  # not in the formula
    design = built("y ~ x + race + (1 | g)", data)
    assert design.rows.total == 60
    assert design.rows.dropped_missing == 3
    assert design.rows.missing == {"x": 2, "race": 2}
    assert design.rows.used.tolist() == [i for i in range(60) if i not in (1, 2, 5)]
    assert design.frame.index.tolist() == design.rows.used.tolist()
    assert design.frame.columns.tolist() == ["y", "x", "race", "g"]
    for part in (design.y, design.X, design.random[0].codes, design.offset):
        assert len(part) == 57


def test_the_design_of_the_rest_is_that_of_the_rest_alone(data):
    holed = data.copy()
    holed.loc[[4, 40], "x"] = np.nan
    design = built("y ~ center(x)*race + (x | g)", holed)
    alone = built("y ~ center(x)*race + (x | g)", holed.drop(index=[4, 40]))
    np.testing.assert_array_equal(design.X, alone.X)
    np.testing.assert_array_equal(design.random[0].codes, alone.random[0].codes)


def test_raise_names_columns_and_rows(data):
    data.loc[[1, 2], "x"] = np.nan
    data.loc[5, "race"] = None
    with pytest.raises(DataError, match="missing values: 'x' in rows 1 and 2; 'race' in row 5"):
        built("y ~ x + race", data, na="raise")
    built("y ~ w", data, na="raise")


def test_no_rows_left_says_why(data):
    with pytest.raises(DataError, match="no rows are left: of 60, 60 lack 'x'"):
        built("y ~ x + w", data.assign(x=np.nan))
    with pytest.raises(DataError, match="the data have no rows"):
        built("y ~ x", data.head(0))
    with pytest.raises(DataError, match="60 have a weight of zero"):
        built("y ~ x", data, weights=np.zeros(60))


def test_na_is_drop_or_raise(data):
    with pytest.raises(DataError, match="na='omit' is not known"):
        built("y ~ x", data, na="omit")


@pytest.mark.parametrize("form", [lambda v: v, pd.Series, list, pl.Series, lambda v: pa.chunked_array([v])])
def test_weights_without_labels_of_their_own_are_taken_by_position(data, form):
    weights = np.linspace(1, 2, 60)
    np.testing.assert_array_equal(built("y ~ x", data, weights=form(weights)).weights, weights)


def test_weights_by_name_do_not_join_the_frame(data):
    design = built("y ~ x", data, weights="w")
    np.testing.assert_array_equal(design.weights, data["w"])
    assert "w" not in design.frame
    assert built("y ~ x", data).weights is None


def test_zero_weights_drop_their_rows_and_say_so(data):
    weights = np.ones(60)
    weights[[3, 4]] = 0
    with pytest.warns(RowsDroppedWarning, match="2 rows have a weight of zero and are left out; 58 remain"):
        design = built("y ~ race + (1 | g)", data, weights=weights)
    dropped = built("y ~ race + (1 | g)", data.drop(index=[3, 4]))
    np.testing.assert_array_equal(design.X, dropped.X)
    assert design.rows.dropped_zero_weight == 2
    assert (design.weights > 0).all()


def test_a_missing_weight_counts_as_missing(data):
    data.loc[[3, 4], "w"] = [np.nan, 0.0]
    with pytest.warns(RowsDroppedWarning, match="1 row has a weight of zero"):
        design = built("y ~ x", data, weights="w")
    assert design.rows.missing == {"w": 1}
    assert (design.rows.dropped_missing, design.rows.dropped_zero_weight) == (1, 1)
    weights = np.ones(60)
    weights[0] = np.nan
    assert built("y ~ x", data, weights=weights).rows.missing == {"weights=": 1}


def test_a_row_that_is_missing_and_has_no_weight_is_counted_once(data):
    data.loc[3, "x"] = np.nan
    weights = np.ones(60)
    weights[[3, 4]] = 0
    with pytest.warns(RowsDroppedWarning, match="1 row has"):
        rows = built("y ~ x", data, weights=weights).rows
    assert (rows.dropped_missing, rows.dropped_zero_weight, len(rows.used)) == (1, 1, 58)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(60), r"weights are negative in rows 0, 1, 2, 3, 4, \.\.\. \(60 in all\)"),
        (np.full(60, np.inf), "weights is infinite"),
        (np.ones(59), "weights has 59 values, the data have 60 rows"),
        (3.0, "Give one value for each row"),
        (["a"] * 60, "must be numbers"),
        ("race", "must be numbers"),
        ("nowhere", "no column 'nowhere'"),
    ],
)
def test_weights_that_are_none(data, weights, message):
    with pytest.raises(DataError, match=message):
        built("y ~ x", data, weights=weights)


def test_offsets_add_up(data):
    design = built("y ~ x + offset(w) + offset(np.log(w))", data, offset=data["k"])
    np.testing.assert_allclose(design.offset, data["w"] + np.log(data["w"]) + data["k"], rtol=1e-15)
    np.testing.assert_array_equal(design.y, data["y"])  # the offset is not subtracted
    by_name = built("y ~ x + offset(w)", data, offset="k")
    np.testing.assert_allclose(by_name.offset, data["w"] + data["k"], rtol=1e-15)
    assert built("y ~ x", data).offset.tolist() == [0.0] * 60


def test_a_missing_offset_drops_the_row(data):
    data.loc[7, "w"] = np.nan
    assert 7 not in built("y ~ x + offset(w)", data).rows.used
    assert 7 not in built("y ~ x", data, offset=data["w"]).rows.used
    assert 7 not in built("y ~ x", data, offset="w").rows.used


def test_an_offset_of_text_is_refused(data):
    with pytest.raises(DataError, match="the offset 'race' is not numeric"):
        built("y ~ x + offset(race)", data)


def test_responses(data):
    np.testing.assert_allclose(built("np.log(w) ~ x", data).y, np.log(data["w"]))
    np.testing.assert_array_equal(built("b ~ x", data).y, data["b"].astype(float))
    np.testing.assert_array_equal(built("I(y - w) ~ x", data).y, data["y"] - data["w"])
    assert built("np.log(w) ~ x", data).response_name == "np.log(w)"


def test_known_standard_deviations(data):
    design = built("y | se(w) ~ x + (1 | g)", data)
    np.testing.assert_array_equal(design.known_sd, data["w"])
    assert built("y ~ x", data).known_sd is None
    with pytest.raises(DataError, match=r"se\(.*\) is not positive in row 0"):
        built("y | se(I(w*0)) ~ x", data)


def test_with_known_standard_deviations_a_level_for_each_row_is_legal(data):
    data["study"] = np.arange(60)
    design = build_design("y | se(w) ~ x + (1 | study)", data)
    assert design.random[0].n_levels == 60


def test_other_additions_point_at_themselves(data):
    with pytest.raises(FormulaError, match=r"trials\(\.\.\.\) on the left") as caught:
        built("k | trials(g) ~ x", data)
    assert caught.value.column == 4


def test_a_formula_needs_a_response(data):
    with pytest.raises(FormulaError):
        built("~ x", data)
