"""What a formula may expand to is bounded from above, and the bound is met to the factor where it can be.

Each operator multiplies or adds what its operands expand to. The bounds on the number of terms and of factors in one of
them are found without expanding; formulaic's own expansion of short formulas is what they are compared with.
"""

import pytest
from formulaic import Formula
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.errors import FormulaError
from mixedfx.formula import expansion
from mixedfx.formula.parse import parse_formula

NAMES = [f"x{i}" for i in range(100)]


def interaction(n, first=0):
    return ":".join(NAMES[first : first + n])


def accepted(right):
    try:
        parse_formula.__wrapped__(f"y ~ {right}")  # which remembers nothing, whatever the limits are
    except FormulaError as error:
        if "too large to expand" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize(
    "right",
    [
        "{n}",  # a product
        "{n1}:z",
        "{n1}*z",
        "{n1}/z",  # one term within another: all its factors and one
        "z/({n1})",
        "z %in% ({n1})",
        "{n1} %in% z",
    ],
)
def test_sixty_four_factors_in_one_interaction_and_no_more(right):
    for n, good in ((64, True), (65, False)):
        text = right.format(n=interaction(n), n1=interaction(n - 1))
        assert accepted(text) is good, text


def test_a_sum_within_another_factor_counts_all_its_factors():
    """(a + b + ...)/z has the term a:b:...:z."""
    for n, good in ((63, True), (64, False)):
        assert accepted(f"({'+'.join(NAMES[:n])})/z") is good
        assert accepted(f"z %in% ({'+'.join(NAMES[:n])})") is good


def test_nesting_upon_nesting_counts_all_its_factors():
    for n, good in ((64, True), (65, False)):
        assert accepted("/".join(NAMES[:n])) is good


def test_a_power_of_interactions_multiplies_their_factors():
    """Three interactions of m names cubed hold one of 3 m."""
    for m, good in ((21, True), (22, False)):
        sums = " + ".join(interaction(m, m * i) for i in range(3))
        assert accepted(f"({sums})^3") is good
        assert accepted(f"({sums})^2")


def test_five_thousand_terms_and_no_more():
    """The intercept counts twice: written out, and as the one that formulaic puts before every formula."""
    one, other = "+".join(NAMES[:49]), "+".join(f"z{i}" for i in range(102))
    assert accepted(f"({one}):({other})")  # 49 x 102 = 4,998
    assert not accepted(f"({one}):({other}) + w")
    few, many = "+".join(NAMES[:3]), "+".join(f"z{i}" for i in range(1248))
    assert accepted(f"({few})*({many}) + w + v + u")  # 3 x 1,248 + 3 + 1,248 + 3 = 4,998
    assert not accepted(f"({few})*({many}) + w + v + u + t")


@pytest.mark.parametrize("sign", ["^", "**"])
def test_the_work_for_a_power_is_bounded(sign, monkeypatch):
    """4^3 products of 3 factors are 192; 5^3 are more, and so are 4^4 of 4."""
    monkeypatch.setattr(expansion, "MAX_WORK", 4**3 * 3)
    assert accepted(f"(a + b + c + d){sign}3")
    assert not accepted(f"(a + b + c + d + e){sign}3")
    assert not accepted(f"(a + b + c + d){sign}4")
    monkeypatch.setattr(expansion, "MAX_WORK", 4**3 * 3 - 1)
    assert not accepted(f"(a + b + c + d){sign}3")
    monkeypatch.setattr(expansion, "MAX_WORK", 10**9)
    monkeypatch.setattr(expansion, "MAX_TERMS", 4 + 6 + 4 + 2)
    assert accepted(f"(a + b + c + d){sign}3")
    assert not accepted(f"(a + b + c + d){sign}4")


leaf = st.sampled_from(["a", "b", "c", "d", "e"])
expression = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", ":", "*", "/", " %in% "]), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(inner, st.integers(2, 3)).map(lambda t: f"({t[0]})**{t[1]}"),
    ),
    max_leaves=7,
)


@settings(max_examples=120)
@given(text=expression)
def test_nothing_larger_than_the_limits_is_ever_accepted(text):
    """With limits of one less than what the text expands to, some bound of its tree must be above them."""
    terms = list(Formula(f"1 + {text}"))
    degree = max(len(term.factors) for term in terms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expansion, "MAX_WORK", 10**9)
        if degree > 1:
            patch.setattr(expansion, "MAX_DEGREE", degree - 1)
            assert not accepted(text)
        patch.setattr(expansion, "MAX_DEGREE", 10**6)
        patch.setattr(expansion, "MAX_TERMS", len(terms) - 1)
        assert not accepted(text)
