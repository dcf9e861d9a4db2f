"""Values of policies against sums by hand, with joint errors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import mixedfx as mx
from mixedfx.errors import DataError, OptionError
from mixedfx.learn.predicted import Cate
from tests.learn.trials import linear_trial


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(0)
    n = 200
    e = rng.uniform(0.2, 0.6, n)
    w = (rng.random(n) < e).astype(int)
    y = 1 + w * rng.normal(0.5, 1, n) + rng.standard_normal(n)
    mu = np.column_stack([np.ones(n), rng.normal(1.5, 0.2, n)])
    return y, w, e, mu, rng.random(n) < 0.3, rng.integers(15, size=n)


def by_hand(y, w, e, treat, mu=None):
    """One person after the other."""
    total = []
    for i in range(len(y)):
        k = int(treat[i])
        p = e[i] if k else 1 - e[i]
        base = 0.0 if mu is None else mu[i, k]
        total.append(base + (y[i] - base) / p * (w[i] == k))
    return np.array(total)


def test_values_are_the_sums_of_the_definition(trial):
    y, w, e, mu, treat, _ = trial
    for method, outcomes in (("ipw", None), ("aipw", mu)):
        value = mx.policy_value(treat, y, w, e, method=method, outcomes=outcomes)
        rows = by_hand(y, w, e, treat, outcomes)
        found = value.table.iloc[0]
        assert found["value"] == pytest.approx(rows.mean(), rel=1e-12)
        assert found["std_error"] == pytest.approx(rows.std(ddof=1) / np.sqrt(len(y)), rel=1e-12)
        assert found["share"] == treat.mean()


def test_a_contrast_has_the_error_of_the_difference_of_each_person(trial):
    y, w, e, mu, treat, cluster = trial
    value = mx.policy_value({"chosen": treat, "none": 0}, y, w, e, "aipw", outcomes=mu, cluster=cluster)
    gap = by_hand(y, w, e, treat, mu) - by_hand(y, w, e, np.zeros(len(y)), mu)
    found = value.contrast("chosen", "none").iloc[0]
    assert found["value"] == pytest.approx(gap.mean(), rel=1e-12)
    sums = np.bincount(cluster, gap - gap.mean()) / len(y)
    assert found["std_error"] == pytest.approx(np.sqrt(15 / 14 * (sums**2).sum()), rel=1e-12)
    assert (gap[~treat] == 0).all()
    separate = np.sqrt((value.table["std_error"] ** 2).sum())
    assert found["std_error"] < 0.7 * separate


def test_a_random_policy_is_the_mixture_of_what_it_mixes(trial):
    y, w, e, *_ = trial
    table = mx.policy_value({"half": 0.5, "all": 1, "none": 0}, y, w, e).table.set_index("policy")["value"]
    assert table["half"] == pytest.approx((table["all"] + table["none"]) / 2)


def test_scores_bring_everything_with_them():
    X, y, w, e, tau = linear_trial(4000, arms=3)
    group = np.arange(4000) % 40
    scores = mx.dr_scores(X, y, w, groups=group, outcome=LinearRegression(), propensity=e)
    best = np.where(X["x1"] > -1, 2, 0)
    value = mx.policy_value({"best": best, "one": np.full(4000, 1), "none": np.zeros(4000, int)}, scores)
    found = value.contrast("best", "none").iloc[0]
    truth = np.where(X["x1"] > -1, tau[:, 1], 0).mean()
    assert abs(found["value"] - truth) < 4 * found["std_error"]
    again = mx.policy_value({"best": best}, y, w, e, "aipw", outcomes=scores.mu, cluster=group)
    pd.testing.assert_frame_equal(again.table, value.table.iloc[:1])
    ipw = mx.policy_value({"best": best}, scores, method="ipw").table
    pd.testing.assert_frame_equal(ipw, mx.policy_value({"best": best}, y, w, e, cluster=group).table)
    assert "40 clusters" in repr(value)


def test_groups_have_values_and_shares_of_their_own(trial):
    y, w, e, _, treat, cluster = trial
    kind = np.where(cluster < 5, "a", "b")
    value = mx.policy_value({"chosen": treat, "all": 1}, y, w, e, by=kind)
    table = value.groups
    row = table[(table["group"] == "a") & (table["policy"] == "chosen")].iloc[0]
    own = by_hand(y, w, e, treat)[kind == "a"]
    assert row["n"] == len(own)
    assert row["share"] == pytest.approx(treat[kind == "a"].mean())
    assert row["value"] == pytest.approx(own.mean(), rel=1e-12)
    assert row["std_error"] == pytest.approx(own.std(ddof=1) / np.sqrt(len(own)), rel=1e-12)
    # groups put together are everybody
    parts = table[table["policy"] == "all"]
    assert np.average(parts["value"], weights=parts["n"]) == pytest.approx(value.table["value"][1])


def test_the_most_promising_are_treated_and_ties_in_part():
    tau = np.array([0.1, 0.5, 0.3, 0.3, 0.3, -0.2])
    for share, expected in ((0.0, [0] * 6), (1 / 3, [0, 1, 1 / 3, 1 / 3, 1 / 3, 0]), (1.0, [1] * 6)):
        policy = mx.treat_best(tau, share, cross_fitted=True)
        np.testing.assert_allclose(policy, expected, atol=1e-12)
        assert policy.mean() == pytest.approx(share)
    low = mx.treat_best(tau, 1 / 6, cross_fitted=True, benefit="lower")
    assert low.tolist() == [0, 0, 0, 0, 0, 1]


def test_in_sample_effects_choose_nobody():
    with pytest.raises(OptionError, match="do not say whether they were cross-fitted"):
        mx.treat_best(np.zeros(4), 0.5)
    with pytest.raises(OptionError, match="that the learner was fitted to"):
        mx.treat_best(Cate(np.zeros(4), ("1 - 0",), False), 0.5)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"policy": np.zeros(3)}, DataError, r"policy has shape \(3,\)"),
        ({"policy": np.full(200, 1.5)}, DataError, "policy holds 200 rows that are no probabilities"),
        ({"policy": {"a": ["yes"] * 200}}, DataError, "a holds 200 values that are no arms"),
        ({"propensity": np.r_[0.0, 1.0, np.full(198, 0.5)]}, DataError, "2 known propensities are 0 or 1"),
        ({"method": "aipw"}, OptionError, "needs outcomes="),
        ({"method": "dm"}, OptionError, "method='dm' is not known"),
        ({"method": "aipw", "outcomes": np.zeros((5, 2))}, DataError, r"outcomes have shape \(5, 2\)"),
        ({"w": np.ones(200)}, DataError, "the treatment has one value"),
        ({"w": None}, OptionError, "values need treatments"),
    ],
)
def test_what_cannot_be_meant_is_refused(trial, options, error, says):
    y, w, e, *_ = trial
    asked = {"policy": 1, "y": y, "w": w, "propensity": e} | options
    with pytest.raises(error, match=says):
        mx.policy_value(**asked)


@pytest.mark.parametrize("arms", [(1, 2), (2, 1), (-1, 0), (-1, 1), (1.0, 2.0), (0, 1), (False, True), ("a", "b")])
def test_one_is_treated_and_zero_is_not_whatever_the_arms_are_called(arms):
    """The outcomes of the second arm are 3 and 6, whose value is 4.5, those of the first 1 and 2."""
    w = pd.Categorical([arms[k] for k in (0, 1, 0, 1)], categories=list(arms))
    policies = {"all": 1, "none": 0, "yes": np.ones(4, bool), "no": np.zeros(4), "third": np.full(4, 1.0)}
    policies["best"] = mx.treat_best([4.0, 3, 2, 1], 1.0, cross_fitted=True)
    policies["nobody"] = mx.treat_best([4.0, 3, 2, 1], 0.0, cross_fitted=True)
    table = mx.policy_value(policies, [1.0, 3, 2, 6], w, propensity=0.5).table
    assert table["value"].tolist() == [4.5, 1.5, 4.5, 1.5, 4.5, 4.5, 1.5]
    assert table["share"].tolist() == [1, 0, 1, 0, 1, 1, 0]


def test_labels_are_arms_where_they_can_be_nothing_else():
    y, w = [1.0, 3, 2, 6], [1, 2, 1, 2]
    table = mx.policy_value({"two": [2, 2, 2, 2], "some": [1, 2, 1, 2]}, y, w, propensity=0.5).table
    assert table["value"].tolist() == [4.5, 6.0]  # (2 + 6 + 4 + 12) / 4
    with pytest.raises(DataError, match=r"labels of arms \(1 and 2\) and probabilities of treatment"):
        mx.policy_value([1, 1, 1, 1], y, w, propensity=0.5)
    with pytest.raises(DataError, match="labels of arms"):  # the control is called 1, the treatment 0
        mx.policy_value([0, 1, 1, 0], y, pd.Categorical([1, 0, 1, 0], categories=[1, 0]), propensity=0.5)
    with pytest.raises(DataError, match="yes or no, and there are 3 arms"):
        mx.policy_value([True, False, True], y[:3], [0, 1, 2], propensity=[[1 / 3] * 3] * 3)


def test_errors_of_groups_are_those_of_clusters(trial):
    """By hand, and against a simulation: schools differ, groups cut across them."""
    y, w, e, _, treat, cluster = trial
    kind = np.arange(200) % 2
    found = mx.policy_value({"chosen": treat}, y, w, e, by=kind, cluster=cluster).groups
    own = kind == 1
    rows = by_hand(y, w, e, treat)[own]
    sums = np.bincount(cluster[own], rows - rows.mean(), 15) / len(rows)
    assert found["std_error"][1] == pytest.approx(np.sqrt(15 / 14 * (sums**2).sum()), rel=1e-12)
    alone = mx.policy_value({"chosen": treat}, y, w, e, by=cluster, cluster=cluster).groups
    assert alone["std_error"].isna().all()

    rng = np.random.default_rng(3)
    school, kind, held = np.repeat(np.arange(60), 20), np.tile([0, 1], 600), []
    for _ in range(300):
        w = rng.integers(2, size=1200)
        y = rng.normal(0, 0.7, 60)[school] + rng.standard_normal(1200)
        table = mx.policy_value({"all": 1}, y, w, 0.5, by=kind, cluster=school).groups
        held.append((table["lower"] <= 0) & (table["upper"] >= 0))
    # 95 % less what normal quantiles lose with 60 clusters (94.5 %); 4 standard errors of 300 are .05, of rows .75
    assert np.mean(held) > 0.9


def test_outcome_models_are_used_or_refused(trial):
    y, w, e, mu, treat, _ = trial
    table = mx.policy_value(treat, y, w, e, outcomes=mu).table
    pd.testing.assert_frame_equal(table, mx.policy_value(treat, y, w, e, "aipw", outcomes=mu).table)
    with pytest.raises(OptionError, match="method='ipw' does not use outcomes="):
        mx.policy_value(treat, y, w, e, "ipw", outcomes=mu)
    with pytest.raises(OptionError, match="there is no policy"):
        mx.policy_value({}, y, w, e)
