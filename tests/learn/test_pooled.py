"""Pooled scores against the dense formulas of the same model, and their variances by group."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, EffectsError, OptionError
from mixedfx.learn.pooled import shrunk_variances

FORMULA = "1 + x + (1 | school) + (1 | kind)"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    n = 600
    school, kind, x = rng.integers(15, size=n), rng.integers(6, size=n), rng.standard_normal(n)
    tau = 0.4 + 0.2 * x + rng.normal(0, 0.5, 15)[school] + rng.normal(0, 0.3, 6)[kind]
    sd = np.exp(rng.normal(0.3, 0.4, 15))[school]
    return pd.DataFrame({
        "school": pd.Categorical([f"s{s:02d}" for s in school]), "kind": pd.Categorical([f"k{k}" for k in kind]),
        "x": x, "score": tau + sd * rng.standard_normal(n), "w": rng.uniform(0.5, 2, n),
    })  # fmt: skip


def dense(data, model, v, C):
    """Mean and covariance of C (X b + Z u) under the fitted variances: generalised least squares on whole matrices."""
    y, X = data["score"].to_numpy(), np.column_stack([np.ones(len(data)), data["x"]])
    Z = [pd.get_dummies(data[name]).to_numpy(float) for name in ("school", "kind")]
    sd = dict(zip(model.varcorr["grp"], model.varcorr["sdcor"], strict=True))
    G = np.concatenate([np.full(Z[0].shape[1], sd["school"] ** 2), np.full(Z[1].shape[1], sd["kind"] ** 2)])
    Z = np.column_stack(Z)
    R = model.sigma**2 * v / np.mean(v)
    V = (Z * G) @ Z.T + np.diag(R)
    Vi = np.linalg.inv(V)
    bread = np.linalg.inv(X.T @ Vi @ X)
    b = bread @ X.T @ Vi @ y
    u = G[:, None] * Z.T @ Vi @ (y - X @ b)
    K = (G[:, None] * Z.T) @ Vi  # errors: C (X (b^ - b) + Z (u^ - u))
    M = X - Z @ K @ X
    cov_u = np.diag(G) - K @ Z * G
    joint = M @ bread @ M.T + Z @ cov_u @ Z.T
    return C @ (X @ b + Z @ u), C @ joint @ C.T


def test_effects_are_those_of_the_dense_model(data):
    """Given theta; 1e-6 since the dense inverse of a 600 x 600 matrix is compared with a factorisation."""
    eff = mx.pool_scores(data["score"], FORMULA, data, by="school", weights="w", uncertainty="given theta")
    model = eff.fit.account.model
    codes = data["school"].cat.codes.to_numpy().astype(np.intp)
    v = shrunk_variances(data["score"].to_numpy(), codes)[codes]
    C = np.array([(codes == g) * data["w"] / data["w"][codes == g].sum() for g in range(15)])
    mean, cov = dense(data, model, v, C)
    np.testing.assert_allclose(eff.table["estimate"], mean, rtol=1e-6)
    np.testing.assert_allclose(eff.table["sd"], np.sqrt(np.diag(cov)), rtol=1e-6)
    gap = eff.contrast("school=s00", "school=s01").table
    np.testing.assert_allclose(gap["estimate"], mean[0] - mean[1], rtol=1e-6)
    np.testing.assert_allclose(gap["sd"], np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]), rtol=1e-6)


def test_that_variances_are_estimated_is_included(data):
    given = mx.pool_scores(data["score"], FORMULA, data, by="kind", uncertainty="given theta").table
    full = mx.pool_scores(data["score"], FORMULA, data, by="kind").table
    np.testing.assert_allclose(full["estimate"], given["estimate"], rtol=1e-12)
    assert (full["sd"] > given["sd"] * 1.001).all()


def test_with_one_variance_it_is_lmer_of_the_scores(data):
    eff = mx.pool_scores(data["score"], FORMULA, data, variances=None, by="kind")
    fit = mx.lmer(f"score ~ {FORMULA}", data)
    assert eff.fit.account.model.criterion == pytest.approx(fit.criterion, rel=1e-12)
    expected = pd.Series(fit.predict(data)).groupby(data["kind"], observed=True).mean()
    np.testing.assert_allclose(eff.table["estimate"], expected, rtol=1e-10)


def test_groups_with_noisier_scores_are_pooled_more():
    rng = np.random.default_rng(0)
    school = np.repeat(np.arange(40), 50)
    tau = rng.normal(0, 0.3, 40)[school]
    noisy = school % 2 == 1
    data = pd.DataFrame({"school": school, "score": tau + rng.standard_normal(2000) * np.where(noisy, 4.0, 1.0)})
    shrunk = mx.pool_scores(data["score"], "1 + (1 | school)", data, by="school").shrinkage()
    odd = shrunk["school"] % 2 == 1
    # pooling is 1 - posterior variance over raw variance: 16 times the noise leaves far less of the own mean
    assert shrunk["pooling"][odd].min() > shrunk["pooling"][~odd].max()
    np.testing.assert_allclose(shrunk["raw"], data.groupby("school")["score"].mean(), rtol=1e-12)
    truth = data.groupby("school")["score"].mean() * 0 + pd.Series(tau).groupby(school).mean()
    alike = mx.pool_scores(data["score"], "1 + (1 | school)", data, by="school", variances=None).table["estimate"]
    rmse = [np.sqrt(((found.to_numpy() - truth) ** 2).mean()) for found in (shrunk["pooled"], alike)]
    assert rmse[0] < rmse[1]


def test_variances_of_large_groups_stay_and_those_of_small_ones_move():
    rng = np.random.default_rng(2)
    sizes = np.r_[np.full(20, 2000), np.full(20, 5)]
    codes = np.repeat(np.arange(40), sizes)
    sd = np.exp(rng.normal(0, 0.5, 40))
    scores = sd[codes] * rng.standard_normal(len(codes))
    found = shrunk_variances(scores, codes)
    raw = np.array([scores[codes == g].var(ddof=1) for g in range(40)])
    np.testing.assert_allclose(found[:20], raw[:20], rtol=0.05)
    errors = [np.mean((np.log(v[20:]) - 2 * np.log(sd[20:])) ** 2) for v in (found, raw)]
    assert errors[0] < 0.7 * errors[1]


def test_equal_variances_become_one_and_single_rows_have_it_too():
    rng = np.random.default_rng(3)
    codes = np.r_[np.repeat(np.arange(30), 40), 30, 31]
    found = shrunk_variances(rng.standard_normal(1202), codes.astype(np.intp))
    assert found.max() / found.min() < 1.25
    assert found[30] == found[31]


def test_questions_are_those_of_effects(data):
    eff = mx.pool_scores(data["score"], FORMULA, data)
    assert eff.table[["subgroup", "n"]].to_numpy().tolist() == [["overall", 600]]
    assert eff.table["contrast"].item() == "treated - control"
    names = {"keen": "x > 0.5", "first": "kind == 'k0'"}
    both = mx.pool_scores(data["score"], FORMULA, data, subgroups=names, treatment={"coached": ["no", "yes"]})
    assert both.table["n"].tolist() == [(data["x"] > 0.5).sum(), (data["kind"] == "k0").sum()]
    assert both.table["contrast"].tolist() == ["yes - no"] * 2
    assert both.draws(100).shape == (100, 2)
    several = mx.pool_scores(data["score"], FORMULA, data, by=[["school"], ["kind"], []])
    assert len(several) == 15 + 6 + 1
    np.testing.assert_allclose(several.table["estimate"].iloc[-1], eff.table["estimate"].item(), rtol=1e-12)
    assert "score_ ~" in eff.to_html()
    assert f"outcome ~ {FORMULA}" in repr(eff)
    assert repr(eff).count("~") == 1
    assert "mx.pool_scores(scores, '1 + x" in several.to_html() or "mx.pool_scores(scores" in several.to_html()
    assert several.plot() is not None
    decided = mx.pool_scores(data["score"], FORMULA, data, by="kind").decide(cost=0.4)
    assert set(decided.policies["policy"]) == {"chosen", "all", "none", "random"}


def test_scores_of_our_own_bring_their_names():
    from sklearn.linear_model import LinearRegression

    people, truth = mx.datasets.simulate_mindset(2, n=3040)
    scores = mx.dr_scores(people[["success_expect"]], people["achievement_score"], people["intervention"],
                          outcome=LinearRegression(), propensity=truth.propensity)  # fmt: skip
    eff = mx.pool_scores(scores, "1 + (1 | schoolid)", people)
    assert (eff.treatment, eff.response) == ("intervention", "achievement_score")
    assert eff.table["contrast"].item() == "1 - 0"
    assert abs(eff.table["estimate"].item() - truth.tau.mean()) < 4 * eff.table["sd"].item()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"scores": np.zeros(5)}, DataError, "there are 5 scores and 600 rows"),
        ({"scores": np.r_[np.nan, np.inf, np.zeros(598)]}, DataError, "2 scores are NaN or infinite: rows 0 and 1"),
        ({"scores": np.zeros((600, 2))}, DataError, r"shape \(600, 2\)"),
        ({"scores": np.ones(600)}, DataError, "the scores do not vary"),
        ({"formula": "score ~ 1"}, OptionError, "has a left side"),
        ({"variances": "class"}, OptionError, "variances='class' is no column of the data"),
        ({"by": "skool"}, EffectsError, "no column 'skool'"),
        ({"subgroups": {"none": "x > 99"}}, EffectsError, "'none' has no rows"),
        ({"weights": np.full(600, -1.0)}, EffectsError, "600 weights are negative"),
        ({"uncertainty": "some"}, OptionError, "uncertainty='some'"),
    ],
)
def test_what_cannot_be_meant_is_refused(data, options, error, says):
    asked = {"scores": data["score"], "formula": FORMULA} | options
    with pytest.raises(error, match=says):
        mx.pool_scores(asked.pop("scores"), asked.pop("formula"), data, **asked)
