"""What the story of varying effects says in words is true of its numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx


@pytest.fixture(scope="module")
def names(run_vignette) -> dict[str, Any]:
    return run_vignette("varying_effects").names


def fixed_columns(frame: pd.DataFrame, small: np.ndarray) -> np.ndarray:
    """small*race*gender, treatment-coded, in the order of the coefficients below."""
    white = (frame["race"] == "White").to_numpy(dtype=float)
    girl = (frame["gender"] == "girl").to_numpy(dtype=float)
    one = np.ones(len(frame))
    main = [one, white, girl, white * girl]
    return np.column_stack(main + [small * column for column in main])


def factor(varcorr: pd.DataFrame, group: str) -> np.ndarray:
    """(2, 2) matrix whose square is the covariance of intercept and slope; the covariance may be singular."""
    of_group = varcorr[varcorr["grp"] == group]
    a, b, c = of_group["vcov"]
    values, vectors = np.linalg.eigh([[a, c], [c, b]])
    return vectors * np.sqrt(np.clip(values, 0, None))


def test_it_runs_and_fills_in_its_prose(run_vignette, filled):
    assert filled(run_vignette("varying_effects"))


def test_rungs_without_random_terms_are_differences_of_means(names):
    star, answers = names["star"], names["answers"]
    means = star.groupby(["race", "gender", "small"], observed=True)["math"].mean().unstack("small")
    # Closed forms of least squares: they agree to rounding.
    np.testing.assert_allclose(answers[2].table["estimate"], means[1] - means[0], rtol=1e-9)
    arms = star.groupby("small")["math"]
    pooled = np.sqrt((arms.var() * (arms.size() - 1)).sum() / (len(star) - 2))
    first = answers[0].table
    np.testing.assert_allclose(first["estimate"], arms.mean()[1] - arms.mean()[0], rtol=1e-9)
    np.testing.assert_allclose(first["sd"], pooled * np.sqrt((1 / arms.size()).sum()), rtol=1e-9)


def test_the_last_rung_solves_the_mixed_model_equations_at_its_own_variances(names):
    star, top = names["star"], names["top"]
    small = star["small"].to_numpy(dtype=float)
    X = fixed_columns(star, small)
    blocks, effects = [X], [fixed_columns(star, np.ones(len(star))) - fixed_columns(star, np.zeros(len(star)))]
    within = star["sch"].astype(str) + ":" + star["group"]
    for group, codes in (("sch", star["sch"]), ("group", star["group"]), ("sch:group", within)):
        member = pd.get_dummies(codes).to_numpy(dtype=float)
        T = factor(top.varcorr, group) / top.sigma
        for k in range(2):
            blocks.append(member * (T[0, k] + T[1, k] * small)[:, None])
            effects.append(member * T[1, k])
    W, p = np.hstack(blocks), X.shape[1]
    inverse = np.linalg.inv(W.T @ W + np.diag(np.r_[np.zeros(p), np.ones(W.shape[1] - p)]))
    solution = inverse @ (W.T @ star["math"].to_numpy(dtype=float))
    member = pd.get_dummies(star["race"].astype(str) + star["gender"].astype(str)).to_numpy(dtype=float)
    C = (member / member.sum(axis=0)).T @ np.hstack(effects)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)  # the fit is singular
        table = mx.effects(top, "small", by=["race", "gender"], newdata=star, uncertainty="given theta").table
    # 1,100 equations with a condition of about 1e5, solved by an explicit inverse.
    np.testing.assert_allclose(table["estimate"], C @ solution, rtol=1e-7)
    np.testing.assert_allclose(table["sd"], top.sigma * np.sqrt(np.diag(C @ inverse @ C.T)), rtol=1e-7)


def test_the_ladder_as_described(names):
    assert [fit.singular for fit in names["ladder"]] == [False] * 4 + [True] * 2
    first = names["answers"][0].table["estimate"]
    assert first.max() - first.min() < 1e-9
    assert names["fourth"] < 0.95 * names["third"]
    assert names["change"][1] < 0.15
    assert "`small` within `group` are perfectly correlated" in names["top"].singularity.text


def test_only_rungs_with_varying_effects_make_up_data_like_the_data(names):
    star, observed = names["star"], names["observed"]
    means = star.groupby(["sch", "small"], observed=True)["math"].mean().unstack("small")
    assert observed["between schools"] == pytest.approx((means[1] - means[0]).std(ddof=0), rel=1e-9)
    cells = star.groupby(["sch", "group", "small"], observed=True)["math"].agg(["mean", "size"]).unstack("small")
    enough = cells[(cells["size"] >= 3).all(axis=1)]["mean"]
    assert observed["between groups within schools"] == pytest.approx((enough[1] - enough[0]).std(ddof=0), rel=1e-9)
    for name, values in names["replicated"].items():
        low, high = np.quantile(values, [0.025, 0.975], axis=1)
        holds = (low <= observed[name]) & (observed[name] <= high)
        assert holds.tolist() == [False] * 4 + [True] * 2
    assert (names["as_large"]["between schools"][:4] == 0).all()


def test_noise_makes_schools_differ_by_what_the_formula_says(names):
    star, fit = names["star"], names["ladder"][3]
    size = star.groupby(["sch", "small"], observed=True).size().unstack("small")
    noise = np.sqrt(fit.sigma**2 * (1 / size).sum(axis=1).mean())
    # Which groups a school has adds a little to its raw difference: 2 % here.
    assert names["expected_without"] == pytest.approx(noise, rel=0.05)


def test_the_posterior_includes_what_is_left_out_given_theta(names):
    assert "theta and sigma are estimated is included" in names["answers"][-1].uncertainty
    assert "variances and correlations is included" in names["eff"].uncertainty
    assert names["group_low"] < names["reml_sds"]["group"] < names["group_high"]
    assert names["ratio"].median() > 1.03
    spread = {name: np.std(values) / np.mean(values) for name, values in names["slope_sds"].items()}
    assert spread["sch"] < 0.5 * spread["group"]


def test_the_effect_for_black_boys_is_the_average_over_their_rows_in_every_draw(names):
    star, draws = names["star"], names["draws"]
    rows = star[(star["race"] == "Black") & (star["gender"] == "boy")]
    within = rows["sch"].astype(str) + ":" + rows["group"]
    effect = draws["beta", "small"].ravel().copy()  # Black and boy are the references
    for group, codes in (("sch", rows["sch"].astype(str)), ("group", rows["group"]), ("sch:group", within)):
        for level, share in codes.value_counts(normalize=True).items():
            effect += share * draws["u", group, level, "small"].ravel()
    row = names["black_boys"]
    # Sums of the same numbers in another order.
    assert row["estimate"] == pytest.approx(effect.mean(), rel=1e-9)
    assert [row["lower"], row["upper"]] == pytest.approx(np.quantile(effect, [0.025, 0.975]).tolist(), rel=1e-9)
    assert names["at_least_five"] == pytest.approx(np.mean(effect > 5), abs=1e-12)


def test_that_it_helps_them_is_clear_and_that_it_helps_them_more_is_not(names):
    assert names["black_boys"]["lower"] > 0
    assert names["black_boys_differ"]["lower"] < 0 < names["black_boys_differ"]["upper"]


def test_raw_effects_of_small_groups_are_noise_and_pooling_takes_it_away(names):
    assert names["spread_raw"] <= names["spread_of_noise"]
    assert names["spread_pooled"] < 0.5 * names["spread_raw"]
    assert names["n_small"] == (names["per_group"] < 100).sum()


def test_as_described_pictures_show(names):
    crossing, forest = names["crossing"].table, names["eff"].table
    assert (forest["estimate"] > 0).all()
    least_certain = forest.nlargest(2, "sd")
    assert set(zip(least_certain["race"], least_certain["lunch"], strict=True)) == {("Black", "paid")}
    negative = crossing[crossing["estimate"] < 0]
    assert len(negative) < 0.3 * len(crossing)
    assert negative["prob_above_null"].between(0.1, 0.9).all()


def test_stan_and_reml_answer_the_same_table(names):
    program = names["program"]
    assert all(f"rows_dot_product(Zc_{k}, u_{k}[g_{k}])" in program for k in (1, 2, 3))
    assert names["sampled"] == 10  # two sds and a correlation for each of three terms, and sigma
    assert names["coefficients"] == 8 + 2 * (79 + 32 + names["posterior"].ngroups["sch:group"])
    # Monte Carlo error of a mean of about 500 effective draws with sd 3: 0.13; four of them.
    assert names["apart"] < 0.55
    sds = names["both"].xs("sd", axis=1, level=1)
    np.testing.assert_allclose(sds["posterior"], sds["REML"], rtol=0.15)


def test_the_district_is_a_weighted_average_over_its_cells(names):
    census, without = names["census"], names["without"]
    assert census.groupby("schtype", observed=True)["people"].sum()["suburb"] == pytest.approx(4000, rel=1e-8)
    cells = census[(census["race"] == "Black") & (census["gender"] == "boy")]
    share = cells["people"] / cells["people"].sum()
    of_group = without.ranef["group"]["small"].reindex(cells["group"]).fillna(0.0).to_numpy()
    row = names["district"].table.iloc[0]
    assert row["estimate"] == pytest.approx(without.fixef["small"] + share @ of_group, rel=1e-7)
    assert row["unseen"] == pytest.approx(share[cells["schtype"] == "suburb"].sum(), rel=1e-9)
    assert (names["district"].table["unseen"].iloc[1:] == 0).all()
    assert set(names["without"].design.frame["group"]).isdisjoint(cells.loc[cells["schtype"] == "suburb", "group"])


def test_the_subgroup_that_was_put_aside_is_predicted_within_its_error(names):
    predicted, with_data, raw_error = names["predicted"], names["with_data"], names["raw_error"]
    assert abs(predicted["estimate"] - names["raw"]) < 1.96 * np.hypot(predicted["sd"], raw_error)
    assert with_data["sd"] < predicted["sd"] < raw_error


def test_separate_estimates_are_regressions_in_each_subgroup(names):
    g, z, size = names["g"], names["z"], names["size"]
    y = np.random.default_rng(5).standard_normal(len(g))
    slopes, squares = [], 0.0
    for k in range(len(size)):
        own = g == k
        X = np.column_stack([np.ones(own.sum()), z[own]])
        beta, left, *_ = np.linalg.lstsq(X, y[own], rcond=None)
        slopes.append(beta[1])
        squares += left[0]
    estimate, lower, upper = names["separate"](y, 1.96)
    np.testing.assert_allclose(estimate, slopes - size @ np.array(slopes) / size.sum(), atol=1e-12)
    sigma2 = squares / (len(y) - 2 * len(size))
    K = np.eye(len(size)) - np.outer(np.ones(len(size)), size) / size.sum()
    se = np.sqrt(np.diag(K @ np.diag(4 * sigma2 / size) @ K.T))
    np.testing.assert_allclose((upper - lower) / 2, 1.96 * se, rtol=1e-9)
    for fit, question in zip(names["noise"], names["questions"], strict=True):
        effects = names["mx"].effects(fit, "z", by="g").table["estimate"]
        np.testing.assert_allclose(fit.apply(question).mean, K @ effects, atol=1e-9)


def test_error_rates_of_reports_are_as_told(names):
    errors, found = names["errors"], names["found"]
    no, some, much = (errors.loc[amount] for amount in ("no", "some", "much"))
    own = found[(found["heterogeneity"] == "no") & (found["method"] == "separate")]
    outside = (own["lower"] > 0) | (own["upper"] < 0)
    assert no.loc["separate", "reports with a false claim"] == outside.groupby(own["run"]).any().mean()
    assert no.loc["separate", "reports with a false claim"] > 0.4
    assert no.loc[["Bonferroni", "REML ||", "posterior"], "reports with a false claim"].max() <= 0.1
    assert some.loc["separate", "claimed size / true size"] > 2
    assert some.loc["separate", "coverage of claims"] < 0.8 < 0.92 < some.loc["separate", "coverage of all"]
    assert some.loc["posterior", "claims per report"] < 0.3 * some.loc["separate", "claims per report"]
    assert some.loc["posterior", "claimed size / true size"] < some.loc["separate", "claimed size / true size"]
    size = much["claimed size / true size"]
    assert size["separate"] == pytest.approx(size["Bonferroni"], rel=0.05)
    assert size["Bonferroni"] > 1.2
    assert size[["REML", "REML ||", "posterior"]].tolist() == pytest.approx([1, 1, 1], abs=0.1)
    assert much.loc["Bonferroni", "claims per report"] < 0.6 * much.loc["posterior", "claims per report"]
    assert much.loc[["REML", "posterior"], "coverage of claims"].tolist() == pytest.approx([0.95, 0.95], abs=0.04)


def test_plugged_in_variances_fail_where_effects_do_not_differ_for_the_reason_given(names):
    errors, found = names["errors"], names["found"]
    assert errors.loc["no", "claims per report"].idxmax() == "REML"
    assert errors.loc[("no", "REML"), "claims per report"] > 5
    own = found[(found["heterogeneity"] == "no") & (found["method"] == "REML")]
    at_boundary = own["run"].map(dict(enumerate(names["boundary"])))
    assert at_boundary[own["claimed"]].mean() > 0.9
    separate = found[(found["heterogeneity"] == "no") & (found["method"] == "separate")]
    length = (own["upper"] - own["lower"])[at_boundary].median()
    assert errors.loc[("some", "REML ||"), "coverage of all"] < errors.loc[("some", "posterior"), "coverage of all"]
    assert length < 0.1 * (separate["upper"] - separate["lower"]).median()
