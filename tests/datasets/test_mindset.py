"""The synthetic pupils have the shape they are said to have, and the truth that is returned made them."""

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError


@pytest.fixture(scope="module")
def simulated():
    return mx.datasets.simulate_mindset(3)


def test_the_shape_is_that_of_the_study(simulated):
    data, _ = simulated
    sizes = data["schoolid"].value_counts()
    assert len(data) == 10_391
    assert (len(sizes), sizes.min(), sizes.max()) == (76, 14, 529)
    assert data["ethnicity"].nunique() == 15
    assert list(data.columns) == [
        "schoolid", "intervention", "achievement_score", "success_expect", "ethnicity", "gender", "frst_in_family",
        "school_urbanicity", "school_mindset", "school_achievement", "school_ethnic_minority", "school_poverty",
        "school_size",
    ]  # fmt: skip
    per_school = data.groupby("schoolid", observed=True)
    assert (per_school["school_size"].nunique() == 1).all()


@pytest.mark.parametrize("n", [3040, 5000, 12_345])
def test_any_number_of_pupils_is_met_exactly(n):
    data, truth = mx.datasets.simulate_mindset(0, n=n)
    assert len(data) == len(truth.tau) == n
    assert data["schoolid"].nunique() == 76


def test_effects_are_the_sum_of_school_and_ethnicity(simulated):
    data, truth = simulated
    school = truth.school.reindex(data["schoolid"].astype(str)).to_numpy()
    ethnicity = truth.ethnicity.reindex(data["ethnicity"].astype(str)).to_numpy()
    np.testing.assert_allclose(truth.tau, truth.effect + school + ethnicity, atol=1e-12)
    np.testing.assert_allclose(
        truth.average("schoolid")["s05"], truth.tau[(data["schoolid"] == "s05").to_numpy()].mean(), rtol=1e-12
    )


def test_residuals_have_the_stated_spread_and_treatment_the_stated_probabilities(simulated):
    """Within 4 standard errors of 10,391 draws."""
    data, truth = simulated
    w = data["intervention"].to_numpy()
    e = data["achievement_score"] - truth.mu0 - w * truth.tau
    n = len(data)
    assert abs(e.std() - 0.8) < 4 * 0.8 / np.sqrt(2 * n)
    assert abs(e.mean()) < 4 * 0.8 / np.sqrt(n)
    z = (w - truth.propensity).sum() / np.sqrt((truth.propensity * (1 - truth.propensity)).sum())
    assert abs(z) < 4
    assert truth.propensity.min() >= 0.25
    assert truth.propensity.max() <= 0.4


def test_the_expectant_are_coached_more_often(simulated):
    data, _ = simulated
    share = data.groupby("success_expect")["intervention"].mean()
    assert share[7] > share[3] + 0.02


def test_a_seed_gives_one_data_set():
    first, second, third = (mx.datasets.simulate_mindset(s, n=3040)[0] for s in (5, 5, 6))
    assert first.equals(second)
    assert not first.equals(third)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n": 100}, "100 pupils"),
        ({"sd_school": -1.0}, "cannot be negative"),
        ({"propensities": (0.4, 0.2)}, "no range of probabilities"),
        ({"propensities": (0.0, 0.2)}, "no range of probabilities"),
    ],
)
def test_nonsense_is_refused(options, says):
    with pytest.raises(DataError, match=says):
        mx.datasets.simulate_mindset(0, **options)


@pytest.mark.parametrize(
    ("seed", "options", "says"),
    [
        (-1, {}, "seed=-1 is not a whole number from 0"),
        (0.5, {}, "seed=0.5 is not a whole number from 0"),
        (0, {"n": 4000.5}, "n=4000.5 is not a whole number from 1"),
        (0, {"n": 36_001}, "n=36001 pupils are more than the schools hold"),
    ],
)
def test_numbers_that_are_none_are_refused(seed, options, says):
    with pytest.raises(OptionError, match=says):
        mx.datasets.simulate_mindset(seed, **options)


def test_as_many_pupils_come_as_were_asked_for():
    for n in (3040, 10_391, 36_000):
        data, _ = mx.datasets.simulate_mindset(3, n=n)
        sizes = data["schoolid"].value_counts()
        assert len(data) == n
        assert (sizes.min(), sizes.max()) == (14, 529)
