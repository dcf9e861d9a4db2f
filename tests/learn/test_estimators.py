"""`MixedRegressor` and `MixedClassifier` are scikit-learn estimators, and predict what the fits inside them predict."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import check_estimator

import mixedfx as mx
from mixedfx.errors import DataError, OptionError

# Checks that cannot hold, and why.
EXEMPT = {
    mx.MixedRegressor: {
        "check_sample_weight_equivalence_on_dense_data": (
            "it leaves 9 rows for 11 coefficients: more than rows determine, which a mixed model refuses to fit"
        ),
    },
    mx.MixedClassifier: {},
}
NOT_RUN = {"check_array_api_input"}  # asks for an environment variable of SciPy


@pytest.mark.parametrize("kind", EXEMPT)
def test_scikit_learns_own_checks_hold(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(kind(), expected_failed_checks=EXEMPT[kind], on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(EXEMPT[kind])
    assert {r["check_name"] for r in results if r["status"] == "skipped"} == NOT_RUN
    assert len(results) > 50


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    school = rng.integers(12, size=400)
    x1 = rng.standard_normal(400)
    u, slope = rng.normal(0, 1, 12), rng.normal(1, 0.5, 12)
    y = u[school] + slope[school] * x1 + rng.normal(0, 0.5, 400)
    return pd.DataFrame({"x1": x1, "school": pd.Categorical([f"s{s:02d}" for s in school]), "y": y, "b": (y > 0) * 1})


FORMULA = "1 + x1 + (1 + x1 | school)"


def test_predictions_are_those_of_the_fit(data):
    X = data[["x1", "school"]]
    model = mx.MixedRegressor(FORMULA).fit(X, data["y"])
    fit = mx.lmer(f"y ~ {FORMULA}", data)
    np.testing.assert_allclose(model.predict(X), fit.predict(X), rtol=1e-10)
    np.testing.assert_allclose(model.fit_.fixef, fit.fixef, rtol=1e-10)


def test_probabilities_are_those_of_the_fit(data):
    X = data[["x1", "school"]]
    model = mx.MixedClassifier("1 + x1 + (1 | school)").fit(X, np.where(data["b"] == 1, "yes", "no"))
    fit = mx.glmer("b ~ 1 + x1 + (1 | school)", data, family="bernoulli")
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], fit.predict(X), rtol=1e-8)
    assert list(model.classes_) == ["no", "yes"]
    assert set(model.predict(X)) == {"no", "yes"}
    odds = np.log(fit.predict(X) / (1 - fit.predict(X)))
    np.testing.assert_allclose(model.decision_function(X), odds, rtol=1e-6)


def test_other_families_and_the_posterior_answer_too(data):
    X = data[["x1", "school"]]
    counts = np.random.default_rng(0).poisson(np.exp(0.5 * data["y"]))
    poisson = mx.MixedRegressor("1 + x1 + (1 | school)", family="poisson").fit(X, counts)
    assert (poisson.predict(X) > 0).all()
    bayes = mx.MixedRegressor(FORMULA, engine="bayes", options={"seed": 1, "draws": 1000}).fit(X, data["y"])
    reml = mx.MixedRegressor(FORMULA).fit(X, data["y"])
    # 1,000 draws of means whose posterior sd is below 0.3, and a prior that REML does not have
    np.testing.assert_allclose(bayes.predict(X), reml.predict(X), atol=0.1)


def test_an_unseen_level_has_the_effect_of_the_population(data):
    X = data[["x1", "school"]]
    model = mx.MixedRegressor(FORMULA).fit(X, data["y"])
    beta = model.fit_.fixef
    new = pd.DataFrame({"x1": [0.0, 2.0], "school": ["elsewhere", "s99"]})
    np.testing.assert_allclose(model.predict(new), beta["Intercept"] + beta["x1"] * new["x1"], rtol=1e-12)


def test_groups_are_found_by_name_and_by_position(data):
    X = data[["x1", "school"]]
    by_name = mx.MixedRegressor(groups="school").fit(X, data["y"])
    assert by_name.formula_ == "1 + x1 + (1 | school)"
    array = np.column_stack([data["x1"], data["school"].cat.codes]).astype(float)
    for model in (
        mx.MixedRegressor(groups=1),
        mx.MixedRegressor(groups=-1),
        mx.MixedRegressor("1 + x0 + (1 | x1)"),
        mx.MixedRegressor("1 + age + (1 | school)", columns=["age", "school"]),
    ):
        np.testing.assert_allclose(model.fit(array, data["y"]).predict(array), by_name.predict(X), rtol=1e-9)


def test_a_learner_may_append_the_treatment_to_an_array(data):
    """As DR-learners of econml do; columns beyond those named keep their position."""
    w = np.random.default_rng(0).integers(2, size=len(data))
    array = np.column_stack([data["x1"], data["school"].cat.codes, w]).astype(float)
    model = mx.MixedRegressor("1 + age + x2 + (1 | school)", columns=["age", "school"]).fit(array, data["y"] + 3 * w)
    assert abs(model.fit_.fixef["x2"] - 3) < 0.5


def test_frames_with_numbers_for_names_are_called_by_position(data):
    array = np.column_stack([data["x1"], data["school"].cat.codes]).astype(float)
    frame = pd.DataFrame(array)
    np.testing.assert_allclose(
        mx.MixedRegressor(groups=1).fit(frame, data["y"]).predict(frame),
        mx.MixedRegressor(groups=1).fit(array, data["y"]).predict(array),
        rtol=1e-12,
    )


def test_weights_of_a_regressor_are_precisions(data):
    X, w = data[["x1", "school"]], np.random.default_rng(1).uniform(0.5, 2, len(data))
    w[:7] = 0.0
    model = mx.MixedRegressor(FORMULA).fit(X, data["y"], sample_weight=w)
    kept = data[7:]
    np.testing.assert_allclose(model.fit_.fixef, mx.lmer(f"y ~ {FORMULA}", kept, weights=w[7:]).fixef, rtol=1e-8)


def test_weights_of_a_classifier_are_counts(data):
    X, w = data[["x1", "school"]], np.random.default_rng(1).integers(3, size=len(data))
    again = np.repeat(np.arange(len(data)), w)
    first = mx.MixedClassifier(groups="school").fit(X, data["b"], sample_weight=w)
    second = mx.MixedClassifier(groups="school").fit(X.iloc[again], data["b"].iloc[again])
    np.testing.assert_allclose(first.predict_proba(X), second.predict_proba(X), rtol=1e-10)
    with pytest.raises(OptionError, match="400 sample weights of a classifier are no whole numbers"):
        first.fit(X, data["b"], sample_weight=np.full(len(data), 0.5))


@pytest.mark.parametrize("options", [{"weights": "x1"}, {"family": "poisson"}])
def test_options_do_not_say_what_the_estimator_says(options, data):
    for estimator, y in ((mx.MixedRegressor, "y"), (mx.MixedClassifier, "b")):
        with pytest.raises(OptionError, match=f"options= has '{next(iter(options))}'") as error:
            estimator(FORMULA, options=options).fit(data[["x1", "school"]], data[y])
        assert ("sample_weight=" if "weights" in options else "family=") in error.value.hint


def test_they_survive_pickling_cloning_and_cross_validation(data):
    X = data[["x1", "school"]]
    model = mx.MixedRegressor(FORMULA)
    assert clone(model).get_params() == model.get_params()
    fitted = pickle.loads(pickle.dumps(model.fit(X, data["y"])))
    np.testing.assert_array_equal(fitted.predict(X), model.predict(X))
    held_out = cross_val_predict(mx.MixedRegressor(FORMULA), X, data["y"], cv=5)
    assert np.corrcoef(held_out, data["y"])[0, 1] > 0.8
    probability = cross_val_predict(mx.MixedClassifier(groups="school"), X, data["b"], cv=3, method="predict_proba")
    assert probability.shape == (400, 2)


def test_the_classes_themselves_say_what_they_are(data):
    """Packages that take a class ask it, and call it with parameters."""
    assert (mx.MixedRegressor._estimator_type, mx.MixedClassifier._estimator_type) == ("regressor", "classifier")
    assert is_regressor(mx.MixedRegressor())
    assert is_classifier(mx.MixedClassifier())
    rows = data.iloc[::3]
    model = mx.MixedRegressor(**{"formula": FORMULA}).fit(rows[["x1", "school"]], rows["y"])
    assert np.isfinite(model.predict(data[["x1", "school"]].iloc[5:9])).all()


def test_a_fit_with_one_level_of_a_category_missing_still_predicts_it(data):
    part = data[data["school"] != "s03"]
    model = mx.MixedRegressor(groups="school").fit(part[["x1", "school"]], part["y"])
    left_out = data[data["school"] == "s03"]
    expected = model.fit_.fixef["Intercept"] + model.fit_.fixef["x1"] * left_out["x1"]
    np.testing.assert_allclose(model.predict(left_out[["x1", "school"]]), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (mx.MixedRegressor("y ~ 1 + x1"), "has a left side"),
        (mx.MixedRegressor("1 + x1", groups="school"), "formula and groups were both given"),
        (mx.MixedRegressor(groups="scool"), "X has no column 'scool'"),
        (mx.MixedRegressor(groups=7), "X has no column 7"),
        (mx.MixedRegressor(engine="stan"), "engine='stan' is not known"),
    ],
)
def test_what_cannot_be_meant_is_refused(data, model, says):
    with pytest.raises(OptionError, match=says):
        model.fit(data[["x1", "school"]], data["y"])


def test_missing_values_are_counted(data):
    X = data[["x1", "school"]].copy()
    X.loc[[3, 8], "x1"] = np.nan
    with pytest.raises(DataError, match=r"missing values \(NaN\): 2 in 'x1'"):
        mx.MixedRegressor(FORMULA).fit(X, data["y"])
    model = mx.MixedRegressor(FORMULA).fit(data[["x1", "school"]], data["y"])
    with pytest.raises(DataError, match="2 in 'x1'"):
        model.predict(X)


def test_three_classes_are_refused_with_the_way_out(data):
    with pytest.raises(ValueError, match="OneVsRestClassifier"):
        mx.MixedClassifier(groups="school").fit(data[["x1", "school"]], np.arange(400) % 3)
