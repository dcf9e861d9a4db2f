"""Maximum a posteriori estimates are those of direct maximisation, and those of maximum likelihood as priors widen."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, ModelError, OptionError, SeparationWarning
from mixedfx.glmm.solve import criterion_function

NORMAL = {"intercept": mx.priors.normal(0, 5), "coef": mx.priors.normal(0, 2)}
STUDENT = {"intercept": mx.priors.cauchy(0, 10), "coef": mx.priors.student_t(4, 0.5, 1.5)}


@pytest.fixture(scope="module")
def separated():
    """Eight groups of twelve; all with t = 1 answer yes."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(8), 12)
    x, t = rng.normal(size=96), np.tile([0, 0, 0, 1], 24)
    eta = 0.4 * x + 1.2 * rng.normal(size=8)[g]
    y = np.where(t == 1, 1, rng.random(96) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "t": t, "g": g.astype(str)})


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.glmer(*args, **options)


def direct(data, log_prior):
    """Maximum a posteriori (beta, sd) with the integral over each group's effect by the trapezoidal rule.

    The step of .006 is far below the width of any factor, so that the rule is exact to rounding.
    """
    u = np.linspace(-12.0, 12.0, 4001)
    X = np.column_stack([np.ones(len(data)), data["x"], data["t"]])
    y, code = data["y"].to_numpy(), data["g"].astype(int).to_numpy()
    means = X.mean(axis=0)
    sign = np.where(y == 1, 1.0, -1.0)

    def criterion(at):
        beta, sd = at[:3], at[3]
        rows = -np.logaddexp(0.0, -sign[:, None] * ((X @ beta)[:, None] + u))
        logs = np.stack([rows[code == j].sum(axis=0) for j in range(8)]) + stats.norm.logpdf(u, scale=abs(sd))
        top = logs.max(axis=1)
        loglik = float((top + np.log(np.trapezoid(np.exp(logs - top[:, None]), u, axis=1))).sum())
        alpha = beta[0] + means[1:] @ beta[1:]
        return -2.0 * (loglik + log_prior(alpha, beta[1:])), -2.0 * loglik

    found = optimize.minimize(lambda at: criterion(at)[0], [0.0, 0.3, 2.0, 1.0], method="BFGS", options={"gtol": 1e-6})
    return found.x, criterion(found.x)[1]


@pytest.mark.parametrize(
    ("priors", "log_prior"),
    [
        (NORMAL, lambda a, b: stats.norm.logpdf(a, 0, 5) + stats.norm.logpdf(b, 0, 2).sum()),
        (STUDENT, lambda a, b: stats.cauchy.logpdf(a, 0, 10) + stats.t.logpdf(b, 4, 0.5, 1.5).sum()),
    ],
    ids=["normal", "t"],
)
def test_estimates_are_those_of_direct_maximisation(separated, priors, log_prior):
    """Quadrature with 25 nodes is exact to 1e-6 here, and BFGS by differences stops within 1e-4 of the maximum."""
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=priors, nAGQ=25)
    wanted, deviance = direct(separated, log_prior)
    np.testing.assert_allclose(fit.fixef, wanted[:3], atol=2e-4)
    assert fit.varcorr["sdcor"][0] == pytest.approx(abs(wanted[3]), abs=2e-4)
    assert fit.criterion == pytest.approx(deviance, abs=1e-3)  # the likelihood alone
    assert fit.solution.prior_deviance == pytest.approx(-2.0 * log_prior(wanted[0] + separated["x"].mean() * wanted[1]
        + separated["t"].mean() * wanted[2], wanted[1:3]), abs=1e-3)  # fmt: skip
    assert fit.converged


def test_without_random_effects_too(separated):
    X = np.column_stack([np.ones(96), separated["x"], separated["t"]])
    sign = np.where(separated["y"] == 1, 1.0, -1.0)

    def minus(beta):
        prior = stats.norm.logpdf(beta[1:], 0, 2).sum() + stats.norm.logpdf(X.mean(axis=0) @ beta, 0, 5)
        return np.logaddexp(0.0, -sign * (X @ beta)).sum() - prior

    wanted = optimize.minimize(minus, np.zeros(3), options={"gtol": 1e-7}).x
    fit = mx.glmer("y ~ x + t", separated, "bernoulli", priors=NORMAL)
    np.testing.assert_allclose(fit.fixef, wanted, atol=1e-5)


@pytest.mark.parametrize("nAGQ", [1, 7])
@pytest.mark.parametrize("priors", [NORMAL, STUDENT, "default"], ids=["normal", "t", "default"])
def test_gradient_and_second_derivatives_are_those_of_differences(separated, priors, nAGQ):
    """Five-point differences with steps of 1e-3 leave 1e-8 of the criterion; the Hessian is one of the gradient."""
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=priors, nAGQ=nAGQ)
    model, evaluate = fit.solution.model, criterion_function(nAGQ)
    psi = fit.solution.psi + np.array([0.1, -0.2, 0.15, 0.1])
    at = evaluate(model, psi, None, False, 1e-20)
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}

    def differences(of, h=1e-3):
        return np.array(
            [sum(w * of(psi + k * h * e) for k, w in weights.items()) / h for e in np.eye(len(psi))]
        )  # fmt: skip

    slopes = differences(lambda x: evaluate(model, x, None, False, 1e-20).criterion)
    np.testing.assert_allclose(at.gradient, slopes, atol=2e-7)
    if nAGQ == 1:
        second = differences(lambda x: evaluate(model, x, None, False, 1e-20).gradient)
        np.testing.assert_allclose(at.curvature, second, atol=1e-5)


@pytest.mark.parametrize("nAGQ", [1, 9])
def test_wide_priors_are_maximum_likelihood(separated, nAGQ):
    """With scales of 1e6 the prior's slope is 1e-11 of that of the likelihood."""
    wide = {"intercept": mx.priors.normal(0, 1e6), "coef": mx.priors.normal(0, 1e6)}
    kept = separated[separated["t"] == 0]
    fit, plain = (mx.glmer("y ~ x + (1 | g)", kept, "bernoulli", priors=p, nAGQ=nAGQ) for p in (wide, None))
    np.testing.assert_allclose(fit.fixef, plain.fixef, atol=1e-5)
    np.testing.assert_allclose(fit.vcov, plain.vcov, rtol=1e-3)
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-6)


def test_flat_priors_are_none(separated):
    flat = {"intercept": mx.priors.flat(), "coef": mx.priors.flat()}
    kept = separated[separated["t"] == 0]
    fit = mx.glmer("y ~ x + (1 | g)", kept, "bernoulli", priors=flat)
    assert fit.solution.model.prior is None
    assert fit.aic == mx.glmer("y ~ x + (1 | g)", kept, "bernoulli").aic


def test_the_default_is_that_of_bayes(separated):
    """Coefficients: 2.5 over the standard deviation of the predictor, on the log odds."""
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors="default")
    scales = [prior.scale for prior in fit.solution.model.prior.priors]
    np.testing.assert_allclose(scales, [2.5, 2.5 / separated["x"].std(), 2.5 / separated["t"].std()])
    assert list(fit.priors["parameter"][1:]) == ["x", "t"]


def test_the_estimate_does_not_depend_on_units_or_centres(separated):
    """Autoscaled priors hold at the means and in units of the standard deviation."""
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors="default")
    moved = mx.glmer("y ~ x + t + (1 | g)", separated.assign(x=100 + 7 * separated["x"]), "bernoulli", priors="default")
    assert moved.fixef["x"] * 7 == pytest.approx(fit.fixef["x"], abs=1e-5)
    np.testing.assert_allclose(moved.fitted, fit.fitted, atol=1e-5)


def test_the_warning_gives_what_was_tried(separated):
    with pytest.warns(SeparationWarning, match=r'priors="default"\), which was tried and gives t (\S+) ') as heard:
        mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli")
    tried = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors="default")
    assert f"gives t {tried.fixef['t']:.2g} (standard error {tried.tidy()['std_error'][2]:.2g})" in str(
        heard[0].message
    )


def test_a_prior_elsewhere_leaves_the_warning(separated):
    elsewhere = {"coef": mx.priors.flat(), ("coef", "x"): mx.priors.normal(0, 1), "intercept": mx.priors.flat()}
    with pytest.warns(SeparationWarning, match="t tells"):
        mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=elsewhere)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)
        fit = mx.glmer(
            "y ~ x + t + (1 | g)", separated, "bernoulli", priors=elsewhere | {("coef", "t"): NORMAL["coef"]}
        )
    assert fit.check()["separation"].status == "ok"


def test_the_summary_says_what_was_maximised(separated):
    text = str(mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=NORMAL).summary())
    assert "fit by maximum a posteriori" in text
    words = " ".join(text.split())
    assert "t ~ normal(0, 2)" in words
    assert "-2 log L is without them" in words
    assert "AIC  " not in text


def test_comparisons_of_likelihoods_are_refused(separated):
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=NORMAL)
    small = mx.glmer("y ~ x + (1 | g)", separated, "bernoulli")
    for ask in (
        lambda: mx.anova(small, fit), fit.drop1, fit.ranova, lambda: fit.confint("profile"), lambda: fit.profile("x"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match="maximum a posteriori"):
            ask()
    assert np.isnan(fit.aic)
    assert np.isnan(fit.bic)
    assert fit.glance()[["AIC", "BIC"]].isna().all(axis=None)
    assert len(fit.anova()) == 2  # Wald's tests need no likelihood


def test_refits_keep_the_prior(separated):
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=NORMAL)
    again = fit.refit(separated["y"].to_numpy())
    np.testing.assert_allclose(again.fixef, fit.fixef, atol=1e-6)
    assert again.solution.model.prior is fit.solution.model.prior
    assert fit.update(priors=None, formula=". ~ . - t").solution.model.prior is None
    found = fit.influence(by="g", refit=True).table
    assert np.isfinite(found.select_dtypes("number")).all(axis=None)


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ("rstanarm", "neither 'default' nor a mapping"),
        ({"sd": mx.priors.half_normal(1)}, "'sd'"),
        ({"coef": mx.priors.horseshoe()}, "cannot have"),
        ({("coef", "nothing"): mx.priors.normal(0, 1)}, "no coefficient 'nothing'"),
        ({"coef": mx.priors.half_normal(1)}, "'coef'"),
        ({3: mx.priors.normal(0, 1)}, "key 3"),
    ],
)
def test_other_priors_are_refused(separated, priors, words):
    with pytest.raises(OptionError, match=words):
        mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=priors)


@pytest.mark.parametrize(
    ("family", "text"), [("poisson", "y ~ t + (1 | g)"), ("binomial", "y | trials(m) ~ t + (1 | g)")]
)
def test_effects_of_separated_columns_are_finite(separated, family, text):
    """With zeros only at t = 1 the mean is lower there, and the interval of the difference is finite by the prior."""
    data = separated.assign(y=np.where(separated["t"] == 1, 0, separated["y"]), m=2)
    fit = quiet(text, data, family, priors="default")
    table = mx.effects(fit, "t").table
    assert np.isfinite(table[["estimate", "lower", "upper"]]).all(axis=None)
    assert table["estimate"][0] < -0.1


def test_scales_of_the_prior_follow_the_triangle(separated):
    """The same prior of beta whatever columns the engine uses."""
    fit = mx.glmer("y ~ x + t + (1 | g)", separated, "bernoulli", priors=NORMAL)
    prior, model = fit.solution.model.prior, fit.solution.model
    b = prior.placed(model.problem.R) @ (model.problem.R @ fit.fixef.to_numpy())
    alpha = fit.fixef["Intercept"] + separated["x"].mean() * fit.fixef["x"] + separated["t"].mean() * fit.fixef["t"]
    np.testing.assert_allclose(b, [alpha, fit.fixef["x"], fit.fixef["t"]])
    assert replace(prior, names=()).names == ()
