"""Type III tests where columns of the fixed part say the same twice: refused where an average is lost, only there."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import ModelError

CODINGS = ("treatment", "sum", "helmert", "diff")
FACTORS = ("f", "h", "site")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(71)
    g = rng.integers(0, 18, 360)
    levels = {"f": list("abc"), "h": list("uv"), "site": list("pqrs")}
    frame = pd.DataFrame({k: rng.choice(v, 360) for k, v in levels.items()}).assign(x=rng.normal(size=360), g=g)
    frame["y"] = frame["x"] + (frame["f"] == "b") + rng.normal(size=18)[g] + rng.normal(size=360)
    frame["x2"] = 3.0 - 2 * frame["x"]
    frame["latitude"] = frame["site"].map({"p": 1.0, "q": 2.5, "r": -1.0, "s": 3.0})
    frame["partly"] = np.where(frame["f"] == "c", 1.0, frame["x"])
    return frame


def fitted(formula: str, data: pd.DataFrame, coding: str = "treatment"):
    words = formula.replace("*", " ").replace(":", " ").replace("+", " ").split()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        contrasts = {name: coding for name in FACTORS if name in words}
        return mx.lmer(f"y ~ {formula} + (1 | g)", data, contrasts=contrasts)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("formula", "same"),
    [
        ("x + x2 + f", "x + f"),
        ("f * x + x2", "f * x"),
        ("f * x + f * x2", "f * x"),
        ("f * h + x + x2", "f * h + x"),
        ("x + x2 + I(x + x2) + f * h", "x + f * h"),
        ("site + latitude + x", "site + x"),
        ("f * h + site * x + latitude", "f * h + site * x"),
    ],
)
def test_a_number_that_others_determine_is_no_part_of_the_model(data, formula, same, coding):
    """R drops the column and tests the rest; so it is the analysis of the formula without it."""
    found = fitted(formula, data, coding).anova().set_index("term")
    expected = fitted(same, data).anova().set_index("term")
    assert set(found.index) == set(expected.index)
    for column in ("num_df", "den_df", "f_value", "p_value"):
        np.testing.assert_allclose(found[column], expected.loc[found.index, column], rtol=1e-5)  # two optima


def test_a_factor_beside_a_number_that_it_determines_has_what_that_leaves_over(data):
    """The number comes first: sites are tested beyond a line in it, 2 df of 3, in every coding."""
    tables = [fitted("latitude + f * h + C(site)", data, coding).anova() for coding in CODINGS]
    row = tables[0].set_index("term").loc["C(site)"]
    assert row["num_df"] == 2
    for table in tables[1:]:
        np.testing.assert_allclose(table.set_index("term").loc["C(site)"].astype(float), row.astype(float), rtol=1e-5)
    dropped = fitted("latitude + f * h + C(site)", data).drop1().set_index("term").loc["C(site)"]
    np.testing.assert_allclose(row.astype(float), dropped.astype(float), rtol=1e-8)


@pytest.mark.parametrize("formula", ["f * h + x", "h * f + site * x", "f * partly"])
def test_an_average_that_is_lost_is_refused_with_the_interaction_named(data, formula):
    holed = data[~((data["f"] == "c") & (data["h"] == "v"))]
    fit = fitted(formula, holed)
    with pytest.raises(ModelError, match=r"do not determine all cells of (f:h|h:f|f:partly)"):
        fit.anova()
    assert len(fit.anova("II")) > 1


def test_empty_cells_that_no_interaction_needs_are_no_obstacle(data):
    holed = data[~((data["f"] == "c") & (data["h"] == "v"))]
    assert fitted("f + h + x + x2", holed).anova()["term"].tolist() == ["f", "h", "x"]
    cells = fitted("f:h + x", holed).anova().set_index("term")
    assert cells.loc["f:h", "num_df"] == 4  # five cells with rows, any difference between them


@pytest.mark.parametrize("spline", ["cr(x, df=4)", "cs(x, df=4)", "cc(x, df=4)", "bs(x, df=5, include_intercept=True)"])
def test_splines_that_sum_to_one_hold_the_intercept_and_are_of_full_rank_beside_it(data, spline):
    """As the levels of a factor do: one column less beside an intercept, all of them without, no warning either way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beside = mx.design(f"y ~ {spline} + f", data)
        alone = mx.design(f"y ~ 0 + {spline}", data)
        random = mx.design(f"y ~ x + ({spline} | g)", data).random[0]
        fit = mx.lmer(f"y ~ {spline} + f + (1 | g)", data)
        assert fit.anova()["term"].tolist() == [spline, "f"]
        new = fit.predict(data.iloc[:5])
    k = alone.X.shape[1]
    assert beside.aliased == ()
    assert beside.X.shape[1] == 1 + (k - 1) + 2
    assert random.columns[0] == "Intercept"
    assert len(random.columns) == k
    np.testing.assert_allclose(alone.X.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(new, fit.fitted.iloc[:5], rtol=1e-10)
    # the space is that of the intercept and all columns
    whole = np.column_stack([np.ones(len(data)), alone.X])
    assert np.linalg.matrix_rank(np.column_stack([whole, beside.X[:, :k]])) == k


def test_a_centred_spline_keeps_all_its_columns(data):
    centred = mx.design("y ~ cr(x, df=4, constraints='center')", data)
    assert (centred.X.shape[1], centred.aliased) == (5, ())
