"""A posterior whose sampler failed says so wherever its effects are shown: table, contrasts, report, after loading."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import errors


@pytest.fixture(scope="module")
def good():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.choice(list("abc"), 120), "z": rng.integers(0, 2, 120)})
    data["y"] = data["z"] + rng.normal(size=120)
    return mx.bayes("y ~ z + (1 + z | g)", data, draws=1000, seed=1)


@pytest.fixture(scope="module")
def failed(good):
    return replace(good, sampling=replace(good.sampling, method="nuts", r_hat=1.2, divergences=9))


def test_effects_warn_and_carry_the_concern_in_their_notes(failed):
    with pytest.warns(errors.RHatWarning, match=r"R-hat is 1\.2") as caught:
        effects = mx.effects(failed, "z", by="g")
    assert {w.category for w in caught} == {errors.RHatWarning, errors.DivergenceWarning}
    assert all(w.filename == __file__ for w in caught)
    texts = [text for _, text in failed.concerns]
    assert len(texts) == 2
    assert list(effects.notes[-2:]) == texts
    assert effects.table.attrs["notes"][-2:] == texts
    assert "9 divergent transitions" in " ".join(str(effects).split())
    contrast = effects.contrast("a", "b")
    assert list(contrast.notes[-2:]) == texts


def test_the_report_says_it_once_before_the_table(failed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = mx.effects(failed, "z", by="g").to_html()
    lead = page[: page.index("<h2>Table")]
    assert lead.count("R-hat is 1.2") == 1
    assert lead.count("9 divergent transitions") == 1


def test_a_loaded_fit_still_says_it(failed, tmp_path):
    again = mx.load(failed.save(tmp_path / "fit.mfx"))
    with pytest.warns(errors.DivergenceWarning):
        effects = mx.effects(again, "z")
    assert any("divergent" in note for note in effects.notes)


def test_average_outcomes_say_it_too(failed):
    with pytest.warns(errors.RHatWarning):
        averages = mx.poststratify(
            failed, pd.DataFrame({"g": ["a", "b"], "z": [0, 1], "N": [2, 3]}), by="g", weights="N"
        )
    assert any("R-hat" in note for note in averages.notes)


def test_a_sampler_that_did_well_and_a_fit_without_one_say_nothing(good):
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.SamplingWarning)
        effects = mx.effects(good, "z", by="g")
        assert good.concerns == ()
    assert not any("R-hat" in note or "draws" in note for note in effects.notes)
