"""contrasts= reaches the fixed and the random part alike."""

import numpy as np
import pandas as pd
import patsy
import pytest
from formulaic.transforms.contrasts import HelmertContrasts, TreatmentContrasts

from mixedfx.design.build import build_design
from mixedfx.design.rows import functional_for
from mixedfx.errors import DataError


def built(formula, data, **options):
    return build_design(formula, data, sigma_free=False, **options)


@pytest.mark.parametrize(
    ("name", "theirs"), [("sum", "Sum"), ("poly", "Poly"), ("diff", "Diff"), ("treatment", "Treatment")]
)
def test_a_coding_by_name_reaches_x_and_z(data, name, theirs):
    design = built("y ~ race*x + (race | g)", data, contrasts={"race": name})
    oracle = np.asarray(patsy.dmatrix(f"C(race, {theirs})", data))
    np.testing.assert_allclose(design.random[0].z, oracle, atol=1e-14)
    np.testing.assert_allclose(design.X[:, 1:3], oracle[:, 1:], atol=1e-14)
    np.testing.assert_allclose(design.X[:, 4:], oracle[:, 1:] * data[["x"]].to_numpy(), atol=1e-14)


def test_helmert_is_that_of_r(data):
    # contr.helmert(3) of R: rows (-1, -1), (1, -1), (0, 2)
    X = built("y ~ race", data, contrasts={"race": "helmert"}).X
    by_level = {r: X[data["race"] == r][0, 1:].tolist() for r in ("Asian", "Black", "White")}
    assert by_level == {"Asian": [-1, -1], "Black": [1, -1], "White": [0, 2]}


def test_labels_say_which_coding(data):
    names = built("y ~ race", data, contrasts={"race": "sum"}).fixed_names
    assert names == ("Intercept", "race[S.Asian]", "race[S.Black]")


def test_a_formulaic_object_or_class(data):
    base = built("y ~ race", data, contrasts={"race": TreatmentContrasts(base="White")})
    assert base.fixed_names == ("Intercept", "race[Asian]", "race[Black]")
    by_class = built("y ~ race", data, contrasts={"race": HelmertContrasts})
    np.testing.assert_array_equal(by_class.X, built("y ~ race", data, contrasts={"race": "helmert"}).X)


def test_a_matrix_has_a_row_for_each_level(data):
    matrix = pd.DataFrame({"low": [1.0, -1, 0], "high": [0.5, 0.5, -1]})
    design = built("y ~ race + (race | g)", data, contrasts={"race": matrix})
    assert design.fixed_names == ("Intercept", "race[low]", "race[high]")
    rows = np.searchsorted(["Asian", "Black", "White"], data["race"])
    np.testing.assert_array_equal(design.X[:, 1:], matrix.to_numpy()[rows])
    np.testing.assert_array_equal(design.random[0].z[:, 1:], matrix.to_numpy()[rows])
    full = built("y ~ 0 + race", data, contrasts={"race": matrix.to_numpy()})
    assert full.fixed_names == ("race[Asian]", "race[Black]", "race[White]")


def test_a_factor_made_by_c_is_named_by_its_text(data):
    design = built("y ~ C(k)", data, contrasts={"C(k)": "sum"})
    np.testing.assert_allclose(design.X, np.asarray(patsy.dmatrix("C(k, Sum)", data)))


def test_booleans_too(data):
    X = built("y ~ b", data, contrasts={"b": "sum"}).X
    np.testing.assert_array_equal(X[:, 1], np.where(data["b"], -1.0, 1.0))


def test_a_model_of_numbers_only_has_no_factor_to_code(data):
    with pytest.raises(DataError, match="names 'x', which is numeric"):
        built("y ~ x", data, contrasts={"x": "sum"})


def test_new_data_are_coded_alike(data):
    for asked in ("sum", np.array([[1.0, 0], [0, 1], [-2, -3]])):
        design = built("y ~ race*x + (race | g)", data, contrasts={"race": asked})
        rows = functional_for(design, data.iloc[[4, 1]])  # one level of the three
        np.testing.assert_array_equal(rows.fixed, design.X[[4, 1]])
        np.testing.assert_array_equal(rows.random.toarray(), functional_for(design).random.toarray()[[4, 1]])


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        ({"race": "summ"}, "'summ' coding of 'race', which is not known"),
        ({"rcae": "sum"}, r"names 'rcae', which is no factor of the formula\nDid you mean 'race'"),
        ({"x": "sum"}, r"names 'x', which is numeric\nWrite C\(x\)"),
        ({"race": np.eye(2)[:, :1]}, r"shape \(2, 1\), but 'race' has 3 levels"),
        ({"race": np.ones((3, 1))}, "linearly dependent"),
        ({"race": np.eye(3)}, "linearly dependent"),
        ({"race": 5}, "neither a name nor a matrix"),
        ({"race": object()}, "neither a name nor a matrix"),
    ],
)
def test_what_cannot_be_a_coding(data, contrasts, message):
    with pytest.raises(DataError, match=message):
        built("y ~ race + x", data, contrasts=contrasts)
