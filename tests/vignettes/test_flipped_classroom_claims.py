"""What the course story says in words is true of its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats


@pytest.fixture(scope="module")
def names(run_vignette) -> dict[str, Any]:
    return run_vignette("flipped_classroom").names


def least_squares(X: np.ndarray, y: np.ndarray, column: int) -> tuple[float, float]:
    """Estimate and standard error of one coefficient of a linear model."""
    beta, residual, rank, _ = np.linalg.lstsq(X, y, rcond=None)
    assert rank == X.shape[1]
    covariance = residual[0] / (len(y) - rank) * np.linalg.inv(X.T @ X)
    return beta[column], np.sqrt(covariance[column, column])


def test_it_runs_and_fills_in_its_prose(run_vignette, filled):
    assert filled(run_vignette("flipped_classroom"))


def test_the_linear_models_are_ordinary_least_squares(names):
    for course, fit, dummies in (
        (names["course"], names["ignoring"], False),
        (names["crossed"], names["crossed_fits"]["ignoring professors"], False),
        (names["crossed"], names["crossed_fits"]["professor dummies"], True),
    ):
        styles = pd.get_dummies(course["style"]).to_numpy(dtype=float)
        professors = pd.get_dummies(course["professor"]).to_numpy(dtype=float)
        X = np.column_stack([np.ones(len(course)), styles[:, 1:], *([professors[:, 1:]] if dummies else [])])
        row = fit.tidy(ddf="normal").set_index("term").loc[names["TERM"]]
        # Two direct solutions of a well-conditioned problem: they agree to rounding.
        assert row[["estimate", "std_error"]].astype(float).tolist() == pytest.approx(
            least_squares(X, course["score"].to_numpy(), 1), rel=1e-9
        )


def test_the_mixed_model_is_generalised_least_squares_at_its_own_variances(names):
    course, mixed = names["course"], names["mixed"]
    same = np.equal.outer(course["professor"].to_numpy(), course["professor"].to_numpy())
    V = names["sd_professor"] ** 2 * same + names["sd_student"] ** 2 * np.eye(len(course))
    X = np.column_stack([np.ones(len(course)), pd.get_dummies(course["style"]).to_numpy(dtype=float)[:, 1:]])
    covariance = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    beta = covariance @ X.T @ np.linalg.solve(V, course["score"].to_numpy())
    np.testing.assert_allclose(mixed.fixef, beta, rtol=1e-8)
    np.testing.assert_allclose(mixed.vcov, covariance, rtol=1e-8)


def test_students_of_one_professor_are_alike(names):
    assert names["residual_means"].std() > 2 * names["expected_sd"]
    assert names["outside"] >= 3


def test_partly_flipped_classes_score_higher_although_the_truth_is_the_contrary(names):
    assert names["raw_difference"] > 0 > names["true_difference"] == -3.5
    assert names["luck"] > 5
    assert names["ignoring_row"]["p_value"] < 0.001
    assert names["answers"].loc["ignoring professors", "conf_low"] > 0


def test_professors_of_one_style_are_further_apart_than_the_styles(names):
    means = names["course"].groupby("style", observed=True)["score"].mean()
    assert names["ranges"].max() > 3 * (means.max() - means.min())


def test_fourteen_dummies_leave_no_room_for_the_styles(names):
    assert [warning.category.__name__ for warning in names["caught"]] == ["RankDeficiencyWarning"]
    assert len(names["dropped"]) == 2
    assert len(names["of_professors"]) == 12
    assert len(names["left_some"]) == len(names["left_fully"]) == 1
    # what is left in the row of the style is the difference between two persons
    assert names["dummy_table"].loc[names["TERM"], "estimate"] == pytest.approx(names["single_difference"], abs=1e-9)


def test_all_classes_being_of_one_size_the_estimates_agree_and_the_claims_do_not(names):
    answers, se = names["answers"], names["se"]
    assert answers["estimate"].iloc[0] == pytest.approx(answers["estimate"].iloc[1], abs=1e-8)
    assert names["ratio"] > 3
    assert names["by_hand"] == pytest.approx(se["ignoring professors"], rel=1e-9)
    assert names["by_hand_mixed"] == pytest.approx(se["mixed model"], rel=1e-6)  # at REML's optimum, to its tolerance
    assert answers.loc["mixed model", "conf_low"] < 0 < answers.loc["mixed model", "conf_high"]


def test_the_course_cannot_tell_and_the_interval_allows_for_the_truth(names):
    assert names["mixed_row"]["df"] == pytest.approx(12, rel=1e-5)
    assert names["mixed_row"]["p_value"] > 0.05
    assert names["f_test"]["p_value"] > 0.05
    low, high = names["mixed_interval"]
    assert low < names["true_difference"] < high


def test_predictions_of_professors_are_drawn_towards_zero_by_the_known_factor(names):
    student, professor = names["sd_student"] ** 2, names["sd_professor"] ** 2
    # exact where all classes are of one size
    assert names["pulled"] == pytest.approx(student / (student + 25 * professor), rel=1e-6)
    assert 0 < names["pulled"] < names["pulled_if_three"] < 1


def test_both_estimates_scatter_alike_and_one_claims_a_third(names):
    claims = names["claims"]
    assert claims["true"].iloc[0] == pytest.approx(claims["true"].iloc[1], rel=1e-9)
    assert claims.loc["ignoring professors", "printed"] < claims.loc["ignoring professors", "true"] / 2.5
    error = (claims["printed"] - claims["true"]).abs()
    assert error["mixed model"] < 0.6 * error["ignoring professors"]
    assert names["spread_of_ten_times"] == pytest.approx(claims.loc["mixed model", "true"], rel=0.06)


def test_true_spreads_are_those_of_repeated_courses(names):
    course, truth, rng = names["course"], names["truth"], np.random.default_rng(1)
    X = names["ignoring"].design.X
    codes = course["professor"].cat.codes.to_numpy()
    draws = 20_000
    scores = truth.sd_professor * rng.standard_normal((draws, 15))[:, codes]
    scores += truth.sigma * rng.standard_normal((draws, len(course)))
    estimates = scores @ np.linalg.pinv(X)[1]
    # Relative standard error of a standard deviation from 20,000 draws: 0.5 %; four of them.
    assert names["claims"].loc["ignoring professors", "true"] == pytest.approx(estimates.std(), rel=0.02)


def test_degrees_of_freedom_are_professors_less_means_in_one_plan_and_many_in_the_other(names):
    tests = names["tests"]
    for method in ("Satterthwaite", "Kenward-Roger"):
        # A balanced plan of one style each: an analysis of variance of 15 means.
        assert tests.loc[method, "df"] == pytest.approx(12, rel=1e-5)
    assert names["crossed_df"] > 300
    assert names["longer"] == pytest.approx(stats.t.ppf(0.975, 12) / stats.norm.ppf(0.975), rel=1e-5)


def test_courses_without_an_effect_are_tested_as_means_of_professors_would_be(names):
    scores, style = names["scores_without_effect"], names["course"].groupby("professor", observed=True)["style"]
    of_professor = np.eye(15)[names["own_professor"]].T @ scores / 25
    styles = style.first().to_numpy()
    found = stats.f_oneway(*(of_professor[styles == one] for one in names["STYLES"])).pvalue
    # The same test, as no estimated variance of professors is zero in these courses; no p value lies within rounding
    # of 0.05.
    assert np.abs(found - 0.05).min() > 1e-5
    rejected = names["rejected"][list(names["HYPOTHESES"])[1]]
    for method in ("Satterthwaite", "Kenward-Roger"):
        assert rejected[method] == np.mean(found < 0.05)


def test_only_wald_z_rejects_more_often_than_it_says(names):
    rejected, error = names["rejected"].unstack(), names["monte_carlo"]
    assert error == pytest.approx(np.sqrt(0.05 * 0.95 / 400))
    assert ((rejected[["Satterthwaite", "Kenward-Roger"]] - 0.05).abs() < 2 * error).all(axis=None)
    assert rejected["Wald z"][list(names["HYPOTHESES"])[1]] > 0.05 + 2 * error
    assert (rejected["Wald z"] > 0.05).all()
    assert (rejected["Satterthwaite"] == rejected["Kenward-Roger"]).all()
    # 375 students taken for granted: F of 2 and 372 instead of 2 and 12 degrees of freedom, and no professors
    assert names["of_ols"] > 0.4


def test_pairwise_contrasts_have_tukeys_p_values_and_none_differ(names):
    table = names["pair_table"]
    expected = stats.studentized_range.sf(table["statistic"].abs() * np.sqrt(2), 3, table["df"])
    # Both integrate numerically; scipy's absolute error is about 1e-9.
    np.testing.assert_allclose(table["p_value"], expected, rtol=1e-4, atol=1e-8)
    assert (table["p_value"] > 0.05).all()
    np.testing.assert_allclose(
        names["unadjusted"]["p_value"], 2 * stats.t.sf(table["statistic"].abs(), table["df"]), rtol=1e-9
    )


def test_the_profile_interval_of_professors_reaches_further_up(names):
    intervals, sd = names["intervals"], names["sd_professor"]
    assert names["high"] - names["sd_ml"] > names["sd_ml"] - names["low"]
    length = intervals["conf_high"] - intervals["conf_low"]
    assert length["profile", "professor"] > 2 * length["profile", "Residual"]
    mixed = names["mixed"]
    refits = mixed.refits(mixed.simulate(1000, seed=2))
    # More often too small than too large; the standard error of this share is 0.016.
    assert np.mean(refits.theta[:, 0] * refits.sigma < sd) > 0.5


def test_the_profile_interval_ends_where_the_likelihood_ratio_test_rejects(names):
    course, mixed = names["course"], names["mixed"]
    y, X = course["score"].to_numpy(), mixed.design.X
    same = np.equal.outer(course["professor"].to_numpy(), course["professor"].to_numpy()).astype(float)

    def deviance(sd: float, sigma: float) -> float:
        V = sd**2 * same + sigma**2 * np.eye(len(y))
        L = np.linalg.cholesky(V)
        A, b = np.linalg.solve(L, X), np.linalg.solve(L, y)
        left = b - A @ np.linalg.lstsq(A, b, rcond=None)[0]
        return 2 * np.log(np.diag(L)).sum() + left @ left

    sigmas = np.linspace(8.6, 9.3, 8)

    def profiled(sd: float) -> float:
        # A parabola through the lowest of a grid: the error is below 1e-3 of the deviance.
        values = np.array([deviance(sd, sigma) for sigma in sigmas])
        a, b, c = np.polyfit(sigmas, values, 2)
        return c - b**2 / (4 * a)

    lowest = profiled(names["intervals"].loc[("profile", "professor"), "estimate"])
    for end in (names["low"], names["high"]):
        assert profiled(end) - lowest == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.02)


def test_the_better_experiment_is_exact_and_its_claims_are_true(names):
    claims = names["crossed_claims"]
    assert claims["true"].idxmax() == "ignoring professors"
    for honest in ("professor dummies", "mixed model"):
        assert claims.loc[honest, "printed"] == pytest.approx(claims.loc[honest, "true"], rel=0.06)
    assert names["gain"] > 8
    row = names["crossed_row"]
    assert row["conf_low"] < -3.5 < row["conf_high"] < 0


def test_the_check_of_the_course_finds_nothing(names):
    assert names["checked"].problems == ()
