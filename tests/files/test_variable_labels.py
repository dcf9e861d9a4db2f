"""Labels of variables that a file gives are what pictures call these; fits that are saved remember them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pyreadstat
import pytest

import mixedfx as mx


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "survey.sav"
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {"q1": rng.normal(size=120), "t": rng.integers(0, 2, 120).astype(float), "g": np.arange(120.0) // 8}
    )
    frame["q7"] = frame["q1"] + frame["t"] + rng.normal(size=15)[frame["g"].astype(int)] + rng.normal(size=120)
    labels = {"q7": "Trust in people, $ or _ included", "q1": "Income (logarithm)", "t": "Letter sent " + "very " * 30}
    pyreadstat.write_sav(frame, str(path), column_labels=labels)
    return mx.read(path, notes=False)


@pytest.fixture(scope="module", params=["lmer", "glmer", "bayes"])
def fit(request, survey):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        formula = "q7 ~ t + q1 + (1 + q1 | g)"
        if request.param == "bayes":
            return mx.bayes(formula, survey.iloc[:100], seed=1, draws=200)
        return mx.lmer(formula, survey) if request.param == "lmer" else mx.glmer(formula, survey, "gaussian")


def test_pictures_are_labelled_and_tables_keep_names(fit):
    eff = mx.effects(fit, "t")
    assert eff.what.startswith("effect of Letter sent very very")
    assert eff.what.endswith("... on Trust in people, $ or _ included")
    assert len(eff.what) < 120
    assert "q7" in str(eff)
    if type(fit).__name__ == "PosteriorFit":
        assert "Trust in people" in fit.ppc(n=20, seed=1).ax.get_xlabel().replace("\\", "")
        return
    axes = fit.plot("slopes").ax
    assert axes.get_xlabel().replace("\\", "") == "Income (logarithm)"
    assert axes.get_ylabel().replace("\\", "") == "Trust in people, $ or _ included"
    assert "Trust in people" in mx.emmeans(fit, "t").plot().ax.get_xlabel()


def test_a_saved_fit_remembers_the_labels(fit, tmp_path):
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert mx.effects(again, "t").what == mx.effects(fit, "t").what


@pytest.mark.parametrize(
    "attrs", [{"variable_labels": 3}, {"variable_labels": {"q7": None, 5: "x"}}, {"other": object()}]
)
def test_attributes_that_are_no_labels_do_no_harm(survey, attrs):
    frame = survey.copy()
    frame.attrs = attrs
    fit = mx.lmer("q7 ~ t + (1 | g)", frame)
    assert mx.effects(fit, "t").what == "effect of t on q7"
