"""Text files: what is missing, what is a number and what is text follows one rule, which is printed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.cli.app import run
from mixedfx.cli.files import read_na
from mixedfx.errors import DataError, OptionError
from mixedfx.files.read import Options, recognise
from mixedfx.files.text import MISSING_WORDS

WORDS = st.sampled_from(sorted(MISSING_WORDS))
LABELS = st.one_of(WORDS, st.sampled_from(["Drug", "Namibia", "none", "1", "0.5", "a b", 'in "quotes"', "x,y;z"]))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32).map(float)


def read(path, na=()):
    """The table, and what was said of it."""
    found = recognise(path, Options(na))
    return found.frame, found.notes


@settings(max_examples=60)
@given(labels=st.lists(LABELS, min_size=2, max_size=12), separator=st.sampled_from([",", ";", "\t"]))
def test_every_label_of_a_column_of_text_survives_the_file(labels, separator, tmp_path_factory):
    """Whatever the words are: the column has one that is neither a number nor a word for a missing value."""
    labels = [*labels, "Drug"]
    path = tmp_path_factory.mktemp("text") / "trial.csv"
    pd.DataFrame({"arm": labels, "row": np.arange(len(labels))}).to_csv(path, index=False, sep=separator)
    frame, said = read(path)
    assert frame["arm"].tolist() == labels
    assert frame["row"].tolist() == list(range(len(labels)))
    for word in MISSING_WORDS & set(labels):
        kept = next(text for text in said if "kept as text, not missing" in text)
        count = labels.count(word)
        assert f"{word!r} in arm ({count} row{'' if count == 1 else 's'})" in kept
    assert any("separated by" in text for text in said) == (separator != ",")


@settings(max_examples=60)
@given(
    cells=st.lists(st.one_of(NUMBERS, WORDS, st.just("")), min_size=1, max_size=12), first=NUMBERS,
    decimal=st.sampled_from([".", ","]),
)  # fmt: skip
def test_numbers_stay_numbers_whatever_stands_for_a_missing_one(cells, first, decimal, tmp_path_factory):
    cells = [0.25, first, *cells]  # 0,25 cannot be a thousand and more
    path = tmp_path_factory.mktemp("numbers") / "dose.csv"
    text = [cell if isinstance(cell, str) else repr(cell).replace(".", decimal) for cell in cells]
    separator = "," if decimal == "." else ";"
    path.write_text("\n".join([f"dose{separator}row", *(f"{c}{separator}{i}" for i, c in enumerate(text))]) + "\n")
    frame, said = read(path)
    expected = [np.nan if isinstance(cell, str) else cell for cell in cells]
    # pandas' own parser of plain columns may be off by one unit in the last place
    np.testing.assert_allclose(frame["dose"].to_numpy(dtype=float), expected, rtol=1e-15)
    assert frame["dose"].dtype == np.float64
    assert any("decimal commas in dose" in note for note in said) == (decimal == ",")
    for word in MISSING_WORDS & set(text):
        assert f"{word!r} in dose ({text.count(word)} row" in next(n for n in said if "missing among numbers" in n)


def test_words_named_by_the_user_are_missing_in_every_column(tmp_path):
    path = tmp_path / "survey.csv"
    path.write_text("arm,age\nDrug,30\nNA,-99\nrefused,31\nNone,32\n")
    frame, said = read(path, ("NA", "refused", "-99"))
    assert frame["arm"].isna().tolist() == [False, True, True, False]
    np.testing.assert_array_equal(frame["age"], [30, np.nan, 31, 32])
    assert said == ("kept as text, not missing: 'None' in arm (1 row). na=['None'] makes it missing.",)


def test_true_and_false_stay_so_beside_a_missing_value(tmp_path):
    path = tmp_path / "survey.csv"
    path.write_text("smokes,y\nTRUE,1\nNA,2\nFALSE,3\n")
    frame, said = read(path)
    assert frame["smokes"].tolist()[::2] == [True, False]
    assert pd.isna(frame["smokes"][1])
    assert "'NA' in smokes (1 row)" in said[0]


def test_text_among_numbers_is_named(tmp_path):
    path = tmp_path / "trial.csv"
    path.write_text("dose,y\n" + "".join(f"{i},1\n" for i in range(9)) + "unknown,1\n")
    frame, said = read(path)
    assert frame["dose"].tolist()[-1] == "unknown"
    assert said == (
        "text among numbers makes a column of text: 'unknown' in dose (1 row). na=['unknown'] makes it missing.",
    )


def test_a_comma_that_may_part_thousands_is_left_and_named_unless_another_column_proves_it(tmp_path):
    path = tmp_path / "income.csv"
    path.write_text("income;row\n1,234;1\n12,345;2\n")
    frame, said = read(path)
    assert frame["income"].tolist() == ["1,234", "12,345"]
    assert any("left as text" in text and text.endswith("income") for text in said)
    path.write_text("income;share\n1,234;0,5\n12,345;0,25\n")
    np.testing.assert_array_equal(read(path)[0]["income"], [1.234, 12.345])


def test_words_are_read_and_empty_ones_refused():
    assert read_na(None) == ()
    with pytest.raises(OptionError, match="lacks a word"):
        read_na(["NA,"])
    for na in ("", [3], ["NA", " "]):
        with pytest.raises(OptionError, match="are no words"):
            mx.read("trial.csv", na=na)


def test_a_plain_text_file_may_be_parted_by_blanks(tmp_path):
    path = tmp_path / "trial.txt"
    path.write_text("arm   y\nA   1.5\nB     2\n")
    frame, said = read(path)
    assert frame.to_dict("list") == {"arm": ["A", "B"], "y": [1.5, 2.0]}
    assert said == ("columns are separated by blanks, not by tabs",)
    path.write_text("my score\n1\n2\n")  # one column, whose name has a blank
    assert list(read(path)[0].columns) == ["my score"]


def test_the_line_by_which_excel_names_its_separator_is_no_row(tmp_path):
    path = tmp_path / "trial.csv"
    path.write_text("sep=;\narm;y\nA;1,5\n")
    frame, said = read(path)
    assert frame.to_dict("list") == {"arm": ["A"], "y": [1.5]}
    assert said[0] == "columns are separated by semicolons (;), not by commas"


def test_columns_of_one_name_are_told(tmp_path):
    path = tmp_path / "trial.csv"
    path.write_text("y,y,v1.2\n1,2,3\n")
    frame, said = read(path)
    assert list(frame.columns) == ["y", "y.1", "v1.2"]
    assert said == ("columns of one name, told apart: y.1",)


def test_text_that_is_not_utf8_is_read_by_the_name_of_its_encoding(tmp_path):
    path = tmp_path / "trial.csv"
    path.write_bytes("stadt,y\nKöln,1\n".encode("cp1252"))
    with pytest.raises(DataError, match=r'not UTF-8 text .*\n.*encoding="cp1252"'):
        mx.read(path)
    assert mx.read(path, encoding="cp1252", notes=False)["stadt"].tolist() == ["Köln"]
    path.write_bytes("stadt\ty\nKöln\t1\n".encode("utf-16"))  # as Excel saves Unicode text
    frame, said = read(path)
    assert frame["stadt"].tolist() == ["Köln"]
    assert said[0] == "encoded as UTF-16"


def test_no_arm_leaves_a_trial_because_of_its_name(tmp_path, capsys):
    """Half of the rows, and the arm with them, were gone without a word; --na takes them out, and the table says so."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"clinic": np.arange(120) % 12, "arm": rng.choice(["None", "Active", "Other"], 120)})
    data["score"] = rng.normal(size=120) + 0.3 * rng.normal(size=12)[data["clinic"]]
    data.to_csv(tmp_path / "trial.csv", index=False)
    command = ["effects", "score ~ arm + (1 | clinic)", str(tmp_path / "trial.csv"), "--treatment", "arm"]
    assert run(command) == 0
    shown, noted = capsys.readouterr()
    assert "None - Active" in shown
    lost = data["arm"].tolist().count("None")
    assert f"kept as text, not missing: 'None' in arm ({lost} rows). --na None makes it missing." in noted
    assert run([*command, "--na", "None"]) == 0
    shown, noted = capsys.readouterr()
    assert "Other - Active" in shown
    assert "None - Active" not in shown
    assert f"{120 - lost} of 120 rows used; {lost} dropped for missing values: arm ({lost})" in " ".join(shown.split())
    assert "kept as text" not in noted
