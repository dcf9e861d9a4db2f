"""The algebra of grouping factors against formulaic's algebra of terms, which follows the same rules of R."""

import pytest
from formulaic.parser import DefaultFormulaParser
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixedfx.errors import FormulaError
from mixedfx.formula.grouping import MAX_GROUPINGS, expand_groupings
from mixedfx.formula.scan import scan


def groupings(text: str) -> list[tuple[str, ...]]:
    return list(expand_groupings(scan(text), text))


def formulaic_terms(text: str) -> list[frozenset[str]]:
    parser = DefaultFormulaParser(include_intercept=False)
    terms = [frozenset(str(factor) for factor in term.factors) for term in parser.get_terms(text)]
    return sorted(terms, key=len)


columns = st.sampled_from(["a", "b", "c", "d"])


def combined(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(children, st.sampled_from(["+", "*", "/", ":"]), children).map(lambda t: f"{t[0]} {t[1]} {t[2]}")
    bracketed = children.map(lambda text: f"({text})")
    powers = st.tuples(children, st.sampled_from(["^", "**"]), st.integers(1, 3)).map(lambda t: f"({t[0]}){t[1]}{t[2]}")
    return joined | bracketed | powers


@settings(deadline=None, derandomize=True)
@given(st.recursive(columns, combined, max_leaves=6))
def test_groupings_expand_as_terms_do(text):
    expected = formulaic_terms(text)
    assume(len(expected) <= MAX_GROUPINGS)
    assert [frozenset(grouping) for grouping in groupings(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b/c", ["a", "a:b", "a:b:c"]),
        ("(a + b)/c", ["a", "b", "a:b:c"]),
        ("a/(b*c)", ["a", "a:b", "a:c", "a:b:c"]),
        ("a*b*c", ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]),
        ("(a + b + c)^2", ["a", "b", "c", "a:b", "a:c", "b:c"]),
        ("(a + b)^9", ["a", "b", "a:b"]),
        ("b:a + a:b + a", ["a", "b:a"]),
        ("a:a", ["a"]),
        ("a + a", ["a"]),
        ("a + b:c/d", ["a", "b:c", "b:c:d"]),
    ],
)
def test_known_expansions(text, expected):
    assert [":".join(grouping) for grouping in groupings(text)] == expected


@pytest.mark.parametrize("text", ["/".join(f"g{i}" for i in range(201)), "*".join("abcdefgh"), "(a+b+c+d+e+f+g+h)^8"])
def test_an_expansion_without_end_is_refused(text):
    with pytest.raises(FormulaError, match="more than 200 grouping factors"):
        groupings(text)
