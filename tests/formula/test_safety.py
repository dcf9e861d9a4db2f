"""Formula text is untrusted: what is refused, where the error points, and what is accepted."""

import pytest

from mixedfx.errors import UnsafeFormulaError
from mixedfx.formula.parse import parse_formula
from mixedfx.formula.safety import check_expression
from mixedfx.formula.variables import free_names, variables

# Python that must be refused, with a caret under the offending expression.
UNSAFE = [
    ("__import__('os').system('true')", "^"),
    ("log(__import__('os').system('true'))", "    ^"),
    ("I(__builtins__)", "  ^"),
    ("I(__import__)", "  ^"),
    ("eval('1')", "^"),
    ("exec('1')", "^"),
    ("open('x')", "^"),
    ("log(open('x'))", "    ^"),
    ("getattr(x, 'y')", "^"),
    ("print(x)", "^"),
    ("type(x)", "^"),
    ("np.load('x')", "^"),
    ("np.fromfile('x')", "^"),
    ("np.memmap('x')", "^"),
    ("np.vectorize(x)", "^"),
    ("np.frompyfunc(x, 1, 1)", "^"),
    ("np.lib.npyio.load('x')", "^"),
    ("np.mean(x)", "^"),
    ("np.log.__globals__", "^"),
    ("np.log.__globals__['a']", "^"),
    ("np.log.reduce(x)", "^"),
    ("np.__builtins__", "^"),
    ("I(np.log)", "  ^"),
    ("I(np)(x)", "^"),
    ("contr.__class__", "^"),
    ("C(x, contr.__class__)", "     ^"),
    ("C(x, contr.mro())", "     ^"),
    ("C(x, {**z})", "        ^"),
    ("C(x, {z: [1]})", "      ^"),
    ("C(x, contr.sum.apply)", "     ^"),
    ("C(x, contr.sum().apply(x))", "     ^"),
    ("I(contr.sum)", "  ^"),
    ("log(Treatment('a'))", "    ^"),
    ("x.mean()", "^"),
    ("I(x.values)", "  ^"),
    ("{x.values}", " ^"),
    ("{open('x')}", " ^"),
    ("I((x).__class__)", "  ^"),
    ("I(''.join)", "  ^"),
    ("I((1).real)", "  ^"),
    ("x[0]", "^"),
    ("I(x[0])", "  ^"),
    ("I([x][0])", "  ^"),
    ("I((lambda: 1)())", "   ^"),
    ("I(lambda: 1)", "  ^"),
    ("I([z for z in x])", "  ^"),
    ("I({z for z in x})", "  ^"),
    ("I({z: 1 for z in x})", "  ^"),
    ("log(z for z in x)", "   ^"),
    ("I((x := 3))", "   ^"),
    ("I(f'{x}')", "  ^"),
    ("I(f'{open(1)}')", "  ^"),
    ("C(x, f'a')", "     ^"),
    ("I(b'a')", "  ^"),
    ("I(...)", "  ^"),
    ("I(1j)", "  ^"),
    ("I((1, 2))", "  ^"),
    ("I([1, 2])", "  ^"),
    ("I({1, 2})", "  ^"),
    ("I({'a': 1})", "  ^"),
    ("I((yield))", "   ^"),
    ("I(x and z)", "  ^"),
    ("I(not x)", "  ^"),
    ("I(x if z else w)", "  ^"),
    ("I(x in z)", "  ^"),
    ("I(x is None)", "  ^"),
    ("I(None)", "  ^"),
    ("I(x @ z)", "  ^"),
    ("I(1 << 9)", "  ^"),
    ("log(*x)", "    ^"),
    ("log(**x)", "    ^"),
    ("f(*x)", "  ^"),
    ("f(x, *z)", "     ^"),
    ("poly(x, *z)", "        ^"),
    ("C(x, contr.treatment(*z))", "                     ^"),
    ("f(**x)", "  ^"),
    ("f(x, _state=z)", "     ^"),
    ("f(x)(z)", "^"),
    ("f.g(x)", "^"),
    ("log(x, z)", "       ^"),
    ("log(x, out=z)", "       ^"),
    ("np.log(x, z)", "          ^"),
    ("np.log(x, out=z)", "          ^"),
    ("np.log(x, dtype=object)", "          ^"),
    ("np.log(x, where=z)", "          ^"),
    ("np.power(x, z, x)", "               ^"),
    ("np.clip(x, 0, 1, x)", "                 ^"),
    ("poly(x, 2, _state=z)", "           ^"),
    ("poly(x, 2, degree=3)", "           ^"),
    ("scale(x, _spec=z)", "         ^"),
    ("poly(x, 1000000)", "        ^"),
    ("poly(x, degree=10**9)", "               ^"),
    ("bs(x, df=1000000)", "         ^"),
    ("cr(x, True)", "      ^"),
    ("Q(x)", "  ^"),
    ("Q('a' + 'b')", "  ^"),
    ("Q('a\"b')", "  ^"),
    ('Q("a\'b")', "  ^"),
    ("Q(\"'')+f()#\")", "  ^"),
    ("Q('a`b')", "  ^"),
    ("Q('a\\'b')", "    ^"),
    ("C(x, Treatment('a\\nb'))", "                 ^"),
    ("log(x \\ z)", "      ^"),
    ("I('a' * 10)", "  ^"),
    ("I(x + 'a')", "      ^"),
    ("I('%d' % x)", "  ^"),
    ("I(-'a')", "   ^"),
    ("log('a')", "    ^"),
    ("I(9**9**9)", "     ^"),
    ("I(2**1000)", "     ^"),
    ("I(2**-1000)", "     ^"),
    ("I(x**z)", "     ^"),
    ("I(x**(1 + 1))", "      ^"),
    ("I((9**99)**99)", "  ^"),
    ("I((1 + 9**99)**99)", "  ^"),
    ("I((-9**99)**99)", "  ^"),
    ("I(I(9**99)**99)", "  ^"),
    ("I(f(9**99)**99)", "  ^"),
    ("I(x * 1000000000)", "  ^"),
    ("I(1000000000 * x)", "  ^"),
    ("I(x * 10**9)", "  ^"),
    ("I(x * (999999 + 2))", "  ^"),
    ("I(x * 1001 * 1001)", "  ^"),
    ("I(x * -1000001)", "  ^"),
    ("log(`lambda`)", "    ^"),
    ("log(`it's`)", "    ^"),
    ('log(`5"`)', "    ^"),
    ("log(`__x__`)", "    ^"),
    ("log(__x__)", "    ^"),
    ("__x__", "^"),
    ("a.__class__", "^"),
    ("np.pi", "^"),
    ("log(ｘ)", "    ^"),
    ("ｅｖａｌ('1')", "^"),
    ("log(_formulaic_x)", "    ^"),
    ("as.factor(x)", "^"),
    ("x.y(z)", "^"),
    ("offset(__import__('os'))(x)", "^"),
    ("se(__import__('os'))(x)", "^"),
    ("factor(__import__('os'))(x)", "^"),
    ("offset(x)[0]", "^"),
]

# The places of a formula in which Python can stand; each leaves the column of {} to be added.
PLACES = ["y ~ {}", "y ~ x + {} + (1 | g)", "{} ~ x", "y ~ a:({})", "y ~ ({} | g)", "y ~ (1 + {} || g) + x"]
ARGUMENTS = ["y ~ offset({})", "y | se({}) ~ x", "y ~ (1 | factor({}))"]


@pytest.mark.parametrize(("code", "caret"), UNSAFE)
@pytest.mark.parametrize("place", PLACES)
def test_refused_wherever_a_term_can_stand(place, code, caret):
    with pytest.raises(UnsafeFormulaError) as caught:
        parse_formula(place.format(code))
    assert caught.value.column == place.index("{") + caret.index("^")


@pytest.mark.parametrize(("code", "caret"), [c for c in UNSAFE if not c[0].startswith(("{", "np.pi", "a._", "as."))])
@pytest.mark.parametrize("place", ARGUMENTS)
def test_refused_as_an_argument_of_the_notation_itself(place, code, caret):
    with pytest.raises(UnsafeFormulaError) as caught:
        parse_formula(place.format(code))
    # Inside brackets a dotted or indexed name is Python, which is refused as a whole.
    assert caught.value.column >= place.index("{")


@pytest.mark.parametrize(
    "code",
    [
        "log(x)",
        "np.log1p(x)",
        "I(x ** 2)",
        "I(x ** -0.5)",
        "I(log(x ** 2) ** 2)",
        "I((x + 1) / 2 // 3 % 4 - -x)",
        "I(x * 1e12)",
        "I(x * 1000 * 1000)",
        "I(x * (1000 - 1))",
        "bs(x, df=None, degree=2)",
        "I(~(x > 1) & (z == 'a') | (w != 'b'))",
        "np.where(x == 'a', 1, 0)",
        "np.clip(x, 0, a_max=1)",
        "np.round(x, decimals=2)",
        "I(np.pi * x)",
        "poly(x, 3, raw=True)",
        "bs(x, df=6, degree=3, include_intercept=False)",
        "bs(x, knots=[0.2, 0.4], lower_bound=0, upper_bound=1)",
        "cr(x, df=4, constraints='center')",
        "scale(x, center=False, ddof=0)",
        "center(log(x))",
        "C(x)",
        "C(x, contr.treatment('b'))",
        "C(x, contr.treatment(base='b'))",
        "C(x, contr.helmert(reverse=False))",
        "C(x, contr.poly([1, 2, 4]))",
        "C(x, contr.custom({'a': [1, -1]}))",
        "C(x, {'a': [1, -1, 0]})",
        "C(x, Treatment(reference='b'))",
        "C(x, Sum, levels=['a', 'b'])",
        "C(x, spans_intercept=False)",
        "C(x, Treatment('Group (A), [b]'))",
        "factor(x)",
        "Q('my x')",
        "log(`my x`)",
        "log(`größe in m`)",
        "{x + 1}",
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_documented_notation_is_accepted(place, code):
    formula = parse_formula(place.format(code))
    assert {"x", "my x", "größe in m"} & set(variables(formula))


def test_the_context_of_the_caller_may_be_called_and_used_but_not_taken_apart():
    env = {"half", "limit"}
    for text in ("y ~ half(x)", "y ~ half(x, 'a', [1, 2], k={'a': 1})", "y ~ I(x > limit)", "y ~ poly(x, limit)"):
        variables(parse_formula(text), env)
    for text, column in (
        ("y ~ half.__globals__", 4),
        ("y ~ I(limit.real)", 6),
        ("y ~ I(limit[0])", 6),
        ("y ~ half(x, _state=1)", 12),
        ("y ~ half(*x)", 9),
        ("y ~ half(x)(x)", 4),
        ("y ~ half.half(x)", 4),
        ("y ~ half(x).__class__", 11),
    ):
        with pytest.raises(UnsafeFormulaError) as caught:
            variables(parse_formula(text), env)
        assert caught.value.column == column
    # Outside of Python, a name with a dot is the name of a column.
    assert variables(parse_formula("y ~ limit.real"), env) == ("y", "limit.real")


def test_a_function_of_the_caller_takes_the_place_of_a_documented_one():
    formula = "y ~ log(x, 3)"
    with pytest.raises(UnsafeFormulaError):
        check_expression("log(x, 3)", formula=formula)
    assert check_expression("log(x, 3)", formula=formula, env=["log"]) == {"x"}


def test_python_functions_are_not_within_reach_even_as_values():
    # As values they are taken for columns, which the data then do not have.
    assert free_names(parse_formula("y ~ f(eval) + I(open)"), {"f"}) == ("y", "eval", "open")


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("x", {"x"}),
        ("x + log(z) * `my w`", {"x", "z", "my w"}),
        ("2 * x", {"x"}),
        ("1", set()),
        ("a.b", {"a.b"}),
        ("half(x) + limit", {"x", "limit"}),
    ],
)
def test_check_expression_gives_the_free_names(expression, names):
    assert check_expression(expression, formula=f"y ~ {expression}", env=["half", "limit"]) == names


@pytest.mark.parametrize(
    ("expression", "formula", "column"),
    [
        ("hlaf(x)", "y ~ x + hlaf(x)", 8),
        ("1 + log(x) + hlaf(x)", "y ~ log(x)+hlaf( x )", 11),
        ("x.y(z)", "y ~\tw + x.y(z)", 8),
        ("f(x)", "y ~ off + f(x)", 10),
        ("f(x)", "y ~ f + f(x)", 8),
        ("f(x)", "something else", 0),
    ],
)
def test_check_expression_points_into_the_formula(expression, formula, column):
    with pytest.raises(UnsafeFormulaError) as caught:
        check_expression(expression, formula=formula)
    assert caught.value.column == column
    assert caught.value.formula == formula
