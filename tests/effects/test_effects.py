"""Effects against brute force and hand calculation, and the contract of the table."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mixedfx.effects.effects import effects
from mixedfx.errors import EffectsError, NotEstimableWarning, UnseenLevelsWarning

NUMBERS = ["contrast", "n", "weight", "estimate", "sd", "lower", "upper", "null", "prob_above_null", "unseen"]

QUESTIONS = [
    ("y ~ z*race", ["race"]),
    ("y ~ z + age + (1 + z | race)", ["race"]),
    ("y ~ z*race + z*age + (1 | school)", ["race"]),
    ("y ~ z*gender + (1 + z || school) + (1 + z | race:gender)", ["race", "gender"]),
    ("y ~ z + (1 + z | race*gender) + (z | school)", ["gender", "race"]),
    ("y ~ z*race*gender + (1 | school/race)", ["race", "gender"]),
]


def brute_force(fit, frame, high, low, masks, weights=None):
    """Mean and covariance from rows of C taken one by one, averaged and multiplied densely."""
    w = np.ones(len(frame)) if weights is None else np.asarray(weights, dtype=float)
    difference = fit.dense(fit.design_for(frame.assign(**high))) - fit.dense(fit.design_for(frame.assign(**low)))
    C = np.array([np.average(difference[mask], axis=0, weights=w[mask]) for mask in masks])
    return C @ fit.mean, C @ fit.cov @ C.T


def cells(frame, by):
    """One mask for each observed combination, in sorted order; categories in their own."""
    return [np.isin(np.arange(len(frame)), rows) for _, rows in sorted_groups(frame, by)]


def sorted_groups(frame, by):
    return sorted(frame.groupby(by, observed=True).indices.items(), key=lambda item: order_of(item[0], frame, by))


def order_of(key, frame, by):
    key = key if isinstance(key, tuple) else (key,)
    kinds = [frame[c].dtype for c in by]
    return tuple(
        k.categories.get_loc(v) if isinstance(k, pd.CategoricalDtype) else v for k, v in zip(kinds, key, strict=True)
    )


@pytest.mark.parametrize(("formula", "by"), QUESTIONS)
def test_a_crossing_is_the_average_of_its_rows_taken_one_by_one(formula, by, people, dense_fit):
    fit = dense_fit(formula, people)
    eff = effects(fit, "z", by=by)
    mean, cov = brute_force(fit, people, {"z": 1}, {"z": 0}, cells(people, by))
    # The tolerances allow for another order of additions and nothing else.
    np.testing.assert_allclose(eff.table["estimate"], mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(eff.table["sd"], np.sqrt(np.diag(cov)), rtol=1e-10)
    np.testing.assert_allclose(fit.apply(eff.functional).cov, cov, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("treatment", "pairs"),
    [
        ("style", [("Some", "None"), ("Fully", "None")]),
        ({"style": ["Fully", "Some"]}, [("Some", "Fully")]),
        ({"style": ["Some", "None", "Fully"]}, [("None", "Some"), ("Fully", "Some")]),
    ],
)
@pytest.mark.parametrize("formula", ["y ~ style*gender + (1 + style | school)", "y ~ gender + (1 | style:gender)"])
def test_a_factor_compares_each_level_with_the_base(treatment, pairs, formula, people, dense_fit):
    fit = dense_fit(formula, people)
    eff = effects(fit, treatment, by="gender")
    assert eff.table["contrast"].tolist() == [f"{high} - {low}" for high, low in pairs] * 2
    dtype = people["style"].dtype
    blocks = {level: pd.Categorical([level] * len(people), dtype=dtype) for level in dtype.categories}
    for k, (high, low) in enumerate(pairs):
        mean, cov = brute_force(fit, people, {"style": blocks[high]}, {"style": blocks[low]}, cells(people, ["gender"]))
        rows = eff.table.iloc[k :: len(pairs)]
        np.testing.assert_allclose(rows["estimate"], mean, rtol=1e-10)
        np.testing.assert_allclose(rows["sd"], np.sqrt(np.diag(cov)), rtol=1e-10)


def test_contrasts_of_one_base_share_its_uncertainty(people, dense_fit):
    """With cell means m_j of variance v_j, cov(m_2 - m_1, m_3 - m_1) = v_1."""
    fit = dense_fit("y ~ 0 + style", people)
    eff = effects(fit, "style")
    n = people["style"].value_counts()
    cov = fit.apply(eff.functional).cov
    assert cov[0, 1] == pytest.approx(1.3**2 / n["None"], rel=1e-10)
    assert cov[0, 0] == pytest.approx(1.3**2 * (1 / n["None"] + 1 / n["Some"]), rel=1e-10)


def test_two_means_by_hand(people, dense_fit):
    """Under y ~ z*race the effect in a race is a difference of two means, with variance sigma^2 (1/n1 + 1/n0)."""
    eff = effects(dense_fit("y ~ z*race", people, sigma=2.0), "z", by="race", level=0.9)
    for _, row in eff.table.iterrows():
        y1 = people.query("race == @row.race and z == 1")["y"]
        y0 = people.query("race == @row.race and z == 0")["y"]
        sd = 2.0 * np.sqrt(1 / len(y1) + 1 / len(y0))
        assert row["estimate"] == pytest.approx(y1.mean() - y0.mean(), rel=1e-9)
        assert row["sd"] == pytest.approx(sd, rel=1e-9)
        assert row["lower"] == pytest.approx(row["estimate"] + norm.ppf(0.05) * sd, rel=1e-9)
        assert row["upper"] == pytest.approx(row["estimate"] + norm.ppf(0.95) * sd, rel=1e-9)
        assert row["prob_above_null"] == pytest.approx(norm.sf(0, row["estimate"], sd), rel=1e-9)
        assert row["n"] == len(y1) + len(y0)


def test_a_boolean_is_true_minus_false(people, dense_fit):
    eff = effects(dense_fit("y ~ treated", people), "treated")
    by_hand = people.loc[people["treated"], "y"].mean() - people.loc[~people["treated"], "y"].mean()
    assert eff.table["contrast"].tolist() == ["True - False"]
    assert eff.table["estimate"].item() == pytest.approx(by_hand, rel=1e-9)


def test_text_and_whole_numbers_give_the_same_levels(people, dense_fit):
    """0/1 as numbers, as text and as categories of numbers are one treatment."""
    plain = effects(dense_fit("y ~ z + (1 + z | race)", people), "z").table["estimate"].item()
    text = people.assign(z=people["z"].astype(str))
    categories = people.assign(z=pd.Categorical(people["z"]))
    assert effects(dense_fit("y ~ z", text), "z").table["contrast"].item() == "1 - 0"
    for data in (text, categories):
        # Dummy columns z[0], z[1] in the random part would be another model: compare the fixed part alone.
        other = effects(dense_fit("y ~ z", data), "z").table["estimate"].item()
        assert other == pytest.approx(effects(dense_fit("y ~ z", people), "z").table["estimate"].item(), rel=1e-9)
    assert plain != pytest.approx(other, rel=1e-3)


def test_a_number_is_its_slope_averaged_over_the_rows(people, dense_fit):
    fit = dense_fit("y ~ dose*age + dose*race + (1 + dose | school)", people)
    eff = effects(fit, "dose", by="race")
    assert eff.table["contrast"].unique().tolist() == ["per unit"]
    slope = dict(zip(fit.design.fixed_names, fit.mean, strict=False))
    u = dict(
        zip(fit.design.random[0].levels, fit.mean[len(fit.design.fixed_names) :].reshape(-1, 2)[:, 1], strict=True)
    )
    for _, row in eff.table.iterrows():
        rows = people[people["race"] == row["race"]]
        by_hand = slope["dose"] + slope["dose:age"] * rows["age"].mean() + slope.get(f"dose:race[{row['race']}]", 0.0)
        by_hand += rows["school"].map(u).mean()
        assert row["estimate"] == pytest.approx(by_hand, rel=1e-9)


def test_a_curved_number_is_one_unit_more_than_each_row_has(people, dense_fit):
    fit = dense_fit("y ~ dose + I(dose**2)", people)
    b = fit.mean
    by_hand = b[1] + b[2] * np.mean((people["dose"] + 1) ** 2 - people["dose"] ** 2)
    assert effects(fit, "dose").table["estimate"].item() == pytest.approx(by_hand, rel=1e-9)
    two = effects(fit, {"dose": [0.5, 2]}).table
    assert two["contrast"].item() == "2 - 0.5"
    assert two["estimate"].item() == pytest.approx(b[1] * 1.5 + b[2] * (4 - 0.25), rel=1e-9)


@pytest.mark.parametrize("formula", ["y ~ C(step)", "y ~ age + (1 | step)"])
def test_a_number_used_as_a_category_is_compared_level_by_level(formula, people, dense_fit):
    fit = dense_fit(formula, people)
    eff = effects(fit, "step")
    assert eff.table["contrast"].tolist() == ["2 - 1", "3 - 1"]
    assert (eff.table["unseen"] == 0).all()
    mean, _ = brute_force(fit, people, {"step": 3}, {"step": 1}, [np.ones(len(people), dtype=bool)])
    assert eff.table["estimate"].iloc[1] == pytest.approx(mean[0], rel=1e-10)


def test_columns_of_the_table(people, dense_fit):
    fit = dense_fit("y ~ z*race*gender", people)
    crossing = effects(fit, "z", by=["race", "gender"]).table
    assert list(crossing.columns) == ["race", "gender", *NUMBERS]
    assert list(effects(fit, "z").table.columns) == ["subgroup", *NUMBERS]
    assert effects(fit, "z").table["subgroup"].tolist() == ["overall"]
    named = effects(fit, "z", subgroups={"Black girls": "race == 'Black' and gender == 'girl'"}).table
    assert list(named.columns) == ["subgroup", *NUMBERS]
    margins = effects(fit, "z", by=[[], ["race"], ["race", "gender"]]).table
    assert list(margins.columns) == ["margin", "race", "gender", *NUMBERS]
    assert margins["margin"].tolist() == ["overall"] + ["race"] * 3 + ["race:gender"] * 6
    assert margins.iloc[1][["race", "gender"]].tolist() == ["Asian", "(all)"]
    # Text is sorted, categories keep their order.
    assert crossing[["race", "gender"]].iloc[:3].to_numpy().tolist() == [
        ["Asian", "girl"],
        ["Asian", "boy"],
        ["Black", "girl"],
    ]
    assert crossing["n"].sum() == len(people)
    assert crossing.dtypes[["n", "weight", "estimate"]].astype(str).tolist() == ["int64", "float64", "float64"]
    assert (crossing["null"] == 0).all()
    assert crossing.attrs == {"level": 0.95, "uncertainty": fit.uncertainty, "notes": []}


def test_margins_agree_with_crossings_asked_one_at_a_time(people, dense_fit):
    fit = dense_fit("y ~ z*race*gender + (1 + z | school)", people)
    together = effects(fit, "z", by=[[], ["race"], ["gender", "race"]]).table
    for by, margin in ((None, "overall"), (["race"], "race"), (["gender", "race"], "gender:race")):
        alone = effects(fit, "z", by=by).table[NUMBERS]
        part = together[together["margin"] == margin][NUMBERS].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, part, rtol=1e-9, check_like=True)


def test_groups_average_and_integrate_leave_out_the_random_effects(people, dense_fit):
    fit = dense_fit("y ~ z*race + (1 + z | race:gender)", people)
    fitted = effects(fit, "z", by="race").table
    average = effects(fit, "z", by="race", groups="average")
    assert not np.allclose(fitted["estimate"], average.table["estimate"])
    coefficient = dict(zip(fit.design.fixed_names, fit.mean, strict=False))
    by_hand = [coefficient["z"] + coefficient.get(f"z:race[{race}]", 0.0) for race in ("Asian", "Black", "White")]
    np.testing.assert_allclose(average.table["estimate"], by_hand, rtol=1e-9)
    pd.testing.assert_frame_equal(average.table, effects(fit, "z", by="race", groups="integrate").table)
    assert average.notes == (
        'groups="average": random effects are at their population mean; fixed effects of z count.',
    )


def test_both_scales_agree_on_the_identity_link(people, dense_fit):
    fit = dense_fit("y ~ z", people)
    pd.testing.assert_frame_equal(effects(fit, "z", scale="link").table, effects(fit, "z", scale="response").table)


def test_an_offset_that_holds_the_treatment_counts_and_another_cancels(people, dense_fit):
    fit = dense_fit("y ~ age + z + offset(2*z) + offset(age)", people)
    without = dense_fit("y ~ age + z", people)
    total = effects(fit, "z").table["estimate"].item()
    # y - 2 z on z has a slope that is 2 smaller: the effect of z on y is the same.
    assert total == pytest.approx(effects(without, "z").table["estimate"].item(), rel=1e-9)


@pytest.mark.parametrize("newdata", [False, True])
def test_an_offset_named_outside_the_formula_cancels(newdata, people, dense_fit):
    fit = dense_fit("y ~ z", people, offset="age")
    rows = people[["z"]] if newdata else None
    assert effects(fit, "z", newdata=rows).table["estimate"].item() == pytest.approx(fit.mean[1], rel=1e-12)


def test_a_transformed_response_is_said_in_the_notes(people, dense_fit):
    fit = dense_fit("np.exp(y) ~ z", people)
    assert effects(fit, "z", scale="link").notes == ("Effects are in units of np.exp(y).",)
    assert effects(fit, "z").notes[0] == (
        "The averages compared are back-transformed means of y, taken back from np.exp(y)."
    )


def test_by_the_treatment_itself_is_the_effect_on_the_treated(people, dense_fit):
    fit = dense_fit("y ~ z*age", people)
    eff = effects(fit, "z", by="z")
    for _, row in eff.table.iterrows():
        age = people.loc[people["z"] == row["z"], "age"].mean()
        assert row["estimate"] == pytest.approx(fit.mean[1] + fit.mean[3] * age, rel=1e-9)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.NoVariationWarning")
def test_poststratification_weights_cells_by_their_counts(people, dense_fit):
    fit = dense_fit("y ~ z*gender + (1 + z | race)", people)
    census = people[["race", "gender"]].drop_duplicates().assign(N=[3, 0, 10, 7, 2, 5], state=list("aabbab"))
    eff = effects(fit, "z", by="state", newdata=census, weights="N")
    masks = [(census["state"] == s).to_numpy() for s in "ab"]
    mean, cov = brute_force(fit, census, {"z": 1}, {"z": 0}, masks, census["N"])
    np.testing.assert_allclose(eff.table["estimate"], mean, rtol=1e-10)
    np.testing.assert_allclose(eff.table["sd"], np.sqrt(np.diag(cov)), rtol=1e-10)
    assert eff.table["weight"].tolist() == [census.loc[m, "N"].sum() for m in masks]
    assert eff.notes == ("1 row was left out because of a weight of zero.",)
    array = effects(fit, "z", by="state", newdata=census, weights=census["N"].to_numpy())
    pd.testing.assert_frame_equal(array.table, eff.table)


def test_weights_for_the_rows_of_the_data_follow_the_rows_that_were_dropped(people, dense_fit):
    """A weight for each row as given, though the fit left out two rows with a missing response."""
    holed = people.copy()
    holed.loc[[3, 50], "y"] = np.nan
    fit = dense_fit("y ~ z*age", holed)
    kept = holed.dropna()
    by_hand = fit.mean[1] + fit.mean[3] * np.average(kept["age"], weights=kept["w"])
    given = effects(fit, "z", weights=holed["w"]).table["estimate"].item()
    assert given == pytest.approx(by_hand, rel=1e-10)
    assert effects(fit, "z", weights=kept["w"]).table["estimate"].item() == pytest.approx(by_hand, rel=1e-10)


def test_an_unseen_level_is_a_draw_of_its_own_and_is_reported_once(people, dense_fit):
    """The typing error "black": a population draw with the population's variance, warned about, marked as unseen."""
    fit = dense_fit("y ~ z + (1 + z | race)", people)
    cells = pd.DataFrame({"race": ["Black", "black", "blakc"]})
    with pytest.warns(UnseenLevelsWarning, match="'black', 'blakc'") as caught:
        eff = effects(fit, "z", by="race", newdata=cells)
    assert len(caught) == 1
    table = eff.table.set_index("race")
    assert table["unseen"].to_dict() == {"Black": 0.0, "black": 1.0, "blakc": 1.0}
    slope_variance = fit.populations[0][1, 1]
    assert table.loc["black", "estimate"] == pytest.approx(fit.mean[1], rel=1e-12)
    assert table.loc["black", "sd"] == pytest.approx(np.sqrt(fit.cov[1, 1] + slope_variance), rel=1e-10)
    # Two unseen levels share the uncertainty of the fixed slope and nothing else.
    joint = fit.apply(eff.functional).cov
    assert joint[1, 2] == pytest.approx(fit.cov[1, 1], rel=1e-10)
    average = effects(fit, "z", newdata=cells.iloc[1:], new_levels="population")
    assert average.table["sd"].item() == pytest.approx(np.sqrt(fit.cov[1, 1]), rel=1e-10)
    assert "population mean" in average.notes[0]


@pytest.mark.filterwarnings("ignore::mixedfx.errors.UnseenLevelsWarning")
def test_unseen_is_the_share_of_the_weight_without_data(people, dense_fit):
    fit = dense_fit("y ~ z + (1 + z | race)", people)
    cells = pd.DataFrame({"race": ["Black", "Martian", "White"], "N": [1, 3, 4]})
    assert effects(fit, "z", newdata=cells, weights="N").table["unseen"].item() == pytest.approx(3 / 8)


def test_new_data_without_a_grouping_column_average_over_its_population(people, dense_fit):
    fit = dense_fit("y ~ z*gender + (1 + z | school)", people)
    eff = effects(fit, "z", by="gender", newdata=people[["gender"]])
    assert eff.notes == ("newdata does not hold school: effects are averages over the population of school.",)
    assert eff.table.attrs["notes"] == list(eff.notes)
    assert eff.notes[0] in repr(eff).replace("\n" + " " * 13, " ")
    coefficient = dict(zip(fit.design.fixed_names, fit.mean, strict=False))
    by_hand = [coefficient["z"], coefficient["z"] + coefficient["z:gender[boy]"]]
    np.testing.assert_allclose(eff.table["estimate"], by_hand, rtol=1e-10)


def test_effects_the_data_do_not_determine_are_nan_and_named(people, dense_fit):
    """No treated Whites: the interaction is aliased, and the effect there would be that of the reference race."""
    holed = people[~((people["race"] == "White") & (people["z"] == 1))]
    with pytest.warns(Warning, match="rank deficient"):
        fit = dense_fit("y ~ z*race", holed)
    with pytest.warns(NotEstimableWarning, match=r"for 'race=White' is not estimable.*'z:race\[White\]'") as caught:
        eff = effects(fit, "z", by="race")
    assert len(caught) == 1
    numbers = eff.table.set_index("race")[["estimate", "sd", "lower", "upper", "prob_above_null"]]
    assert numbers.loc["White"].isna().all()
    assert numbers.drop("White").notna().all(axis=None)
    assert any(note.startswith("Not estimable, NaN: 'race=White'.") for note in eff.notes)
    with pytest.warns(NotEstimableWarning, match="overall"):
        assert np.isnan(effects(fit, "z").table["estimate"][0])
    # the rest of Asians are Blacks and Whites, for whom the effect is not known either
    with pytest.warns(NotEstimableWarning, match="complement"):
        assert np.isnan(eff.contrast("Asian", against="complement").table["estimate"][0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = effects(fit, "z", subgroups={"others": "race != 'White'"})
        assert np.isfinite(known.table["estimate"][0])
        assert np.isfinite(eff.contrast("Asian", "Black").table["estimate"][0])


@pytest.mark.filterwarnings("error")
def test_an_aliased_column_that_the_effect_does_not_need_is_no_matter(people, dense_fit):
    doubled = people.assign(months=12 * people["age"])
    with pytest.warns(Warning, match="rank deficient"):
        fit = dense_fit("y ~ age + months + z*race", doubled)
    effects(fit, "z", by="race")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"treatment": "gender"}, "'gender' is neither in the model nor in its data"),
        ({"treatment": "y"}, "'y' is not in the model"),
        ({"treatment": "rac"}, "Did you mean 'race'"),
        ({"treatment": {"z": [1]}}, "two or more different values"),
        ({"treatment": {"z": [1, 1]}}, "two or more different values"),
        ({"treatment": {"z": "1"}}, "must be a list"),
        ({"treatment": {"z": [0, 2]}}, "no level 2"),
        ({"treatment": {"race": ["Black", "white"]}}, "Did you mean 'White'"),
        ({"treatment": ["z", "race"]}, "a dictionary of one column"),
        ({"treatment": "z", "by": "school"}, "newdata=data"),
        ({"treatment": "z", "by": "rase"}, "Did you mean 'race'"),
        ({"treatment": "z", "by": []}, "by cannot be read"),
        ({"treatment": "z", "by": [["race"], "age"]}, "by cannot be read"),
        ({"treatment": "z", "by": ["race", "race"]}, "different columns"),
        ({"treatment": "z", "by": [["race"], ["race"]]}, "same margin twice"),
        ({"treatment": "z", "by": "weight", "newdata": pd.DataFrame({"weight": [1]})}, "a column 'weight' of its own"),
        ({"treatment": "z", "by": "race", "subgroups": {"a": "age > 3"}}, "not both"),
        ({"treatment": "z", "subgroups": {}}, "dictionary of names and queries"),
        ({"treatment": "z", "subgroups": {"old": "age > 300"}}, "subgroup 'old' has no rows"),
        ({"treatment": "z", "subgroups": {"b": "race == 'black'"}}, "subgroup 'b': 'race' has no level 'black'"),
        ({"treatment": "z", "comparison": "diference"}, "Did you mean 'difference'"),
        ({"treatment": "z", "scale": "odds"}, "scale='odds'"),
        ({"treatment": "z", "groups": "fixed"}, "groups='fixed'"),
        ({"treatment": "z", "new_levels": "drop"}, "new_levels='drop'"),
        ({"treatment": "z", "level": 95}, "between 0 and 1"),
        ({"treatment": "z", "weights": "N"}, "newdata=data"),
        ({"treatment": "z", "weights": [1.0, 2.0]}, "number 240"),
        ({"treatment": "z", "weights": np.zeros(240)}, "all weights are zero"),
        ({"treatment": "z", "weights": -np.ones(240)}, "240 weights are negative"),
        ({"treatment": "z", "weights": ["a"] * 240}, "must be numbers"),
        ({"treatment": "z", "newdata": pd.DataFrame({"race": [], "age": []})}, "has no rows"),
        ({"treatment": "z", "newdata": pd.DataFrame({"race": ["Black", None], "age": 3})}, "1 in 'race'"),
        ({"treatment": "age", "newdata": pd.DataFrame({"race": ["Black"]})}, "no column 'age'"),
        ({"treatment": "age", "newdata": pd.DataFrame({"race": ["Black"], "age": ["old"]})}, "'age' is a number"),
        (
            {"treatment": "z", "newdata": pd.DataFrame({"race": ["Black"], "age": 3}), "by": "state"},
            "newdata has no column",
        ),
    ],
)
def test_a_question_without_an_answer_is_an_error_that_says_so(options, message, people, dense_fit):
    fit = dense_fit("y ~ z*race + age", people)
    with pytest.raises(EffectsError, match=message.replace("[", r"\[")):
        effects(fit, **options)


def test_chosen_numbers_keep_the_type_of_the_column(people, dense_fit):
    """A column of whole numbers set to 2.5 must not be cut to 2."""
    fit = dense_fit("y ~ step + age", people)
    table = effects(fit, {"step": [1, 2.5]}).table
    assert table["contrast"].item() == "2.5 - 1"
    assert table["estimate"].item() == pytest.approx(1.5 * fit.mean[1], rel=1e-12)


def test_small_integers_do_not_overflow(people, dense_fit):
    fit = dense_fit("y ~ I(age**2)", people)
    cells = pd.DataFrame({"age": np.array([127], dtype=np.int8)})
    estimate = effects(fit, "age", newdata=cells).table["estimate"].item()
    assert estimate == pytest.approx(fit.mean[1] * (128**2 - 127**2), rel=1e-9)


def test_zero_and_one_are_written_so_whatever_their_type(people, dense_fit):
    fit = dense_fit("y ~ z", people.assign(z=people["z"].astype(float)))
    assert effects(fit, "z").table["contrast"].item() == "1 - 0"


def test_a_column_with_a_name_that_is_no_identifier(people, dense_fit):
    fit = dense_fit("y ~ z*`test score`", people)
    eff = effects(fit, "z", subgroups={"high": "`test score` > 0"})
    mean = people.loc[people["test score"] > 0, "test score"].mean()
    assert eff.table["estimate"].item() == pytest.approx(fit.mean[1] + fit.mean[3] * mean, rel=1e-9)
    slope = effects(fit, "test score", by="z").table
    np.testing.assert_allclose(slope["estimate"], [fit.mean[2], fit.mean[2] + fit.mean[3]], rtol=1e-9)


def test_a_treatment_with_one_value_is_an_error(people, dense_fit):
    fit = dense_fit("y ~ 0 + z + age", people.assign(z=1))
    with pytest.raises(EffectsError, match="single value 1"):
        effects(fit, "z")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "float32", "int8[pyarrow]"])
@pytest.mark.parametrize("values", [[0, 200], [-10, 10], [0, 70_000], [0.5, 2]])
def test_the_values_of_a_numeric_treatment_need_not_fit_the_type_of_the_data(dtype, values, people, dense_fit):
    frame = people.assign(dose=(people["age"] % 100).astype(int))
    right = effects(dense_fit("y ~ dose * z", frame), {"dose": values}, by="z").table["estimate"]
    small = frame.assign(dose=frame["dose"].astype(dtype))
    found = effects(dense_fit("y ~ dose * z", small), {"dose": values}, by="z").table["estimate"]
    np.testing.assert_allclose(found, right, rtol=1e-9)


def test_a_partly_labelled_column_has_one_name_for_each_level(people, dense_fit):
    frame = people.assign(educ=pd.Categorical((["Low", 2.0, "High"] * 500)[: len(people)], ["Low", 2.0, "High"]))
    fit = dense_fit("y ~ z * educ", frame)
    eff = effects(fit, "z", by="educ")
    assert eff.table["educ"].tolist() == ["Low", "2", "High"]
    assert eff.contrast("Low", "2").table["estimate"].item() == pytest.approx(-fit.mean[4], rel=1e-9)
    for newdata in (None, frame):
        query = effects(fit, "z", subgroups={"low": "educ == 'Low'", "two": "educ == '2'"}, newdata=newdata)
        np.testing.assert_allclose(query.table["estimate"], eff.table["estimate"][:2], rtol=1e-9)
    alone = frame[frame["educ"] == 2.0].assign(educ=2.0)  # without labels at all
    assert effects(fit, "z", by="educ", newdata=alone).table["educ"].tolist() == ["2"]
