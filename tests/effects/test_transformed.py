"""Transformed responses are answered in the units of their variable, and no answer depends on a unit it should not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import expit, logit

import mixedfx as mx
from mixedfx.design.transforms import CURVES
from mixedfx.effects.effects import effects
from mixedfx.effects.poststratify import poststratify
from mixedfx.effects.quantities import Drawn, Monotone
from mixedfx.effects.report import code
from mixedfx.effects.sampled import sampled
from mixedfx.errors import EffectsError, OptionError
from tests.effects.drawn_fit import draw_fit

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.fixture(scope="module")
def stays() -> pd.DataFrame:
    """Days in hospital by ward: log-normal, the drug nearly doubles them, more so for women."""
    rng = np.random.default_rng(4)
    ward = np.repeat(np.arange(12), 12)
    drug, sex = rng.choice(["none", "drug"], 144), rng.choice(["f", "m"], 144)
    eta = 1.5 + 0.6 * (drug == "drug") + 0.3 * (drug == "drug") * (sex == "f") + 0.3 * rng.normal(size=12)[ward]
    days = np.exp(eta + 0.4 * rng.normal(size=144))
    return pd.DataFrame(
        {
            "days": days,
            "share": days / (days + 5),
            "drug": pd.Categorical(drug, ["none", "drug"]),
            "sex": sex,
            "ward": ward,
            "w": rng.uniform(0.5, 2.0, 144),
        }
    )


@pytest.fixture(scope="module")
def fits(stays):
    """REML and posterior fits of one model."""
    formula = "log(days) ~ drug*sex + (1 + drug | ward)"
    return {"reml": mx.lmer(formula, stays), "bayes": mx.bayes(formula, stays, seed=1, draws=1000)}


RIGHT = "drug*sex + (1 | ward)"
LEFTS = ["days", "days / 7", "scale(days)", "center(days)", "log(days)", "log2(days)", "2 * log10(days)", "sqrt(days)"]
LEFTS += ["1 / days", "np.cbrt(days)"]


@pytest.mark.parametrize("left", LEFTS)
def test_the_unit_of_the_response_does_not_change_a_ratio_and_scales_a_difference(left, stays):
    """Days and hours: ratios agree, differences and averages are 24 times as large, whatever was fitted."""
    in_days, in_hours = (
        mx.lmer(f"{left} ~ {RIGHT}", stays.assign(days=factor * stays["days"])) for factor in (1.0, 24.0)
    )
    bends = None if "log" in left else left in ("sqrt(days)", "1 / days", "np.cbrt(days)")
    for comparison, factor in (("ratio", 1.0), ("lift", 1.0), ("lnratio", 1.0), ("difference", 24.0)):
        a, b = (effects(fit, "drug", by="sex", comparison=comparison).table for fit in (in_days, in_hours))
        exact = comparison != "difference" if bends is None else comparison == "difference" and not bends
        # What is taken draw by draw has a Monte Carlo error, at the ends of intervals 6 % of sd between two fits.
        close = 0.0 if exact else 0.25 * factor * a["sd"].max()
        for column in ("estimate", "lower", "upper"):
            np.testing.assert_allclose(b[column], factor * a[column], rtol=1e-5, atol=close)
    a, b = (poststratify(fit, None, by="sex").table for fit in (in_days, in_hours))
    for column in ("estimate", "sd", "lower", "upper"):
        np.testing.assert_allclose(b[column], 24 * a[column], rtol=1e-5)


@pytest.mark.parametrize("engine", ["reml", "bayes"])
@pytest.mark.parametrize("groups", ["fitted", "average", "integrate"])
def test_a_ratio_of_geometric_means_is_the_exponential_of_a_difference(engine, groups, fits):
    fit = fits[engine]
    ask = {"by": "sex", "groups": groups}
    link = effects(fit, "drug", scale="link", **ask).table
    for comparison, take in (
        ("lnratio", lambda x: x),
        ("ratio", np.exp),
        ("lift", lambda x: 100 * np.expm1(x)),
    ):
        eff = effects(fit, "drug", comparison=comparison, **ask)
        for column in ("estimate", "lower", "upper"):
            np.testing.assert_allclose(eff.table[column], take(link[column]), rtol=1e-12)
        np.testing.assert_allclose(eff.table["prob_above_null"], link["prob_above_null"], rtol=1e-12)
        np.testing.assert_allclose(
            eff.prob(less=take(0.7))["prob"], effects(fit, "drug", scale="link", **ask).prob(less=0.7)["prob"]
        )
    if groups != "fitted":
        beta = fit.fixef
        assert link["estimate"].tolist() == pytest.approx(
            [beta["drug[drug]"], beta["drug[drug]"] + beta["drug[drug]:sex[m]"]]
        )


@pytest.mark.parametrize("engine", ["reml", "bayes"])
def test_average_outcomes_are_generalised_means(engine, fits, stays):
    link = poststratify(fits[engine], stays, by=["drug", "sex"], weights="w", scale="link").table
    found = poststratify(fits[engine], stays, by=["drug", "sex"], weights="w")
    for column in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(found.table[column], np.exp(link[column]), rtol=1e-12)
    np.testing.assert_allclose(found.table["sd"], found.table["estimate"] * link["sd"], rtol=1e-12)
    assert found.notes[0].startswith("Averages are geometric means of days, taken back from log(days)")
    assert repr(found).splitlines()[0] == "Averages of days"


def test_a_logit_gives_odds_ratios_and_a_logarithm_does_not(stays):
    fit = mx.lmer(f"logit(share) ~ {RIGHT}", stays)
    link = effects(fit, "drug", scale="link").table
    ratio = effects(fit, "drug", comparison="odds_ratio").table
    for column in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(ratio[column], np.exp(link[column]), rtol=1e-12)
    difference = effects(fit, "drug")
    means = poststratify(fit, stays.assign(drug="drug")), poststratify(fit, stays.assign(drug="none"))
    by_hand = [m.table["estimate"].item() for m in means]
    # A median of 4,000 draws: its Monte Carlo error is 2 % of sd.
    assert difference.table["estimate"].item() == pytest.approx(
        by_hand[0] - by_hand[1], abs=0.1 * difference.table["sd"].item()
    )
    with pytest.raises(EffectsError, match="odds_ratio needs averages between 0 and 1"):
        effects(mx.lmer(f"log(days) ~ {RIGHT}", stays), "drug", comparison="odds_ratio")


BACK = {
    "log(y)": np.exp,
    "sqrt(y)": lambda e: np.maximum(e, 0) ** 2,
    "1 / y": lambda e: 1 / e,
    "scale(y)": None,
    "log10(2 * y + 1)": lambda e: (10**e - 1) / 2,
}


def tight(fit):
    """The same fit, 30 times as sure of itself: averages stay where every transformation is defined."""
    center = fit.sample.mean(axis=0)
    return replace(fit, sample=center + (fit.sample - center) / 30)


@pytest.fixture(scope="module")
def positive(people) -> pd.DataFrame:
    return people.assign(y=np.exp(0.3 * people["y"]) + 1.0)


@pytest.mark.parametrize("left", BACK)
@pytest.mark.parametrize("comparison", ["difference", "ratio", "lift"])
@pytest.mark.parametrize("against", ["overall", "complement", None])
def test_every_comparison_is_that_of_back_transformed_averages_within_each_draw(left, comparison, against, positive):
    fit = tight(draw_fit(f"{left} ~ z*race + age + (1 + z | school)", positive, "gaussian", draws=150))
    inverse = BACK[left] or (lambda e: positive["y"].mean() + positive["y"].std() * e)
    races = ["Asian", "Black", "White"]
    masks = [(positive["race"] == race).to_numpy() for race in races]
    low, high = (fit.apply(fit.design_for(positive.assign(z=v))).sample for v in (0, 1))

    def number(mask):
        h, w = inverse(high[:, mask].mean(axis=1)), inverse(low[:, mask].mean(axis=1))
        return {"difference": h - w, "ratio": h / w, "lift": 100 * (h / w - 1)}[comparison]

    eff = effects(fit, "z", by="race", comparison=comparison)
    own = np.column_stack([number(mask) for mask in masks])
    np.testing.assert_allclose(eff.draws(), own, rtol=1e-8, atol=1e-8)
    if against is not None:
        others = [np.ones(len(positive), bool) if against == "overall" else ~mask for mask in masks]
        rest = np.column_stack([number(mask) for mask in others])
        np.testing.assert_allclose(eff.contrast(against=against).draws(), own - rest, rtol=1e-7, atol=1e-7)
    two = eff.contrast("White", "Asian").draws()[:, 0]
    np.testing.assert_allclose(two, own[:, 2] - own[:, 0], rtol=1e-7, atol=1e-8)


MEANS = {"log(y)": lambda e, v: np.exp(e + v / 2), "sqrt(y)": lambda e, v: e**2 + v, "y": lambda e, v: e}


@pytest.mark.parametrize("left", MEANS)
@pytest.mark.parametrize("groups", ["fitted", "average", "integrate"])
@pytest.mark.parametrize("lacking", [False, True])
def test_arithmetic_means_are_averages_of_the_mean_of_every_row(left, groups, lacking, positive):
    """Row by row and draw by draw: residual variance always, that of groups where they are averaged over."""
    sigma = np.exp(0.1 * np.random.default_rng(5).normal(size=120)) * 0.3
    fit = draw_fit(f"{left} ~ z*age + (1 + z | school)", positive, "gaussian", draws=120, auxiliary={("sigma",): sigma})
    newdata = positive.drop(columns="school") if lacking else positive
    eff = effects(fit, "z", by="race", newdata=newdata, groups=groups, bias_adjust=True)
    averages = []
    for v in (0, 1):
        rows = fit.design_for(newdata.assign(z=v))
        if groups != "fitted":
            rows = type(rows)(**{**rows.__dict__, "random": sparse.csr_array(rows.random.shape)})
        eta = fit.apply(rows).sample
        over = groups == "integrate" or (lacking and groups == "fitted")
        G = fit.covariance_factors[0] @ fit.covariance_factors[0].transpose(0, 2, 1)
        z = np.array([1.0, v])
        variance = sigma[:, None] ** 2 + (np.einsum("i,dij,j->d", z, G, z)[:, None] if over else 0.0)
        averages.append(MEANS[left](eta, variance))
    for i, race in enumerate(("Asian", "Black", "White")):
        mask = (positive["race"] == race).to_numpy()
        by_hand = (averages[1] - averages[0])[:, mask].mean(axis=1)
        # Rows with the same outcome are collected first: another order of additions.
        np.testing.assert_allclose(eff.draws()[:, i], by_hand, rtol=1e-9, atol=1e-10)


def test_arithmetic_means_of_a_reml_fit_are_those_of_what_it_simulates(fits, stays):
    """200,000 simulated stays in the wards of the data; 4,000 draws of the coefficients."""
    fit = fits["reml"]
    simulated = np.exp(fit.simulate(2000, seed=1, use_u=True))
    found = poststratify(fit, None, by=["drug", "sex"], bias_adjust=True).table
    by_hand = simulated.mean(axis=1).groupby([stays["drug"], stays["sex"]], observed=True).mean()
    # The mean of exp over the uncertainty of the coefficients is higher by about half their variance, 0.5 %.
    np.testing.assert_allclose(found["estimate"], by_hand, rtol=0.02)
    geometric = poststratify(fit, None, by=["drug", "sex"]).table
    assert (found["estimate"] > 1.05 * geometric["estimate"]).all()
    wards = poststratify(fit, None, by="drug", groups="integrate", bias_adjust=True).table["estimate"]
    new = np.exp(fit.simulate(2000, seed=1)).mean(axis=1).groupby(stays["drug"], observed=True).mean()
    np.testing.assert_allclose(wards, new, rtol=0.02)


def test_a_fit_as_draws_has_the_distribution_it_answers_with(fits, stays):
    """4,000 draws of (beta, u), unseen levels among them: means to 5 standard errors, sds to 5 %."""
    fit = fits["reml"]
    new = pd.concat([stays.iloc[:6], stays.iloc[:2].assign(ward=[77, 78])])
    rows = fit.design_for(new, "sample")
    exact, drawn = fit.apply(rows), sampled(fit, 3).apply(rows)
    np.testing.assert_allclose(drawn.mean, exact.mean, atol=5 * exact.sd.max() / np.sqrt(4000))
    np.testing.assert_allclose(np.sqrt(np.diag(drawn.cov)), exact.sd, rtol=0.05)
    again = sampled(fit, 3).apply(fit.design_for(new.iloc[6:], "sample"))
    np.testing.assert_array_equal(again.values, drawn.values[:, 6:])


@pytest.mark.parametrize(
    ("left", "question", "message"),
    [
        ("np.sin(days)", {}, r"np.sin\(...\) is no function that can be undone\n.*scale=\"link\""),
        ("own(days)", {"comparison": "ratio"}, r"own\(...\) is no function that can be undone"),
        ("own(days)", {"comparison": "lift", "scale": "link"}, r"lift is about a variable.*\n.*\"difference\""),
        ("log(days)", {"comparison": "ratio", "scale": "link"}, r"ratio is about a variable, and .* log\(days\)"),
        ("scale(days)", {"comparison": "lnratio", "scale": "link"}, "lnratio is about a variable"),
        ("log(days)", {"bias_adjust": True, "scale": "link"}, "bias_adjust=True is about a variable"),
        ("1 / days", {"bias_adjust": True}, r"days has no mean\nLeave bias_adjust out: .* harmonic means of days"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(left, question, message, stays):
    fit = mx.lmer(f"{left} ~ {RIGHT}", stays, env={"own": lambda v: v + 1})
    with pytest.raises(EffectsError, match=message):
        effects(fit, "drug", **question)
    if left.startswith(("np.sin", "own")):
        table = effects(fit, "drug", scale="link").table
        assert table["estimate"].notna().all()


def test_means_of_other_families_are_refused_and_their_generalised_means_are_not(positive):
    fit = draw_fit("log(y) ~ z", positive, "student", draws=50)
    with pytest.raises(EffectsError, match="gaussian family with the identity link, not for student"):
        effects(fit, "z", bias_adjust=True)
    ratio = effects(fit, "z", comparison="ratio").table["estimate"].item()
    assert ratio == pytest.approx(np.exp(fit.sample[:, 1].mean()), rel=1e-12)
    # Under another link the mean of the response as modelled is taken back.
    gamma = draw_fit("y / 10 ~ z", positive, "gamma", draws=50, scale=0.1)
    low, high = (gamma.expected(gamma.design_for(positive.assign(z=v))).mean(axis=1) for v in (0, 1))
    np.testing.assert_allclose(effects(gamma, "z").draws()[:, 0], 10 * (high - low), rtol=1e-9)


def test_known_sampling_errors_are_no_part_of_a_mean(positive):
    fit = draw_fit("log(y) | se(w) ~ z", positive, "gaussian", draws=50)
    with pytest.raises(EffectsError, match=r"se\(...\) is the error of each row's own estimate"):
        effects(fit, "z", bias_adjust=True)


def test_what_is_no_transformation_is_answered_as_ever(people, dense_fit):
    fit = dense_fit("y - age ~ z*race", people)
    eff = effects(fit, "z", by="race", bias_adjust=True)
    assert eff.question.back is None
    assert eff.notes == ("Effects are in units of I(y - age).",)
    np.testing.assert_allclose(eff.table["estimate"], effects(fit, "z", by="race", scale="link").table["estimate"])


def test_an_option_that_is_no_flag_is_refused(fits):
    with pytest.raises(OptionError, match="bias_adjust='yes' is neither True nor False"):
        effects(fits["reml"], "drug", bias_adjust="yes")


def test_a_decision_adds_up_means_and_no_geometric_means(fits):
    for question in ({}, {"bias_adjust": False}):
        with pytest.raises(EffectsError, match=r"a geometric mean does not\n.*bias_adjust=True"):
            effects(fits["reml"], "drug", by="sex", **question).decide()
    decision = effects(fits["reml"], "drug", by="sex", bias_adjust=True).decide(cost=1.0)
    assert decision.notes[0].startswith("Gains are sums of days over people")
    assert (
        effects(fits["reml"], "drug", by="sex", scale="link")
        .decide()
        .notes[0]
        .startswith("Gains are sums of log(days)")
    )


def test_raw_estimates_are_in_the_units_of_the_table(fits, stays):
    table = effects(fits["reml"], "drug", by="sex", comparison="ratio").shrinkage()
    log = np.log(stays["days"]).groupby([stays["sex"], stays["drug"]], observed=True).agg(["mean", "sem"])
    for i, sex in enumerate("fm"):
        low, high = log.loc[(sex, "none")], log.loc[(sex, "drug")]
        assert table["raw"][i] == pytest.approx(np.exp(high["mean"] - low["mean"]), rel=1e-9)
        assert table["raw_se"][i] == pytest.approx(table["raw"][i] * np.hypot(high["sem"], low["sem"]), rel=1e-9)
    means = poststratify(fits["reml"], None, by="drug", bias_adjust=True).shrinkage()
    np.testing.assert_allclose(means["raw"], stays["days"].groupby(stays["drug"], observed=True).mean())
    slope = mx.lmer("days / 7 ~ w + (1 | ward)", stays)
    assert effects(slope, "w").shrinkage()["raw"].item() == pytest.approx(np.polyfit(stays["w"], stays["days"], 1)[0])
    with pytest.raises(EffectsError, match="numeric treatment needs two of its values"):
        effects(mx.lmer("log(days) ~ w + (1 | ward)", stays), "w").shrinkage()


def test_the_code_of_a_report_asks_the_same(fits):
    eff = effects(fits["reml"], "drug", by="sex", bias_adjust=True)
    assert "bias_adjust=True" in code(eff)
    assert eff.what == "effect of drug on days"
    page = eff.to_html()
    assert "arithmetic means of days" in page


class TestMonotone:
    """A monotone function of joint draws, against that function of the draws."""

    @pytest.mark.parametrize("left", ["log(y)", "1 / y", "-log(y)", "logit(p)"])
    def test_intervals_and_probabilities_are_those_of_the_argument(self, left, positive):
        data = positive.assign(p=expit(positive["y"] - 2))
        fit = tight(draw_fit(f"{left} ~ z*race", data, "gaussian", draws=300))
        found = poststratify(fit, data, by="race")
        assert isinstance(found.quantities, Monotone)
        draws = found.draws()
        for level in (0.5, 0.95):
            tail = (1 - level) / 2
            np.testing.assert_allclose(
                found.quantities.interval(level), np.quantile(draws, [tail, 1 - tail], axis=0).T, rtol=0.01
            )
        middle = float(np.median(draws))
        np.testing.assert_allclose(found.prob(greater=middle)["prob"], (draws > middle).mean(axis=0))
        np.testing.assert_allclose(
            found.prob(between=(middle, 2 * middle))["prob"], ((draws > middle) & (draws < 2 * middle)).mean(axis=0)
        )
        assert (found.prob(greater=-1.0)["prob"] == 1).all()
        assert (found.prob(less=-1.0)["prob"] == 0).all()
        np.testing.assert_allclose(found.table["sd"], draws.std(axis=0, ddof=1), rtol=0.1)

    def test_a_falling_function_turns_an_interval_round(self, positive):
        fit = tight(draw_fit("1 / y ~ z", positive, "gaussian", draws=100))
        row = poststratify(fit, positive).table.iloc[0]
        assert row["lower"] < row["estimate"] < row["upper"]

    def test_logits_stay_inside(self):
        base = Drawn(np.array([[-800.0], [0.0], [800.0]]), np.zeros(1))
        found = Monotone(base, CURVES["logit"])
        assert found.draws()[:, 0].tolist() == [0, 0.5, 1]
        assert found.probability(greater=1.0).tolist() == [0]
        assert found.probability(greater=1.5).tolist() == [0]
        assert found.probability(greater=0.0).tolist() == [1]
        assert float(logit(found.summary(0.9, 0.5)["estimate"].item())) == 0
