"""A variance estimated at zero: Satterthwaite's df act as if groups did not exist, which is said where it matters."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import IgnoredGroupsWarning, MixedfxWarning
from mixedfx.inference.covariance_derivatives import products
from mixedfx.inference.ignored_groups import ignored_groups
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from tests.oracles.random_designs import make_design


def trial(seed: int, clusters: int, rows: int, within: bool) -> pd.DataFrame:
    """A trial whose cluster means differ by less than chance, so that their variance is estimated at zero."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(clusters), rows)
    noise = rng.normal(size=len(g))
    noise -= 0.8 * pd.Series(noise).groupby(g).transform("mean").to_numpy()
    treated = rng.permuted(np.tile(np.arange(rows) % 2, (clusters, 1)), axis=1).ravel() if within else g % 2
    data = pd.DataFrame({"school": [f"s{i}" for i in g], "treated": treated * 1.0, "x": rng.normal(size=len(g))})
    data["arm"] = np.where(treated == 1, "new", "old")
    data["y"] = 0.4 * treated + 0.1 * data["x"] + noise
    return data


def fitted(formula: str, data: pd.DataFrame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mx.lmer(formula, data, **options)


def heard(question) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        question()
    return [str(w.message) for w in caught if issubclass(w.category, IgnoredGroupsWarning)]


QUESTIONS = {
    "tidy": lambda fit: fit.tidy(),
    "summary": lambda fit: str(fit.summary()),
    "confint": lambda fit: fit.confint(method="wald"),
    "test": lambda fit: fit.test(treatment(fit)),
    "test, rows": lambda fit: fit.test(treatment(fit), joint=False),
    "test, jointly": lambda fit: fit.test([treatment(fit), "x"]),
    "anova": lambda fit: fit.anova("II"),
    "drop1": lambda fit: fit.drop1(),
    "pairs": lambda fit: mx.emmeans(fit, factor(fit)).pairs().table,
    "joint": lambda fit: mx.emmeans(fit, factor(fit)).joint(),
}


def treatment(fit) -> str:
    return next(name for name in fit.fixef.index if name in ("treated", "arm[old]"))


def factor(fit) -> str:
    return "treated" if treatment(fit) == "treated" else "arm"


@settings(max_examples=8)
@given(
    st.integers(0, 10_000), st.integers(6, 40), st.integers(3, 9), st.sampled_from(["treated", "arm", "treated * x"])
)
def test_a_treatment_of_whole_clusters_is_warned_about_wherever_its_df_are_used(seed, clusters, rows, fixed):
    data = trial(seed, clusters, rows, within=False)
    fit = fitted(f"y ~ {fixed if '*' in fixed else fixed + ' + x'} + (1 | school)", data)
    assert fit.theta.iloc[0] == 0.0
    name = treatment(fit)
    for what, question in QUESTIONS.items():
        if what == "drop1" and "*" in fixed:
            continue  # it deletes the interaction alone, a question within clusters
        told = heard(lambda question=question: question(fit))
        assert told, what
        assert all("kenward-roger" in text and "'school'" in text and name in text for text in told)
    df = fit.tidy(ddf="kenward-roger").set_index("term").loc[name, "df"]
    assert df < clusters - 1 < fit.tidy().set_index("term").loc[name, "df"] / 2
    # what counts the clusters, or does not ask for these df, is silent; so are coefficients within clusters
    for ddf in ("kenward-roger", "residual", "normal"):
        assert heard(lambda ddf=ddf: fit.tidy(ddf=ddf)) == []
    assert heard(lambda: fit.tidy(vcov=fit.vcov_robust())) == []
    assert heard(lambda: fit.test("x")) == []


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.integers(5, 30), st.integers(4, 12), st.sampled_from(["treated", "arm"]))
def test_a_treatment_within_clusters_deserves_no_alarm(seed, clusters, rows, fixed):
    fit = fitted(f"y ~ {fixed} + x + (1 | school)", trial(seed, clusters, rows, within=True))
    assert fit.theta.iloc[0] == 0.0
    for question in QUESTIONS.values():
        assert heard(lambda question=question: question(fit)) == []
    report = fit.check()
    assert report["singularity"].status == "note"
    short = report.text().splitlines()[2]
    assert short.startswith("In short: no problem was found; worth knowing: ")
    assert "singularity" in short  # said, without alarm
    assert str(fit.singularity.smaller) == f"y ~ 1 + {fixed} + x"
    # the mean of both arms is one of clusters
    assert heard(lambda: fit.test({"Intercept": 1.0, treatment(fit): 0.5})) != []


def test_the_report_of_a_cluster_trial_never_advises_to_drop_the_clusters():
    data = trial(1, 40, 5, within=False)
    with pytest.warns(mx.errors.SingularFitWarning, match="Keep the random intercept of `school`: `treated` varies"):
        fit = mx.lmer("y ~ treated + x + (1 | school)", data)
    assert fit.singularity.smaller is None
    assert fit.singularity.kept == (("school", ("treated",)),)
    for text in (fit.singularity.text, str(fit.check()), str(fit.summary())):
        assert "smaller model" not in text.lower()
        assert "no random term" not in text
        assert "kenward-roger" in text
    report = fit.check()
    assert report["singularity"].status == "problem"
    assert report.text().splitlines()[2] == "In short: look at singularity"
    # 40 levels are not fewer than 20: there is nothing to look at for another reason
    for check in ("normality of random effects", "outlying groups"):
        assert "fewer than" not in report[check].seen
        assert "variance of school (Intercept) is zero" in report[check].seen


def test_few_levels_are_counted_where_they_are_the_reason():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(5), 12)
    data = pd.DataFrame({"g": g, "y": 2 * rng.normal(size=5)[g] + rng.normal(size=60)})
    report = fitted("y ~ 1 + (1 | g)", data).check()
    assert report["normality of random effects"].seen == "fewer than 20 levels to look at: g (5)"
    assert report["outlying groups"].seen == "fewer than 6 levels to look at: g (5)"


def test_other_null_terms_still_go_and_intercepts_stay_where_slopes_go():
    data = trial(5, 12, 6, within=False)
    data["item"] = np.tile(np.arange(6), 12)
    data["y"] -= data.groupby("item")["y"].transform("mean")
    fit = fitted("y ~ treated + x + (1 + x || school) + (1 | item)", data)
    assert (fit.theta == 0).all()
    assert str(fit.singularity.smaller) == "y ~ 1 + treated + x + (1 | school)"
    assert "Keep the random intercept of `school`" in fit.singularity.text


def test_a_slope_estimated_as_constant_is_one_of_the_groups_that_are_ignored():
    """Its mean effect then has the df of rows, although the model lets it vary: Kenward and Roger's are 11."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(12), 10)
    x = np.tile(np.linspace(-1, 1, 10), 12)
    noise = rng.normal(size=120)
    own = pd.Series(noise * x).groupby(g).transform("sum") / (x[:10] @ x[:10])
    data = pd.DataFrame({"g": g, "x": x, "y": 2 * rng.normal(size=12)[g] + noise - 0.9 * own * x})
    fit = fitted("y ~ x + (1 + x || g)", data)
    assert fit.theta.iloc[1] == 0.0
    (message,) = heard(fit.tidy)
    assert "for x act as if" in message
    assert fit.tidy(ddf="kenward-roger")["df"][1] == pytest.approx(11, abs=0.5)


def test_a_mean_alone_is_warned_about_and_crossed_groups_one_by_one():
    data = trial(3, 10, 8, within=False)
    data["item"] = np.tile(np.arange(8), 10)
    data["y"] += 3.0 * np.random.default_rng(3).normal(size=8)[data["item"]]
    fit = fitted("y ~ 1 + (1 | school)", data)
    assert len(heard(fit.tidy)) == (fit.theta.iloc[0] == 0.0)
    fit = fitted("y ~ treated + (1 | school) + (1 | item)", data)
    assert fit.theta.iloc[0] == 0.0 < fit.theta.iloc[1]
    (message,) = heard(fit.tidy)
    assert "'school'" in message


def test_a_fit_that_is_not_singular_has_nothing_of_this():
    data = trial(4, 12, 6, within=False)
    data["y"] += 2.0 * np.random.default_rng(4).normal(size=12)[np.repeat(np.arange(12), 6)]
    fit = fitted("y ~ treated + x + (1 | school)", data)
    assert fit.coefficients_without_groups() == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)
        fit.tidy()


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_slope_and_information_are_those_of_the_dense_model(seed, weighted, REML):
    """Against V written out, with another factor whose variance is not zero."""
    design = make_design(seed, [(6, 1, True, "g"), (5, 1, True, "h")], n=40, p=3, weighted=weighted)
    problem = build_problem(design, REML)
    at = evaluate(problem, problem.parameters(np.array([0.0, 0.8])))
    (found,) = ignored_groups(problem, at, products(problem, at))
    root = np.ones(40) if design.weights is None else np.sqrt(design.weights)
    X = design.X * root[:, None]
    Z = [root[:, None] * t.z * (t.codes[:, None] == np.arange(t.n_levels)) for t in design.random]
    G = Z[0] @ Z[0].T / problem.factors[problem.entries[0][0]].basis[0, 0] ** 2  # of the column as the engine scales it
    V = np.eye(40) + 0.64 * Z[1] @ Z[1].T

    def vcov(gamma):
        return at.sigma2 * np.linalg.inv(X.T @ np.linalg.solve(V + gamma * G, X))

    step = 1e-5
    # central differences of an exact function: error of order 1e-10, rounding of 1e-11
    np.testing.assert_allclose(
        found.slope, (vcov(step) - vcov(-step)) / (2 * step), rtol=1e-5, atol=1e-7 * np.abs(found.slope).max()
    )
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    assert found.information == pytest.approx(np.trace(P @ G), rel=1e-8)
    assert (found.term, found.levels) == (0, design.random[0].n_levels)
