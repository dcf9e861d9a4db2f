"""Mixed models inside causalml: instances; its T-learner passes frames on as they are.

`make test-peers` runs this in an environment of its own.
"""

import numpy as np
import pytest

import mixedfx as mx

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

OUTCOME = "1 + success_expect + school_achievement + (1 | schoolid) + (1 | ethnicity)"


@pytest.fixture(scope="module")
def people():
    data, truth = mx.datasets.simulate_mindset(3, n=4000)
    X = data.drop(columns=["achievement_score", "intervention"])
    return X, data["achievement_score"].to_numpy(), data["intervention"].to_numpy(), truth


def test_the_t_learner_is_ours(people):
    from causalml.inference.meta import BaseTRegressor

    X, y, w, _ = people
    learner = BaseTRegressor(learner=mx.MixedRegressor(OUTCOME), control_name=0)
    learner.fit(X=X, treatment=w, y=y)
    others = X.iloc[:50].assign(success_expect=7.5)
    ours = mx.cate("T", X, y, w, outcome=mx.MixedRegressor(OUTCOME, arms="apart"), folds=2).predict(others)
    np.testing.assert_allclose(np.ravel(learner.predict(X=others)), ours.values, atol=1e-8)


def test_the_r_learner_takes_mixed_models(people):
    """It makes an array of the frame, so that groups are numbers, found by position."""
    from causalml.inference.meta import BaseRRegressor

    X, y, w, truth = people
    array = np.column_stack([X["success_expect"], X["school_achievement"], X["schoolid"].cat.codes]).astype(float)
    learner = BaseRRegressor(
        outcome_learner=mx.MixedRegressor(groups=2), effect_learner=mx.MixedRegressor("1 + (1 | x2)"),
        control_name=0, n_fold=3, random_state=1,
    )  # fmt: skip
    learner.fit(X=array, treatment=w, y=y, p=truth.propensity)
    assert np.corrcoef(np.ravel(learner.predict(X=array)), truth.tau)[0, 1] > 0.25
