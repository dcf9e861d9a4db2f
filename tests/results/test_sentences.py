"""The grammar of answers: verb, size, signs and interval of a sentence say the same as its numbers."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.results.sentences import (
    Claim,
    average_sentence,
    best_sentence,
    difference_sentence,
    direction,
    effect_sentence,
    interval_text,
    listed,
    range_sentence,
    sized,
)

NAN = float("nan")
VALUES = st.floats(-1e6, 1e6, allow_nan=False)


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)]


@given(st.lists(VALUES, min_size=3, max_size=3), VALUES)
def test_the_verb_follows_the_interval_and_nothing_else(ends, null):
    lower, estimate, upper = sorted(ends)
    said = direction(estimate, lower, upper, null)
    assert (said == "raises") == (lower > null)
    assert (said == "lowers") == (upper < null)
    assert (said == "none") == (lower == upper == null)
    assert direction(estimate, NAN, NAN, null) == "point"
    assert direction(NAN, NAN, NAN, null) == "unknown"


@given(st.lists(st.floats(-999, 999, allow_nan=False), min_size=3, max_size=3))
def test_a_sentence_of_a_sure_effect_has_positive_amounts_in_order(ends):
    lower, estimate, upper = (round(v, 1) for v in sorted(ends))
    text = effect_sentence(Claim("z (1 against 0)", "y", estimate, lower, upper, places=1))
    size, level, low, high = (
        numbers(text.replace("z (1 against 0)", "z").replace("Z (1 against 0)", "z"))[:4]
        if (lower > 0 or upper < 0)
        else (0, 95, 0, 0)
    )
    if lower > 0 or upper < 0:
        assert ("raises" in text) == (lower > 0)
        assert ("lowers" in text) == (upper < 0)
        assert level == 95
        assert 0 < low <= size <= high
        assert sorted([abs(lower), abs(upper)]) == [low, high]
    else:
        assert "raises" not in text
        assert "lowers" not in text


def test_an_interval_that_holds_the_null_is_no_finding_of_nothing():
    text = effect_sentence(Claim("z", "y", 0.2, -1.0, 1.4))
    assert text == "Z may raise or lower y: the estimate is 0.20 (95 % interval -1.00 to 1.40)."
    for word in ("no effect", "does not", "not significant"):
        assert word not in text


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (
            Claim("one unit more of dose", "pain", -1.5, -2, -1, level=0.9, unit="points", places=1, about="In women"),
            "In women, one unit more of dose lowers pain by 1.5 points (90 % interval 1.0 to 2.0).",
        ),
        (
            Claim("small classes", "mathematics", 8, 4.1, 12, unit="points", places=1, plural=True),
            "Small classes raise mathematics by 8.0 points (95 % interval 4.1 to 12.0).",
        ),
        (
            Claim("coaching", "the odds of passing", 0.5, 0.3, 0.8, null=1.0, form="times"),
            "Coaching multiplies the odds of passing by 0.50 (95 % interval 0.30 to 0.80).",
        ),
        (
            Claim("drugs", "the odds", 1.1, 0.8, 1.5, null=1.0, form="times", plural=True),
            "Drugs may raise or lower the odds: the estimate is a factor of 1.10 (95 % interval 0.80 to 1.50).",
        ),
        (Claim("z", "y", 0, 0, 0), "Z does not change y in this model."),
        (Claim("arms", "y", 0, 0, 0, plural=True), "Arms do not change y in this model."),
        (Claim("z", "y", NAN, NAN, NAN), "The data do not determine what z does to y."),
        (Claim("z", "y", 3.0, NAN, NAN), "Z changes y by +3.00; there is no interval."),
        (
            Claim("lessons", "y", 2.0, NAN, NAN, form="times", plural=True),
            "Lessons multiply y by 2.00; there is no interval.",
        ),
    ],
)  # fmt: skip
def test_sentences(claim, text):
    assert effect_sentence(claim) == text


def test_averages_and_differences():
    assert average_sentence(Claim("", "y", 3, NAN, NAN)) == "The average of y is 3.00."
    assert average_sentence(Claim("", "y", NAN, NAN, NAN)) == "The data do not determine the average of y."
    lower = difference_sentence(Claim("a", "the effect of z on y", -2, -3, -1, places=0), "b")
    assert lower == "The effect of z on y is smaller for a than for b by 2 (95 % interval 1 to 3)."
    none = difference_sentence(Claim("a", "the effect", 1, -1, 3, places=0), "b")
    assert none == "Whether the effect differs between a and b is open: the difference is 1 (95 % interval -1 to 3)."


def test_a_range_counts_every_interval_once():
    text = range_sentence(list("abcd"), [3, -4, 0, NAN], [1, -5, -1, NAN], [5, -3, 1, NAN], places=0)
    assert text == (
        "In the 4 subgroups estimates run from -4 (b) to 3 (a); of the intervals 1 lies above 0, 1 lies below 0 and 1 "
        "holds 0."
    )
    every = range_sentence(list("abc"), [3, 4, 5], [1, 2, 3], [5, 6, 7], places=0)
    assert every.endswith("all 3 intervals lie above 0.")
    assert range_sentence(list("ab"), [0, 0], [-1, -1], [1, 1], places=0).endswith("both intervals hold 0.")
    assert range_sentence(["a"], [NAN], [NAN], [NAN]) == "The data determine none of the 1 estimates."
    assert range_sentence(list("ab"), [1, 2], [0, 1], [2, 3], null=None, places=0).endswith("(a) to 2 (b).")


def test_the_best_of_several_is_never_certain():
    text = best_sentence(["a", "b", "c"], [0.001, 0.998, 0.001], "arm", "the probability of y")
    assert text == (
        "Of the 3 values of arm, b leads to the highest probability of y with probability above 0.99 (next a, below "
        "0.01)."
    )


@given(VALUES, st.integers(0, 4))
def test_a_number_is_rounded_and_never_a_negative_zero(value, places):
    text = sized(value, places)
    assert float(text.replace(",", "")) == pytest.approx(value, abs=0.51 * 10.0**-places)
    assert not re.fullmatch(r"-0(\.0+)?", text)


def test_words_for_what_is_no_number_and_lists():
    assert sized(math.inf, 2) == "infinity"
    assert sized(-math.inf, 2) == "minus infinity"
    assert sized(NAN, 2) == "unknown"
    assert interval_text(Claim("z", "y", 1, 0, 2, level=0.5, places=0)) == "50 % interval 0 to 2"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
