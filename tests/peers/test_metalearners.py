"""Mixed models inside metalearners: classes as factories, slices of a pandas frame, categories as they are.

metalearners needs an older scikit-learn than ours: `make test-peers` runs this in an environment of its own.
"""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

Y, W, SCHOOL = "achievement_score", "intervention", "schoolid"
OUTCOME = f"1 + success_expect + school_achievement + (1 | {SCHOOL}) + (1 | ethnicity)"
EFFECT = f"1 + (1 | {SCHOOL})"
CHANCE = f"1 + success_expect + (1 | {SCHOOL})"


@pytest.fixture(scope="module")
def people():
    data, truth = mx.datasets.simulate_mindset(3, n=4000)
    X = data.drop(columns=[Y, W]).set_axis(np.arange(4000) + 10_000)  # rows have labels, which are not their places
    y, w = (data[name].set_axis(X.index) for name in (Y, W))
    return X, y, w, truth


def learner(kind):
    import metalearners

    own = {
        "is_classification": False, "n_variants": 2, "n_folds": 3, "random_state": 4,
        "nuisance_model_factory": mx.MixedRegressor, "nuisance_model_params": {"formula": OUTCOME},
    }  # fmt: skip
    if kind != "T":
        own |= {
            "propensity_model_factory": mx.MixedClassifier, "propensity_model_params": {"formula": CHANCE},
            "treatment_model_factory": mx.MixedRegressor, "treatment_model_params": {"formula": EFFECT},
        }  # fmt: skip
    return getattr(metalearners, f"{kind}Learner")(**own)


@pytest.mark.parametrize("kind", ["T", "X", "R", "DR"])
def test_mixed_models_are_base_models_of_metalearners(people, kind):
    """Effects of schools are found; T's of other people are those of our T-learner, whose definition is the same."""
    X, y, w, truth = people
    fit = learner(kind)
    fit.fit(X=X, y=y, w=w)
    tau = fit.predict(X, is_oos=False).ravel()
    assert np.corrcoef(tau, truth.tau)[0, 1] > 0.25
    others = X.iloc[:50].assign(success_expect=7.5)
    new = fit.predict(others, is_oos=True, oos_method="overall").ravel()
    assert np.isfinite(new).all()
    if kind == "T":
        ours = mx.cate("T", X, y, w, outcome=mx.MixedRegressor(OUTCOME, arms="apart"), folds=2)
        np.testing.assert_allclose(new, ours.predict(others).values, atol=1e-8)
    elsewhere = others.assign(schoolid="elsewhere", ethnicity="e01").astype({SCHOOL: "category"})
    assert np.isfinite(fit.predict(elsewhere, is_oos=True, oos_method="overall")).all()


def test_effects_by_metalearners_end_in_the_same_table(people):
    X, y, w, truth = people
    fit = learner("R")
    fit.fit(X=X, y=y, w=w)
    tau = fit.predict(X, is_oos=False).ravel()
    eff = mx.effects_from(tau, X, by=SCHOOL)
    assert len(eff.table) == 76
    scores = mx.dr_scores(X, y, w, outcome=mx.MixedRegressor(OUTCOME), propensity=truth.propensity, groups=SCHOOL)
    slope = mx.calibration(tau, scores, cross_fitted=True)
    assert abs(slope.slope - 1) < 3 * slope.table["std_error"][0]


def test_its_s_learner_finds_no_effect_with_trees():
    """What docs and findings say of this version: an effect of two is zero for everybody, where ours finds it."""
    import metalearners
    from lightgbm import LGBMRegressor
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((1000, 2)), columns=["a", "b"])
    w = pd.Series(rng.integers(2, size=1000))
    y = X["a"] + 2.0 * w + 0.1 * rng.standard_normal(1000)
    found = {}
    for name, kind, own in (("trees", LGBMRegressor, {"verbosity": -1, "n_jobs": 1}), ("linear", LinearRegression, {})):
        fit = metalearners.SLearner(
            is_classification=False, n_variants=2, nuisance_model_factory=kind, nuisance_model_params=own, n_folds=3
        )
        fit.fit(X=X, y=y, w=w)
        found[name] = fit.predict(X, is_oos=False).ravel()
    assert (found["trees"] == 0).all()
    assert abs(found["linear"].mean() - 2) < 0.05
    assert abs(mx.cate("S", X, y, w).out_of_fold.values.mean() - 2) < 0.05
