"""Arms fitted together: one mixed model in which differences of arms are pooled, and every learner's use of it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LinearRegression

import mixedfx as mx
from mixedfx.errors import DataError, OptionError, SingularFitWarning
from mixedfx.learn.arms_together import Basis
from mixedfx.learn.outcomes import fits_arms
from mixedfx.learn.pseudo_outcomes import LEARNERS

ONE = "1 + x1 + (1 + x1 | school)"
TWO = "1 + x1 * kind + (1 | school)"


@pytest.fixture(scope="module")
def data():
    """Schools differ in level and effect, and coefficients of x1 between two arms."""
    rng = np.random.default_rng(3)
    n, schools = 900, 25
    school, kind, x1 = rng.integers(schools, size=n), rng.integers(3, size=n), rng.normal(2, 3, n)
    arm = rng.integers(2, size=n)
    u, v, slope = rng.normal(0, 0.6, schools), rng.normal(0, 0.4, schools), rng.normal(0.2, 0.2, schools)
    y = 0.3 * kind + (0.5 + v[school]) * arm + (slope[school] + 0.1 * arm) * x1 + u[school] + rng.normal(0, 0.7, n)
    return pd.DataFrame({"x1": x1, "kind": pd.Categorical([f"k{k}" for k in kind]),
                         "school": pd.Categorical([f"s{s:02d}" for s in school]), "arm": arm, "y": y})  # fmt: skip


def covariates(data):
    return data[["x1", "kind", "school"]]


def by_hand(train, asked):
    """Means of each arm by the joint model of ONE in lme4's notation, x1 standardised by the rows learnt from."""
    mean, sd = train["x1"].mean(), train["x1"].std(ddof=0)
    train, asked = (d.assign(q=(d["x1"] - mean) / sd, a=pd.Categorical(d["arm"].astype(str))) for d in (train, asked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.lmer("y ~ 1 + x1 + a + id(0 + q | a) + (1 + x1 | school) + (1 + x1 | a:school)", train)
    arms = [asked.assign(a=pd.Categorical(["0", "1"])[[k] * len(asked)]) for k in range(2)]
    return np.column_stack([fit.predict(rows, new_levels="population") for rows in arms])


def test_a_t_learner_is_the_joint_model_written_by_hand(data):
    """Out of fold and for other people, to 1e-8: the same model by the same engine."""
    folds = np.random.default_rng(1).integers(3, size=len(data))
    fit = mx.cate("T", covariates(data), data["y"], data["arm"], outcome=mx.MixedRegressor(ONE), folds=folds)
    for j in range(3):
        mu = by_hand(data[folds != j], data[folds == j])
        np.testing.assert_allclose(fit.nuisances.mu[folds == j], mu, atol=1e-8)
        np.testing.assert_allclose(fit.out_of_fold.values[folds == j], mu[:, 1] - mu[:, 0], atol=1e-8)
    others = data.iloc[:5].assign(x1=9.0)
    mu = by_hand(data, others)
    np.testing.assert_allclose(fit.predict(covariates(others)).values, mu[:, 1] - mu[:, 0], atol=1e-8)


def test_predictions_are_those_of_the_dense_model(data):
    """Best linear unbiased predictions under the fitted variances, by whole matrices, of the formula in the docstring.

    1e-6, since the dense inverse of a 900 x 900 matrix is compared with a factorisation.
    """
    model = mx.MixedRegressor(TWO).fit_arms(covariates(data), data["y"], data["arm"])
    sd = dict(zip(model.fit_.varcorr["grp"], model.fit_.varcorr["sdcor"], strict=True))
    kinds = pd.get_dummies(data["kind"], dtype=float).to_numpy()[:, 1:]
    f = np.column_stack([data["x1"], kinds, data["x1"].to_numpy()[:, None] * kinds])
    q = np.linalg.qr(f - f.mean(axis=0))[0] * np.sqrt(len(f))
    own = [(data["arm"] == k).to_numpy(float) for k in range(2)]
    S = pd.get_dummies(data["school"], dtype=float).to_numpy()

    def columns(a):  # of all rows with the weights a_k of the arms
        X = np.column_stack([*a, f])
        Z = np.column_stack([*(ak[:, None] * q for ak in a), S, *(ak[:, None] * S for ak in a)])
        return X, Z

    X, Z = columns(own)
    sizes, names = (2 * q.shape[1], S.shape[1], 2 * S.shape[1]), ("arm_", "school", "arm_:school")
    G = np.concatenate([np.full(size, sd[name] ** 2) for size, name in zip(sizes, names, strict=True)])
    Vi = np.linalg.inv((Z * G) @ Z.T + sd["Residual"] ** 2 * np.eye(len(data)))
    y = data["y"].to_numpy()
    b = np.linalg.solve(X.T @ Vi @ X, X.T @ Vi @ y)
    u = G * (Z.T @ (Vi @ (y - X @ b)))
    for k, found in enumerate(model.predict_arms(covariates(data)).T):
        X, Z = columns([np.full(len(data), float(k == j)) for j in range(2)])
        np.testing.assert_allclose(found, X @ b + Z @ u, atol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        lambda d: (d.assign(x1=d["x1"] * 1000 + 5), TWO),
        lambda d: (d.assign(kind=d["kind"].cat.reorder_categories(["k2", "k0", "k1"])), TWO),
        lambda d: (d, "0 + kind + kind:x1 + (1 | school)"),
    ],
    ids=["unit", "reference level", "coding"],
)
def test_neither_unit_nor_coding_matters(data, changed):
    """1e-5: the optimiser stops where the criterion is flat to rounding."""
    first = mx.MixedRegressor(TWO).fit_arms(covariates(data), data["y"], data["arm"])
    other, formula = changed(data)
    second = mx.MixedRegressor(formula).fit_arms(covariates(other), data["y"], data["arm"])
    np.testing.assert_allclose(
        second.predict_arms(covariates(other)), first.predict_arms(covariates(data)), rtol=1e-5, atol=1e-5
    )


def test_a_basis_drops_what_is_spanned_already():
    x = np.random.default_rng(0).standard_normal((50, 2)) * [1, 1e6]
    basis = Basis.of(np.column_stack([np.ones(50), x, x @ [2.0, 1e-6]]))
    assert basis.intercept
    assert len(basis.names) == 2
    assert not Basis.of(x).intercept
    assert Basis.of(np.ones((50, 1))).names == ()


def test_arms_apart_are_one_model_for_each(data):
    model = mx.MixedRegressor(ONE, arms="apart")
    assert not fits_arms(model)
    fit = mx.cate("T", covariates(data), data["y"], data["arm"], outcome=model, folds=2)
    train = fit.folds != 0
    for k in range(2):
        rows = train & (data["arm"] == k)
        alone = clone(model).fit(covariates(data)[rows], data["y"][rows])
        np.testing.assert_array_equal(fit.nuisances.mu[~train, k], alone.predict(covariates(data)[~train]))


BY_ARM = [name for name, line in LEARNERS.items() if line.outcome == "by arm"]


@pytest.mark.parametrize("name", BY_ARM)
def test_learners_that_ask_for_means_by_arm_have_them_from_the_joint_model(data, name):
    """Row by row the means of a joint model without the fold; other learners never fit one."""
    model, folds = mx.MixedRegressor("1 + x1 + (1 | school)"), np.arange(len(data)) % 2
    fit = mx.cate(name, covariates(data), data["y"], data["arm"], outcome=model, effect=LinearOfX1(),
                  propensity=0.5, folds=folds)  # fmt: skip
    scores = mx.dr_scores(covariates(data), data["y"], data["arm"], outcome=model, propensity=0.5, folds=folds)
    for j in range(2):
        held = folds == j
        joint = clone(model).fit_arms(covariates(data)[~held], data["y"][~held], data["arm"][~held])
        expected = joint.predict_arms(covariates(data)[held])
        np.testing.assert_allclose(fit.nuisances.mu[held], expected, atol=1e-10)
        np.testing.assert_allclose(scores.mu[held], expected, atol=1e-10)
    assert np.isfinite(fit.predict(covariates(data).assign(x1=7.0), propensity=0.5).values).all()


class LinearOfX1(RegressorMixin, BaseEstimator):
    """Least squares on the number among the columns."""

    def fit(self, X, y, sample_weight=None):
        self.line_ = LinearRegression().fit(X[["x1"]], y, sample_weight)
        return self

    def predict(self, X):
        return self.line_.predict(X[["x1"]])


class MeansOfArms(RegressorMixin, BaseEstimator):
    """Any estimator may offer it."""

    arms = "together"
    calls = []  # noqa: RUF012

    def fit_arms(self, X, y, arm):
        type(self).calls.append(len(y))
        self.means_ = np.array([y[arm == k].mean() for k in np.unique(arm)])
        return self

    def predict_arms(self, X):
        return np.tile(self.means_, (len(X), 1))

    def fit(self, X, y):
        raise AssertionError("arms are fitted together")

    def predict(self, X):
        raise AssertionError("arms are fitted together")


def test_any_estimator_may_fit_arms_together():
    rng = np.random.default_rng(0)
    w, X = rng.integers(3, size=300), rng.standard_normal((300, 2))
    MeansOfArms.calls.clear()
    fit = mx.cate("T", X, 2.0 * w, w, outcome=MeansOfArms(), folds=5)
    assert len(MeansOfArms.calls) == 5
    np.testing.assert_allclose(fit.out_of_fold.values, [[2.0, 4.0]] * 300)
    np.testing.assert_allclose(fit.predict(X[:1] + 1).values, [[2.0, 4.0]])


def test_three_arms_and_two_classes_are_fitted_together(data):
    rng = np.random.default_rng(5)
    arm = rng.integers(3, size=len(data))
    y = data["y"] + np.array([0.0, 1.0, 2.0])[arm]
    fit = mx.cate("T", covariates(data), y, arm, outcome=mx.MixedRegressor("1 + x1 + (1 | school)"), folds=2)
    np.testing.assert_allclose(fit.out_of_fold.values.mean(axis=0), [1, 2], atol=0.3)  # se .1
    yes = (data["y"] > data["y"].median()).astype(int)
    classes = mx.MixedClassifier("1 + x1 + (1 | school)")
    learnt = mx.cate("T", covariates(data), yes, data["arm"], outcome=classes, folds=2)
    held = learnt.folds == 0
    joint = clone(classes).fit_arms(covariates(data)[~held], yes[~held], data["arm"][~held])
    np.testing.assert_allclose(learnt.nuisances.mu[held], joint.predict_arms(covariates(data)[held]), rtol=1e-10)
    assert abs(learnt.nuisances.mu.mean() - 0.5) < 0.05


def test_schools_of_one_arm_and_unknown_schools_answer_as_the_population_does(data):
    """What one arm shows of a school is believed of its level in the other, and nothing of the difference there."""
    kept = data[(data["school"] != "s03") | (data["arm"] == 0)]
    model = mx.MixedRegressor("1 + x1 + (1 | school)").fit_arms(covariates(kept), kept["y"], kept["arm"])
    rows = pd.DataFrame({"x1": 1.0, "kind": "k0", "school": ["elsewhere", "s03"]})
    mu = model.predict_arms(rows)
    u = model.fit_.ranef["school"].iloc[:, 0]
    assert mu[1, 1] - mu[0, 1] == pytest.approx(u["s03"], rel=1e-10)


def test_what_the_added_terms_are_meant_to_be_is_no_caveat(data):
    """Two arms, a common variance, deviations of zero: none is warned of; a level that does not vary is."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(len(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        level = pd.Series(rng.standard_normal(25), data["school"].cat.categories)
        alike = noise + data["school"].map(level).astype(float)
        model = mx.MixedRegressor("1 + x1 + (1 | school)").fit_arms(covariates(data), alike, data["arm"])
    assert model.fit_.singular
    flat = noise - pd.Series(noise).groupby(data["school"].to_numpy()).transform("mean").to_numpy()
    with pytest.warns(SingularFitWarning, match="singular fit"):
        mx.MixedRegressor("1 + x1 + (1 | school)").fit_arms(covariates(data), flat, data["arm"])


def test_what_cannot_be_meant_is_refused(data):
    X, y, arm = covariates(data), data["y"], data["arm"]
    model = mx.MixedRegressor("1 + x1 + (1 | school)")
    with pytest.raises(OptionError, match="was fitted without arms"):
        clone(model).fit(X, y).predict_arms(X)
    joint = clone(model).fit_arms(X, y, arm)
    with pytest.raises(OptionError, match="arms were fitted together, and each has a mean"):
        joint.predict(X)
    np.testing.assert_array_equal(joint.fit(X, y).predict(X), clone(model).fit(X, y).predict(X))
    with pytest.raises(DataError, match="all 900 rows are of one arm"):
        model.fit_arms(X, y, np.ones(900))
    with pytest.raises(DataError, match=r"arm has shape \(3,\); there are 900 rows"):
        model.fit_arms(X, y, [0, 1, 0])
    with pytest.raises(DataError, match="X has a column 'q1_'"):
        model.fit_arms(X.assign(q1_=0.0), y, arm)
    with pytest.raises(OptionError, match="arms='joint' is not known"):
        mx.MixedRegressor(ONE, arms="joint").fit(X, y)
    related = mx.MixedRegressor("1 + (1 | gr(school, cov=A))", options={"env": {"A": np.eye(25)}})
    with pytest.raises(OptionError, match=r'known correlations.*\n.*arms="apart"'):
        related.fit_arms(X, y, arm)
    fit = mx.cate("T", X[["x1", "school"]], y, arm, outcome=model, folds=2)
    with pytest.raises(OptionError, match="have no models of their own"):
        mx.explain_cate(fit)
