"""Four people's whole sessions, from a file to what they hand on: only public names, and what comes out is asserted.

A survey experimenter, a lecturer with a notebook, a data scientist and a meta-analyst. Data are made here with known
truths, or shipped; each session takes a few seconds.
"""

from __future__ import annotations

import re
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning

mpl.use("Agg")


# --- a survey experimenter: for whom does the message work, and what would it do in the population? ------------------
@pytest.fixture(scope="module")
def survey():
    """2,400 answers of a survey experiment, and the census of its 4 x 3 x 2 cells; the truth of each cell."""
    rng = np.random.default_rng(12)
    races, ages = ["White", "Black", "Hispanic", "Asian"], ["18-34", "35-64", "65+"]
    n = 2400
    data = pd.DataFrame(
        {
            "race": rng.choice(races, n, p=[0.55, 0.2, 0.18, 0.07]), "age": rng.choice(ages, n, p=[0.5, 0.35, 0.15]),
            "gender": rng.choice(["woman", "man"], n), "message": rng.integers(0, 2, n),
            "state": rng.choice([f"S{i:02d}" for i in range(24)], n),
        }
    )  # fmt: skip
    gain = {"White": 0.2, "Black": 1.0, "Hispanic": 0.6, "Asian": 0.4}
    level = {"18-34": 0.5, "35-64": 0.0, "65+": -0.6}
    of_state = dict(zip(sorted(set(data["state"])), 0.4 * rng.normal(size=24), strict=True))
    eta = -0.2 + data["age"].map(level) + data["state"].map(of_state) + data["message"] * data["race"].map(gain)
    data["support"] = np.where(rng.random(n) < 1 / (1 + np.exp(-eta)), "yes", "no")
    data.loc[rng.choice(n, 60, replace=False), "age"] = None  # some do not say
    census = pd.MultiIndex.from_product([races, ages, ["woman", "man"]], names=["race", "age", "gender"]).to_frame(
        index=False
    )
    share = census["race"].map(dict(zip(races, [0.6, 0.13, 0.19, 0.08], strict=True)))
    census["people"] = (share * census["age"].map(dict(zip(ages, [0.3, 0.5, 0.2], strict=True))) * 5e5).round()
    return data, census


def test_a_survey_experimenter(survey, tmp_path):
    data, census = survey
    data.to_csv(tmp_path / "answers.csv", index=False, sep=";")
    census.to_csv(tmp_path / "census.csv", index=False)

    # the file as it came: a separator that is not a comma, empty cells
    answers = mx.read(tmp_path / "answers.csv")
    assert len(answers) == 2400
    assert list(answers.columns) == list(data.columns)

    # the model; rows that lack an age are left out, and the summary says so
    formula = "support ~ message * race + age + gender + (1 + message | race:age) + (1 | state)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer(formula, answers, family="bernoulli")
    assert fit.nobs == 2340
    assert "2340 of 2400" in str(fit) or "2,340 of 2,400" in str(fit)

    # for whom? risk differences by race, and a named intersection; the page to hand on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        by_race = mx.effects(fit, "message", by="race")
        named = mx.effects(
            fit, "message", subgroups={"Black women": "race == 'Black' and gender == 'woman'", "White men":
                                       "race == 'White' and gender == 'man'"},
        )  # fmt: skip
    table = by_race.table.set_index("race")
    assert table.loc["Black", "lower"] > 0.05  # a logit of 1.0 is some 20 points
    assert table.loc["Black", "estimate"] > table.loc["White", "estimate"]
    truth = {"White": 0.2, "Black": 1.0, "Hispanic": 0.6, "Asian": 0.4}
    for race, logit in truth.items():  # near a probability of a half a logit is at most a quarter
        assert table.loc[race, "lower"] < 0.25 * logit
        assert table.loc[race, "upper"] > 0.18 * logit
    said = by_race.sentence()
    assert re.search(r"message \(1 against 0\) raises the probability of support by .* percentage points", said)
    difference = named.contrast("Black women", "White men")
    assert difference.table["estimate"].item() > 0.0
    ranks = by_race.rank()
    assert ranks["prob_best"].sum() == pytest.approx(1.0)
    assert ranks.set_index("race")["prob_best"].idxmax() == "Black"
    page = by_race.to_html(tmp_path / "answer.html", title="For whom does the message work?")
    assert "<h1>For whom does the message work?</h1>" in page
    assert page.count("data:image/png;base64,") >= 1

    # the population: cells of the census, weighted by people
    people = mx.read(tmp_path / "census.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        population = mx.effects(fit, "message", newdata=people, weights="people", by="race")
    assert population.table["weight"].sum() == pytest.approx(census["people"].sum())
    assert any("population of state" in note for note in population.notes)

    # whom to send 100,000 letters to: no more than that, and Black people first
    decision = population.decide(budget=100_000)
    chosen = decision.table.set_index("race")
    worth = decision.policies.set_index("policy")["gain"]
    assert worth["chosen"] > worth["random"] > worth["none"]
    treated = chosen["treat"] * chosen["weight"]
    assert treated.sum() <= 100_000 * 1.000001
    assert treated["Black"] > 0

    # a colleague opens the fit and gets the same numbers
    again = mx.load(fit.save(tmp_path / "survey.mfx"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        pd.testing.assert_frame_equal(mx.effects(again, "message", by="race").table, by_race.table)


# --- a lecturer with a notebook: the style or the professor? ----------------------------------------------------------
def test_a_lecturer():
    course = mx.datasets.load("flipped_classroom")
    picture = mx.plot_groups("score ~ style + (1 | professor)", course)
    assert picture is not None

    # what a notebook shows of each fit
    ignoring = mx.lmer("score ~ style", course)
    mixed = mx.lmer("score ~ style + (1 | professor)", course)
    for fit in (ignoring, mixed):
        html = fit._repr_html_()
        assert "<table" in html
        assert "style[Some Flipped]" in html
    assert "REML" not in str(ignoring)
    assert "REML" in str(mixed)

    # a precision that is false: the standard error that knows of professors is several times as large
    naive, honest = (f.tidy().set_index("term").loc["style[Some Flipped]"] for f in (ignoring, mixed))
    assert honest["std_error"] > 2 * naive["std_error"]
    assert naive["df"] == 372
    assert honest["df"] == pytest.approx(12.0, abs=0.01)  # 15 professors less three styles

    # dummies of the professors leave no room for the styles, which is said by name
    with pytest.warns(MixedfxWarning, match="linear combination|rank|depend"):
        dummies = mx.lmer("score ~ style + professor", course)
    assert len(dummies.design.aliased) == 2

    # three parts, marginal means, a comparison adjusted for looking three times
    assert mixed.varcorr["grp"].tolist() == ["professor", "Residual"]
    assert mixed.icc()["adjusted"].item() == pytest.approx(0.457, abs=0.001)  # of a variance of 67 between professors
    means = mx.emmeans(mixed, "style", ddf="kenward-roger")
    assert len(means.table) == 3
    contrasts = means.contrast("pairwise").table
    assert len(contrasts) == 3
    assert (contrasts["df"].round(6) == 12.0).all()

    # which style is best, and how sure that is, in a sentence and in a table that agree
    eff = mx.effects(mixed, "style")
    ranks = eff.rank(of="values")
    assert ranks["prob_best"].sum() == pytest.approx(1.0)
    first = ranks.loc[ranks["prob_best"].idxmax()]
    said = " ".join(str(eff).split())
    assert f"{first['style']} leads to the highest score with probability {first['prob_best']:.2f} (next" in said

    # a test by refits, and a table for the slides
    assert mx.anova(mx.lmer("score ~ 1 + (1 | professor)", course), mixed).shape[0] == 2
    markdown = mx.table({"ignoring": ignoring, "mixed": mixed}).to_markdown()
    assert "ignoring" in markdown
    assert "Some Flipped" in markdown


# --- a data scientist: mixed models among learners, whom to treat ----------------------------------------------------
def test_a_data_scientist(tmp_path):
    from sklearn.model_selection import GroupKFold, KFold, cross_val_score

    pupils, truth = mx.datasets.simulate_mindset(3, n=3040)
    path = tmp_path / "pupils.parquet"
    pl.from_pandas(pupils).write_parquet(path)
    frame = mx.read(path)
    assert len(frame) == 3040

    # a mixed model as a regressor: cross-validated over schools, it predicts pupils of schools that it has not seen
    columns = ["success_expect", "ethnicity", "gender", "frst_in_family", "schoolid"]
    model = mx.MixedRegressor("1 + success_expect + gender + (1 | schoolid) + (1 | ethnicity)")
    y, w = frame["achievement_score"], frame["intervention"]
    within = cross_val_score(model, frame[columns], y, cv=KFold(3, shuffle=True, random_state=1))
    across = cross_val_score(model, frame[columns], y, groups=frame["schoolid"], cv=GroupKFold(3))
    assert within.mean() > 0.1
    assert within.mean() > across.mean()  # what is known of a school helps its other pupils
    assert model.fit(frame[columns], y).predict(frame[columns].head(5)).shape == (5,)

    # conditional effects; doubly robust scores of the same pupils say what they are worth
    X = frame.drop(columns=[y.name, w.name])
    robust = mx.dr_scores(X, y, w, groups="schoolid")
    learner = mx.cate("R", X, y, w, groups="schoolid")
    calibrated = mx.calibration(learner.out_of_fold, robust).table.set_index("term")
    mean = calibrated.loc["mean effect"]
    assert mean["lower"] < truth.tau.mean() < mean["upper"]

    # a policy: coaching the most promising 30 %, all, or nobody; all against nobody is the mean effect
    chosen = mx.treat_best(learner.out_of_fold, 0.3)
    value = mx.policy_value({"most promising": chosen, "all": 1, "none": 0}, robust).table.set_index("policy")
    assert value.loc["most promising", "share"] == pytest.approx(0.3, abs=0.001)
    assert value.loc["none", "value"] < value.loc["most promising", "value"] < value.loc["all", "value"]
    assert value.loc["all", "value"] - value.loc["none", "value"] == pytest.approx(mean["estimate"], abs=0.01)

    # effects of groups, pooled, in the tables that fits have; small groups nearer to the mean than by themselves
    pooled = mx.pool_scores(robust, "1 + (1 | ethnicity)", X, by="ethnicity")
    own = mx.effects_from(robust, X, by="ethnicity")
    assert pooled.table["estimate"].std() < own.table["estimate"].std()
    assert pooled.table["n"].sum() == 3040


# --- a meta-analyst: from counts to a table for the paper -------------------------------------------------------------
def test_a_meta_analyst(tmp_path):
    rng = np.random.default_rng(4)
    k = 24
    trials = pd.DataFrame(
        {"trial": [f"Trial {i + 1}" for i in range(k)], "team": np.repeat(np.arange(8), 3).astype(str)}
    )
    trials["dose"] = rng.choice([10.0, 20.0, 40.0], k)
    trials["n1i"], trials["n2i"] = rng.integers(60, 400, k), rng.integers(60, 400, k)
    log_odds = -0.6 - 0.015 * (trials["dose"] - 20) + np.repeat(0.15 * rng.normal(size=8), 3) + 0.1 * rng.normal(size=k)
    base = rng.uniform(0.15, 0.35, k)
    odds = base / (1 - base) * np.exp(log_odds)
    trials["ai"], trials["ci"] = rng.binomial(trials["n1i"], odds / (1 + odds)), rng.binomial(trials["n2i"], base)
    trials.to_excel(tmp_path / "trials.xlsx", index=False)

    # from an Excel file to log odds ratios
    data = mx.read(tmp_path / "trials.xlsx")
    data["team"] = data["team"].astype(str)
    es = mx.escalc("OR", data, ai="ai", n1i="n1i", ci="ci", n2i="n2i")
    assert es["vi"].gt(0).all()
    assert es.loc[0, "yi"] == pytest.approx(
        np.log(
            es.loc[0, "ai"]
            * (es.loc[0, "n2i"] - es.loc[0, "ci"])
            / es.loc[0, "ci"]
            / (es.loc[0, "n1i"] - es.loc[0, "ai"])
        )
    )

    # an average, how much trials differ, and a prediction interval, as odds ratios
    fit = mx.rma("yi ~ 1", es, slab="trial", test="knha")
    row = fit.tidy().iloc[0]
    assert row["conf_low"] < -0.6 < row["conf_high"]
    ratio = fit.predict(transf="exp").iloc[0]
    assert ratio["estimate"] == pytest.approx(np.exp(row["estimate"]))
    assert ratio["pred_low"] < ratio["conf_low"]
    assert fit.plot("forest") is not None
    assert fit.regtest().p_value > 0.01  # no trial was left out, and none is found

    # the dose, and what a new trial of a dose of 30 would find
    dose = mx.rma("yi ~ dose", es)
    assert dose.tidy().set_index("term").loc["dose", "conf_high"] < 0
    new = pd.DataFrame({"dose": [30.0], "vi": [0.05]})
    found = dose.simulate(4000, seed=1, newdata=new).iloc[0]
    assert found.mean() == pytest.approx(dose.predict(new)["estimate"].item(), abs=0.02)
    assert found.var() == pytest.approx(dose.tau2 + 0.05, rel=0.1)  # of 4,000 draws known to 2 %

    # three trials of one team are no three teams: levels, and tests that hold with eight clusters
    nested = mx.rma_mv("yi ~ 1 + (1 | team/trial)", es)
    robust = nested.robust("team").tidy().iloc[0]
    assert robust["df"] < 8
    assert robust["conf_low"] < -0.6 < robust["conf_high"]

    # what goes into the paper
    table = mx.table(dose.tidy(), labels={"estimate": "log odds ratio"}).to_latex()
    assert "tabular" in table
    assert "log odds ratio" in table
    page = fit.report(tmp_path / "review.html", title="Twenty-four trials")
    assert "<h1>Twenty-four trials</h1>" in page
    again = mx.load(fit.save(tmp_path / "review.mfx"))
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy())
