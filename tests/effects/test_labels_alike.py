"""A level is what it is called: text "2019", the number 2019 and a category of either are one level everywhere."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.design.labels import as_levels, level_label
from mixedfx.errors import DataError, EffectsError, FormulaError, UnseenLevelError

YEARS = [2018, 2019, 2020]
TYPES = {
    "int": lambda k: k.astype("int64"),
    "small": lambda k: k.astype("int16"),
    "float": lambda k: k.astype("float64"),
    "nullable": lambda k: k.astype("Int64"),
    "text": lambda k: k.astype(str),
    "objects": lambda k: k.astype(object),
    "text category": lambda k: pd.Categorical(k.astype(str), [str(y) for y in YEARS]),
    "int category": lambda k: pd.Categorical(k, YEARS),
    "float category": lambda k: pd.Categorical(k.astype(float), [float(y) for y in YEARS]),
}
FIT_AS = {"int": "C(year)", "float": "C(year)", "text": "year", "text category": "year", "int category": "year",
          "float category": "year"}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"year": rng.choice(YEARS, 240), "x": rng.normal(size=240), "g": rng.integers(0, 12, 240)})
    frame["y"] = frame["x"] * (frame["year"] - 2017) + (frame["year"] == 2019) + rng.normal(size=12)[frame["g"]]
    frame["y"] += rng.normal(size=240)
    return frame


@pytest.fixture(scope="module", params=FIT_AS)
def fit(request, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        formula = f"y ~ x * {FIT_AS[request.param]} + (1 | g)"
        return mx.lmer(formula, data.assign(year=TYPES[request.param](data["year"])))


@pytest.fixture(scope="module")
def expected(data):
    fit = mx.lmer("y ~ x * year + (1 | g)", data.assign(year=data["year"].astype(str)))
    return fit.predict(), mx.effects(fit, "x", by="year").table


@pytest.mark.parametrize("given", TYPES)
def test_predictions_and_effects_of_a_census_of_any_type_are_the_same(fit, data, expected, given):
    census = data.assign(year=TYPES[given](data["year"]))
    predicted, table = expected
    np.testing.assert_allclose(fit.predict(census), predicted, rtol=1e-7)
    found = mx.effects(fit, "x", by="year", newdata=census)
    np.testing.assert_allclose(found.table["estimate"], table["estimate"], rtol=1e-6)
    assert list(found.labels) == [f"year={year}" for year in YEARS]
    if given not in ("objects", "text category", "text"):
        again = mx.effects(fit, "x", by="year", newdata=pl.from_pandas(census.assign(year=data["year"])))
        np.testing.assert_allclose(again.table["estimate"], table["estimate"], rtol=1e-6)
    for query in ("year == '2019'", "year == 2019", "year in ['2019']", "year != 2018 and year != '2020'"):
        one = mx.effects(fit, "x", subgroups={"one": query}, newdata=census)
        assert one.table["estimate"].item() == pytest.approx(table["estimate"][1], rel=1e-6)
    assert found.contrast("2019", "2018").table["estimate"].item() == pytest.approx(
        found.contrast(2019, 2018).table["estimate"].item()
    )


@pytest.mark.parametrize("pair", [["2018", "2019"], [2018, 2019], [2018.0, "2019"]])
def test_values_of_a_treatment_are_named_as_they_are_written(fit, pair):
    found = mx.effects(fit, {"year": pair}).table
    assert found["contrast"].item() == "2019 - 2018"
    means = mx.emmeans(fit, "year", at={"year": pair, "x": 0}).table
    assert len(means) == 2
    with pytest.raises(EffectsError, match="are the same"):
        mx.effects(fit, {"year": ["2018", 2018]})


def test_coefficients_tables_and_means_call_a_level_alike(fit):
    """Categories of whole numbers read as floating point are not 2019.0 in one place and 2019 in another."""
    assert fit.fixef.index[2].endswith("year[2019]") or fit.fixef.index[2].endswith("(year)[2019]")
    assert mx.effects(fit, "year").table["contrast"].tolist() == ["2019 - 2018", "2020 - 2018"]
    assert mx.effects(fit, "x", by="year").labels == ("year=2018", "year=2019", "year=2020")
    assert list(map(level_label, mx.emmeans(fit, "year").table["year"])) == ["2018", "2019", "2020"]


def test_levels_nobody_knows_are_still_refused(fit, data):
    for year in (["2021"] * 240, ["MMXIX"] * 240, [2021] * 240):
        with pytest.raises((UnseenLevelError, DataError)):
            fit.predict(data.assign(year=year))
    with pytest.raises(EffectsError, match=r"has no level|does not compare"):
        mx.effects(fit, "x", subgroups={"a": "year == 'MMXIX'"})


def test_a_query_may_name_a_level_that_the_census_lacks_and_the_fit_knows(data):
    data = data.assign(year=data["year"].astype(str))
    fit = mx.lmer("y ~ x * year + (1 | g)", data)
    census = data[data["year"] != "2020"]
    found = mx.effects(fit, "x", subgroups={"late": "year == '2019' or year == '2020'"}, newdata=census).table
    alone = mx.effects(fit, "x", subgroups={"late": "year == '2019'"}, newdata=census).table
    assert found["estimate"].item() == pytest.approx(alone["estimate"].item())
    with pytest.raises(EffectsError, match="has no level '2021'"):
        mx.effects(fit, "x", subgroups={"late": "year == '2021'"}, newdata=census)


def test_truth_is_known_from_text(data):
    data = data.assign(late=data["year"] > 2018)
    fit = mx.lmer("y ~ x * late + (1 | g)", data)
    np.testing.assert_allclose(fit.predict(data.assign(late=data["late"].astype(str))), fit.predict(), rtol=1e-9)


def test_margins_of_a_census_are_matched_by_what_their_levels_are_called():
    cells = pd.DataFrame({"age": ["1", "2", "1", "2"], "sex": [0.0, 0.0, 1.0, 1.0]})
    weight = mx.rake(cells, {"age": {1: 30, 2: 70}, "sex": {"0": 50, "1": 50}})
    assert weight.tolist() == pytest.approx([15, 35, 15, 35])
    joint = mx.rake(cells, {("age", "sex"): {(1, 0): 1, (2, "0"): 2, ("1", 1): 3, (2, 1): 4}})
    assert joint.tolist() == pytest.approx([1, 2, 3, 4])
    with pytest.raises(EffectsError, match="more than once"):
        mx.rake(cells, {"age": {1: 30, "1": 30, 2: 40}})


def test_the_design_effect_of_weights_is_kishs():
    cells = pd.DataFrame({"age": ["a", "a", "a", "b"]})
    weight = mx.rake(cells, {"age": {"a": 50, "b": 50}})
    assert weight.attrs["design_effect"] == pytest.approx(4 * (3 * (50 / 3) ** 2 + 50**2) / 100**2)


def test_levels_that_are_written_alike_among_themselves_are_left_alone():
    values = pd.Series(["1", "2"])
    assert as_levels(values, [1, "1", 2]) is values


def test_a_column_called_1_is_no_intercept(data):
    with pytest.raises(FormulaError, match="a column called `1`"):
        mx.lmer("y ~ `1` + (1 | g)", data.rename(columns={"x": "1"}))
