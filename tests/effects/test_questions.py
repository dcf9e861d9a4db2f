"""Questions put to an answer, each against loops over its joint draws or the rows of the data."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog
from scipy.stats import norm

from mixedfx.bayes.bayes import bayes
from mixedfx.bayes.posterior import estimate as estimate_of_posterior
from mixedfx.design.functional import NewLevel
from mixedfx.effects.comparisons import COMPARISONS, Comparison
from mixedfx.effects.decisions import Decision
from mixedfx.effects.effects import effects
from mixedfx.effects.poststratify import poststratify
from mixedfx.errors import EffectsError, OptionError
from mixedfx.inference import normal_estimate as estimate_of_reml
from mixedfx.inference.new_level_rows import NewLevelRows
from mixedfx.reml.lmer import lmer
from mixedfx.reml.theta_nodes import ThetaNodes
from tests.effects.drawn_fit import draw_fit

FORMULA = "y ~ z*race*gender + (1 + z | school)"
BY = ["race", "gender"]

# Questions are put to small models, some of which have aliased columns or effects that cannot vary.
pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def exact(people, dense_fit):
    return effects(dense_fit(FORMULA, people), "z", by=BY, weights="w", newdata=people)


@pytest.fixture(scope="module")
def drawn(people):
    return effects(draw_fit(FORMULA, people, "bernoulli", draws=300), "z", by=BY, weights="w", newdata=people)


@pytest.fixture(params=["exact", "drawn"])
def eff(request):
    return request.getfixturevalue(request.param)


# --- region of practical equivalence -------------------------------------------------------------------------------
def test_a_region_of_equivalence_by_hand(exact, drawn):
    table = exact.rope(-0.2, 0.3)
    for i, row in exact.table.iterrows():
        below, above = norm.cdf(-0.2, row["estimate"], row["sd"]), norm.sf(0.3, row["estimate"], row["sd"])
        assert table["prob_below"][i] == pytest.approx(below, rel=1e-9)
        assert table["prob_above"][i] == pytest.approx(above, rel=1e-9)
        assert table["prob_inside"][i] == pytest.approx(1 - below - above, abs=1e-12)
    table, draws = drawn.rope(-0.02, 0.03), drawn.draws()
    for i in range(6):
        assert table["prob_below"][i] == np.mean(draws[:, i] < -0.02)
        assert table["prob_inside"][i] == np.mean((draws[:, i] > -0.02) & (draws[:, i] < 0.03))
    assert list(table.columns) == [*BY, "contrast", "prob_below", "prob_inside", "prob_above", "verdict"]


def test_verdicts_follow_the_interval(exact):
    lower, upper = exact.table["lower"], exact.table["upper"]
    assert set(exact.rope(lower.min() - 1, upper.max() + 1)["verdict"]) == {"equivalent"}
    assert set(exact.rope(upper.max() + 1, upper.max() + 2)["verdict"]) == {"different"}
    middle = exact.table["estimate"][0]
    assert exact.rope(middle - 1e-3, middle + 1e-3)["verdict"][0] == "undecided"
    with pytest.raises(EffectsError, match="is empty"):
        exact.rope(1, 1)


# --- ranks ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("best", ["highest", "lowest"])
def test_ranks_are_counted_draw_by_draw(best, eff):
    table, draws = eff.rank(best), eff.draws()
    D, s = draws.shape
    ranks = np.empty((D, s))
    for d in range(D):
        for i in range(s):
            better = draws[d] > draws[d, i] if best == "highest" else draws[d] < draws[d, i]
            ranks[d, i] = 1 + better.sum()
    for i in range(s):
        assert table["prob_best"][i] == pytest.approx(np.mean(ranks[:, i] == 1))
        assert table["rank"][i] == pytest.approx(ranks[:, i].mean())
        assert table["median"][i] == np.median(ranks[:, i])
        ordered = np.sort(ranks[:, i])
        assert table["lower"][i] == ordered[int(np.ceil(0.025 * D)) - 1]
        assert table["upper"][i] == ordered[int(np.ceil(0.975 * D)) - 1]
    assert table["prob_best"].sum() == pytest.approx(1)


def test_subgroups_compete_within_their_margin_and_contrast(people, dense_fit):
    fit = dense_fit("y ~ style*race + style*gender", people)
    table = effects(fit, "style", by=[["race"], ["gender"]]).rank()
    assert table.groupby(["margin", "contrast"])["prob_best"].sum().tolist() == pytest.approx([1.0] * 4)
    with pytest.raises(EffectsError, match="two or more subgroups"):
        effects(fit, "style").rank(of="subgroups")
    with pytest.raises(OptionError, match="best"):
        effects(fit, "style", by="race").rank(best="most")  # type: ignore


def test_equal_effects_share_their_places(people, dense_fit):
    table = effects(dense_fit("y ~ z + race", people), "z", by="race").rank()
    assert table["prob_best"].tolist() == pytest.approx([1 / 3] * 3)
    assert table["rank"].tolist() == pytest.approx([2.0] * 3)


def test_values_of_the_treatment_compete_with_their_base(people, dense_fit):
    """Which arm is best: by the contrasts of each draw, the base at 0; whatever pairs of values the table compares."""
    eff = effects(dense_fit("y ~ style + (1 | school)", people), "style")
    table, draws = eff.rank(), eff.draws()
    u = np.column_stack([np.zeros(len(draws)), draws])
    for best, place in (("highest", u.argmax(axis=1)), ("lowest", u.argmin(axis=1))):
        expected = [np.mean(place == i) for i in range(3)]
        table = eff.rank(best)
        assert table["style"].tolist() == ["None", "Some", "Fully"]
        np.testing.assert_allclose(table["prob_best"], expected, atol=1e-12)
    above = [[(u[:, j] < u[:, i]).mean() for i in range(3)] for j in range(3)]
    np.testing.assert_allclose(table["rank"], 1 + np.array(above).T @ np.ones(3), atol=1e-12)
    reported = eff.rank(of="values")
    for style in ("pairwise", "sequential"):
        again = effects(eff.fit, {"style": style}).rank(of="values")
        # other contrasts have other draws: of 4,000 each, so that the difference of two shares has an sd of 0.011
        np.testing.assert_allclose(again["prob_best"], reported["prob_best"], atol=0.05)


@pytest.mark.parametrize("comparison", [*COMPARISONS])
def test_the_best_value_is_that_of_the_highest_average_in_each_draw(people, comparison):
    """A posterior's draws are the same whatever is compared, and so is the order of averages, in each subgroup."""
    fit = draw_fit("y ~ style*race", people, "bernoulli", draws=200)
    found = effects(fit, {"style": "sequential"}, by="race", comparison=comparison).rank(of="values")
    averages = {}
    for value in ("None", "Some", "Fully"):
        there = people.assign(style=pd.Categorical([value] * len(people), people["style"].cat.categories))
        averages[value] = poststratify(fit, there, by="race").draws()
    each = np.stack([averages[value] for value in ("None", "Some", "Fully")], axis=2)  # (draws, races, values)
    expected = [np.mean(each[:, race].argmax(axis=1) == v) for race in range(3) for v in range(3)]
    np.testing.assert_allclose(found["prob_best"], expected, atol=1e-12)
    assert found["race"].tolist() == [r for r in ("Asian", "Black", "White") for _ in range(3)]


def test_values_that_do_not_compete_are_refused(people, dense_fit):
    fit = dense_fit("y ~ style*race + dose", people)
    eff = effects(fit, "style", by="race")
    assert "estimate" in eff.rank()  # several subgroups: they compete, unless values are asked for
    for wrong in (effects(fit, "dose"), eff.contrast("Asian", "White"), poststratify(fit, people)):
        with pytest.raises(EffectsError, match="compete by their effects"):
            wrong.rank(of="values")
    with pytest.raises(OptionError, match="of="):
        eff.rank(of="arms")  # type: ignore


# --- interaction excess --------------------------------------------------------------------------------------------
def excess_by_hand(tau, cells, weight):
    """Residual of a weighted least-squares fit of main effects, with treatment coding and normal equations.

    `tau` is (s,) or (s, D).
    """
    X = pd.get_dummies(cells, columns=list(cells.columns), drop_first=True).to_numpy(dtype=float)
    X = np.column_stack([np.ones(len(X)), X])
    coefficients = np.linalg.solve((X.T * weight) @ X, (X.T * weight) @ tau)
    return tau - X @ coefficients


def test_the_excess_is_what_main_effects_leave_over(eff):
    found = eff.interaction_excess()
    weight = eff.table["weight"].to_numpy()
    estimate = excess_by_hand(eff.table["estimate"].to_numpy(), eff.table[BY], weight)
    np.testing.assert_allclose(found.table["estimate"], estimate, atol=1e-9)
    assert "beyond the main effects" in found.notes[-1]


def test_the_excess_of_an_exact_answer_is_exact(exact):
    weight = exact.table["weight"].to_numpy()
    M = np.column_stack([excess_by_hand(e, exact.table[BY], weight) for e in np.eye(6)])
    cov = M @ exact.fit.apply(exact.functional).cov @ M.T
    np.testing.assert_allclose(exact.interaction_excess().table["sd"], np.sqrt(np.diag(cov)), rtol=1e-7)


def test_the_excess_of_draws_is_taken_draw_by_draw(drawn):
    weight = drawn.table["weight"].to_numpy()
    by_hand = np.array([excess_by_hand(draw, drawn.table[BY], weight) for draw in drawn.draws()[:20]])
    by_hand = np.vstack([by_hand, excess_by_hand(drawn.draws()[20:].T, drawn.table[BY], weight).T])
    np.testing.assert_allclose(drawn.interaction_excess().draws(), by_hand, atol=1e-10)


def test_additive_effects_have_no_excess(people, dense_fit):
    found = effects(dense_fit("y ~ z*race + z*gender", people), "z", by=[["race"], BY]).interaction_excess()
    assert found.table["margin"].unique().tolist() == ["race:gender"]
    np.testing.assert_allclose(found.table["estimate"], 0, atol=1e-10)
    np.testing.assert_allclose(found.table["sd"], 0, atol=1e-7)


def test_three_factors_and_contrasts_of_excesses(people, dense_fit):
    by = ["race", "gender", "treated"]
    eff = effects(dense_fit("y ~ z*(race*gender + race*treated + gender*treated)", people), "z", by=by)
    assert eff.table["estimate"].notna().all()  # some cell of the four-way crossing is empty in these data
    found = eff.interaction_excess()
    by_hand = excess_by_hand(eff.table["estimate"].to_numpy(), eff.table[by], eff.table["weight"].to_numpy())
    np.testing.assert_allclose(found.table["estimate"], by_hand, atol=1e-10)
    one = found.contrast(("Black", "boy", True), ("White", "boy", True)).table["estimate"].item()
    rows = [list(map(tuple, eff.table[by].to_numpy())).index((r, "boy", True)) for r in ("Black", "White")]
    assert one == pytest.approx(by_hand[rows[0]] - by_hand[rows[1]], abs=1e-10)
    with pytest.raises(EffectsError, match="crossing of two or more"):
        effects(eff.fit, "z", by="race").interaction_excess()
    with pytest.raises(EffectsError, match="no overall effect"):
        found.contrast(against="overall")


# --- shrinkage -----------------------------------------------------------------------------------------------------
def test_raw_estimates_are_differences_of_means(people, exact):
    table = exact.shrinkage()
    for i, (race, gender) in enumerate(exact.table[BY].to_numpy()):
        rows = people[(people["race"] == race) & (people["gender"] == gender)]
        y1, y0 = (rows.loc[rows["z"] == z, "y"] for z in (1, 0))
        se = np.sqrt(y1.var(ddof=1) / len(y1) + y0.var(ddof=1) / len(y0))
        assert table["n"][i] == len(rows)
        assert table["raw"][i] == pytest.approx(y1.mean() - y0.mean(), rel=1e-9)
        assert table["raw_se"][i] == pytest.approx(se, rel=1e-9)
        assert table["pooled"][i] == exact.table["estimate"][i]
        assert table["pooling"][i] == pytest.approx(np.clip(1 - exact.table["sd"][i] ** 2 / se**2, 0, 1))


def test_the_pooling_factor_is_that_of_the_normal_normal_model(dense_fit):
    """One group mean each, known mean: posterior variance = se^2 (1 - lambda), lambda = se^2 / (se^2 + tau^2)."""
    rng = np.random.default_rng(1)
    sigma, tau, n = 1.0, 0.5, 12
    data = pd.DataFrame({"g": np.repeat([f"g{i}" for i in range(400)], n)})
    # Residuals with a standard deviation of exactly sigma within each group: raw_se is sigma / sqrt(n).
    noise = rng.normal(size=(400, n))
    noise = (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, ddof=1, keepdims=True)
    data["y"] = noise.ravel() + np.repeat(rng.normal(0, tau, 400), n)
    fit = dense_fit("y ~ 1 + (1 | g)", data, sigma=sigma, populations={"g": [[tau**2]]})
    table = poststratify(fit, None, by="g").shrinkage()
    se2 = sigma**2 / n
    assert table["raw_se"].to_numpy() == pytest.approx(np.sqrt(se2), rel=1e-9)
    # The mean of 400 groups is nearly known: 1 / 400 of the between-group variance.
    assert table["pooling"].to_numpy() == pytest.approx(se2 / (se2 + tau**2), rel=0.02)


@pytest.mark.parametrize("comparison", ["difference", "ratio", "lnratio", "lift", "odds_ratio", "log_odds_ratio"])
def test_raw_errors_of_comparisons_follow_the_delta_method(comparison, people):
    """Numerical derivatives of the comparison at the raw shares."""
    data = people.assign(y=(people["y"] > 0).astype(float))
    eff = effects(draw_fit("y ~ z*race", data, "bernoulli"), "z", by="race", comparison=comparison)
    table = eff.shrinkage()
    compare = eff.comparison.compare
    for i, race in enumerate(["Asian", "Black", "White"]):
        y = [data.loc[(data["race"] == race) & (data["z"] == z), "y"] for z in (1, 0)]
        h, b = (part.mean() for part in y)
        step = 1e-6
        slopes = [
            (compare(h + step, b) - compare(h - step, b)) / (2 * step),
            (compare(h, b + step) - compare(h, b - step)) / (2 * step),
        ]
        se = np.sqrt(sum(s**2 * part.var(ddof=1) / len(part) for s, part in zip(slopes, y, strict=True)))
        assert table["raw"][i] == pytest.approx(compare(h, b), rel=1e-9)
        assert table["raw_se"][i] == pytest.approx(se, rel=1e-6)


def test_subgroups_without_rows_have_no_raw_estimate(people, dense_fit):
    data = people[(people["race"] != "Asian") | (people["z"] == 0)]
    fit = dense_fit("y ~ z + (1 + z | race)", data)
    table = effects(fit, "z", by="race").shrinkage()
    assert np.isnan(table["raw"][0])
    assert table["pooling"][0] == 1.0
    assert table["n"][0] == (data["race"] == "Asian").sum()


def test_a_raw_slope_is_least_squares(people, dense_fit):
    fit = dense_fit("y ~ dose*race", people)
    table = effects(fit, "dose", by="race").shrinkage()
    for i, race in enumerate(["Asian", "Black", "White"]):
        rows = people[people["race"] == race]
        coefficients, cov = np.polyfit(rows["dose"], rows["y"], 1, cov=True)
        assert table["raw"][i] == pytest.approx(coefficients[0], rel=1e-9)
        assert table["raw_se"][i] == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-9)


def test_a_raw_slope_weighs_rows_as_a_raw_mean_does(people):
    data = people.assign(w=np.linspace(0.2, 3.0, len(people)))
    table = effects(lmer("y ~ dose*race", data, weights="w"), "dose", by="race").shrinkage()
    for i, race in enumerate(["Asian", "Black", "White"]):
        rows = data[data["race"] == race]
        coefficients, cov = np.polyfit(rows["dose"], rows["y"], 1, w=np.sqrt(rows["w"]), cov=True)
        assert table["raw"][i] == pytest.approx(coefficients[0], rel=1e-9)
        assert table["raw_se"][i] == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-9)


def test_shrinkage_of_queries_margins_and_levels(people, dense_fit):
    fit = dense_fit("y ~ style*race + gender", people)
    named = effects(fit, "style", subgroups={"Black boys": "race == 'Black' and gender == 'boy'"}).shrinkage()
    rows = people[(people["race"] == "Black") & (people["gender"] == "boy")]
    mean = rows.groupby("style", observed=True)["y"].mean()
    assert named["raw"].tolist() == pytest.approx([mean["Some"] - mean["None"], mean["Fully"] - mean["None"]])
    margins = effects(fit, "style", by=[[], ["race"]]).shrinkage()
    mean = people.groupby("style", observed=True)["y"].mean()
    assert margins["raw"][1] == pytest.approx(mean["Fully"] - mean["None"])
    assert margins.loc[margins["margin"] == "overall", "n"].tolist() == [
        people["style"].isin(["Some", "None"]).sum(),
        people["style"].isin(["Fully", "None"]).sum(),
    ]
    with pytest.raises(EffectsError, match="no column 'district'"):
        effects(fit, "style", by="district", newdata=people).shrinkage()
    with pytest.raises(EffectsError, match="table of effects itself"):
        effects(fit, "style", by="race").contrast(against="overall").shrinkage()


# --- heterogeneity -------------------------------------------------------------------------------------------------
def test_heterogeneity_is_a_weighted_sd_within_each_draw(eff):
    table = eff.heterogeneity().set_index("component")
    draws, w = eff.draws(), eff.table["weight"].to_numpy()
    levels = {
        factor: [(eff.table[factor] == level).to_numpy() for level in eff.table[factor].unique()] for factor in BY
    }
    by_hand = {"between subgroups": [], "race": [], "gender": [], "interaction": []}
    for draw in draws:
        mean = np.average(draw, weights=w)
        by_hand["between subgroups"].append(np.average((draw - mean) ** 2, weights=w))
        for factor in BY:
            total = 0.0
            for mine in levels[factor]:
                total += w[mine].sum() * (np.average(draw[mine], weights=w[mine]) - mean) ** 2
            by_hand[factor].append(total / w.sum())
    left = excess_by_hand(draws.T, eff.table[BY], w)
    by_hand["interaction"] = np.average(left**2, weights=w, axis=0)
    for component, variances in by_hand.items():
        sd = np.sqrt(variances)
        row = table.loc[component]
        assert row["sd"] == pytest.approx(sd.mean(), rel=1e-7)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(sd, [0.025, 0.975])), rel=1e-6)
        share = np.array(variances) / np.array(by_hand["between subgroups"])
        assert row["share"] == pytest.approx(share.mean(), rel=1e-7)
    assert table["subgroups"].tolist() == [6] * 4


def test_the_true_spread_lies_between_pooled_and_raw(dense_fit):
    """Effects of 60 groups with sd 0.6: estimates spread less, raw differences more; the draws find it."""
    rng = np.random.default_rng(8)
    groups, n, tau = 60, 20, 0.6
    data = pd.DataFrame(
        {"g": np.repeat([f"g{i:02d}" for i in range(groups)], n), "z": np.tile([0, 1], groups * n // 2)}
    )
    slope = rng.normal(0, tau, groups)
    data["y"] = np.repeat(slope, n) * data["z"] + rng.normal(size=len(data))
    fit = dense_fit("y ~ z + (0 + z | g)", data, sigma=1.0, populations={"g": [[tau**2]]})
    eff = effects(fit, "z", by="g")
    row = eff.heterogeneity().iloc[0]
    raw = eff.shrinkage()["raw"].std()
    assert eff.table["estimate"].std() < row["sd"] < raw
    assert row["lower"] < slope.std() < row["upper"]
    with pytest.raises(EffectsError, match="two or more subgroups"):
        effects(fit, "z").heterogeneity()


# --- decisions -----------------------------------------------------------------------------------------------------
def halves(D):
    return np.array_split(np.random.default_rng(0).permutation(D), 2)


def test_a_policy_is_judged_on_draws_that_did_not_choose_it(drawn):
    cost = 0.01
    decision = drawn.decide(cost=cost)
    draws, w = drawn.draws(), drawn.table["weight"].to_numpy()
    gains = {"chosen": [], "all": [], "none": [], "random": []}
    a, b = halves(len(draws))
    for choose, judge in ((a, b), (b, a)):
        treat = [draws[choose, i].mean() > cost for i in range(6)]
        reached = sum(w[i] for i in range(6) if treat[i]) / w.sum()
        for d in judge:
            every = sum(w[i] * (draws[d, i] - cost) for i in range(6))
            gains["chosen"].append(sum(w[i] * (draws[d, i] - cost) for i in range(6) if treat[i]))
            gains["all"].append(every)
            gains["none"].append(0.0)
            gains["random"].append(reached * every)
    for i, (policy, values) in enumerate(gains.items()):
        row = decision.policies.iloc[i]
        assert row["policy"] == policy
        assert row["gain"] == pytest.approx(np.mean(values), abs=1e-9)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-9)
        assert row["prob_positive"] == np.mean(np.array(values) > 0)
    treat = [float(draws[:, i].mean() > cost) for i in range(6)]
    assert decision.table["treat"].tolist() == treat
    np.testing.assert_allclose(decision.table["prob_benefit"], (draws > cost).mean(axis=0))
    assert repr(decision).startswith("Decision: whom to treat")
    assert "<table" in decision._repr_html_()


@pytest.mark.parametrize("size", [1, 60, 61, 700])
def test_a_decision_prints_its_answer_first_and_no_more_rows_than_are_read(size):
    """With effects for each of 10,391 pupils policies stood below 10,405 lines; sixty rows are shown."""
    names = pd.DataFrame({"row": np.arange(size), "weight": 1.0, "estimate": 0.5, "treat": 1.0})
    policies = pd.DataFrame({"policy": ["chosen", "all", "none", "random"], "gain": [3.0, 2.0, 0.0, 1.0]})
    decision = Decision(names, policies, np.zeros((2, 4)), ("how to read it",))
    text, html = repr(decision), decision._repr_html_()
    assert text.index("Policies") < text.index("Subgroups") < text.index("how to read it")
    assert len(text.splitlines()) <= 60 + 15  # headings, blank lines, four policies and the note
    assert html.count("<tr>") <= 60 + 10
    hidden = max(0, size - 60)
    assert (f"{hidden} more row{'s' if hidden > 1 else ''} in .table" in text) == (hidden > 0)
    assert (f"{hidden} more row" in html) == (hidden > 0)


def test_a_policy_without_signal_gains_nothing_on_the_other_half(people):
    """Twelve effects of zero known with error: judged on the draws that chose it, a policy would look good."""
    fit = draw_fit("y ~ z + (0 + z | school)", people, "gaussian", draws=400)
    noise = np.random.default_rng(2).normal(size=fit.sample.shape)
    noise[:, : fit.design.X.shape[1]] = 0.0
    fit = type(fit)(fit.design, noise, fit.covariance_factors, fit.family)
    eff = effects(fit, "z", by="school")
    policies = eff.decide().policies.set_index("policy")
    draws, w = eff.draws(), eff.table["weight"].to_numpy()
    a, b = halves(len(draws))
    own = sum(np.sum(w * np.clip(draws[half].mean(axis=0), 0, None)) for half in (a, b)) / 2
    error = (draws @ w).std() / np.sqrt(len(draws))
    assert own > 1.5 * error
    assert policies.loc["chosen", "gain"] < own
    assert abs(policies.loc["chosen", "gain"]) < 4 * error


def test_a_budget_is_spent_where_it_gains_most(exact):
    price = np.array([1.0, 2.0, 1.0, 3.0, 1.0, 1.0])
    w = exact.table["weight"].to_numpy()
    budget = 0.4 * (w * price).sum()
    decision = exact.decide(cost=price.tolist(), budget=budget)
    gain = exact.draws().mean(axis=0)
    best = linprog(-gain * w, A_ub=[w * price], b_ub=[budget], bounds=(0, 1))
    assert (decision.table["treat"] * w * gain).sum() == pytest.approx(-best.fun, rel=1e-9)
    assert (decision.table["treat"] * w * price).sum() <= budget * (1 + 1e-12)
    policies = decision.policies.set_index("policy")
    assert policies.loc["random", "cost"] == pytest.approx(policies.loc["chosen", "cost"])
    assert policies.loc["all", "cost"] == pytest.approx((w * price).sum())
    assert "more than the budget" in decision.notes[-1]


def test_lower_is_a_benefit_too(exact):
    up, down = exact.decide(), exact.decide(benefit="lower")
    assert (up.table["treat"] + down.table["treat"] == 1).all()
    assert down.policies["gain"][1] == pytest.approx(-up.policies["gain"][1], abs=1e-9)


def test_effects_per_1000_are_weighed_per_head(people, monkeypatch):
    """Whatever number an effect is stated for, costs and gains are those of one person."""
    fit = draw_fit(FORMULA, people, "bernoulli", draws=300)
    thousand = Comparison(
        "per_1000", 0.0, "{high} - {low}, per 1,000", lambda high, low: 1000 * (high - low),
        lambda high, low: (np.full_like(high, 1000.0), np.full_like(low, -1000.0)), (1000.0, -1000.0),
    )  # fmt: skip
    monkeypatch.setitem(COMPARISONS, "per_1000", thousand)
    one, many = (effects(fit, "z", by="race", comparison=name) for name in ("difference", "per_1000"))
    for asked in ({"cost": 0.1}, {"cost": 0.2, "budget": 10.0}, {"benefit": "lower"}):
        ours, theirs = many.decide(**asked), one.decide(**asked)
        pd.testing.assert_frame_equal(ours.policies, theirs.policies)
        np.testing.assert_allclose(ours.table["estimate"], 1000 * theirs.table["estimate"], rtol=1e-10)
        pd.testing.assert_frame_equal(ours.table.drop(columns="estimate"), theirs.table.drop(columns="estimate"))
    assert any("per 1,000" in note for note in ours.notes)


def test_costs_by_name(people, dense_fit):
    eff = effects(dense_fit("y ~ z*race", people), "z", by="race")
    one = eff.decide(cost={"Asian": 0.1, "Black": 0.2, "White": 0.3})
    assert one.table["cost"].tolist() == [0.1, 0.2, 0.3]
    for cost, message in (
        ({"Asian": 1}, "no entry for 'Black'"),
        ([1.0, 2.0], "2 entries; the table has 3"),
        (-1.0, "zero or a positive"),
    ):
        with pytest.raises(EffectsError, match=message):
            eff.decide(cost=cost)
    with pytest.raises(EffectsError, match="budget"):
        eff.decide(budget=-1)


def test_decisions_that_make_no_sense_are_errors(people, dense_fit):
    fit = dense_fit("y ~ style*race + z*gender", people.assign(y=people["y"] + 20))
    with pytest.raises(EffectsError, match="add up over people"):
        effects(fit, "z", by="gender", comparison="ratio").decide()
    with pytest.raises(EffectsError, match="are interaction excesses"):
        effects(fit, "z", by=["race", "gender"]).interaction_excess().decide()
    eff = effects(fit, "style", by="race")
    with pytest.raises(EffectsError, match="several values"):
        eff.decide()
    assert len(eff.decide(contrast="Some - None").table) == 3
    with pytest.raises(EffectsError, match="no contrast"):
        eff.decide(contrast="Some")


# --- two mutants ---------------------------------------------------------------------------------------------------
def check_contrasts_are_joint(eff):
    """The sd of a contrast is that of the difference of joint draws."""
    draws = eff.draws()
    found = eff.contrast("Black", "White")
    assert found.table["sd"].item() == pytest.approx((draws[:, 1] - draws[:, 2]).std(ddof=1), rel=1e-6)
    np.testing.assert_allclose(found.draws()[:, 0], draws[:, 1] - draws[:, 2], rtol=1e-9, atol=1e-12)


def test_contrasts_from_independent_columns_are_caught(people, monkeypatch):
    fit = draw_fit("y ~ z + race + (1 + z | school)", people, "bernoulli", draws=300)
    eff = effects(fit, "z", by="race", newdata=people)
    check_contrasts_are_joint(eff)
    combine = type(eff.quantities).combine

    def permuted(self, weights):
        rng = np.random.default_rng(0)
        columns = [rng.permutation(column) for column in self.values.T]
        return combine(type(self)(np.column_stack(columns), self.unseen, self.center), weights)

    monkeypatch.setattr(type(eff.quantities), "combine", permuted)
    with pytest.raises(AssertionError):
        check_contrasts_are_joint(eff)


def check_unseen_levels_are_independent(fit, people, uncertainty="full"):
    """Over k unseen schools the variance that they add to the average falls as 1 / k; with one shared draw it stays."""
    answered = {"uncertainty": uncertainty}
    seen = poststratify(fit, people.iloc[[0]].drop(columns="school"), **answered).table["sd"].item()
    added = []
    for k in (1, 16):
        cells = people.iloc[[0] * k].assign(school=[f"new {i}" for i in range(k)])
        table = poststratify(fit, cells, **answered).table
        assert table["unseen"].item() == pytest.approx(1.0)
        added.append(table["sd"].item() ** 2 - seen**2)
    # A posterior has 2,000 draws: the variances have a relative error of 3 %.
    assert added[1] / added[0] == pytest.approx(1 / 16, abs=0.06)


@pytest.fixture(scope="module")
def schools(people):
    """Schools that differ by a standard deviation of 2."""
    shift = dict(zip(sorted(set(people["school"])), np.random.default_rng(1).normal(0, 2, 12), strict=True))
    return people.assign(y=people["y"] + people["school"].map(shift))


def test_one_draw_shared_by_unseen_levels_of_a_posterior_is_caught(schools, monkeypatch):
    fit = bayes("y ~ age + (1 | school)", schools, draws=2000, seed=1)
    check_unseen_levels_are_independent(fit, schools)
    own = estimate_of_posterior.new_effects
    shared = NewLevel(0, "the same for all")
    monkeypatch.setattr(estimate_of_posterior, "new_effects", lambda level, *rest: own(shared, *rest))
    with pytest.raises(AssertionError):
        check_unseen_levels_are_independent(fit, schools)


@pytest.mark.parametrize("uncertainty", ["full", "given theta"])
def test_one_draw_shared_by_unseen_levels_of_a_reml_fit_is_caught(schools, monkeypatch, uncertainty):
    fit = lmer("y ~ age + (1 | school)", schools)
    check_unseen_levels_are_independent(fit, schools, uncertainty)
    own = estimate_of_reml.new_level_root

    def shared(levels, factors, sigma):
        return sparse.csr_array(sparse.vstack([own(levels[:1], factors, sigma)] * len(levels)))

    def one_level(rows, columns):
        """All levels of a term as one."""
        parts = NewLevelRows.of(rows, columns).parts
        summed = [(t, tuple(sparse.csr_array(c.sum(axis=1)[:, None]) for c in part)) for t, part in parts]
        return NewLevelRows(tuple(summed))

    monkeypatch.setattr(estimate_of_reml, "new_level_root", lambda *a: shared(*a) if a[0] else own(*a))
    monkeypatch.setattr(ThetaNodes, "_new", lambda self, rows: one_level(rows, [1]))
    with pytest.raises(AssertionError):
        check_unseen_levels_are_independent(fit, schools, uncertainty)


def test_one_draw_shared_by_unseen_levels_off_the_identity_link_is_caught(schools, monkeypatch):
    """Probabilities near one half: the link is nearly linear in school effects of sd 0.1."""
    fit = draw_fit("y ~ 1 + (1 | school)", schools, "bernoulli", draws=2000, scale=0.0)
    fit = replace(fit, sample=np.zeros_like(fit.sample), covariance_factors=(0.1 * fit.covariance_factors[0],))
    check_unseen_levels_are_independent(fit, schools)
    own = type(fit).new_draws
    monkeypatch.setattr(type(fit), "new_draws", lambda self, term, level: own(self, term, "the same for all"))
    with pytest.raises(AssertionError):
        check_unseen_levels_are_independent(fit, schools)


CONDITIONS = {
    "gender == 'girl'": lambda p: p["gender"] == "girl",
    "gender == 'boy'": lambda p: p["gender"] == "boy",
    "race == 'Black'": lambda p: p["race"] == "Black",
    "race != 'Black' and age < 30": lambda p: (p["race"] != "Black") & (p["age"] < 30),
    "age < 24": lambda p: p["age"] < 24,
    "age >= 58": lambda p: p["age"] >= 58,
}


@settings(max_examples=40, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(sorted(CONDITIONS)), min_size=2, max_size=3, unique=True),
    idle=st.booleans(),
)
def test_a_decision_is_refused_exactly_where_two_subgroups_share_rows(people, dense_fit, chosen, idle):
    """However few they are: members are compared, not sums of weights, and rows of no weight are nobody's members."""
    fit = dense_fit("y ~ z*gender", people)
    weight = np.where(idle & (people["age"] < 40).to_numpy(), 0.0, people["w"])
    masks = [CONDITIONS[text](people).to_numpy() & (weight > 0) for text in chosen]
    if not all(mask.any() for mask in masks):
        return
    eff = effects(fit, "z", subgroups=dict(zip("abc", chosen, strict=False)), newdata=people, weights=weight)
    shared = {
        (f, s): int((masks[i] & masks[j]).sum())
        for (i, f), (j, s) in itertools.combinations(enumerate("abc"[: len(masks)]), 2)
    }
    if not any(shared.values()):
        assert len(eff.decide().table) == len(masks)
        return
    most = max(shared.values())
    with pytest.raises(EffectsError, match=f"{most} rows belong to both '[abc]' and '[abc]'") as caught:
        eff.decide()
    assert any(f"both {f!r} and {s!r}" in str(caught.value) for (f, s), n in shared.items() if n == most)


def test_margins_overlap_where_they_do(people, dense_fit):
    fit = dense_fit("y ~ z*race + z*gender", people)
    both = ((people["race"] == "White") & (people["gender"] == "girl")).sum()
    boys = ((people["race"] == "White") & (people["gender"] == "boy")).sum()
    girl = "girl" if both >= boys else "boy"
    message = f"{max(both, boys)} rows belong to both 'race=White' and 'gender={girl}'"
    with pytest.raises(EffectsError, match=message):
        effects(fit, "z", by=[["race"], ["gender"]]).decide()
    with pytest.raises(EffectsError, match="rows belong to both 'overall' and"):
        effects(fit, "z", by=[[], ["race"]]).decide()
    one = effects(fit, "z", by=[["race"]]).decide()
    assert one.table["weight"].sum() == len(people)
