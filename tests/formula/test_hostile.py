"""Hostile and random text: nothing is ever run, and every refusal is an error of ours."""

import builtins
import contextlib

import numpy as np
import pandas as pd
import pytest
from formulaic import Formula, model_matrix
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mixedfx.errors import FormulaError, MixedfxError
from mixedfx.formula.functions import formula_functions
from mixedfx.formula.parse import parse_formula
from mixedfx.formula.variables import variables

repeatable = settings(deadline=None, derandomize=True)

# The places of a formula in which Python can stand.
PLACES = [
    *("{}", "y ~ {}", "{} ~ x", "y ~ x + {} + (1 | g)", "y ~ a:({})", "y ~ ({} | g)", "y ~ (1 + {} || g) + x"),
    *("y ~ offset({})", "y | se({}) ~ x", "y ~ (1 | factor({}))"),
]

# Pieces from which hostile formulas are put together; `trap` is a Python function that must never be called.
FRAGMENTS = [
    *("trap()", "trap", "trap(x)", "(trap)(x)", "trap.__call__()", "[trap]", "{trap()}", "`trap`()", "f'{trap()}'"),
    *("Q('x')", "Q('", "')", 'Q("', '")', "''", '""', "'", '"', "`", "\\", "#", "\\\\", "+trap()+", "')+trap()+('"),
    *("'')+trap()#", "__FORMULAIC_STATE__", "__FORMULAIC_CONTEXT__", "_context", "_state=", "_formulaic_x"),
    *("x", "z", "y", "1", "0", "a b", "log(", "scale(", "poly(x, 2)", "C(x, ", "I(", "np.", "np.log(", "contr.", "("),
    *(
        ")",
        "[",
        "]",
        "{",
        "}",
        "|",
        "||",
        "~",
        "+",
        "-",
        "*",
        "/",
        ":",
        "^",
        "**",
        "%in%",
        ",",
        "=",
        " ",
        ".",
        "lambda: ",
    ),
    *(
        " if ",
        " else ",
        " for x in ",
        "await ",
        ":=",
        "offset(",
        "se(",
        "g",
        "or trap()",
        "and trap()",
        "`x y`",
        "ｔｒａｐ()",
    ),
]


leaves = st.sampled_from(["x", "z", "1", "2.5", "'a'", "True", "None", "trap()", "trap", "trap(x)", "`x y`", "np.pi"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    calls = [
        "I",
        "log",
        "np.log",
        "np.where",
        "Q",
        "C",
        "factor",
        "poly",
        "scale",
        "bs",
        "Treatment",
        "contr.sum",
        "trap",
    ]
    called = st.tuples(st.sampled_from(calls), st.lists(inner, max_size=3).map(", ".join)).map("{0[0]}({0[1]})".format)
    joined = st.tuples(inner, st.sampled_from([*"+-*/%&|@", "**", "==", "<", "and", "if x else"]), inner).map(" ".join)
    wrapped = st.tuples(st.sampled_from(["({})", "[{}]", "{{{}}}", "-{}", "{}.real", "{}[0]", "{}()", "k={}"]), inner)
    return called | joined | wrapped.map(lambda pair: pair[0].format(pair[1]))


hostile = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.recursive(leaves, grown, max_leaves=6)


# Pieces of notation, each right by itself.
NOTATION = [
    *(
        "x",
        "z",
        "0",
        "1",
        "-1",
        "2",
        "(1 | g)",
        "(0 | g)",
        "offset(w)",
        "log(x)",
        "I(x + z)",
        "{x}",
        "`a b`",
        "factor(g)",
    ),
    *("+", "+", "+", "-", "*", "/", ":", "^2", "**", "%in%", "|", "||", "~", ".", "(", "(", ")", ")", "factor(g)"),
]


class Trap:
    """A stand-in for a dangerous Python function: counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return 1.0


@pytest.fixture
def trap(monkeypatch):
    it = Trap()
    monkeypatch.setattr(builtins, "trap", it, raising=False)
    return it


def evaluate(text: str) -> None:
    """Do with a formula what a fit would do, short of fitting."""
    formula = parse_formula(text)
    columns = variables(formula)
    data = pd.DataFrame({name: np.array([1.0, 2.0, 3.0, 5.0]) for name in columns})
    for side in (formula.response, formula.fixed, *formula.offsets, *(part.left for part in formula.random)):
        if side is not None and "." not in side:
            # What does not evaluate does no harm either.
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                model_matrix(side, data, context=formula_functions())


def test_the_trap_works(trap):
    """The trap is sprung by formulaic alone, so that its silence below means something."""
    for text in ("trap()", "log(x) + {trap()}", "log(trap()) ~ x"):
        before = trap.calls
        model_matrix(text, pd.DataFrame({"x": [1.0, 2.0]}))
        assert trap.calls > before
    # Reading alone runs what stands left of the tilde.
    before = trap.calls
    Formula("trap()() ~ x")
    assert trap.calls > before


@settings(repeatable, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile, st.sampled_from(PLACES))
@example("trap()", "y ~ {}")
@example("Q(\"'')+trap()#\")", "y ~ {}")
@example("scale(Q(\"'')+trap()#\"))", "{} ~ x")
@example("C(x, Treatment(\"'')+trap()#\"))", "y ~ scale({})")
@example("log(`a'` + `b'+trap()+'`)", "y ~ {}")
@example("`x`(trap())", "y ~ {}")
@example("I(x)(trap())", "y ~ {}")
@example("{x}(trap())", "y ~ {}")
@example("I({'a': trap()})", "y ~ {}")
@example("C(x, {'a': trap()})", "y ~ {}")
@example("C(x, levels=[trap()])", "y ~ {}")
def test_nothing_hostile_is_ever_run(trap, code, place):
    with contextlib.suppress(MixedfxError):
        evaluate(place.replace("{}", code))
    assert trap.calls == 0


@settings(repeatable, max_examples=300)
@given(
    st.text(max_size=40)
    | st.text(alphabet="xyg01~|+-*/:^()[]{}`'\"., =\\#", max_size=25)
    | st.lists(st.sampled_from(NOTATION), max_size=14).map(lambda tokens: "y ~ " + " ".join(tokens))
)
@example("\ud800 ~ x")
@example("y ~ `\ud800`")
@example("y ~ log(`\ud800`)")
@example("y ~ I('\ud800')")
@example("y ~ x\x00")
@example("y ~ x^1^1")
@example("y ~ (x + offset(w))*z")
def test_any_text_is_read_or_refused_with_an_error_of_ours(text):
    refusal = None
    try:
        variables(parse_formula(text))
    except FormulaError as error:
        refusal = error
    if refusal is not None:
        assert 0 <= refusal.column <= len(refusal.formula)
