"""Rows that a fit leaves out stand in everything that it prints or writes."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.cli.app import run


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=120), "g": rng.integers(0, 10, 120), "arm": rng.choice(["a", "b"], 120)})
    frame["y"] = frame["x"] + rng.normal(size=10)[frame["g"]] + rng.normal(size=120)
    frame["b"] = (frame["y"] > 0).astype(int)
    frame["vi"] = rng.uniform(0.1, 0.3, 120)
    frame.loc[:6, "x"] = np.nan
    return frame


FITS = {
    "lmer": lambda data: mx.lmer("y ~ x * arm + (1 | g)", data),
    "linear": lambda data: mx.lmer("y ~ x * arm", data),
    "glmer": lambda data: mx.glmer("b ~ x * arm + (1 | g)", data, "bernoulli"),
    "bayes": lambda data: mx.bayes("y ~ x * arm + (1 | g)", data, seed=1, draws=100),
    "rma": lambda data: mx.rma("y ~ x", data),
    "rma_mv": lambda data: mx.rma_mv("y ~ x + (1 | g)", data, vi="vi"),
}


@pytest.fixture(scope="module", params=FITS)
def fit(request, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FITS[request.param](data)


def test_every_output_says_how_many_rows_were_dropped(fit, data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shown = {"summary": str(fit.summary()), "html": fit.summary().html(), "print": str(fit)}
        if not type(fit).__name__.startswith("Rma"):
            eff = mx.effects(fit, "x", by="arm")
            shown |= {"repr": repr(fit), "effects": str(eff), "effects, html": eff._repr_html_()}
            shown |= {"table": str(mx.table(fit)), "report": eff.to_html(tmp_path / "a.html")}
            if type(fit).__name__ != "PosteriorFit":
                shown |= {"emmeans": str(mx.emmeans(fit, "arm"))}
                if fit.design.random:
                    shown |= {"check": str(fit.check())}
    for name, text in shown.items():
        words = " ".join(text.split())
        assert "113 of 120" in words, name
        assert "x (7)" in words or name == "repr", name


@pytest.mark.parametrize("command", [
    ["fit", "y ~ x + (1 | g)"], ["effects", "y ~ x + (1 | g)", "--treatment", "x"], ["meta", "y ~ x"],
])  # fmt: skip
def test_files_of_the_command_line_hold_them(data, tmp_path, command, capsys):
    data.to_csv(tmp_path / "a.csv", index=False)
    first, formula, *rest = command
    assert run([first, formula, str(tmp_path / "a.csv"), *rest, "--json", str(tmp_path / "a.json")]) == 0
    assert "113 of 120 rows used" in " ".join(capsys.readouterr().out.split())
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert rows == {"total": 120, "used": 113, "dropped_missing": 7, "missing": {"x": 7}, "dropped_zero_weight": 0}
