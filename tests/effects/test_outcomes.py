"""Comparisons of average outcomes, each against loops over draws, rows and levels written out."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate
from scipy.special import expit
from scipy.stats import norm

from mixedfx import families
from mixedfx.effects import averages as averages_module
from mixedfx.effects.comparisons import COMPARISONS
from mixedfx.effects.effects import effects
from mixedfx.effects.poststratify import poststratify
from mixedfx.errors import EffectsError, NotEstimableWarning, UnseenLevelsWarning
from mixedfx.families.links import LINKS
from mixedfx.linalg.quadrature import normal_rule
from mixedfx.progress import Progress
from tests.effects.drawn_fit import draw_fit

FORMULA = "y ~ z*race + age + (1 + z | school)"
RACES = ["Asian", "Black", "White"]

BY_HAND = {
    "difference": lambda h, b: h - b,
    "risk_difference": lambda h, b: h - b,
    "ratio": lambda h, b: h / b,
    "lnratio": lambda h, b: np.log(h / b),
    "lift": lambda h, b: 100 * h / b - 100,
    "odds_ratio": lambda h, b: (h / (1 - h)) / (b / (1 - b)),
    "log_odds_ratio": lambda h, b: np.log(h / (1 - h)) - np.log(b / (1 - b)),
}


@pytest.fixture(scope="module")
def small(people):
    """60 people, age near zero: loops over their rows and 50 draws are quick."""
    return people.iloc[:60].assign(age=lambda d: (d["age"] - 40) / 20)


@pytest.fixture(scope="module")
def logit(small):
    return draw_fit(FORMULA, small, "bernoulli", draws=50)


def average_by_loops(fit, frame, weights, inverse):
    """(D,) weighted average of g^-1 of the linear predictor, row by row and draw by draw."""
    rows = fit.design_for(frame)
    out = []
    for d in range(len(fit.sample)):
        total = 0.0
        for i in range(len(frame)):
            eta = rows.offset[i]
            for j, beta in enumerate(fit.sample[d, : rows.fixed.shape[1]]):
                eta += rows.fixed[i, j] * beta
            start, end = rows.random.indptr[i : i + 2]
            for at in range(start, end):
                eta += rows.random.data[at] * fit.sample[d, rows.fixed.shape[1] + rows.random.indices[at]]
            total += weights[i] * inverse(eta)
        out.append(total / sum(weights))
    return np.array(out)


def by_race(frame, race):
    return frame[frame["race"] == race]


def test_every_comparison_has_a_brute_force():
    assert set(BY_HAND) == set(COMPARISONS)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_comparison_of_probabilities_is_taken_draw_by_draw(comparison, logit, small):
    eff = effects(logit, "z", by="race", comparison=comparison, newdata=small, weights="w", level=0.8)
    assert eff.table["race"].tolist() == RACES
    for i, race in enumerate(RACES):
        rows = by_race(small, race)
        high, low = (average_by_loops(logit, rows.assign(z=z), rows["w"].to_numpy(), expit) for z in (1, 0))
        by_hand = BY_HAND[comparison](high, low)
        # Another order of additions and nothing else.
        np.testing.assert_allclose(eff.draws()[:, i], by_hand, rtol=1e-9, atol=1e-13)
        row = eff.table.iloc[i]
        linear = comparison in ("difference", "risk_difference")
        assert row["estimate"] == pytest.approx(by_hand.mean() if linear else np.median(by_hand), rel=1e-9)
        assert row["sd"] == pytest.approx(by_hand.std(ddof=1), rel=1e-9)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(by_hand, [0.1, 0.9])), rel=1e-9)
        null = 1.0 if comparison in ("ratio", "odds_ratio") else 0.0
        assert row["null"] == null
        assert row["prob_above_null"] == np.mean(by_hand > null)


@pytest.mark.parametrize("comparison", ["ratio", "lnratio", "lift"])
def test_a_ratio_of_an_exact_fit_is_taken_on_joint_draws_of_its_averages(comparison, small, dense_fit):
    """Averages of an identity fit are linear functionals: the draws are of these few rows, jointly."""
    data = small.assign(y=small["y"] + 10)
    fit = dense_fit(FORMULA, data)
    eff = effects(fit, "z", by="race", comparison=comparison)
    assert eff.draws().shape == (4000, 3)
    means, cov = [], []
    for race in RACES:
        rows = by_race(data, race)
        C = np.array([fit.dense(fit.design_for(rows.assign(z=z))).mean(axis=0) for z in (1, 0)])
        means.append(C @ fit.mean)
        cov.append(C @ fit.cov @ C.T)
    for i in range(3):
        high, low = means[i]
        # Delta method: relative error of the sd of a ratio at a coefficient of variation of 5 % is below 2 %.
        slope = {"ratio": (1 / low, -high / low**2), "lnratio": (1 / high, -1 / low)}
        slope["lift"] = tuple(100 * s for s in slope["ratio"])
        sd = np.sqrt(slope[comparison] @ cov[i] @ slope[comparison])
        row = eff.table.iloc[i]
        assert row["sd"] == pytest.approx(sd, rel=0.08)
        # The Monte Carlo error of a median is 1.25 sd / sqrt(4000); five of them.
        assert row["estimate"] == pytest.approx(BY_HAND[comparison](high, low), abs=5 * 1.25 * sd / np.sqrt(4000))
    again = effects(fit, "z", by="race", comparison=comparison).table
    pd.testing.assert_frame_equal(eff.table, again)
    assert not np.allclose(effects(fit, "z", by="race", comparison=comparison, seed=5).table["lower"], again["lower"])


def test_the_logarithm_of_a_ratio_is_the_lnratio(logit, small):
    ratio, log = (effects(logit, "z", by="race", comparison=c, newdata=small) for c in ("ratio", "lnratio"))
    np.testing.assert_allclose(np.log(ratio.draws()), log.draws(), rtol=1e-9, atol=1e-14)
    assert ratio.table["prob_above_null"].tolist() == log.table["prob_above_null"].tolist()


def test_a_ratio_of_means_is_no_mean_of_ratios(logit, small):
    rows = logit.design_for
    high, low = (logit.expected(rows(small.assign(z=z))) for z in (1, 0))
    ratio = effects(logit, "z", comparison="ratio", newdata=small).draws()[:, 0]
    np.testing.assert_allclose(ratio, high.mean(axis=1) / low.mean(axis=1), rtol=1e-9)
    assert not np.allclose(ratio, (high / low).mean(axis=1), rtol=0.01)


def test_the_scale_of_the_link_is_linear(logit, small):
    eff = effects(logit, "z", by="race", scale="link", newdata=small)
    assert eff.functional is not None
    for i, race in enumerate(RACES):
        rows = by_race(small, race)
        high, low = (average_by_loops(logit, rows.assign(z=z), np.ones(len(rows)), float) for z in (1, 0))
        np.testing.assert_allclose(eff.draws()[:, i], high - low, rtol=1e-9, atol=1e-12)
    assert eff.notes[-1] == "Effects are on the scale of the linear predictor (logit)."
    with pytest.raises(EffectsError, match="scale of the linear predictor"):
        effects(logit, "z", scale="link", comparison="ratio", newdata=small)


def variance_by_loops(fit, frame):
    """(D, m) z' Sigma z with z = (1, treatment)."""
    out = np.zeros((len(fit.sample), len(frame)))
    for d in range(len(fit.sample)):
        Sigma = fit.covariance_factors[0][d] @ fit.covariance_factors[0][d].T
        for i, z in enumerate(frame["z"]):
            z = np.array([1.0, z])
            out[d, i] = z @ Sigma @ z
    return out


def fixed_by_loops(fit, frame):
    X = fit.design_for(frame).fixed
    return fit.sample[:, : X.shape[1]] @ X.T


def test_groups_are_three_different_numbers_off_the_identity_link(small):
    """The population average under a probit link has a closed form: Phi(eta / sqrt(1 + v))."""
    fit = draw_fit(FORMULA, small, families.bernoulli(link="probit"), draws=50)
    found = {g: effects(fit, "z", groups=g, newdata=small).draws()[:, 0] for g in ("fitted", "average", "integrate")}
    by_hand = {g: [] for g in found}
    for z in (1, 0):
        frame = small.assign(z=z)
        eta, v = fixed_by_loops(fit, frame), variance_by_loops(fit, frame)
        by_hand["fitted"].append(average_by_loops(fit, frame, np.ones(len(frame)), norm.cdf))
        by_hand["average"].append(norm.cdf(eta).mean(axis=1))
        by_hand["integrate"].append(norm.cdf(eta / np.sqrt(1 + v)).mean(axis=1))
    for groups, (high, low) in by_hand.items():
        # Quadrature against the closed form.
        np.testing.assert_allclose(found[groups], high - low, atol=1e-6)
    names = list(found)
    for i in range(3):
        assert np.abs(found[names[i]] - found[names[i - 1]]).max() > 0.01


def test_an_average_over_the_population_by_quadrature(small):
    """The logit has no closed form: adaptive quadrature of one cell in a few draws."""
    fit = draw_fit(FORMULA, small, "bernoulli", draws=20)
    one = small.iloc[[0]]
    found = poststratify(fit, one, groups="integrate").draws()[:, 0]
    eta, v = fixed_by_loops(fit, one)[:, 0], variance_by_loops(fit, one)[:, 0]
    for d in range(20):
        by_hand = integrate.quad(lambda x, d=d: expit(eta[d] + np.sqrt(v[d]) * x) * norm.pdf(x), -12, 12)[0]
        assert found[d] == pytest.approx(by_hand, abs=1e-6)


def test_cells_without_the_school_are_averaged_over_the_population_of_schools(small):
    fit = draw_fit(FORMULA, small, families.bernoulli(link="probit"), draws=50)
    eff = effects(fit, "z", newdata=small.drop(columns="school"))
    high, low = (
        norm.cdf(fixed_by_loops(fit, f) / np.sqrt(1 + variance_by_loops(fit, f))).mean(axis=1)
        for f in (small.assign(z=1), small.assign(z=0))
    )
    np.testing.assert_allclose(eff.draws()[:, 0], high - low, atol=1e-6)
    assert "averages over the population of school" in eff.notes[0]
    assert (eff.table["unseen"] == 0).all()


def test_a_log_link_integrates_to_the_mean_of_a_lognormal(small):
    """E exp(eta + sqrt(v) x) = exp(eta + v / 2), with the auxiliary parameter of the negative binomial at hand."""
    fit = draw_fit(FORMULA, small, "negbinomial", draws=50, auxiliary={("shape",): np.full((1, 50), 2.0)})
    eff = effects(fit, "z", groups="integrate", comparison="ratio", newdata=small)
    high, low = (
        np.exp(fixed_by_loops(fit, f) + variance_by_loops(fit, f) / 2).mean(axis=1)
        for f in (small.assign(z=1), small.assign(z=0))
    )
    np.testing.assert_allclose(eff.draws()[:, 0], high / low, rtol=1e-5)


def test_integrating_categories_uses_the_thresholds(small):
    """P(Y <= k) = E F(threshold_k - eta) over schools; probit in closed form."""
    thresholds = np.column_stack([np.linspace(-1, -0.5, 50), np.linspace(0.3, 0.8, 50)])
    aux = {("threshold", str(k + 1)): thresholds[:, k].reshape(2, 25) for k in range(2)}
    fit = draw_fit(
        FORMULA,
        small,
        families.cumulative(link="probit"),
        draws=50,
        categories=("low", "mid", "high"),
        auxiliary={key: values.ravel() for key, values in aux.items()},
    )
    out = poststratify(fit, small, by="race", groups="integrate")
    assert out.table["category"].tolist() == ["low", "mid", "high"] * 3
    for i, race in enumerate(RACES):
        frame = by_race(small, race)
        eta, root = fixed_by_loops(fit, frame), np.sqrt(1 + variance_by_loops(fit, frame))
        below = [norm.cdf((thresholds[:, [k]] - eta) / root).mean(axis=1) for k in range(2)]
        by_hand = np.column_stack([below[0], below[1] - below[0], 1 - below[1]])
        np.testing.assert_allclose(out.draws()[:, 3 * i : 3 * i + 3], by_hand, atol=1e-6)


@pytest.fixture(scope="module")
def ordinal(small):
    return draw_fit(
        FORMULA,
        small,
        "cumulative",
        draws=50,
        categories=("low", "mid", "high"),
        auxiliary={("threshold", "1"): np.full(50, -0.5), ("threshold", "2"): np.full(50, 0.8)},
    )


@pytest.mark.parametrize("comparison", ["difference", "ratio", "odds_ratio"])
def test_categories_have_a_row_each(comparison, ordinal, small):
    eff = effects(ordinal, "z", by="race", comparison=comparison, newdata=small)
    table = eff.table
    assert table["category"].tolist() == ["low", "mid", "high"] * 3
    assert table["race"].tolist() == [r for r in RACES for _ in range(3)]
    cuts = [-0.5, 0.8]
    for i, race in enumerate(RACES):
        rows = by_race(small, race)
        chances = []
        for z in (1, 0):
            below = [
                average_by_loops(ordinal, rows.assign(z=z), np.ones(len(rows)), lambda e, c=c: expit(c - e))
                for c in cuts
            ]
            chances.append([below[0], below[1] - below[0], 1 - below[1]])
        for k in range(3):
            by_hand = BY_HAND[comparison](chances[0][k], chances[1][k])
            np.testing.assert_allclose(eff.draws()[:, 3 * i + k], by_hand, rtol=1e-8, atol=1e-12)
    if comparison == "difference":
        # Probabilities of all categories change by zero together.
        np.testing.assert_allclose(eff.draws().reshape(-1, 3, 3).sum(axis=2), 0.0, atol=1e-12)
    assert len(eff.contrast("Black", "White")) == 3
    assert len(eff.contrast(against="complement")) == 9


def test_a_factor_has_every_pair(logit, small):
    fit = draw_fit("y ~ style*race + (1 | school)", small, "bernoulli", draws=50)
    eff = effects(fit, {"style": "pairwise"}, comparison="odds_ratio", newdata=small)
    assert eff.table["contrast"].tolist() == [
        "odds(Some) / odds(None)",
        "odds(Fully) / odds(None)",
        "odds(Fully) / odds(Some)",
    ]
    dtype = small["style"].dtype
    average = {
        level: average_by_loops(
            fit, small.assign(style=pd.Categorical([level] * len(small), dtype=dtype)), np.ones(len(small)), expit
        )
        for level in dtype.categories
    }
    pairs = [("Some", "None"), ("Fully", "None"), ("Fully", "Some")]
    for k, (high, low) in enumerate(pairs):
        np.testing.assert_allclose(eff.draws()[:, k], BY_HAND["odds_ratio"](average[high], average[low]), rtol=1e-9)
    sequential = effects(fit, {"style": "sequential"}, newdata=small)
    assert sequential.table["contrast"].tolist() == ["Some - None", "Fully - Some"]
    with pytest.raises(EffectsError, match="how its levels are paired, not 'pairwsie'") as caught:
        effects(fit, {"style": "pairwsie"}, newdata=small)
    assert "Did you mean 'pairwise'?" in str(caught.value)


@pytest.mark.parametrize(("treatment", "values"), [("age", None), ({"age": [-1, 0.5]}, (-1, 0.5))])
def test_a_number_per_unit_and_between_two_values(treatment, values, logit, small):
    eff = effects(logit, treatment, comparison="ratio", newdata=small)
    low = small if values is None else small.assign(age=values[0])
    high = small.assign(age=small["age"] + 1) if values is None else small.assign(age=values[1])
    ones = np.ones(len(small))
    by_hand = average_by_loops(logit, high, ones, expit) / average_by_loops(logit, low, ones, expit)
    np.testing.assert_allclose(eff.draws()[:, 0], by_hand, rtol=1e-9)
    assert eff.table["contrast"].item() == ("per unit" if values is None else "0.5 / -1")


@pytest.mark.parametrize("comparison", ["difference", "ratio"])
def test_a_complement_is_averaged_before_it_is_compared(comparison, logit, small):
    eff = effects(logit, "z", by="race", comparison=comparison, newdata=small, weights="w")
    found = eff.contrast(against="complement")
    for i, race in enumerate(RACES):
        parts = []
        for rows in (by_race(small, race), small[small["race"] != race]):
            pair = [average_by_loops(logit, rows.assign(z=z), rows["w"].to_numpy(), expit) for z in (1, 0)]
            parts.append(BY_HAND[comparison](*pair))
        np.testing.assert_allclose(found.draws()[:, i], parts[0] - parts[1], rtol=1e-8, atol=1e-12)


def test_uncertain_weights_go_draw_by_draw(logit, small):
    """Draw d of an average has draw d of the weights; repeated rows are collapsed and their weights added up."""
    frame = pd.concat([small, small.iloc[:20]], ignore_index=True)
    counts = np.random.default_rng(3).gamma(2.0, size=(50, len(frame)))
    eff = effects(logit, "z", by="race", comparison="ratio", newdata=frame, weights=counts)
    rows = logit.design_for
    high, low = (logit.expected(rows(frame.assign(z=z))) for z in (1, 0))
    for i, race in enumerate(RACES):
        mine = (frame["race"] == race).to_numpy()
        by_hand = [
            np.average(high[d, mine], weights=counts[d, mine]) / np.average(low[d, mine], weights=counts[d, mine])
            for d in range(50)
        ]
        np.testing.assert_allclose(eff.draws()[:, i], by_hand, rtol=1e-9)
        assert eff.table["weight"][i] == pytest.approx(counts[:, mine].sum(axis=1).mean())
    rest = eff.contrast("Black", against="complement").draws()[:, 0]
    other = (frame["race"] != "Black").to_numpy()
    by_hand = [
        np.average(high[d, other], weights=counts[d, other]) / np.average(low[d, other], weights=counts[d, other])
        for d in range(50)
    ]
    np.testing.assert_allclose(rest, eff.draws()[:, 1] - by_hand, rtol=1e-8)
    assert any("50 draws" in note for note in eff.notes)
    framed = effects(logit, "z", by="race", comparison="ratio", newdata=frame, weights=pd.DataFrame(counts))
    pd.testing.assert_frame_equal(framed.table, eff.table)


def test_uncertain_weights_of_a_posterior_on_the_identity_link(small):
    fit = draw_fit(FORMULA, small, "gaussian", draws=50)
    counts = np.random.default_rng(3).gamma(2.0, size=(50, len(small)))
    eff = effects(fit, "z", by="race", newdata=small, weights=counts)
    high, low = (fit.expected(fit.design_for(small.assign(z=z))) for z in (1, 0))
    for i, race in enumerate(RACES):
        mine = (small["race"] == race).to_numpy()
        by_hand = [np.average((high - low)[d, mine], weights=counts[d, mine]) for d in range(50)]
        np.testing.assert_allclose(eff.draws()[:, i], by_hand, rtol=1e-9, atol=1e-12)


def test_another_number_of_weight_draws_is_chosen_at_random(logit, small):
    counts = np.random.default_rng(4).gamma(2.0, size=(7, len(small)))
    eff = effects(logit, "z", newdata=small, weights=counts, seed=2)
    chosen = np.random.default_rng(2).integers(7, size=50)
    high, low = (logit.expected(logit.design_for(small.assign(z=z))) for z in (1, 0))
    by_hand = [np.average((high - low)[d], weights=counts[chosen[d]]) for d in range(50)]
    np.testing.assert_allclose(eff.draws()[:, 0], by_hand, rtol=1e-9)


def test_uncertain_weights_of_an_exact_fit(small, dense_fit):
    """Given a draw of the weights averages are normal: total variance = mean variance + variance of means."""
    fit = dense_fit(FORMULA, small)
    counts = np.random.default_rng(3).gamma(0.5, size=(1500, len(small)))
    eff = effects(fit, "z", newdata=small, weights=counts)
    difference = fit.dense(fit.design_for(small.assign(z=1))) - fit.dense(fit.design_for(small.assign(z=0)))
    C = counts @ difference / counts.sum(axis=1, keepdims=True)
    means, variances = C @ fit.mean, np.einsum("ij,jk,ik->i", C, fit.cov, C)
    sd = np.sqrt(variances.mean() + means.var())
    assert eff.draws().shape == (1500, 1)
    assert eff.table["estimate"].item() == pytest.approx(means.mean(), abs=5 * sd / np.sqrt(1500))
    assert eff.table["sd"].item() == pytest.approx(sd, rel=5 / np.sqrt(2 * 1500))
    # The draws follow their own weights: they correlate with the conditional means as the variances say.
    share = np.corrcoef(eff.draws()[:, 0], means)[0, 1]
    assert share == pytest.approx(means.std() / sd, abs=5 / np.sqrt(1500))


@pytest.mark.filterwarnings("ignore::mixedfx.errors.UnseenLevelsWarning")
def test_blocks_of_cells_add_up(logit, small, dense_fit, monkeypatch):
    """Small blocks, as a table of 10^7 cells has them, give what one block gives; unseen levels are aligned by name."""
    new = small.assign(school=np.resize(["s1", "north", "s2", "south", "s3"], len(small)))
    exact = dense_fit(FORMULA, small)
    whole = [effects(f, "z", by="race", newdata=new).table for f in (logit, exact)]
    draws = effects(logit, "z", by="race", newdata=new).draws()
    monkeypatch.setattr(averages_module, "CELLS", 7)
    monkeypatch.setattr(averages_module, "NUMBERS", 150)
    with pytest.warns(UnseenLevelsWarning, match="'north', 'south'") as caught:
        parts = [effects(f, "z", by="race", newdata=new).table for f in (logit, exact)]
    assert len(caught) == 2
    for one, other in zip(whole, parts, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(effects(logit, "z", by="race", newdata=new).draws(), draws, rtol=1e-9, atol=1e-13)


def test_unseen_levels_have_draws_of_their_own_off_the_identity_link(logit, small):
    new = small.iloc[:2].assign(school=["north", "south"], race="Black", z=0, age=0.0)
    with pytest.warns(UnseenLevelsWarning):
        out = poststratify(logit, new, by="school")
    slope = [list(logit.design.fixed_names).index(n) for n in ("Intercept", "race[Black]")]
    eta = logit.sample[:, slope].sum(axis=1)
    for i, school in enumerate(["north", "south"]):
        np.testing.assert_allclose(out.draws()[:, i], expit(eta + logit.new_draws(0, school)[:, 0]), rtol=1e-9)
    assert (out.table["unseen"] == 1).all()


def test_comparisons_without_meaning_are_errors(logit, small, dense_fit):
    fit = dense_fit(FORMULA, small)
    with pytest.raises(EffectsError, match="ratio needs positive averages"):
        effects(fit, "z", comparison="ratio")
    with pytest.raises(EffectsError, match="averages between 0 and 1"):
        effects(dense_fit(FORMULA, small.assign(y=small["y"] + 10)), "z", comparison="odds_ratio")
    with pytest.raises(EffectsError, match="y is not 0 or 1"):
        effects(fit, "z", comparison="risk_difference")
    with pytest.raises(EffectsError, match="Did you mean 'ratio'"):
        effects(fit, "z", comparison="ratoi")
    with pytest.raises(EffectsError, match="no linear functionals"):
        _ = effects(logit, "z", newdata=small).functional


def test_an_offset_counts_where_it_does_not_cancel(small):
    fit = draw_fit("y ~ z + offset(age)", small, "poisson", draws=50)
    eff = effects(fit, "z", by=[[]], newdata=small)
    b = fit.sample
    by_hand = np.mean([np.exp(b[:, 0] + age) * (np.exp(b[:, 1]) - 1) for age in small["age"]], axis=0)
    np.testing.assert_allclose(eff.draws()[:, 0], by_hand, rtol=1e-9)


def test_a_difference_that_cannot_vary_is_said_to_come_from_the_baselines(small):
    fit = draw_fit("y ~ z + race", small, "bernoulli", draws=50)
    eff = effects(fit, "z", by="race", newdata=small)
    assert eff.table["estimate"].nunique() == 3
    assert "cannot vary over 'race'" in eff.notes[-1]


def test_draws_times_cells_are_never_held_at_once(logit, small, monkeypatch):
    asked = []

    class Watched(type(logit)):
        def expected(self, functional, chosen=None):
            asked.append(len(functional))
            return super().expected(functional, chosen)

    watched = Watched(logit.design, logit.sample, logit.covariance_factors, logit.family)
    monkeypatch.setattr(averages_module, "NUMBERS", 50 * 5)
    effects(watched, "z", newdata=small)
    # 50 draws of 5 cells at most; one row, under both values, tells how many draws there are.
    assert max(asked) == 5
    assert sum(asked) == 2 * len(small.drop_duplicates(["race", "age", "school"])) + 2
    asked.clear()
    # Without effects of their own, cells of different schools have one outcome.
    effects(watched, "z", newdata=small, groups="average")
    assert sum(asked) == 2 * len(small.drop_duplicates(["race", "age"])) + 2


@pytest.mark.parametrize("sd", [0.1, 0.5, 0.8, 1.0, 1.4, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("link", ["probit", "logit", "cloglog", "log"])
def test_the_normal_rule_is_good_to_1e_6_for_every_spread(link, sd):
    x, w = normal_rule(sd)
    for s in (sd, 0.6 * sd):
        for eta in np.linspace(-5, 5, 11):
            inverse = LINKS[link].inverse
            found = w @ inverse(eta + s * x)
            if link == "probit":
                assert found == pytest.approx(norm.cdf(eta / np.sqrt(1 + s**2)), abs=1e-6)
            elif link == "log":
                assert found == pytest.approx(np.exp(eta + s**2 / 2), rel=1e-6)
            else:
                # A trapezoidal rule twenty times as fine.
                fine = np.linspace(-10, 10, 20001)
                weight = norm.pdf(fine)
                assert found == pytest.approx(weight @ inverse(eta + s * fine) / weight.sum(), abs=2e-6)


def test_an_aliased_column_counts_where_it_does_not_cancel(small):
    """Months that are not twelve times the age: outcomes need their coefficient, differences of logits do not."""
    with pytest.warns(Warning, match="rank deficient"):
        fit = draw_fit("y ~ age + months + z", small.assign(months=12 * small["age"]), "bernoulli", draws=20)
    new = small.assign(months=0.0)
    with pytest.warns(NotEstimableWarning, match="'months'"):
        lost = effects(fit, "z", newdata=new)
    assert lost.table[["estimate", "sd", "lower", "upper", "prob_above_null"]].isna().all(axis=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = effects(fit, "z", newdata=new, scale="link")
    assert np.isfinite(known.table["estimate"]).all()


def test_progress_moves_within_a_block_of_cells(logit, small, monkeypatch):
    monkeypatch.setattr(averages_module, "NUMBERS", 50 * 10)
    seen = []
    monkeypatch.setattr(averages_module, "Progress", lambda asked, *about: Progress(seen.append, *about))
    effects(logit, "z", newdata=small)
    shares = [report.done / report.total for report in seen]
    assert len(shares) >= 10
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.8 < shares[-1] < 1
    seen.clear()
    effects(logit, "z", newdata=small, groups="average")
    assert len(seen) >= 2
