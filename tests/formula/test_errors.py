"""Formulas that cannot be read: each error points at the character where reading stopped making sense."""

import pytest

from mixedfx.errors import FormulaError, MixedfxError
from mixedfx.formula.parse import parse_formula

# The formula, a caret under the offending character, a phrase of the message, the mended formula if one is offered.
MENDED = [
    ("y ~ x + 1|g", "         ^", "needs brackets", "y ~ x + (1|g)"),
    ("y ~ 1|g", "     ^", "needs brackets", "y ~ (1|g)"),
    ("y ~ 1|g + x", "     ^", "needs brackets", "y ~ (1|g) + x"),
    ("y ~ x + z || g", "          ^", "needs brackets", "y ~ x + (z || g)"),
    ("y ~ (1|g)*z", "         ^", "can only be added", "y ~ (1|g) + z"),
    ("y ~ z*(1|g)", "     ^", "can only be added", "y ~ z + (1|g)"),
    ("y ~ z:(1|g)", "     ^", "can only be added", "y ~ z + (1|g)"),
    ("y ~ (1|g)/h", "         ^", "can only be added", "y ~ (1|g) + h"),
    ("y ~ (1|g):(1|h)", "         ^", "can only be added", "y ~ (1|g) + (1|h)"),
    ("y ~ x*((1|g))", "     ^", "can only be added", "y ~ x + ((1|g))"),
    ("y ~ (x + (1|g))*z", "               ^", "can only be added", "y ~ (x + (1|g)) + z"),
    ("y ~ (x|g)^2", "         ^", "can only be added", "y ~ (x|g)"),
    ("y ~ (x|g)**2 + z", "         ^", "can only be added", "y ~ (x|g) + z"),
    ("y ~ x - (1|g)", "      ^", "cannot be subtracted", "y ~ x"),
    ("y ~ -(1|g) + x", "    ^", "cannot be subtracted", "y ~ + x"),
    ("y ~ x - (z + (1|g))", "      ^", "cannot be subtracted", "y ~ x"),
    ("y ~ (0|g)", "     ^", "no effects", "y ~ (1|g)"),
    ("y ~ x + (0 + 0 | g)", "         ^", "no effects", "y ~ x + (1 | g)"),
    ("y ~ (-1 | g)", "     ^", "no effects", "y ~ (1 | g)"),
    ("y ~ (z - z - 1 | g)", "     ^", "no effects", "y ~ (1 | g)"),
    ("y ~ (x|g|h)", "        ^", "one bar", "y ~ (x|g + h)"),
    ("y ~ (x|g|h)", "        ^", "one bar", "y ~ (x|g/h)"),
    ("y ~ (|g)", "     ^", "nothing stands left of the bar", "y ~ (1 |g)"),
    ("y ~ x)", "     ^", "closes nothing", "y ~ x"),
    ("y ~ (1|g))", "         ^", "closes nothing", "y ~ (1|g)"),
    ("y ~ x z", "      ^", "operator is missing before `z`", "y ~ x + z"),
    ("y ~ (1|g) (1|h)", "          ^", "operator is missing before `(`", "y ~ (1|g) + (1|h)"),
    ("y ~ (1|g)z", "         ^", "operator is missing before `z`", "y ~ (1|g) + z"),
    ("y ~ offset(w) * x", "              ^", "offset can only be added", "y ~ offset(w) + x"),
    ("y ~ (x + offset(w)) * z", "                    ^", "offset can only be added", "y ~ (x + offset(w)) + z"),
    ("y ~ z:(x + offset(w))", "     ^", "offset can only be added", "y ~ z + (x + offset(w))"),
    ("y ~ z - (x + offset(w))", "      ^", "offset cannot be subtracted", "y ~ z"),
    ("y ~ x - offset(w)", "      ^", "offset cannot be subtracted", "y ~ x"),
    ("y ~ x + us(1 + z || g)", "                 ^", "one bar", "y ~ x + us(1 + z | g)"),
    ("y ~ x:diag(1 + z | g)", "     ^", "can only be added", "y ~ x + diag(1 + z | g)"),
    ("y ~ z - cs(z|g)", "      ^", "cannot be subtracted", "y ~ z"),
    ("y ~ ", "  ^", "nothing stands right", "y ~ 1"),
    ("~", "^", "nothing stands right", "~ 1"),
    ("x + z", "     ^", "no `~`", "y ~ x + z"),
    ("x + z", "     ^", "no `~`", "~ x + z"),
]

UNMENDED = [
    ("", "^", "is empty"),
    ("   ", "^", "is empty"),
    ("y ~ (x + z", "    ^", "`(` is never closed"),
    ("y ~ (1 | g", "    ^", "`(` is never closed"),
    ("y ~ x + ((1 | g)", "        ^", "`(` is never closed"),
    ("y ~ log(x", "       ^", "`(` is never closed"),
    ("y ~ log((x)", "       ^", "`(` is never closed"),
    ("y ~ log(x]", "       ^", "`(` is never closed"),
    ("y ~ {x", "    ^", "`{` is never closed"),
    ("y ~ `x", "    ^", "backtick is not closed"),
    ("y ~ C(x, 'a)", "         ^", "quotation mark is not closed"),
    ("y ~ ``", "    ^", "is empty"),
    ("y ~ x + `.`", "        ^", "a column called `.`"),
    ("y ~ `a\\b`", "      ^", "backslash"),
    ("y ~ x + ", "      ^", "`+` has nothing on its right"),
    ("y ~ x * * z", "        ^", "`*` has nothing on its left"),
    ("y ~ x * + z", "      ^", "`*` has nothing on its right"),
    ("y ~ :x", "    ^", "`:` has nothing on its left"),
    ("y ~ (x +) + z", "       ^", "`+` has nothing on its right"),
    ("y ~ ()", "    ^", "nothing between these brackets"),
    ("y ~ x + (1|)", "           ^", "grouping factor is missing"),
    ("y ~ x + (1 | )", "             ^", "grouping factor is missing"),
    ("y ~ (z + | g)", "       ^", "`+` has nothing on its right"),
    ("y ~ (1 | g +)", "           ^", "`+` has nothing on its right"),
    ("y ~ (1|||g)", "        ^", "`|` has nothing on its left"),
    ("y ~ (1| |g)", "        ^", "`|` has nothing on its left"),
    ("y ~ x ~ z", "      ^", "one `~`"),
    ("y ~ (x ~ z)", "       ^", "one `~`"),
    ("(y ~ x)", "   ^", "inside brackets"),
    ("y ~ (1|1)", "       ^", "a number is not a grouping factor"),
    ("y ~ (1|g:2)", "         ^", "a number is not a grouping factor"),
    ("y ~ (1|.)", "       ^", "`.` is not a grouping factor"),
    ("y ~ (1|'g')", "       ^", "text is not a term"),
    ("y ~ (1|log(g))", "       ^", "`log(g)` is not a grouping factor"),
    ("y ~ (1|factor(g, h))", "       ^", "is not a grouping factor"),
    ("y ~ (1|{g + h})", "        ^", "is not a grouping factor"),
    ("y ~ (1|interaction())", "       ^", "is not a grouping factor"),
    ("y ~ (1|interaction(g, log(h)))", "       ^", "is not a grouping factor"),
    ("y ~ (1|interaction(g, h=x))", "       ^", "is not a grouping factor"),
    ("y ~ (1|g - h)", "         ^", "`-` has no meaning between grouping factors"),
    ("y ~ (1|g %in% h)", "         ^", "`%in%` has no meaning between grouping factors"),
    ("y ~ (1|-g)", "       ^", "`-` is not a grouping factor"),
    ("y ~ (1|g^h)", "         ^", "whole number"),
    ("y ~ (1|g^0)", "         ^", "whole number"),
    ("y ~ x^2^3", "       ^", "power of a power"),
    ("y ~ (1|g^2**3)", "          ^", "power of a power"),
    ("y ~ x^2.5", "      ^", "whole number"),
    ("y ~ (a + b)^n", "            ^", "whole number"),
    ("y ~ ((1|g) + x | h)", "       ^", "inside a random term"),
    ("y ~ (1 | (1|g))", "           ^", "inside a random term"),
    ("y ~ (1 + offset(w) | g)", "         ^", "offset inside a random term"),
    ("y ~ (. | g)", "     ^", "only be used in the fixed part"),
    ("y ~ offset()", "          ^", "takes one argument"),
    ("y ~ offset(a, b)", "          ^", "takes one argument"),
    ("y ~ log(offset(w))", "        ^", "offset can only be added"),
    ("y ~ x + (z - 1)", "             ^", "intercept can only be removed"),
    ("y ~ x + (z - x + (1|g))", "           ^", "taken away inside brackets"),
    ("y ~ x + (0 + z + (1|g))", "         ^", "taken away inside brackets"),
    ("y ~ x + (z - 1 + offset(w))", "           ^", "taken away inside brackets"),
    ("y ~ x*(0 + z)", "       ^", "intercept can only be removed"),
    ("y ~ 2*x", "    ^", "Numeric literals"),
    ("y ~ x + 3 + z", "        ^", "Numeric literals"),
    ("y ~ x + (1 | g) + 3 + z", "                  ^", "Numeric literals"),
    ("y ~ (2*z | g)", "     ^", "Numeric literals"),
    ("y ~ 'x'", "    ^", "text is not a term"),
    ("y ~ x$z", "     ^", "`$` has no meaning"),
    ("y = x", "  ^", "`=` has no meaning"),
    ("y ~ x == 1", "      ^", "`=` has no meaning"),
    ("y ~ x > 1", "      ^", "`>` has no meaning"),
    ("y ~ [x]", "    ^", "`[` has no meaning"),
    ("y ~ x %% z", "      ^", "`%` has no meaning"),
    ("y ~ x # z", "      ^", "`#` has no meaning"),
    ("y ~ log(x # z)", "          ^", "`#` has no meaning"),
    ("y ~ `a\x00b`", "      ^", "has no meaning"),
    ("y ~ x \x00 z", "      ^", "has no meaning"),
    ("y ~ ..", "    ^", "`..` has no meaning"),
    ("y ~ 1x", "    ^", "neither a number nor a name"),
    ("y ~ I(x^2)", "      ^", "not a power inside a function"),
    ("y ~ I(0 < x < 1)", "      ^", "cannot be chained"),
    ("y ~ I(x y)", "      ^", "is not an expression"),
    ("y ~ I(x +)", "         ^", "is not an expression"),
    ("y ~ log()", "    ^", "needs an argument"),
    ("y ~ I(x`a b`)", "       ^", "operator is missing beside"),
    ("y ~ I(`a b` + `a b c`)", "              ^", "cannot be used in one expression"),
    ("y ~ C(x, Treatment('a)'))", "                   ^", "unbalanced brackets"),
    ("1 ~ x", "^", "`1` is not a response"),
    (". ~ x", "^", "`.` is not a response"),
    ("y^2 ~ x", "^", "not a power"),
    ("y:z ~ x", " ^", "is not an expression"),
    ("y z ~ x", "  ^", "operator is missing"),
    ("(1|g) ~ x", "  ^", "cannot stand left"),
    ("y | weights(w) ~ x", "    ^", "`weights` is not an addition"),
    ("y | sd(s) ~ x", "    ^", "`sd` is not an addition"),
    ("y | (se(s)) ~ x", "    ^", "`(` is not an addition"),
    ("y | + se(s) ~ x", "    ^", "`+` is not an addition"),
    ("y | s ~ x", "    ^", "`s` is not an addition"),
    ("y | se() ~ x", "      ^", "takes one argument"),
    ("y | se(s, t) ~ x", "      ^", "takes one argument"),
    ("y | se(s) + se(t) ~ x", "            ^", "given twice"),
    ("y | se(s) * trials(m) ~ x", "          ^", "joined by `+`"),
    ("y | se(s) + ~ x", "          ^", "nothing on its right"),
    ("y | ~ x", "  ^", "nothing on its right"),
    ("| se(s) ~ x", "^", "no response"),
    ("y | se(s) | trials(m) ~ x", "          ^", "one bar"),
    ("y || se(s) ~ x", "  ^", "one bar"),
]


@pytest.mark.parametrize(("text", "caret", "phrase", "mended"), MENDED)
def test_the_error_points_at_the_character_and_offers_a_formula_that_parses(text, caret, phrase, mended):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert phrase in caught.value.message
    assert caught.value.column == caret.index("^")
    assert mended in str(caught.value.hint)
    parse_formula(mended)


@pytest.mark.parametrize(("text", "caret", "phrase"), UNMENDED)
def test_the_error_points_at_the_character(text, caret, phrase):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert phrase in caught.value.message
    assert caught.value.column == caret.index("^")


def test_the_whole_message():
    with pytest.raises(MixedfxError) as caught:
        parse_formula("score ~ style + 1|professor")
    assert str(caught.value) == (
        "a random term needs brackets around it\n"
        "  score ~ style + 1|professor\n"
        "                   ^\n"
        "Write score ~ style + (1|professor)"
    )


def test_a_formula_over_several_lines_is_shown_on_one():
    with pytest.raises(FormulaError) as caught:
        parse_formula("y ~ x\n\t+ 1|g")
    assert str(caught.value).splitlines()[1:3] == ["  y ~ x  + 1|g", "            ^"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("y ~ as.factor(x)", "Write factor(x)."),
        ("y ~ round(x)", "Write np.round(x)."),
        ("y ~ np.mean(x)", "center(x)"),
        ("y ~ sum(x)", "Formulas may use log, log2, log10,"),
        ("y ~ I(x + 'a')", "compare: (x == 'a')"),
        ("y ~ np.sqr(x)", "Did you mean `np.sqrt`?"),
        ("y ~ log(Petal.Length)", "A column whose name contains dots needs backticks."),
        ("y ~ I(x > 1 and z > 1)", "& and |"),
        ("y ~ I(1 if x else 0)", "np.where"),
        ("y ~ x < 3", "I(x < 1)"),
        ("y | sse(s) ~ x", "Did you mean se(...)?"),
        ("y ~ I(x * 1000000000)", "1e9 * x"),
        ("y ~ I(x ** z)", "np.power(x, z)"),
    ],
)
def test_what_people_know_from_elsewhere_gets_its_translation(text, hint):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    assert hint in str(caught.value.hint)
