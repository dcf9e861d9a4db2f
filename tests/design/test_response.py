"""The left side of a formula for every family: what is read, what is coded, what is refused and where."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import DataError, FormulaError, ModelError, OptionError, UnusedCategoryWarning
from mixedfx.families.registry import FAMILIES


@pytest.fixture
def frame() -> pd.DataFrame:
    """Twelve rows with one response for each kind of family."""
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "real": rng.normal(size=12),
            "positive": rng.gamma(2.0, size=12),
            "share": rng.beta(2.0, 2.0, size=12),
            "count": rng.poisson(3.0, size=12),
            "passed": np.tile([0, 1, 1], 4),
            "true": np.tile([False, True, True], 4),
            "answer": np.tile(["no", "yes", "yes"], 4),
            "m": np.full(12, 9),
            "grade": pd.Categorical(np.tile(["low", "high", "mid"], 4), ["low", "mid", "high", "top"], ordered=True),
            "mood": np.tile(["sad", "happy", "calm"], 4),
            "step": np.tile([1, 3, 7], 4),
            "s": rng.uniform(0.5, 2.0, size=12),
            "x": rng.normal(size=12),
            "race": np.tile(["A", "B"], 6),
            "g": np.repeat(list("pqrstu"), 2),
        }
    )


LEFT = {
    "gaussian": "real",
    "student": "real",
    "lognormal": "positive",
    "gamma": "positive",
    "beta": "share",
    "bernoulli": "passed",
    "binomial": "count | trials(m)",
    "poisson": "count",
    "negbinomial": "count",
    "nbinom1": "count",
    "beta_binomial": "count | trials(m)",
    "truncated_poisson": "I(count + 1)",
    "truncated_negbinomial": "I(count + 1)",
    "tweedie": "positive",
    "cumulative": "grade",
    "categorical": "mood",
}


def built(left, frame, family, right="x + (1 | g)", **options):
    return build_design(f"{left} ~ {right}", frame, family=family, **options)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_response_it_reads(frame, name):
    design = built(LEFT[name], frame.assign(m=20), name)
    assert design.fixed_names == (("x",) if name == "cumulative" else ("Intercept", "x"))
    assert (design.categories is not None) == (name in ("cumulative", "categorical"))
    assert (design.trials is not None) == (FAMILIES[name].outcome == "trials")
    assert design.y.dtype == np.float64
    assert built(LEFT[name], frame.assign(m=20), FAMILIES[name]).fixed_names == design.fixed_names


@pytest.mark.parametrize("name", FAMILIES)
def test_offsets_work_in_every_family_and_weights_only_where_they_mean_something(frame, name):
    assert (built(LEFT[name], frame.assign(m=20), name, "x + offset(s)").offset == frame["s"]).all()
    if FAMILIES[name].weights:
        np.testing.assert_array_equal(built(LEFT[name], frame, name, weights="s").weights, frame["s"])
    else:
        with pytest.raises(OptionError, match=f"the {name} family has none"):
            built(LEFT[name], frame.assign(m=20), name, weights="s")


@pytest.mark.parametrize("fit", [mx.lmer, mx.bayes, mx.stan_code, mx.design])
def test_weights_beside_known_standard_deviations_are_refused_by_everyone(frame, fit):
    """Known standard deviations leave no variance to scale: weights would be left out without a word."""
    with pytest.raises(ModelError, match=r"weights= have nothing to scale\nLeave one of them out; se\(s / sqrt\(w\)\)"):
        fit("real | se(s) ~ x + (1 | g)", frame, weights="m")


@pytest.mark.parametrize(
    ("left", "categories"),
    [("passed", None), ("true", None), ("answer", ("no", "yes")), ("I(answer == 'yes')", None)],
)
def test_a_bernoulli_response_is_zero_or_one(frame, left, categories):
    """Text and categorical columns have two levels, the second is the success."""
    design = built(left, frame, "bernoulli")
    np.testing.assert_array_equal(design.y, frame["passed"])
    assert design.categories == categories


def test_the_order_of_a_categorical_column_says_which_level_is_success(frame):
    frame["answer"] = pd.Categorical(frame["answer"], ["yes", "no"])
    np.testing.assert_array_equal(built("answer", frame, "bernoulli").y, 1 - frame["passed"])


def test_ordered_categories_keep_their_order_and_lose_what_nobody_chose(frame):
    design = built("grade", frame, "cumulative")
    assert design.categories == ("low", "mid", "high")
    np.testing.assert_array_equal(design.y, np.tile([0, 2, 1], 4))


def test_whole_numbers_are_ordered_categories(frame):
    design = built("step", frame, "cumulative")
    assert design.categories == ("1", "3", "7")
    np.testing.assert_array_equal(design.y, np.tile([0, 1, 2], 4))
    assert built("true", frame, "cumulative").categories == ("False", "True")


def test_an_enumeration_of_polars_is_ordered(frame):
    other = pl.DataFrame(
        {
            "grade": pl.Series(frame["grade"].astype(str).tolist(), dtype=pl.Enum(["low", "mid", "high", "top"])),
            "x": frame["x"].to_numpy(),
        }
    )
    assert built("grade", other, "cumulative", "x").categories == ("low", "mid", "high")


def test_nominal_categories_are_sorted_or_in_the_order_of_the_column(frame):
    assert built("mood", frame, "categorical").categories == ("calm", "happy", "sad")
    np.testing.assert_array_equal(built("mood", frame, "categorical").y, np.tile([2, 1, 0], 4))
    frame["mood"] = pd.Categorical(frame["mood"], ["sad", "calm", "happy"])
    assert built("mood", frame, "categorical").categories == ("sad", "calm", "happy")
    assert built("step", frame, "categorical").categories == ("1", "3", "7")


def test_the_order_of_categories_can_be_written_in_the_formula(frame):
    """Levels that nobody has are left out, levels that are left out are an error."""
    design = built("C(mood, levels=['sad', 'never', 'calm', 'happy'])", frame, "cumulative")
    assert design.categories == ("sad", "calm", "happy")
    np.testing.assert_array_equal(design.y, np.tile([0, 2, 1], 4))
    assert built("C(mood, levels=['sad', 'calm', 'happy'])", frame, "categorical").categories[0] == "sad"
    spaced = frame.rename(columns={"mood": "the mood"})
    assert built("C(`the mood`, levels=['sad', 'calm', 'happy'])", spaced, "cumulative").categories[0] == "sad"
    assert built("`the mood`", spaced, "categorical").categories[0] == "calm"
    with pytest.raises(DataError, match=r"leave out 'happy', in rows 1, 4, 7 and 10 "):
        built("C(mood, levels=['sad', 'calm'])", frame, "cumulative")


def test_trials_are_a_column_or_a_number(frame):
    np.testing.assert_array_equal(built("count | trials(m)", frame.assign(m=30), "binomial").trials, np.full(12, 30.0))
    np.testing.assert_array_equal(built("count | trials(25)", frame, "binomial").trials, np.full(12, 25.0))
    np.testing.assert_array_equal(
        built("count | trials(count + m)", frame, "binomial").trials, frame["count"] + frame["m"]
    )


def test_a_cumulative_model_drops_the_intercept_and_codes_factors_as_if_it_were_there(frame):
    design = built("grade", frame, "cumulative", "x * race + (1 + x | g)")
    assert design.fixed_names == ("x", "race[B]", "x:race[B]")
    new = design.spec.replay(frame.head(3))
    np.testing.assert_allclose(new.X, design.X[:3])
    assert built("grade", frame, "cumulative", "1 + (1 | g)").X.shape == (12, 0)
    with pytest.raises(FormulaError, match="the thresholds of a cumulative model take the place"):
        built("grade", frame, "cumulative", "0 + race")


def test_the_intercept_of_thresholds_counts_where_parts_explain_the_same(frame):
    with pytest.warns(mx.errors.IdentifiabilityWarning, match="the random intercept"):
        built("grade", frame, "cumulative", "race + (1 | race)")


BAD = {
    "gaussian": ("real", 8, np.inf, r"'real' .*in row 8 "),
    "student": ("real", 0, -np.inf, r"'real' .*in row 0 "),
    "poisson": ("count", 5, -2, r"poisson responses are counts .* is -2 in row 5 "),
    "negbinomial": ("count", 3, 0.5, r"negbinomial responses are counts .* is 0.5 in row 3 "),
    "nbinom1": ("count", 3, 0.5, r"nbinom1 responses are counts .* is 0.5 in row 3 "),
    "gamma": ("positive", 0, 0.0, r"gamma responses are greater than 0, .* is 0 in row 0 "),
    "lognormal": ("positive", 7, -1.0, r"lognormal responses are greater than 0, .* is -1 in row 7 "),
    "beta": ("share", 2, 1.0, r"beta responses lie between 0 and 1, .* is 1 in row 2 "),
    "bernoulli": ("passed", 4, 2, r"bernoulli responses are 0 or 1, .* is 2 in row 4 "),
    "binomial": ("count", 6, 10, r"more successes than trials in row 6 .* has 10 successes"),
}


@pytest.mark.parametrize("name", BAD)
def test_responses_that_a_family_cannot_have_are_refused_by_their_row(frame, name):
    """Rows count as in the data given, those with missing values included."""
    column, row, value, message = BAD[name]
    frame[column] = frame[column].astype(float).clip(upper=9 if column == "count" else None)
    frame.loc[row, column] = value
    frame.loc[1, "x"] = np.nan
    with pytest.raises(DataError, match=message):
        built(LEFT[name], frame, name)


def test_three_levels_are_not_bernoulli(frame):
    with pytest.raises(DataError, match=r"'mood' has 3: 'calm', 'happy', 'sad'; 'sad' is in rows 0, 3, 6 and 9 "):
        built("mood", frame, "bernoulli")
    with pytest.raises(DataError, match="one level 'no', which may be the success or the failure"):
        built("answer", frame.assign(answer="no"), "bernoulli")


def test_categories_need_an_order_for_cumulative(frame):
    with pytest.raises(DataError, match=r"'mood' is text\nWrite C\(mood, levels=\['calm', 'happy', 'sad'\]\) ~ "):
        built("mood", frame, "cumulative")
    frame["mood"] = frame["mood"].astype("category")
    with pytest.raises(DataError, match="'mood' is a categorical column without order"):
        built("mood", frame, "cumulative")
    with pytest.raises(DataError, match=r"whole numbers or text, but the response is .* in rows 0, 1, 2, 3, 4, "):
        built("real", frame, "categorical")
    with pytest.raises(DataError, match="holds dates"):
        built("day", frame.assign(day=pd.Timestamp("2020-01-01")), "categorical")


def test_one_category_and_very_many_are_refused(frame):
    with pytest.raises(ModelError, match="is 'sad' in every row"):
        built("mood", frame.assign(mood="sad"), "categorical")
    many = pd.DataFrame({"id": np.arange(60), "x": np.arange(60.0)})
    with pytest.raises(DataError, match="has 60 categories"):
        built("id", many, "cumulative", "x")


@pytest.mark.parametrize("name", ["gaussian", "student", "lognormal", "gamma", "beta"])
def test_a_constant_response_is_refused_where_a_scale_would_run_away(frame, name):
    constant = frame.assign(**{LEFT[name]: 0.5})
    with pytest.raises(ModelError, match="nothing varies"):
        built(LEFT[name], constant, name)
    built(LEFT[name], constant, name, sigma_free=False)


def test_a_constant_count_is_an_answer(frame):
    for name in ("poisson", "negbinomial", "bernoulli"):
        assert not built(LEFT[name], frame.assign(count=0, passed=0), name).y.any()


def test_trials_and_standard_deviations_go_with_their_families(frame):
    with pytest.raises(FormulaError, match=r"family 'poisson' has no number of trials: trials\(...\)") as found:
        built("count | trials(m)", frame, "poisson")
    assert "mx.glmer(..., family='binomial')" in str(found.value)
    with pytest.raises(FormulaError, match=r"family 'gamma' has no sampling standard deviation"):
        built("positive | se(s)", frame, "gamma")
    with pytest.raises(FormulaError, match=r"binomial needs the number of trials of each row"):
        built("count", frame, "binomial")
    np.testing.assert_array_equal(built("real | se(s)", frame, "student").known_sd, frame["s"])


def test_lmer_refuses_counts_of_trials_and_categories_and_says_what_models_them(frame):
    with pytest.raises(FormulaError, match=r"mx\.bayes\(\.\.\., family='binomial'\)"):
        mx.lmer("count | trials(m) ~ x + (1 | g)", frame)
    with pytest.raises(DataError, match=r"mx\.bayes\(\.\.\., family='bernoulli'\)"):
        mx.lmer("answer ~ x + (1 | g)", frame)
    with pytest.raises(DataError, match=r"mx\.bayes\(\.\.\., family='categorical'\), or family='cumulative'"):
        mx.lmer("mood ~ x + (1 | g)", frame)


def test_the_description_names_categories_and_trials(frame):
    shown = str(mx.design("grade ~ x", frame, family="cumulative"))
    assert "response (3 categories): low, mid, high\nfixed effects (1): x" in shown
    assert "trials: 9 to 9" in str(mx.design("passed | trials(m) ~ x", frame, family="binomial"))


def test_a_linear_mixed_model_has_a_family_and_an_expected_response(frame):
    fit = mx.lmer("real ~ x", frame)
    assert fit.family == mx.families.gaussian()
    rows = fit.design_for(frame.head(2))
    draws = fit.expected(rows)
    assert draws.shape == (1000, 2)
    np.testing.assert_array_equal(draws[[3, 5]], fit.expected(rows, np.array([3, 5])))
    error = 5 * fit.apply(rows).sd / np.sqrt(1000)
    assert (abs(draws.mean(axis=0) - fit.apply(rows).mean) < error).all()


@pytest.mark.parametrize(
    "written",
    ["cbind(k, failed)", "cbind(`k`, m - k)", "k / m", "I(k / m)", "k / (k + failed)", "np.divide(k, k + failed)"],
)
def test_the_advice_for_successes_as_others_write_them_is_a_model_of_the_same_successes(written):
    """I(k / m) | trials(m) was advised for k / m, and refused next."""
    data = pd.DataFrame({"k": [0, 2, 3, 1], "m": [3, 4, 5, 1], "x": [0.0, 1.0, 2.0, 3.0]}).eval("failed = m - k")
    with pytest.raises(FormulaError) as caught:
        mx.design(f"{written} ~ x", data, family="binomial")
    form = re.search("Write (.+?) ~", str(caught.value.hint))
    assert form is not None
    advised = mx.design(f"{form[1]} ~ x", data, family="binomial")
    np.testing.assert_array_equal(advised.y, data["k"])
    np.testing.assert_array_equal(advised.trials, data["m"])


def test_the_advice_for_shares_counts_successes_to_the_unit():
    """0.29 * 100 is 28.999999999999996, which is no count; rounded it is."""
    data = pd.DataFrame({"k": np.arange(101.0), "m": 100}).assign(p=lambda d: d["k"] / d["m"])
    with pytest.raises(FormulaError, match=r"of shares np\.round\(p \* m\) \| trials\(m\)"):
        mx.design("p ~ 1", data, family="binomial")
    np.testing.assert_array_equal(mx.design("np.round(p * m) | trials(m) ~ 1", data, family="binomial").y, data["k"])
    with pytest.raises(DataError, match=r"np\.round\(p \* m\)"):
        mx.design("p | trials(m) ~ 1", data, family="binomial")


SCALE = ["never", "rarely", "sometimes", "often", "always"]


@pytest.mark.parametrize(("family", "loses"), [("cumulative", "no threshold"), ("categorical", "no coefficients")])
@given(chosen=st.lists(st.sampled_from(SCALE), min_size=2, max_size=9).filter(lambda c: len(set(c)) > 1))
def test_categories_that_no_row_has_are_said(chosen, family, loses):
    """Five answers were offered, and probabilities of four came back without a word."""
    unused = [label for label in SCALE if label not in chosen]
    data = pd.DataFrame({"text": chosen, "x": 1.0, "g": ["a"] * len(chosen)})
    data["mood"] = pd.Categorical(data["text"], SCALE, ordered=True)
    for left in ("mood", f"C(text, levels={SCALE})"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            design = mx.design(f"{left} ~ 1", data, family=family)
        assert list(design.categories) == [label for label in SCALE if label in chosen]
        said = [str(w.message) for w in caught if w.category is UnusedCategoryWarning]
        assert len(said) == bool(unused)
        if unused:
            named = ", ".join(f"'{label}'" for label in unused)
            assert said[0].startswith(f"no row has the response {named} of ")
            assert loses in said[0]
            assert all(w.filename == __file__ for w in caught)
