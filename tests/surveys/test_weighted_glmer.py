"""Pseudo maximum likelihood of generalised models: what fine grids, differences and known special cases say."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import NoOverdispersionWarning, OptionError, QuadratureWarning, RowsDroppedWarning
from mixedfx.families.registry import find_family
from mixedfx.results.protocol import Fit
from mixedfx.surveys.call import FAMILIES
from mixedfx.surveys.generalised import problem as problems
from mixedfx.surveys.generalised.integral import evaluate, value_of
from mixedfx.surveys.generalised.maximum import nodes_of_a_row, rules_of, sample_at
from mixedfx.surveys.generalised.nodes import place
from mixedfx.surveys.generalised.problem import general_problem, parts
from mixedfx.surveys.levels import nesting
from mixedfx.surveys.weights import LevelWeights
from tests.oracles.weighted_lmm import Level, gradient, of_top_units
from tests.surveys.samples import pupils

W = {"row": "w_pupil", "school": "w_school"}


def responses(data, seed=1):
    """Responses of every family, which depend on x and on schools."""
    rng, eta = np.random.default_rng(seed), (data["y"] - 2.2).to_numpy() / 1.4
    mean = np.exp(eta / 2)
    counts = rng.poisson(rng.gamma(3.0, mean / 3.0))
    data["b"] = (rng.random(len(data)) < special.expit(eta)).astype(int)
    data["m"] = rng.integers(1, 6, len(data))
    data["k"] = rng.binomial(data["m"], rng.beta(3 * special.expit(eta), 3 * special.expit(-eta)))
    data["c"], data["p"], data["g"] = counts, counts + 1, rng.gamma(2.0, mean / 2.0)
    data["u"] = np.clip(rng.beta(3 * special.expit(eta), 3 * special.expit(-eta)), 0.01, 0.99)
    return data


RESPONSE = {
    "bernoulli": "b", "binomial": "k | trials(m)", "beta_binomial": "k | trials(m)", "poisson": "c", "negbinomial": "c",
    "nbinom1": "c", "truncated_poisson": "p", "truncated_negbinomial": "p", "gamma": "g", "beta": "u", "gaussian": "y",
    "student": "y",
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return responses(pupils(seed=9, schools=12, size=8))


@pytest.fixture(scope="module")
def deep():
    return responses(pupils(seed=19, schools=18, size=5, slope=0.0, districts=6))


@pytest.fixture(scope="module")
def fit(data):
    return mx.glmer("b ~ x + (1 | school)", data, "bernoulli", nAGQ=25, sampling_weights=W)


# --- against fine grids ----------------------------------------------------------------------------------------------
def log_mass(family, link, frame):
    """(rows, eta) -> log densities, by scipy."""
    inverse = {"logit": special.expit, "probit": stats.norm.cdf, "cloglog": lambda x: -np.expm1(-np.exp(x)),
               "log": np.exp}[link]  # fmt: skip
    y = frame[{"bernoulli": "b", "binomial": "k", "poisson": "c"}[family]].to_numpy()

    def log_f(rows, eta):
        if family == "poisson":
            return stats.poisson.logpmf(y[rows][:, None], inverse(eta))
        trials = frame["m"].to_numpy()[rows][:, None] if family == "binomial" else 1
        return stats.binom.logpmf(y[rows][:, None], trials, inverse(eta))

    return log_f


def levels_of(fit):
    """Levels for the oracle, top first, and the weights of rows."""
    order, out = nesting(fit.design), []
    for level, w in zip(order.levels, fit.solution.weights.conditional.units, strict=True):
        by_code = np.empty(level.size)
        by_code[level.code] = w[0]
        z = np.column_stack([fit.design.random[t].z for t in level.terms])
        out.insert(0, Level(fit.design.random[level.terms[0]].codes, z, by_code))
    rows = np.empty(fit.nobs)
    rows[order.order] = fit.solution.weights.conditional.rows[0]
    return out, rows


def units_of(fit, log_f, points=161):
    """Parameters (beta, entries of T of each level, top first) -> (K,) weighted log integrals of the top level."""
    levels, rows = levels_of(fit)
    p = len(fit.fixef)

    def ask(x):
        factors, at = [], p
        for level in levels:
            k = level.z.shape[1]
            T = np.zeros((k, k))
            for j in range(k):
                T[j:, j], at = x[at : at + k - j], at + k - j
            factors.append(T)
        found = of_top_units(log_f, fit.design.X @ x[:p], rows, levels, factors, points)
        return found * levels[0].weights

    return ask


@pytest.mark.parametrize(
    ("family", "link", "scaling"),
    [("bernoulli", "logit", "size"), ("bernoulli", "probit", "effective"), ("bernoulli", "cloglog", "none"),
     ("binomial", "logit", "effective"), ("poisson", "log", "none")],
)  # fmt: skip
def test_two_levels_are_what_a_fine_grid_says(data, family, link, scaling):
    weights = mx.sampling_weights(W, scaling=scaling)
    fit = mx.glmer(f"{RESPONSE[family]} ~ x + (1 | school)", data, family, link, nAGQ=31, sampling_weights=weights)
    ask = units_of(fit, log_mass(family, link, data))
    at = np.array([*fit.fixef, *fit.theta])
    assert fit.theta.item() > 0.1
    assert -2 * ask(at).sum() == pytest.approx(fit.criterion, abs=1e-6)
    slope = gradient(lambda x: ask(x).sum(), at, 1e-4)
    np.testing.assert_allclose(slope, 0.0, atol=2e-5)  # differences of step 1e-4; parameters are off by 1e-6 then


def test_random_slopes_are_what_a_fine_grid_says(data):
    fit = mx.glmer("c ~ x + (1 + x | school)", data, "poisson", nAGQ=15, sampling_weights=W)
    ask = units_of(fit, log_mass("poisson", "log", data), 101)
    at = np.array([*fit.fixef, *fit.theta])
    assert -2 * ask(at).sum() == pytest.approx(fit.criterion, abs=1e-6)
    np.testing.assert_allclose(gradient(lambda x: ask(x).sum(), at, 1e-4), 0.0, atol=5e-5)


def test_three_levels_are_what_a_fine_grid_says(deep):
    """Integrals over schools at every place of their district, weighted, inside that over the district."""
    weights = W | {"district": "w_district"}
    fit = mx.glmer("c ~ x + (1 | district) + (1 | school)", deep, "poisson", nAGQ=15, sampling_weights=weights)
    assert (fit.theta > 0.1).all()
    ask = units_of(fit, log_mass("poisson", "log", deep), 121)
    at = np.array([*fit.fixef, *fit.theta])
    assert -2 * ask(at).sum() == pytest.approx(fit.criterion, abs=1e-6)
    np.testing.assert_allclose(gradient(lambda x: ask(x).sum(), at, 1e-4), 0.0, atol=5e-5)


def test_the_covariance_is_the_sandwich_of_differences_of_fine_grids(data, fit):
    ask = units_of(fit, log_mass("bernoulli", "logit", data))
    at = np.array([*fit.fixef, *fit.theta])
    scores = gradient(ask, at).T
    J = np.linalg.inv(-gradient(lambda x: gradient(lambda z: ask(z).sum(), x, 1e-4), at, 1e-4))
    n = len(scores)
    rest = scores - scores.mean(axis=0)
    V = J @ (n / (n - 1) * rest.T @ rest) @ J
    np.testing.assert_allclose(fit.vcov, V[:2, :2], rtol=1e-5)  # second differences of step 1e-4
    np.testing.assert_allclose(fit.varcorr["se_sdcor"], np.sqrt(V[2, 2]), rtol=1e-5)
    np.testing.assert_allclose(fit.varcorr["se_vcov"], 2 * fit.theta.item() * np.sqrt(V[2, 2]), rtol=1e-5)


# --- against what is known -------------------------------------------------------------------------------------------
def ones(data, *names):
    return {name: np.ones(len(data)) for name in names}


@pytest.mark.parametrize(
    ("family", "formula", "nAGQ"),
    [("bernoulli", "b ~ x + (1 | school)", 25), ("negbinomial", "c ~ x + (1 | school)", 15),
     ("gamma", "g ~ x + (1 + x | school)", 21), ("binomial", "k | trials(m) ~ x + (1 | school)", 25)],
)  # fmt: skip
def test_weights_of_one_give_the_fit_without_weights(data, family, formula, nAGQ):
    """Of the same nodes, so many that it counts for nothing that they move with the parameters.

    mx.glmer stops where the derivatives of the criterion are some 1e-4, which is 1e-5 of a standard deviation.
    """
    known = mx.glmer(formula, data, family, nAGQ=nAGQ, control={"tolerance": 1e-14})
    fit = mx.glmer(formula, data, family, nAGQ=nAGQ, sampling_weights=ones(data, "row", "school"))
    assert fit.converged
    assert known.criterion - 1e-8 < fit.criterion <= known.criterion + 1e-10
    np.testing.assert_allclose(fit.fixef, known.fixef, rtol=0, atol=2e-6)
    np.testing.assert_allclose(fit.theta, known.theta, rtol=0, atol=1e-5)
    np.testing.assert_allclose(fit.optimization.gradient, 0.0, atol=1e-7)
    np.testing.assert_allclose(fit.auxiliary.astype(float), known.auxiliary.astype(float), rtol=5e-5)
    modes = known.ranef["school"].loc[fit.ranef["school"].index]
    np.testing.assert_allclose(fit.ranef["school"], modes, rtol=0, atol=1e-5)
    sds = known.with_uncertainty("given theta").ranef_sd["school"].loc[modes.index]
    np.testing.assert_allclose(fit.ranef_sd["school"], sds, rtol=1e-4)
    np.testing.assert_allclose(fit.fitted, known.fitted, rtol=1e-4)
    np.testing.assert_allclose(fit.residuals("pearson"), known.residuals("pearson"), atol=1e-4)


@pytest.mark.parametrize("formula", ["y ~ x + (1 + x | school)", "y ~ x + (1 | district) + (1 | school)", "y ~ x"])
def test_normal_responses_are_the_closed_form(deep, formula):
    """Quadrature is exact there, so that estimates, sandwich, modes and predictions are those of mx.lmer."""
    weights = W | {"district": "w_district"} if "district" in formula else W
    weights = weights if "school" in formula else {"row": "w_pupil"}
    asked = mx.sampling_weights(weights, scaling="effective")
    known = mx.lmer(formula, deep, sampling_weights=asked)
    fit = mx.glmer(formula, deep, "gaussian", nAGQ=3, sampling_weights=asked)
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.fixef, known.fixef, rtol=1e-7)
    np.testing.assert_allclose(fit.vcov, known.vcov, rtol=1e-6)
    table, wanted = fit.varcorr, known.varcorr
    assert table["grp"].tolist() == wanted["grp"].tolist()
    for column in ("vcov", "sdcor", "se_vcov", "se_sdcor"):
        np.testing.assert_allclose(table[column], wanted[column], rtol=1e-5, atol=1e-8)
    for group, modes in known.ranef.items():
        np.testing.assert_allclose(fit.ranef[group], modes, atol=1e-7)
        np.testing.assert_allclose(fit.ranef_sd[group], known.ranef_sd[group], rtol=1e-6, atol=1e-8)
    ours, theirs = (one.predict(deep.iloc[:4], se=True) for one in (fit, known))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert fit.sigma == pytest.approx(known.sigma, rel=1e-7)
    assert (fit.df, fit.n_parameters) == (known.df, known.n_parameters)


def test_the_sum_of_copies_is_the_weight(data):
    """A school of weight two is two schools alike; a pupil of weight two within it is two pupils alike."""
    w = {"row": np.where(data["x"] > 0, 2.0, 1.0), "school": np.where(data["school"] < "s05", 2.0, 1.0)}
    asked = mx.sampling_weights(w, conditional=True, scaling="none")
    fit = mx.glmer("c ~ x + (1 | school)", data, "poisson", nAGQ=15, sampling_weights=asked)
    copies = data.loc[np.repeat(data.index, w["row"].astype(int))]
    again = copies[copies["school"] < "s05"].assign(school=lambda d: d["school"] + " again")
    known = mx.glmer("c ~ x + (1 | school)", pd.concat([copies, again], ignore_index=True), "poisson", nAGQ=15,
                     control={"tolerance": 1e-14})  # fmt: skip
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-7)
    np.testing.assert_allclose(fit.fixef, known.fixef, atol=2e-6)


def test_without_random_terms_it_is_the_sandwich_of_every_survey_package(data):
    """A weighted logistic regression; rows are the sampling units."""
    fit = mx.glmer("b ~ x", data, "bernoulli", sampling_weights={"row": "w_pupil"})
    X, y, w = np.column_stack([np.ones(len(data)), data["x"]]), data["b"].to_numpy(), data["w_pupil"].to_numpy()
    beta = np.zeros(2)
    for _ in range(30):
        p = special.expit(X @ beta)
        A = X.T @ ((w * p * (1 - p))[:, None] * X)
        beta = beta + np.linalg.solve(A, X.T @ (w * (y - p)))
    s, n = X * (w * (y - special.expit(X @ beta)))[:, None], len(y)
    np.testing.assert_allclose(fit.fixef, beta, rtol=1e-7)
    np.testing.assert_allclose(fit.vcov, np.linalg.inv(A) @ (n / (n - 1) * s.T @ s) @ np.linalg.inv(A), rtol=1e-6)
    assert "none needed" in str(fit.summary())


# --- derivatives -----------------------------------------------------------------------------------------------------
def five_points(f, x, step=1e-3):
    out = []
    for i in range(len(x)):
        e = step * (np.arange(len(x)) == i)
        out.append((f(x - 2 * e) - 8 * f(x - e) + 8 * f(x + e) - f(x + 2 * e)) / (12 * step))
    return np.array(out)


DERIVATIVES = [(family, "x + (1 | school)") for family in FAMILIES] + [
    ("bernoulli", "x + cs(0 + sex | school)"), ("negbinomial", "x + (1 + x | school)"),
    ("binomial", "x + (1 | district) + (1 + x | school)"), ("gamma", "x + (1 | school) + (0 + x | school)"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "right"), DERIVATIVES)
@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_derivatives_are_those_of_the_sum_and_scores_add_up(deep, family, right, monkeypatch):
    """At held nodes to rounding; with nodes that move to the accuracy of the quadrature."""
    monkeypatch.setattr(problems, "HELD", 500 if right == "x + (1 | school)" else 4000)  # several parts
    kind = find_family(family)
    design = build_design(f"{RESPONSE[family]} ~ {right}", deep, family=kind, sigma_free=False)
    order, rng = nesting(design), np.random.default_rng(3)
    weights = LevelWeights(
        rng.uniform(0.5, 2, (1, len(design.y))), tuple(rng.uniform(0.5, 2, (1, level.size)) for level in order.levels)
    )
    problem = general_problem(design, order, kind)
    split, rules = parts(problem, weights, nodes_of_a_row(problem, 5)), rules_of(problem, 5)
    assert len(split) > 1
    psi = rng.uniform(0.2, 0.5, problem.size)
    at = sample_at(problem, split, psi, rules)

    def value(x):
        return sum(value_of(problem, part, nodes, x) for part, nodes in zip(split, at.nodes, strict=True))

    def score(x):
        found = [evaluate(problem, part, nodes, x) for part, nodes in zip(split, at.nodes, strict=True)]
        return sum(part.units[-1] @ one.scores for part, one in zip(split, found, strict=True))

    assert value(psi) == pytest.approx(at.found.value)
    size = np.abs(at.found.hessian).max()
    np.testing.assert_allclose(five_points(value, psi), at.weights @ at.found.scores, rtol=0, atol=1e-8 * size)
    np.testing.assert_allclose(five_points(score, psi), at.found.hessian, rtol=0, atol=1e-8 * size)


def test_nodes_are_about_the_modes_of_units_one_by_one(data):
    """By a general optimiser, of a school: its mode, and the curvature there."""
    from scipy import optimize

    kind = find_family("bernoulli")
    design = build_design("b ~ x + (1 + x | school)", data, family=kind, sigma_free=False)
    order = nesting(design)
    weights = LevelWeights(np.linspace(0.5, 2, len(design.y))[None], (np.ones((1, 12)),))
    problem = general_problem(design, order, kind)
    (part,), rules = parts(problem, weights, 25), rules_of(problem, 5)
    psi = np.array([0.2, 0.4, 0.9, 0.3, 0.6])
    T = problem.factors(psi[None, 2:])[0].T[0]
    (nodes,) = place(part, [T], psi[:2], psi[5:], rules)
    rows = part.unit_of_row[0] == 4
    z, y, w = part.columns[0][rows] @ T, part.responses.y[rows], part.rows[rows]

    def minus(v):
        eta = part.Q[rows] @ psi[:2] + z @ v
        return -(w @ np.where(y == 1, special.log_expit(eta), special.log_expit(-eta)) - v @ v / 2)

    found = optimize.minimize(minus, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(nodes.mode[0, 4], found.x, atol=1e-6)
    p = special.expit(part.Q[rows] @ psi[:2] + z @ found.x)
    A = np.eye(2) + z.T @ ((w * p * (1 - p))[:, None] * z)
    spread = nodes.v[0, :, 4] - nodes.mode[0, 4]
    np.testing.assert_allclose(np.einsum("xa,ab,xb->x", spread, A, spread), (rules[0].x ** 2).sum(axis=1), rtol=1e-6)


# --- replicates ------------------------------------------------------------------------------------------------------
def test_replicates_are_fits_one_by_one(data):
    schools = np.unique(data["school"])
    factor = np.array([np.where(data["school"] == s, 0.0, 12 / 11) for s in schools]).T[:, :4]
    own = factor * data["w_pupil"].to_numpy()[:, None]
    asked = mx.replicates(own, "jk1", scales=11 / 12)
    seen = []
    fit = mx.glmer("c ~ x + (1 | school)", data, "poisson", sampling_weights=W, replicates=asked, progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (4, 4)
    every, sds = [], []
    for s in schools[:4]:
        rest = data[data["school"] != s]
        one = mx.glmer("c ~ x + (1 | school)", rest, "poisson", sampling_weights=W)
        every.append(one.fixef.to_numpy() - fit.fixef.to_numpy())
        sds.append(one.theta.item() - fit.theta.item())
    np.testing.assert_allclose(fit.vcov, 11 / 12 * np.array(every).T @ np.array(every), rtol=1e-4)
    assert fit.varcorr["se_sdcor"].item() == pytest.approx(np.sqrt(11 / 12 * np.sum(np.square(sds))), rel=1e-4)
    assert fit.solution.certified.all()
    assert "4 replicate weights" in str(fit.summary())


def test_replicates_may_leave_rows_out(data):
    """Without random terms rows have a weight of zero in a replicate, and parameters of the family stay finite."""
    factor = np.where(np.arange(len(data)) % 3 == np.arange(3)[:, None], 0.0, 1.5).T
    asked = mx.replicates(factor * data["w_pupil"].to_numpy()[:, None], "jk1")
    fit = mx.glmer("g ~ x", data, "gamma", sampling_weights={"row": "w_pupil"}, replicates=asked)
    known = [mx.glmer("g ~ x", data[factor[:, k] > 0], "gamma", sampling_weights={"row": "w_pupil"}) for k in range(3)]
    shapes = np.array([one.auxiliary["shape"] for one in known]) - fit.auxiliary["shape"]
    assert fit.tidy("auxiliary")["std_error"].item() == pytest.approx(np.sqrt(2 / 3 * (shapes**2).sum()), rel=1e-4)


# --- what is asked of a fit ------------------------------------------------------------------------------------------
def test_answers_are_those_of_a_weighted_fit(data, fit):
    assert isinstance(fit, Fit)
    assert (fit.df, fit.REML, fit.nAGQ, fit.family.name) == (11, False, 25, "bernoulli")
    table = fit.tidy()
    np.testing.assert_allclose(table["p_value"], 2 * stats.t.sf(np.abs(table["statistic"]), 11))
    assert fit.tidy("ran_pars")["conf_low"].item() > 0
    assert len(fit.tidy("auxiliary")) == 0
    assert fit.anova()["f_value"].item() == pytest.approx(table["statistic"].iloc[1] ** 2)
    assert fit.test("x")["p_value"].item() == pytest.approx(table["p_value"].iloc[1])
    assert repr(fit).startswith("<WeightedGlmerFit b ~ 1 + x + (1 | school), bernoulli(logit): -2 log pseudo L ")
    text = " ".join(str(fit.summary()).split())
    for line in ("adaptive Gauss-Hermite quadrature, 25 nodes for each effect", "bernoulli, link logit",
                 "row 'w_pupil', school 'w_school'", "pseudo maximum likelihood"):  # fmt: skip
        assert line in text, line
    assert fit.update(nAGQ=9).nAGQ == 9
    assert list(fit.update(". ~ . - x").fixef.index) == ["Intercept"]
    with pytest.raises(OptionError, match="pseudo likelihoods"):
        mx.anova(fit, fit.update(". ~ . - x"))


def test_predictions_are_on_both_scales(data, fit):
    np.testing.assert_allclose(fit.predict(), fit.fitted)
    np.testing.assert_allclose(special.logit(fit.predict()), fit.predict(kind="link"))
    rows = data.iloc[:3].assign(school="elsewhere")
    eta = fit.predict(rows, groups="average", kind="link", se=True)
    np.testing.assert_allclose(eta["estimate"], fit.fixef["Intercept"] + fit.fixef["x"] * rows["x"])
    X = np.column_stack([np.ones(3), rows["x"]])
    np.testing.assert_allclose(eta["se"], np.sqrt(np.einsum("ij,jk,ik->i", X, fit.vcov, X)))
    response = fit.predict(rows, groups="average", se=True)
    np.testing.assert_allclose(response["lower"], special.expit(eta["lower"]))
    p = response["estimate"]
    np.testing.assert_allclose(response["se"], p * (1 - p) * eta["se"])
    whole = fit.predict(rows, groups="integrate", se=True)
    draws = np.random.default_rng(1).standard_normal(200_000) * fit.theta.item()
    wanted = special.expit(eta["estimate"].to_numpy()[:, None] + draws).mean(axis=1)
    np.testing.assert_allclose(whole["estimate"], wanted, atol=3e-3)  # 200,000 draws
    assert (whole["lower"] < whole["estimate"]).all()
    gap = data.iloc[:3].assign(x=[0.1, np.nan, 0.3])
    assert fit.predict(gap).isna().tolist() == [False, True, False]


def test_effects_and_marginal_means_answer(data, fit):
    on_link = mx.effects(fit, {"x": "per unit"}, groups="average", scale="link").table.iloc[0]
    assert on_link["estimate"] == pytest.approx(fit.fixef["x"])
    assert on_link["sd"] == pytest.approx(np.sqrt(fit.vcov.loc["x", "x"]))
    found = mx.effects(fit, {"x": "per unit"}, groups="average").table.iloc[0]
    draws = np.random.default_rng(3).multivariate_normal(fit.fixef, fit.vcov, 20_000)
    draws = fit.fixef.to_numpy() + (draws - fit.fixef.to_numpy()) * np.sqrt(11 / stats.chi2(11).rvs(
        20_000, random_state=4))[:, None]  # fmt: skip
    eta = draws[:, :1] + draws[:, 1:] * data["x"].to_numpy()
    wanted = (special.expit(eta + draws[:, 1:]) - special.expit(eta)).mean(axis=1)
    assert found["estimate"] == pytest.approx(wanted.mean(), abs=4 * wanted.std() / np.sqrt(1000))  # of 1,000 draws
    means = mx.emmeans(fit.update("b ~ sex + (1 | school)"), "sex")
    assert means.table["df"].iloc[0] == 11
    page = mx.effects(fit, "x").to_html()
    assert "pseudo maximum likelihood with sampling weights and adaptive quadrature with 25 nodes" in page
    assert "mx.glmer(" in page


def test_plausible_values_of_counts_are_pooled(data):
    more = data.assign(PV1=data["c"], PV2=data["c"] + (data["x"] > 1))
    for fit_one in (mx.lmer, lambda *a, **b: mx.glmer(*a, "poisson", **b)):
        with pytest.warns(mx.errors.PlausibleValueWarning, match="PV1"):
            fit_one("PV1 ~ x + (1 | school)", more, sampling_weights=W)
    fit = mx.glmer("[PV1:PV2] ~ x + (1 | school)", more, "poisson", sampling_weights=W)
    assert fit.m == 2
    assert fit.fits[0].nAGQ == 11
    assert fit.usual_ddf == "sample"


# --- bad input, limits -----------------------------------------------------------------------------------------------
def test_rows_without_a_weight_leave(data):
    zero = data["school"].isin(["s03"]) | (data["x"] > 2)
    changed = data.assign(w_pupil=np.where(zero, 0.0, data["w_pupil"]), w_school=np.where(data["school"] == "s03", 0.0,
                          data["w_school"]))  # fmt: skip
    offset = np.linspace(0, 1, len(data))
    with pytest.warns(RowsDroppedWarning, match="have a weight of zero and are left out"):
        fit = mx.glmer("c ~ x + (1 | school)", changed, "poisson", sampling_weights=W, offset=offset)
    known = mx.glmer("c ~ x + (1 | school)", data[~zero], "poisson", sampling_weights=W, offset=offset[~zero])
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-8)
    assert fit.design.rows.used.tolist() == np.flatnonzero(~zero).tolist()
    assert fit.fitted.index.tolist() == np.flatnonzero(~zero).tolist()
    assert f"{int(zero.sum())} dropped" in " ".join(str(fit.summary()).split()) or "weight of zero" in str(
        fit.summary()
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [({"nAGQ": 1}, "has no Laplace approximation"), ({"nAGQ": 20_000}, "20,000 nodes"),
     ({"family": "cumulative"}, "does not fit family='cumulative' with sampling weights"),
     ({"priors": "default"}, "priors= and sampling weights are not fitted together"), ({"zi": "~ 1"}, "zi="),
     ({"weights": "w_pupil"}, "the bernoulli family has none"), ({"nAGQ": "many"}, "nAGQ"),
     ({"sampling_weights": None, "replicates": "W*"}, "replicates of sampling weights, and there are none")],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused_in_words(data, options, words):
    given = {"family": "bernoulli", "sampling_weights": W} | options
    with pytest.raises(OptionError, match=words):
        mx.glmer("b ~ x + (1 | school)", data, **given)


def test_crossed_factors_are_refused(data):
    with pytest.raises(mx.errors.ModelError, match="are crossed"):
        mx.glmer("b ~ x + (1 | school) + (1 | sex)", data, "bernoulli", sampling_weights=W)


def test_too_few_nodes_are_said_and_auto_finds_enough():
    """Few pupils, all or none of whom pass: the likelihood of a school is far from normal."""
    rng = np.random.default_rng(4)
    school = np.repeat(np.arange(40), 3)
    frame = pd.DataFrame({"school": school.astype(str), "x": rng.normal(size=120)})
    frame["b"] = (8 * rng.normal(size=40)[school] + frame["x"] + rng.logistic(size=120) > 0).astype(int)
    weights = mx.sampling_weights(school=rng.uniform(1, 3, 40)[school])
    with pytest.warns(QuadratureWarning, match="the quadrature is not accurate; ask for more, nAGQ=7"):
        mx.glmer("b ~ x + (1 | school)", frame, "bernoulli", nAGQ=3, sampling_weights=weights)
    found = mx.glmer("b ~ x + (1 | school)", frame, "bernoulli", nAGQ="auto", sampling_weights=weights)
    assert found.solution.change <= 0.01
    assert found.nAGQ > 11


def test_boundaries_are_certified_and_named():
    rng = np.random.default_rng(2)
    frame = pupils(seed=15, schools=12, size=6, slope=0.0, spread=0.0)
    frame["c"] = rng.poisson(2.0, len(frame))
    with pytest.warns(mx.errors.SingularFitWarning):
        fit = mx.glmer("c ~ x + (1 | school)", frame, "poisson", sampling_weights=W)
    assert fit.converged
    assert fit.theta.item() == 0.0
    assert np.isnan(fit.varcorr["se_sdcor"].item())
    frame["c"] = rng.binomial(4, 0.6, len(frame))
    with pytest.warns(NoOverdispersionWarning):
        under = mx.glmer("c ~ x", frame, "negbinomial", sampling_weights={"row": "w_pupil"})
    known = mx.glmer("c ~ x", frame, "poisson", sampling_weights={"row": "w_pupil"})
    np.testing.assert_allclose(under.vcov, known.vcov, rtol=1e-3)
    assert np.isnan(under.tidy("auxiliary")["std_error"].item())


def test_separation_is_named(data):
    apart = data.assign(z=(data["b"] == 1) & (data["x"] > 0))
    with pytest.warns(mx.errors.SeparationWarning, match=r"separation: z\[True\].*without sampling weights"):
        mx.glmer("b ~ z + (1 | school)", apart, "bernoulli", sampling_weights=W)
