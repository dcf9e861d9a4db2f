"""The simulated course."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfx.datasets.flipped_classroom import PLANS, SEED, STYLE_MEANS, simulate_flipped_classroom
from mixedfx.datasets.load import load
from mixedfx.errors import DataError, OptionError

STYLES = ["Fully Flipped", "Some Flipped", "No Flipped"]


def test_the_shipped_courses_are_those_of_the_fixed_seed():
    for plan in PLANS:
        frame, _ = simulate_flipped_classroom(SEED, plan=plan)
        pd.testing.assert_frame_equal(load("flipped_classroom", plan=plan), frame)
    pd.testing.assert_frame_equal(load("flipped_classroom"), load("flipped_classroom", plan="assigned"))
    with pytest.raises(OptionError, match="'star' has no plans"):
        load("star", plan="crossed")


def test_the_course_has_375_students_15_professors_and_3_styles():
    frame = load("flipped_classroom")
    assert frame["student"].tolist() == list(range(1, 376))
    assert frame["professor"].nunique() == 15
    assert frame["professor"].value_counts().eq(25).all()
    assert list(frame["style"].cat.categories) == STYLES
    assert frame["score"].between(0, 100).all()
    assert np.allclose(frame["score"] * 10, (frame["score"] * 10).round(), atol=1e-9)


def test_the_same_seed_gives_the_same_course_and_another_seed_another():
    frame, truth = simulate_flipped_classroom(3)
    again, truth_again = simulate_flipped_classroom(np.random.default_rng(3))
    pd.testing.assert_frame_equal(frame, again)
    pd.testing.assert_series_equal(truth.professors, truth_again.professors)
    assert not frame["score"].equals(simulate_flipped_classroom(4)[0]["score"])


def test_under_the_crossed_plan_every_professor_teaches_every_style_in_shares_of_his_own():
    course = load("flipped_classroom", plan="crossed")
    table = pd.crosstab(course["professor"], course["style"])
    assert (table >= 1).all(axis=None)
    assert table["Fully Flipped"].max() - table["Fully Flipped"].min() >= 5


def test_under_the_assigned_plan_every_professor_has_one_style_and_every_style_five_professors():
    frame = load("flipped_classroom")
    assert frame.groupby("professor", observed=True)["style"].nunique().eq(1).all()
    assert frame.groupby("style", observed=True)["professor"].nunique().eq(5).all()
    assert frame.groupby("style", observed=True).size().eq(125).all()


def test_styles_are_assigned_at_random():
    assigned = [
        tuple(simulate_flipped_classroom(seed)[0].groupby("professor", observed=True)["style"].first())
        for seed in range(40)
    ]
    assert len(set(assigned)) == 40
    # Professor A gets each style in a third of all courses: 40 of them, standard error 0.075, three of them.
    shares = pd.Series([styles[0] for styles in assigned]).value_counts(normalize=True)
    assert (abs(shares - 1 / 3) < 0.225).all()


@pytest.mark.parametrize("plan", PLANS)
def test_scores_average_to_the_truth_that_is_returned(plan):
    frame, truth = simulate_flipped_classroom(5, plan=plan, n_students=60_000, n_professors=300)
    error = frame["score"] - frame["style"].map(truth.styles).astype(float)
    error -= frame["professor"].map(truth.professors).astype(float)
    # Means over >= 15,000 students of errors with sd 9: standard errors under 0.075; five of them.
    assert error.groupby(frame["style"], observed=True).mean().abs().max() < 0.375
    assert error.std() == pytest.approx(truth.sigma, rel=0.02)
    # The standard deviation of 300 normal values has a relative standard error of 1 / sqrt(600) = 4 %; four of them.
    assert truth.professors.std() == pytest.approx(truth.sd_professor, rel=0.16)


def test_without_any_spread_the_scores_are_the_means_of_the_styles():
    frame, truth = simulate_flipped_classroom(1, sd_professor=0, sigma=0)
    assert frame.groupby("style", observed=True)["score"].mean().to_dict() == pytest.approx(dict(STYLE_MEANS))
    assert truth.contrast("Some Flipped", "Fully Flipped") == -3.5
    assert truth.contrast("Fully Flipped", "No Flipped") == 8.0


def test_styles_of_ones_own():
    frame, truth = simulate_flipped_classroom(1, styles={"old": 50.0, "new": 60.0}, n_students=60, n_professors=30)
    assert list(frame["style"].cat.categories) == ["old", "new"]
    assert frame["professor"].nunique() == 30
    assert truth.contrast("new", "old") == 10.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plan": "mixed"}, "there is no plan 'mixed'"),
        ({"plan": "assigned", "n_professors": 2}, "2 professors cannot keep to 3 styles"),
        ({"n_students": 44, "plan": "crossed"}, "44 students are too few"),
        ({"n_professors": 0}, "0 professors cannot keep"),
        ({"sigma": -1.0}, "cannot be negative"),
        ({"sd_professor": float("nan")}, "cannot be negative"),
    ],
)
def test_impossible_courses_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        simulate_flipped_classroom(1, **arguments)


def test_a_contrast_of_an_unknown_style_is_refused():
    _, truth = simulate_flipped_classroom(1)
    with pytest.raises(DataError, match="no style 'Half Flipped'"):
        truth.contrast("Half Flipped", "No Flipped")
