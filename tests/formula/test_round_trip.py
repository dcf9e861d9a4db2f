"""Formulas made from the grammar: printing and reading again gives the same model, and no column is lost."""

import string
from dataclasses import dataclass, field

import pytest
from formulaic.parser import DefaultFormulaParser
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.formula.names import quote
from mixedfx.formula.parse import parse_formula
from mixedfx.formula.scan import scan
from mixedfx.formula.variables import variables

plain_names = st.sampled_from(["x", "z", "w2", "Days", "größe", "log", "np", "I", "offset", "class", "x_1"])
odd_names = st.sampled_from(["my x", "2nd", "a.b", "it's", "x:z", "a|b", "a~b", "(", "%", "f(x)", "1 + x"])
columns = (
    plain_names
    | odd_names
    | st.text(string.ascii_letters + string.digits + "_ .-+|~()", min_size=1).filter(
        lambda name: name.strip() and name not in (".", "~")
    )
)
# Names that formulaic reads correctly inside Python.
code_columns = st.sampled_from(["x", "z", "Days", "größe", "my y", "2nd", "a.b", "x:z"])


@dataclass(frozen=True)
class Written:
    """Text of a piece of formula, and the columns it uses."""

    text: str
    columns: frozenset[str] = field(default_factory=frozenset)

    def wrapped(self, pattern: str) -> "Written":
        return Written(pattern.format(self.text), self.columns)


def join(pieces: list[Written], separator: str) -> Written:
    return Written(separator.join(p.text for p in pieces), frozenset().union(*(p.columns for p in pieces)))


names = columns.map(lambda name: Written(quote(name), frozenset({name})))
code_names = code_columns.map(lambda name: Written(quote(name), frozenset({name})))


def arithmetic(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    operators = st.sampled_from([" + ", "-", " * ", "/", " // ", "%", " & ", "|"])
    return (
        st.tuples(inner, operators, inner).map(lambda t: join([t[0], t[2]], t[1]).wrapped("({})"))
        | inner.map(lambda w: w.wrapped("({})"))
        | inner.map(lambda w: w.wrapped("-{}"))
        | inner.map(lambda w: w.wrapped("np.log( {} )"))
        | st.tuples(inner, st.sampled_from(["({} > 2.5)", "2*{}", "(log({})**2)", "({} == 'a')"])).map(
            lambda t: t[0].wrapped(t[1])
        )
    )


python = st.recursive(code_names, arithmetic, max_leaves=4)
calls = st.sampled_from(
    ["I({})", "I({} + 0)", "log({})", "np.sqrt({})", "poly({}, 2, raw = True)", "bs({},df=4)", "scale({}, ddof=0)"]
)
factors = st.sampled_from(
    ["C({})", "C({}, contr.sum)", 'C({}, Treatment("a b"))', "factor({})", "C({}, levels=['a', 'b'])"]
)
functions = st.tuples(python, calls).map(lambda t: t[0].wrapped(t[1])) | st.tuples(code_names, factors).map(
    lambda t: t[0].wrapped(t[1])
)
quoted = code_columns.map(lambda name: Written(f"Q('{name}')", frozenset({name})))
braces = python.map(lambda w: w.wrapped("{{{} + 0}}"))
atoms = names | functions | quoted | braces


def terms(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    operators = st.sampled_from([":", "*", " / ", " %in% ", " : "])
    sums = st.lists(inner, min_size=2, max_size=3).map(lambda pieces: join(pieces, " + ").wrapped("({})"))
    return (
        st.tuples(inner, operators, inner).map(lambda t: join([t[0], t[2]], t[1]))
        | sums
        | st.tuples(sums, st.sampled_from(["^2", "**2", "^ 3"])).map(lambda t: t[0].wrapped("{}" + t[1]))
    )


term = st.recursive(atoms, terms, max_leaves=4)
intercepts = st.sampled_from([Written("1"), Written("0")])


@st.composite
def sums(draw, summands=term, marks=intercepts):
    """A sum of terms; the intercept may be given or taken anywhere in it."""
    pieces = [(draw(st.sampled_from(["+", "-"])), draw(summands | marks)) for _ in range(draw(st.integers(1, 4)))]
    first = pieces[0][1].text if pieces[0][0] == "+" else f"-{pieces[0][1].text}"
    text = first + "".join(f" {sign}{p.text}" for sign, p in pieces[1:])
    return Written(text, frozenset().union(*(p.columns for _, p in pieces)))


def nested(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    operators = st.sampled_from(["/", ":", "*", " + "])
    return st.tuples(inner, operators, inner).map(lambda t: join([t[0], t[2]], t[1])) | inner.map(
        lambda w: w.wrapped("({})")
    )


groups = st.recursive(names | code_names.map(lambda w: w.wrapped("factor({})")) | quoted, nested, max_leaves=3)


@st.composite
def random_terms(draw):
    # Something is always added, so that the left side has effects.
    left = join([draw(sums()), draw(names)], " + ")
    bar = draw(st.sampled_from([" | ", "|", "||", " || "]))
    return join([left, draw(groups)], bar).wrapped("({})")


offsets = python.map(lambda w: w.wrapped("offset({})"))
quotients = st.tuples(code_names, st.sampled_from(["/", " - ", " * "]), code_names).map(
    lambda t: join([t[0], t[2]], t[1])
)
responses = names | functions | braces | quotients
additions = st.tuples(python, st.sampled_from(["se({})", "trials({})"])).map(lambda t: t[0].wrapped(t[1]))


@st.composite
def formulas(draw):
    """A formula, and the same pieces apart: fixed summands, and the columns used."""
    response = draw(st.just(Written("")) | responses | st.tuples(responses, additions).map(lambda t: join([*t], " | ")))
    fixed = draw(sums())
    specials = draw(st.lists(random_terms() | offsets, max_size=3))
    right = join([fixed, *specials] if draw(st.booleans()) else [*specials, fixed], " + ")
    return join([response, right], draw(st.sampled_from([" ~ ", "~"]))), fixed


@settings(deadline=None, derandomize=True)
@given(formulas())
def test_printing_and_reading_again_gives_an_equal_model(case):
    formula = parse_formula(case[0].text)
    again = parse_formula(str(formula))
    assert again.equivalent(formula)
    assert (again.response, again.fixed, again.offsets) == (formula.response, formula.fixed, formula.offsets)
    assert [(a.name, a.argument) for a in again.additions] == [(a.name, a.argument) for a in formula.additions]
    assert [(r.left, r.group, r.correlated) for r in again.random] == [
        (r.left, r.group, r.correlated) for r in formula.random
    ]
    assert str(again) == str(formula)


@settings(deadline=None, derandomize=True)
@given(formulas())
def test_every_column_is_found_and_nothing_else(case):
    assert set(variables(parse_formula(case[0].text))) == case[0].columns


@settings(deadline=None, derandomize=True)
@given(formulas())
def test_the_fixed_part_has_the_terms_that_formulaic_reads_in_it(case):
    parser = DefaultFormulaParser()
    written, fixed = case
    expected = {
        frozenset(f.expr for f in t.factors) for t in parser.get_terms(fixed.text.replace("{", "I(").replace("}", ")"))
    }
    found = {frozenset(f.expr for f in t.factors) for t in parser.get_terms(parse_formula(written.text).fixed)}
    assert found == expected


@settings(deadline=None, derandomize=True)
@given(formulas(), st.sampled_from(["", " ", "\n", "\t ", " \r\n "]))
def test_white_space_between_tokens_changes_nothing(case, space):
    text = case[0].text
    spaced = space.join(token.text for token in scan(text))
    assert parse_formula(spaced).equivalent(parse_formula(text))


@pytest.mark.parametrize("name", ["my x", "2nd", "a.b", "it's", "~", "__x__", "class", "é", "·", "ﬁ", "x y|z", " x "])
def test_a_name_in_backticks_is_read_as_that_name(name):
    assert variables(parse_formula(f"`{name}` ~ `{name}` + (1 | `{name}`)")) == (name,)
    assert variables(parse_formula(f"{quote(name)} ~ {quote(name)} + (1 | {quote(name)})")) == (name,)
