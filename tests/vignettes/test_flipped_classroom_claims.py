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


def test_the_two_linear_models_are_ordinary_least_squares(names):
    course = names["course"]
    styles = pd.get_dummies(course["style"]).to_numpy(dtype=float)
    professors = pd.get_dummies(course["professor"]).to_numpy(dtype=float)
    y = course["score"].to_numpy()
    ignoring = np.column_stack([np.ones(len(y)), styles[:, 1:]])
    for row, X in [
        ("ignoring professors", ignoring),
        ("professor dummies", np.column_stack([ignoring, professors[:, 1:]])),
    ]:
        # Two direct solutions of a well-conditioned problem: they agree to rounding.
        assert names["answers"].loc[row, ["estimate", "std_error"]].tolist() == pytest.approx(
            least_squares(X, y, 1), rel=1e-9
        )
    assert len(names["of_professors"]) == 14


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


def test_professors_with_low_means_taught_more_of_the_fully_flipped_students(names):
    assert names["fully_at_lowest"] > names["some_at_lowest"] + 0.05


def test_another_reference_changes_the_stars_of_professors_and_not_the_comparison_of_styles(names):
    assert names["significant"] != names["significant_b"]
    assert names["contrast_change"] < 1e-9
    assert names["professor_means"].index[0] == "B"


def test_the_standard_error_falls_from_the_first_model_to_the_third(names):
    se = names["se"]
    assert se["mixed model"] < 0.95 * se["ignoring professors"]
    assert se["mixed model"] == pytest.approx(se["professor dummies"], rel=0.03)
    assert names["by_hand"] == pytest.approx(se["ignoring professors"], rel=1e-9)
    assert names["by_hand_within"] < se["mixed model"]


def test_the_interval_that_ignores_professors_is_the_longest_and_the_only_one_to_hold_zero(names):
    answers = names["answers"]
    length = answers["conf_high"] - answers["conf_low"]
    assert length.idxmax() == "ignoring professors"
    holds_zero = (answers["conf_low"] < 0) & (answers["conf_high"] > 0)
    assert holds_zero.to_dict() == {"ignoring professors": True, "professor dummies": False, "mixed model": False}


def test_effects_gives_the_same_difference_as_the_coefficient(names):
    row = names["effects"].set_index("contrast").loc["Some Flipped - Fully Flipped"]
    expected = names["answers"].loc["mixed model"]
    assert row[["estimate", "sd"]].astype(float).tolist() == pytest.approx(expected.tolist()[:2], rel=1e-9)
    tidy = names["mixed"].tidy().set_index("term").loc[names["TERM"]]
    assert row[["lower", "upper"]].astype(float).tolist() == pytest.approx(
        tidy[["conf_low", "conf_high"]].tolist(), rel=1e-9
    )
    assert row["upper"] - row["lower"] > expected["conf_high"] - expected["conf_low"]


def test_predictions_of_professors_are_drawn_towards_zero_by_the_known_factor(names):
    student, professor = names["sd_student"] ** 2, names["sd_professor"] ** 2
    # Exact where every professor teaches the styles in the same proportions; here within a few hundredths.
    assert names["pulled"] == pytest.approx(student / (student + 25 * professor), abs=0.03)
    assert 0 < names["pulled"] < names["pulled_if_three"] < 1


def test_ignoring_professors_scatters_most_and_claims_too_little(names):
    claims = names["claims"]
    assert claims["true"].idxmax() == "ignoring professors"
    assert claims.loc["ignoring professors", "printed"] < 0.95 * claims.loc["ignoring professors", "true"]
    for honest in ("professor dummies", "mixed model"):
        assert claims.loc[honest, "printed"] == pytest.approx(claims.loc[honest, "true"], rel=0.06)


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


def test_with_one_style_each_the_dummies_cannot_answer_and_the_mixed_model_prints_the_larger_error(names):
    assert [warning.category.__name__ for warning in names["caught"]] == ["RankDeficiencyWarning"]
    assert len(names["nested_dummies"].design.aliased) == 2
    claims = names["nested_claims"]
    assert names["ratio"] > 2
    assert claims.loc["ignoring professors", "printed"] < 0.5 * claims.loc["ignoring professors", "true"]
    error = (claims["printed"] - claims["true"]).abs()
    assert error["mixed model"] < 0.5 * error["ignoring professors"]
    assert error["mixed model"] > 2 * abs(names["claims"].loc["mixed model"].diff().iloc[-1])
    assert names["spread_of_ten_times"] == pytest.approx(claims.loc["mixed model", "true"], rel=0.05)


def test_the_mixed_model_comes_nearer_to_the_truth_in_this_course(names):
    assert names["misses"]["mixed model"] < names["misses"]["ignoring professors"]
    assert names["true_difference"] == -3.5


def test_degrees_of_freedom_are_many_in_one_plan_and_professors_less_means_in_the_other(names):
    tests, crossed, nested = names["tests"], *names["MIXED"]
    for method in ("Satterthwaite", "Kenward-Roger"):
        # A balanced nested plan: an analysis of variance of 15 means.
        assert tests.loc[(nested, method), "df"] == pytest.approx(12, rel=1e-5)
        assert tests.loc[(crossed, method), "df"] > 300
    assert names["longer"] == pytest.approx(stats.t.ppf(0.975, 12) / stats.norm.ppf(0.975), rel=1e-5)


def test_courses_without_an_effect_are_tested_as_means_of_professors_would_be(names):
    scores, style = names["scores_without_effect"], names["nested_course"].groupby("professor", observed=True)["style"]
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
    assert (rejected["Wald z"] > 0.05 + 2 * error).all()
    assert (rejected["Satterthwaite"] == rejected["Kenward-Roger"]).all()


def test_pairwise_contrasts_have_tukeys_p_values_and_all_differ(names):
    table = names["pair_table"]
    expected = stats.studentized_range.sf(table["statistic"].abs() * np.sqrt(2), 3, table["df"])
    # Both integrate numerically; scipy's absolute error is about 1e-9.
    np.testing.assert_allclose(table["p_value"], expected, rtol=1e-4, atol=1e-8)
    assert (table["p_value"] < 0.05).all()
    np.testing.assert_allclose(
        names["unadjusted"]["p_value"], 2 * stats.t.sf(table["statistic"].abs(), table["df"]), rtol=1e-9
    )
    assert (table["p_value"] > names["unadjusted"]["p_value"]).all()
    assert names["closest"] == "Fully Flipped - Some Flipped"


def test_the_profile_interval_of_professors_reaches_further_up_and_percentiles_lie_lower(names):
    intervals, sd = names["intervals"], names["sd_professor"]
    assert names["high"] - sd > sd - names["low"]
    profile, boot = (intervals.loc[(method, "professor")] for method in ("profile", "bootstrap"))
    assert boot["conf_low"] < profile["conf_low"]
    assert boot["conf_high"] < profile["conf_high"]
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

    sigmas = np.linspace(9.0, 9.6, 7)

    def profiled(sd: float) -> float:
        # A parabola through the lowest of a grid: the error is below 1e-3 of the deviance.
        values = np.array([deviance(sd, sigma) for sigma in sigmas])
        a, b, c = np.polyfit(sigmas, values, 2)
        return c - b**2 / (4 * a)

    lowest = profiled(names["intervals"].loc[("profile", "professor"), "estimate"])
    for end in (names["low"], names["high"]):
        assert profiled(end) - lowest == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.02)


def test_the_check_of_the_course_finds_nothing(names):
    assert names["checked"].problems == ()
