"""Learners of metalearners 0.13.0 and econml 0.17.0 on identical rows, folds and models: recorded effects.

tests/reference/gen_learners.py made the numbers. Where definitions agree all is held to 1e-8; where they differ
(`mixedfx.learn.pseudo_outcomes` says how) the stages that agree are held to it, from the other package's nuisances.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

import mixedfx as mx
from mixedfx.learn.pseudo_outcomes import arm_scores
from tests.reference.gen_learners import ALL, LOGIT, NUMBERS, TREES

HERE = Path(__file__).resolve().parents[1] / "reference" / "learners"
DATA, NEW = (pd.read_csv(HERE / f"{name}.csv") for name in ("trial", "new"))
META, ECON = (json.loads((HERE / f"{name}.json").read_text()) for name in ("metalearners", "econml"))
MODELS = {
    "linear": (LinearRegression(), LogisticRegression(**LOGIT)),
    "trees": (LGBMRegressor(**TREES), LGBMClassifier(**TREES)),
}
# sums in another order, in other versions of numpy and scikit-learn
CLOSE = {"rtol": 0, "atol": 1e-8}


def rows(name, package):
    """Covariates as the package was given them: econml numbers only, metalearners a category too."""
    X, new = (frame[NUMBERS if name == "linear" else ALL] for frame in (DATA, NEW))
    if package == "econml":
        return X.to_numpy(float), new.to_numpy(float)
    if name == "trees":
        X, new = (one.assign(kind=one["kind"].astype(pd.CategoricalDtype([0, 1, 2, 3]))) for one in (X, new))
    return X, new


def ours(learner, name, package="metalearners", **options):
    regressor, classifier = MODELS[name]
    X, new = rows(name, package)
    own = {"outcome": regressor, "propensity": classifier, "effect": regressor, "folds": DATA["fold"], **options}
    return mx.cate(learner, X, DATA["y"].to_numpy(), DATA["w"].to_numpy(), **own), new


@pytest.mark.parametrize("name", MODELS)
def test_the_r_learner_is_that_of_metalearners(name):
    fit, new = ours("R", name)
    theirs = META[name]["R"]
    np.testing.assert_allclose(fit.nuisances.e[:, 1], theirs["e"], **CLOSE)
    np.testing.assert_allclose(fit.out_of_fold.values, theirs["out_of_fold"], **CLOSE)
    np.testing.assert_allclose(fit.predict(new).values, theirs["new"], **CLOSE)


@pytest.mark.parametrize("learner", ["T", "X"])
@pytest.mark.parametrize("name", MODELS)
def test_t_and_x_learners_agree_on_other_people(name, learner):
    fit, new = ours(learner, name)
    np.testing.assert_allclose(fit.predict(new).values, META[name][learner]["new"], **CLOSE)


@pytest.mark.parametrize("learner", ["T", "X", "DR"])
@pytest.mark.parametrize("name", MODELS)
def test_outcomes_of_the_own_arm_agree_and_of_the_other_arm_differ(name, learner):
    """There a model of an arm sees all of its rows before it is asked about people of another arm."""
    fit, _ = ours(learner, name)
    n, arm, theirs = np.arange(len(DATA)), DATA["w"].to_numpy(), np.array(META[name][learner]["mu"])
    np.testing.assert_allclose(fit.nuisances.mu[n, arm], theirs[n, arm], **CLOSE)
    assert np.abs(fit.nuisances.mu[n, 1 - arm] - theirs[n, 1 - arm]).max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_the_effect_stage_of_the_dr_learner_is_that_of_metalearners(name):
    """From its own nuisances, out of fold and for others."""
    fit, new = ours("DR", name)
    theirs = META[name]["DR"]
    e = np.column_stack([1 - np.array(theirs["e"]), theirs["e"]])
    np.testing.assert_allclose(fit.nuisances.e, e, **CLOSE)
    given = replace(fit, nuisances=replace(fit.nuisances, mu=np.array(theirs["mu"]), e=e))
    np.testing.assert_allclose(given.from_regressions(None, False)[:, 0], theirs["out_of_fold"], **CLOSE)
    np.testing.assert_allclose(given.predict(new).values, theirs["new"], **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_the_effect_stage_of_the_x_learner_is_that_of_metalearners(name):
    """Effects of people in the own arm, from its nuisances: each half is out of fold there as here."""
    theirs, regressor = META[name]["X"], MODELS[name][0]
    X, _ = rows(name, "metalearners")
    w, fold = DATA["w"].to_numpy(), DATA["fold"].to_numpy()
    mu, e = np.array(theirs["mu"]), np.array(theirs["e"])
    fit, _ = ours("X", name)
    given = replace(fit.nuisances, mu=mu)
    effects = np.empty((2, len(DATA)))  # those of the control's model, and of the treated's
    for k, one in zip((1, 0), fit.learner.regressions(given, 1), strict=True):
        for j in range(4):
            model = type(regressor)(**regressor.get_params())
            train = fold[one.rows] != j
            model.fit(X.iloc[one.rows[train]], one.target[train])
            held = (fold == j) & (w == k)
            effects[k, held] = model.predict(X[held])
        whole = type(regressor)(**regressor.get_params()).fit(X.iloc[one.rows], one.target)
        effects[k, w != k] = whole.predict(X[w != k])
    np.testing.assert_allclose(e * effects[0] + (1 - e) * effects[1], theirs["out_of_fold"], **CLOSE)


@pytest.mark.parametrize("learner", ["S", "T", "X", "R"])
@pytest.mark.parametrize("name", MODELS)
def test_learners_of_econml_agree_on_other_people(name, learner):
    """econml predicts for people by models of all rows, after cross-fitted nuisances."""
    fit, new = ours(learner, name, "econml")
    np.testing.assert_allclose(fit.predict(new).values, ECON[name][learner], **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_the_dr_learner_of_econml_agrees_where_its_outcome_model_keeps_arms_apart(name):
    fit, new = ours("DR", name, "econml")
    np.testing.assert_allclose(fit.predict(new).values, ECON[name]["DR"], **CLOSE)


def test_scores_are_those_of_the_definition():
    """What both packages' DR-learners are fitted to."""
    y, w, mu = DATA["y"].to_numpy(), DATA["w"].to_numpy(), np.array(META["linear"]["DR"]["mu"])
    e = np.array(META["linear"]["DR"]["e"])
    found = arm_scores(y, w, mu, np.column_stack([1 - e, e]))
    expected = mu[:, 1] - mu[:, 0] + w * (y - mu[:, 1]) / e - (1 - w) * (y - mu[:, 0]) / (1 - e)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], expected, **CLOSE)
