"""Refits: to other responses, warm and cold alike; the bootstrap; updates."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, MixedfxWarning, OptionError
from tests.glmm.data import FAMILIES, classic, formula, simulated

CBPP = "incidence | trials(size) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def cbpp():
    return mx.glmer(CBPP, classic("cbpp"), "binomial")


@pytest.mark.parametrize(("name", "link"), FAMILIES)
def test_a_refit_is_the_fit_of_the_new_response(name, link):
    """Warm or cold, the minimum is the same: criteria to 1e-6."""
    data = simulated(name, link)
    text = formula(name, "intercept")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer(text, data, name, link)
        y = fit.simulate(1, seed=3).iloc[:, 0]
        column = y.to_numpy().astype(data["y"].dtype)  # categories are simulated as text, and the data have numbers
        cold = mx.glmer(text, data.assign(y=column), name, link)
        found = fit.refit(y)
    assert found.criterion == pytest.approx(cold.criterion, abs=1e-6)
    np.testing.assert_allclose(found.fixef, cold.fixef, atol=2e-3 * np.sqrt(np.diag(cold.vcov)).min())
    assert fit.refit(fit.design.y).criterion == pytest.approx(fit.criterion, abs=1e-7)


MOODS = ("sad", "calm", "happy", "wild")


@pytest.mark.parametrize("kind", ["numbers from 3 on", "text", "ordered column", "integers"])
def test_responses_that_are_categories_are_given_as_the_data_have_them(kind):
    """As in the data, as `simulate` has them, and as text: the same fit."""
    data = simulated("cumulative", "logit")
    codes, text = data["y"].astype(int), "y ~ x + (1 | g)"
    y = {
        "numbers from 3 on": codes + 3.0, "integers": codes, "text": codes.map(dict(enumerate(MOODS))),
        "ordered column": pd.Series(pd.Categorical.from_codes(codes, MOODS, ordered=True)),
    }[kind]  # fmt: skip
    if kind == "text":
        text = f"C(y, levels={list(MOODS)}) ~ x + (1 | g)"
    fit = mx.glmer(text, data.assign(y=y), "cumulative")
    assert fit.refit(y).criterion == pytest.approx(fit.criterion, abs=1e-7)
    assert fit.refit(y.to_numpy()).criterion == pytest.approx(fit.criterion, abs=1e-7)
    Y = fit.simulate(3, seed=1)
    found, alone = fit.refits(Y), fit.refit(Y[1])
    assert found.converged.all()
    assert found.criterion[1] == pytest.approx(alone.criterion, abs=1e-8)
    wrong = pd.Series(y.astype(object))
    wrong[7] = "furious"
    with pytest.raises(DataError, match="'furious' in row 7"):
        fit.refit(wrong)
    wrong[7] = None
    with pytest.raises(DataError, match="missing in row 7"):
        fit.refit(wrong)
    with pytest.raises(DataError, match="10 rows, the fit used 300"):
        fit.refit(y.to_numpy()[:10])
    if kind == "numbers from 3 on":  # codes could be mistaken for categories
        with pytest.raises(DataError, match="categories of 'y' are '3', '4', '5'"):
            fit.refit(fit.design.y)
    else:
        assert fit.refit(fit.design.y).criterion == pytest.approx(fit.criterion, abs=1e-7)


def test_two_categories_are_labels_or_zeros_and_ones():
    data = simulated("bernoulli", "logit")
    labelled = data.assign(y=np.where(data["y"] == 1, "yes", "no"))
    fit = mx.glmer("y ~ x + (1 | g)", labelled, "bernoulli")
    for y in (labelled["y"], data["y"], fit.design.y):
        assert fit.refit(y).criterion == pytest.approx(fit.criterion, abs=1e-7)
    assert fit.refits(fit.simulate(2, seed=1)).converged.all()


def test_many_responses_are_many_refits(cbpp):
    """Together and by itself a fit stops within 1e-8 of the minimum: estimates agree to 1e-4 standard errors."""
    Y = cbpp.simulate(5, seed=2)
    found = cbpp.refits(Y)
    assert len(found) == 5
    for b in range(5):
        one = cbpp.refit(Y.iloc[:, b])
        assert found.criterion[b] == pytest.approx(one.criterion, abs=2e-8)
        np.testing.assert_allclose(found.beta[b], one.fixef, atol=1e-4 * one.tidy()["std_error"].min())
        np.testing.assert_allclose(found.theta[b], one.theta, atol=1e-4)
    assert list(found.to_frame().columns[:4]) == list(cbpp.fixef.index)


def test_a_variance_at_zero_is_left_again(cbpp):
    """Zero is stationary: a refit that started there would stay."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        flat = mx.glmer("y ~ 1 + (1 | g)", _flat(), "poisson")
    assert flat.singular
    rng = np.random.default_rng(5)
    y = rng.poisson(np.exp(0.5 + rng.normal(size=20))[np.repeat(np.arange(20), 10)])
    assert flat.refit(y.astype(float)).varcorr["sdcor"].item() > 0.5


def _flat():
    return pd.DataFrame({"g": np.repeat(np.arange(20), 10).astype(str), "y": np.tile([1.0, 2.0, 3.0, 2.0, 2.0], 40)})


def test_impossible_responses_are_refused_by_row(cbpp):
    y = cbpp.design.y.copy()
    y[3] = classic("cbpp")["size"].iloc[3] + 1
    with pytest.raises(DataError, match="row 3"):
        cbpp.refit(y)
    with pytest.raises(DataError, match="55 rows, the fit used 56"):
        cbpp.refit(y[:-1])
    with pytest.raises(DataError, match="one response"):
        cbpp.refit(np.column_stack([cbpp.design.y] * 2))


def test_a_response_in_pandas_goes_by_its_index(cbpp):
    y = cbpp.simulate(1, seed=2).iloc[:, 0]
    assert cbpp.refit(y.sample(frac=1, random_state=1)).criterion == cbpp.refit(y).criterion


def test_update_changes_what_it_is_asked_to(cbpp):
    assert list(cbpp.update(". ~ . - period").fixef.index) == ["Intercept"]
    assert cbpp.update(link="probit").criterion == pytest.approx(185.166675, abs=1e-6)  # glmmTMB's
    assert cbpp.update(nAGQ=25).criterion == pytest.approx(183.96674, abs=1e-5)  # the published value
    with pytest.raises(OptionError, match="no argument 'REML'"):
        cbpp.update(REML=True)


# --- the bootstrap ---------------------------------------------------------------------------------------------------


def test_a_bootstrap_is_simulation_and_refits(cbpp):
    found = cbpp.bootstrap(30, seed=4)
    assert [p.label for p in found.parameters] == ["sd__Intercept|herd", *cbpp.fixef.index]
    again = cbpp.bootstrap(30, statistic=lambda f: f.fixef, seed=4)  # one by one: 1e-4 standard errors apart
    np.testing.assert_allclose(found.values[:, 1:], again.values, atol=1e-4)
    by_name = cbpp.bootstrap(30, statistic="sd__Intercept|herd", seed=4)
    np.testing.assert_allclose(found.values[:, 0], by_name.values[:, 0])
    assert found.estimate == pytest.approx([0.6423, *cbpp.fixef], abs=1e-4)


def test_a_bootstrap_does_not_depend_on_processes(cbpp):
    one, two = (cbpp.bootstrap(24, seed=4, n_jobs=jobs).values for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_bootstrap_standard_errors_are_near_the_models(cbpp):
    """600 replicates know a standard deviation to 3 %; in 15 herds the model's are some 5 % too small."""
    found = cbpp.bootstrap(600, seed=1, statistic="fixed").tidy()
    np.testing.assert_allclose(found["std_error"], np.sqrt(np.diag(cbpp.vcov)), rtol=0.17)


def test_the_shape_is_a_parameter_of_the_bootstrap():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer("y ~ x + (1 | g)", simulated("gamma", "log"), "gamma")
        found = fit.bootstrap(20, seed=1)
    assert "shape" in found.replicates
    # 300 rows of shape 4: its standard error is about .33
    assert found.replicates["shape"].mean() == pytest.approx(fit.auxiliary["shape"], abs=0.4)


def test_keeping_the_groups_narrows_the_spread_of_the_intercept():
    fit = mx.glmer("TICKS ~ cHEIGHT + (1 | BROOD)", classic("grouseticks"), "poisson")
    new, kept = (fit.bootstrap(40, use_u=u, seed=1, statistic="Intercept").values.std() for u in (False, True))
    assert kept < 0.6 * new


def test_bootstrap_refuses_what_it_has_not(cbpp):
    with pytest.raises(OptionError, match="n=1"):
        cbpp.bootstrap(1)
    with pytest.raises(OptionError, match="is not a parameter"):
        cbpp.bootstrap(5, statistic="shape")
    with pytest.raises(TypeError):
        cbpp.bootstrap(5, "cluster")
