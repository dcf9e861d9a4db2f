"""X: against patsy as an independent oracle, and the rules of coding and naming."""

import itertools

import numpy as np
import pandas as pd
import patsy
import pytest

from mixedfx.design.build import build_design
from mixedfx.errors import DataError, RankDeficiencyWarning, UnsafeFormulaError


def built(formula, data, **options):
    return build_design(formula, data, sigma_free=False, **options)


ORACLE_FORMULAS = [
    "1",
    "0 + x",
    "x + w",
    "x*w",
    "x + I(x**2) + np.log(w)",
    "race",
    "0 + race",
    "race + gender",
    "race*gender",
    "race*gender*x",
    "race:x",
    "0 + race:x",
    "x + x:race",
    "race + race:gender",
    "dose*race",
    "C(k) + x",
    "C(k):b",
    "b",
    "0 + b",
    "b*race + x",
    "I(x > 0) + x",
    "C(race, Treatment('Black')) * x",
    "center(x) + standardize(w)",
    "(x + race + gender)**2",
    "x*race - race",
]


@pytest.mark.parametrize("right", ORACLE_FORMULAS)
def test_columns_are_those_of_patsy(data, right):
    data["dose"] = data["dose"].cat.remove_unused_categories()
    ours = built(f"y ~ {right}", data)
    oracle = patsy.dmatrix(right, data, return_type="dataframe")
    names = {c.replace("[T.", "[").replace(", Treatment('Black'))", ", Treatment('Black'))"): c for c in oracle.columns}
    # Labels of transforms are the same text in both; the order of columns differs, as patsy gathers numeric factors.
    assert sorted(ours.fixed_names) == sorted(names)
    expected = oracle[[names[c] for c in ours.fixed_names]].to_numpy()
    np.testing.assert_allclose(ours.X, expected, rtol=1e-13, atol=1e-13)  # the same few operations on the same doubles


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("bs(x, df=4)", "bs(x, df=4)"),
        ("bs(x, df=5, degree=2)", "bs(x, df=5, degree=2)"),
        ("cr(x, df=4, constraints='center')", "cr(x, df=4, constraints='center')"),
        ("C(race, contr.sum)", "C(race, Sum)"),
        ("C(race, contr.poly)", "C(race, Poly)"),
        ("C(race, contr.diff)", "C(race, Diff)"),
    ],
)
def test_spaces_of_splines_and_codings_are_those_of_patsy(data, ours, theirs):
    X = built(f"y ~ {ours}", data).X
    oracle = np.asarray(patsy.dmatrix(theirs, data))
    # Both span the same space, whatever basis each has chosen: one is a linear map of the other.
    map_, *_ = np.linalg.lstsq(oracle, X, rcond=None)
    np.testing.assert_allclose(oracle @ map_, X, atol=1e-10)
    assert np.linalg.matrix_rank(X) == np.linalg.matrix_rank(oracle) == X.shape[1]


def test_sum_poly_and_diff_codings_equal_those_of_patsy_column_by_column(data):
    for ours, theirs in [("sum", "Sum"), ("poly", "Poly"), ("diff", "Diff")]:
        X = built(f"y ~ C(race, contr.{ours})", data).X
        np.testing.assert_allclose(X, np.asarray(patsy.dmatrix(f"C(race, {theirs})", data)), atol=1e-14)


def test_poly_is_orthonormal_and_spans_the_powers(data):
    X = built("y ~ poly(x, 3)", data).X
    np.testing.assert_allclose(X[:, 1:].T @ X[:, 1:], np.eye(3), atol=1e-12)
    powers = np.vander(data["x"], 4)
    assert np.linalg.matrix_rank(np.column_stack([X, powers])) == 4


@pytest.mark.parametrize(
    ("right", "names"),
    [
        ("x", ("Intercept", "x")),
        ("race", ("Intercept", "race[Black]", "race[White]")),
        ("0 + race", ("race[Asian]", "race[Black]", "race[White]")),
        ("dose", ("Intercept", "dose[mid]", "dose[high]")),
        ("b", ("Intercept", "b[True]")),
        ("C(b)", ("Intercept", "C(b)[True]")),
        ("C(k)", ("Intercept", "C(k)[2]", "C(k)[3]", "C(k)[4]", "C(k)[5]")),
        ("x:race", ("Intercept", "x:race[Asian]", "x:race[Black]", "x:race[White]")),
        ("race*gender", ("Intercept", "race[Black]", "race[White]", "gender[woman]",
                         "race[Black]:gender[woman]", "race[White]:gender[woman]")),
        ("C(race, contr.sum)", ("Intercept", "C(race, contr.sum)[S.Asian]", "C(race, contr.sum)[S.Black]")),
        ("poly(x, 2)", ("Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]")),
    ],
)  # fmt: skip
def test_labels(data, right, names):
    assert built(f"y ~ {right}", data).fixed_names == names


def test_a_label_that_contains_the_mark_of_treatment_coding_is_left_alone(data):
    data["race"] = np.tile(["A", "[T.x]", "race[T.y]"], 20)
    assert built("y ~ race", data).fixed_names == ("Intercept", "race[[T.x]]", "race[race[T.y]]")


def test_booleans_are_factors_with_two_levels(data):
    number = built("y ~ b:x", data)
    assert number.fixed_names == ("Intercept", "b[False]:x", "b[True]:x")
    np.testing.assert_array_equal(number.X[:, 2], data["x"] * data["b"])


def test_nullable_and_plain_booleans_code_alike(data):
    data["nb"] = data["b"].astype("boolean")
    data["ob"] = data["b"].astype(object)
    for name in ("nb", "ob"):
        assert built(f"y ~ {name}", data).fixed_names == ("Intercept", f"{name}[True]")


def test_small_integers_do_not_wrap_around(data):
    data["tiny"] = data["k"].to_numpy().astype(np.int8) * np.int8(25)  # up to 125; 125 * 125 and 125 ** 2 leave int8
    data["other"] = data["tiny"].to_numpy()[::-1]
    exact, reverse = data["tiny"].astype(float), data["other"].astype(float)
    for formula in ("y ~ I(tiny**2) + tiny:other", "y ~ race + I(tiny**2) + tiny:other", "y ~ tiny:tiny:other"):
        design = built(formula, data)
        column = dict(zip(design.fixed_names, design.X.T, strict=True))
        if "I(tiny ** 2)" in column:
            np.testing.assert_array_equal(column["I(tiny ** 2)"], exact**2)
        np.testing.assert_array_equal(column["tiny:other"], exact * reverse)


def test_powers_of_whole_numbers_beyond_int64_are_right(data):
    X = built("y ~ I((1000*k)**7)", data)
    np.testing.assert_allclose(X.X[:, 1], (1000.0 * data["k"]) ** 7, rtol=1e-15)


def test_two_rows_of_identical_columns_from_the_two_paths(data):
    """Plain products are multiplied without formulaic; the same columns must come out."""
    by_hand = built("y ~ x*w + k", data)
    through_formulaic = built("y ~ I(x)*I(w) + I(k)", data)
    np.testing.assert_array_equal(by_hand.X, through_formulaic.X)


def test_contiguous_float64(data):
    for formula in ("y ~ x", "y ~ race", "y ~ 0 + b"):
        X = built(formula, data).X
        assert X.dtype == np.float64
        assert X.flags.c_contiguous


def test_aliased_columns_are_dropped_from_the_right_and_named(data):
    data["total"] = data["x"] + data["w"]
    with pytest.warns(RankDeficiencyWarning, match=r"total: a combination of x, w"):
        design = built("y ~ x + w + total + race", data)
    assert design.aliased == ("total",)
    assert design.fixed_names == ("Intercept", "x", "w", "race[Black]", "race[White]")
    with pytest.warns(RankDeficiencyWarning, match=r"w: a combination of x, total"):
        assert built("y ~ x + total + w", data).aliased == ("w",)


def test_an_empty_cell_of_an_interaction_is_aliased(data):
    data = data[~((data["race"] == "White") & (data["gender"] == "woman"))]
    with pytest.warns(RankDeficiencyWarning, match=r"race\[White\]:gender\[woman\]: zero in every row"):
        design = built("y ~ race * gender", data)
    assert design.aliased == ("race[White]:gender[woman]",)


def test_a_factor_with_one_level_is_named_not_silently_lost(data):
    data["school"] = "only"
    with pytest.warns(RankDeficiencyWarning, match="school: has the one level 'only'"):
        design = built("y ~ x + school", data)
    assert (design.fixed_names, design.aliased) == (("Intercept", "x"), ("school",))
    assert built("y ~ 0 + school", data).fixed_names == ("school[only]",)


def test_nearly_collinear_but_distinct_columns_stay(data):
    rng = np.random.default_rng(1)
    data["near"] = data["x"] + 1e-5 * rng.normal(size=len(data))  # far above the tolerance of 1e-7
    assert built("y ~ x + near", data).aliased == ()
    data["nearer"] = data["x"] + 1e-9 * rng.normal(size=len(data))
    with pytest.warns(RankDeficiencyWarning):
        assert built("y ~ x + nearer", data).aliased == ("nearer",)


def test_the_scale_of_a_column_does_not_make_it_aliased(data):
    data["huge"], data["small"] = 1e200 * data["w"], 1e-200 * data["x"]
    assert built("y ~ huge + small + k", data).aliased == ()


def test_a_categorical_column_keeps_its_order_and_loses_unused_categories(data):
    design = built("y ~ dose", data)
    assert design.fixed_names == ("Intercept", "dose[mid]", "dose[high]")
    assert list(design.frame["dose"].cat.categories) == ["low", "mid", "high"]


def test_ordered_categories_are_treatment_coded_in_their_order(data):
    data["dose"] = data["dose"].cat.as_ordered()
    assert built("y ~ dose", data).fixed_names == ("Intercept", "dose[mid]", "dose[high]")


def test_levels_that_occur_only_in_dropped_rows_are_dropped(data):
    data.loc[data["race"] == "White", "x"] = np.nan
    assert built("y ~ x + race", data).fixed_names == ("Intercept", "x", "race[Black]")


@pytest.mark.parametrize("order", list(itertools.permutations(["low", "mid", "high"]))[:3])
def test_the_first_category_is_the_reference(data, order):
    data["dose"] = pd.Categorical(data["dose"].astype(str), categories=order)
    assert built("y ~ dose", data).fixed_names == ("Intercept", f"dose[{order[1]}]", f"dose[{order[2]}]")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ np.log(x)", r"'np\.log\(x\)' is not a number in rows "),
        ("y ~ x + np.log(w - w)", r"'np\.log\(w - w\)' is infinite in rows 0, 1, 2, 3, 4, \.\.\. \(60 in all\)"),
        ("np.log(w - w) ~ x", r"'np\.log\(w - w\)' is infinite"),
        ("y ~ x + offset(1/(k - 1))", r"1 / \(k - 1\)\)?' is infinite in rows 0, 5, 10"),
        ("race ~ x", r"the response 'race' is not numeric: it holds text values such as 'White'"),
        ("dose ~ x", r"the response 'dose' is not numeric: it holds category values"),
        ("y ~ zz", "the data have no column 'zz'"),
        ("y ~ Race + x", r"no column 'Race'\nDid you mean 'race'\?"),
        ("y ~ gendre", r"no column 'gendre'\nDid you mean 'gender'\?"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_that_says_where(data, formula, message):
    with pytest.raises(DataError, match=message):
        built(formula, data)


def test_infinities_in_a_column_are_named_with_the_rows_of_the_data_as_given(data):
    data.loc[0, "y"] = np.nan
    data.loc[[7, 9], "x"] = np.inf
    with pytest.raises(DataError, match=r"'x' is infinite in rows 7 and 9"):
        built("y ~ x", data)


def test_dates_need_a_unit(data):
    data["day"] = pd.date_range("2024-01-01", periods=len(data))
    with pytest.raises(DataError, match="'day' holds dates"):
        built("y ~ day", data)


@pytest.mark.parametrize("formula", ["y ~ __import__('os').system('true')", "y ~ I(x.values)", "y ~ open(x)"])
def test_formula_text_is_untrusted(data, formula):
    with pytest.raises(UnsafeFormulaError):
        built(formula, data)


def test_functions_of_the_caller_are_used(data):
    design = built("y ~ double(x) + I(w * k9)", data, env={"double": lambda v: 2 * v + 1, "k9": 9.0})
    np.testing.assert_allclose(design.X[:, 1:], np.column_stack([2 * data["x"] + 1, 9 * data["w"]]))


def test_a_column_hides_a_value_of_the_caller(data):
    np.testing.assert_array_equal(built("y ~ I(x)", data, env={"x": 5.0}).X[:, 1], data["x"])


def test_the_dot_is_every_column_not_used_elsewhere(data):
    design = built("y ~ . + (1 | g)", data[["y", "x", "race", "g"]])
    assert design.fixed_names == ("Intercept", "x", "race[Black]", "race[White]")
    assert "race" in str(design.formula)
