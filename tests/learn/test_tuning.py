"""Tuning by losses that are computed by hand, and explanations that add up."""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMRegressor
from sklearn.linear_model import LinearRegression, Ridge

import mixedfx as mx
from mixedfx.errors import MissingPackageError, OptionError
from tests.learn.trials import linear_trial

TREES = LGBMRegressor(n_estimators=20, verbosity=-1, n_jobs=1)


@pytest.fixture(scope="module")
def trial():
    X, y, w, e, tau = linear_trial(1200)
    return X, y, w, e[:, 1], tau[:, 0], np.arange(1200) % 30


@pytest.fixture(scope="module")
def scores(trial):
    X, y, w, e, _, group = trial
    return mx.dr_scores(X, y, w, groups=group, outcome=LinearRegression(), propensity=e)


GRID = {"R": {"outcome": [LinearRegression()], "effect": [Ridge()], "effect__alpha": [0.1, 1e6]},
        "T": {"outcome": [LinearRegression(), TREES]}}  # fmt: skip


@pytest.mark.parametrize("loss", ["R", "DR"])
def test_losses_are_those_of_the_definition(trial, loss):
    X, y, w, e, _, group = trial
    tuned = mx.tune_cate(GRID, X, y, w, loss=loss, groups=group, outcome=LinearRegression(), propensity=e)
    assert len(tuned.table) == 4
    best = tuned.best
    nuisances = mx.dr_scores(X, y, w, folds=best.folds, outcome=LinearRegression(), propensity=e)
    if loss == "DR":
        each = (nuisances.values - best.out_of_fold.values) ** 2
        constant = ((nuisances.values - nuisances.values.mean()) ** 2).mean()
    else:
        m = e * nuisances.mu[:, 1] + (1 - e) * nuisances.mu[:, 0]
        each = (y - m - (w - e) * best.out_of_fold.values) ** 2
        flat = ((w - e) * (y - m)).sum() / ((w - e) ** 2).sum()
        constant = ((y - m - (w - e) * flat) ** 2).mean()
    assert tuned.table["loss"][0] == pytest.approx(each.mean(), rel=1e-9)
    assert tuned.table["explained"][0] == pytest.approx(1 - each.mean() / constant, rel=1e-9)
    assert tuned.table["loss"].is_monotonic_increasing
    assert tuned.table["behind"][0] == 0


def test_the_model_that_holds_the_truth_wins(trial):
    """Effects are linear here: linear models beat trees, and a penalty that flattens them."""
    X, y, w, e, tau, group = trial
    tuned = mx.tune_cate(GRID, X, y, w, groups=group, outcome=LinearRegression(), propensity=e)
    table = tuned.table.set_index(["learner"])
    flat = tuned.table[tuned.table["effect__alpha"] == 1e6].iloc[0]
    assert tuned.table.iloc[0]["explained"] > 0.1
    assert flat["explained"] < 0.05
    assert flat["behind"] > 3 * flat["behind_se"]
    assert np.sqrt(((tuned.best.out_of_fold.values - tau) ** 2).mean()) < 0.1
    assert len(table) == 4
    assert "Candidates, the best first" in repr(tuned)


def test_halving_judges_the_better_half_on_more_rows(trial):
    X, y, w, e, _, group = trial
    seen = []
    tuned = mx.tune_cate(GRID, X, y, w, search="halving", groups=group, outcome=LinearRegression(), propensity=e,
                         progress=seen.append)  # fmt: skip
    assert sorted(tuned.table["rows"]) == [300, 300, 600, 1200]
    assert tuned.table["rows"][0] == 1200
    assert (seen[-1].done, seen[-1].total) == (7, 7)


def test_unknown_parts_are_refused(trial):
    X, y, w, *_ = trial
    with pytest.raises(OptionError, match="there is no part 'models'"):
        mx.tune_cate({"R": {"models": [1]}}, X, y, w)
    with pytest.raises(OptionError, match="learner='Q'"):
        mx.tune_cate({"Q": {}}, X, y, w)
    with pytest.raises(OptionError, match="effect__alpha needs a model"):
        mx.tune_cate({"R": {"effect__alpha": [1]}}, X, y, w, outcome=LinearRegression(), propensity=0.5)


@pytest.mark.parametrize("learner", ["T", "X", "R", "DR"])
def test_shapley_values_add_up_to_the_effect(trial, learner):
    X, y, w, e, _, _ = trial
    fit = mx.cate(learner, X, y, w, outcome=TREES, effect=TREES, propensity=e)
    found = mx.explain_cate(fit)
    expected = fit.predict(X, propensity=e).values
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), expected, atol=1e-6)
    assert found.importance.index[0] == "x1"
    assert found.plot().ax.get_yticklabels()[-1].get_text() == "x1"


def test_what_trees_do_not_explain_is_refused(trial):
    X, y, w, *_ = trial
    with pytest.raises(OptionError, match="TreeExplainer cannot explain LinearRegression"):
        mx.explain_cate(mx.cate("T", X, y, w, outcome=LinearRegression()))
    with pytest.raises(OptionError, match="no model of its own"):
        mx.explain_cate(mx.cate("S", X, y, w, outcome=TREES))


def test_shuffling_what_effects_depend_on_costs_most(trial, scores):
    X, y, w, e, *_ = trial
    for learner in ("T", "X", "R"):
        fit = mx.cate(learner, X, y, w, outcome=LinearRegression(), effect=LinearRegression(), propensity=e)
        table = mx.permutation_importance(fit, scores, repeats=3).set_index("column")
        # effects 1 + x1: shuffling x1 adds 2 var(x1) = 2 to the squared error, up to the noise of scores
        assert table["importance"]["x1"] == pytest.approx(2, abs=0.5)
        assert abs(table["importance"]["x2"]) < 0.1


def test_the_projection_is_least_squares_of_scores_with_robust_errors(trial, scores):
    X, *_, group = trial
    table = mx.best_linear_projection(scores, "1 + x1 + x2", X)
    D = np.column_stack([np.ones(len(X)), X])
    np.testing.assert_allclose(table["estimate"], np.linalg.lstsq(D, scores.values, rcond=None)[0], rtol=1e-9)
    assert abs(table["estimate"][1] - 1) < 4 * table["std_error"][1]
    assert (table["df"] < 30).all()  # there are 30 clusters
    other = mx.best_linear_projection(scores.values, "1 + x1 + x2", X, cluster=group)
    pd.testing.assert_frame_equal(table, other)
    with pytest.raises(OptionError, match="no random terms"):
        mx.best_linear_projection(scores.values + group % 7, "1 + (1 | x3)", X.assign(x3=group % 7))


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"outcome": LinearRegression()}, "R: the grid is none"),
        ({"effect": [Ridge()], "effect__depth": [1]}, r"Ridge has no parameter 'depth' \(effect__depth\)"),
        ({"effect__alpha": [1.0]}, "effect__alpha needs a model"),
    ],
)
def test_grids_that_are_none_are_refused_before_anything_is_fitted(trial, grid, says):
    X, y, w, e, *_ = trial
    with pytest.raises(OptionError, match=says):
        mx.tune_cate({"R": grid}, X, y, w, outcome=LinearRegression(), propensity=e)


def test_the_best_says_whom_it_was_chosen_for(trial):
    X, y, w, e, _, group = trial
    tuned = mx.tune_cate({"T": {"outcome": [LinearRegression()]}}, X, y, w, groups=group, target="new groups",
                         outcome=LinearRegression(), propensity=e)  # fmt: skip
    assert tuned.best.target == tuned.best.out_of_fold.target == "new groups"


class Drawing:
    """What tune_cate asks of optuna, with candidates drawn at random; tests/peers has optuna itself."""

    WARNING, verbosity = 30, 20

    def __init__(self):
        self.logging = self.samplers = self
        self.told = []

    def get_verbosity(self):
        return self.verbosity

    def set_verbosity(self, level):
        self.verbosity = level

    def TPESampler(self, seed):
        return np.random.default_rng(seed)

    def create_study(self, direction, sampler):
        assert direction == "minimize"
        self.rng = sampler
        return self

    def ask(self):
        return self

    def tell(self, _, loss):
        self.told.append(loss)

    def suggest_categorical(self, _, choices):
        return choices[self.rng.integers(len(choices))]

    def suggest_int(self, _, low, high, log, step=1):
        return int(self.rng.integers(low, high + 1))

    def suggest_float(self, _, low, high, log):
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high)))) if log else self.rng.uniform(low, high)


@dataclass
class FloatDistribution:
    """As optuna has them."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


FloatDistribution.__module__ = "optuna.distributions"
RIDGE = {"outcome": [LinearRegression()], "effect": [Ridge()]}


def test_suggestions_are_fitted_once_and_told_their_loss(trial, monkeypatch):
    X, y, w, e, _, group = trial
    study = Drawing()
    monkeypatch.setitem(sys.modules, "optuna", study)
    grid = {"R": {**RIDGE, "effect__alpha": [0.1, 1e6]}, "T": [{"outcome": [LinearRegression()]}]}
    own = {"groups": group, "outcome": LinearRegression(), "propensity": e}
    seen = []
    tuned = mx.tune_cate(grid, X, y, w, search="optuna", n_trials=20, progress=seen.append, **own)
    assert len(study.told) == 20
    assert (seen[-1].done, seen[-1].total) == (20, 20)
    assert len(tuned.table) == 3  # 20 suggestions of three different candidates
    assert set(np.round(study.told, 12)) == set(np.round(tuned.table["loss"], 12))
    listed = mx.tune_cate(grid, X, y, w, **own).table
    pd.testing.assert_frame_equal(tuned.table.drop(columns="seconds"), listed.drop(columns="seconds"))
    assert study.verbosity == 20


def test_distributions_are_drawn_from(trial, monkeypatch):
    X, y, w, e, *_ = trial
    monkeypatch.setitem(sys.modules, "optuna", Drawing())
    own = {"outcome": LinearRegression(), "propensity": e}
    grid = {"R": {**RIDGE, "effect__alpha": FloatDistribution(1e-2, 1e6, log=True)}}
    tuned = mx.tune_cate(grid, X, y, w, search="optuna", n_trials=6, **own)
    assert tuned.table["effect__alpha"].nunique() == 6
    assert tuned.table["effect__alpha"].between(1e-2, 1e6).all()
    assert tuned.table["effect__alpha"][0] == tuned.chosen[1]["effect__alpha"]
    with pytest.raises(OptionError, match="effect__alpha is a distribution, from which only optuna draws"):
        mx.tune_cate(grid, X, y, w, **own)
    with pytest.raises(OptionError, match="Ridge has no parameter 'depth'"):
        mx.tune_cate({"R": {**RIDGE, "effect__depth": FloatDistribution(1, 2)}}, X, y, w, search="optuna", **own)


def test_without_optuna_the_way_to_it_is_said(trial, monkeypatch):
    X, y, w, *_ = trial
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"optuna is not installed\npip install optuna"):
        mx.tune_cate(GRID, X, y, w, search="optuna")
    with pytest.raises(OptionError, match="n_trials=0"):
        mx.tune_cate(GRID, X, y, w, search="optuna", n_trials=0)


def test_what_holds_no_candidates_is_refused(trial):
    X, y, w, *_ = trial
    for candidates, says in (
        (["R"], "candidates is a list"),
        ({}, "there are no candidates"),
        ({"R": []}, "there are no candidates"),
        ({"R": "effect"}, "the grid is a str"),
        ({"R": ["effect"]}, "the grid is a str"),
    ):
        with pytest.raises(OptionError, match=says):
            mx.tune_cate(candidates, X, y, w)


def test_a_table_names_what_was_chosen_before_what_was_measured(trial):
    X, y, w, e, _, group = trial
    table = mx.tune_cate(GRID, X, y, w, groups=group, outcome=LinearRegression(), propensity=e).table
    chosen, measured = ["outcome", "effect", "effect__alpha"], ["rows", "loss", "explained", "behind", "behind_se"]
    assert list(table.columns) == ["learner", *chosen, *measured, "seconds"]
