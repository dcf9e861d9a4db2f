"""mixedfx meta prints and writes what rma, rma_mv, escalc and robust say in Python."""

import json
from pathlib import Path

import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.cli.app import run

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
BCG = pd.DataFrame(json.loads((FOLDER / "rma.json").read_text())["data"]["bcg"])[
    ["author", "tpos", "tneg", "cpos", "cneg", "ablat", "alloc"]
]
CELLS = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}
COLUMNS = ",".join(f"{name}={column}" for name, column in CELLS.items())
NESTED = "yi ~ 1 + (1 | district/school)"
START = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def bcg(tmp_path):
    path = tmp_path / "bcg.csv"
    BCG.to_csv(path, index=False)
    return str(path)


def assert_rows(records, table):
    """JSON has 15 significant digits, and null for what a table lacks."""
    again = pd.DataFrame(records).astype(table.dtypes.to_dict())
    pd.testing.assert_frame_equal(again, table.reset_index(drop=True), rtol=1e-11, atol=1e-13)


def test_independent_estimates_are_those_of_rma(tmp_path, bcg, capsys):
    file = tmp_path / "out.json"
    options = ["--measure", "RR", "--columns", COLUMNS, "--method", "PM", "--test", "knha", "--transf", "exp"]
    assert run(["meta", "yi ~ 1", bcg, *options, "--json", str(file)]) == 0
    shown, noted = capsys.readouterr()
    assert noted == ""
    assert "Measure  log risk ratio" in shown
    fit = mx.rma("yi ~ 1", mx.escalc("RR", BCG, **CELLS), method="PM", test="knha")
    written = json.loads(file.read_text())
    assert_rows(written["fixed"], fit.tidy())
    assert_rows(written["heterogeneity"], fit.confint("heterogeneity"))
    assert_rows(written["mean"], fit.predict(transf="exp"))
    assert (written["measure"], written["method"], written["test"], written["robust"]) == ("RR", "PM", "knha", None)


def test_random_terms_make_it_a_multilevel_model(tmp_path, capsys):
    file = tmp_path / "out.json"
    command = ["meta", NESTED, "school_calendars", "--cluster", "district", "--level", "0.9", "--json", str(file)]
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "Multilevel meta-analysis of 56 estimates" in shown
    assert "CR2, 11 clusters of district" in shown
    fit = mx.rma_mv(NESTED, mx.datasets.load("school_calendars"), level=0.9)
    written = json.loads(file.read_text())
    assert_rows([{**row, "df": float("inf")} for row in written["fixed"]], fit.tidy())  # JSON has no infinity
    assert_rows(written["components"], fit.confint("components"))
    assert_rows(written["i2"], fit.i2())
    assert_rows(written["mean"], fit.predict())
    assert_rows(written["robust"]["fixed"], fit.robust("district").tidy())
    assert written["robust"]["clusters"] == 11


@pytest.mark.parametrize("formula", ["yi ~ year", "yi ~ year + (1 | district)"])
def test_standard_errors_are_the_roots_of_variances(formula, tmp_path):
    schools = mx.datasets.load("school_calendars")
    source, file = tmp_path / "schools.parquet", tmp_path / "out.json"
    schools.assign(se=schools["vi"] ** 0.5).drop(columns="vi").to_parquet(source)
    found = []
    for data, option in ((str(source), ["--sei", "se"]), ("school_calendars", ["--vi", "vi"])):
        assert run(["meta", formula, data, *option, "--json", str(file)]) == 0
        found.append(json.loads(file.read_text()))
    assert "mean" not in found[0]
    for one, other in zip(found[0]["fixed"], found[1]["fixed"], strict=True):
        assert one["estimate"] == pytest.approx(other["estimate"], rel=1e-8)
        assert one["std_error"] == pytest.approx(other["std_error"], rel=1e-8)


@pytest.mark.parametrize("suffix", START)
@pytest.mark.parametrize("formula", ["yi ~ 1", NESTED])
def test_pictures_have_the_format_of_their_names(formula, suffix, tmp_path, capsys):
    forest, funnel = tmp_path / f"forest{suffix}", tmp_path / f"funnel{suffix}"
    options = ["--group", "district", "--slab", "study", "--forest", str(forest), "--funnel", str(funnel)]
    assert run(["meta", formula, "school_calendars", *options]) == 0
    assert capsys.readouterr().out.endswith(f"\nforest plot: {forest}\nfunnel plot: {funnel}\n")
    assert forest.read_bytes().startswith(START[suffix])
    assert funnel.read_bytes().startswith(START[suffix])


def test_few_clusters_are_said(tmp_path, capsys):
    schools = mx.datasets.load("school_calendars")
    schools.assign(middle=schools["year"].between(1989, 1995) * 1).to_csv(tmp_path / "schools.csv", index=False)
    formula = "yi ~ middle + (1 | district/school)"  # three of eleven districts
    assert run(["meta", formula, str(tmp_path / "schools.csv"), "--cluster", "district"]) == 0
    assert "fewer than four degrees of freedom: middle" in capsys.readouterr().out
