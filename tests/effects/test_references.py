"""REML effects on STAR against R: lme4's estimates with Henderson's equations by hand, and emmeans.

The numbers and their generator are in tests/reference/effects.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.datasets.load import load
from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer

REFERENCE = json.loads(
    (Path(__file__).parent.parent / "reference" / "effects" / "star.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def star():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return lmer(REFERENCE["formula"], load("star"))


@pytest.mark.parametrize(
    ("groups", "by"),
    [
        ("fitted", ["race", "gender"]),
        ("fitted", ["race"]),
        ("fitted", ["gender"]),
        ("average", ["race", "gender"]),
        ("average", ["race"]),
    ],
)
def test_estimates_and_standard_errors_are_those_of_lme4_by_hand(groups, by, star):
    # the formulas of lme4's vcov and condVar take theta-hat for theta
    table = effects(star, "small", by=by, groups=groups, uncertainty="given theta").table
    expected = pd.DataFrame(REFERENCE[groups]["_".join(by)])
    assert (table[by].astype(str).agg(":".join, axis=1) == expected["subgroup"]).all()
    assert table["n"].tolist() == expected["n"].tolist()
    # The two optimisers stop within 1e-7 of each other in theta.
    np.testing.assert_allclose(table["estimate"], expected["estimate"], rtol=1e-6)
    np.testing.assert_allclose(table["sd"], expected["se"], rtol=1e-6)


def test_estimates_and_standard_errors_are_those_of_emmeans(star):
    table = effects(star, "small", by=["race", "gender"], groups="average").table
    expected = pd.DataFrame(REFERENCE["emmeans"]).sort_values(["race", "gender"])
    np.testing.assert_allclose(table["estimate"], expected["estimate"], rtol=1e-6)
    np.testing.assert_allclose(table["sd"], expected["SE"], rtol=1e-6)


def test_joint_draws_agree_with_the_exact_covariance(star):
    eff = effects(star, "small", by=["race", "gender"], uncertainty="given theta")
    cov = np.array(REFERENCE["covariance"])
    np.testing.assert_allclose(star.apply(eff.functional).cov, cov, rtol=1e-5)
    draws = eff.draws(20_000, seed=3)
    # Monte Carlo errors of means and covariances of normal draws, five of them.
    sd = np.sqrt(np.diag(cov))
    assert (np.abs(draws.mean(axis=0) - eff.table["estimate"]) < 5 * sd / np.sqrt(20_000)).all()
    error = np.sqrt((cov**2 + np.outer(sd, sd) ** 2) / 20_000)
    np.testing.assert_array_less(np.abs(np.cov(draws.T) - cov), 5 * error)
