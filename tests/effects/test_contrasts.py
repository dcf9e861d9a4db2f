"""Contrasts between subgroups come from the joint distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm

from mixedfx.design.labels import level_label
from mixedfx.effects.contrasts import has_value
from mixedfx.effects.effects import effects
from mixedfx.errors import EffectsError, UnseenLevelsWarning

FORMULA = "y ~ z*gender + age*z + (1 + z | race) + (1 | school)"
NUMBERS = ["estimate", "sd", "lower", "upper", "prob_above_null"]


@pytest.fixture(scope="module")
def fit(people, dense_fit):
    return dense_fit(FORMULA, people)


def rows_of(fit, frame, mask):
    """The dense functional of the average effect of z over some rows."""
    C = fit.dense(fit.design_for(frame.assign(z=1))) - fit.dense(fit.design_for(frame.assign(z=0)))
    return C[np.asarray(mask)].mean(axis=0)


def check(table, fit, c):
    sd = np.sqrt(c @ fit.cov @ c)
    assert table["estimate"].item() == pytest.approx(c @ fit.mean, rel=1e-9, abs=1e-12)
    assert table["sd"].item() == pytest.approx(sd, rel=1e-9)
    assert table["lower"].item() == pytest.approx(c @ fit.mean - norm.ppf(0.975) * sd, rel=1e-8)
    assert table["prob_above_null"].item() == pytest.approx(norm.cdf(c @ fit.mean / sd), rel=1e-9)


def test_a_minus_b_is_the_difference_of_their_functionals(fit, people):
    eff = effects(fit, "z", by="race")
    contrast = eff.contrast("Black", "White")
    black, white = (rows_of(fit, people, people["race"] == r) for r in ("Black", "White"))
    check(contrast.table, fit, black - white)
    table = contrast.table.iloc[0]
    assert (table["race"], table["against"]) == ("Black", "race=White")
    counts = people["race"].value_counts()
    assert (table["n"], table["n_against"]) == (counts["Black"], counts["White"])
    reverse = eff.contrast("White", "Black").table
    assert reverse["estimate"].item() == pytest.approx(-table["estimate"], rel=1e-12)
    assert reverse["sd"].item() == pytest.approx(table["sd"], rel=1e-9)
    # What is shared cancels: adding the two variances would be too much.
    separate = np.sqrt((eff.table.set_index("race").loc[["Black", "White"], "sd"] ** 2).sum())
    assert table["sd"] < separate


def test_a_subgroup_against_itself_is_zero_for_certain(fit):
    table = effects(fit, "z", by="race").contrast("Black", "Black").table
    assert table["estimate"].item() == 0
    assert table["sd"].item() == 0
    assert table["prob_above_null"].item() == 0


@pytest.mark.parametrize("against", ["overall", "complement"])
def test_against_everybody_or_everybody_else(against, fit, people):
    eff = effects(fit, "z", by="race")
    table = eff.contrast(against=against).table
    assert table["race"].tolist() == ["Asian", "Black", "White"]
    assert (table["against"] == against).all()
    for i, race in enumerate(table["race"]):
        inside = (people["race"] == race).to_numpy()
        other = ~inside if against == "complement" else np.ones(len(people), dtype=bool)
        check(table.iloc[[i]], fit, rows_of(fit, people, inside) - rows_of(fit, people, other))
        assert table["n_against"].iloc[i] == other.sum()
    alone = eff.contrast("Black", against=against).table
    pd.testing.assert_frame_equal(alone, table.iloc[[1]].reset_index(drop=True), rtol=1e-9)


def test_the_complement_respects_weights(fit, people):
    eff = effects(fit, "z", subgroups={"girls": "gender == 'girl'"}, newdata=people, weights="w")
    C = fit.dense(fit.design_for(people.assign(z=1))) - fit.dense(fit.design_for(people.assign(z=0)))
    girl = (people["gender"] == "girl").to_numpy()
    c = np.average(C[girl], axis=0, weights=people["w"][girl]) - np.average(
        C[~girl], axis=0, weights=people["w"][~girl]
    )
    table = eff.contrast("girls", against="complement").table
    check(table, fit, c)
    assert table["weight_against"].item() == people.loc[~girl, "w"].sum()


def test_overlapping_subgroups(fit, people):
    queries = {"young": "age < 40", "young girls": "age < 40 and gender == 'girl'"}
    contrast = effects(fit, "z", subgroups=queries).contrast("young girls", "young")
    young, girl = people["age"] < 40, people["gender"] == "girl"
    check(contrast.table, fit, rows_of(fit, people, young & girl) - rows_of(fit, people, young))


def test_each_contrast_of_treatment_values_stays_apart(people, dense_fit):
    fit = dense_fit("y ~ style*gender", people)
    eff = effects(fit, "style", by="gender")
    table = eff.contrast("boy", "girl").table
    assert table["contrast"].tolist() == ["Some - None", "Fully - None"]
    coefficient = dict(zip(fit.design.fixed_names, fit.mean, strict=True))
    expected = [coefficient["style[Some]:gender[boy]"], coefficient["style[Fully]:gender[boy]"]]
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-9)
    every = eff.contrast(against="complement").table
    np.testing.assert_allclose(every["estimate"], [*np.negative(expected), *expected], rtol=1e-9)


def test_ways_to_name_a_subgroup(fit):
    crossing = effects(fit, "z", by=["race", "gender"])
    expected = crossing.contrast(("Black", "boy"), ("White", "girl")).table
    named = [
        crossing.contrast({"gender": "boy", "race": "Black"}, {"race": "White", "gender": "girl"}),
        crossing.contrast("race=Black, gender=boy", "race=White, gender=girl"),
    ]
    for contrast in named:
        pd.testing.assert_frame_equal(contrast.table, expected)
    margins = effects(fit, "z", by=[[], ["race"], ["race", "gender"]])
    pd.testing.assert_frame_equal(
        margins.contrast({"race": "Black", "gender": "boy"}, {"race": "White", "gender": "girl"}).table[NUMBERS],
        expected[NUMBERS],
        rtol=1e-8,
    )
    overall = margins.contrast({"race": "Black"}, "overall").table
    against = effects(fit, "z", by="race").contrast("Black", against="overall").table
    pd.testing.assert_frame_equal(overall[NUMBERS], against[NUMBERS], rtol=1e-8)


def test_a_subgroup_of_everybody_has_no_complement(fit):
    margins = effects(fit, "z", by=[[], ["race"]])
    table = margins.contrast(against="complement")
    assert table.table["margin"].tolist() == ["race"] * 3
    assert table.notes == ("Left out, because all rows belong to it: overall.",)
    with pytest.raises(EffectsError, match="holds all rows"):
        margins.contrast("overall", against="complement")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs two subgroups"),
        (("Black",), "needs two subgroups"),
        (("Black", "Whit"), "Did you mean 'White'"),
        (("Black", {"rase": "White"}), "Did you mean 'race'"),
        (("Black", ("White", "boy")), "no subgroup"),
    ],
)
def test_a_subgroup_that_is_not_there_is_an_error(arguments, message, fit):
    with pytest.raises(EffectsError, match=message):
        effects(fit, "z", by="race").contrast(*arguments)


def test_an_ambiguous_name_and_wrong_options_are_errors(fit):
    eff = effects(fit, "z", by=["race", "gender"])
    with pytest.raises(EffectsError, match="names 2 subgroups"):
        eff.contrast({"race": "Black"}, ("White", "boy"))
    with pytest.raises(EffectsError, match="against='everybody'"):
        eff.contrast(against="everybody")  # type: ignore
    with pytest.raises(EffectsError, match="not both"):
        eff.contrast(("Black", "boy"), ("White", "boy"), against="overall")
    with pytest.raises(EffectsError, match="no overall effect"):
        eff.contrast(("Black", "boy"), ("White", "boy")).contrast(against="overall")


def test_draws_have_the_joint_moments_and_a_seed(fit):
    eff = effects(fit, "z", by="race")
    draws = eff.draws(20_000, seed=1)
    assert draws.shape == (20_000, 3)
    np.testing.assert_array_equal(draws, eff.draws(20_000, seed=1))
    # Six Monte Carlo standard errors.
    sd = eff.table["sd"].to_numpy()
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - eff.table["estimate"]), 6 * sd / np.sqrt(20_000))
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=6 / np.sqrt(2 * 20_000))
    difference = draws[:, 1] - draws[:, 2]
    contrast = eff.contrast("Black", "White").table
    assert difference.std() == pytest.approx(contrast["sd"].item(), rel=6 / np.sqrt(2 * 20_000))


def test_probabilities_of_ranges(fit):
    eff = effects(fit, "z", by="race")
    mean, sd = eff.table["estimate"], eff.table["sd"]
    np.testing.assert_allclose(eff.prob(greater=0)["prob"], eff.table["prob_above_null"], rtol=1e-12)
    np.testing.assert_allclose(eff.prob(greater=0.4)["prob"], norm.sf(0.4, mean, sd), rtol=1e-9)
    np.testing.assert_allclose(eff.prob(less=0.4)["prob"], norm.cdf(0.4, mean, sd), rtol=1e-9)
    between = eff.prob(between=(0.1, 0.6))
    np.testing.assert_allclose(between["prob"], norm.cdf(0.6, mean, sd) - norm.cdf(0.1, mean, sd), rtol=1e-9)
    assert list(between.columns) == ["race", "contrast", "prob"]
    # Far out in the upper tail a difference of lower tails would be exactly zero.
    far = eff.prob(between=(mean[0] + 9 * sd[0], mean[0] + 10 * sd[0]))["prob"][0]
    assert far == pytest.approx(norm.sf(9) - norm.sf(10), rel=1e-6)
    for wrong in ({}, {"greater": 0, "less": 1}):
        with pytest.raises(EffectsError, match="exactly one"):
            eff.prob(**wrong)
    with pytest.raises(EffectsError, match="holds no number"):
        eff.prob(between=(1, 1))


def test_the_share_without_data_of_a_contrast(people, dense_fit):
    fit = dense_fit("y ~ z + (1 + z | race)", people)
    cells = pd.DataFrame({"race": ["Black", "Martian", "White"], "N": [1, 3, 4]})
    with pytest.warns(UnseenLevelsWarning):
        eff = effects(fit, "z", by="race", newdata=cells, weights="N")
    assert eff.contrast("Martian", "Black").table["unseen"].item() == pytest.approx(0.5)
    table = eff.contrast(against="complement").table
    np.testing.assert_allclose(table["unseen"], [(0 + 3 / 7) / 2, (1 + 0) / 2, (0 + 3 / 4) / 2], rtol=1e-12)
    # The draw of the unseen level is its own: the variance of its slope enters the contrast once.
    black = fit.dense(fit.design_for(cells.iloc[[0]].assign(z=1))) - fit.dense(
        fit.design_for(cells.iloc[[0]].assign(z=0))
    )
    c = black[0] - np.eye(8)[1]
    expected = c @ fit.cov @ c + fit.populations[0][1, 1]
    assert eff.contrast("Black", "Martian").table["sd"].item() == pytest.approx(np.sqrt(expected), rel=1e-9)


def test_how_it_prints(fit):
    eff = effects(fit, "z", by=["race", "gender"])
    text = repr(eff)
    assert text.splitlines()[0] == "Effects of z on y"
    assert "difference 1 - 0, 95% intervals" in text
    assert "Everything is known but beta and u." in text
    assert "unseen" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert eff._repr_html_().count("<tr>") > 6
    assert "Differences between effects" in repr(eff.contrast(("Black", "boy"), ("White", "boy")))
    frame = eff.to_frame()
    frame.iloc[:, 3:] = 0
    assert (eff.table["estimate"] != 0).all()


def test_markup_in_a_name_is_escaped(people, dense_fit):
    fit = dense_fit("y ~ z*age", people)
    html = effects(fit, "z", subgroups={"<script>alert(1)</script>": "age > 30"})._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


YEARS = st.one_of(st.integers(-3000, 3000), st.floats(-50, 50, width=16))


@given(years=st.lists(YEARS, min_size=2, max_size=5, unique=True), as_text=st.booleans())
def test_a_level_is_found_under_its_label_whatever_type_the_column_has(years, as_text):
    """contrast("2019", "2021") of a column of numbers was refused with "did you mean '2019', '2021'?"."""
    column = [level_label(year) for year in years] if as_text else years
    assume(len({level_label(year) for year in years}) == len(years))  # -0.0 and 0
    table = pd.DataFrame({"year": column})
    for i, year in enumerate(years):
        for asked in (year, level_label(year), np.float64(year)):
            assert np.flatnonzero(has_value(table, "year", asked)).tolist() == [i]
    assert not has_value(table, "year", "none of them").any()


def test_a_value_comes_before_a_label():
    table = pd.DataFrame({"code": ["1", 1, 1.0]}, dtype=object)
    assert has_value(table, "code", 1).tolist() == [False, True, True]
    assert has_value(table, "code", "1").tolist() == [True, False, False]


def test_contrasts_of_numbered_subgroups_by_label(people, dense_fit):
    data = people.assign(year=people["race"].map({"Asian": 2019, "Black": 2020, "White": 2021}))
    eff = effects(dense_fit("y ~ z*C(year) + (1 | school)", data), "z", by="year")
    expected = eff.contrast(2019, 2021).table["estimate"].to_numpy()
    for a, b in (("2019", "2021"), ({"year": "2019"}, {"year": 2021.0}), ("year=2019", ("2021",))):
        np.testing.assert_array_equal(eff.contrast(a, b).table["estimate"], expected)
