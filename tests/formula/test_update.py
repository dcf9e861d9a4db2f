"""Changing a formula by another."""

import pytest

from mixedfx.errors import FormulaError
from mixedfx.formula.parse import parse_formula
from mixedfx.formula.update import update_formula


@pytest.mark.parametrize(
    ("old", "change", "new"),
    [
        ("y ~ x", ". ~ .", "y ~ x"),
        ("y ~ x", ". ~ . + z", "y ~ x + z"),
        ("y ~ x", ". ~ . - 1", "y ~ 0 + x"),
        ("y ~ 0 + x", ". ~ . + 1", "y ~ x"),
        ("y ~ x", "log(y) ~ .", "log(y) ~ x"),
        ("y ~ x + (z | g)", ". ~ z", "y ~ z"),
        ("y ~ x + (z | g)", ". ~ . - (z | g) + (1 | g)", "y ~ x + (1 | g)"),
        ("y ~ x + (1 | a/b)", ". ~ . - (1 | a:b)", "y ~ x + (1 | a)"),
        ("y ~ x + (1 | `my g`) + offset(w)", ". ~\n . + z", "y ~ x + z + (1 | `my g`) + offset(w)"),
        ("y | se(s) ~ x", ". ~ . + z", "y | se(s) ~ x + z"),
        ("`a ~ b` ~ x", ". ~ . + z", "`a ~ b` ~ x + z"),
        ("~ x", ". ~ . + z", "~ x + z"),
        ("~ x", "y ~ .", "y ~ x"),
        ("~ x", "~ . + z", "~ x + z"),
        ("y ~ x + (z | g)", "~ . - (z | g)", "y ~ x"),
        ("y | se(s) ~ x", "~ . + z", "y | se(s) ~ x + z"),
    ],
)
def test_changes(old, change, new):
    assert update_formula(parse_formula(old), change).equivalent(parse_formula(new))


def test_a_random_term_that_is_not_there_cannot_be_taken_away():
    with pytest.raises(FormulaError, match="no random term") as caught:
        update_formula(parse_formula("y ~ x + (z | g)"), ". ~ . - (1 | g)")
    assert caught.value.column == 8


@pytest.mark.parametrize(("change", "column"), [(". + z", 0), (". ~ . ~ z", 6)])
def test_a_change_has_one_tilde(change, column):
    with pytest.raises(FormulaError, match="one '~'") as caught:
        update_formula(parse_formula("y ~ x"), change)
    assert caught.value.column == column
