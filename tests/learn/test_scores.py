"""Doubly robust scores against their closed form, and their averages with errors by cluster."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import mixedfx as mx
from mixedfx.errors import DataError, OptionError
from mixedfx.learn import clusters
from tests.learn.trials import folds_of, linear_trial


def ols_at(X, y, new):
    D, N = (np.column_stack([np.ones(len(Z)), Z]) for Z in (X, new))
    return N @ np.linalg.lstsq(D, y, rcond=None)[0]


@pytest.mark.parametrize("arms", [2, 3])
def test_scores_are_the_closed_form(arms):
    X, y, w, e, _ = linear_trial(500, arms=arms)
    folds, A = folds_of(500), X.to_numpy()
    scores = mx.dr_scores(X, y, w, outcome=LinearRegression(), propensity=e, folds=folds)
    for k in range(1, arms):
        gamma = np.zeros(500)
        for sign, arm in ((1, k), (-1, 0)):
            mu = np.empty(500)
            for j in range(3):
                t = (folds != j) & (w == arm)
                mu[folds == j] = ols_at(A[t], y[t], A[folds == j])
            gamma += sign * (mu + (w == arm) * (y - mu) / e[:, arm])
        found = scores.of(f"{k} - 0")
        np.testing.assert_allclose(found, gamma, atol=1e-9)  # least squares, solved in two ways
    assert np.shape(scores) == ((500,) if arms == 2 else (500, 2))


def test_averages_are_robust_to_either_model_being_wrong():
    """20,000 rows: a wrong outcome model with right propensities, and the other way round; within 4 standard errors."""
    X, y, w, e, tau = linear_trial(20_000, seed=3)
    constant = np.zeros((len(X), 1))
    for scores in (
        mx.dr_scores(constant, y, w, outcome=LinearRegression(), propensity=e[:, 1]),
        mx.dr_scores(X, y, w, outcome=LinearRegression(), propensity=0.3),
    ):
        row = scores.average().iloc[0]
        assert abs(row["estimate"] - tau.mean()) < 4 * row["std_error"]
    assert abs(y[w == 1].mean() - y[w == 0].mean() - tau.mean()) > 0.1  # which the raw difference misses


def test_standard_errors_are_those_of_sums_of_clusters():
    rng = np.random.default_rng(0)
    group = rng.integers(12, size=300)
    s = rng.standard_normal(300) + rng.standard_normal(12)[group]
    mean, V = clusters.means(s[:, None], np.ones((300, 1)), group)
    total = sum(((s - s.mean())[group == g].sum() / 300) ** 2 for g in range(12))
    np.testing.assert_allclose([mean[0], V[0, 0]], [s.mean(), 12 / 11 * total], rtol=1e-12)
    np.testing.assert_allclose(clusters.means(s[:, None], np.ones((300, 1)))[1], s.var(ddof=1) / 300, rtol=1e-12)


def test_a_regression_has_the_robust_covariance_of_lmer():
    """CR1 of least squares, which another part of the package has too."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.standard_normal(90), "g": np.arange(90) % 9})
    data["y"] = data["x"] + rng.standard_normal(9)[data["g"]] + rng.standard_normal(90)
    X = np.column_stack([np.ones(90), data["x"]])
    b, V = clusters.least_squares(X, data["y"].to_numpy(), data["g"].to_numpy())
    fit = mx.lmer("y ~ x", data)
    np.testing.assert_allclose(b, fit.fixef, rtol=1e-10)
    np.testing.assert_allclose(V, fit.vcov_robust("CR1", cluster=data["g"]).table, rtol=1e-9)


def test_the_page_has_the_average_and_the_overlap():
    X, y, w, e, _ = linear_trial(300)
    scores = mx.dr_scores(X, y, w, groups=np.arange(300) % 10, outcome=LinearRegression(), propensity=e)
    page = repr(scores)
    assert "clustered by 10 groups" in page
    assert "below_0.05" in page
    assert len(scores) == 300


def test_what_cannot_be_is_refused():
    X, y, w, e, _ = linear_trial(300, arms=3)
    scores = mx.dr_scores(X, y, w, outcome=LinearRegression(), propensity=e)
    with pytest.raises(OptionError, match=r"scores are of 2 effects\nSay which by contrast=. Contrasts: 1 - 0, 2 - 0"):
        scores.of()
    with pytest.raises(DataError, match="2 known propensities are 0 or 1"):
        mx.dr_scores(X, y, w, outcome=LinearRegression(), propensity=np.r_[[[0, 0.5, 0.5], [1, 0, 0]], e[2:]])


def test_defaults_are_small_trees():
    X, y, w, _, tau = linear_trial(3000)
    scores = mx.dr_scores(X, y, w)
    assert abs(scores.average()["estimate"][0] - tau.mean()) < 0.15
    assert scores.e.min() > 0.05
