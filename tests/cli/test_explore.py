"""`mixedfx explore` writes the page that `Effects.explore` makes, and refuses before it fits."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.cli.app import run
from tests.explorer.twin import data_of


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(12), 20), "z": rng.integers(0, 2, 240), "x": rng.choice(["a", "b"], 240)}
    )
    data["place"] = rng.choice(["here", "there"], 240)
    data["N"] = rng.integers(1, 9, 240)
    data["y"] = data["z"] + rng.normal(size=240)
    data.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def test_the_page_is_written_and_the_answer_said(file, tmp_path, capsys):
    out = tmp_path / "page.html"
    asked = ["explore", "y ~ z * x + (1 | g)", str(file), "--treatment", "z", "--by", "x,place", "--out", str(out)]
    assert run([*asked, "--weights", "N", "--unit", "points", "--draws", "500"]) == 0
    shown = capsys.readouterr().out
    assert "raises y by" in shown
    assert f"page to explore: {out}" in " ".join(shown.split())
    data = data_of(out.read_text(encoding="utf-8"))
    assert [c["name"] for c in data["columns"]] == ["x", "place"]
    assert [p["name"] for p in data["populations"]] == ["rows of newdata, by N", "the sample, each row counting once"]
    assert data["populations"][0]["law"]["draws"]["count"] == 500


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "x", "--out", "page.txt"], "page.txt"),
        (["--by", "x,", "--out", "page.html"], "lacks a column"),
        (["--by", "colour", "--out", "page.html"], "no column 'colour'"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_two(file, capsys, options, said):
    assert run(["explore", "y ~ z * x + (1 | g)", str(file), "--treatment", "z", *options]) == 2
    assert said in capsys.readouterr().err
