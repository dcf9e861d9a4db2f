"""Columns with awkward names: like functions, with blanks, not text, twice, with a strange index."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.design.rows import functional_for
from mixedfx.errors import DataError, UnsafeFormulaError


def built(formula, data, **options):
    return build_design(formula, data, sigma_free=False, **options)


@pytest.mark.parametrize(
    "name", ["log", "I", "exp", "center", "C", "poly", "bs", "offset", "factor", "Q", "scale", "abs"]
)
def test_a_column_may_be_called_like_a_function(data, name):
    data[name] = data["w"]
    column = data[name].to_numpy()
    design = built(f"y ~ x + {name}", data)
    np.testing.assert_array_equal(design.X[:, 2], column)
    np.testing.assert_array_equal(functional_for(design, data.head(3)).fixed, design.X[:3])
    design = built(f"y ~ x + log({name}) + I({name}**2) + np.sqrt({name}) + center({name})", data)
    np.testing.assert_allclose(
        design.X[:, 2:], np.column_stack([np.log(column), column**2, np.sqrt(column), column - column.mean()])
    )
    np.testing.assert_allclose(functional_for(design, data.head(3)).fixed, design.X[:3])


def test_function_and_column_of_one_name_in_one_expression(data):
    data["log"] = data["w"]
    np.testing.assert_allclose(built("y ~ log(log) + np.log(log + log(log))", data).X[:, 1:], np.column_stack(
        [np.log(data["w"]), np.log(data["w"] + np.log(data["w"]))]
    ))  # fmt: skip


def test_a_factor_called_c(data):
    data["C"] = data["race"]
    assert built("y ~ C(C)", data).fixed_names == ("Intercept", "C(C)[Black]", "C(C)[White]")
    assert built("y ~ C", data).fixed_names == ("Intercept", "C[Black]", "C[White]")


def test_blanks_and_other_characters_in_backticks(data):
    data = data.rename(columns={"x": "body mass (kg)", "race": "the race", "g": "group #"})
    design = built("y ~ `body mass (kg)` * `the race` + np.exp(`body mass (kg)`) + (1 | `group #`)", data)
    assert design.fixed_names == (
        "Intercept", "body mass (kg)", "the race[Black]", "the race[White]", "np.exp(`body mass (kg)`)",
        "body mass (kg):the race[Black]", "body mass (kg):the race[White]",
    )  # fmt: skip
    assert design.random[0].label == "group #"
    assert list(design.frame.columns) == ["y", "body mass (kg)", "the race", "group #"]
    np.testing.assert_allclose(functional_for(design, data.head(3)).fixed, design.X[:3])


def test_quoted_names(data):
    data = data.rename(columns={"x": "a b"}).assign(log=data["w"])
    np.testing.assert_array_equal(
        built("y ~ Q('a b') + center(Q('log'))", data).X[:, 1:],
        np.column_stack([data["a b"], data["log"] - data["log"].mean()]),
    )


@pytest.mark.parametrize("name", ["x y", "1st", "ünïcode", "日本", "a.b", "print", "x:w", "I(x)", "race[T.a]"])
def test_any_name_in_backticks(data, name):
    data = data.assign(**{name: data["w"]})
    design = built(f"y ~ `{name}` + I(`{name}`**2) + (0 + `{name}` | `{name}`)", data)
    np.testing.assert_array_equal(design.X[:, 1:], np.column_stack([data["w"], data["w"] ** 2]))
    assert design.random[0].columns == (name,)
    assert design.random[0].label == name


@pytest.mark.parametrize("name", ["lambda", "class", "if", "True", "None", "__class__", "__import__"])
def test_words_of_python_are_names_of_columns_outside_functions_only(data, name):
    data = data.assign(**{name: data["x"]})
    np.testing.assert_array_equal(built(f"y ~ `{name}`", data).X[:, 1], data["x"])
    with pytest.raises(UnsafeFormulaError, match=f"`{name}`"):
        built(f"y ~ I(`{name}`**2)", data)


def test_a_column_called_intercept_may_not_hide_the_intercept(data):
    data["Intercept"] = data["x"]
    with pytest.raises(DataError, match="both be called 'Intercept'"):
        built("y ~ Intercept", data)
    assert built("y ~ 0 + Intercept", data).fixed_names == ("Intercept",)


def test_two_columns_of_x_never_share_a_label(data):
    data["race[White]"] = data["x"]
    with pytest.raises(DataError, match=r"both be called 'race\[White\]'"):
        built("y ~ race + `race[White]`", data)


def test_duplicate_columns_are_an_error_only_where_they_matter(data):
    twice = pd.concat([data, data[["x", "w"]]], axis=1)
    with pytest.raises(DataError, match="2 columns of the data are called 'x'"):
        built("y ~ x", twice)
    built("y ~ k", twice)


def test_names_that_are_no_text_do_not_matter(data):
    odd = data.rename(columns={"w": 5, "k": ("a", "b")})
    assert built("y ~ x + (1 | g)", odd).fixed_names == ("Intercept", "x")
    with pytest.raises(DataError, match="no column 'w'"):
        built("y ~ w", odd)


@pytest.mark.parametrize(
    "index",
    [
        [0] * 60,
        list(range(60))[::-1],
        pd.MultiIndex.from_product([["a", "b"], range(30)]),
        pd.date_range("2020", periods=60),
        [np.nan] * 60,
    ],
)
def test_the_index_does_not_matter(data, index):
    data.loc[8, "x"] = np.nan
    plain = built("y ~ center(x)*race + I(w > 2) + (race | g)", data, weights=data["w"], offset=data["w"])
    moved = data.set_axis(index)
    other = built("y ~ center(x)*race + I(w > 2) + (race | g)", moved, weights=moved["w"], offset=moved["w"])
    for a, b in [(plain.y, other.y), (plain.X, other.X), (plain.weights, other.weights), (plain.offset, other.offset)]:
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(plain.random[0].z, other.random[0].z)
    assert other.frame.index.tolist() == plain.frame.index.tolist()
    named = built("y ~ center(x)*race + I(w > 2) + (race | g)", moved, weights=moved["w"], offset="w")
    new = functional_for(named, data.dropna().set_axis(index[1:], axis=0))
    np.testing.assert_array_equal(new.fixed, plain.X)


def test_the_frame_of_the_caller_is_left_alone_and_not_followed(data):
    before = data.copy(deep=True)
    design = built("y ~ x*dose + (x | g)", data)
    pd.testing.assert_frame_equal(data, before)
    data.loc[:, "x"] = 0.0
    data["g"] = 0
    np.testing.assert_array_equal(design.frame["x"], before["x"])
    np.testing.assert_array_equal(design.X[:, design.fixed_names.index("x")], before["x"])
