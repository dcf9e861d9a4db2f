"""Short texts that would ask for unbounded work are refused, and reading a formula again costs nothing."""

import timeit

import pytest

from mixedfx.errors import FormulaError
from mixedfx.formula.parse import parse_formula

MANY = [f"x{i}" for i in range(1000)]


@pytest.mark.parametrize(
    ("right", "phrase"),
    [
        ("(a+b)**1000", "too large to expand"),
        ("(a+b)^99999999999999999999", "too large to expand"),
        ("(a+b)^18", "too large to expand"),
        ("((((a+b)^3)^3)^3)^3", "too large to expand"),
        ("*".join("abcdefghijklm"), "too large to expand"),
        (f"({'+'.join(MANY[:40])})^4", "too large to expand"),
        (f"({'+'.join(MANY[:100])}):({'+'.join(MANY[:100])})", "too large to expand"),
        ("(a+b):" * 13 + "c", "too large to expand"),
        ("/".join(MANY), "too large to expand"),
        (":".join(MANY), "too large to expand"),
        ("(" + "*".join("abcdefghijklm") + " | g)", "too large to expand"),
        (f"(1 | {'*'.join(MANY[:30])})", "more than 200 grouping factors"),
        (f"(1 | ({'+'.join(MANY[:30])})^29)", "more than 200 grouping factors"),
        ("x^" + "9" * 30, "neither a number nor a name"),
        ("(" * 41 + "x" + ")" * 41, "more than 40 nested brackets"),
        ("log" + "(" * 41 + "x" + ")" * 41, "more than 40 nested brackets"),
        ("log(" + "+".join("x" * 300) + ")", "too long"),
        ("log(" + "+".join("x" * 4500) + ")", "too complicated"),
        ("log(" + "-" * 9000 + "x)", "too complicated"),
        ("I(`" + "`+`".join(f"{chr(0x4E00 + i)} " for i in range(150)) + "`)", "too many names in backticks"),
        ("+".join(["(1 | g)"] * 201), "more than 200 random terms"),
        ("(1 | " + "*".join("abcdefg") + ") + (x | " + "*".join("abcdefg") + ")", "more than 200 random terms"),
        ("+".join(MANY * 3), "longer than the 10,000"),
    ],
)
def test_refused(right, phrase):
    with pytest.raises(FormulaError, match=phrase):
        parse_formula(f"y ~ {right}")


@pytest.mark.parametrize(
    "right",
    [
        "+".join(MANY),
        "*".join("abcdefgh"),
        "(a + b + c + d + e)^5",
        "(" + "+".join(MANY[:30]) + ")^2",
        "/".join(MANY[:20]),
        "(1 | " + "/".join(MANY[:20]) + ")",
        "(1 | a*b*c*d*e)",
        "(" * 40 + "x" + ")" * 40,
        "-" * 2001 + "x",
        "+".join(["log(x)"] * 500),
        "+".join(["(1 | g)"] * 200),
    ],
)
def test_large_but_reasonable(right):
    parse_formula(f"y ~ {right}")


def test_the_column_of_a_refused_expansion():
    with pytest.raises(FormulaError) as caught:
        parse_formula("y ~ x + (1 | g) + (a+b)**1000")
    assert caught.value.column == 19


def test_a_refused_long_formula_is_not_printed_whole():
    with pytest.raises(FormulaError) as caught:
        parse_formula("y ~ " + "x" * 20_000)
    assert len(str(caught.value)) < 500


def test_reading_a_formula_again_takes_less_than_half_a_millisecond():
    text = "Reaction ~ Days + (Days | Subject)"
    parse_formula(text)
    assert timeit.timeit(lambda: parse_formula(text), number=1000) / 1000 < 0.5e-3
