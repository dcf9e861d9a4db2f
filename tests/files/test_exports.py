"""Headers of survey services: recognised by what they hold, told, and turned off by one word."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import OptionError
from mixedfx.files.exports import header_of
from mixedfx.files.read import Options, recognise

QUALTRICS = [
    ["StartDate", "Duration (in seconds)", "Q1", "Q2_1", "arm"],
    ["Start Date", "Duration (in seconds)", "How old are you?\n(in years)", "Trust - in courts", "arm"],
    ['{"ImportId":"startDate","timeZone":"UTC"}', '{"ImportId":"duration"}', '{"ImportId":"QID1"}',
     '{"ImportId":"QID2_1"}', '{"ImportId":"arm"}'],
    ["2026-01-02 10:00:00", "61", "34", "4", "treated"],
    ["2026-01-02 10:05:00", "75", "51", "", "control"],
    ["2026-01-02 10:07:00", "80", "27", "2", "treated"],
]  # fmt: skip
SURVEYMONKEY = [
    ["Respondent ID", "Collector ID", "Start Date", "How old are you?", "Which do you read?", "", ""],
    ["", "", "", "Open-Ended Response", "Books", "Papers", "Other (please specify)"],
    ["101", "7", "01/02/2026", "34", "Books", "", ""],
    ["102", "7", "01/02/2026", "51", "", "Papers", "letters"],
]  # fmt: skip


def write(rows, path):
    if path.suffix == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([int(c) if c.isdigit() else c or None for c in row])
        book.save(path)
        return path
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx"])
def test_three_rows_of_qualtrics_are_names_labels_and_import_ids(tmp_path, ending, capsys):
    path = write(QUALTRICS, tmp_path / f"survey{ending}")
    frame = mx.read(path)
    assert list(frame.columns) == QUALTRICS[0]
    assert len(frame) == 3
    assert frame["Q1"].tolist() == [34, 51, 27]
    assert frame["Q2_1"].tolist()[::2] == [4, 2]
    assert np.isnan(frame["Q2_1"][1])
    labels = frame.attrs["variable_labels"]
    assert labels["Q1"] == "How old are you? (in years)"
    assert "arm" not in labels
    said = capsys.readouterr().err
    assert "an export of Qualtrics: 3 header rows" in said
    assert 'export="none"' in said


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_one_word_reads_the_first_row_alone(tmp_path, ending):
    frame = mx.read(write(QUALTRICS, tmp_path / f"survey{ending}"), export="none", notes=False)
    assert len(frame) == 5
    assert frame["Q1"][1].startswith('{"ImportId"')
    with pytest.raises(OptionError, match="export="):
        mx.read(tmp_path / f"survey{ending}", export="qualtrics")


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_two_rows_of_surveymonkey_are_questions_and_choices(tmp_path, ending):
    found = recognise(write(SURVEYMONKEY, tmp_path / f"survey{ending}"))
    assert list(found.frame.columns) == [
        "Respondent ID", "Collector ID", "Start Date", "How old are you?", "Which do you read?: Books",
        "Which do you read?: Papers", "Which do you read?: Other (please specify)",
    ]  # fmt: skip
    assert found.frame["How old are you?"].tolist() == [34, 51]
    assert any("SurveyMonkey: 2 header rows" in note for note in found.notes)


def test_check_boxes_of_redcap_are_true_or_false_and_its_forms_have_an_order(tmp_path):
    rows = [
        ["Record ID", "Age", "Race (choice=White)", "Race (choice=Black)", "Complete?"],
        ["1", "30", "Checked", "Unchecked", "Complete"],
        ["2", "41", "Unchecked", "Checked", "Incomplete"],
    ]
    path = write(rows, tmp_path / "labels.csv")
    found = recognise(path)
    assert found.frame["Race (choice=White)"].tolist() == [True, False]
    assert found.frame["Race (choice=White)"].dtype == bool
    assert found.frame["Complete?"].cat.categories.tolist() == ["Incomplete", "Unverified", "Complete"]
    assert "REDCap" in found.notes[0]
    kept = recognise(path, Options(export="none"))
    assert kept.frame["Race (choice=White)"].tolist() == ["Checked", "Unchecked"]
    assert kept.notes == ()


def test_a_portable_file_of_spss_has_its_labels(tmp_path):
    import pyreadstat

    frame = pd.DataFrame({"ARM": [1.0, 2.0, 1.0], "SCORE": [10.5, 11.0, 9.0]})
    labels = {"ARM": {1.0: "control", 2.0: "treated"}}
    pyreadstat.write_por(frame, str(tmp_path / "a.por"), column_labels=["Group", ""])
    found = recognise(tmp_path / "a.por")
    assert found.what == "SPSS, portable"
    assert found.frame["SCORE"].tolist() == [10.5, 11.0, 9.0]
    assert found.frame.attrs["variable_labels"] == {"ARM": "Group"}
    assert labels
    with pytest.raises(OptionError, match=r"\.por"):
        recognise(tmp_path / "a.por", Options(encoding="cp1252"))


@pytest.mark.parametrize(
    "rows",
    [
        [], [["a"]], [["a", "b"], ["1", "2"]], [["a", "b"], ["1", "2"], ["3", "4"]],
        [["Respondent ID", "Collector ID", "x"], ["1", "2", "3"]],  # a first row of answers
        [["q"], ["text"], [""]], [["a", "b"], ["c"], ['{"ImportId":"x"}', "4"]],
    ],
)  # fmt: skip
def test_plain_headers_are_left_alone(rows):
    assert header_of(rows) is None
