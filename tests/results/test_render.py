"""Text and HTML of a summary come from one content, and text stays within its width."""

from __future__ import annotations

import math
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixedfx.results.numbers import column, decimals, p_values
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable

CONTENT = SummaryContent(
    "A title",
    (
        SummaryFacts((("Formula", "y ~ x"), ("Data", "3 rows"))),
        SummaryTable("Numbers", ("", "Estimate", "t"), (("x", "1.50", "3"), ("a < b", "-0.25", "-12")), "lrr"),
    ),
)


def test_text_is_aligned():
    assert CONTENT.text() == "\n".join(
        [
            "A title",
            "",
            "Formula: y ~ x",
            "Data:    3 rows",
            "",
            "Numbers",
            "        Estimate    t",
            " x          1.50    3",
            " a < b     -0.25  -12",
        ]
    )
    assert str(CONTENT) == repr(CONTENT) == CONTENT.text()


def test_html_holds_the_same_words_escaped():
    html = CONTENT._repr_html_()
    assert "a &lt; b" in html
    assert "a < b" not in html
    for word in re.findall(r"[A-Za-z0-9.-]+", CONTENT.text()):
        assert word in html


words = st.text(st.characters(categories=["Ll", "Lu", "Nd"], include_characters=":[]"), min_size=1, max_size=150)


@given(
    name=words,
    sentence=st.lists(words.filter(lambda w: len(w) < 60), min_size=1, max_size=30).map(" ".join),
    correlations=st.integers(1, 40),
)
def test_no_line_is_longer_than_a_hundred_columns_and_nothing_is_lost(name, sentence, correlations):
    cells = " ".join(["-0.25"] * correlations)
    content = SummaryContent(
        "t",
        (
            SummaryFacts((("Singularity", sentence),)),
            SummaryTable("T", ("", "Variance", "Correlations"), ((name, "123.456", cells),), "lrl"),
        ),
    )
    lines = content.text().split("\n")
    assert max(map(len, lines)) <= 100
    first_column = "".join(line[1:].split("  ")[0].strip() for line in lines if line.startswith(" "))
    assert content.text().count("-0.25") >= correlations
    # a folded name reads through when its pieces are joined
    assert set(name) <= set(first_column)


def test_a_long_name_is_folded_after_its_colons_and_numbers_stand_on_its_first_line():
    name = ":".join(f"variable_{i}[level {i}]".replace(" ", "_") for i in range(6))
    text = SummaryContent("t", (SummaryTable("T", ("", "Estimate"), ((name, "1.5"),), "lr"),)).text()
    lines = text.split("\n")[-2:]
    assert lines[0].endswith("  1.5")
    assert "".join(line.removesuffix("1.5").strip() for line in lines) == name
    assert lines[0].removesuffix("1.5").strip().endswith(":")


@given(st.lists(st.floats(-1e8, 1e8).filter(lambda v: v == 0 or abs(v) > 1e-12), min_size=1, max_size=6))
def test_a_column_of_numbers_shows_each_to_two_digits(values):
    places = decimals(values)
    for value, text in zip(values, column(values), strict=True):
        shown = float(text)
        # half a unit of the last decimal, or of the second digit in scientific notation
        assert math.isclose(shown, value, rel_tol=0.0501, abs_tol=0.5001 * 10.0**-places)
        if places >= 4 and value != 0:
            assert shown != 0


def test_decimal_points_stand_below_each_other():
    assert {len(text.split(".")[1]) for text in column([251.405, 10.467, -0.5])} == {4}


def test_what_is_unknown_is_blank_and_infinite_df_are_said():
    assert column([np.nan, np.inf], places=1) == ["", "inf"]
    assert p_values([np.nan, 0.5, 0.0004]) == ["", "0.500", "4.0e-04"]
