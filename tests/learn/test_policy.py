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
