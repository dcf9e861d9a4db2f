"""Power by simulation from generalised linear mixed models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import ModelError, OptionError
from tests.glmm.data import classic

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(40), 6)
    data = pd.DataFrame({"g": g.astype(str), "treated": g % 2, "y": 0})
    data["y"] = rng.poisson(np.exp(1.0 + (0.4 * rng.normal(size=40))[g]))
    return mx.glmer("y ~ treated + (1 | g)", data, "poisson")


def test_power_is_that_of_z_with_the_standard_error_of_the_design(trial):
    """An effect of two and a half standard errors; 150 data sets: three binomial errors are .11."""
    se = np.sqrt(trial.vcov.loc["treated", "treated"])
    found = mx.power(trial, {"treated": 2.5 * se}, n_sim=150, seed=3)
    assert found.ddf == "normal"
    assert found.table["power"].item() == pytest.approx(stats.norm.sf(1.96 - 2.5), abs=0.13)
    assert found.table["failed"].item() == 0
    assert "df: normal" in str(found)


def test_without_an_effect_it_is_the_level(trial):
    """150 data sets at 20 %: three binomial errors are .1; z is a little liberal in 40 groups."""
    found = mx.power(trial, {"treated": 0.0}, alpha=0.2, n_sim=150, seed=5).table
    assert found["power"].item() == pytest.approx(0.2, abs=0.11)


def test_more_groups_more_power_and_the_seed_decides(trial):
    asked = {"effect": {"treated": 0.4}, "n_groups": [16, 64], "n_sim": 60, "seed": 1}
    found = mx.power(trial, **asked).table
    assert found["n_rows"].tolist() == [96, 384]
    assert found["power"].is_monotonic_increasing
    pd.testing.assert_frame_equal(found, mx.power(trial, **asked).table)


def test_trials_belong_to_their_rows():
    fit = mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial")
    found = mx.power(fit, "period[4]", n_groups=30, n_sim=40, seed=1).table
    assert found["size"].item() == pytest.approx(fit.fixef["period[4]"])
    assert found["power"].item() > 0.95  # twice the herds of an estimate of 3.7 standard errors


def test_what_it_cannot_do_is_refused(trial):
    with pytest.raises(OptionError, match="z and chi square"):
        mx.power(trial, "treated", ddf="satterthwaite", n_sim=10)
    with pytest.raises(OptionError, match="no coefficient 'x'"):
        mx.power(trial, "x", n_sim=10)
    with pytest.raises(ModelError, match="models with random terms"):
        mx.power(trial.update(". ~ . - (1 | g)"), "treated", n_sim=10)
