"""`mixedfx glmer`, `bayes`, `report` and --family: what they print is what the functions say."""

import json

import pytest

import mixedfx as mx
from mixedfx.cli.app import run


@pytest.fixture
def survey(tmp_path):
    star = mx.datasets.load("star").head(400)
    path = tmp_path / "survey.csv"
    star.assign(passed=(star["math"] > 480).astype(int))[["passed", "math", "small", "race", "sch"]].to_csv(
        path, index=False
    )
    return path


def test_glmer_prints_the_summary_and_writes_json(survey, tmp_path, capsys):
    out = tmp_path / "fit.json"
    command = ["glmer", "passed ~ small + (1 | sch)", str(survey), "--family", "bernoulli", "--json", str(out)]
    assert run(command) == 0
    assert "bernoulli" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["method"] == "ML"
    assert [row["term"] for row in found["fixed"]] == ["Intercept", "small"]
    assert run([*command[:3], "--family", "poissonian"]) == 2
    assert run([*command[:5], "--nagq", "many"]) == 2
    assert "--nagq 'many' is no whole number" in capsys.readouterr().err


def test_bayes_prints_summary_and_diagnostics_and_keeps_the_fit(survey, tmp_path, capsys):
    kept = tmp_path / "fit.mfx"
    assert run(["bayes", "math ~ small + (1 | sch)", str(survey), "--draws", "400", "--save", str(kept)]) == 0
    printed = capsys.readouterr().out
    assert "Diagnostics" in printed
    assert mx.load(kept).n_draws == 400


def test_report_writes_a_page_about_an_effect_or_a_model(survey, tmp_path, capsys):
    page = tmp_path / "page.html"
    command = ["report", "math ~ small*race + (1 | sch)", str(survey), "--out", str(page)]
    assert run([*command, "--treatment", "small", "--by", "race", "--title", "Classes", "--unit", "points"]) == 0
    printed = capsys.readouterr().out
    assert "small (1 against 0)" in printed
    assert "<h1>Classes</h1>" in page.read_text()
    assert run(command) == 0
    assert "What math depends on" in page.read_text()
    assert run([*command, "--by", "race"]) == 2
    assert "are about a treatment" in capsys.readouterr().err
    assert run([*command[:3], "--out", str(tmp_path / "page.pdf")]) == 2


def test_effects_of_a_family_are_those_of_glmer(survey, tmp_path, capsys):
    out = tmp_path / "eff.json"
    command = ["effects", "passed ~ small + (1 | sch)", str(survey), "--treatment", "small", "--json", str(out)]
    assert run([*command, "--family", "bernoulli"]) == 0
    assert "the probability of passed: the estimate is" in " ".join(capsys.readouterr().out.split())
    estimate = json.loads(out.read_text())["overall"][0]["estimate"]
    import pandas as pd

    fit = mx.glmer("passed ~ small + (1 | sch)", pd.read_csv(survey), family="bernoulli")
    assert estimate == pytest.approx(mx.effects(fit, "small").table["estimate"][0], rel=1e-6)
    assert run([*command, "--family", "bernoulli", "--ml"]) == 2
