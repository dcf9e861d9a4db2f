"""New data get the same columns: from the state of the fit, or an error; never a silent guess."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.design.build import build_design
from mixedfx.design.rows import functional_for
from mixedfx.errors import DataError, RankDeficiencyWarning, UnseenLevelError


def built(formula, data, **options):
    return build_design(formula, data, sigma_free=False, **options)


def example():
    rng = np.random.default_rng(5)
    n = 48
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "w": rng.uniform(1, 2, size=n),
            "b": rng.random(n) < 0.5,
            "race": np.tile(["White", "Black", "Asian"], 16),
            "dose": pd.Categorical(np.tile(["low", "high"], 24), categories=["low", "high"]),
            "k": np.tile([1, 2, 3, 4], 12),
            "g": np.repeat(np.arange(8), 6),
        }
    )


FORMULAS = [
    "y ~ x*w + (x | g)",
    "y ~ race*x + (race | g)",
    "y ~ 0 + race:b + (0 + race || g)",
    "y ~ center(x) + scale(w) + poly(x, 3) + (center(x) | g)",
    "y ~ bs(x, df=4) + cr(w, df=3) + (bs(x, df=4) | k)",
    "y ~ C(k)*dose + (1 | g) + (b | race:dose)",
    "y ~ C(race, contr.sum) + I(x > 0) + (I(x**2) | g)",
    "np.log(w) ~ np.log(w) + x:k + offset(x) + (1 | k/dose)",
    "y ~ C(race, Treatment('White')) + standardize(x) + (1 | race*dose)",
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMULAS), st.lists(st.integers(0, 47), max_size=12))
@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_any_rows_of_the_data_come_out_as_they_went_in(formula, rows):
    """Few rows, some twice, none at all: levels, centring and knots are those of the fit, not of the new rows."""
    data = example()
    design = built(formula, data)
    own = functional_for(design)
    again = functional_for(design, data.drop(columns="y").iloc[rows])
    np.testing.assert_allclose(again.fixed, design.X[rows], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(again.random.toarray(), own.random.toarray()[rows], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(again.offset, design.offset[rows], rtol=1e-13)
    assert not again.unseen.any()
    assert again.new_levels == ()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_a_design_survives_pickling(formula):
    data = example()
    design = pickle.loads(pickle.dumps(built(formula, data)))
    np.testing.assert_allclose(functional_for(design, data.head(7)).fixed, design.X[:7], rtol=1e-13, atol=1e-14)


def test_replaying_does_not_change_the_state(data):
    design = built("y ~ center(x) + race", data)
    functional_for(design, data.assign(x=data["x"] + 100).head(3))
    np.testing.assert_allclose(functional_for(design, data).fixed, design.X, atol=1e-14)


def test_transforms_keep_their_state_for_columns_with_awkward_names(data):
    """Both `a b` and a_b exist: the alias of the first must not depend on chance, or its mean would be learnt anew."""
    data = data.assign(**{"a b": data["x"], "a_b": data["w"]})
    for _ in range(5):
        design = built("y ~ center(`a b`) + center(a_b)", data)
        new = functional_for(design, pd.DataFrame({"a b": [1.0], "a_b": [2.0]}))
        np.testing.assert_allclose(new.fixed, [[1, 1.0 - data["x"].mean(), 2.0 - data["w"].mean()]])


def test_aliased_columns_stay_out(data):
    data["total"] = data["x"] + data["w"]
    with pytest.warns(RankDeficiencyWarning):
        design = built("y ~ x + total + w + race", data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(functional_for(design, data.head(9)).fixed, design.X[:9])


def test_a_factor_with_one_level_in_the_fit_adds_nothing_but_is_still_checked(data):
    data["school"] = "only"
    with pytest.warns(RankDeficiencyWarning):
        design = built("y ~ x + school", data)
    np.testing.assert_array_equal(functional_for(design, data.head(4)).fixed, design.X[:4])
    with pytest.raises(UnseenLevelError, match="'school' has a level the fit has never seen: 'other'"):
        functional_for(design, data.head(4).assign(school="other"))


@pytest.mark.parametrize(
    ("formula", "factor"),
    [
        ("y ~ x + race", "race"),
        ("y ~ C(race)*x", "C(race)"),
        ("y ~ C(race, contr.sum)", "C(race, contr.sum)"),
        ("y ~ x + (race | g)", "race"),
        ("y ~ x + (0 + C(race) || g)", "C(race)"),
        ("y ~ factor(race)", "factor(race)"),
    ],
)
@pytest.mark.parametrize("new_levels", ["error", "population", "sample"])
def test_a_new_level_is_an_error_in_the_fixed_part_and_in_left_sides(data, formula, factor, new_levels):
    design = built(formula, data)
    new = data.head(3).assign(race=["White", "black", "Asian"])
    with pytest.raises(UnseenLevelError) as caught:
        functional_for(design, new, new_levels)
    assert f"'{factor}' has a level the fit has never seen: 'black'; it knows 'Asian', 'Black', 'White'" in str(
        caught.value
    )


def test_a_new_category_is_an_error_even_where_the_categories_list_it(data):
    design = built("y ~ dose", data)
    with pytest.raises(UnseenLevelError, match="'never'; it knows 'low', 'mid', 'high'"):
        functional_for(design, pd.DataFrame({"dose": pd.Categorical(["never"], categories=["never", "low"])}))


def test_categories_in_another_order_and_strings_are_the_same_levels(data):
    design = built("y ~ dose", data)
    for values in (pd.Categorical(["high", "low"], categories=["high", "low"]), ["high", "low"]):
        np.testing.assert_array_equal(
            functional_for(design, pd.DataFrame({"dose": values})).fixed, [[1, 0, 1], [1, 0, 0]]
        )


def test_missing_values_in_new_data_are_named_with_their_rows(data):
    design = built("y ~ x + race + (1 | g)", data)
    new = data.head(4).copy()
    new.loc[2, "x"] = np.nan
    new.loc[[0, 3], "race"] = None
    with pytest.raises(DataError, match=r"missing values: 'x' in row 2; 'race' in rows 0 and 3"):
        functional_for(design, new)


def test_the_response_and_unused_columns_are_not_needed(data):
    design = built("np.log(w) ~ x + (1 | g)", data)
    new = functional_for(design, data[["x", "g"]].assign(extra=None))
    np.testing.assert_array_equal(new.fixed, design.X)


def test_a_missing_column_is_named(data):
    design = built("y ~ x + race + (w | g)", data)
    with pytest.raises(DataError, match=r"the model needs 'race', which the new data do not have\nDid you mean 'Race'"):
        functional_for(design, data.rename(columns={"race": "Race"}))
    with pytest.raises(DataError, match="needs 'w'"):
        functional_for(design, data.drop(columns="w"))


def test_a_column_that_only_an_absent_term_reads_is_not_needed(data):
    design = built("y ~ x + (w | g)", data)
    rows = functional_for(design, data[["x"]])
    assert rows.averaged == ("g",)
    assert rows.random.nnz == 0


def test_booleans_and_zero_one_are_interchangeable_where_nothing_is_lost(data):
    design = built("y ~ b", data)
    np.testing.assert_array_equal(functional_for(design, pd.DataFrame({"b": [1, 0]})).fixed, [[1, 1], [1, 0]])
    with pytest.raises(
        DataError, match="'b' was boolean in the data of the fit; the new data hold number values such as 2"
    ):
        functional_for(design, pd.DataFrame({"b": [2, 0]}))
    design = built("y ~ x", data)
    np.testing.assert_array_equal(functional_for(design, pd.DataFrame({"x": [True, False]})).fixed, [[1, 1], [1, 0]])


def test_text_where_there_were_numbers_is_an_error(data):
    design = built("y ~ x + (1 | g)", data)
    with pytest.raises(
        DataError, match="'x' was number in the data of the fit; the new data hold text values such as 'a'"
    ):
        functional_for(design, pd.DataFrame({"x": ["a"], "g": [4]}))


def test_numbers_where_there_were_labels_of_a_factor(data):
    data["code"] = data["k"].astype(str)
    data["cat"] = data["k"].astype("category")
    design = built("y ~ code + cat:x", data)
    new = functional_for(design, data.head(7).assign(code=data["k"].astype(float), cat=data["k"]))
    np.testing.assert_array_equal(new.fixed, design.X[:7])
    with pytest.raises(UnseenLevelError, match="'code' has a level the fit has never seen: '9'"):
        functional_for(design, data.head(1).assign(code=9))


def test_levels_of_grouping_factors_are_matched_by_their_text(data):
    design = built("y ~ x + (1 | g)", data)
    for values in ([17, 30], [17.0, 30.0], ["17", "30"], pd.Categorical([17, 30])):
        rows = functional_for(design, pd.DataFrame({"x": [0.0, 0.0], "g": values}))
        np.testing.assert_array_equal(rows.random.toarray(), np.eye(6)[[4, 5]])


def test_offsets_of_the_formula_are_evaluated_anew_and_an_array_is_of_its_own_rows(data):
    by_text = built("y ~ x + offset(w)", data)
    assert functional_for(by_text, data.head(3)).offset.tolist() == data["w"].head(3).tolist()
    by_name = built("y ~ x", data, offset="w")
    assert functional_for(by_name, data.head(3)).offset.tolist() == data["w"].head(3).tolist()
    by_array = built("y ~ x", data, offset=data["w"].to_numpy())
    assert functional_for(by_array).offset.tolist() == data["w"].tolist()
    # Other rows have none: zero would be an answer to another question.
    with pytest.raises(DataError, match="an offset given as numbers, which belong to its own rows"):
        functional_for(by_array, data.head(3))
    assert functional_for(by_array, by_array.frame.head(3)).offset.tolist() == data["w"].head(3).tolist()
    with pytest.raises(DataError, match="needs 'w'"):
        functional_for(by_text, data.drop(columns="w"))


def test_values_of_env_are_remembered(data):
    design = built("y ~ I(x * unit)", data, env={"unit": 10.0})
    new = functional_for(design, data.head(2).assign(unit=999.0))  # a new column of that name was no column of the fit
    np.testing.assert_array_equal(new.fixed, design.X[:2])


def test_new_values_outside_a_spline_and_undefined_transforms_are_errors(data):
    design = built("y ~ np.log(w)", data)
    with pytest.raises(DataError, match=r"'np\.log\(w\)' is infinite in row 1"):
        functional_for(design, pd.DataFrame({"w": [1.0, 0.0]}))
    design = built("y ~ bs(x, df=4)", data)
    with pytest.raises(DataError, match="bs"):
        functional_for(design, pd.DataFrame({"x": [100.0]}))
