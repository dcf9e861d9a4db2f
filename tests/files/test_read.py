"""`mx.read`: every kind of file, one message, one sentence for whatever is wrong."""

from __future__ import annotations

import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.cli.app import run
from mixedfx.errors import DataError, OptionError
from mixedfx.files.read import READERS, recognise

SHIPPED = {".sas7bdat": "trial.sas7bdat", ".rds": "survey.rds", ".rdata": "one.rda", ".rda": "one.rda"}


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"clinic": np.repeat(np.arange(12), 10), "arm": rng.choice(["drug", "placebo"], 120)})
    frame["score"] = rng.normal(size=120) + (frame["arm"] == "drug") + rng.normal(size=12)[frame["clinic"]]
    return frame


def write(frame, path):
    import pyreadstat

    {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".txt": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".parquet": lambda: frame.to_parquet(path),
        ".feather": lambda: frame.to_feather(path),
        ".xlsx": lambda: frame.to_excel(path, index=False),
        ".dta": lambda: frame.to_stata(path, write_index=False),
        ".sav": lambda: pyreadstat.write_sav(frame, str(path)),
        ".por": lambda: pyreadstat.write_por(frame.rename(columns=str.upper), str(path)),
        ".zsav": lambda: pyreadstat.write_sav(frame, str(path), compress=True),
        ".xpt": lambda: pyreadstat.write_xport(frame, str(path), file_format_version=8),
    }[path.suffix]()


@pytest.mark.parametrize("ending", [ending for ending in READERS if ending not in SHIPPED])
def test_the_same_trial_gives_the_same_fit_from_every_kind_of_file(trial, tmp_path, ending, capsys):
    """And on the command line, whose notes are the message."""
    path = tmp_path / f"trial{ending}"
    write(trial, path)
    frame = mx.read(path)
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: ")
    assert "120 rows, 3 columns" in said
    assert said.rstrip().endswith("(notes=False reads without this message)")
    formula = "score ~ arm + (1 | clinic)"
    if ending == ".por":  # whose names are in capitals
        trial, formula = trial.rename(columns=str.upper), formula.upper()
    expected = mx.lmer(formula, trial).fixef
    pd.testing.assert_series_equal(mx.lmer(formula, frame).fixef, expected, rtol=1e-9)
    assert run(["fit", formula, str(path)]) == 0
    assert f"{expected.iloc[1]:.3f}"[:5] in capsys.readouterr().out
    mx.read(path, notes=False)
    assert capsys.readouterr().err == ""


def test_parquet_and_feather_keep_categories_and_the_labels_of_columns(tmp_path):
    frame = pd.DataFrame({"dose": pd.Categorical(["b", "a"], ["b", "a"], ordered=True), "y": [1.0, 2.0]})
    frame.attrs["variable_labels"] = {"y": "Score"}
    for ending in (".parquet", ".feather"):
        write(frame, tmp_path / f"a{ending}")
        found = recognise(tmp_path / f"a{ending}")
        pd.testing.assert_frame_equal(found.frame, frame)
        assert found.notes == ("categories in the file's order: dose",)
        assert found.frame.attrs == frame.attrs


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_follows_the_rule_of_text_files_where_numbers_and_text_meet(tmp_path):
    rows = [["arm", "dose", "zip", "y"], ["None", 1, "04103", 1.5], ["NA", "NA", "04109", 2], ["drug", 2.5, "99", None],
            [None, None, None, None], ["drug", ".", "1", 4]]  # fmt: skip
    path = workbook(tmp_path / "trial.xlsx", data=rows, notes=[["x"], [1]])
    found = recognise(path)
    assert found.frame["arm"].tolist() == ["None", "NA", "drug", "drug"]
    np.testing.assert_array_equal(found.frame["dose"], [1, np.nan, 2.5, np.nan])
    assert found.frame["dose"].dtype == np.float64
    assert found.frame["zip"].tolist() == ["04103", "04109", "99", "1"]  # text throughout: left as it is
    np.testing.assert_array_equal(found.frame["y"], [1.5, 2, np.nan, 4])
    assert found.what == "Excel, sheet 'data'"
    assert found.notes == (
        "the first of 2 sheets, 'data'; table= names another: notes",
        "1 row without any cell left out",
        "read as missing among numbers: 'NA' in dose (1 row) and '.' in dose (1 row)",
    )
    assert mx.read(path, table="notes", notes=False)["x"].tolist() == [1]
    assert mx.read(path, na=["None"], notes=False)["arm"].isna().tolist() == [True, False, False, False]
    with pytest.raises(DataError, match=r"no sheet 'Data'\nIts sheets: data, notes"):
        mx.read(path, table="Data")


def test_a_sheet_is_named_on_the_command_line(trial, tmp_path, capsys):
    rows = [list(trial.columns), *trial.to_numpy(dtype=object).tolist()]
    path = workbook(tmp_path / "trial.xlsx", readme=[["about"], ["a trial"]], data=rows)
    assert run(["fit", "score ~ arm + (1 | clinic)", str(path), "--table", "data"]) == 0
    assert "120 rows, none dropped" in capsys.readouterr().out
    assert run(["fit", "score ~ arm + (1 | clinic)", str(path), "--table", "Data"]) == 2
    assert "Its sheets: readme, data." in capsys.readouterr().err


def test_text_among_the_numbers_of_a_workbook_is_named(tmp_path):
    rows = [["dose"], *[[i] for i in range(9)], ["unknown"]]
    found = recognise(workbook(tmp_path / "trial.xlsx", data=rows))
    assert found.frame["dose"].tolist() == [*map(str, range(9)), "unknown"]
    assert found.notes[0].startswith("text among numbers makes a column of text: 'unknown' in dose (1 row)")


def test_reading_text_imports_none_of_them(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    code = f"""import sys, mixedfx as mx
mx.read({str(tmp_path / "a.csv")!r}, notes=False)
print([name for name in ("pyreadstat", "rdata", "openpyxl", "pyarrow.parquet", "xarray") if name in sys.modules])"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def whole(trial, tmp_path_factory):
    """Content of a file of every kind that is no text."""
    folder = tmp_path_factory.mktemp("whole")
    data = Path(__file__).parent / "data"
    contents = {}
    for ending in READERS:
        if ending in (".csv", ".tsv", ".txt"):
            continue
        path = data / SHIPPED[ending] if ending in SHIPPED else folder / f"a{ending}"
        if ending not in SHIPPED:
            write(trial, path)
        contents[ending] = path.read_bytes()
    return contents


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(draw=st.data())
def test_a_damaged_file_is_a_data_error_or_read(whole, draw, tmp_path_factory):
    """Whatever the library that reads it raises."""
    ending = draw.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[ending])
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, max(len(content) - 1, 0)))
        how = draw.draw(st.sampled_from(["cut", "byte", "block"]))
        if how == "cut":
            del content[at:]
        elif how == "byte" and content:
            content[at] ^= draw.draw(st.integers(1, 255))
        else:
            content[at : at + 20] = bytes(len(content[at : at + 20]))
    path = tmp_path_factory.mktemp("damaged") / f"a{ending}"
    path.write_bytes(bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(DataError):
            mx.read(path, notes=False)


@pytest.mark.parametrize("path", [None, 3, b"a.csv", ["a.csv"], pd.DataFrame({"x": [1]})])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(DataError, match="is no path of a file"):
        mx.read(path)


@pytest.mark.parametrize("ending", [ending for ending in READERS if ending not in (*SHIPPED, ".zsav", ".feather")])
def test_a_table_without_rows_is_refused(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write(pd.DataFrame({"x": pd.Series(dtype=float), "g": pd.Series(dtype=str)}), path)
    with pytest.raises(DataError, match=r"holds no rows|cannot be read"):
        mx.read(path)


def test_options_that_do_not_exist_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    for options in ({"values": "numbers"}, {"notes": "no"}):
        with pytest.raises(OptionError):
            mx.read(tmp_path / "a.csv", **options)
