"""Hurdle models: glmmTMB's fits of both parts together, and what follows from the two parts."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import DataError, FormulaError, ModelError, OptionError, UnseenLevelError
from mixedfx.glmm.fit import GlmerFit
from mixedfx.results.protocol import PredictsMean
from tests.glmm.data import classic

PLACE = Path(__file__).parents[1] / "reference" / "glmm_families"
NAMES = ("hurdle_poisson", "hurdle_negbinomial")


def reference(name):
    return json.loads((PLACE / f"grouseticks_{name}.json").read_text())


@cache
def fit(name):
    ref = reference(name)
    return mx.glmer(ref["formula"], classic("grouseticks"), ref["family"], zi=ref["zi"])


@pytest.mark.parametrize("name", NAMES)
def test_glmmtmb(name):
    """One likelihood there, a sum of two here: 1e-6; estimates as far as 1e-8 of the criterion lets them differ."""
    ref, ours = reference(name), fit(name)
    assert ours.converged
    assert ours.criterion == pytest.approx(ref["criterion"], abs=1e-6)
    for part, start in (("count", ""), ("zero", "zi_")):
        se = np.array(ref[f"{start}se"])
        np.testing.assert_array_less(np.abs(ours.fixef[part].to_numpy() - ref[f"{start}fixef"]), 1e-3 * se)
        np.testing.assert_allclose(np.sqrt(np.diag(ours.vcov.loc[part, part])), se, rtol=2e-3)
    k = ours.n_parameters
    assert (k, ours.nobs) == (8 + (name == "hurdle_negbinomial"), 403)
    assert ours.aic == pytest.approx(ref["criterion"] + 2 * k, abs=1e-5)
    assert ours.bic == pytest.approx(ref["criterion"] + k * np.log(403), abs=1e-5)


def test_means_are_products_of_the_parts():
    ours, frame = fit("hurdle_negbinomial"), classic("grouseticks")
    zero, above = ours.predict(kind="zero"), ours.predict(kind="conditional")
    np.testing.assert_allclose(ours.fitted, (1 - zero) * above)
    np.testing.assert_allclose(zero, ours.zero.fitted.to_numpy())
    mu, shape = np.exp(ours.count.predict(frame, "population", kind="link")), ours.count.auxiliary["shape"]
    np.testing.assert_allclose(above, mu / stats.nbinom.sf(0, shape, shape / (shape + mu)), rtol=1e-10)
    np.testing.assert_allclose(ours.residuals(), frame["TICKS"] - ours.fitted.to_numpy())
    np.testing.assert_allclose(ours.predict(frame), ours.fitted)
    product = ours.count.predict(frame, groups="integrate") * (1 - ours.zero.predict(groups="integrate"))
    np.testing.assert_allclose(ours.predict(frame, groups="integrate"), product)


def test_standard_errors_of_means_are_those_of_draws():
    """The delta method against 1,000 joint draws, both given theta; draws of exponentials have the longer tail."""
    whole, frame = fit("hurdle_negbinomial"), classic("grouseticks").iloc[:200:20]
    given = {name: part.with_uncertainty("given theta") for name, part in whole.parts.items()}
    ours = replace(whole, **given)
    table = ours.predict(frame, se=True)
    assert (table["lower"] < table["estimate"]).all()
    assert (table["lower"] > 0).all()
    means = ours.mean_draws(frame)
    assert means.shape == (1000, 10)
    np.testing.assert_allclose(means.mean(axis=0), table["estimate"], rtol=0.15)
    np.testing.assert_allclose(np.median(table["se"].to_numpy() / means.std(axis=0)), 1.0, atol=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_simulated_counts_are_those_of_the_model(name):
    """Shares of zeros and means of 400 responses with the modes of the groups, to 5 standard errors of the mean."""
    ours = fit(name)
    inside = ours.data["LOCATION"].isin(ours.count.design.random[0].levels).to_numpy()
    drawn = ours.simulate(400, seed=2, use_u=True)[inside]
    zero = (drawn == 0).to_numpy()
    p = ours.predict(kind="zero")[inside].to_numpy()
    assert abs(zero.mean() - p.mean()) < 5 * np.sqrt((p * (1 - p)).mean() / zero.size)
    values = drawn.to_numpy()
    error = np.sqrt((values.var(axis=1) / 400).sum()) / len(values)
    assert abs(values.mean() - ours.fitted[inside].mean()) < 5 * error
    assert np.isfinite(ours.quantile_residuals(50, seed=1)).all()
    assert 0.5 < ours.simulate(1, seed=1).to_numpy().mean() < 60


def test_tables_have_both_parts():
    ours = fit("hurdle_poisson")
    assert ours.tidy()["part"].value_counts().to_dict() == {"count": 4, "zero": 2}
    assert set(ours.varcorr["part"]) == {"count", "zero"}
    assert set(ours.ranef) == {"count", "zero"}
    text = str(ours)
    assert "counts above zero" in text
    assert "whether a count is zero" in text
    assert "2285.42" in text
    assert ours.glance()["zeros"].item() == (classic("grouseticks")["TICKS"] == 0).sum()


def test_effects_are_asked_of_the_mean():
    frame = classic("grouseticks").assign(high=lambda d: (d["cHEIGHT"] > 0).astype(int))
    ours = mx.glmer("TICKS ~ high + (1 | LOCATION)", frame, "hurdle_negbinomial", zi="~ high + (1 | LOCATION)")
    assert isinstance(ours, PredictsMean)
    found = mx.effects(ours, "high").table
    draws = ours.mean_draws(frame.assign(high=1)) - ours.mean_draws(frame.assign(high=0))
    assert found["estimate"].item() == pytest.approx(draws.mean(), rel=1e-9)


def test_missing_values_leave_a_row_out_of_both_parts():
    frame = classic("grouseticks").copy()
    frame.loc[3, "cHEIGHT"] = np.nan
    ours = mx.glmer("TICKS ~ YEAR + (1 | LOCATION)", frame, "hurdle_poisson", zi="~ cHEIGHT")
    assert ours.nobs == 402
    assert 3 not in ours.data.index
    whole = mx.glmer("TICKS ~ YEAR + (1 | LOCATION)", frame.drop(index=3), "hurdle_poisson", zi="~ cHEIGHT")
    assert ours.criterion == pytest.approx(whole.criterion, abs=1e-8)
    with pytest.raises(DataError, match="1 rows have missing values"):
        mx.glmer("TICKS ~ YEAR + (1 | LOCATION)", frame, "hurdle_poisson", zi="~ cHEIGHT", na="raise")


def test_what_cannot_be_is_refused():
    frame = pd.DataFrame(classic("grouseticks"))
    with pytest.raises(OptionError, match="needs a model of the zeros"):
        mx.glmer("TICKS ~ 1 + (1 | LOCATION)", frame, "hurdle_poisson")
    with pytest.raises(FormulaError, match="no left side"):
        mx.glmer("TICKS ~ 1 + (1 | LOCATION)", frame, "hurdle_poisson", zi="TICKS ~ 1")
    with pytest.raises(ModelError, match="no hurdle"):
        mx.glmer("TICKS ~ 1 + (1 | LOCATION)", frame[frame["TICKS"] > 0], "hurdle_poisson", zi="~ 1")
    with pytest.raises(DataError, match="counts 0, 1, 2"):
        mx.glmer("cHEIGHT ~ 1 + (1 | LOCATION)", frame, "hurdle_poisson", zi="~ 1")
    with pytest.raises(UnseenLevelError):
        fit("hurdle_poisson").predict(frame.iloc[:1].assign(LOCATION="nowhere"))
    with pytest.raises(OptionError, match="none of a hurdle model's residuals"):
        fit("hurdle_poisson").residuals("pearson")


METHODS = sorted(
    name for name in dir(GlmerFit)
    if not name.startswith("_") and callable(getattr(GlmerFit, name)) and not hasattr(PredictsMean, name)
)  # fmt: skip
INSIDE = {  # what other layers of the package call
    "apply", "criteria", "design_for", "draws", "expected", "joint_sample", "null_blocks", "power_study", "projection",
    "reference", "with_uncertainty",
}  # fmt: skip
ANSWERED = {"tidy", "glance", "summary", "predict", "simulate", "residuals", "quantile_residuals", "update"}


@pytest.mark.parametrize("name", [name for name in METHODS if name not in INSIDE])
def test_every_question_of_a_fit_is_answered_or_refused_in_words(name):
    """A question that only a part answers names both parts."""
    method = getattr(fit("hurdle_poisson"), name)
    if name in ANSWERED:
        assert callable(method)
        return
    with pytest.raises(ModelError, match=r"fit\.zero"):
        method(*([None] if name in ("save", "refit", "refits") else []))


def test_questions_from_outside_name_the_parts():
    ours = fit("hurdle_poisson")
    for ask in (
        lambda: mx.anova(ours, ours), lambda: mx.emmeans(ours, "YEAR"), lambda: mx.emtrends(ours, "YEAR", "cHEIGHT"),
        lambda: mx.table(ours), lambda: mx.power(ours, "cHEIGHT"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=r"fit\.count and fit\.zero"):
            ask()


def test_update_fits_both_parts_again():
    """Of the counts, of the zeros, and of both: the fit that was written anew."""
    ours, frame = fit("hurdle_poisson"), classic("grouseticks")
    ref = reference("hurdle_poisson")
    assert ours.update().criterion == ours.criterion
    smaller = ours.update("~ . - cHEIGHT")
    assert smaller.zero.criterion == ours.zero.criterion
    assert smaller.count.criterion == pytest.approx(ours.count.update("~ . - cHEIGHT").criterion, abs=1e-7)
    other = ours.update(zi="~ . + YEAR")
    anew = mx.glmer(ref["formula"], frame, "hurdle_poisson", zi=f"{ref['zi']} + YEAR")
    assert other.criterion == pytest.approx(anew.criterion, abs=1e-7)
    assert repr(other) == repr(anew)
    assert ours.update(family="hurdle_negbinomial").criterion == fit("hurdle_negbinomial").criterion
    some = ours.update(data=frame.iloc[:300])
    assert some.nobs == 300
    with pytest.raises(OptionError, match="goes with a hurdle model"):
        ours.update(family="poisson")
    with pytest.raises(OptionError, match="no argument 'REML'"):
        ours.update(REML=True)
