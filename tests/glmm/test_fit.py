"""The verbs of a fit: what they say agrees with each other and with brute force."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

import mixedfx as mx
from mixedfx.errors import (
    DataError,
    FewLevelsWarning,
    FormulaError,
    IdentifiabilityWarning,
    MixedfxWarning,
    ModelError,
    NoOverdispersionWarning,
    OptionError,
)
from mixedfx.glmm.evaluation import evaluate
from mixedfx.results.protocol import Fit
from tests.glmm.data import DATA, RELATED, STRUCTURES, classic, formula, grid, simulated

VERBAGG = "r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)"


@pytest.fixture(scope="module")
def cbpp():
    return mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial")


@pytest.fixture(scope="module")
def ticks():
    return mx.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", classic("grouseticks"), "negbinomial")


@pytest.fixture(scope="module")
def slopes():
    return mx.glmer(VERBAGG.replace("(1 | id)", "(1 + mode | id)"), classic("verbagg"), "bernoulli")


@pytest.mark.parametrize(("name", "link", "structure"), grid(STRUCTURES))
def test_every_family_and_structure_converges(name, link, structure):
    """With a certificate, in few evaluations, near a minimum: the gradient over the information promises no gain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        found = mx.glmer(
            formula(name, structure), simulated(name, link, 600, 3), name, link=link, env={"R": RELATED}
        )  # fmt: skip
    assert found.converged
    assert found.optimization.evaluations <= 25
    assert isinstance(found, Fit)
    assert np.isfinite(found.vcov.to_numpy()).all()
    assert (np.linalg.eigvalsh(found.vcov) > 0).all()


def test_gaussian_with_the_identity_link_is_lmer_by_maximum_likelihood():
    """Laplace's approximation of a Gaussian integral is exact; both stop within 1e-8 units of deviance."""
    sleep = classic("sleepstudy")
    ours, theirs = (
        mx.glmer("Reaction ~ Days + (Days | Subject)", sleep, "gaussian"),
        mx.lmer("Reaction ~ Days + (Days | Subject)", sleep, REML=False),
    )
    assert ours.criterion == pytest.approx(theirs.criterion, abs=1e-6)
    np.testing.assert_allclose(ours.fixef, theirs.fixef, rtol=1e-5)
    assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-4)
    np.testing.assert_allclose(ours.varcorr["sdcor"], theirs.varcorr["sdcor"], rtol=1e-3)
    np.testing.assert_allclose(ours.ranef["Subject"], theirs.ranef["Subject"], atol=0.02)
    assert ours.laplace_error == pytest.approx(0.0, abs=1e-8)


def test_precision_weights_are_those_of_lmer():
    frame = pd.read_csv(DATA / "sleepstudy_weighted.csv")
    options = {"weights": "w", "offset": "off"}
    ours = mx.glmer("Reaction ~ Days + (Days | Subject)", frame, "gaussian", **options)
    theirs = mx.lmer("Reaction ~ Days + (Days | Subject)", frame, REML=False, **options)
    assert ours.criterion == pytest.approx(theirs.criterion, abs=1e-6)
    np.testing.assert_allclose(ours.fixef, theirs.fixef, rtol=1e-5)


def test_standard_errors_are_those_of_the_profile_likelihood(slopes):
    """Differences of the criterion with the other parameters free: the inverse of the whole Hessian. To 1 %."""
    solution = slopes.solution
    H = solution.hessian
    assert np.linalg.eigvalsh(H)[0] > 0
    V = 2 * np.linalg.inv(H)
    p = len(slopes.fixef)
    R = np.linalg.inv(solution.model.problem.R)
    np.testing.assert_allclose(R @ V[:p, :p] @ R.T, slopes.vcov, rtol=1e-6)
    # the same from central differences of the gradient, ten times as far apart
    evaluate, model, psi = solution.criterion_function, solution.model, solution.psi
    steps = 1e-3 * np.sqrt(np.diag(V))
    rows = []
    for i, step in enumerate(steps):
        e = np.zeros(len(psi))
        e[i] = step
        ends = [evaluate(model, psi + s * e, solution.evaluation.mode.v, decrement=1e-18).gradient for s in (1, -1)]
        rows.append((ends[0] - ends[1]) / (2 * step))
    scale = np.sqrt(np.outer(np.diag(H), np.diag(H)))
    np.testing.assert_allclose(np.array(rows) / scale, H / scale, atol=2e-3)


def test_functionals_of_fixed_effects_have_the_standard_errors_of_tidy(cbpp, ticks, slopes):
    for fit in (cbpp, ticks, slopes):
        np.testing.assert_allclose(fit.solution.joint.vcov, fit.vcov, rtol=1e-8)
        table = fit.tidy()
        np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(fit.vcov)))
        assert np.isinf(table["df"]).all()
        z = table["estimate"] / table["std_error"]
        np.testing.assert_allclose(table["statistic"], z)


def test_conditional_covariances_are_blocks_of_the_inverse_by_brute_force():
    """Lambda A^{-1} Lambda' with Z'WZ laid out densely."""
    fit = mx.glmer("r2 ~ Anger + (1 + Anger | item) + (1 | Gender:btype:situ)", classic("verbagg"), "bernoulli")
    design, mode = fit.design, fit.solution.evaluation.mode
    Z = fit.design_for().random.toarray()
    w = np.empty(len(design.y))
    w[fit.solution.model.rows.order] = mode.w
    blocks = [np.kron(np.eye(t.n_levels), T) for t, T in zip(design.random, fit.solution.factors, strict=True)]
    Lam = linalg.block_diag(*blocks)
    inner = np.linalg.inv(Lam.T @ (Z.T * w) @ Z @ Lam + np.eye(len(Lam)))
    full = Lam @ inner @ Lam.T
    for j in range(3):
        np.testing.assert_allclose(fit.ranef_cov[0][j], full[2 * j : 2 * j + 2, 2 * j : 2 * j + 2], rtol=1e-6)
    np.testing.assert_allclose(fit.ranef_sd["item"].to_numpy()[:3] ** 2, [np.diag(c) for c in fit.ranef_cov[0][:3]])


def test_fitted_predictions_and_residuals_agree(cbpp, ticks):
    for fit in (cbpp, ticks):
        np.testing.assert_allclose(fit.predict(), fit.fitted, rtol=1e-10)
        np.testing.assert_allclose(fit.family.link.inverse(fit.predict(kind="link")), fit.fitted, rtol=1e-10)
        again = fit.predict(classic("cbpp" if fit is cbpp else "grouseticks"))
        np.testing.assert_allclose(again, fit.fitted, rtol=1e-10)
    share = cbpp.design.y / cbpp.design.trials
    np.testing.assert_allclose(cbpp.residuals(), share - cbpp.fitted)
    mu, shape = ticks.fitted, ticks.auxiliary["shape"]
    np.testing.assert_allclose(ticks.residuals("pearson"), (ticks.design.y - mu) / np.sqrt(mu + mu**2 / shape))
    with pytest.raises(OptionError, match="kind"):
        ticks.residuals("scaled")


def test_intervals_go_through_the_inverse_link(cbpp):
    link, response = (cbpp.predict(kind=kind, interval="confidence") for kind in ("link", "response"))
    for end in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(response[end], cbpp.family.link.inverse(link[end]))
    slope = response["estimate"] * (1 - response["estimate"])
    np.testing.assert_allclose(response["se"], slope * link["se"])


def test_unseen_herds_have_the_population_mean_or_effects_of_their_own(cbpp):
    new = classic("cbpp").iloc[:2].assign(herd="new")
    mean = cbpp.predict(new, "population", kind="link")
    np.testing.assert_allclose(mean, cbpp.fixef.iloc[0] + np.array([0.0, cbpp.fixef.iloc[1]]), rtol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        drawn = np.array([cbpp.predict(new, "sample", seed=s, kind="link") for s in range(400)]) - mean.to_numpy()
    assert np.allclose(drawn[:, 0], drawn[:, 1])  # rows of one herd share its effect
    # 400 draws: the standard deviation within 3.5 %, three times that here
    assert drawn[:, 0].std() == pytest.approx(cbpp.theta.iloc[0], rel=0.11)


def test_new_responses_have_the_spread_of_the_family(ticks):
    """Mean and variance of simulations with the groups kept: those of the negative binomial, within 5 errors."""
    found = ticks.simulate(4000, seed=1, use_u=True).to_numpy()
    mu, k = ticks.fitted.to_numpy(), ticks.auxiliary["shape"]
    z = (found.mean(axis=1) - mu) / np.sqrt((mu + mu**2 / k) / 4000)
    assert np.abs(z).max() < 5
    assert found.var() / np.mean(mu + mu**2 / k) > 1.0
    table = ticks.predict(kind="predictive", seed=2)
    assert ((table["lower"] <= ticks.fitted + 1) & (ticks.fitted <= table["upper"] + 1)).mean() > 0.95


def test_simulated_groups_are_new(cbpp):
    """With effects drawn anew the log odds of a herd spread by theta."""
    counts = cbpp.simulate(300, seed=3)
    assert counts.shape == (56, 300)
    assert (counts.to_numpy() <= cbpp.design.trials[:, None]).all()


def test_draws_are_joint(ticks):
    draws = ticks.draws(3000, seed=1)
    beta = np.column_stack([np.ravel(draws["beta", name]) for name in ticks.fixef.index])
    # 3,000 draws: a standard deviation within 1.3 %, four times that here
    np.testing.assert_allclose(beta.std(axis=0), np.sqrt(np.diag(ticks.vcov)), rtol=0.055)
    assert np.unique(draws["shape",]).tolist() == [ticks.auxiliary["shape"]]


def test_effects_and_marginal_means_are_answered(cbpp):
    means = mx.emmeans(cbpp, "period")
    frame = means.to_frame() if hasattr(means, "to_frame") else means.table
    np.testing.assert_allclose(frame["emmean"].iloc[0], cbpp.fixef.iloc[0], rtol=1e-10)
    found = mx.effects(cbpp, "period", uncertainty="given theta", seed=1)
    rows = classic("cbpp")
    average = [cbpp.predict(rows.assign(period=p)).mean() for p in ("1", "2")]
    # the average over what is not known of the herds is nearer to a half than the value at their modes: by a sixth of
    # the standard error, 0.045, here
    assert found.table["estimate"].iloc[0] == pytest.approx(average[1] - average[0], abs=0.015)
    assert 0.01 < found.table["sd"].iloc[0] < 0.08


def test_tables_of_a_fit(cbpp, ticks):
    assert ticks.n_parameters == len(ticks.fixef) + 2 + 1
    assert ticks.aic == pytest.approx(ticks.criterion + 2 * ticks.n_parameters)
    assert ticks.bic == pytest.approx(ticks.criterion + ticks.n_parameters * np.log(403))
    glance = cbpp.glance().iloc[0]
    assert glance["logLik"] == pytest.approx(cbpp.loglik)
    assert glance["nobs"] == 56
    assert cbpp.tidy("ran_pars")["term"].tolist() == ["sd__Intercept"]
    assert len(cbpp.tidy("ran_vals")) == 15
    assert cbpp.ngroups == {"herd": 15}
    assert not cbpp.singular
    assert cbpp.sigma == 1.0


def test_the_summary_says_what_it_rests_on(cbpp, ticks):
    text = cbpp.summary().text()
    for words in ("binomial, link logit", "no degrees of freedom", "off by about 0.09 deviance units: harmless"):
        assert words in text
    assert " z " in text
    assert "shape" in ticks.summary().text()
    assert cbpp.summary().html().startswith("<div")
    assert str(cbpp) == text


def test_update_fits_again(cbpp):
    smaller = cbpp.update(". ~ . - period")
    assert smaller.fixef.index.tolist() == ["Intercept"]
    assert smaller.criterion > cbpp.criterion
    assert cbpp.update(link="probit").family.link.name == "probit"
    assert cbpp.update(nAGQ=9).criterion == pytest.approx(183.966744, abs=1e-5)
    with pytest.raises(OptionError, match="REML"):
        cbpp.update(REML=True)


def test_the_start_can_be_given(cbpp):
    again = mx.glmer(cbpp.formula, classic("cbpp"), "binomial", control={"start": cbpp.theta, "tolerance": 1e-10})
    assert again.criterion == pytest.approx(cbpp.criterion, abs=1e-8)
    with pytest.raises(OptionError, match="start"):
        mx.glmer(cbpp.formula, classic("cbpp"), "binomial", control={"start": [1.0, 2.0]})
    with pytest.raises(OptionError, match="radius"):
        mx.glmer(cbpp.formula, classic("cbpp"), "binomial", control={"radius": 1.0})


@pytest.mark.parametrize(
    ("name", "value"), [("bernoulli", 2), ("binomial", -1), ("poisson", -3), ("negbinomial", 0.5), ("gamma", 0.0)]
)
def test_responses_that_a_family_cannot_have_are_refused_by_row(name, value):
    frame = simulated(name, None if name != "gamma" else "log").copy()
    frame.loc[[7, 9], "y"] = value
    with pytest.raises(DataError, match="rows 7 and 9"):
        mx.glmer(formula(name, "intercept"), frame, name)


def test_more_successes_than_trials_are_refused_by_row():
    frame = classic("cbpp").copy()
    frame.loc[3, "incidence"] = 99
    with pytest.raises(DataError, match="row 3"):
        mx.glmer("incidence | trials(size) ~ period + (1 | herd)", frame, "binomial")


def test_what_cannot_be_fitted_is_refused_with_the_way_out():
    frame = classic("cbpp")
    text = "incidence | trials(size) ~ period + (1 | herd)"
    for options, error, words in (
        ({"family": "categorical"}, OptionError, "does not fit"),
        ({"family": "binomial", "link": "log"}, OptionError, "no link"),
        ({"family": "binomial", "weights": "size"}, OptionError, "weights"),
        ({"family": "binomial", "nAGQ": 0}, OptionError, "nAGQ"),
        ({"family": "poisson"}, FormulaError, "trials"),
    ):
        with pytest.raises(error, match=words):
            mx.glmer(text, frame, **options)
    with pytest.raises(OptionError, match="nodes for each level"):
        mx.glmer("r2 ~ 1 + (btype | id)", classic("verbagg"), "bernoulli", nAGQ=25)
    with pytest.raises(ModelError, match="one level"):
        mx.glmer(text, frame.assign(herd="a"), "binomial")
    with pytest.raises(ModelError, match="cannot be told apart"):
        mx.glmer("size ~ period + (1 | row)", frame.assign(row=frame.index.astype(str)), "gamma")
    with pytest.raises(FormulaError, match="trials"):
        mx.glmer("incidence ~ period + (1 | herd)", frame, "binomial")


def test_caveats_are_warned_of():
    frame = classic("cbpp")
    with pytest.warns(FewLevelsWarning, match="period"):
        mx.glmer("incidence | trials(size) ~ 1 + (1 | period)", frame, "binomial")
    ones = frame.assign(some=(frame["incidence"] > 1).astype(int), row=frame.index.astype(str))
    with pytest.warns(IdentifiabilityWarning, match="0 or 1"):
        mx.glmer("some ~ 1 + (1 | row)", ones, "bernoulli", control={"max_evaluations": 5})
    rng = np.random.default_rng(1)
    counts = pd.DataFrame({"k": rng.binomial(6, 0.5, 400), "g": rng.integers(0, 20, 400).astype(str)})
    with warnings.catch_warnings(), pytest.warns(NoOverdispersionWarning, match="Poisson"):
        mx.glmer("k ~ 1 + (1 | g)", counts, "negbinomial")


def test_a_link_that_leads_nowhere_is_an_error():
    frame = pd.DataFrame({"k": [0, 3, 0, 4, 1, 7] * 5, "g": list("aabbcc") * 5, "far": -1000.0})
    with pytest.raises(ModelError, match="density"):
        mx.glmer("k ~ 0 + (1 | g)", frame, "poisson", link="identity", offset="far")


def test_small_data_never_load_the_compiler():
    """Neither a few crossed factors nor a dense coupling: the process has no numba in the end."""
    code = (
        "import sys; import mixedfx as mx; from tests.glmm.data import classic\n"
        "mx.glmer('TICKS ~ YEAR + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)', classic('grouseticks'), 'poisson')\n"
        f"mx.glmer('{VERBAGG}', classic('verbagg'), 'bernoulli').summary()\n"
        "sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=300)


def test_no_fixed_effects():
    """Criterion and theta of herds that differ about a log odds of zero: a one-dimensional search finds the same."""
    fit = mx.glmer("incidence | trials(size) ~ 0 + (1 | herd)", classic("cbpp"), "binomial")
    model = fit.solution.model
    grid = [evaluate(model, np.array([t])).criterion for t in fit.solution.par[0] + np.array([-1e-3, 0.0, 1e-3])]
    assert grid[1] == min(grid) == pytest.approx(fit.criterion, abs=1e-7)
    assert fit.vcov.shape == (0, 0)
    assert (fit.ranef_sd["herd"] > 0).to_numpy().all()


def test_an_exposure_is_an_offset():
    frame = classic("grouseticks").assign(exposure=lambda d: 1 + d["HEIGHT"] / 500)
    frame["log_exposure"] = np.log(frame["exposure"])
    inside = mx.glmer("TICKS ~ YEAR + offset(log(exposure)) + (1 | BROOD)", frame, "poisson")
    named = mx.glmer("TICKS ~ YEAR + (1 | BROOD)", frame, "poisson", offset="log_exposure")
    assert inside.criterion == pytest.approx(named.criterion, abs=1e-9)
    plain = mx.glmer("TICKS ~ YEAR + log_exposure + (1 | BROOD)", frame, "poisson")
    assert plain.criterion < inside.criterion
    np.testing.assert_allclose(inside.predict(frame), inside.fitted, rtol=1e-10)
    doubled = inside.predict(frame.assign(exposure=2 * frame["exposure"]))
    np.testing.assert_allclose(doubled, 2 * inside.fitted, rtol=1e-10)
