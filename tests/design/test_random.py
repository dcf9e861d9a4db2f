"""Random terms: z against patsy, the layout of a term, and what is shared between terms."""

import numpy as np
import patsy
import pytest

from mixedfx.design.build import build_design
from mixedfx.design.rows import functional_for
from mixedfx.errors import FormulaError


def built(formula, data, **options):
    return build_design(formula, data, sigma_free=False, **options)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.IdentifiabilityWarning")
@pytest.mark.parametrize(
    "left",
    [
        "1",
        "x",
        "0 + x",
        "x*w",
        "race",
        "0 + race",
        "x*race",
        "1 + x + w",
        "b",
        "0 + b",
        "I(x**2)",
        "race*gender",
        "C(k)",
    ],
)
@pytest.mark.parametrize("bar", ["|", "||"])
def test_z_is_the_matrix_of_the_left_side_on_its_own(data, left, bar):
    term = built(f"y ~ 0 + w + ({left} {bar} h)", data).random[0]
    oracle = patsy.dmatrix(left, data, return_type="dataframe")
    names = {c.replace("[T.", "["): c for c in oracle.columns}
    assert sorted(term.columns) == sorted(names)
    np.testing.assert_allclose(term.z, oracle[[names[c] for c in term.columns]].to_numpy(), rtol=1e-13)
    assert term.correlated == (bar == "|")
    assert term.z.flags.c_contiguous
    assert term.z.dtype == np.float64


def test_the_intercept_of_the_left_side_is_its_own(data):
    assert built("y ~ 0 + x + (w | g)", data).random[0].columns == ("Intercept", "w")
    assert built("y ~ x + (0 + w | g)", data).random[0].columns == ("w",)


def test_double_bar_over_a_factor_has_the_same_columns_without_correlation(data):
    """lme4's default would give full dummies, still correlated, beside the intercept; here the term is diagonal."""
    term = built("y ~ x + (race || g)", data).random[0]
    assert term.columns == ("Intercept", "race[Black]", "race[White]")
    assert not term.correlated


def test_terms_follow_the_formula(data):
    design = built("y ~ x + (1 | h) + (x | g) + (1 | race:gender)", data)
    assert [t.label for t in design.random] == ["h", "g", "race:gender"]
    assert design.starts.tolist() == [0, 10, 22, 28]
    assert design.n_random == 28


def test_crossings_expand_to_separate_terms(data):
    design = built("y ~ x + (1 + x | race*gender)", data)
    assert [t.label for t in design.random] == ["race", "gender", "race:gender"]
    assert [t.n_levels for t in design.random] == [3, 2, 6]


def test_nested_terms(data):
    design = built("y ~ x + (1 | g/h)", data)
    assert {t.label for t in design.random} in ({"h:g", "g"}, {"g:h", "g"})


def test_identical_left_sides_and_groupings_are_worked_out_once(data):
    design = built("y ~ 1 + x + (1 + x | g) + (1 + x | h) + (0 + w | g)", data)
    first, second, third = design.random
    assert first.z is second.z
    assert design.X is first.z
    assert first.codes is third.codes


def test_the_order_of_u_is_term_level_column(data):
    """Z laid out densely by its definition, column by column, against the sparse rows."""
    design = built("y ~ x + (x | g) + (0 + race || h) + (1 | race:gender)", data)
    dense = np.zeros((len(data), design.n_random))
    for start, term in zip(design.starts[:-1], design.random, strict=True):
        for i in range(len(data)):
            for c in range(term.n_columns):
                dense[i, start + term.codes[i] * term.n_columns + c] = term.z[i, c]
    np.testing.assert_array_equal(functional_for(design).random.toarray(), dense)


def test_a_left_side_without_columns_points_at_the_term(data):
    with pytest.raises(FormulaError) as caught:
        built("y ~ x + (0 | g)", data)
    assert caught.value.column in (8, 9)


def test_rows_with_a_missing_grouping_value_are_dropped(data):
    data.loc[[3, 4], "h"] = None
    data["h2"] = data["h"].astype("category")
    for name in ("h", "h2"):
        design = built(f"y ~ x + (1 | {name})", data)
        assert design.rows.missing == {name: 2}
        assert len(design.random[0].codes) == 58


def test_unused_levels_are_dropped(data):
    data["dose"] = data["dose"].cat.reorder_categories(["never", "low", "mid", "high"])
    assert built("y ~ 1 + (1 | dose)", data).random[0].levels == ("low", "mid", "high")
