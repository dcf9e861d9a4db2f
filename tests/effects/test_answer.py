"""The sentence of an answer says what its table says, in the reader's words; caveats stand beside it."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.effects.answer import caveats


@pytest.fixture(scope="module")
def star():
    return mx.datasets.load("star")


@pytest.fixture(scope="module")
def fit(star):
    return mx.lmer("math ~ small*race + (1 | sch)", star)


@pytest.fixture(scope="module")
def passed(star):
    data = star.assign(passed=(star["math"] > 480).astype(int))
    return mx.glmer("passed ~ small + (1 | sch)", data, family="bernoulli")


def test_the_printed_page_begins_with_the_answer(fit):
    eff = mx.effects(fit, "small", by="race")
    lines = str(eff).splitlines()
    assert lines[0] == "Effects of small on math"
    assert lines[2].startswith("Answer: On average over 5,826 rows, small (1 against 0) raises math by ")
    overall = eff.overall.quantities.summary(0.95, 0.0).iloc[0]
    assert f"by {overall['estimate']:.1f} (95 % interval {overall['lower']:.1f} to" in " ".join(lines)
    low, high = eff.table["estimate"].min(), eff.table["estimate"].max()
    assert f"run from {low:.1f} (White) to {high:.1f} (Black); both intervals lie above 0." in " ".join(
        str(eff).split()
    )


def test_labels_units_and_plurals(fit):
    words = {"small": "small classes", "math": "mathematics", "Black": "Black pupils"}
    text = mx.effects(fit, "small", by="race").sentence(words, unit="points", plural=True)
    assert "small classes raise mathematics by" in text
    assert "points (95 % interval" in text
    assert "(Black pupils)" in text


def test_probabilities_are_said_in_percentage_points_and_ratios_as_factors(passed):
    eff = mx.effects(passed, "small")
    text = eff.sentence()
    assert f"raises the probability of passed by {100 * eff.table['estimate'][0]:.1f} percentage points" in text
    assert "multiplies the odds of passed by" in mx.effects(passed, "small", comparison="odds_ratio").sentence()
    assert "raises the linear predictor (logit) of passed by" in mx.effects(passed, "small", scale="link").sentence()
    assert "and over the population of groups" in mx.effects(passed, "small", groups="integrate").sentence()
    averages = mx.poststratify(passed, None)
    assert f"the average probability of passed is {100 * averages.table['estimate'][0]:.2f} %" in averages.sentence()


def test_every_comparison_of_the_treatment_has_a_sentence_up_to_three(star):
    fit = mx.lmer("math ~ cltype + (1 | sch)", star)
    text = mx.effects(fit, "cltype").sentence()
    assert "cltype (reg+A against reg) may raise or lower math" in text
    assert "Cltype (small against reg) raises math" in text
    slope = mx.effects(mx.lmer("math ~ read + (1 | sch)", star), "read").sentence()
    assert "one unit more of read raises math by" in slope


def test_a_difference_of_subgroups_names_both(fit):
    eff = mx.effects(fit, "small", by="race").contrast("Black", "White")
    assert eff.sentence().startswith(
        "Whether the effect of small (1 against 0) on math differs between Black and White"
    )


def test_what_changes_the_answer_stands_beside_it_and_not_again_below(star):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        eff = mx.effects(mx.lmer("math ~ small + (1 | race) + (1 | sch)", star), "small", by="race")
    [caveat] = caveats(eff)
    assert caveat.startswith("the effect of 'small' cannot vary over 'race'")
    page = " ".join(str(eff).split())
    assert page.index("Caveat: the effect of 'small' cannot vary") < page.index("difference 1 - 0")
    assert page.count("cannot vary over 'race'") == 1


class TestThreeAnswers:
    def test_each_row_is_the_answer_of_its_own_function(self, star):
        fit = mx.lmer("math ~ small + (1 + small | sch)", star)
        found = mx.answers(fit, "small", level=0.9)
        table = found.table.set_index("answer")
        tidy = fit.tidy(level=0.9).set_index("term").loc["small"]
        row = table.loc["coefficient"]
        assert row[["estimate", "sd", "lower", "upper", "p_value"]].astype(float).tolist() == pytest.approx(
            tidy[["estimate", "std_error", "conf_low", "conf_high", "p_value"]].astype(float).tolist()
        )
        for name, groups in (("these groups", "fitted"), ("population of groups", "integrate")):
            own = mx.effects(fit, "small", groups=groups, level=0.9).table.iloc[0]
            assert table.loc[name, ["estimate", "lower", "upper"]].tolist() == pytest.approx(
                own[["estimate", "lower", "upper"]].tolist()
            )
        # on the identity link the coefficient is the effect over the population of groups
        assert table.loc["coefficient", "estimate"] == pytest.approx(table.loc["population of groups", "estimate"])
        assert table.loc["these groups", "sd"] < table.loc["population of groups", "sd"]
        assert "varies between levels of sch" in found.reasons[0]
        assert "Is there an effect of small on math?" in str(found)

    def test_reasons_name_interactions_constant_effects_and_the_link(self, fit, passed):
        both = mx.answers(fit, "small")
        assert "the effect where race is Black" in both.table["about"][0]
        assert "interacts with race" in both.reasons[0]
        assert "the same in every level of sch" in both.reasons[1]
        assert "(1 + small | sch)" in both.reasons[1]
        off = mx.answers(passed, "small")
        assert off.table["answer"].tolist() == ["coefficient", "these groups", "population of groups", "average group"]
        assert "logit" in off.reasons[-1]

    def test_a_posterior_answers_and_what_has_no_coefficients_is_refused(self, star):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mx.bayes("math ~ small + (1 | sch)", star.head(600), seed=1, draws=400)
        assert mx.answers(fit, "small").table["prob_above_null"].notna().sum() == 2
        with pytest.raises(mx.errors.OptionError, match="has no coefficients"):
            mx.answers(object(), "small")


def test_points_without_intervals_say_so():
    class Line:
        uncertainty, response, columns = "Points only.", "y", ("z", "x")
        data = pd.DataFrame({"y": np.arange(8.0), "z": [0, 1] * 4, "x": np.arange(8.0)})

        def mean_draws(self, frame):
            return 2.0 * frame["z"].to_numpy() + frame["x"].to_numpy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "changes y by +2.00; there is no interval." in mx.effects(Line(), "z").sentence()


@pytest.fixture(scope="module")
def arms():
    """Three arms at ten sites, the third better by a third of a standard deviation."""
    rng = np.random.default_rng(23)
    data = pd.DataFrame({"site": rng.choice(list("abcdefghij"), 300), "arm": rng.choice(["none", "low", "high"], 300)})
    data["half"] = rng.choice(["first", "second"], 300)
    data["y"] = 0.35 * (data["arm"] == "high") + rng.normal(size=300)
    return data.assign(passed=(data["y"] > 0.3).astype(int))


@pytest.mark.parametrize("comparison", ["difference", "ratio", "odds_ratio"])
def test_the_best_of_three_arms_is_that_of_the_ranks(arms, comparison):
    """The same draws as `rank(of="values")` of all rows; whatever the comparison the order is the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if comparison == "difference":
            fit, what = mx.lmer("y ~ arm + (1 | site)", arms), "y"
        else:
            fit, what = mx.glmer("passed ~ arm + (1 | site)", arms, family="bernoulli"), "passed"
        eff = mx.effects(fit, {"arm": ["none", "low", "high"]}, comparison=comparison)
    ranks = eff.rank(of="values").set_index("arm")["prob_best"].sort_values(ascending=False)
    first, second = ranks.index[:2]
    text = eff.sentence()
    assert f"Of the 3 values of arm, {first} leads to the highest " in text
    assert what in text.rpartition("highest ")[2]
    assert text.endswith(f"with probability {ranks[first]:.2f} (next {second}, {ranks[second]:.2f}).")


def test_the_best_arm_over_all_rows_where_there_are_subgroups(arms):
    """Two subgroups: the sentence is about all rows together, as an answer without subgroups has it."""
    fit = mx.lmer("y ~ arm * half + (1 | site)", arms)
    asked = {"arm": ["none", "low", "high"]}
    last = [mx.effects(fit, asked, by=by).sentence().rpartition("Of the 3 values")[2] for by in (None, "half")]
    assert last[0] == last[1] != ""
    words = mx.effects(fit, asked).sentence({"arm": "the dose", "high": "200 mg", "y": "sleep"})
    assert "values of the dose, 200 mg leads to the highest sleep" in words


def test_two_arms_do_not_compete(arms, fit):
    both = arms[arms["arm"] != "low"]
    assert "leads to the highest" not in mx.effects(mx.lmer("y ~ arm + (1 | site)", both), "arm").sentence()
    eff = mx.effects(mx.lmer("y ~ arm * half + (1 | site)", arms), {"arm": ["none", "low", "high"]}, by="half")
    assert "leads to the highest" not in eff.contrast("first", "second").sentence()
