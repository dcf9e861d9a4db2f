"""Marginal means, contrasts and slopes against R's emmeans (tests/reference/gen_emmeans.R).

Tolerances. Estimates: 1e-6, R's optimiser stops where theta is right to some 1e-6, and these means hardly depend on it.
Standard errors: 1e-5, they depend on theta to first order. Degrees of freedom: 1e-3, lmerTest differentiates
numerically and pbkrtest's depend on theta as standard errors do, squared. p values: 1e-3 relative, which a df off by
1e-4 moves them by in the tails; of those that both sides call 0 an absolute 1e-9.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import NotEstimableWarning

HERE = Path(__file__).resolve().parent.parent
DDF = ("satterthwaite", "kenward-roger")


def cake():
    return pd.read_csv(HERE / "data" / "cake.csv", dtype={"temperature": str})


def unbalanced():
    data = cake()
    kept = (np.arange(1, len(data) + 1) % 7 != 1) & ~((data["recipe"] == "B") & (data["replicate"] > 9))
    return data[kept]


def sleep():
    data = pd.read_csv(HERE / "data" / "sleepstudy.csv")
    phase = np.where(data["Days"] < 4, "early", "late")
    return data.assign(phase=phase, set=np.where(data["Subject"] % 2 == 0, "even", "odd"))


def flipped():
    data = mx.datasets.load("flipped_classroom", plan="crossed")
    return data.assign(style=data["style"].astype(str))  # sorted levels, as R has them


def empty():
    data = cake()
    return data[~((data["recipe"] == "C") & (data["temperature"] == "225"))]


DATA = {
    "flipped": flipped,
    "cake": cake,
    "unbalanced": unbalanced,
    "sleep": sleep,
    "quadratic": sleep,
    "empty": empty,
}
REFERENCE = {
    ddf: json.loads((HERE / "reference" / "emmeans" / f"emmeans_{ddf.replace('-', '_')}.json").read_text())
    for ddf in DDF
}


@pytest.fixture(scope="module")
def fits():
    made = {}
    for name, data in DATA.items():
        formula = REFERENCE[DDF[0]][name]["formula"]
        if name == "empty":
            with pytest.warns(mx.errors.RankDeficiencyWarning):
                made[name] = mx.lmer(formula, data())
        else:
            made[name] = mx.lmer(formula, data())
    return made


MINE = {
    "SE": ("SE", 1e-5),
    "df": ("df", 1e-3),
    "lower": ("lower.CL", 2e-5),
    "upper": ("upper.CL", 2e-5),
    "statistic": ("t.ratio", 2e-5),
    "p_value": ("p.value", 2e-3),
}


def same(found, reference, quantity="estimate"):
    """Compare the rows in their order; intervals on the scale of their widths."""
    theirs = {k: np.atleast_1d(np.array(v, dtype=float)) for k, v in reference.items() if _numeric(v)}
    name = next(c for c in theirs if c in ("emmean", "estimate") or c.endswith(".trend"))
    known = ~np.isnan(theirs["SE"])
    assert np.array_equal(known, ~found[quantity].isna())
    estimate = found[quantity].to_numpy()[known]
    np.testing.assert_allclose(estimate, theirs[name][known], rtol=1e-6, atol=1e-6 * np.max(theirs["SE"][known]))
    for mine, (column, tolerance) in MINE.items():
        if mine in found and column in theirs:
            a, b = found[mine].to_numpy()[known], theirs[column][known]
            size = theirs["SE"][known] * 3 if mine in ("lower", "upper") else 0.0
            room = tolerance * size + {"statistic": 1e-5, "p_value": 1e-9}.get(mine, 0.0)
            relative = 0.0 if mine in ("lower", "upper") else tolerance
            assert np.all(np.abs(a - b) <= room + relative * np.abs(b)), (mine, a, b)


def _numeric(values):
    return all(v is None or isinstance(v, int | float) for v in (values if isinstance(values, list) else [values]))


@pytest.mark.parametrize("ddf", DDF)
def test_means_and_contrasts_of_one_factor(fits, ddf):
    reference = REFERENCE[ddf]["flipped"]
    means = mx.emmeans(fits["flipped"], "style", ddf=ddf)
    same(means.table, reference["means"], "emmean")
    for adjust in ("tukey", "holm", "bonferroni", "sidak", "none"):
        same(means.pairs(adjust=adjust).table, reference[f"pairs_{adjust}"])
    assert list(means.pairs().table["contrast"]) == reference["pairs_tukey"]["contrast"]
    same(means.contrast("trt.vs.ctrl", base="No Flipped", adjust="none").table, reference["control"])
    same(means.contrast("eff").table, reference["effects"])
    same(means.contrast({"flipped against not": [0.5, -1, 0.5]}).table, reference["custom"])


@pytest.mark.parametrize("ddf", DDF)
def test_a_factor_within_groups(fits, ddf):
    reference = REFERENCE[ddf]["cake"]
    means = mx.emmeans(fits["cake"], "~ temperature | recipe", ddf=ddf)
    same(means.table, reference["means"], "emmean")
    same(means.pairs().table, reference["pairs"])
    same(means.contrast("poly").table, reference["poly"])
    same(mx.emmeans(fits["cake"], "recipe", ddf=ddf).table, reference["recipe"], "emmean")
    joint = means.joint()
    assert joint["df1"].tolist() == reference["joint"]["df1"]
    # A balanced design: one F for both, and Kenward-Roger's scale is 1.
    np.testing.assert_allclose(joint["statistic"], np.array(reference["joint"]["F.ratio"], float), rtol=1e-3)


@pytest.mark.parametrize("ddf", DDF)
@pytest.mark.parametrize("weights", ["equal", "proportional", "outer", "cells"])
def test_weights(fits, ddf, weights):
    means = mx.emmeans(fits["unbalanced"], "recipe", weights=weights, ddf=ddf)
    same(means.table, REFERENCE[ddf]["unbalanced"][weights], "emmean")


@pytest.mark.parametrize("ddf", DDF)
def test_contrasts_of_weighted_means_and_a_part_of_the_grid(fits, ddf):
    reference = REFERENCE[ddf]["unbalanced"]
    fit = fits["unbalanced"]
    same(mx.emmeans(fit, "recipe", weights="cells", ddf=ddf).pairs().table, reference["pairs_cells"])
    part = mx.emmeans(fit, "recipe", at={"temperature": [175, 225]}, weights="proportional", ddf=ddf)
    same(part.table, reference["at"], "emmean")


@pytest.mark.parametrize("ddf", DDF)
def test_numbers_in_the_grid_and_slopes(fits, ddf):
    reference = REFERENCE[ddf]["sleep"]
    fit = fits["sleep"]
    same(mx.emmeans(fit, "~ set | phase", ddf=ddf).table, reference["means"], "emmean")
    same(mx.emmeans(fit, "~ set * Days", at={"Days": [0, 5, 9]}, ddf=ddf).table, reference["at"], "emmean")
    same(mx.emmeans(fit, "set", weights="proportional", ddf=ddf).table, reference["proportional"], "emmean")
    trends = mx.emtrends(fit, "Days", "set", ddf=ddf)
    same(trends.table, reference["trends"], "trend")
    same(trends.pairs().table, reference["pairs"])


@pytest.mark.parametrize("ddf", DDF)
def test_slopes_of_a_curve(fits, ddf):
    """The generator asks for a step of 1e-5, whose forward difference is off by some 1e-7 of the slope."""
    trends = mx.emtrends(fits["quadratic"], "Days", "~ set * Days", at={"Days": [2, 7]}, ddf=ddf)
    same(trends.table, REFERENCE[ddf]["quadratic"]["trends"], "trend")


def test_cluster_robust_means_contrasts_and_slopes(fits):
    """CR2 and its own df are clubSandwich's, Tukey's adjustment of it emmeans' (gen_emmeans_robust.R).

    Standard errors and df to 1e-4: a sandwich moves with theta more than a model's covariance.
    """
    reference = json.loads((HERE / "reference" / "emmeans" / "emmeans_robust.json").read_text())
    fit = fits["flipped"]
    means = mx.emmeans(fit, "style", vcov=fit.vcov_robust("CR2"))
    same(means.table, reference["flipped"]["means"], "emmean")
    same(means.pairs(adjust="none").table, reference["flipped"]["pairs"])
    joint, wald = means.pairs().joint().iloc[0], reference["flipped"]["joint"]
    for mine, theirs in {"df1": "df1", "df2": "df2", "statistic": "F.ratio", "p_value": "p.value"}.items():
        assert joint[mine] == pytest.approx(wald[theirs], rel=1e-3)
    normal = mx.emmeans(fit, "style", vcov=fit.vcov_robust("CR2"), ddf="normal").pairs()
    assert np.isinf(normal.table["df"]).all()
    same(normal.table, reference["flipped"]["tukey"])
    fit = fits["sleep"]
    trends = mx.emtrends(fit, "Days", "set", vcov=fit.vcov_robust("CR2"))
    same(trends.table, reference["sleep"]["means"], "trend")
    same(trends.pairs().table, reference["sleep"]["pairs"])


def test_a_joint_test_with_infinite_df_is_chi_square(fits):
    joint = mx.emmeans(fits["flipped"], "style", ddf="normal").joint().iloc[0]
    assert np.isinf(joint["df2"])
    from scipy import stats

    assert joint["p_value"] == pytest.approx(stats.chi2.sf(2 * joint["statistic"], 2), rel=1e-10)


def test_numbers_and_truth_values_are_named_in_contrasts_and_text_is_not():
    data = sleep().query("Days in [1, 8]").assign(late=lambda d: d["Subject"] > 340)
    fit = mx.lmer("Reaction ~ C(Days) + set + late + (1 | Subject)", data)
    assert mx.emmeans(fit, "Days").pairs().table["contrast"].tolist() == ["Days 1 - Days 8"]
    assert mx.emmeans(fit, "late").pairs().table["contrast"].tolist() == ["late False - late True"]
    both = mx.emmeans(fit, ["Days", "set"]).contrast("trt.vs.ctrl", base=(8, "odd"))
    assert both.table["contrast"][0] == "Days 1, even - Days 8, odd"
    assert mx.emmeans(fit, "Days").contrast("trt.vs.ctrl", base=8.0).table["contrast"][0] == "Days 1 - Days 8"


@pytest.mark.parametrize("ddf", DDF)
def test_a_mean_without_data_is_nan_and_says_so(fits, ddf):
    reference = REFERENCE[ddf]["empty"]
    with pytest.warns(NotEstimableWarning, match="temperature = 225; recipe = C"):
        means = mx.emmeans(fits["empty"], "~ temperature | recipe", ddf=ddf)
    same(means.table, reference["means"], "emmean")
    with pytest.warns(NotEstimableWarning, match="recipe = C"):
        recipe = mx.emmeans(fits["empty"], "recipe", ddf=ddf)
    same(recipe.table, reference["recipe"], "emmean")
    same(mx.emmeans(fits["empty"], "recipe", weights="cells", ddf=ddf).table, reference["cells"], "emmean")


def test_posterior_answers_from_its_draws():
    fit = mx.bayes("score ~ style + (1 | professor)", flipped(), draws=1000, seed=1)
    means = mx.emmeans(fit, "style")
    draws = fit.draws()
    beta = np.column_stack([draws["beta", name].ravel() for name in fit.design.fixed_names])
    expected = beta @ np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]]).T
    table = means.table
    np.testing.assert_allclose(table["emmean"], expected.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(table["sd"], expected.std(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(table[["lower", "upper"]].T, np.quantile(expected, [0.025, 0.975], axis=0), rtol=1e-12)
    pairs = means.pairs()
    assert pairs.adjust == "none"
    assert set(pairs.table) == {"contrast", "estimate", "sd", "lower", "upper", "prob_above"}
    np.testing.assert_allclose(pairs.table["prob_above"][0], (expected[:, 0] > expected[:, 1]).mean())
    with pytest.raises(mx.errors.OptionError, match="a posterior has none"):
        means.pairs(adjust="tukey")
    with pytest.raises(mx.errors.OptionError, match="answers from its draws"):
        mx.emmeans(fit, "style", ddf="residual")
    with pytest.raises(mx.errors.OptionError, match="F test"):
        means.joint()
    trend = mx.emtrends(mx.bayes("Reaction ~ Days + (1 | Subject)", sleep(), draws=400, seed=1), "Days")
    assert trend.table["trend"].between(9, 12).all()


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (lambda fit: mx.emmeans(fit, "recipes"), "Did you mean 'recipe'"),
        (lambda fit: mx.emmeans(fit, "replicate"), "no predictor of the fixed part"),
        (lambda fit: mx.emmeans(fit, "pairwise ~ recipe"), r"contrast\("),
        (lambda fit: mx.emmeans(fit, "~ recipe | temperature", by="temperature"), "in one place"),
        (lambda fit: mx.emmeans(fit, []), "needs a column"),
        (lambda fit: mx.emmeans(fit, "recipe", at={"temperature": "180"}), "a level it does not have"),
        (lambda fit: mx.emmeans(fit, "recipe", at={"oven": 1}), "no predictor"),
        (lambda fit: mx.emmeans(fit, "recipe", at={"temperature": []}), "no value"),
        (lambda fit: mx.emmeans(fit, "recipe", weights="flat"), "'cells'"),
        (lambda fit: mx.emmeans(fit, "recipe", ddf="exact"), "'kenward-roger'"),
        (lambda fit: mx.emmeans(fit, "recipe", level=95), "not a probability"),
        (lambda fit: mx.emmeans(fit, "recipe", vcov=np.eye(2), ddf="residual"), "symmetric"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast("all"), "'trt.vs.ctrl'"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast("trt.vs.ctrl", base="D"), "none of the means"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast("pairwise", base="A"), "goes with 'trt.vs.ctrl'"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast({"x": [1, -1]}), "there are 3 means"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast({}), "empty"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast("eff", adjust="tukey"), "all pairwise"),
        (lambda fit: mx.emmeans(fit, "recipe").contrast(by="recipe"), "nothing to compare"),
        (lambda fit: mx.emmeans(fit, "recipe").pairs().test(side="less"), "two-sided"),
        (lambda fit: mx.emmeans(fit, "recipe").pairs(by="oven"), "by='oven'"),
        (lambda fit: mx.emtrends(fit, "recipe"), "has no slope"),
    ],
)
def test_what_cannot_be_answered_says_why(fits, question, says):
    def ask():
        found = question(fits["cake"])
        return found.table

    with pytest.raises(mx.errors.OptionError, match=says):
        ask()


def test_a_number_used_as_a_factor_stands_at_its_levels():
    data = sleep()
    fit = mx.lmer("Reaction ~ C(Days) + (1 | Subject)", data)
    means = mx.emmeans(fit, "Days", ddf="residual")
    np.testing.assert_allclose(means.table["emmean"], data.groupby("Days")["Reaction"].mean(), rtol=1e-9)
    with pytest.raises(mx.errors.OptionError, match="has no slope"):
        mx.emtrends(fit, "Days")


def test_a_coding_does_not_change_the_means():
    data = unbalanced()
    fits = [
        mx.lmer(
            "angle ~ recipe * temperature + (1 | recipe:replicate)", data, contrasts={"recipe": c, "temperature": d}
        )
        for c, d in (("treatment", "treatment"), ("sum", "poly"))
    ]
    a, b = (mx.emmeans(fit, "recipe", weights="proportional").table for fit in fits)
    np.testing.assert_allclose(a["emmean"], b["emmean"], rtol=1e-7)
    np.testing.assert_allclose(a["SE"], b["SE"], rtol=1e-5)


def test_contrasts_of_contrasts_are_interactions(fits):
    pairs = mx.emmeans(fits["cake"], "~ recipe | temperature").pairs()
    twice = pairs.contrast("consec", by="contrast")
    means = mx.emmeans(fits["cake"], ["recipe", "temperature"]).table.pivot(
        index="recipe", columns="temperature", values="emmean"
    )
    expected = (means.loc["A", "185"] - means.loc["B", "185"]) - (means.loc["A", "175"] - means.loc["B", "175"])
    assert twice.table["estimate"][0] == pytest.approx(expected)
    assert list(twice.table.columns[:2]) == ["contrast.1", "contrast"]
    assert twice.joint()["df1"].tolist() == [5.0, 5.0, 5.0]


def test_grouping_factors_among_the_predictors_leave_their_random_effects_out():
    with pytest.warns(mx.errors.MixedfxWarning):
        fit = mx.lmer("score ~ style + (1 | professor) + (1 | style)", flipped())
    beta = fit.fixef
    assert mx.emmeans(fit, "style").table["emmean"][0] == pytest.approx(beta["Intercept"])


def test_given_covariance_is_used(fits):
    fit = fits["flipped"]
    twice = mx.emmeans(fit, "style", vcov=4 * fit.vcov, ddf="residual")
    once = mx.emmeans(fit, "style", ddf="residual")
    np.testing.assert_allclose(twice.table["SE"], 2 * once.table["SE"])
    np.testing.assert_allclose(twice.joint()["statistic"], once.joint()["statistic"] / 4)


def test_one_sided_tests_and_other_nulls(fits):
    from scipy import stats

    pairs = mx.emmeans(fits["flipped"], "style").pairs(adjust="none")
    for side, tail in (("greater", stats.t.sf), ("less", stats.t.cdf)):
        tested = pairs.test(null=2.0, side=side)
        expected = tail((tested["estimate"] - 2) / tested["SE"], tested["df"])
        np.testing.assert_allclose(tested["p_value"], expected)


def test_prints_as_text_and_html(fits):
    means = mx.emmeans(fits["cake"], "~ temperature | recipe")
    text = repr(means.pairs())
    assert "Contrasts of angle, recipe = A" in text
    assert "Tukey's, families of 6 means" in text
    robust = mx.emmeans(fits["flipped"], "style", vcov=fits["flipped"].vcov_robust("CR2"))
    assert "CR2, clusters professor" in repr(robust)
    assert max(map(len, text.splitlines())) <= 100
    assert "<table>" in means._repr_html_()


def test_offsets_enter_with_their_mean():
    data = pd.read_csv(HERE / "data" / "sleepstudy_weighted.csv")
    formula = "Reaction ~ Days + (1 | Subject)"
    by_name = mx.lmer(formula, data, offset="off", weights="w")
    by_array = mx.lmer(formula, data, offset=data["off"].to_numpy(), weights="w")
    written = mx.lmer("Reaction ~ Days + offset(off) + (1 | Subject)", data, weights="w")
    expected = by_name.fixef["Intercept"] + by_name.fixef["Days"] * 4.5 + data["off"].mean()
    for fit in (by_name, by_array, written):
        means = mx.emmeans(fit, "~ 1", ddf="normal").table
        assert means["emmean"][0] == pytest.approx(expected, rel=1e-7)
        assert mx.emtrends(fit, "Days", ddf="normal").table["trend"][0] == pytest.approx(fit.fixef["Days"], rel=1e-9)


def test_models_without_predictors_and_without_random_effects():
    data = sleep()
    alone = mx.lmer("Reaction ~ 1 + (1 | Subject)", data)
    assert mx.emmeans(alone, "~ 1").table["emmean"][0] == pytest.approx(alone.fixef["Intercept"])
    plain = mx.lmer("Reaction ~ set * Days", data)
    table = mx.emmeans(plain, "set", at={"Days": 0}).pairs().table
    tested = plain.tidy().set_index("term").loc["set[odd]"]
    assert table["estimate"][0] == pytest.approx(-tested["estimate"])
    assert table["p_value"][0] == pytest.approx(tested["p_value"])


def test_booleans_ordered_categories_and_names_with_blanks():
    data = sleep().assign(late=lambda d: d["Days"] > 4, third=lambda d: pd.Categorical(d["Days"] % 3, ordered=True))
    data = data.rename(columns={"set": "my set"})
    fit = mx.lmer("Reaction ~ late * third + `my set` + (1 | Subject)", data)
    means = mx.emmeans(fit, "~ late | third", ddf="normal")
    assert means.table["third"].dtype == "category"
    assert means.pairs().table["contrast"].unique().tolist() == ["late False - late True"]
    two = mx.emmeans(fit, ["my set", "late"], ddf="normal").contrast("trt.vs.ctrl", base=("odd", True))
    assert two.table["contrast"][0] == "even, late False - odd, late True"


def test_a_link_is_named():
    data = flipped().assign(passed=lambda d: (d["score"] > 60).astype(int))
    with warnings.catch_warnings():  # a few draws will do
        warnings.simplefilter("ignore")
        fit = mx.bayes("passed ~ style + (1 | professor)", data, family="bernoulli", draws=400, seed=1)
    means = mx.emmeans(fit, "style")
    assert "on the scale of the linear predictor (logit)" in repr(means)
    assert "bernoulli(link='logit')" in mx.table(fit).text()


def test_numbers_asked_for_have_to_be_numbers():
    fit = mx.lmer("Reaction ~ Days + (1 | Subject)", sleep())
    for value, says in (("late", "Give numbers"), (np.inf, "not finite")):
        with pytest.raises(mx.errors.OptionError, match=says):
            mx.emmeans(fit, "Days", at={"Days": value})


def test_a_grid_that_is_too_large_is_refused():
    fit = mx.lmer("Reaction ~ Days * set * phase + (1 | Subject)", sleep())
    with pytest.raises(mx.errors.DataError, match="Fix predictors with at="):
        mx.emmeans(fit, "set", at={"Days": np.linspace(0, 9, 60_000)})
