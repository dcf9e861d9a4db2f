"""Methods of a fit that test its fixed effects: what they take, what they refuse, and that they agree."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DegreesOfFreedomWarning, ModelError, OptionError
from mixedfx.inference.hypotheses import contrast_matrix
from mixedfx.reml import report


@pytest.fixture(scope="module")
def course():
    return mx.datasets.load("flipped_classroom", plan="crossed")


@pytest.fixture(scope="module")
def fit(course):
    return mx.lmer("score ~ style + (1 | professor)", course)


SOME, NONE = "style[Some Flipped]", "style[No Flipped]"


def test_every_way_to_write_a_hypothesis_is_the_same_test(fit):
    frame = pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], columns=[SOME, NONE], index=["some", "none"])
    ways = [[SOME, NONE], {"some": SOME, "none": {NONE: 1}}, frame, np.eye(3)[1:], [{SOME: 1}, {NONE: 1}]]
    tables = [fit.test(way) for way in ways]
    for table in tables:
        pd.testing.assert_frame_equal(table.drop(columns="hypothesis"), tables[0].drop(columns="hypothesis"))
    assert tables[0]["hypothesis"][0] == f"{SOME} = 0; {NONE} = 0"
    # the only term of the formula
    assert tables[0]["f_value"][0] == pytest.approx(fit.anova()["f_value"][0], rel=1e-10)


def test_rows_and_the_joint_test_agree_for_one_contrast(fit):
    contrast = {NONE: 1, SOME: -1}
    row = fit.test(contrast, rhs=-2.0, joint=False).iloc[0]
    joint = fit.test(contrast, rhs=-2.0).iloc[0]
    assert joint["f_value"] == pytest.approx(row["statistic"] ** 2)
    assert joint["p_value"] == pytest.approx(row["p_value"])
    assert row["estimate"] == pytest.approx(fit.fixef[NONE] - fit.fixef[SOME] + 2.0)
    assert row["term"] == f"{NONE} - {SOME}"


def test_labels_of_contrasts():
    L, labels = contrast_matrix({"a": 0.5, "b": -1, "c": 0}, ["a", "b", "c"])
    assert labels == ("0.5 a - b",)
    np.testing.assert_array_equal(L, [[0.5, -1, 0]])


@pytest.mark.parametrize(
    ("hypothesis", "message"),
    [
        ("style", "no coefficient 'style'"),
        (f"{SOME} = 0", r'written test\(\{"a": 1, "b": -1\}, rhs=1\)'),
        (np.eye(2), "does not fit 3 coefficients"),
        ([[np.nan, 0, 0]], "not finite"),
        ({SOME: 0.0}, "nothing to test"),
    ],
)
def test_a_wrong_hypothesis_is_refused(fit, hypothesis, message):
    with pytest.raises(OptionError, match=message):
        fit.test(hypothesis)


def test_contradicting_rows_and_wrong_sides_are_refused(fit):
    with pytest.raises(OptionError, match="contradict"):
        fit.test([SOME, SOME], rhs=[0, 1])
    with pytest.raises(OptionError, match="rhs= has 3 values for 1"):
        fit.test(SOME, rhs=[0, 1, 2])
    assert fit.test([SOME, SOME])["num_df"][0] == 1.0


def test_the_four_degrees_of_freedom(fit):
    assert set(fit.tidy(ddf="residual")["df"]) == {372.0}
    assert set(fit.tidy(ddf="normal")["df"]) == {np.inf}
    assert fit.tidy(ddf=None)["df"].isna().all()
    plain, adjusted = fit.tidy(), fit.tidy(ddf="kenward-roger")
    # a balanced number of students: the adjustment is small, but it is there
    assert not np.allclose(plain["std_error"], adjusted["std_error"], rtol=1e-9)
    np.testing.assert_allclose(plain["std_error"], adjusted["std_error"], rtol=1e-2)
    with pytest.raises(OptionError, match="'kenward-roger'"):
        fit.tidy(ddf="kr")


def test_kenward_roger_after_maximum_likelihood_is_refused_and_names_the_mend(course):
    fit = mx.lmer("score ~ style + (1 | professor)", course, REML=False)
    for call in (fit.tidy, fit.anova, fit.summary):
        with pytest.raises(OptionError, match="REML=True"):
            call(ddf="kenward-roger")
    assert fit.tidy()["df"].notna().all()


def test_kenward_roger_and_satterthwaite_are_computed_once(fit):
    for ddf in ("satterthwaite", "kenward-roger"):
        assert fit.reference(ddf) is fit.reference(ddf)


def test_conditional_modes_have_no_satterthwaite_df(fit):
    assert fit.tidy("ran_vals")["df"].isna().all()
    assert set(fit.tidy("ran_vals", ddf="residual")["df"]) == {372.0}


def test_a_covariance_given_as_numbers_needs_its_degrees_of_freedom(fit):
    for vcov in (2 * fit.vcov, 2 * fit.vcov.iloc[::-1, ::-1], 2 * fit.vcov.to_numpy()):
        table = fit.tidy(ddf="normal", vcov=vcov)
        np.testing.assert_allclose(table["std_error"], np.sqrt(2 * np.diag(fit.vcov)))
    with pytest.raises(OptionError, match="ddf="):
        fit.tidy(vcov=fit.vcov)
    with pytest.raises(OptionError, match="brings its own"):
        fit.anova(ddf="kenward-roger", vcov=fit.vcov_robust())
    with pytest.raises(OptionError, match=r"symmetric \(3, 3\)"):
        fit.test(SOME, ddf="normal", vcov=np.eye(2))


def test_the_summary_says_what_its_tests_rest_on(fit):
    assert "Tests:       Kenward and Roger's degrees of freedom" in fit.summary(ddf="kenward-roger").text()
    shown = fit.summary(vcov=fit.vcov_robust()).text()
    assert "Tests:       Satterthwaite's degrees of freedom, CR2 standard errors" in shown


def test_a_model_without_random_terms_has_exact_tests(course):
    plain = mx.lmer("score ~ style", course)
    assert "Tests: n - p degrees of freedom" in plain.summary().text()


def test_a_summary_that_would_take_long_leaves_df_out_and_says_so(course, monkeypatch):
    monkeypatch.setattr(report, "SUMMARY_SECONDS", 0.0)
    fit = mx.lmer("score ~ style + (1 | professor)", course)
    text = " ".join(fit.summary().text().split())
    assert "left out: by the sizes of the model Satterthwaite's df take about 0 s; fit.tidy() computes them" in text
    assert " df " not in text.split("Fixed effects")[1].split("Scaled residuals")[0]
    fit.tidy()
    assert "Satterthwaite's degrees of freedom" in fit.summary().text()


def test_type_three_is_refused_where_cells_are_empty():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"a": list("xyz") * 20, "b": list("uv") * 30, "g": np.repeat(list("abcdef"), 10)})
    data["y"] = rng.normal(size=60)
    data = data[~((data["a"] == "x") & (data["b"] == "u"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)
        fit = mx.lmer("y ~ a * b + (1 | g)", data)
    with pytest.raises(ModelError, match='type="II"'):
        fit.anova("III")
    assert fit.anova("II")["num_df"].tolist() == [2.0, 1.0, 1.0]


@pytest.mark.parametrize(("number", "roman"), [(1, "I"), (2, "II"), (3, "III")])
def test_types_are_roman_or_numbers(fit, number, roman):
    pd.testing.assert_frame_equal(fit.anova(number), fit.anova(roman))


@pytest.mark.parametrize("type", [4, "3"])
def test_other_types_are_refused(fit, type):
    with pytest.raises(OptionError, match="'III'"):
        fit.anova(type)


def test_a_formula_with_nothing_but_an_intercept_has_an_empty_anova(course):
    fit = mx.lmer("score ~ 1 + (1 | professor)", course)
    assert len(fit.anova()) == 0
    with pytest.raises(ModelError, match="no term to delete"):
        fit.drop1()


def test_type_three_does_not_depend_on_coding_also_with_a_numeric_interaction_and_weights():
    rng = np.random.default_rng(5)
    n = 150
    data = pd.DataFrame(
        {"a": rng.choice(list("xyz"), n), "b": rng.choice(list("uv"), n), "z": rng.normal(size=n) + 2,
         "g": rng.choice(list("abcdefgh"), n), "w": rng.uniform(0.5, 2, n)}
    )  # fmt: skip
    data["y"] = rng.normal(size=n) + data["z"] + (data["g"] < "d")
    tables = []
    for coding in ("treatment", "sum", "helmert", "SAS"):
        fit = mx.lmer("y ~ a * b + a:z + z + (1 | g)", data, weights="w", contrasts={"a": coding, "b": coding})
        tables.append([fit.anova(t).drop(columns="term").to_numpy(float) for t in ("I", "II", "III")])
    for other in tables[1:]:
        for mine, theirs in zip(tables[0], other, strict=True):
            # F to the precision of two optimisations; Fai and Cornelius's df depends a little on the rows of L
            np.testing.assert_allclose(mine[:, [2, 4]], theirs[:, [2, 4]], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(mine[:, 3], theirs[:, 3], rtol=5e-3)


def test_robust_covariance_takes_clusters_by_name_column_and_array(fit, course):
    by_default = fit.vcov_robust()
    for cluster in ("professor", course["professor"].to_numpy()):
        np.testing.assert_allclose(fit.vcov_robust(cluster=cluster).vcov, by_default.vcov, rtol=1e-12)
    assert repr(by_default) == "<CR2 covariance of 3 coefficients, 15 clusters of professor>"
    with pytest.raises(ModelError, match="several clusters"):
        fit.vcov_robust(cluster="style")
    with pytest.raises(OptionError, match="no column"):
        fit.vcov_robust(cluster="school")
    with pytest.raises(OptionError, match="the fit used 375 rows"):
        fit.vcov_robust(cluster=[1, 2])
    with pytest.raises(OptionError, match="'CR2'"):
        fit.vcov_robust("HC3")


def test_too_few_clusters_for_a_joint_test_warn_and_give_no_number():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.repeat(list("abc"), 20), "x": rng.normal(size=60), "z": rng.normal(size=60)})
    data["y"] = rng.normal(size=60) + (data["g"] == "a")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)
        fit = mx.lmer("y ~ x + z + (1 | g)", data)
    with pytest.warns(DegreesOfFreedomWarning, match="3 clusters are too few"):
        table = fit.test(np.eye(3), vcov=fit.vcov_robust())
    assert table["p_value"].isna().all()


def test_cr2_is_unbiased_under_the_model():
    """In expectation over responses of the model CR2 is the model's own covariance, with precision weights too."""
    from tests.oracles.dense_lmm import dense_Z

    rng = np.random.default_rng(2)
    n = 40
    data = pd.DataFrame({"g": rng.choice(list("abcdef"), n), "x": rng.normal(size=n), "w": rng.uniform(0.5, 2, n)})
    data["y"] = rng.normal(size=n) + data["g"].map(dict(zip("abcdef", 2 * rng.normal(size=6), strict=True)))
    fit = mx.lmer("y ~ x + (1 | g)", data, weights="w")
    robust = fit.vcov_robust()
    # E V = M (sum of G'E[ee']G) M, and E[ee'] = Phi_j - X_j M X_j' within a cluster
    middle = robust.within - np.einsum("jpa,pq,jqb->jab", robust.across, robust.model, robust.across)
    np.testing.assert_allclose(robust.model @ middle.sum(axis=0) @ robust.model, robust.model, rtol=1e-8, atol=1e-12)
    # and V itself, by hand with n x n matrices, for CR0
    Z = dense_Z(fit.design)
    Sigma = fit.sigma**2 * (np.diag(1 / fit.design.weights) + fit.theta.iloc[0] ** 2 * Z @ Z.T)
    e = fit.design.y - fit.design.X @ fit.fixef.to_numpy()
    score = [fit.design.X.T @ np.linalg.solve(Sigma, e * (fit.design.random[0].codes == j)) for j in range(6)]
    expected = robust.model @ np.einsum("ja,jb->ab", score, score) @ robust.model
    np.testing.assert_allclose(fit.vcov_robust("CR0").vcov, expected, rtol=1e-8)
    np.testing.assert_allclose(fit.vcov_robust("CR1").vcov, expected * 6 / 5, rtol=1e-8)


def test_kenward_roger_on_a_crossed_design_of_4000_rows_takes_less_than_half_a_second():
    """Measured 0.02 s; pbkrtest needs minutes."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 200, 4000), rng.integers(0, 100, 4000)
    data = pd.DataFrame({"x": rng.normal(size=4000), "a": a.astype(str), "b": b.astype(str)})
    data["y"] = rng.normal(size=200)[a] + rng.normal(size=100)[b] + rng.normal(size=4000)
    fit = mx.lmer("y ~ x + (1 | a) + (1 | b)", data)
    begin = time.perf_counter()
    table = fit.tidy(ddf="kenward-roger")
    assert time.perf_counter() - begin < 0.5
    assert 50 < table["df"][0] < 300
    assert 3500 < table["df"][1] < 4000
