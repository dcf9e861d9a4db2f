"""Effects from elsewhere: points, standard errors and draws, averaged over subgroups by hand."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, DependentErrorsWarning, EffectsError, OptionError
from mixedfx.learn.predicted import Cate


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "school": rng.choice(list("abc"), 90), "x": rng.standard_normal(90), "tau": rng.normal(0.3, 0.2, 90),
        "se": rng.uniform(0.1, 0.3, 90), "w": rng.uniform(0, 2, 90),
    })  # fmt: skip


def weighted(people, column, power=1):
    own = people["w"] / people.groupby("school")["w"].transform("sum")
    return (own**power * people[column] ** power).groupby(people["school"]).sum()


def test_points_have_averages_and_no_intervals(people):
    eff = mx.effects_from(people["tau"], people, by="school", weights="w")
    np.testing.assert_allclose(eff.table["estimate"], weighted(people, "tau"), rtol=1e-12)
    np.testing.assert_allclose(eff.table["weight"], people.groupby("school")["w"].sum(), rtol=1e-12)
    assert eff.table[["sd", "lower", "upper", "prob_above_null"]].isna().all().all()
    assert "no intervals" in repr(eff)
    assert eff.contrast("school=a", "school=b").table["estimate"].item() == pytest.approx(
        eff.table["estimate"][0] - eff.table["estimate"][1]
    )
    with pytest.raises(EffectsError, match=r"there are no draws[\s\S]*pool_scores"):
        eff.decide(cost=0.1)


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_standard_errors_of_averages_follow_the_correlation(people, rho):
    eff = mx.effects_from("tau", people, by="school", weights="w", se="se", rho=rho)
    expected = rho * weighted(people, "se") ** 2 + (1 - rho) * weighted(people, "se", 2)
    np.testing.assert_allclose(eff.table["sd"], np.sqrt(expected), rtol=1e-12)
    half = (eff.table["upper"] - eff.table["lower"]) / 2
    np.testing.assert_allclose(half, 1.959963984540054 * eff.table["sd"], rtol=1e-9)
    # brute force of a contrast: a' V b over all people
    n = len(people)
    V = np.outer(people["se"], people["se"]) * (rho + (1 - rho) * np.eye(n))
    own = people["w"] / people.groupby("school")["w"].transform("sum")
    a = own * (people["school"] == "a") - own * (people["school"] == "b")
    np.testing.assert_allclose(
        eff.contrast("school=a", "school=b").table["sd"].item(), np.sqrt(a @ V @ a), rtol=1e-9, atol=1e-9
    )
    # 20,000 draws: sd within 4 of its standard errors, sd / sqrt(40,000)
    np.testing.assert_allclose(eff.draws(20_000).std(axis=0), eff.table["sd"], rtol=0.03)


def test_independence_that_nobody_stated_is_warned_of(people):
    with pytest.warns(DependentErrorsWarning, match="rho=0"):
        mx.effects_from("tau", people, by="school", se="se")
    alone = people.iloc[:3].assign(school=["a", "b", "c"])
    mx.effects_from("tau", alone, by="school", se="se")  # one person each: nothing is averaged, nothing to warn of


def test_draws_are_averaged_one_by_one(people):
    draws = people["tau"].to_numpy() + np.random.default_rng(1).standard_normal((500, 90))
    eff = mx.effects_from(None, people, by="school", draws=draws)
    by_hand = np.column_stack([draws[:, (people["school"] == s).to_numpy()].mean(axis=1) for s in "abc"])
    np.testing.assert_allclose(eff.draws(), by_hand, rtol=1e-12)
    np.testing.assert_allclose(eff.table["sd"], by_hand.std(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(eff.table["lower"], np.quantile(by_hand, 0.025, axis=0), rtol=1e-12)
    np.testing.assert_allclose(eff.table["prob_above_null"], (by_hand > 0).mean(axis=0), rtol=1e-12)
    assert eff.prob(greater=0.3).shape[0] == 3
    assert set(eff.decide(cost=0.1).policies["policy"]) == {"chosen", "all", "none", "random"}


def test_overlapping_subgroups_and_everybody(people):
    names = {"a": "school == 'a'", "high": "x > 0", "a and high": "school == 'a' and x > 0"}
    eff = mx.effects_from("tau", people, subgroups=names)
    expected = [people.query(q)["tau"].mean() for q in names.values()]
    np.testing.assert_allclose(eff.table["estimate"], expected, rtol=1e-12)
    everybody = mx.effects_from("tau", people)
    assert everybody.table["estimate"].item() == pytest.approx(people["tau"].mean())
    assert everybody.table["subgroup"].tolist() == ["overall"]


def test_rows_without_weight_count_for_nothing(people):
    eff = mx.effects_from("tau", people, by="school", weights=(people["school"] != "b").astype(float))
    assert eff.table["school"].tolist() == ["a", "c"]


def test_a_learners_effects_and_a_file_are_read(people, tmp_path):
    """As grf writes them: predictions and variance.estimates in a table of their own."""
    cate = Cate(people["tau"].to_numpy(), ("1 - 0",), True, "R")
    eff = mx.effects_from(cate, people, by="school", treatment={"coached": ["no", "yes"]}, response="score")
    assert (eff.treatment, eff.response) == ("coached", "score")
    assert "R-learner" in eff.to_html()
    file = tmp_path / "grf.csv"
    pd.DataFrame({"predictions": people["tau"], "variance.estimates": people["se"] ** 2}).to_csv(file)
    read = pd.read_csv(file)
    again = mx.effects_from(read["predictions"], people, by="school", se=read["variance.estimates"] ** 0.5, rho=1)
    np.testing.assert_allclose(again.table["estimate"], eff.table["estimate"], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"cate": np.zeros(3)}, DataError, "there are 3 effects and 90 rows"),
        ({"cate": np.r_[np.nan, np.zeros(89)]}, DataError, "1 effects are NaN or infinite: row 0"),
        ({"cate": "effect"}, EffectsError, "no column 'effect'"),
        ({"cate": None}, OptionError, "neither effects nor draws"),
        ({"draws": np.zeros((1, 90))}, DataError, r"draws have shape \(1, 90\)"),
        ({"draws": np.full((4, 90), np.nan)}, DataError, "draws of 90 effects are NaN"),
        ({"se": -np.ones(90), "rho": 0}, DataError, "90 standard errors are negative"),
        ({"se": np.ones(4), "rho": 0}, DataError, r"se has shape \(4,\)"),
        ({"se": "se", "draws": np.zeros((9, 90))}, OptionError, "se and draws were both given"),
        ({"rho": 0.5}, OptionError, "says something about standard errors"),
        ({"se": "se", "rho": 2}, OptionError, "no correlation from 0 to 1"),
        ({"by": "skool"}, EffectsError, "no column 'skool'"),
    ],
)
def test_what_cannot_be_meant_is_refused(people, options, error, says):
    with pytest.raises(error, match=says):
        mx.effects_from(**({"cate": "tau", "data": people} | options))


def test_missing_groups_are_counted(people):
    holes = people.assign(school=people["school"].where(people.index > 1))
    with pytest.raises(EffectsError, match="'school' is missing in 2 rows: rows 0 and 1"):
        mx.effects_from("tau", holes, by="school")
