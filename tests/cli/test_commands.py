"""What the commands print and write; the numbers are those of the same question asked in Python."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.cli.app import run

FORMULA = "math ~ small * race + (1 + small | sch)"
BLACK_BOYS = "race == 'Black' and gender == 'boy'"


@pytest.fixture(scope="module")
def star():
    return mx.datasets.load("star")


@pytest.fixture(scope="module")
def fit(star):
    return mx.lmer(FORMULA, star)


def assert_same_rows(records, table):
    """JSON writes the shortest digits that read back to 15 significant ones."""
    again = pd.DataFrame(records)
    assert list(again.columns) == list(table.columns)
    for name in again.columns:
        if pd.api.types.is_float_dtype(table[name]):
            np.testing.assert_allclose(again[name].astype(float), table[name], rtol=1e-12, atol=1e-14)
        else:
            expected = [None if pd.isna(value) else value for value in table[name]]
            assert [record[name] for record in records] == expected


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"mixedfx {mx.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys, arguments):
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    for command in ("fit", "effects", "demo", "datasets"):
        assert f" {command} " in shown


def test_fit_prints_the_summary_and_writes_its_numbers(capsys, tmp_path, fit):
    file = tmp_path / "fit.json"
    assert run(["fit", FORMULA, "star", "--json", str(file)]) == 0
    shown, noted = capsys.readouterr()
    assert noted == ""
    for text in ("Linear mixed model fit by REML", "5826 rows", "small:race[White]", "Convergence"):
        assert text in shown
    assert f"{fit.criterion:.2f}" in shown
    written = json.loads(file.read_text())
    assert written["formula"] == fit.formula
    assert written["method"] == "REML"
    assert written["ngroups"] == {"sch": 79}
    assert_same_rows(written["varcorr"], fit.varcorr)
    assert [row["term"] for row in written["fixed"]] == list(fit.fixef.index)
    np.testing.assert_allclose([row["estimate"] for row in written["fixed"]], fit.fixef, rtol=1e-12)
    np.testing.assert_allclose([row["p_value"] for row in written["fixed"]], fit.tidy()["p_value"], rtol=1e-9)


def test_maximum_likelihood_and_precision_weights_reach_the_fit(capsys, tmp_path, star):
    data = star.assign(w=np.where(star["small"] == 1, 2.0, 1.0))
    data.to_parquet(tmp_path / "data.parquet")
    file = tmp_path / "fit.json"
    options = ["--ml", "--precision-weights", "w", "--json", str(file)]
    assert run(["fit", "math ~ small + (1 | sch)", str(tmp_path / "data.parquet"), *options]) == 0
    expected = mx.lmer("math ~ small + (1 | sch)", data, REML=False, weights="w")
    written = json.loads(file.read_text())
    assert written["method"] == "ML"
    np.testing.assert_allclose(written["glance"][0]["sigma"], expected.sigma, rtol=1e-12)
    assert "precision weights" in capsys.readouterr().out


def test_effects_by_and_for_subgroups_come_from_one_fit(capsys, tmp_path, star, fit):
    picture, file = tmp_path / "out.png", tmp_path / "out.json"
    options = ["--treatment", "small", "--by", "race,gender", "--subgroup", f"Black boys: {BLACK_BOYS}"]
    assert run(["effects", FORMULA, "star", *options, "--plot", str(picture), "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("Effects of small on math") == 2
    assert "Black boys" in shown
    assert str(picture) in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    written = json.loads(file.read_text())
    with pytest.warns(mx.errors.NoVariationWarning):  # the formula holds no gender
        by = mx.effects(fit, "small", by=["race", "gender"], newdata=star).table
    with pytest.warns(mx.errors.NoVariationWarning):
        named = mx.effects(fit, "small", subgroups={"Black boys": BLACK_BOYS}, newdata=star).table
    assert_same_rows(written["by"], by)
    assert_same_rows(written["subgroups"], named)
    assert written["level"] == 0.95
    assert written["uncertainty"] == fit.uncertainty


def test_several_margins_are_one_table(tmp_path, fit):
    file = tmp_path / "out.json"
    command = ["effects", "math ~ small * race * lunch + (1 | sch)", "star", "--treatment", "small"]
    assert run([*command, "--by", "race", "--by", "race, lunch", "--level", "0.9", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    assert [row["margin"] for row in written["by"]] == ["race"] * 2 + ["race:lunch"] * 4
    assert written["level"] == 0.9


def test_a_long_table_is_shown_whole(capsys):
    command = ["effects", "math ~ small + (1 + small | sch)", "star", "--treatment", "small", "--by", "sch"]
    assert run(command) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0] for line in shown.splitlines() if line.startswith(" ")}
    assert set(mx.datasets.load("star")["sch"].cat.categories) <= rows
    assert ".table" not in shown


def test_without_a_subgroup_the_effect_is_everybodys(capsys, tmp_path, fit):
    file = tmp_path / "out.json"
    assert run(["effects", FORMULA, "star", "--treatment", "small", "--json", str(file)]) == 0
    assert_same_rows(json.loads(file.read_text())["overall"], mx.effects(fit, "small").table)


def test_poststratification_to_the_cells_of_a_file(tmp_path, fit):
    cells = pd.DataFrame({"race": ["Black", "White"], "N": [900, 100]})
    cells.to_csv(tmp_path / "census.csv", index=False)
    file = tmp_path / "out.json"
    options = ["--treatment", "small", "--newdata", str(tmp_path / "census.csv"), "--weights", "N"]
    assert run(["effects", FORMULA, "star", *options, "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    expected = mx.effects(fit, "small", newdata=cells, weights="N")
    assert_same_rows(written["overall"], expected.table)
    assert written["notes"] == list(expected.notes)
    assert "population of sch" in written["notes"][0]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_picture_has_the_format_of_its_name(tmp_path, suffix):
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    path = tmp_path / f"out{suffix}"
    command = ["effects", FORMULA, "star", "--treatment", "small", "--by", "race", "--plot", str(path)]
    assert run(command) == 0
    assert path.read_bytes().startswith(start[suffix])


def test_rows_the_fit_dropped_are_not_averaged_over(tmp_path, star):
    """`schtype` is not in the model, so the rows come from the file: only those that the fit has used."""
    data = star.assign(math=star["math"].where(star["schtype"] != "urban"))
    data.to_parquet(tmp_path / "data.parquet")
    file = tmp_path / "out.json"
    options = ["--treatment", "small", "--by", "schtype", "--json", str(file)]
    assert run(["effects", "math ~ small + (1 + small | sch)", str(tmp_path / "data.parquet"), *options]) == 0
    rows = {row["schtype"]: row["n"] for row in json.loads(file.read_text())["by"]}
    counts = star["schtype"].value_counts()
    assert rows == {name: counts[name] for name in ("inner", "rural", "suburb")}


def test_warnings_are_short_notes_each_said_once(capsys):
    command = ["effects", "math ~ small + (1 | sch)", "star", "--treatment", "small", "--by", "race"]
    assert run(command) == 0
    shown, noted = capsys.readouterr()
    assert noted.startswith("note: the effect of 'small' cannot vary over 'race'")
    assert noted.count("note:") == 1
    assert "Warning" not in noted
    assert "note:" not in shown


def test_square_brackets_survive_rich(capsys, tmp_path):
    frame = pd.DataFrame({"y": np.arange(12.0) % 5, "kind": ["[bold]", "[/bold]", "plain"] * 4})
    frame.to_csv(tmp_path / "data.csv", index=False)
    assert run(["fit", "y ~ kind", str(tmp_path / "data.csv")]) == 0
    assert "kind[[bold]]" in capsys.readouterr().out


def test_datasets_lists_every_data_set_and_its_columns(capsys):
    assert run(["datasets"]) == 0
    shown = capsys.readouterr().out
    for name in mx.datasets.names():
        assert name in shown
        assert all(column in shown for column in mx.datasets.load(name).columns)
    assert "doi:10.7910/DVN/SIWH9F" in shown


def test_demo_shows_every_intersection_and_says_where_the_picture_is(capsys, tmp_path, monkeypatch, star):
    monkeypatch.chdir(tmp_path)
    assert run(["demo"]) == 0
    shown, noted = capsys.readouterr()
    assert noted == ""
    picture = tmp_path / "demo-output" / "star_forest.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in shown
    formula = "math ~ small * race + small * gender + small * lunch + (1 + small | sch)"
    table = mx.effects(mx.lmer(formula, star), "small", by=["race", "gender", "lunch"]).table
    lines = [line.split() for line in shown.splitlines()]
    for row in table.itertuples():
        numbers = [f"{value:.1f}" for value in (row.estimate, row.sd, row.lower, row.upper)]
        assert [row.race, row.gender, row.lunch, f"{row.n:,}", *numbers] in [line[:8] for line in lines]


def test_the_cache_is_shown_and_emptied(tmp_path, monkeypatch, capsys):
    """Each entry is a folder under $MIXEDFX_CACHE/stan."""
    monkeypatch.setenv("MIXEDFX_CACHE", str(tmp_path))
    entry = tmp_path / "stan" / "0123"
    entry.mkdir(parents=True)
    (entry / "program").write_bytes(b"0" * 2**20)
    assert run(["cache"]) == 0
    assert "1 compiled programs, 1.0 MiB" in capsys.readouterr().out
    assert entry.is_dir()
    assert run(["cache", "--clear"]) == 0
    assert "removed: 1.0 MiB" in capsys.readouterr().out
    assert not entry.exists()
