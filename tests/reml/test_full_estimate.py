"""One number has one interval, whoever is asked; tables, covariances and draws of mixed questions agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixedfx.design.functional import Functional
from mixedfx.effects.effects import effects
from mixedfx.effects.poststratify import poststratify
from mixedfx.means.emmeans import emmeans
from mixedfx.reml.lmer import lmer

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

MODELS = {
    "linear": "y ~ arm * x",
    "balanced": "y ~ arm * x + (1 | g)",
    "slopes": "y ~ arm * x + (1 + treated | g)",
    "independent slopes": "y ~ arm * x + (1 + treated || g)",
    "crossed": "y ~ arm * x + (1 + treated | g) + (1 | h)",
    "nested": "y ~ arm * x + (1 | h/g)",
}


def trial(seed: int, balanced: bool) -> pd.DataFrame:
    """Six groups g by four h, two arms, a covariate; effects of both."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(6), 12) if balanced else rng.integers(0, 6, 72)
    h, treated = np.tile(np.arange(4), 18), np.tile([0.0, 1.0], 36)
    x = rng.normal(size=72)
    u, v = rng.normal(size=(6, 2)) * [0.8, 0.5], rng.normal(size=4)
    y = 1 + treated * 0.6 + 0.3 * x + u[g, 0] + u[g, 1] * treated + v[h] + rng.normal(size=72)
    arm = pd.Categorical(np.where(treated == 1, "new", "old"), ["old", "new"])
    return pd.DataFrame({"y": y, "arm": arm, "treated": treated, "x": x, "g": [f"g{k}" for k in g], "h": h.astype(str)})


@settings(max_examples=24, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(sorted(MODELS)),
    seed=st.integers(0, 10_000),
    balanced=st.booleans(),
    REML=st.booleans(),
    level=st.sampled_from([0.5, 0.9, 0.95]),
    weighted=st.booleans(),
)
def test_one_number_has_one_interval(model, seed, balanced, REML, level, weighted):
    """The effect of the arm at x = 0 and the mean of the old arm there, by tidy, test, emmeans, effects and predict."""
    data = trial(seed, balanced).assign(w=np.random.default_rng(seed).uniform(0.5, 2.0, 72))
    fit = lmer(MODELS[model], data, REML=REML, weights="w" if weighted else None)
    tidy = fit.tidy(level=level).set_index("term")
    tested = fit.test("arm[new]", joint=False, level=level).iloc[0]
    at_zero = data.assign(x=0.0)
    eff = effects(fit, "arm", newdata=at_zero, groups="integrate", level=level).table.iloc[0]
    means = emmeans(fit, "arm", at={"x": [0.0]}, level=level)
    contrast = means.contrast("revpairwise", adjust="none").table.iloc[0]
    coefficient = tidy.loc["arm[new]"]
    wanted = coefficient[["estimate", "std_error", "conf_low", "conf_high"]].to_numpy(dtype=float)
    np.testing.assert_allclose(tested[["estimate", "std_error", "conf_low", "conf_high"]].to_numpy(float), wanted)
    np.testing.assert_allclose(contrast[["estimate", "SE", "lower", "upper"]].to_numpy(float), wanted, rtol=1e-8)
    np.testing.assert_allclose(eff[["estimate", "sd", "lower", "upper"]].to_numpy(float), wanted, rtol=1e-8)
    # P(> 0) and the two-sided p value are of one t distribution
    one_sided = min(eff["prob_above_null"], 1 - eff["prob_above_null"])
    assert 2 * one_sided == pytest.approx(coefficient["p_value"], rel=1e-6, abs=1e-12)

    row = at_zero.iloc[[0]].assign(arm=pd.Categorical(["old"], ["old", "new"]), treated=0.0)
    predicted = fit.predict(row, groups="average", interval="confidence", level=level).iloc[0]
    mean = means.table.iloc[0]
    averaged = poststratify(fit, row, groups="average", level=level).table.iloc[0]
    intercept = tidy.loc["Intercept"][["estimate", "std_error", "conf_low", "conf_high"]].to_numpy(dtype=float)
    for found, columns in ((predicted, ["estimate", "se"]), (mean, ["emmean", "SE"]), (averaged, ["estimate", "sd"])):
        np.testing.assert_allclose(found[[*columns, "lower", "upper"]].to_numpy(float), intercept, rtol=1e-8)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(model=st.sampled_from(["slopes", "crossed", "nested"]), seed=st.integers(0, 10_000), REML=st.booleans())
def test_predictions_of_groups_are_averages_over_their_rows(model, seed, REML):
    """What holds random effects, too, has the same interval in predictions and in poststratification."""
    data = trial(seed, balanced=False)
    fit = lmer(MODELS[model], data, REML=REML)
    rows = data.iloc[[3, 40]].assign(cell=["a", "b"])
    predicted = fit.predict(rows, interval="confidence", level=0.9)
    table = poststratify(fit, rows, by="cell", level=0.9).table
    np.testing.assert_allclose(predicted["se"], table["sd"], rtol=1e-8)
    np.testing.assert_allclose(predicted[["lower", "upper"]], table[["lower", "upper"]], rtol=1e-7)
    new = rows.assign(g=["new", "new"])
    predicted = fit.predict(new, new_levels="sample", interval="confidence", level=0.9)
    table = poststratify(fit, new, by="cell", level=0.9).table
    np.testing.assert_allclose(predicted[["lower", "upper"]], table[["lower", "upper"]], rtol=1e-7)


@pytest.fixture(scope="module")
def fit():
    return lmer(MODELS["crossed"], trial(3, balanced=False))


@pytest.fixture(scope="module")
def mixed(fit):
    """Four rows: the coefficient of the arm, a group's mean, a new group's mean, and the intercept."""
    data = fit.design.frame
    whole = fit.design_for(pd.concat([data.iloc[[0]], data.iloc[[0]].assign(g="new")]), new_levels="sample")
    W = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    rows = whole.combine(W)
    fixed = rows.fixed.copy()
    fixed[0, 1], fixed[3, 0] = 1.0, 1.0
    return Functional(fixed, rows.random, rows.new, rows.new_levels, rows.offset, rows.unseen)


def test_a_table_of_both_kinds_answers_each_by_its_rule(fit, mixed):
    found = fit.with_uncertainty("full").apply(mixed)
    assert found.of_beta.tolist() == [True, False, False, True]
    tidy = fit.tidy(level=0.9)
    np.testing.assert_allclose(found.interval(0.9)[[0, 3]], tidy.iloc[[1, 0]][["conf_low", "conf_high"]])
    alone = fit.with_uncertainty("full").apply(
        Functional(
            mixed.fixed[1:3], mixed.random[1:3], mixed.new[1:3], mixed.new_levels, mixed.offset[1:3], mixed.unseen[1:3]
        )
    )
    np.testing.assert_allclose(found.interval(0.9)[1:3], alone.interval(0.9), rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(found.cov)), found.sd, rtol=1e-8)
    assert np.linalg.eigvalsh(found.cov).min() > -1e-9


def test_draws_have_the_intervals_of_the_table(fit, mixed):
    found = fit.with_uncertainty("full").apply(mixed)
    draws = found.draws(20_000, seed=1)
    # shares of draws below the ends: five Monte Carlo errors where rows hold random effects. Fixed effects alone have t
    # intervals in the table; of an intercept over six by four groups the mixture thinks less than Satterthwaite does
    bound = np.where(found.of_beta, 0.07, 5 * np.sqrt(0.05 * 0.95 / 20_000))
    for q in (0.05, 0.95):
        ends = found.interval(0.9)[:, int(q > 0.5)]
        np.testing.assert_array_less(np.abs((draws < ends).mean(axis=0) - q), bound)
    for greater in (0.0, 1.0):
        share, at = (draws > greater).mean(axis=0), ~found.of_beta
        assert share[at] == pytest.approx(found.probability(greater=greater)[at], abs=5 * 0.5 / np.sqrt(20_000))
    # the covariance of the draws is that of the mixture, of which `cov` has the correlations
    expected = found.cov / np.outer(found.sd, found.sd)
    standard = (draws - draws.mean(axis=0)) / draws.std(axis=0)
    products = standard[:, :, None] * standard[:, None]
    noise = 6 * products.std(axis=0) / np.sqrt(20_000)
    np.testing.assert_array_less(np.abs(products.mean(axis=0) - expected), noise + 0.01)
    np.testing.assert_array_equal(draws, found.draws(20_000, seed=1))


def test_linear_relations_of_rows_hold_in_every_draw(fit, mixed):
    W = np.array([[1.0, -1.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [1.0, 0.0, 0.0, 2.0]])
    full = fit.with_uncertainty("full")
    whole, combined = full.apply(mixed).draws(200, seed=4), full.apply(mixed.combine(W)).draws(200, seed=4)
    np.testing.assert_allclose(combined, whole @ W.T, rtol=1e-9, atol=1e-10)


def test_without_random_effects_draws_are_multivariate_t(fit):
    """The posterior under 1 / sigma: n - p degrees of freedom for every combination."""
    plain = lmer(MODELS["linear"], fit.design.frame)
    contrast = plain.with_uncertainty("full").draws(20_000, seed=3).stack() @ [1.0, 1.0, 0.0, 0.5]
    tested = plain.test({"Intercept": 1, "arm[new]": 1, "arm[new]:x": 0.5}, joint=False).iloc[0]
    standard = (contrast - tested["estimate"]) / tested["std_error"]
    assert stats.kstest(standard, stats.t(68).cdf).pvalue > 1e-3
    assert abs(standard.std() - np.sqrt(68 / 66)) < 5 / np.sqrt(40_000)


def test_joint_draws_of_a_fit_hold_theta_too(fit):
    full = fit.with_uncertainty("full")
    draws = full.draws(8000, seed=5)
    assert list(draws) == list(fit.draws(2, seed=1))
    both, estimate = draws.stack(), np.concatenate([fit.solution.beta, fit.solution.u])
    error = both.std(axis=0) / np.sqrt(8000)
    np.testing.assert_array_less(np.abs(both.mean(axis=0) - estimate), 5 * error)
    rows = fit.design_for(fit.design.frame.iloc[[0, 30]])
    C = np.column_stack([rows.fixed, rows.random.toarray()])
    found = full.apply(rows)
    assert (both @ C.T).std(axis=0) == pytest.approx(found.sd, rel=0.06)
    given = fit.draws(8000, seed=5).stack() @ C.T
    assert (given.std(axis=0) < 0.97 * found.sd).all()
    assert "is included" in draws.note
    assert "left out" in fit.draws(2, seed=1).note


def test_contrasts_of_two_rows_are_what_their_difference_says(fit):
    """The interval of a difference comes from the joint distribution, not from the two intervals."""
    answer = effects(lmer("y ~ treated * x + (1 + treated | g)", fit.design.frame), "treated", by="g", level=0.9)
    contrast = answer.contrast("g0", "g1").table.iloc[0]
    draws = answer.draws(40_000, seed=1)
    gap = draws[:, 0] - draws[:, 1]
    assert contrast["estimate"] == pytest.approx(answer.table["estimate"][0] - answer.table["estimate"][1])
    assert contrast["sd"] == pytest.approx(gap.std(), rel=0.03)
    share = [(gap < contrast[end]).mean() for end in ("lower", "upper")]
    assert share == pytest.approx([0.05, 0.95], abs=0.006)
    assert contrast["prob_above_null"] == pytest.approx((gap > 0).mean(), abs=0.012)


def test_answers_need_no_seed_and_do_not_change(fit):
    frame = fit.design.frame
    one = effects(fit, "arm", by="g").table
    other = effects(lmer(MODELS["crossed"], frame), "arm", by="g", seed=99).table
    pd.testing.assert_frame_equal(one, other)


def test_a_view_of_a_fit_shares_its_work_and_its_refits_are_fits(fit):
    full = fit.with_uncertainty("full")
    assert full is fit.with_uncertainty("full")
    assert full.with_uncertainty("given theta").with_uncertainty("full") is full
    rows = fit.design_for(fit.design.frame.iloc[[0]])
    assert full.apply(rows).theta() is fit.uncertain.nodes
    again = full.refit(fit.design.y + 1.0)
    # a new fit, with nodes of its own, that answers as any fit does
    assert again.apply(rows).sd == pytest.approx(fit.apply(rows).sd, rel=1e-4)
    assert again.with_uncertainty("full").apply(rows).theta() is not fit.uncertain.nodes
