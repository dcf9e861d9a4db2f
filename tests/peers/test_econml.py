"""Mixed models inside econml: instances that it clones, arrays without names, groups by position.

`make test-peers` runs this in an environment of its own.
"""

import numpy as np
import pytest

import mixedfx as mx

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

# columns: 0 success_expect, 1 school_achievement, 2 school, 3 ethnicity; 4 is the arm, where econml adds it
OUTCOME = "1 + x0 + x1 + (1 | x2) + (1 | x3)"
EFFECT = "1 + (1 | x2)"
CHANCE = "1 + x0 + (1 | x2)"


@pytest.fixture(scope="module")
def people():
    data, truth = mx.datasets.simulate_mindset(3, n=4000)
    X = np.column_stack([
        data["success_expect"], data["school_achievement"], data["schoolid"].cat.codes, data["ethnicity"].cat.codes
    ]).astype(float)  # fmt: skip
    new = X[:60] + np.array([0.25, 0, 0, 0])
    return X, data["achievement_score"].to_numpy(), data["intervention"].to_numpy(), truth, new


def models():
    return {
        "outcome": mx.MixedRegressor(OUTCOME, arms="apart"),
        "effect": mx.MixedRegressor(EFFECT),
        "propensity": mx.MixedClassifier(CHANCE),
    }


def test_t_and_x_learners_are_ours(people):
    from econml.metalearners import TLearner, XLearner

    X, y, w, truth, new = people
    own = models()
    theirs = {
        "T": TLearner(models=own["outcome"]),
        "X": XLearner(models=own["outcome"], propensity_model=own["propensity"], cate_models=own["effect"]),
    }
    for name, learner in theirs.items():
        effect = learner.fit(y, w, X=X).effect(new)
        ours = mx.cate(name, X, y, w, folds=2, **own).predict(new)
        np.testing.assert_allclose(np.ravel(effect), ours.values, atol=1e-6)
        assert np.corrcoef(np.ravel(learner.effect(X)), truth.tau)[0, 1] > 0.25


def test_the_r_learner_is_ours(people):
    """`model_final` is given weights, which are precisions of a mixed model."""
    from econml.dml import NonParamDML

    X, y, w, _, new = people
    own, fold = models(), np.arange(len(y)) % 3
    splits = [(np.flatnonzero(fold != j), np.flatnonzero(fold == j)) for j in range(3)]
    learner = NonParamDML(model_y=own["outcome"], model_t=own["propensity"], model_final=own["effect"],
                          discrete_treatment=True, cv=splits)  # fmt: skip
    ours = mx.cate("R", X, y, w, folds=fold, **own).predict(new)
    np.testing.assert_allclose(np.ravel(learner.fit(y, w, X=X).effect(new)), ours.values, atol=1e-6)


def test_a_dr_learner_appends_the_arm_to_the_columns(people):
    from econml.dr import DRLearner

    X, y, w, truth, new = people
    own = models()
    learner = DRLearner(model_propensity=own["propensity"], model_final=own["effect"], cv=3,
                        model_regression=mx.MixedRegressor(f"{OUTCOME} + x4 + (0 + x4 | x2)"))  # fmt: skip
    learner.fit(y, w, X=X)
    assert np.corrcoef(np.ravel(learner.effect(X)), truth.tau)[0, 1] > 0.25
    assert np.isfinite(learner.effect(new)).all()


def test_names_may_be_given_to_the_columns(people):
    from econml.metalearners import SLearner

    X, y, w, truth, _ = people
    columns = ["expect", "achievement", "school", "ethnicity"]
    model = mx.MixedRegressor("1 + x4 + expect + achievement + (1 + x4 | school)", columns=columns)
    effect = np.ravel(SLearner(overall_model=model).fit(y, w, X=X).effect(X))
    assert np.corrcoef(effect, truth.tau)[0, 1] > 0.4
