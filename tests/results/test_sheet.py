"""Tables for papers: every form has the same cells, rounded; Excel has the numbers themselves."""

import re

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.results.sheet import sheet_of

FRAME = pd.DataFrame(
    {
        "term": ["Intercept", "x_1 & $", "=1+1"],
        "estimate": [1.23456, -0.5, 1234.0],
        "std_error": [0.31, 0.2, np.nan],
        "p_value": [0.00002, 0.04, np.nan],
        "n": [12, 1200, 7],
        "nothing": [np.nan] * 3,
    }
)


def test_headers_are_for_people_and_numbers_rounded_to_the_standard_errors():
    sheet = sheet_of(FRAME, "Model", digits=2)
    assert sheet.header == ("Term", "Estimate", "Std. error", "p", "n")
    assert sheet.cells[1] == ("x_1 & $", "-0.50", "0.20", "0.040", "1,200")
    assert sheet.cells[2][2:4] == ("", "")
    assert "1.23" in str(sheet)


def test_markdown_has_a_line_for_each_row_and_pipes_stay_text():
    text = sheet_of(FRAME.assign(term=["a|b", "c", "d"])).to_markdown()
    lines = text.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("| Term |")
    assert lines[1] == "|:--|--:|--:|--:|--:|"
    assert r"a\|b" in lines[2]


def test_latex_is_escaped_and_minus_is_a_minus():
    text = sheet_of(FRAME, notes=["50 % of_all"]).to_latex()
    assert r"x\_1 \& \$" in text
    assert "$-$0.500" in text
    assert r"50 \% of\_all" in text
    assert text.count(r"\\") == 5
    assert not re.search(r"(?<!\\)[&%$#_](?=1)", text.split(r"\midrule")[1].split("&")[0])


def test_files_are_written_and_hold_the_text(tmp_path):
    sheet = sheet_of(FRAME)
    for write, name in ((sheet.to_markdown, "t.md"), (sheet.to_latex, "t.tex"), (sheet.to_html, "t.html")):
        text = write(tmp_path / name)
        assert (tmp_path / name).read_text() == text + "\n"


def test_excel_has_numbers_with_a_format_and_no_formulas(tmp_path):
    import openpyxl

    path = sheet_of(FRAME, "Model [1]", digits=2, notes=["=SUM(A1)"]).to_excel(tmp_path / "t.xlsx")
    page = openpyxl.load_workbook(path).active
    assert page.title == "Model  1"
    assert [c.value for c in page[2]] == ["Term", "Estimate", "Std. error", "p", "n"]
    assert page["B3"].value == pytest.approx(1.23456)  # not rounded, but shown so
    assert page["B3"].number_format == "0.00"
    assert page["C5"].value is None
    assert (page["A5"].value, page["A5"].data_type) == ("=1+1", "s")
    assert page["A6"].data_type == "s"


def test_tables_of_models_take_lists_and_names_and_group_or_drop_coefficients(tmp_path):
    course = mx.datasets.load("flipped_classroom", plan="crossed")
    a, b = mx.lmer("score ~ style + professor", course), mx.lmer("score ~ style + (1 | professor)", course)
    assert mx.table([a, b]).frame.equals(mx.table(a, b).frame)
    named = mx.table({"dummies": a, "mixed": b}, drop="professor")
    assert list(named.frame.columns) == ["dummies", "mixed"]
    assert not any("professor[" in row for _, row in named.frame.index)
    assert named.frame.loc[("Fit", "professor: coefficients")].tolist() == ["14", ""]
    grouped = mx.table([a, b], groups={"Styles": "style"}).frame
    assert [row for section, row in grouped.index if section == "Styles"] == [
        "style[Some Flipped]",
        "style[No Flipped]",
    ]
    assert ("Fixed effects", "Intercept") in grouped.index
    with pytest.raises(mx.errors.OptionError, match="names 'colour', which no fit has"):
        mx.table([a, b], drop=["colour"])
    assert mx.table([a, b]).frame.loc[("Fit", "Estimated by")].tolist() == ["least squares", "REML"]
    path = mx.table([a, b]).to_excel(tmp_path / "models.xlsx")
    assert path.stat().st_size > 1000
    assert mx.table([a, b]).to_latex(tmp_path / "m.tex") == mx.table([a, b]).latex()


def test_a_frame_and_an_answer_become_tables(tmp_path):
    fit = mx.lmer("math ~ small*race + (1 | sch)", mx.datasets.load("star"))
    assert mx.table(fit.tidy()).header[:3] == ("Term", "Estimate", "Std. error")
    eff = mx.effects(fit, "small", by="race")
    sheet = mx.table(eff, labels={"race": "Ethnicity", "Black": "Black pupils"})
    assert sheet.header[:2] == ("Ethnicity", "n")
    assert sheet.cells[0][0] == "Black pupils"
    assert sheet.values[0][2] == eff.table["estimate"][0]
    assert (
        eff.to_markdown().splitlines()[0]
        == "| Race | n | Estimate | Std. error | 95 % interval, lower | upper | P(> 0) |"
    )
    assert eff.to_excel(tmp_path / "eff.xlsx").exists()
    assert "<table" in eff.gt().as_raw_html()
