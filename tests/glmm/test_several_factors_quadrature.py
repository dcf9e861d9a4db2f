"""Quadrature with several grouping factors: gradients, brute force, and what a fit says and answers afterwards."""

from __future__ import annotations

import warnings
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning, OptionError, QuadratureWarning
from mixedfx.families.registry import family
from mixedfx.glmm import integration
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.hybrid import evaluate_hybrid
from mixedfx.glmm.integration import criterion_function, integral_of
from mixedfx.glmm.model import build_model
from mixedfx.glmm.nested_quadrature import evaluate_nested
from tests.glmm.data import RELATED, five_point, formula, simulated
from tests.glmm.test_gradients import TIGHT, model_of, somewhere

RANDOM = {
    "nested slope": " + (1 + x | a) + (1 | g)",
    "slope in nested": " + (1 | a) + (1 + x | g)",
}
FAMILIES = [("bernoulli", "logit"), ("bernoulli", "cauchit"), ("binomial", "probit"), ("negbinomial", "log")]
OTHERS = [("poisson", "log"), ("poisson", "sqrt"), ("gamma", "inverse"), ("gaussian", "log")]
CROSSED = ["nested", "crossed", "crossed slopes", "three", "slope and related"]


def model_with(name, link, structure):
    if structure not in RANDOM:
        return model_of(name, link, structure)
    kind = family(name, link)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        text = formula(name, "none") + RANDOM[structure]
        return build_model(build_design(text, simulated(name, link), family=kind), kind)


def agree(criterion, model, psi, link):
    """Five-point differences agree: their rounding is 1e-10 of a criterion of 500, their truncation of fourth order."""
    at = criterion(model, psi, None, False, TIGHT, False)
    step = 4e-4 if link == "inverse" else 1e-3
    found = five_point(lambda there: criterion(model, there, at.mode.v, False, TIGHT, False).criterion, psi, step)
    np.testing.assert_allclose(at.gradient, found, atol=1e-7 * max(1.0, np.abs(found).max()))


# --- gradients -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("structure", CROSSED)
@pytest.mark.parametrize(("name", "link"), FAMILIES)
def test_gradient_of_the_hybrid_is_that_of_differences(name, link, structure):
    """Three nodes are far from the integral: the derivative is exact only if the nodes' movement is in it."""
    model = model_with(name, link, structure)
    agree(partial(evaluate_hybrid, 3), model, somewhere(model, link), link)


@pytest.mark.parametrize(("name", "link"), OTHERS)
def test_gradient_of_the_hybrid_for_other_families(name, link):
    agree(
        partial(evaluate_hybrid, 3),
        model_with(name, link, "crossed"),
        somewhere(model_with(name, link, "crossed"), link),
        link,
    )


@pytest.mark.parametrize("structure", ["nested", *RANDOM])
@pytest.mark.parametrize(("name", "link"), FAMILIES)
def test_gradient_of_nested_quadrature_is_that_of_differences(name, link, structure):
    model = model_with(name, link, structure)
    assert integral_of(model.problem, 3) == "nested"
    agree(partial(evaluate_nested, 3), model, somewhere(model, link), link)


@pytest.mark.parametrize("structure", ["crossed", "crossed slopes"])
def test_gradient_at_variances_of_zero(structure):
    """There the second level's part comes from solves, since its factor has no inverse."""
    model = model_with("bernoulli", "logit", structure)
    p = model.sizes[0]
    for zero in ([0], [1], [0, 1]):
        psi = somewhere(model, "logit")
        psi[[p + z for z in zero]] = 0.0
        agree(partial(evaluate_hybrid, 3), model, psi, "logit")


# --- one node, normal responses -------------------------------------------------------------------------------------
@pytest.mark.parametrize("structure", ["nested", "crossed"])
def test_one_node_is_laplace(structure):
    model = model_with("bernoulli", "logit", structure)
    psi = somewhere(model, "logit")
    ours, laplace = criterion_function(1)(model, psi), evaluate(model, psi)
    assert ours.criterion == laplace.criterion
    np.testing.assert_array_equal(ours.gradient, laplace.gradient)


@pytest.mark.parametrize("nodes", [2, 5])
@pytest.mark.parametrize("structure", ["nested", "crossed", "crossed slopes", "three"])
def test_normal_responses_need_no_nodes(structure, nodes):
    """All approximations are exact, so that all constants are the same: to rounding of a criterion of 500."""
    model = model_with("gaussian", "identity", structure)
    psi = somewhere(model, "identity")
    laplace = evaluate(model, psi, decrement=TIGHT)
    ways = [evaluate_hybrid, evaluate_nested] if structure == "nested" else [evaluate_hybrid]
    for way in ways:
        found = way(nodes, model, psi, None, False, TIGHT)
        assert found.criterion == pytest.approx(laplace.criterion, abs=1e-9)
        np.testing.assert_allclose(found.gradient, laplace.gradient, atol=1e-8 * np.abs(laplace.gradient).max())


# --- brute force: 12 groups and 5 items -----------------------------------------------------------------------------
GRID = np.linspace(-12.0, 12.0, 601)  # a trapezoidal rule that is exact to rounding for these integrands
STEP = GRID[1] - GRID[0]


@cache
def small(nested):
    """Zeros and ones of 12 groups: each answers each of 5 items once, or lies in one of 5 places with 3 rows."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(12), 3 if nested else 5)
    other = group % 5 if nested else np.tile(np.arange(5), 12)
    x = rng.normal(size=len(group))
    eta = 0.3 + 0.5 * x + 1.5 * rng.normal(size=12)[group] + rng.normal(size=5)[other]
    y = (rng.random(len(eta)) < special.expit(eta)).astype(float)
    frame = pd.DataFrame({"y": y, "x": x, "g": [f"g{i:02d}" for i in group], "h": [f"h{i}" for i in other]})
    kind = family("bernoulli")
    model = build_model(build_design("y ~ x + (1 | g) + (1 | h)", frame, family=kind), kind)
    return model, y, x, group, other


def place(model, beta, sds):
    """Psi of coefficients and standard deviations."""
    theta = np.array(sds)
    return np.concatenate([model.problem.R @ np.array(beta), model.problem.parameters(theta)])


def group_logs(eta, y, group, sd):
    """(12,) logarithms of the integrals over the effect of each group, and posterior moments of the scores."""
    inner = eta[:, None] + sd * GRID
    rows = y[:, None] * inner - np.logaddexp(0.0, inner)
    terms = np.array([rows[group == j].sum(axis=0) for j in range(12)]) - 0.5 * GRID**2 - 0.5 * np.log(2 * np.pi)
    logs = special.logsumexp(terms, axis=1) + np.log(STEP)
    p = np.exp(terms + np.log(STEP) - logs[:, None])
    return logs, ((y[:, None] - special.expit(inner)) * p[group]).sum(axis=1)


def test_hybrid_is_what_its_formula_says():
    """Laplace's approximation over 5 items of the exact integral over 12 groups, mode by BFGS, Hessian by differences
    of the score over 1e-3, of fourth order: 1e-9."""
    model, y, x, group, other = small(False)
    beta, sds = (0.2, 0.4), (1.4, 0.9)
    fixed = beta[0] + beta[1] * x

    def score(v2):
        _, s = group_logs(fixed + sds[1] * v2[other], y, group, sds[0])
        return sds[1] * np.bincount(other, s, 5) - v2

    def value(v2):
        logs, _ = group_logs(fixed + sds[1] * v2[other], y, group, sds[0])
        return logs.sum() - 0.5 * v2 @ v2

    mode = optimize.minimize(lambda v: -value(v), np.zeros(5), jac=lambda v: -score(v), options={"gtol": 1e-10}).x
    H = -np.array(
        [
            (8 * (score(mode + e) - score(mode - e)) - (score(mode + 2 * e) - score(mode - 2 * e))) / 12e-3
            for e in 1e-3 * np.eye(5)
        ]
    )
    expected = -2 * value(mode) + np.linalg.slogdet(H)[1]
    found = evaluate_hybrid(45, model, place(model, beta, sds)).criterion
    assert found == pytest.approx(expected, abs=1e-6)


def test_hybrid_takes_away_most_of_laplaces_error():
    """The whole integral, by a product rule of 7 nodes in each of 5 directions, the groups integrated inside."""
    model, y, x, group, other = small(False)
    beta, sds = (0.2, 0.4), (1.4, 0.9)
    psi, fixed = place(model, beta, sds), beta[0] + beta[1] * x
    hybrid, laplace = evaluate_hybrid(31, model, psi), evaluate(model, psi)
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    grid = np.stack([one.ravel() for one in np.meshgrid(*[nodes] * 5, indexing="ij")], axis=1)
    logs = sum(
        one.ravel()
        for one in np.meshgrid(*[np.log(weights) - 0.5 * np.log(2 * np.pi) + 0.5 * nodes**2] * 5, indexing="ij")
    )
    centre, sd = hybrid.mode.v[1][:, 0], 0.6  # a common scale of the nodes, somewhat wide
    inner, inner_weights = np.polynomial.hermite_e.hermegauss(40)
    inner_weights = inner_weights / inner_weights.sum()
    total = np.empty(len(grid))
    for begin in range(0, len(grid), 2000):
        v2 = centre + sd * grid[begin : begin + 2000]
        prior = -0.5 * (v2**2).sum(axis=1)
        for j in range(12):
            own = group == j
            eta = (fixed[own] + sds[1] * v2[:, other[own]])[:, :, None] + sds[0] * inner
            rows = y[own][:, None] * eta - np.logaddexp(0.0, eta)
            prior = prior + np.log(np.exp(rows.sum(axis=1)) @ inner_weights)
        total[begin : begin + 2000] = prior
    exact = -2 * (special.logsumexp(total + logs) + 5 * np.log(sd))
    assert abs(hybrid.criterion - exact) < 0.2 * abs(laplace.criterion - exact)
    assert abs(laplace.criterion - exact) > 0.5


def test_nested_quadrature_is_the_integral():
    """12 groups in 5 places: nested sums over both effects, on grids."""
    model, y, x, group, _ = small(True)
    beta, sds = (0.2, 0.4), (1.4, 0.9)
    fixed, of_group, grid = beta[0] + beta[1] * x, np.arange(12) % 5, np.linspace(-9.0, 9.0, 361)
    by_place = np.array([group_logs(fixed + sds[1] * v2, y, group, sds[0])[0] for v2 in grid]).T
    terms = np.array([by_place[of_group == p].sum(axis=0) for p in range(5)]) - 0.5 * grid**2 - 0.5 * np.log(2 * np.pi)
    exact = -2 * (special.logsumexp(terms, axis=1) + np.log(grid[1] - grid[0])).sum()
    psi = place(model, beta, sds)
    assert evaluate_nested(31, model, psi).criterion == pytest.approx(exact, abs=1e-6)
    hybrid, laplace = evaluate_hybrid(31, model, psi).criterion, evaluate(model, psi).criterion
    assert abs(hybrid - exact) < 0.3 * abs(laplace - exact)


# --- what is chosen, and what is said -------------------------------------------------------------------------------
def test_which_integral_is_taken():
    cases = {"crossed": "hybrid", "three": "hybrid", "nested": "nested", "slope": "one factor", "related": "laplace"}
    for structure, how in cases.items():
        assert integral_of(model_of("bernoulli", "logit", structure).problem, 5) == how
        assert integral_of(model_of("bernoulli", "logit", structure).problem, 1) == "laplace"


def test_quadrature_is_refused_where_there_is_none():
    data = simulated("bernoulli", "logit")
    with pytest.raises(OptionError, match="levels are independent"):
        mx.glmer("y ~ x + (1 | gr(h, cov=R))", data, family="bernoulli", nAGQ=5, env={"R": RELATED})
    with pytest.raises(OptionError, match="Use at most 17"):
        mx.glmer("y ~ x + (1 + x | a) + (1 | g)", data, family="bernoulli", nAGQ=18)
    with pytest.raises(OptionError, match="nAGQ"):
        mx.glmer("y ~ x + (1 | g)", data, family="bernoulli", nAGQ="many")


@cache
def fitted(structure, nAGQ):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        text = {"crossed": "y ~ x + (1 | g) + (1 | h)", "nested": "y ~ x + (1 | g) + (1 | a)"}[structure]
        return mx.glmer(text, answers(), family="bernoulli", nAGQ=nAGQ)


@cache
def answers():
    """Zeros and ones in 60 groups g of 12 clusters a, crossed with 10 items h."""
    rng = np.random.default_rng(8)
    g, h, x = np.repeat(np.arange(60), 5), rng.integers(0, 10, 300), rng.normal(size=300)
    eta = (
        0.3 + 0.5 * x + 1.3 * rng.normal(size=60)[g] + 0.8 * rng.normal(size=10)[h] + 0.7 * rng.normal(size=12)[g // 5]
    )
    y = (rng.random(300) < special.expit(eta)).astype(int)
    names = {"g": [f"g{i:02d}" for i in g], "h": [f"h{i}" for i in h], "a": [f"a{i // 5:02d}" for i in g]}
    return pd.DataFrame({"y": y, "x": x, **names})


@pytest.mark.parametrize("structure", ["crossed", "nested"])
def test_auto_raises_the_nodes_until_nothing_moves(structure):
    fit = fitted(structure, "auto")
    nodes = fit.nAGQ
    assert nodes in integration.LADDER
    assert fit.solution.settled < integration.SETTLED
    finer = fitted(structure, integration.LADDER[integration.LADDER.index(nodes) + 1])
    assert fit.criterion == pytest.approx(finer.criterion, abs=integration.SETTLED)
    np.testing.assert_allclose(fit.solution.psi, finer.solution.psi, atol=5e-3)
    text = fit.summary().text().replace("\n             ", " ")
    assert f"{nodes} nodes for each effect of a level" in text
    assert ("of g within a" if structure == "nested" else "of g; Laplace's approximation over h") in text


def test_auto_says_where_the_most_nodes_do_not_suffice(monkeypatch):
    monkeypatch.setattr(integration, "LADDER", (2, 3))
    with pytest.warns(QuadratureWarning, match="with 3 nodes"):
        mx.glmer("y ~ x + (1 | g) + (1 | h)", answers(), family="bernoulli", nAGQ="auto")


def test_a_poor_laplace_fit_recommends_quadrature():
    fit = fitted("crossed", 1)
    assert abs(fit.laplace_error) > 1.0
    assert 'nAGQ="auto" takes away most of it' in fit.summary().text().replace("\n             ", " ")
    finding = next(one for one in fit.check().findings if one.check == "approximation")
    assert finding.status != "ok"
    assert 'nAGQ="auto"' in finding.consequence


# --- after the fit ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("structure", ["crossed", "nested"])
def test_standard_errors_are_those_of_the_criterion(structure):
    """The Hessian from differences of the gradient is the one from second differences of the criterion, over 1e-2."""
    fit = fitted(structure, 7)
    solution = fit.solution
    criterion, psi, d = solution.criterion_function, solution.psi, len(solution.psi)

    def value(there):
        return criterion(solution.model, there, solution.evaluation.mode.v, False, TIGHT, False).criterion

    H = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            a, b = 5e-3 * np.eye(d)[i], 5e-3 * np.eye(d)[j]
            H[i, j] = (value(psi + a + b) - value(psi + a - b) - value(psi - a + b) + value(psi - a - b)) / 1e-4
    np.testing.assert_allclose(solution.hessian, H, atol=2e-3 * np.abs(H).max())


@pytest.mark.parametrize("structure", ["crossed", "nested"])
def test_refits_and_profiles_minimise_the_same_criterion(structure):
    fit = fitted(structure, 7)
    again = fit.refit(answers()["y"].to_numpy(dtype=float))
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-6)
    intervals, wald = fit.confint("profile"), fit.confint("wald")
    lower, estimate, upper = (intervals[name].to_numpy(dtype=float) for name in ("conf_low", "estimate", "conf_high"))
    assert (lower <= estimate).all()
    assert (estimate < upper).all()
    width = (upper - lower)[intervals["group"] == ""]
    np.testing.assert_allclose(width, wald["conf_high"] - wald["conf_low"], rtol=0.1)  # nearly a parabola
    draws = fit.refits(fit.simulate(3, seed=1))
    assert draws.converged.all()


@pytest.mark.parametrize("structure", ["crossed", "nested"])
def test_tests_and_effects_of_a_fit_by_quadrature(structure):
    fit = fitted(structure, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        without = fit.update(". ~ . - x")
    table = mx.anova(without, fit)
    assert len(table) == 2
    assert fit.drop1()["lrt"].iloc[-1] == pytest.approx(without.criterion - fit.criterion, abs=1e-5)
    assert (fit.ranova()["lrt"].dropna() > -1e-6).all()
    effects = mx.effects(fit, "x", by=["h"] if structure == "crossed" else ["a"]).table
    assert np.isfinite(effects[["estimate", "lower", "upper"]].to_numpy(dtype=float)).all()
    assert np.isfinite(fit.predict(answers().iloc[:3], interval="confidence", groups="integrate").to_numpy()).all()
    assert len(fit.bootstrap(3, seed=1)) == 3


def test_scores_of_clusters_sum_to_the_gradient():
    """Clusters a hold whole levels of both factors; each is integrated by the same rule as the whole."""
    from mixedfx.glmm.scores import cluster_scores

    fit = fitted("nested", 7)
    codes = np.unique(answers()["a"], return_inverse=True)[1]
    scores, _ = cluster_scores(fit.design, fit.solution, codes)
    at = fit.solution.criterion_function(fit.solution.model, fit.solution.psi, None, False, TIGHT, False)
    np.testing.assert_allclose(-2 * scores.sum(axis=0), at.gradient, atol=1e-6 * np.abs(scores).sum())
    assert np.isfinite(np.asarray(fit.vcov_robust(cluster="a").vcov)).all()


@pytest.mark.parametrize("structure", ["nested", "crossed", "crossed slopes", "slope in nested"])
@pytest.mark.parametrize(("name", "link"), [("bernoulli", "logit"), ("binomial", "logit"), ("poisson", "log")])
def test_compiled_loops_and_their_twins_say_the_same(name, link, structure):
    """Sums in another order: rounding."""
    kind = family(name, link)
    text = formula(name, "none") + RANDOM[structure] if structure in RANDOM else formula(name, structure)
    design = build_design(text, simulated(name, link), family=kind)
    twin, loops = (build_model(design, kind, compiled) for compiled in (False, True))
    assert loops.looped_nodes
    psi = somewhere(twin, link)
    ours, theirs = (criterion_function(5)(model, psi, None, False, TIGHT) for model in (twin, loops))
    assert theirs.criterion == pytest.approx(ours.criterion, rel=1e-12)
    np.testing.assert_allclose(theirs.gradient, ours.gradient, atol=1e-9 * np.abs(ours.gradient).max())
