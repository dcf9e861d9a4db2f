"""Functionals for new rows: known levels, new levels, new combinations, absent grouping columns."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design
from mixedfx.design.functional import NewLevel
from mixedfx.design.rows import functional_for
from mixedfx.errors import DataError, UnseenLevelError, UnseenLevelsWarning


@pytest.fixture
def design(data):
    """Crossed terms with a slope each, and their interaction, in which (White, woman) never occurs."""
    data = data[~((data["race"] == "White") & (data["gender"] == "woman"))]
    return build_design("y ~ x + (x | g) + (0 + x || race) + (1 | race:gender)", data, sigma_free=False)


def new(**changes):
    columns = {"x": [2.0, 3.0, 5.0], "g": [4, 4, 30], "race": ["Black"] * 3, "gender": ["man"] * 3}
    return pd.DataFrame(columns | changes)


def index(design, term, level, column):
    t = design.random[term]
    return design.starts[term] + t.levels.index(level) * t.n_columns + t.columns.index(column)


def test_the_rows_of_the_fit(design):
    rows = functional_for(design)
    assert len(rows) == len(design.y)
    assert rows.fixed is design.X
    assert rows.random.shape == (len(design.y), design.n_random)
    assert rows.new.shape == (len(design.y), 0)
    assert not rows.unseen.any()


def test_known_levels_get_their_covariates(design):
    rows = functional_for(design, new())
    expected = np.zeros((3, design.n_random))
    for i, (x, g) in enumerate([(2.0, "4"), (3.0, "4"), (5.0, "30")]):
        expected[i, index(design, 0, g, "Intercept")] = 1
        expected[i, index(design, 0, g, "x")] = x
        expected[i, index(design, 1, "Black", "x")] = x
        expected[i, index(design, 2, "Black:man", "Intercept")] = 1
    np.testing.assert_array_equal(rows.random.toarray(), expected)


def test_new_levels_are_an_error_by_default_naming_levels_and_combinations(design):
    with pytest.raises(UnseenLevelError) as caught:
        functional_for(design, new(g=[4, 99, 7], race=["White", "Black", "Martian"], gender=["woman", "man", "man"]))
    text = str(caught.value)
    assert "new levels of 'g': '7', '99'" in text
    assert "new level of 'race': 'Martian'" in text
    assert "new combination of 'race:gender': 'White:woman'" in text
    assert "Martian:man" not in text  # it is the level that is new, said once


def test_population_sets_their_effects_to_zero_and_marks_the_rows(design):
    rows = functional_for(design, new(g=[4, 99, 4], gender=["man", "man", "robot"]), "population")
    assert rows.unseen.tolist() == [0, 1, 1]
    assert rows.new.shape == (3, 0)
    dense = rows.random.toarray()
    assert dense[1, : design.starts[1]].tolist() == [0.0] * 12  # nothing of g, but race and race:gender are known
    assert dense[1, index(design, 1, "Black", "x")] == 3.0
    assert dense[2, index(design, 0, "4", "x")] == 5.0
    assert dense[2, design.starts[2] :].tolist() == [0.0] * 5


def test_sample_gives_each_term_and_level_columns_of_its_own(design):
    with pytest.warns(UnseenLevelsWarning):
        rows = functional_for(design, new(g=[99, 99, 7], race=["Black", "Martian", "Martian"]), "sample")
    assert rows.new_levels == (
        NewLevel(0, "7"), NewLevel(0, "99"), NewLevel(1, "Martian"), NewLevel(2, "Martian:man"),
    )  # fmt: skip
    # g: two columns (Intercept, x) for each of 7 and 99; race: x; race:gender: Intercept
    assert rows.new.toarray().tolist() == [
        [0, 0, 1, 2, 0, 0],  # 99 ...
        [0, 0, 1, 3, 3, 1],  # ... and 99 again share their effects
        [1, 5, 0, 0, 5, 1],
    ]
    assert rows.unseen.tolist() == [1, 1, 1]
    assert rows.random.toarray()[1].tolist() == [0.0] * design.n_random


def test_the_warning_about_typing_errors_is_for_levels_not_for_combinations(design):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        functional_for(design, new(race=["White", "black", "Black"], gender=["woman", "man", "man"]), "sample")
    messages = [str(w.message) for w in caught]
    assert len(messages) == 2
    assert "'race' has levels that the fit has not seen: 'black' (did you mean 'Black'?)" in messages[0]
    assert "typing error" in messages[0]
    assert "combinations of 'race:gender' without data in the fit: 'White:woman'" in messages[1]
    assert "typing error" not in messages[1]
    assert all(w.category is UnseenLevelsWarning for w in caught)


def test_known_levels_do_not_warn(design):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert functional_for(design, new(), "sample").new_levels == ()


@pytest.mark.parametrize("new_levels", ["error", "population", "sample"])
def test_an_absent_grouping_column_is_averaged_over(design, new_levels):
    rows = functional_for(design, new().drop(columns="g"), new_levels)
    assert rows.averaged == ("g",)
    assert rows.unseen.tolist() == [0, 0, 0]
    assert rows.random.toarray()[:, : design.starts[1]].tolist() == [[0.0] * 12] * 3
    assert rows.random[:, design.starts[1] :].nnz == 6


def test_half_an_interaction_is_not_enough(design):
    rows = functional_for(design, new().drop(columns="gender"))
    assert rows.averaged == ("race:gender",)
    assert rows.random.toarray()[0, index(design, 1, "Black", "x")] == 2.0


def test_no_grouping_column_at_all(design):
    rows = functional_for(design, new()[["x"]])
    assert rows.averaged == ("g", "race", "race:gender")
    assert rows.random.shape == (3, design.n_random)
    assert rows.random.nnz == 0


def test_no_rows_and_no_random_terms(data, design):
    assert len(functional_for(design, new().head(0))) == 0
    plain = build_design("y ~ x", data)
    rows = functional_for(plain, data.head(2))
    assert rows.random.shape == (2, 0)
    assert functional_for(plain).random.shape == (len(data), 0)


def test_zeros_in_z_take_no_room(data):
    design = build_design("y ~ 1 + (0 + race | g)", data, sigma_free=False)
    assert functional_for(design).random.nnz == len(data)  # one dummy of three in each row


def test_combine_averages_the_share_that_is_unseen(design):
    rows = functional_for(design, new(g=[4, 99, 99]), "population")
    mean = rows.combine(np.array([[0.5, 0.25, 0.25], [1.0, -1.0, 0.0]]))
    assert mean.unseen.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(mean.fixed[0], [1, 0.5 * 2 + 0.25 * 3 + 0.25 * 5])


def test_an_unknown_policy(design):
    with pytest.raises(DataError, match="'Sample' is not known"):
        functional_for(design, new(), "Sample")
