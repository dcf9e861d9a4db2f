"""Which columns a formula needs, and what `.` stands for."""

import pytest

from mixedfx.errors import FormulaError, UnsafeFormulaError
from mixedfx.formula.parse import expand_dot, parse_formula
from mixedfx.formula.variables import free_names, variables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y ~ x", "y x"),
        ("~ x", "x"),
        ("y ~ 1", "y"),
        ("np.log(y) ~ x*z + log(w)", "y x z w"),
        ("y | se(s) ~ x", "y s x"),
        ("k | trials(m + n) ~ x", "k m n x"),
        ("y ~ x + (z | g1/g2) + (1 | h)", "y x z g1 g2 h"),
        ("y ~ x + (x | g)", "y x g"),
        ("y ~ offset(w) + x", "y x w"),
        ("y ~ C(x, Treatment('a'), levels=['a', 'b'])", "y x"),
        ("y ~ C(x, contr.sum) + C(z, Sum)", "y x z"),
        ("y ~ bs(x, df=4) + scale(z, center=True)", "y x z"),
        ("y ~ I(np.pi * x) + np.where(z > np.e, x, 0)", "y x z"),
        ("y ~ Q('x') + a.b", "y x a.b"),
        ("y ~ log(log) + np + C(C)", "y log np C"),
        ("y ~ . + x", "y x"),
        ("y ~ x - z", "y x z"),
    ],
)
def test_columns_in_order_of_appearance(text, expected):
    assert variables(parse_formula(text)) == tuple(expected.split())


def test_names_in_backticks_and_in_q():
    text = "`my y` ~ log(`a b`) + `a b`:`c,d` + Q('e f') + (`2nd` | `it's`)"
    assert variables(parse_formula(text)) == ("my y", "a b", "c,d", "e f", "2nd", "it's")


def test_what_the_caller_passes_is_not_a_column():
    formula = parse_formula("y ~ half(x) + I(x > limit)")
    assert variables(formula, env={"half", "limit"}) == ("y", "x")
    assert free_names(formula, {"half", "limit"}) == ("y", "x", "limit")


def test_a_function_known_to_nobody_is_found_before_evaluation():
    with pytest.raises(UnsafeFormulaError, match="`hlaf` is not a function") as caught:
        variables(parse_formula("y ~ shlaf + x + hlaf( x )"), env={"half"})
    assert caught.value.column == 16
    assert caught.value.hint == "Write one of the documented functions, or pass your own: env={'hlaf': hlaf}."


def test_the_error_points_into_a_random_term():
    with pytest.raises(UnsafeFormulaError) as caught:
        variables(parse_formula("y ~ x + (f(z)|g)"))
    assert caught.value.column == 9


COLUMNS = ["y", "a", "b", "my c", "g", "h", "w", "s"]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("y ~ .", "y ~ 1 + a + b + `my c` + g + h + w + s"),
        ("y ~ . + (1 | g)", "y ~ 1 + a + b + `my c` + h + w + s + (1 | g)"),
        ("y ~ a + . + (b | g:h)", "y ~ 1 + a + `my c` + w + s + (1 + b | g:h)"),
        ("log(y) | se(s) ~ 0 + . + offset(w)", "log(y) | se(s) ~ 0 + a + b + `my c` + g + h + offset(w)"),
        (
            "y ~ .*a + (1 | g/h) + log(w) + (s | g)",
            "y ~ 1 + (b + `my c`) * a + log(w) + (1 | g) + (1 | g:h) + (1 + s | g)",
        ),
        ("y ~ .^2 + (1 | g/h) + offset(w + s)", "y ~ 1 + (a + b + `my c`)**2 + (1 | g) + (1 | g:h) + offset(I(w + s))"),
        ("y ~ g + h + s + w - .", "y ~ 1 + g + h + s + w - (a + b + `my c`)"),
        ("y ~ . - a", "y ~ 1 + b + `my c` + g + h + w + s - a"),
        ("y ~ a", "y ~ 1 + a"),
    ],
)
def test_the_dot_stands_for_every_column_not_used_elsewhere(text, expanded):
    formula = parse_formula(text)
    assert str(expand_dot(formula, COLUMNS)) == expanded
    assert parse_formula(expanded).equivalent(expand_dot(formula, COLUMNS))


def test_a_formula_without_dot_is_left_alone():
    formula = parse_formula("y ~ a.b + log(a)")
    assert expand_dot(formula, COLUMNS) is formula


def test_a_dot_with_nothing_to_stand_for_is_an_error():
    with pytest.raises(FormulaError, match="there is none") as caught:
        expand_dot(parse_formula("np.log(y) ~ x + ."), ["y", "x"])
    assert caught.value.column == 16


def test_a_column_that_cannot_be_written_is_an_error():
    with pytest.raises(FormulaError, match="'a`b' cannot be written"):
        expand_dot(parse_formula("y ~ ."), ["y", "a`b"])


def test_a_dot_that_would_expand_without_end_is_an_error():
    with pytest.raises(FormulaError, match="too large to expand") as caught:
        expand_dot(parse_formula("y ~ x + .^3"), ["y", *(f"x{i}" for i in range(200))])
    assert caught.value.column == 8
