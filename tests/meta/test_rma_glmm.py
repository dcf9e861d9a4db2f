"""Meta-analysis of counts against metafor's rma.glmm, and the exact conditional likelihood against brute force."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, OptionError
from mixedfx.meta.counts.hypergeometric import Tables, log_likelihood, maximum, of_each

FOUND = json.loads((Path(__file__).parent.parent / "reference" / "meta" / "glmm.json").read_text())
FITS = FOUND["fits"]
DATA = {name: pd.DataFrame(rows) for name, rows in FOUND["data"].items()}
COLUMNS = {
    "bcg": ("OR", {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}),
    "nielweise2007": ("OR", {"ai": "ai", "n1i": "n1i", "ci": "ci", "n2i": "n2i"}),
    "nielweise2008": ("IRR", {"x1i": "x1i", "t1i": "t1i", "x2i": "x2i", "t2i": "t2i"}),
}
SINGLE = {
    "nielweise2007": ("PLO", {"xi": "ci", "ni": "n2i"}),
    "nielweise2008": ("IRLN", {"xi": "x1i", "ti": "t1i"}),
}


def fitted(key, **options):
    name, model, *more = key.split()
    measure, columns = SINGLE[name] if model == "proportion" else COLUMNS[name]
    return mx.rma_glmm(
        measure, DATA[name], "~ ablat" if "ablat" in more else "~ 1", None if model == "proportion" else model,
        test="t" if "t" in more else "z", **columns, **options,
    )  # fmt: skip


@pytest.mark.parametrize("key", FITS)
def test_estimates_are_metafors(key):
    """lme4 stops within 1e-3 relative of the maximum, and its standard errors of UM.RS are numerical differences."""
    fit, wanted = fitted(key), FITS[key]
    assert fit.k == wanted["k"][0]
    np.testing.assert_allclose(fit.beta, wanted["beta"], rtol=1e-3)
    np.testing.assert_allclose(fit.se, wanted["se"], rtol=0.015 if "UM.RS" in key else 1e-3)
    assert fit.tau2 == pytest.approx(wanted["tau2"][0], rel=2e-3, abs=1e-6)
    if "UM.RS" in key:
        assert fit.sigma2 == pytest.approx(wanted["sigma2"][0], rel=1e-3)
        assert fit.loglik == pytest.approx(wanted["loglik"][0], abs=1e-3)
        assert fit.loglik >= wanted["loglik"][0] - 1e-6  # with one node both leave nothing out
    else:
        low, high = fit.tidy()[["conf_low", "conf_high"]].to_numpy().T
        np.testing.assert_allclose(low, wanted["low"], rtol=2e-3)
        np.testing.assert_allclose(high, wanted["high"], rtol=2e-3)
    assert fit.i2 == pytest.approx(wanted["I2"][0], abs=0.03)
    assert fit.h2 == pytest.approx(wanted["H2"][0], rel=2e-3)
    lrt, wald = fit.heterogeneity.itertuples(index=False)
    # infinite effects of the saturated model stop somewhere in lme4: .0012 of the likelihood ratio
    assert lrt.statistic == pytest.approx(wanted["QE_lrt"][0], abs=2e-3)
    assert (lrt.df, wald.df) == (wanted["QE_df"][0],) * 2 or "UM.RS" in key or wald.df < lrt.df
    # Wald's takes the standard errors of the saturated fit, which lme4 has by differences under UM.RS
    assert wald.statistic == pytest.approx(wanted["QE_wald"][0], rel=0.02 if "UM.RS" in key else 1e-4)


def brute(tables, X, beta, tau):
    """Log likelihood by SciPy's noncentral hypergeometric distribution and adaptive quadrature over the effect."""
    total = 0.0
    for i, mean in enumerate(X @ beta):
        a, n1, n2, m = (int(one[i]) for one in (tables.a, tables.n1, tables.n2, tables.m))

        def probability(theta, a=a, n1=n1, n2=n2, m=m):
            return stats.nchypergeom_fisher.pmf(a, n1 + n2, n1, m, np.exp(theta))

        if tau == 0:
            total += np.log(probability(mean))
            continue
        edges = mean + tau * np.array([-9, -3, -1, 0, 1, 3, 9])
        f = lambda t, mean=mean, p=probability: p(t) * stats.norm.pdf(t, mean, tau)  # noqa: E731
        total += np.log(sum(integrate.quad(f, *ends, epsabs=0, epsrel=1e-9)[0] for ends in pairwise(edges)))
    return total


def some_tables(seed, k=5):
    rng = np.random.default_rng(seed)
    n1, n2 = rng.integers(3, 40, (2, k))
    odds = np.exp(rng.normal(-1, 1, k))
    effect = np.exp(rng.normal(-0.5, 1.0, k))
    a = rng.binomial(n1, odds * effect / (1 + odds * effect))
    c = rng.binomial(n2, odds / (1 + odds))
    return Tables(*(np.asarray(x, dtype=float) for x in (a, n1, n2, a + c))), rng


@settings(max_examples=4, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_exact_conditional_likelihood_is_that_of_brute_force(seed):
    tables, rng = some_tables(seed)
    X = np.column_stack([np.ones(5), rng.normal(size=5)])
    beta, tau = rng.normal(0, 0.7, 2), float(rng.choice([0.0, 0.2, 0.9]))
    value, _, _ = log_likelihood(tables, X, np.append(beta, tau))
    assert value == pytest.approx(brute(tables, X, beta, tau), abs=1e-7)


def test_its_gradient_and_second_derivatives_are_those_of_differences():
    tables, rng = some_tables(4, 8)
    X = np.column_stack([np.ones(8), rng.normal(size=8)])
    at = np.array([-0.3, 0.2, 0.7])
    _, gradient, second = log_likelihood(tables, X, at)
    h = 1e-4
    for j, e in enumerate(np.eye(3) * h):
        up, down = log_likelihood(tables, X, at + e), log_likelihood(tables, X, at - e)
        assert gradient[j] == pytest.approx((up[0] - down[0]) / (2 * h), abs=1e-6)
        np.testing.assert_allclose(second[j], (up[1] - down[1]) / (2 * h), atol=1e-5)


def on_a_grid(tables, mean, tau):
    """Log likelihood by binomial coefficients and 801 even points of the effect, exact for tau that are not small."""
    total = 0.0
    theta = mean + tau * np.linspace(-9, 9, 801)
    for a, n1, n2, m in zip(*(one.astype(int) for one in (tables.a, tables.n1, tables.n2, tables.m)), strict=True):
        j = np.arange(max(0, m - n2), min(n1, m) + 1)
        terms = special.comb(n1, j) * special.comb(n2, m - j) * np.exp(np.multiply.outer(theta, j))
        p = terms[:, j == a][:, 0] / terms.sum(axis=1)
        total += np.log(np.trapezoid(p * stats.norm.pdf(theta, mean, tau), theta))
    return total


def test_the_exact_conditional_maximum_is_that_of_an_optimiser_of_brute_force():
    """Climbed by Nelder and Mead; standard errors by differences."""
    tables, _ = some_tables(3, 9)
    target = lambda d: -on_a_grid(tables, d[0], abs(d[1]))  # noqa: E731
    by_hand = optimize.minimize(target, [-0.5, 0.8], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-11})
    found = maximum(tables, np.ones((9, 1)))
    assert found.converged
    assert found.tau > 0.3
    assert -by_hand.fun == pytest.approx(found.loglik, abs=1e-8)
    np.testing.assert_allclose([found.beta[0], found.tau], np.abs(by_hand.x) * [np.sign(by_hand.x[0]), 1], atol=1e-5)
    h, at = 1e-3, np.append(found.beta, found.tau)
    H = np.empty((2, 2))
    for i, e in enumerate(h * np.eye(2)):
        for j, f in enumerate(h * np.eye(2)):
            rise = target(at + e + f) - target(at + e - f) - target(at - e + f) + target(at - e - f)
            H[i, j] = rise / (4 * h * h)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(H), rtol=1e-4)


def test_no_heterogeneity_is_found_where_there_is_none():
    """Tables all alike: the likelihood falls with tau, and the standard error is that of equal effects."""
    tables = Tables(*(np.full(6, float(x)) for x in (5, 40, 40, 15)))
    found, equal = maximum(tables, np.ones((6, 1))), maximum(tables, np.ones((6, 1)), random=False)
    assert found.tau == 0
    assert found.loglik == equal.loglik
    assert found.loglik > on_a_grid(tables, found.beta[0], 0.2)
    theta, variance, _ = of_each(tables)
    assert found.beta[0] == pytest.approx(theta[0], abs=1e-7)
    assert found.covariance[0, 0] == pytest.approx(variance[0] / 6, rel=1e-6)


def test_conditional_estimates_of_single_tables():
    """Score zero where a lies within its range; infinite at its ends."""
    tables = Tables(*(np.array(x, dtype=float) for x in ([3, 0, 4], [10, 8, 4], [12, 9, 9], [8, 3, 6])))
    theta, variance, logs = of_each(tables)
    assert stats.nchypergeom_fisher.mean(22, 10, 8, np.exp(theta[0])) == pytest.approx(3, abs=1e-8)
    assert variance[0] == pytest.approx(1 / stats.nchypergeom_fisher.var(22, 10, 8, np.exp(theta[0])), rel=1e-7)
    assert theta[1] == -np.inf
    assert theta[2] == np.inf
    assert (logs[1:] == 0).all()


def test_exact_and_approximate_conditional_models_agree_where_events_are_rare():
    rng = np.random.default_rng(2)
    k = 12
    n1, n2 = rng.integers(4000, 9000, (2, k))
    rate, effect = np.exp(rng.normal(-6, 0.3, k)), np.exp(rng.normal(-0.6, 0.4, k))
    data = pd.DataFrame({"ai": rng.binomial(n1, rate * effect), "n1i": n1, "ci": rng.binomial(n2, rate), "n2i": n2})
    columns = {name: name for name in data}
    exact, approximate = (mx.rma_glmm("OR", data, model=m, **columns) for m in ("CM.EL", "CM.AL"))
    assert exact.beta[0] == pytest.approx(approximate.beta[0], abs=0.005)
    assert exact.tau2 == pytest.approx(approximate.tau2, abs=0.01)
    assert exact.loglik == pytest.approx(approximate.loglik, abs=0.1)


def test_bcg_by_the_exact_conditional_likelihood():
    """The standard error of tau2, moderators, predictions, the page."""
    measure, columns = COLUMNS["bcg"]
    fit = mx.rma_glmm(measure, DATA["bcg"], "~ ablat", "CM.EL", **columns)
    plain = mx.rma_glmm(measure, DATA["bcg"], model="CM.EL", **columns)
    # of large studies the unconditional model differs little
    assert plain.beta[0] == pytest.approx(FITS["bcg UM.FS"]["beta"][0], abs=0.02)
    assert 0.05 < plain.se_tau2 < 0.25
    assert fit.loglik > plain.loglik + 5
    assert fit.QM_p_value < 1e-6
    assert fit.tau2 < plain.tau2
    at = fit.predict(pd.DataFrame({"ablat": [13, 55]}), transf="exp")
    by_hand = np.exp(fit.beta[0] + fit.beta[1] * np.array([13, 55]))
    np.testing.assert_allclose(at["estimate"], by_hand, rtol=1e-12)
    mean = plain.predict()
    half = stats.norm.ppf(0.975) * np.sqrt(plain.covariance[0, 0] + plain.tau2)
    assert mean.loc[0, "pred_high"] == pytest.approx(plain.beta[0] + half, rel=1e-12)
    text = str(fit.summary())
    for words in ("conditional on the events of both groups, exact likelihood", "Tests of heterogeneity", "ablat"):
        assert words in text


def test_more_nodes_and_a_correlation_of_levels_and_effects():
    measure, columns = COLUMNS["bcg"]
    plain = mx.rma_glmm(measure, DATA["bcg"], model="UM.RS", **columns)
    seven = mx.rma_glmm(measure, DATA["bcg"], model="UM.RS", nAGQ=7, **columns)
    both = mx.rma_glmm(measure, DATA["bcg"], model="UM.RS", cor=True, **columns)
    assert seven.loglik == pytest.approx(plain.loglik, abs=0.5)
    assert seven.loglik != plain.loglik
    assert both.loglik >= plain.loglik
    assert -1 <= both.found.rho <= 1
    assert "rho" in str(both.summary())


def test_studies_without_events_say_nothing_of_a_ratio():
    measure, columns = COLUMNS["nielweise2007"]
    data = DATA["nielweise2007"]
    silent = ((data["ai"] == 0) & (data["ci"] == 0)).sum()
    assert silent > 0
    kept = mx.rma_glmm(measure, data, model="UM.FS", **columns)
    assert kept.k == len(data) - silent
    assert f"{silent} {'study' if silent == 1 else 'studies'} without events" in str(kept.summary())
    every = mx.rma_glmm(measure, data, model="UM.RS", drop00=False, **columns)
    assert every.k == len(data)
    assert mx.rma_glmm(measure, data, model="CM.AL", drop00=False, **columns).k == kept.k


REFUSED = {
    "measure": (OptionError, "measure", {"measure": "RR"}),
    "model of another measure": (OptionError, "IRR has no model 'CM.AL'", {"measure": "IRR", "model": "CM.AL"}),
    "a model of one group": (OptionError, "single groups", {"measure": "PLO", "model": "UM.FS"}),
    "nodes": (OptionError, "nAGQ=0", {"nAGQ": 0}),
    "columns": (OptionError, "no column 'x1i'", {"x1i": [1, 2, 3]}),
    "counts": (DataError, "row 1", {"ai": [1, 50, 2]}),
    "one study": (ModelError, "1 studies say something", {"ci": [4, 0, 0], "ai": [1, 0, 0]}),
    "no events in a group": (ModelError, "no events in any study", {"ai": [0, 0, 0]}),
    "random terms": (ModelError, "random", {"formula": "~ 1 + (1 | g)"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused(what):
    error, words, change = REFUSED[what]
    given = {"measure": "OR", "ai": [1, 2, 3], "n1i": [20, 30, 25], "ci": [4, 3, 2], "n2i": [21, 30, 26]} | change
    if given["measure"] == "IRR":
        given = {"measure": "IRR", "model": "CM.AL", "x1i": [1, 2], "x2i": [2, 3], "t1i": [9, 8], "t2i": [9, 8]}
    elif given["measure"] == "PLO":
        given = {"measure": "PLO", "model": "UM.FS", "xi": [1, 2], "ni": [9, 8]}
    data = pd.DataFrame({"g": list("aab")}) if "formula" in given else None
    with pytest.raises(error, match=words):
        mx.rma_glmm(data=data, **given)
