"""Meaning before numbers: where the effect cannot vary over what was asked, the reader is told, and the way out."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.effects.effects import effects
from mixedfx.effects.modifiers import effect_modifiers
from mixedfx.errors import NoVariationWarning
from mixedfx.formula.parse import parse_formula


def told(fit, treatment="z", **options):
    """The message of the one NoVariationWarning, or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        effects(fit, treatment, **options)
    messages = [str(w.message) for w in caught if issubclass(w.category, NoVariationWarning)]
    assert len(messages) <= 1
    return messages[0] if messages else None


@pytest.mark.parametrize(
    ("formula", "by", "suggested"),
    [
        ("y ~ z + (1 | race)", "race", "y ~ z + (1 + z | race)"),
        ("y ~ z + (1 || race)", "race", "y ~ z + (1 + z || race)"),
        ("y ~ z + race", "race", "y ~ z + race + z:race"),
        ("y ~ z + race + gender", ["race", "gender"], "y ~ z + race + gender + z:race + z:gender"),
        ("y ~ z + (1 | race:gender)", ["race", "gender"], "y ~ z + (1 + z | race:gender)"),
        ("y ~ z + (1 | race) + (1 + z | gender)", ["race", "gender"], "y ~ z + (1 + z | race) + (1 + z | gender)"),
        ("y ~ z*gender + (1 | race)", ["race", "gender"], "y ~ z*gender + (1 + z | race)"),
        ("y ~ z + age + (0 + age | race)", "race", "y ~ z + age + (0 + age + z | race)"),
        ("y ~ z + (1 + z | school) + (1 | race)", "race", "y ~ z + (1 + z | school) + (1 + z | race)"),
    ],
)
def test_a_column_that_cannot_tell_effects_apart_is_named_with_its_mend(formula, by, suggested, people, dense_fit):
    fit = dense_fit(formula, people)
    message = told(fit, by=by)
    assert message is not None
    hint = message.split("To let it vary: ")[1]
    assert str(parse_formula(hint)) == str(parse_formula(suggested))
    # It does what it says.
    assert told(dense_fit(hint, people), by=by) is None


@pytest.mark.parametrize(
    ("formula", "by"),
    [
        ("y ~ z*race", "race"),
        ("y ~ z + z:race", "race"),
        ("y ~ z + I(z*age)", "age"),
        ("y ~ z + (1 + z | race)", "race"),
        ("y ~ z + (0 + z | race)", "race"),
        ("y ~ z + (1 | race) + (0 + z || race)", "race"),
        ("y ~ z + (1 + z | race:gender)", ["race", "gender"]),
        ("y ~ z + (1 + z | race:gender)", "race"),
        ("y ~ (1 | z:race)", "race"),
        ("y ~ z + (0 + race | z)", "race"),
        ("y ~ z + (race*z | school)", ["race", "school"]),
        ("y ~ z", None),
    ],
)
def test_no_word_where_the_effect_can_vary(formula, by, people, dense_fit):
    assert told(dense_fit(formula, people), by=by) is None


def test_one_effect_for_all_is_said_to_be_one(people, dense_fit):
    fit = dense_fit("y ~ z + (1 | race)", people)
    message = told(fit, by="race")
    assert message is not None
    assert message.startswith("the effect of 'z' cannot vary over 'race' under y ~ 1 + z + (1 | race)")
    assert "every subgroup has the same effect" in message
    with pytest.warns(NoVariationWarning):
        table = effects(fit, "z", by="race").table
    assert table["estimate"].nunique() == 1


def test_a_difference_in_composition_is_not_called_a_difference(people, dense_fit):
    """Under y ~ z*age races differ by their ages alone."""
    fit = dense_fit("y ~ z*age + race", people)
    message = told(fit, by="race")
    assert message is not None
    assert "differ only through their mix" in message


def test_a_property_of_a_group_with_varying_effects_can_tell_effects_apart(people, dense_fit):
    """Districts are not in the model, but each school lies in one, and the effect varies over schools."""
    fit = dense_fit("y ~ z + (1 + z | school)", people)
    assert told(fit, by="district", newdata=people) is None
    assert told(fit, by="race", newdata=people) is not None


def test_named_subgroups_are_checked_by_the_columns_of_their_queries(people, dense_fit):
    fit = dense_fit("y ~ z*gender + (1 | race)", people)
    both = told(fit, subgroups={"Black boys": "race == 'Black' and gender == 'boy'"})
    assert both is not None
    assert "over 'race' under" in both
    assert told(fit, subgroups={"boys": "gender == 'boy'", "girls": "gender == 'girl'"}) is None


def test_the_treatment_as_written_in_the_formula_stands_in_the_mend(people, dense_fit):
    fit = dense_fit("y ~ C(step) + (1 | race)", people)
    message = told(fit, "step", by="race")
    assert message is not None
    assert "(1 + C(step) | race)" in message
    assert told(dense_fit("y ~ C(step) + (1 + C(step) | race)", people), "step", by="race") is None


def test_random_effects_that_are_left_out_cannot_let_it_vary(people, dense_fit):
    fit = dense_fit("y ~ z + (1 + z | race)", people)
    message = told(fit, by="race", groups="average")
    assert message is not None
    assert 'Use groups="fitted".' in message


def test_a_constant_column_has_nothing_to_tell_apart(people, dense_fit):
    fit = dense_fit("y ~ z + race", people)
    assert told(fit, by="race", newdata=pd.DataFrame({"race": ["Black", "Black"]})) is None


def test_the_warning_points_at_the_line_of_the_caller(people, dense_fit):
    fit = dense_fit("y ~ z + (1 | race)", people)
    with pytest.warns(NoVariationWarning) as caught:
        effects(fit, "z", by="race")
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y ~ z*race + age", {"race"}),
        ("y ~ z:race:gender + age", {"race", "gender"}),
        ("y ~ z*race + (age*z | school)", {"race", "age", "school"}),
        ("y ~ z + np.log(age):z + (1 | school)", {"age"}),
        ("y ~ z + I(z*age) + offset(z*dose)", {"age", "dose"}),
        ("y ~ age + (1 + dose | z:race)", {"dose", "race"}),
        ("y ~ z*`test score`", {"test score"}),
    ],
)
def test_effect_modifiers_are_the_columns_that_share_a_term(formula, expected, people, dense_fit):
    assert effect_modifiers(dense_fit(formula, people).design, "z") == expected


def test_effects_of_single_rows_neither_warn_nor_offer_a_formula_that_is_refused():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": rng.integers(0, 12, 240), "x": rng.normal(size=240), "z": rng.integers(0, 2, 240)})
    data["y"] = data["x"] + data["z"] * (0.4 + 0.3 * data["x"]) + rng.normal(size=12)[data["g"]] + rng.normal(size=240)
    data["person"] = np.arange(240)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = mx.effects(mx.lmer("y ~ z*x + (1 | g)", data), "z", by="person", newdata=data)
    assert len(answer) == 240
    assert answer.notes == ()
    # where nothing varies at all it is said, without a formula: (1 + z | person) has a level for every row
    constant = mx.lmer("y ~ z + x + (1 | g)", data)
    with pytest.warns(mx.errors.NoVariationWarning, match="all 240 subgroups have the same effect") as caught:
        mx.effects(constant, "z", by="person", newdata=data)
    assert "| person)" not in str(caught[0].message)
