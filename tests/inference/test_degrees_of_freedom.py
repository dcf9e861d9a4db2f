"""Degrees of freedom are one registry: every entry keeps the contract, and every question knows all of them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.errors import OptionError
from mixedfx.inference.degrees_of_freedom import DDF, Ddf, DegreesOfFreedom, find_ddf
from mixedfx.inference.hypotheses import Constant
from mixedfx.inference.satterthwaite import satterthwaite

SOME = "style[Some Flipped]"

QUESTIONS = {
    "tidy": lambda fit, ddf: fit.tidy(ddf=ddf),
    "tidy of standard deviations": lambda fit, ddf: fit.tidy("ran_pars", ddf=ddf),
    "tidy of modes": lambda fit, ddf: fit.tidy("ran_vals", ddf=ddf),
    "test": lambda fit, ddf: fit.test(SOME, ddf=ddf),
    "test of rows": lambda fit, ddf: fit.test(SOME, joint=False, ddf=ddf),
    "anova": lambda fit, ddf: fit.anova(ddf=ddf),
    "drop1": lambda fit, ddf: fit.drop1(ddf=ddf),
    "summary": lambda fit, ddf: fit.summary(ddf=ddf).text(),
    "confint": lambda fit, ddf: fit.confint(ddf=ddf),
    "reference": lambda fit, ddf: fit.reference(ddf),
    "emmeans": lambda fit, ddf: mx.emmeans(fit, "style", ddf=ddf).table,
    "emtrends": lambda fit, ddf: mx.emtrends(fit, "x", ddf=ddf).table,
    "table": lambda fit, ddf: mx.table(fit, ddf=ddf, show="ci"),
    "power": lambda fit, ddf: mx.power(fit, {SOME: -3.0}, ddf=ddf, n_sim=3, seed=1),
}
REFUSING = QUESTIONS | {
    "drop1 by likelihood": lambda fit, ddf: fit.drop1("chisq", ddf=ddf),
    "profile": lambda fit, ddf: fit.confint("profile", ddf=ddf),
    "bootstrap": lambda fit, ddf: fit.confint("boot", n=3, ddf=ddf),
    "a covariance": lambda fit, ddf: fit.tidy(ddf=ddf, vcov=np.eye(4)),
    "table of standard errors": lambda fit, ddf: mx.table(fit, ddf=ddf),
}


def course():
    data = mx.datasets.load("flipped_classroom", plan="crossed")
    return data.assign(x=np.random.default_rng(1).normal(size=len(data)))


@pytest.fixture(scope="module")
def fit():
    return mx.lmer("score ~ style + x + (1 | professor)", course())


@pytest.fixture(scope="module")
def plain():
    return mx.lmer("score ~ style + x", course())


def test_the_type_that_editors_read_lists_the_registry():
    assert get_args(Ddf) == tuple(DDF)


def test_the_number_that_serves_for_everything_or_none():
    assert {name: entry.number(7.0) for name, entry in DDF.items() if entry.constant} == {
        "residual": 7,
        "normal": np.inf,
    }
    assert np.isnan([find_ddf(None, unknown=True).number(7.0), find_ddf("satterthwaite").number(7.0)]).all()


@pytest.mark.parametrize("name", DDF)
def test_an_entry_says_what_it_is(name, fit):
    entry = DDF[name]
    assert entry.words
    assert entry.tests
    assert (entry.of_contrasts is None) != (entry.constant is None)
    assert entry.tests in fit.summary(ddf=name).text()
    assert f"Degrees of freedom: {entry.words}." in str(mx.table(fit, ddf=name, show="ci"))
    assert entry.words in mx.emmeans(fit, "style", ddf=name).content().text()


@pytest.mark.parametrize("name", DDF)
def test_a_reference_is_a_covariance_with_degrees_of_freedom(name, fit):
    reference, p = fit.reference(name), len(fit.fixef)
    assert reference.vcov.shape == (p, p)
    np.testing.assert_allclose(reference.vcov, reference.vcov.T, rtol=1e-12)
    assert (reference.t_df(np.eye(p)) > 0).all()
    L = np.eye(p)[1:3]
    F, num, den = reference.f_test(L, L @ fit.solution.beta)
    assert F > 0
    assert num == 2
    assert den > 0
    size = np.sqrt(np.diag(fit.solution.vcov))
    own = (
        np.abs((reference.vcov - fit.solution.vcov) / np.outer(size, size)).max() > 1e-5
    )  # a last Newton step of theta is 4e-7
    assert own == DDF[name].own_covariance


@pytest.mark.parametrize("name", DDF)
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_knows_every_entry(name, question, fit):
    QUESTIONS[question](fit, name)


@pytest.mark.parametrize("question", REFUSING)
@pytest.mark.parametrize("ddf", ["kr", 7, ["normal"]], ids=str)
def test_every_question_refuses_an_unknown_name_and_lists_those_there_are(question, ddf, fit):
    with pytest.raises(OptionError, match="is not known") as caught:
        REFUSING[question](fit, ddf)
    assert all(repr(name) in str(caught.value) for name in DDF)


@pytest.mark.parametrize("name", DDF)
def test_without_random_terms_all_that_depend_on_contrasts_are_n_less_p(name, plain):
    expected = DDF[name].number(371.0) if DDF[name].of_contrasts is None else 371.0
    assert set(plain.tidy(ddf=name)["df"]) == {expected}


@pytest.mark.parametrize("name", DDF)
def test_after_maximum_likelihood_those_defined_for_reml_are_refused(name, fit):
    ml = fit.update(REML=False)
    for question in ("tidy", "test", "anova", "emmeans", "power"):
        if DDF[name].reml_only:
            with pytest.raises(OptionError, match=r"update\(REML=True\)"):
                QUESTIONS[question](ml, name)
        else:
            QUESTIONS[question](ml, name)


@pytest.mark.parametrize("name", DDF)
def test_beside_a_covariance_that_is_given_an_entry_serves_or_says_why_not(name, fit):
    entry, robust = DDF[name], fit.vcov_robust()
    if entry.own_covariance:
        with pytest.raises(OptionError, match="brings its own covariance"):
            fit.tidy(ddf=name, vcov=robust)
    else:
        assert fit.tidy(ddf=name, vcov=robust)["df"].notna().all()
    if entry.of_contrasts is not None:
        with pytest.raises(OptionError, match="covariance"):
            fit.tidy(ddf=name, vcov=np.eye(4))


def sevens(problem, par, design):
    """Seven for everything, by the covariance of the fit."""
    return Constant(satterthwaite(problem, par).vcov, 7.0)


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_entry_brings_degrees_of_freedom_to_every_question(question, fit, monkeypatch):
    monkeypatch.setitem(DDF, "seven", DegreesOfFreedom("seven", "seven degrees of freedom", sevens))
    fresh = fit.update()
    QUESTIONS[question](fresh, "seven")
    assert set(fresh.tidy(ddf="seven")["df"]) == {7.0}
