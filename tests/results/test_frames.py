"""One printer for all tables: rounded columns, at most sixty rows, wide tables in parts, the same in text and HTML."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.results.frames import frame_table
from mixedfx.results.render import MOST_ROWS, WIDTH, SummaryContent


def page(frame, **options):
    return SummaryContent("Title", (frame_table(frame, "", **options),))


def test_sixty_rows_and_the_number_of_the_rest():
    frame = pd.DataFrame({"x": np.arange(70.0)})
    text = page(frame).text()
    assert text.splitlines()[-1] == " 10 more rows in .table"
    assert len(text.splitlines()) == 2 + 1 + MOST_ROWS + 1
    assert page(frame).html().count("<tr>") == 1 + MOST_ROWS + 1
    assert "more row" not in page(frame.head(60)).text()
    assert page(frame.head(61), whole=".tidy()").text().endswith(" 1 more row in .tidy()")


def test_columns_by_kind():
    frame = pd.DataFrame(
        {
            "term": ["a", "b"],
            "n": [12345, 7],
            "p_value": [0.00012, 0.5],
            "estimate": [251.40512, np.nan],
            "ok": [True, False],
        }
    )
    lines = page(frame.set_index("term")).text().splitlines()
    assert lines[2].split() == ["term", "n", "p_value", "estimate", "ok"]
    assert lines[3].split() == ["a", "12,345", "1.2e-04", "251.4", "True"]
    assert lines[4].split() == ["b", "7", "0.500", "False"]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 24))
def test_a_wide_table_is_shown_in_parts_with_every_column_once(columns, width):
    """Each part begins with the labels; no line is longer than the page."""
    frame = pd.DataFrame({f"c{j:02d}{'x' * width}": [1.5, -22.25] for j in range(columns)})
    frame.insert(0, "label", ["first", "second"])
    lines = page(frame).text().splitlines()
    assert max(map(len, lines)) <= WIDTH
    words = " ".join(lines).split()
    assert all(words.count(name) == 1 for name in frame.columns[1:])
    assert words.count("first") == words.count("label") == words.count("second")


def test_missing_values_are_blank_in_every_kind_of_column():
    frame = pd.DataFrame(
        {
            "group": ["a", None],
            "last": ["x", "y"],
            "n": pd.array([1200, None], dtype="Int64"),
            "ok": pd.array([True, None], dtype="boolean"),
        }
    )
    lines = page(frame).text().splitlines()
    assert lines[3].split() == ["a", "x", "1,200", "True"]
    assert lines[4].split() == ["y"]
