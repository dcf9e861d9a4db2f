"""mixedfx learn prints and writes what the functions say in Python."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.cli.app import run

COLUMNS = ["schoolid", "intervention", "achievement_score", "success_expect", "ethnicity"]
ASKED = ["--outcome", "achievement_score", "--treatment", "intervention", "--groups", "schoolid"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    data, truth = mx.datasets.simulate_mindset(1, n=3040)
    path = tmp_path_factory.mktemp("learn") / "pupils.csv"
    data[COLUMNS].assign(e=truth.propensity).to_csv(path, index=False)
    return str(path)


def test_it_says_what_python_says(file, tmp_path, capsys):
    out, picture = tmp_path / "out.json", tmp_path / "curve.png"
    command = ["learn", file, *ASKED, "--propensity", "e", "--learner", "T", "--by", "ethnicity", "--level", "0.9"]
    pool = "1 + (1 | schoolid) + (1 | ethnicity)"
    assert run([*command, "--pool", pool, "--json", str(out), "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    for title in ("Doubly robust scores", "T (an outcome model for each arm)", "best 30%", "AUTOC", "budget curve:"):
        assert title in shown
    data = pd.read_csv(file)
    X = data[["schoolid", "success_expect", "ethnicity"]].astype({"schoolid": "category", "ethnicity": "category"})
    own = {"groups": data["schoolid"], "propensity": data["e"].to_numpy()}
    scores = mx.dr_scores(X, data["achievement_score"], data["intervention"], **own)
    cate = mx.cate("T", X, data["achievement_score"], data["intervention"], **own).out_of_fold
    written = json.loads(out.read_text())
    assert written["rows"] == 3040
    found = pd.DataFrame(written["effects"])
    expected = mx.pool_scores(scores, pool, data, by="ethnicity", level=0.9).table
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-9)
    np.testing.assert_allclose(found["lower"], expected["lower"], rtol=1e-9)
    rate = mx.targeting(cate, scores, level=0.9).rate
    np.testing.assert_allclose(pd.DataFrame(written["rate"])["estimate"], rate["estimate"], rtol=1e-9)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_arms_called_one_and_two_have_the_values_of_arms_called_zero_and_one(file, tmp_path, capsys):
    data = pd.read_csv(file)
    other, found = tmp_path / "arms.csv", []
    data.assign(intervention=data["intervention"] + 1).to_csv(other, index=False)
    for name in (file, str(other)):
        out = tmp_path / "out.json"
        assert run(["learn", name, *ASKED, "--propensity", "e", "--learner", "T", "--json", str(out)]) == 0
        found.append(pd.DataFrame(json.loads(out.read_text())["policies"]).set_index("policy"))
    capsys.readouterr()
    pd.testing.assert_frame_equal(found[0], found[1])
    assert found[1].loc["all", "share"] == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--learner", "Q"], "learner='Q' is not known"),
        (["--share", "2"], "no share of people"),
        (["--target", "all"], "target='all' is not known"),
        (["--by", "race"], "no column 'race'"),
        (["--propensity", "p"], "no column 'p'"),
        (["--propensity", "1"], "propensities are 0 or 1"),
        (["--plot", "curve.xyz"], "curve.xyz"),
    ],
)
def test_bad_input_ends_with_two_and_says_why(file, options, says, capsys):
    assert run(["learn", file, *ASKED, *options]) == 2
    assert says in capsys.readouterr().err
