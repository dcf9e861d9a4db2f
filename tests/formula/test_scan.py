"""Tokens know where they stand."""

from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixedfx.errors import FormulaError
from mixedfx.formula.scan import Kind, scan

pieces = st.sampled_from(
    [
        *("x", "my.x", "`a | b`", "12", "1.5", "'a ~ b'", "log(x, '|')", "f(x)(y)", "{x | y}", "x[1]", "größe"),
        *("+", "-", "**", "^", ":", "*", "/", "%in%", "(", ")", "|", "||", "~", " ", "  ", "f(')')", "f(`)`)"),
    ]
)


@settings(deadline=None, derandomize=True)
@given(st.lists(pieces, max_size=12).map("".join))
def test_tokens_cover_the_text_but_for_white_space(text):
    try:
        tokens = scan(text)
    except FormulaError:
        assume(False)
        return
    rest = text
    for token in reversed(tokens):
        assert text[token.start : token.end] == token.text
        rest = rest[: token.start] + rest[token.end :]
    assert not rest.strip()
    assert all(a.end <= b.start for a, b in pairwise(tokens))


def test_bars_and_tildes_inside_python_strings_and_names_are_not_tokens():
    tokens = scan("log(a | b) ~ I(~x) + `p | q` + {r | s} + (1 || g)")
    assert [t.start for t in tokens if t.kind is Kind.TILDE] == [11]
    assert [(t.text, t.start) for t in tokens if t.kind is Kind.BAR] == [("||", 44)]
    assert [t.name for t in tokens if t.kind is Kind.QUOTED] == ["p | q"]
