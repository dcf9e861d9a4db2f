"""Effects of REML fits: the blocked answer against the textbook's dense one, and STAR against sums by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedfx.datasets.load import load
from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.fit import LmerFit
from mixedfx.reml.lmer import lmer
from tests.oracles import dense_lmm

SMALL_STAR = load("star").groupby("sch", observed=True).head(8)

CASES = [
    ("score ~ style + (1 | professor)", load("flipped_classroom", plan="crossed"), {"treatment": "style"}),
    (
        "score ~ style + (1 + style || professor)",
        load("flipped_classroom", plan="crossed"),
        {"treatment": "style", "by": "professor"},
    ),
    ("math ~ small*lunch + (1 + small | sch)", SMALL_STAR, {"treatment": "small", "by": "lunch"}),
    (
        "math ~ small + (1 + small | race:lunch) + (1 | sch)",
        SMALL_STAR,
        {"treatment": "small", "by": ["race", "lunch"]},
    ),
    ("math ~ small*race", SMALL_STAR, {"treatment": "small", "by": "race"}),
]


@pytest.mark.parametrize(("formula", "data", "question"), CASES)
def test_the_blocked_answer_is_the_dense_one(formula, data, question):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = lmer(formula, data)
        dense = LmerFit(fit.design, dense_lmm.solution_at(fit.design, fit.theta.to_numpy()))
        blocked, textbook = (effects(one, **question, uncertainty="given theta") for one in (fit, dense))
        # Two ways to solve the same equations at the same theta.
        pd.testing.assert_frame_equal(blocked.table, textbook.table, rtol=1e-6)
        np.testing.assert_allclose(
            fit.apply(blocked.functional).cov, dense.apply(textbook.functional).cov, rtol=1e-5, atol=1e-8
        )
        one, other = blocked.contrast(against="overall").table, textbook.contrast(against="overall").table
    pd.testing.assert_frame_equal(one, other, rtol=1e-5, atol=1e-8)


@pytest.fixture(scope="module")
def star():
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", MixedfxWarning
        )  # two races and two lunches: few levels, and the fit is singular
        return lmer("math ~ small + race + lunch + (1 + small | race:lunch) + (1 + small | sch)", load("star"))


def test_star_by_hand(star):
    """The effect in a cell: the fixed slope, the slope of the cell, and the mean slope of its pupils' schools."""
    data = load("star")
    table = effects(star, "small", by=["race", "lunch"]).table
    assert len(table) == 4
    for _, row in table.iterrows():
        pupils = data[(data["race"] == row["race"]) & (data["lunch"] == row["lunch"])]
        by_hand = star.fixef["small"] + star.ranef["race:lunch"].loc[f"{row['race']}:{row['lunch']}", "small"]
        by_hand += pupils["sch"].astype(str).map(star.ranef["sch"]["small"]).mean()
        assert row["estimate"] == pytest.approx(by_hand, rel=1e-9)
        assert row["n"] == len(pupils)


def test_star_without_schools_has_the_fixed_slope_and_that_of_the_cell(star):
    cells = pd.DataFrame({"race": ["Black", "White"], "lunch": ["free", "paid"], "N": [10, 30]})
    eff = effects(star, "small", by="race", newdata=cells, weights="N")
    by_hand = [
        star.fixef["small"] + star.ranef["race:lunch"].loc[level, "small"] for level in ("Black:free", "White:paid")
    ]
    np.testing.assert_allclose(eff.table["estimate"], by_hand, rtol=1e-9)
    assert "does not hold sch" in eff.notes[0]


def test_a_reml_table_says_what_it_includes_and_what_it_leaves_out(star):
    full, given = effects(star, "small"), effects(star, "small", uncertainty="given theta")
    for eff, says in ((full, "That theta and sigma are estimated is included"), (given, "theta and sigma is left out")):
        assert says in eff.table.attrs["uncertainty"]
        assert says in " ".join(repr(eff).split())
        assert says in eff.to_html()
    assert full.uncertainty == star.uncertainty
    assert "uncertainty='given theta'" in given.to_html().replace("&#x27;", "'")
    assert "uncertainty=" not in full.to_html()


@pytest.mark.parametrize("uncertainty", ["full", "given theta"])
def test_draws_of_a_reml_fit_are_joint(star, uncertainty):
    eff = effects(star, "small", by=["race", "lunch"], uncertainty=uncertainty)
    draws = eff.draws(4000, seed=3)
    assert draws.shape == (4000, 4)
    cov = eff.fit.apply(eff.functional).cov
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), eff.table["sd"], rtol=1e-8)
    # Sampling error of a covariance, five standard errors: those of normal draws, and of the mixture by its own fourth
    # moments.
    deviation = draws - draws.mean(axis=0)
    products = deviation[:, :, None] * deviation[:, None]
    np.testing.assert_array_less(np.abs(np.cov(draws.T) - cov), 5 * products.std(axis=0) / np.sqrt(4000))
    error = eff.table["sd"] / np.sqrt(4000)
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - eff.table["estimate"]), 5 * error)


def test_the_plot_of_an_answer(star):
    axes = effects(star, "small", by=["race", "lunch"]).plot().ax
    assert axes.get_xlabel() == "effect of small on math\n(50 and 95 % intervals)"
    assert [t.get_text().strip() for t in axes.get_yticklabels()] == ["Black", "free", "paid", "White", "free", "paid"]
    contrasts = effects(star, "small", by="race").contrast(against="complement").plot().ax
    assert [t.get_text() for t in contrasts.get_yticklabels()] == ["Black", "White"]
    label = contrasts.get_xlabel().replace("\n", " ")
    assert label == "difference in the effect of small on math, against complement (50 and 95 % intervals)"
