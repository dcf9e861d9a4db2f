"""Prior predictive draws before there are data: the response is not needed where no prior is in its units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors as P
from mixedfx.errors import DataError, MixedfxError, ModelError, OptionError

PLAN = pd.DataFrame({"school": np.repeat([f"s{i}" for i in range(12)], 10), "z": np.tile([0, 1], 60), "m": 5})
UNITS = {"intercept": P.normal(2, 1), "coef": P.normal(0, 0.5), "sd": P.half_normal(0.5)}
FORMULA = "score ~ z + (1 + z | school)"
# Family -> a response it may have, its own priors, and the left side.
FAMILIES = {
    "gaussian": ([48.0, 51.0, 60.0], {"sigma": P.exponential(0.1)}),
    "bernoulli": ([0.0, 1.0, 1.0], {}),
    "binomial": ([0.0, 3.0, 5.0], {}),
    "poisson": ([0.0, 3.0, 9.0], {}),
    "negbinomial": ([0.0, 3.0, 9.0], {"shape": P.gamma(2, 0.5)}),
    "gamma": ([0.5, 3.0, 9.0], {"shape": P.gamma(2, 0.5)}),
    "beta": ([0.1, 0.5, 0.9], {"phi": P.gamma(2, 0.5)}),
}
ABSENT = {
    "no column": lambda data: data.drop(columns="score"),
    "missing in all rows": lambda data: data.assign(score=np.nan),
    "the same in all rows": lambda data: data.assign(score=data["score"].iloc[0]),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_are_those_that_any_response_has(family):
    """With priors in units nothing is taken from the response, so the draws of one seed are the same without it."""
    values, own = FAMILIES[family]
    data = PLAN.assign(score=np.resize(values, len(PLAN)))
    formula = FORMULA.replace("score", "score | trials(m)") if family == "binomial" else FORMULA
    asked = {"priors": UNITS | own, "draws": 200, "seed": 1, "family": family}
    with_response = mx.prior_predictive(formula, data, **asked)
    for absent in (ABSENT["no column"], ABSENT["missing in all rows"]):
        without = mx.prior_predictive(formula, absent(data), **asked)
        np.testing.assert_array_equal(without.simulate(n=20, seed=3), with_response.simulate(n=20, seed=3))
        ours, theirs = mx.effects(without, "z"), mx.effects(with_response, "z")
        pd.testing.assert_frame_equal(ours.table, theirs.table)
        assert np.isnan(without.design.y).all()
        assert without.design.response_name == "score"


@pytest.mark.parametrize("absent", ABSENT)
def test_priors_in_units_of_a_response_that_is_not_there_are_refused_by_name(absent):
    data = ABSENT[absent](PLAN.assign(score=np.arange(120.0)))
    with pytest.raises(OptionError, match=r"no response 'score'.* need units of their own: Intercept, .*sigma"):
        mx.prior_predictive(FORMULA, data, seed=1)
    one = UNITS | {"sigma": P.exponential(0.1, autoscale=True)}
    with pytest.raises(OptionError, match=r"need units of their own: sigma\n"):
        mx.prior_predictive(FORMULA, data, priors=one, seed=1)
    assert mx.prior_predictive(FORMULA, data, priors=UNITS | {"sigma": P.exponential(0.1)}, draws=10).n_draws == 10


def test_what_asks_the_response_is_refused_or_unknown():
    fit = mx.prior_predictive(FORMULA, PLAN, priors=UNITS | {"sigma": P.exponential(0.1)}, draws=50, seed=1)
    with pytest.raises(ModelError, match="no response to hold draws against"):
        fit.ppc()
    assert fit.residuals().isna().all()


def test_categories_and_misspelt_columns_of_a_formula_are_still_errors():
    for family in ("cumulative", "categorical"):
        with pytest.raises(DataError, match="no column 'score'"):
            mx.prior_predictive("score ~ z", PLAN, family=family)
    with pytest.raises(MixedfxError, match="no column 'scool'"):
        mx.prior_predictive("score ~ z + (1 | scool)", PLAN, priors=UNITS)
