"""Average outcomes of populations, against sums over cells written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, EffectsError, UnseenLevelsWarning
from tests.effects.drawn_fit import draw_fit

FORMULA = "y ~ z*race + age + (1 + z | school)"


@pytest.fixture(scope="module")
def census(people):
    cells = people[["z", "race", "age", "school", "gender"]].drop_duplicates().reset_index(drop=True)
    return cells.assign(N=np.random.default_rng(1).integers(1, 50, len(cells)))


def test_an_exact_average_is_a_weighted_sum_over_cells(people, census, dense_fit):
    fit = dense_fit(FORMULA, people)
    out = mx.poststratify(fit, census, weights="N", by=["gender", "race"])
    assert list(out.table.columns) == ["gender", "race", "n", "weight", "estimate", "sd", "lower", "upper", "unseen"]
    for i, (gender, race) in enumerate(zip(out.table["gender"], out.table["race"], strict=True)):
        rows = census[(census["gender"] == gender) & (census["race"] == race)]
        total, cov = 0.0, 0.0
        C = fit.dense(fit.design_for(rows))
        for j, weight in enumerate(rows["N"]):
            total += weight * (C[j] @ fit.mean)
            for k, other in enumerate(rows["N"]):
                cov += weight * other * (C[j] @ fit.cov @ C[k])
        N = rows["N"].sum()
        assert out.table["estimate"][i] == pytest.approx(total / N, rel=1e-9)
        assert out.table["sd"][i] == pytest.approx(np.sqrt(cov) / N, rel=1e-9)
        assert out.table["weight"][i] == N
        assert out.table["n"][i] == len(rows)


def test_averages_answer_the_questions_of_effects(people, census, dense_fit):
    out = mx.poststratify(dense_fit(FORMULA, people), census, weights="N", by=["race", "gender"])
    contrast = out.contrast(("Black", "boy"), ("White", "boy"))
    C = np.zeros(6)
    names = list(zip(out.table["race"], out.table["gender"], strict=True))
    C[names.index(("Black", "boy"))], C[names.index(("White", "boy"))] = 1, -1
    assert contrast.table["estimate"].item() == pytest.approx(C @ out.table["estimate"], rel=1e-9)
    sd = np.sqrt(C @ out.fit.apply(out.functional).cov @ C)
    assert contrast.table["sd"].item() == pytest.approx(sd, rel=1e-9)
    rest = out.contrast(("Black", "boy"), against="complement").table["estimate"].item()
    one = out.table["estimate"] * out.table["weight"]
    mine = names.index(("Black", "boy"))
    others = (one.sum() - one[mine]) / (out.table["weight"].sum() - out.table["weight"][mine])
    assert rest == pytest.approx(out.table["estimate"][mine] - others, rel=1e-9)
    assert out.rank()["prob_best"].sum() == pytest.approx(1)
    assert len(out.interaction_excess()) == 6
    assert list(out.prob(greater=0).columns) == ["race", "gender", "prob"]
    text = repr(out)
    assert text.startswith("Averages of y")
    assert "average outcome, 95% intervals" in text
    assert out.plot().ax.get_xlabel().startswith("average y")


def test_a_logit_average_is_a_sum_of_probabilities(people, census):
    fit = draw_fit(FORMULA, people, "bernoulli", draws=100, scale=0.3)
    out = mx.poststratify(fit, census, weights="N", by="race")
    p = fit.expected(fit.design_for(census))
    for i, race in enumerate(out.table["race"]):
        mine = (census["race"] == race).to_numpy()
        by_hand = [
            sum(p[d, j] * census["N"][j] for j in np.flatnonzero(mine)) / census["N"][mine].sum() for d in range(100)
        ]
        np.testing.assert_allclose(out.draws()[:, i], by_hand, rtol=1e-9)
    assert out.table["estimate"][0] == pytest.approx(out.draws()[:, 0].mean())


def test_raked_weights_go_in_as_they_are(people, census, dense_fit):
    fit = dense_fit(FORMULA, people)
    weights = mx.rake(census, {"race": {"Asian": 10, "Black": 20, "White": 70}, "gender": {"girl": 55, "boy": 45}})
    out = mx.poststratify(fit, census, weights=weights, by=[[], ["race"]])
    assert out.table["weight"].tolist() == pytest.approx([100, 10, 20, 70], rel=1e-8)
    mean = fit.dense(fit.design_for(census)) @ fit.mean
    assert out.table["estimate"][0] == pytest.approx(weights @ mean / 100, rel=1e-9)


def test_everybody_is_the_weighted_mean_of_subgroups(people, census, dense_fit):
    fit = dense_fit(FORMULA, people)
    table = mx.poststratify(fit, census, weights="N", by=[[], ["race"]]).table
    shares = table["weight"][1:] / table["weight"][0]
    assert shares @ table["estimate"][1:] == pytest.approx(table["estimate"][0], rel=1e-10)


def test_the_rows_of_the_fit_without_a_census(people, dense_fit):
    fit = dense_fit(FORMULA, people)
    out = mx.poststratify(fit, None, by="race")
    assert out.table["n"].sum() == len(people)
    fitted = fit.dense(fit.design_for()) @ fit.mean
    assert out.table["estimate"][0] == pytest.approx(fitted[people["race"] == "Asian"].mean(), rel=1e-9)


def test_a_census_without_schools_and_with_new_ones(people, census, dense_fit):
    fit = dense_fit(FORMULA, people)
    without = mx.poststratify(fit, census.drop(columns="school"), weights="N")
    assert without.notes == ("newdata does not hold school: estimates are averages over the population of school.",)
    with pytest.warns(UnseenLevelsWarning, match="'north'"):
        new = mx.poststratify(fit, census.assign(school="north"), weights="N")
    assert new.table["unseen"].item() == pytest.approx(1.0)
    assert new.table["estimate"].item() == pytest.approx(without.table["estimate"].item(), rel=1e-9)
    # One school, not seen: its own variance, of (1, z) averaged over the cells, on top.
    z = np.array([1.0, np.average(census["z"], weights=census["N"])])
    extra = z @ fit.populations[0] @ z
    assert new.table["sd"].item() ** 2 == pytest.approx(without.table["sd"].item() ** 2 + extra, rel=1e-9)


def test_an_offset_is_known_for_the_rows_of_the_fit_and_numbers_for_no_others(people, dense_fit):
    named = dense_fit("y ~ z", people, offset="age")
    out = mx.poststratify(named, people[["z", "age"]])
    assert out.table["estimate"].item() == pytest.approx(people["y"].mean(), rel=1e-9)
    given = dense_fit("y ~ z", people, offset=people["age"].to_numpy(dtype=float))
    for fit in (named, given):
        own = mx.poststratify(fit, None)
        assert own.table["estimate"].item() == pytest.approx(people["y"].mean(), rel=1e-9)
    with pytest.raises(DataError, match="offset given as numbers"):
        mx.poststratify(given, people)


def test_weights_of_a_wrong_shape_are_errors(people, census, dense_fit):
    fit = dense_fit(FORMULA, people)
    with pytest.raises(EffectsError, match="weights have shape"):
        mx.poststratify(fit, census, weights=np.ones((len(census), 5)))
    counts = np.ones((5, len(census)))
    counts[2, (census["race"] == "Asian").to_numpy()] = 0
    with pytest.raises(EffectsError, match="weight of zero in some draws"):
        mx.poststratify(fit, census, weights=counts, by="race")
    counts[2, 7] = -1
    with pytest.raises(EffectsError, match=r"the first is -1\.0 in row 7"):
        mx.poststratify(fit, census, weights=counts)
    with pytest.raises(EffectsError, match="no column 'M'"):
        mx.poststratify(fit, pd.DataFrame(census), weights="M")
