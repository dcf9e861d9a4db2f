"""What the exact engine says of its draws: mass that they left out, modes, chains; and nothing where all is well."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import errors, priors
from mixedfx.bayes import diagnose
from mixedfx.bayes.collapsed import engine

NUTS = {"method": "nuts", "reason": "asked for", "proposals": 0, "r_hat": 1.001, "ess": 2000.0, "log_mass": (-40.0,)}


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 8)
    data = pd.DataFrame({"y": 1 + rng.normal(size=8)[g] + rng.normal(size=64), "g": g})
    return mx.bayes("y ~ 1 + (1 | g)", data, draws=1000, seed=1)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"log_mass": (-40.0,), "drawn": (-60.0,)}, errors.ModeWarning, r"e\^20 times the mass that the draws stand"),
        ({"log_mass": (-40.0, -43.0), "drawn": (-40.0, -49.0)}, errors.ModeWarning, "403 times the mass"),
        (NUTS | {"modes": 2, "log_mass": (-40.0, -41.0), "drawn": (-40.4, -40.4)}, errors.ModeWarning,
         "2 modes, with about 73% and 27% of its mass.*50% and 50% of the draws"),
        (NUTS | {"divergences": 3}, errors.DivergenceWarning, "3 divergent transitions"),
        (NUTS | {"r_hat": 1.0101}, errors.RHatWarning, r"R-hat is 1\.011, above 1\.01"),
        (NUTS | {"energy": (0.9, 0.2)}, errors.EnergyWarning, r"E-BFMI is 0\.20 in 1 of 2 chains"),
        (NUTS | {"at_max_treedepth": 7}, errors.TreedepthWarning, "7 transitions were cut short"),
        ({"ess": 200.0}, errors.EffectiveSizeWarning, "Only 200 effective draws"),
        ({"k_hat": 0.9}, errors.ImportanceWarning, r"k-hat is 0\.90"),
    ],
)  # fmt: skip
def test_each_concern_has_a_warning_and_is_the_verdict(fit, change, kind, words):
    bad = replace(fit, sampling=replace(fit.sampling, **change))
    with pytest.warns(kind, match=words) as caught:
        diagnose.warn(bad)
    assert len(caught) == 1
    assert str(caught[0].message) in " ".join(bad.diagnostics().text().split())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"log_mass": (-40.0,), "drawn": (-41.5,)},  # less than e^2
        {"log_mass": (-40.0,), "drawn": (-42.5,), "mass_error": 0.3},  # within three errors
        {"log_mass": (-40.0, -46.0), "drawn": (-40.0, -np.inf)},  # a mode with a four-hundredth of the mass
        {"log_mass": (), "drawn": ()},  # a fit saved before this was looked at
        NUTS,
    ],
)
def test_what_is_no_concern_is_none(fit, change):
    good = replace(fit, sampling=replace(fit.sampling, **change))
    assert diagnose.concerns(good) == ()
    assert "nothing speaks against these draws" in good.diagnostics().text()


def test_the_certificate_agrees_with_the_draws_of_an_ordinary_fit(fit):
    s = fit.sampling
    assert s.starts == 4
    assert len(s.log_mass) == len(s.drawn) == 1
    assert s.drawn[0] == pytest.approx(s.log_evidence[0], abs=1e-9)
    assert s.log_mass[0] == pytest.approx(s.drawn[0], abs=0.2)
    assert "one, to which all 4 starting points lead, the REML estimate among them" in " ".join(
        fit.diagnostics().text().split()
    )


def test_a_proposal_that_drifts_from_a_mode_is_found_out(monkeypatch):
    """Adaptation that loses the second of two modes: k-hat sees nothing, the mass found at the start does."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": 3 * rng.normal(size=12), "g": np.repeat(list("abcdef"), 2)})
    data["y"] += 3 * np.repeat(rng.normal(size=6), 2)
    sharp = {"sigma": priors.student_t(1, 0.1, 0.01), "sd": priors.student_t(1, 0.1, 0.01)}
    real = engine.adapt

    def forgetful(*arguments):
        found = real(*arguments)
        lost = replace(found.proposal, components=found.proposal.components[:1], shares=np.ones(1))
        return replace(found, proposal=lost)

    monkeypatch.setattr(engine, "adapt", forgetful)
    with pytest.warns(errors.ModeWarning, match="left out a part of the posterior"):
        fit = mx.bayes("y ~ 1 + (1 | g)", data, priors=sharp, draws=500, seed=1)
    assert fit.sampling.k_hat < 0.7
    assert "nothing speaks" not in fit.diagnostics().text()


def test_options_that_change_no_draw_are_taken_by_every_engine(fit):
    data = fit.design.frame
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = mx.bayes("y ~ 1 + (1 | g)", data, draws=1000, seed=1, progress=False, cores=2)
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy())
    for wrong in ({"progress": "yes"}, {"cores": 0}, {"cores": True}, {"cores": 1.5}):
        with pytest.raises(errors.OptionError, match=next(iter(wrong))):
            mx.bayes("y ~ 1 + (1 | g)", data, draws=100, **wrong)


def test_an_option_that_would_change_draws_is_still_refused(fit):
    with pytest.raises(errors.OptionError, match="has no inits"):
        mx.bayes("y ~ 1 + (1 | g)", fit.design.frame, inits="pathfinder")


def test_nuts_leaves_its_transitions_for_arviz():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 8)
    data = pd.DataFrame({"y": 1 + rng.normal(size=8)[g] + rng.normal(size=64), "g": g})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.SamplingWarning)
        fit = mx.bayes("y ~ 1 + (1 | g)", data, engine="nuts", draws=80, chains=2, warmup=60, seed=1)
    stats = fit.to_arviz(log_likelihood=False)["sample_stats"]
    assert stats["tree_depth"].shape == (2, 40)
    assert stats["n_steps"].to_numpy().min() >= 1
    assert not stats["diverging"].to_numpy().any()
