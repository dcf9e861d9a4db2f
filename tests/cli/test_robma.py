"""mixedfx robma prints and writes what robma says in Python."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.cli.app import run
from mixedfx.cli.robma import PLOTS, Averaging
from tests.meta.robma_data import BEM

START = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def bem(tmp_path):
    path = tmp_path / "bem.csv"
    BEM.assign(age=np.arange(9.0)).to_csv(path, index=False)
    return str(path)


def assert_rows(records, table):
    """JSON has 15 significant digits, and null for what a table lacks."""
    again = pd.DataFrame(records).astype(table.dtypes.to_dict())
    pd.testing.assert_frame_equal(again, table.reset_index(drop=True), rtol=1e-11, atol=1e-13)


def test_it_is_the_average_of_python(tmp_path, bem, capsys):
    file = tmp_path / "out.json"
    assert run(["robma", "yi ~ 1", bem, "--sei", "sei", "--measure", "SMD", "--json", str(file)]) == 0
    shown, noted = capsys.readouterr()
    assert noted == ""
    fit = mx.robma(BEM, sei="sei", measure="SMD")
    assert shown.startswith("Bayesian model-averaged meta-analysis of 9 estimates: 36 models")
    assert f"{fit.components.loc['effect', 'inclusion_bf']:.4g}" in shown
    written = json.loads(file.read_text())
    assert_rows(written["components"], fit.components.reset_index())
    assert_rows(written["estimates"], fit.estimates.reset_index())
    assert_rows(written["conditional"], fit.conditional.reset_index())
    assert_rows(written["models"], fit.models)
    assert_rows(written["counts"], fit.counts)
    assert_rows(written["true_effects"], fit.true_effects().astype({"label": np.int64}))
    kept = {name: written[name] for name in ("measure", "fitted_as_fisher_z", "priors", "bias", "direction", "k")}
    assert kept == {"measure": "SMD", "fitted_as_fisher_z": True, "priors": "robma3", "bias": "PSMA",
                    "direction": "positive", "k": 9}  # fmt: skip
    assert written["clusters"] is None


def test_clusters_and_their_test(tmp_path, capsys):
    file = tmp_path / "out.json"
    command = ["robma", "yi ~ 1", "school_calendars", "--measure", "SMD", "--cluster", "district", "--test-clusters"]
    assert run([*command, "--bias", "none", "--slab", "school", "--level", "0.9", "--json", str(file)]) == 0
    assert "56 estimates in 11 clusters: 6 models" in capsys.readouterr().out
    ensemble = p.robma3(hierarchical=[p.spike(0), p.beta(1, 1)])
    data = mx.datasets.load("school_calendars")
    fit = mx.bma(data, cluster="district", measure="SMD", priors=ensemble, slab="school", level=0.9)
    written = json.loads(file.read_text())
    assert_rows(written["components"], fit.components.reset_index())
    assert written["components"][2]["inclusion_bf"] == pytest.approx(4618.84, rel=1e-5)
    assert (written["clusters"], written["mechanism"]) == (11, "conditional")
    assert [row["k"] for row in written["cluster_effects"]] == list(fit.cluster_effects()["k"])


def test_moderators_direction_and_priors(tmp_path, bem):
    file = tmp_path / "out.json"
    options = ["--priors", "robma4", "--measure", "SMD", "--bias", "PP", "--direction", "negative", "--sei", "sei"]
    assert run(["robma", "yi ~ age", bem, *options, "--json", str(file)]) == 0
    data = BEM.assign(age=np.arange(9.0))
    fit = mx.robma(data, sei="sei", formula="~ age", priors=p.robma4("SMD"), measure="SMD", bias="PP",
                   direction="negative")  # fmt: skip
    written = json.loads(file.read_text())
    assert_rows(written["components"], fit.components.reset_index())
    assert written["direction"] == "negative"


def test_effects_are_computed_where_columns_are_named(tmp_path):
    cells = pd.DataFrame({"a": [12, 8, 20], "b": [30, 25, 41], "c": [18, 9, 33], "d": [25, 26, 30]})
    cells.to_csv(tmp_path / "cells.csv", index=False)
    file = tmp_path / "out.json"
    command = ["robma", "yi ~ 1", str(tmp_path / "cells.csv"), "--measure", "OR", "--columns", "ai=a,bi=b,ci=c,di=d"]
    assert run([*command, "--priors", "robma4", "--bias", "none", "--json", str(file)]) == 0
    fit = mx.bma(mx.escalc("OR", cells, ai="a", bi="b", ci="c", di="d"), priors="robma4")
    assert_rows(json.loads(file.read_text())["estimates"], fit.estimates.reset_index())


@pytest.mark.parametrize("suffix", START)
def test_pictures(suffix, tmp_path, bem, capsys):
    files = {kind: tmp_path / f"{kind}{suffix}" for kind in PLOTS}
    options = [part for kind, file in files.items() for part in (f"--{kind}", str(file))]
    assert run(["robma", "yi ~ 1", bem, "--sei", "sei", "--measure", "SMD", *options]) == 0
    shown = capsys.readouterr().out
    for kind, file in files.items():
        assert file.read_bytes().startswith(START[suffix])
        assert f"{kind} plot: {file}" in shown


def test_the_mechanism_is_passed_on():
    data = mx.datasets.load("school_calendars").iloc[:15]
    asked = Averaging("yi ~ 1", measure="SMD", cluster="district", bias="2w", mechanism="joint")
    assert asked.fit(data).mechanism == "joint"
