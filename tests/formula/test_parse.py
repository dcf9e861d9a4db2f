"""What each notation means: lme4's grammar with its gaps closed."""

import subprocess
import sys

import pytest

from mixedfx.formula.mixed_formula import Addition, MixedFormula, RandomPart
from mixedfx.formula.parse import parse_formula


def random_of(text: str) -> list[str]:
    return [str(part) for part in parse_formula(text).random]


def test_every_field_of_a_formula():
    text = "k | trials(m) ~ x*z + (1 + x || a/b) + offset(log(t))"
    assert parse_formula(text) == MixedFormula(
        text=text,
        response="k",
        additions=(Addition("trials", "m", column=4),),
        fixed="1 + x * z",
        random=(
            RandomPart("1 + x", ("a",), structure="diag", column=22),
            RandomPart("1 + x", ("a", "b"), structure="diag", column=22),
        ),
        offsets=("log(t)",),
    )


@pytest.mark.parametrize(
    ("written", "fixed"),
    [
        ("y ~ x", "1 + x"),
        ("y ~ 1", "1"),
        ("y ~ 0", "0"),
        ("y ~ -1", "0"),
        ("y ~ 1 + x", "1 + x"),
        ("y ~ 0 + x", "0 + x"),
        ("y ~ x - 1", "0 + x"),
        ("y ~ x + 0", "0 + x"),
        ("y ~ x + -1", "0 + x"),
        ("y ~ x - 0", "1 + x"),
        ("y ~ 0 + x + 1", "1 + x"),
        ("y ~ (0 + x)", "0 + x"),
        ("y ~ x - (1)", "0 + x"),
        ("y ~ + x", "1 + x"),
        ("y ~ x + + z", "1 + x + z"),
        ("y ~ - x + z", "1 - x + z"),
        ("y ~ x + -(z)", "1 + x - z"),
        ("y ~ (1 | g)", "1"),
        ("y ~ (x - 1 + (1 | g))", "0 + x"),
        ("y ~ z + (x + (1 | g) + offset(w))", "1 + z + x"),
        ("y ~ (1 | g) - 1", "0"),
        ("y ~ z + x1*z + x2*z", "1 + z + x1 * z + x2 * z"),
        ("y ~ (a+b)^2 - a:b", "1 + (a + b)**2 - a:b"),
        ("y ~ a/b + a %in% b + a**2", "1 + a / b + a %in% b + a**2"),
        ("y ~ ((a+b)^2)^2", "1 + ((a + b)**2)**2"),
        ("y ~ a*(b - c)", "1 + a * (b - c)"),
        ("y ~ 2:x", "1 + 2:x"),
        ("y ~ I(x**2)", "1 + I(x ** 2)"),
        ('y ~ C(x, Treatment("a"))', "1 + C(x, Treatment('a'))"),
        ("y ~ np.log( x )+poly(x,2)", "1 + np.log(x) + poly(x, 2)"),
        ("y ~ bs(x, df = 4)", "1 + bs(x, df=4)"),
        ("y ~ {x + 1} + {log(x)} + {x}", "1 + I(x + 1) + log(x) + x"),
        ("y ~ `my x` + `x` + log(`my x`)", "1 + `my x` + x + log(`my x`)"),
        ("y ~ log(`a (b`)", "1 + log(`a (b`)"),
        ("y ~ log(`x`)", "1 + log(x)"),
        ("y ~ I(`a b`*`a b` + `c d`)", "1 + I(`a b` * `a b` + `c d`)"),
        ("y ~ I(vaa + `%`)", "1 + I(vaa + `%`)"),
        ("y ~ Petal.Length", "1 + `Petal.Length`"),
        ("y ~ I(a | b)", "1 + I(a | b)"),
        ("y ~ C(x, Treatment('a ~ (b | c)'))", "1 + C(x, Treatment('a ~ (b | c)'))"),
        ("y ~ größe + naïve", "1 + größe + naïve"),
        ("y ~\n  x\n  + z", "1 + x + z"),
    ],
)
def test_the_fixed_part_has_one_spelling_and_an_explicit_intercept(written, fixed):
    assert parse_formula(written).fixed == fixed


@pytest.mark.parametrize(
    ("term", "expanded"),
    [
        ("(1 | g)", ["(1 | g)"]),
        ("(z | g)", ["(1 + z | g)"]),
        ("(0 + z | g)", ["(0 + z | g)"]),
        ("(z - 1 | g)", ["(0 + z | g)"]),
        ("(-1 + z | g)", ["(0 + z | g)"]),
        ("((0 + z) | g)", ["(0 + z | g)"]),
        ("(1 + z || g)", ["(1 + z || g)"]),
        ("(z || g)", ["(1 + z || g)"]),
        ("(a*b | g)", ["(1 + a * b | g)"]),
        ("(log(z) + poly(x, 2) | g)", ["(1 + log(z) + poly(x, 2) | g)"]),
        ("((1 | g))", ["(1 | g)"]),
        ("(1 | g1/g2)", ["(1 | g1)", "(1 | g1:g2)"]),
        ("(1 | a/b/c)", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"]),
        ("(1 | g1:g2)", ["(1 | g1:g2)"]),
        ("(1 | g1*g2)", ["(1 | g1)", "(1 | g2)", "(1 | g1:g2)"]),
        ("(1 | g1+g2)", ["(1 | g1)", "(1 | g2)"]),
        ("(1 | (g1+g2)^2)", ["(1 | g1)", "(1 | g2)", "(1 | g1:g2)"]),
        ("(1 | (g1+g2)**2)", ["(1 | g1)", "(1 | g2)", "(1 | g1:g2)"]),
        ("(1 | g1/(g2+g3))", ["(1 | g1)", "(1 | g1:g2)", "(1 | g1:g3)"]),
        ("(1 | factor(g))", ["(1 | g)"]),
        ("(1 | {g} + {`my g`})", ["(1 | g)", "(1 | `my g`)"]),
        ("(1 | factor(g):h)", ["(1 | g:h)"]),
        ("(1 | interaction(g, h))", ["(1 | g:h)"]),
        ("(1 | Q('my g'))", ["(1 | `my g`)"]),
        ("(1 | `my g`/h)", ["(1 | `my g`)", "(1 | `my g`:h)"]),
        ("(1 + z | x3*x4)", ["(1 + z | x3)", "(1 + z | x4)", "(1 + z | x3:x4)"]),
        ("(1 | g) + (1 | g)", ["(1 | g)", "(1 | g)"]),
        ("(x + (1 | g))", ["(1 | g)"]),
    ],
)
def test_a_random_term_expands_to_one_part_for_each_grouping_factor(term, expanded):
    assert random_of(f"y ~ x + {term}") == expanded


def test_intersectional_formula_of_the_issue():
    formula = parse_formula("y ~ (1 + x1*x2*z | x3*x4)")
    assert formula.fixed == "1"
    assert [part.group for part in formula.random] == [("x3",), ("x4",), ("x3", "x4")]
    assert {part.left for part in formula.random} == {"1 + x1 * x2 * z"}
    assert all(part.correlated for part in formula.random)


def test_the_intercept_of_a_random_term_is_its_own():
    formula = parse_formula("y ~ 0 + x + (z | g) + (0 + z | h)")
    assert formula.fixed == "0 + x"
    assert [part.left for part in formula.random] == ["1 + z", "0 + z"]


@pytest.mark.parametrize(
    ("left", "response", "additions"),
    [
        ("y", "y", []),
        ("np.log(y)", "np.log(y)", []),
        ("log(y)", "log(y)", []),
        ("y / 2", "I(y / 2)", []),
        ("y1 + y2", "I(y1 + y2)", []),
        ("(y)", "y", []),
        ("`my y`", "`my y`", []),
        ("`my y` / 2", "I(`my y` / 2)", []),
        ("my.y", "`my.y`", []),
        ("", None, []),
        ("y | se(s)", "y", ["se(s)"]),
        ("log(y) | se(s / 2)", "log(y)", ["se(I(s / 2))"]),
        ("k | trials(m)", "k", ["trials(m)"]),
        ("k | trials(10)", "k", ["trials(10)"]),
        ("k | trials(m) + se(s)", "k", ["trials(m)", "se(s)"]),
    ],
)
def test_left_sides(left, response, additions):
    formula = parse_formula(f"{left} ~ x")
    assert formula.response == response
    assert [str(a) for a in formula.additions] == additions


def test_offsets_leave_the_fixed_part():
    formula = parse_formula("y ~ offset(w) + x + offset(2 * log(t)) + offset(1.5)")
    assert formula.fixed == "1 + x"
    assert formula.offsets == ("w", "I(2 * log(t))", "1.5")


def test_a_column_may_be_called_offset():
    assert parse_formula("y ~ offset + x").fixed == "1 + offset + x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ x + (1 | a/b)", "y ~ 1+x + (1|a) + (1|a:b)"),
        ("y ~ x*z", "y~1 + x * z"),
        ("y ~ (a + b)^2", "y ~ (a+b)**2"),
        ("y ~ C(x,Treatment('a'))", 'y ~ C( x, Treatment("a") )'),
        ("y ~ `x`", "y ~ x"),
        ("`y` ~ x", "y ~ x"),
    ],
)
def test_equivalent_spellings(one, other):
    assert parse_formula(one) != parse_formula(other)
    assert parse_formula(one).equivalent(parse_formula(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ x", "y ~ 0 + x"),
        ("y ~ (z | g)", "y ~ (z || g)"),
        ("y ~ (z | g)", "y ~ (0 + z | g)"),
        ("y ~ x", "log(y) ~ x"),
        ("y ~ x", "y | se(s) ~ x"),
        ("y ~ x", "y ~ x + offset(w)"),
        ("y ~ (1 | a:b)", "y ~ (1 | a + b)"),
    ],
)
def test_different_models_are_not_equivalent(one, other):
    assert not parse_formula(one).equivalent(parse_formula(other))


def test_parsing_is_remembered():
    assert parse_formula("y ~ x + (1 | remembered)") is parse_formula("y ~ x + (1 | remembered)")


def test_a_formula_is_text():
    with pytest.raises(TypeError, match="a formula is text, not int"):
        parse_formula(5)  # type: ignore[arg-type]


def test_importing_the_parser_does_not_import_formulaic():
    code = "import sys, mixedfx.formula.parse; sys.exit('formulaic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
