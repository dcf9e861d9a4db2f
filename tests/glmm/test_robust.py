"""Cluster-robust covariances: against clubSandwich without random effects, lmer, and differences by cluster."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, ModelError, OptionError, SingleClusterWarning
from mixedfx.glmm.hessian import TIGHT
from mixedfx.glmm.model import build_model
from mixedfx.glmm.scores import cluster_scores, one_by_one, together
from mixedfx.inference.resampling import take_rows
from tests.glmm.data import RELATED, classic, five_point, formula, simulated
from tests.glmm.test_tests import cbpp, reference

KINDS = ("CR0", "CR1", "CR1p")


def fitted(name, link, structure, nAGQ=1):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        data = simulated(name, link)
        return mx.glmer(formula(name, structure), data, name, link, nAGQ=nAGQ, env={"R": RELATED})


def clusters(column, name="poisson", link="log"):
    return np.unique(simulated(name, link)[column], return_inverse=True)[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "text", "family", "cluster"),
    [
        ("cbpp", "incidence | trials(size) ~ period", "binomial", "herd"),
        ("grouseticks", "TICKS ~ YEAR + cHEIGHT", "poisson", "BROOD"),
    ],
)
def test_without_random_effects_they_are_clubsandwichs(name, text, family, cluster, kind):
    """Canonical links: observed and expected information agree. Fits are converged to 1e-8 units."""
    data = classic(name)
    fit = mx.glmer(text, data, family)
    ref = np.array(reference("robust")[name][kind])
    found = fit.vcov_robust(kind, cluster=data[cluster])
    np.testing.assert_allclose(found.vcov, ref, rtol=1e-4, atol=1e-5 * np.abs(ref).max())
    assert list(found.table.columns) == list(fit.fixef.index)


def test_under_the_identity_link_they_are_lmers():
    """The coefficients of a balanced design are orthogonal to the variances: what is left is convergence."""
    data = classic("sleepstudy")
    ours = mx.glmer("Reaction ~ Days + (Days | Subject)", data, "gaussian").vcov_robust("CR0")
    theirs = mx.lmer("Reaction ~ Days + (Days | Subject)", data, REML=False).vcov_robust("CR0")
    np.testing.assert_allclose(ours.vcov, theirs.vcov, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "link", "structure", "nAGQ"),
    [
        ("bernoulli", "probit", "slope", 1),
        ("negbinomial", "log", "intercept", 1),
        ("poisson", "log", "intercept", 7),
        ("gamma", "log", "nested", 1),
    ],
)
def test_scores_are_differences_of_the_log_likelihood_of_a_cluster(name, link, structure, nAGQ):
    """In beta, theta and phi, by five points; the errors of modes leave 1e-6 of gradients of order ten."""
    fit = fitted(name, link, structure, nAGQ)
    model, design, solution = fit.solution.model, fit.design, fit.solution
    codes = clusters("a", name, link)
    scores, _ = cluster_scores(design, solution, codes)
    bare_names = design.fixed_names
    for j in (0, 3):
        rows = np.flatnonzero(codes == j)
        part = take_rows(design, rows, [term.codes[rows] for term in design.random])
        alone = build_model(part, fit.family)
        assert part.fixed_names == bare_names

        def loglik(psi, alone=alone):
            gamma, par, phi = model.split(psi)
            own = alone.problem.parameters(model.problem.theta(par))
            at = np.concatenate([alone.problem.R @ model.beta(gamma), own, phi])
            return -solution.criterion_function(alone, at, None, False, TIGHT, False).criterion / 2

        np.testing.assert_allclose(scores[j], five_point(loglik, solution.psi, 1e-3), atol=2e-6 * np.abs(scores).max())


@pytest.mark.parametrize(
    ("name", "link", "structure"),
    [
        ("binomial", "probit", "slope"),
        ("negbinomial", "log", "intercept"),
        ("gamma", "inverse", "compound"),
        ("poisson", "log", "none"),
        ("gaussian", "log", "diagonal"),
        ("bernoulli", "cauchit", "intercept"),
    ],
)
def test_all_clusters_together_are_one_by_one(name, link, structure):
    """Modes are found to 1e-9."""
    fit = fitted(name, link, structure)
    codes = clusters("a" if structure != "none" else "h", name, link)
    fast, slow = together(fit.solution, codes), one_by_one(fit.design, fit.solution, codes)
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8 * np.abs(b).max())
    assert np.abs(fast[0].sum(axis=0)).max() < 2e-2  # the sum of the scores is zero at the estimate


def test_nested_groups_are_clustered_by_the_outer_one():
    fit = fitted("gamma", "log", "nested")
    assert fit.vcov_robust().cluster == "a"
    with pytest.raises(ModelError, match="not independent"):
        fitted("gamma", "log", "crossed").vcov_robust(cluster="g")


def test_they_enter_tables_and_tests():
    fit = cbpp()
    robust = fit.vcov_robust("CR0")
    V, beta = robust.vcov, fit.fixef.to_numpy()
    np.testing.assert_allclose(fit.tidy(vcov=robust)["std_error"], np.sqrt(np.diag(V)))
    np.testing.assert_allclose(fit.tidy(vcov=robust.table.iloc[::-1, ::-1])["std_error"], np.sqrt(np.diag(V)))
    chisq = beta[1:] @ np.linalg.solve(V[1:, 1:], beta[1:])
    assert fit.test(list(fit.fixef.index[1:]), vcov=robust)["chisq"].item() == pytest.approx(chisq)
    assert fit.anova(vcov=robust)["chisq"].item() == pytest.approx(chisq)
    assert fit.drop1("wald", vcov=V)["p_value"].item() == pytest.approx(stats.chi2.sf(chisq, 3))
    low = fit.confint(vcov=robust)["conf_low"]
    np.testing.assert_allclose(low, beta - stats.norm.ppf(0.975) * np.sqrt(np.diag(V)))
    means = mx.emmeans(fit, "period", vcov=robust)
    assert means.table["SE"].iloc[0] == pytest.approx(np.sqrt(V[0, 0]))
    assert "CR0, clusters herd" in str(means)
    assert "CR0, clusters herd" in " ".join(str(fit.summary(vcov=robust).text()).split())
    m = robust.n_clusters
    np.testing.assert_allclose(fit.vcov_robust("CR1").vcov, V * m / (m - 1))
    np.testing.assert_allclose(fit.vcov_robust("CR1p").vcov, V * m / (m - 4))
    assert repr(robust) == "<CR0 covariance of 4 coefficients, 15 clusters of herd>"


@pytest.mark.slow
def test_they_are_right_where_the_model_of_the_dependence_is_wrong():
    """Poisson rows with a slope that varies, modelled by an intercept: 400 data sets of 60 groups.

    The empirical standard deviation of the estimated slope is known to 4 %; in 60 clusters CR0 is some 5 % small.
    """
    rng = np.random.default_rng(11)
    found, robust, plain = [], [], []
    for _ in range(400):
        g, x = np.repeat(np.arange(60), 8), rng.normal(size=480)
        eta = 0.5 + 0.2 * x + (0.3 * rng.normal(size=60))[g] + (0.4 * rng.normal(size=60))[g] * x
        data = pd.DataFrame({"y": rng.poisson(np.exp(eta)), "x": x, "g": g.astype(str)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            fit = mx.glmer("y ~ x + (1 | g)", data, "poisson")
        found.append(fit.fixef["x"])
        robust.append(fit.vcov_robust().vcov[1, 1])
        plain.append(fit.vcov.iloc[1, 1])
    truth = np.std(found)
    assert np.sqrt(np.mean(robust)) == pytest.approx(truth, rel=0.15)
    assert np.sqrt(np.mean(plain)) < 0.7 * truth


def test_a_treatment_of_one_cluster_is_warned_about():
    data = classic("cbpp").assign(treated=lambda d: (d["herd"] == "3").astype(int))
    fit = mx.glmer("incidence | trials(size) ~ treated + (1 | herd)", data, "binomial")
    with pytest.warns(SingleClusterWarning, match="herd 3 alone tells treated"):
        robust = fit.vcov_robust()
    with pytest.warns(SingleClusterWarning):
        fit.test("treated", vcov=robust)


def test_what_is_no_covariance_is_refused():
    fit = cbpp()
    with pytest.raises(OptionError, match="kind='CR2'"):
        fit.vcov_robust("CR2")
    with pytest.raises(OptionError, match="symmetric"):
        fit.tidy(vcov=np.eye(3))
    with pytest.raises(OptionError, match="of other coefficients"):
        fit.tidy(vcov=pd.DataFrame(np.eye(4)))
    with pytest.raises(OptionError, match="vcov= is a covariance of the fixed effects"):
        fit.tidy("ran_pars", vcov=fit.vcov)
    with pytest.raises(ModelError, match="one cluster"):
        mx.glmer("incidence | trials(size) ~ period", classic("cbpp"), "binomial").vcov_robust(cluster=np.zeros(56))
