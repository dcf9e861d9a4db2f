"""Structured covariances and related levels, against dense matrices, against each other, and through every question.

Dense matrices of 50 rows lose some eight digits to conditioning at the most; 1e-8 relative is asked for.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, optimize

import mixedfx as mx
from mixedfx.covariance.structures import STRUCTURES
from mixedfx.errors import DataError, FormulaError, ModelError, SingularFitWarning, UnseenLevelError
from mixedfx.formula.parse import parse_formula
from mixedfx.inference.kenward_roger import kenward_roger
from mixedfx.inference.parameters import factors_of
from mixedfx.pls.batch import evaluate_batch
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import build_problem
from mixedfx.reml.refit import cross_products
from mixedfx.reml.solve import solve
from tests.oracles import dense_lmm
from tests.oracles.random_designs import make_design

structured = st.lists(
    st.tuples(
        st.integers(3, 8), st.integers(1, 4), st.sampled_from(sorted(STRUCTURES)), st.sampled_from(["g", "h", "gr1"])
    ),
    min_size=1,
    max_size=3,
)


def at(problem, seed):
    """Parameters inside their range."""
    return np.random.default_rng(seed).uniform(0.3, 1.1, problem.n_parameters)


@settings(max_examples=60)
@given(shapes=structured, seed=st.integers(0, 10_000), REML=st.booleans())
def test_criterion_modes_and_covariances_are_those_of_dense_matrices(shapes, seed, REML):
    design = make_design(seed, shapes)
    problem = build_problem(design, REML)
    par = at(problem, seed)
    found = evaluate(problem, par)
    theta = problem.theta(par)
    dense = dense_lmm.solution_at(design, theta, REML)
    np.testing.assert_allclose(found.criterion, dense.criterion, rtol=1e-9)
    joint = Joint(design, problem, found)
    np.testing.assert_allclose(joint.beta, dense.beta, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(joint.u, dense.u, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(joint.vcov, dense.vcov, rtol=1e-7, atol=1e-9)
    for t in range(len(design.random)):
        ours, theirs = joint.conditional_covariances(t), dense.joint.conditional_covariances(t)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    for F, T in zip(factors_of(design, theta), dense.factors, strict=True):
        np.testing.assert_allclose(F @ F.T, T @ T.T, rtol=1e-9, atol=1e-12)


@settings(max_examples=60)
@given(shapes=structured, seed=st.integers(0, 10_000), REML=st.booleans(), known=st.booleans())
def test_the_gradient_is_that_of_the_criterion(shapes, seed, REML, known):
    """Central differences over 1e-5 are good to 1e-6 of the largest derivative."""
    problem = build_problem(make_design(seed, shapes, known_sd=known, weighted=not known), REML)
    par = at(problem, seed)
    gradient = evaluate(problem, par).gradient
    step = 1e-5
    numeric = [
        (evaluate(problem, par + s).criterion - evaluate(problem, par - s).criterion) / (2 * step)
        for s in step * np.eye(len(par))
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(gradient).max()))


@settings(max_examples=30)
@given(
    k=st.integers(1, 4), structure=st.sampled_from(sorted(STRUCTURES)), seed=st.integers(0, 10_000), REML=st.booleans()
)
def test_many_responses_at_once_are_evaluated_as_one_by_one(k, structure, seed, REML):
    design = make_design(seed, [(6, k, structure, "g")])
    problem = build_problem(design, REML)
    rng = np.random.default_rng(seed)
    Y = design.y[:, None] + rng.normal(size=(len(design.y), 3))
    par = rng.uniform(0.3, 1.1, (3, problem.n_parameters))
    together = evaluate_batch(problem, cross_products(design, problem, Y), par)
    for b in range(3):
        one = evaluate(build_problem(replace(design, y=Y[:, b]), REML), par[b])
        np.testing.assert_allclose(together.criterion[b], one.criterion, rtol=1e-9)
        np.testing.assert_allclose(together.gradient[b], one.gradient, rtol=1e-6, atol=1e-7)
        scale = np.abs(one.information).max()
        np.testing.assert_allclose(together.information[b], one.information, atol=1e-7 * scale)


@settings(max_examples=20)
@given(shapes=structured, seed=st.integers(0, 1000))
def test_a_fit_is_a_minimum(shapes, seed):
    """No dense criterion nearby is lower: theta moved by 1e-3 of itself, inside its range."""
    design = make_design(seed, shapes, n=60)
    solution = solve(design)
    if not solution.optimization.converged:
        return  # a saddle or an exact fit has said so
    rng = np.random.default_rng(seed)
    for _ in range(5):
        theta = solution.theta * rng.uniform(0.999, 1.001, len(solution.theta))
        theta = solution.problem.theta(solution.problem.parameters(theta))  # within the family
        assert dense_lmm.criterion(design, theta) >= solution.criterion - 1e-7 * abs(solution.criterion)


def dense_patterns(design, theta):
    """(n, n) derivatives of V: dense, by differences of the covariance in standard deviations and correlations."""
    Z, out, at_term = dense_lmm.dense_Z(design), [], 0
    for t, (first, term) in enumerate(zip(design.starts, design.random, strict=False)):
        k, r = term.n_columns, term.covariance.n_parameters
        columns = Z[:, first : first + term.n_levels * k]
        A = np.eye(term.n_levels) if term.relation is None else term.relation
        if term.covariance.entries is None:
            patterns = []
            for step in 1e-5 * np.eye(len(theta))[at_term : at_term + r]:
                high, low = (dense_lmm.factors_of(design, theta + s)[t] for s in (step, -step))
                patterns.append((high @ high.T - low @ low.T) / 2e-5)
        else:
            patterns = []
            for a in range(k):
                for c in range(a, k if term.structure == "us" else a + 1):
                    E = np.zeros((k, k))
                    E[a, c] = E[c, a] = 1.0
                    patterns.append(E)
        out += [columns @ np.kron(A, E) @ columns.T for E in patterns]
        at_term += r
    return [*out, np.diag(1.0 / design.weights)]


@settings(max_examples=15)
@given(
    shapes=st.lists(
        st.tuples(st.integers(4, 6), st.integers(1, 3), st.sampled_from([s for s in STRUCTURES if s != "diag"]),
                  st.sampled_from(["g", "h", "gr1"])),
        min_size=1, max_size=2, unique_by=lambda s: s[3],
    ),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_kenward_roger_is_that_of_dense_matrices(shapes, seed):
    """First derivatives of the dense covariance, differenced over 1e-5: good to seven digits."""
    design = make_design(seed, shapes, n=60)
    problem = build_problem(design)
    par = at(problem, seed)
    evaluation = evaluate(problem, par)
    theta, s2 = problem.theta(par), evaluation.sigma2
    dense = dense_lmm.solution_at(design, theta)
    G = dense_patterns(design, theta)
    X, V = design.X, (dense_lmm_covariance(design, theta))
    Vi = np.linalg.inv(V)
    Phi = s2 * np.linalg.inv(X.T @ Vi @ X)
    P = Vi - Vi @ X @ (Phi / s2) @ X.T @ Vi
    information = np.array([[np.sum((P @ A) * (P @ B).T) for B in G] for A in G])
    W = 2.0 * np.linalg.inv(information)
    Pi = [X.T @ Vi @ A @ Vi @ X for A in G]
    bracket = sum(
        W[i, j] * (X.T @ Vi @ G[i] @ Vi @ G[j] @ Vi @ X - Pi[i] @ (Phi / s2) @ Pi[j])
        for i in range(len(G))
        for j in range(len(G))
    )
    adjusted = Phi + 2.0 * Phi @ bracket @ Phi / s2
    ours = kenward_roger(problem, par)
    np.testing.assert_allclose(ours.vcov, (adjusted + adjusted.T) / 2, rtol=1e-4, atol=1e-6 * np.abs(adjusted).max())
    c = np.eye(len(Phi))
    v = np.diag(Phi)
    g = np.array([[-(Phi @ A @ Phi / s2)[j, j] for A in Pi] for j in range(len(Phi))])
    df = 2 * v**2 / np.einsum("ji,ik,jk->j", g, W, g)
    np.testing.assert_allclose(ours.t_df(c), df, rtol=1e-4)
    np.testing.assert_allclose(dense.vcov, Phi, rtol=1e-7, atol=1e-10)


def dense_lmm_covariance(design, theta):
    """(n, n) V relative to sigma^2."""
    Z, blocks = dense_lmm.dense_Z(design), []
    for term, T in zip(design.random, dense_lmm.factors_of(design, theta), strict=True):
        A = np.eye(term.n_levels) if term.relation is None else term.relation
        blocks.append(np.kron(A, T @ T.T))
    return np.diag(1 / design.weights) + Z @ linalg.block_diag(*blocks) @ Z.T


# --- structures against each other -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcomes():
    """12 classes with three outcomes measured twice each."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        [(f"c{c}", o, r) for c in range(12) for o in ("maths", "reading", "science") for r in range(2)],
        columns=["class_", "outcome", "round"],
    )
    shared = rng.normal(size=12)
    own = rng.normal(size=(12, 3)) * 0.6
    level = data["outcome"].map({"maths": 0, "reading": 1, "science": 2})
    c = data["class_"].str[1:].astype(int)
    data["x"] = rng.normal(size=len(data))
    data["score"] = 0.4 * data.x + shared[c] + own[c, level] + rng.normal(size=len(data)) * 0.7
    return data


def test_compound_symmetry_with_one_variance_is_the_nested_model(outcomes):
    """rho sd^2 is the variance between classes, (1 - rho) sd^2 that of outcomes within them."""
    nested = mx.lmer("score ~ x + (1 | class_) + (1 | class_:outcome)", outcomes)
    homcs = mx.lmer("score ~ x + homcs(0 + outcome | class_)", outcomes)
    np.testing.assert_allclose(homcs.criterion, nested.criterion, rtol=1e-10)
    total = nested.varcorr.vcov[:2].sum()
    np.testing.assert_allclose(homcs.varcorr.sdcor[:2], [np.sqrt(total), nested.varcorr.vcov[0] / total], rtol=1e-5)
    for ddf in ("satterthwaite", "kenward-roger"):
        ours, theirs = homcs.tidy(ddf=ddf), nested.tidy(ddf=ddf)
        np.testing.assert_allclose(ours[["estimate", "std_error", "df"]], theirs[["estimate", "std_error", "df"]],
                                   rtol=1e-4)  # fmt: skip
    np.testing.assert_allclose(homcs.fitted, nested.fitted, rtol=1e-5)


def test_structures_of_two_columns_and_their_order(outcomes):
    """cs of two columns is unstructured; a smaller family never fits better."""
    two = outcomes[outcomes.outcome != "science"]
    fits = {s: mx.lmer(f"score ~ x + {s}(0 + outcome | class_)", two) for s in STRUCTURES}
    np.testing.assert_allclose([fits["cs"].criterion, fits["hetar1"].criterion], fits["us"].criterion, rtol=1e-9)
    np.testing.assert_allclose(fits["ar1"].criterion, fits["homcs"].criterion, rtol=1e-9)
    every = {s: mx.lmer(f"score ~ x + {s}(0 + outcome | class_)", outcomes).criterion for s in STRUCTURES}
    for small, large in (("id", "diag"), ("id", "homcs"), ("homcs", "cs"), ("diag", "cs"), ("cs", "us"),
                         ("id", "ar1"), ("ar1", "hetar1"), ("diag", "hetar1"), ("hetar1", "us")):  # fmt: skip
        assert every[large] <= every[small] + 1e-7
    bars = (
        mx.lmer("score ~ x + (0 + outcome | class_)", outcomes),
        mx.lmer("score ~ x + (0 + outcome || class_)", outcomes),
    )
    np.testing.assert_allclose([every["us"], every["diag"]], [f.criterion for f in bars], rtol=1e-12)


def test_a_negative_correlation_of_three_columns(outcomes):
    """Outcomes that compete: rho is below zero, down to its lowest value of one half."""
    data = outcomes.copy()
    data["score"] -= data.groupby(["class_", "round"])["score"].transform("mean")
    fit = mx.lmer("score ~ x + homcs(0 + outcome | class_)", data)
    rho = fit.varcorr.sdcor[1]
    assert -0.5 - 1e-12 <= rho < -0.4
    edge = mx.lmer("score ~ 0 + x + homcs(0 + outcome | class_)", data)
    assert edge.varcorr.sdcor[1] >= -0.5 - 1e-12


def test_a_correlation_at_its_end_is_called_singular(outcomes):
    data = outcomes.copy()
    by_class = data["class_"].str[1:].astype(int)
    rng = np.random.default_rng(1)
    data["score"] = rng.normal(size=12)[by_class] * np.where(data.outcome == "maths", 2.0, 1.0) + rng.normal(size=72)
    fit = mx.lmer("score ~ x + cs(0 + outcome | class_)", data)
    if fit.varcorr.sdcor[3] == 1.0:
        assert fit.singular
        assert "correlation of any two of outcome" in fit.singularity.text
    zero = data.assign(score=rng.normal(size=72) - 0.9 * rng.normal(size=72))
    fit = mx.lmer("score ~ x + id(0 + outcome | class_)", zero)
    assert fit.singular == (fit.theta.iloc[0] < 1e-4)


@pytest.mark.parametrize("structure", ["homcs", "ar1"])
def test_profiles_of_components_are_smallest_deviances(outcomes, structure):
    """An end of a profile interval has a deviance 3.84 above the ML fit's: by brute force over the others."""
    fit = mx.lmer(f"score ~ x + {structure}(0 + outcome | class_)", outcomes, REML=False)
    table = fit.confint(method="profile", parm="ran_pars").set_index("term")
    design = fit.design

    def deviance(sd, rho, sigma):
        theta = np.array([sd / sigma, rho])
        T = dense_lmm_covariance(replace(design, weights=np.ones(len(design.y))), theta)
        V = sigma**2 * T
        Vi = np.linalg.inv(V)
        b = np.linalg.solve(design.X.T @ Vi @ design.X, design.X.T @ Vi @ design.y)
        e = design.y - design.X @ b
        return np.linalg.slogdet(V)[1] + len(e) * np.log(2 * np.pi) + e @ Vi @ e

    sd, rho, sigma = (float(table.estimate[t]) for t in ("sd__outcome", "cor__outcome.outcome", "sd__Observation"))
    options = {"xatol": 1e-7, "fatol": 1e-9}
    for end in ("conf_low", "conf_high"):
        a, b = table[end]["sd__outcome"], table[end]["cor__outcome.outcome"]
        of_sd = optimize.minimize(lambda x, a=a: deviance(a, *x), [rho, sigma], method="Nelder-Mead", options=options)
        of_rho = optimize.minimize(
            lambda x, b=b: deviance(x[0], b, x[1]), [sd, sigma], method="Nelder-Mead", options=options
        )
        np.testing.assert_allclose([of_sd.fun, of_rho.fun], fit.criterion + 3.841459, atol=1e-3)


@pytest.mark.parametrize("structure", [s for s in STRUCTURES if s not in ("us", "diag")])
def test_every_question_has_an_answer(outcomes, structure):
    """Of a fit with a structured term, that it runs, and that start= finds its way back."""
    fit = mx.lmer(f"score ~ x + {structure}(0 + outcome | class_)", outcomes)
    again = mx.lmer(f"score ~ x + {structure}(0 + outcome | class_)", outcomes, control=mx.control(start=fit.theta))
    np.testing.assert_allclose(again.criterion, fit.criterion, rtol=1e-10)
    r = fit.design.random[0].covariance.n_parameters
    assert len(fit.theta) == r == len(fit.varcorr) - 1
    assert structure in str(fit.summary())
    assert set(fit.ranef["class_"].columns) == {"outcome[maths]", "outcome[reading]", "outcome[science]"}
    drawn = fit.simulate(2000, seed=1).to_numpy()
    np.testing.assert_allclose(drawn.var(axis=1).mean(), np.diag(dense_marginal(fit)).mean(), rtol=0.1)
    effects = mx.effects(fit, "x")
    np.testing.assert_allclose(effects.table.estimate, fit.fixef["x"], rtol=1e-6)
    assert np.isfinite(fit.bootstrap(50, seed=1).tidy().std_error).all()
    new = outcomes.head(6).assign(class_="new")
    assert np.isfinite(fit.predict(new, new_levels="population")).all()


def test_neighbours_in_other_orders_are_other_neighbours(outcomes):
    """Levels in their own order are the occasions; reversed they are the same process, and mixed up another one."""

    def criterion(order, structure):
        data = outcomes.assign(outcome=pd.Categorical(outcomes.outcome, categories=list(order)))
        return mx.lmer(f"score ~ x + {structure}(0 + outcome | class_)", data).criterion

    straight, back, mixed = (("maths", "reading", "science"), ("science", "reading", "maths"),
                             ("reading", "maths", "science"))  # fmt: skip
    for structure in ("ar1", "hetar1"):
        np.testing.assert_allclose(criterion(straight, structure), criterion(back, structure), rtol=1e-9)
        assert abs(criterion(straight, structure) - criterion(mixed, structure)) > 1e-3


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_serial_correlation_at_its_end_is_called_singular(outcomes, sign):
    """Effects that are one and the same, or change their sign from one to the next."""
    rng = np.random.default_rng(1)
    data = outcomes.copy()
    pattern = data.outcome.map({"maths": 1.0, "reading": sign, "science": 1.0}).astype(float)
    data["noise"] = rng.normal(size=72)
    data["noise"] -= data.groupby(["class_", "outcome"])["noise"].transform("mean")  # nothing of the outcomes' own
    data["score"] = 3.0 * rng.normal(size=12)[data["class_"].str[1:].astype(int)] * pattern + data["noise"]
    with pytest.warns(SingularFitWarning, match="neighbours"):
        fit = mx.lmer("score ~ ar1(0 + outcome | class_)", data)
    assert fit.varcorr.sdcor[1] == sign
    assert "of neighbours" in str(fit.summary())
    same = data.assign(signed=pattern)
    plain = mx.lmer("score ~ (0 + signed | class_)", same)
    np.testing.assert_allclose(fit.criterion, plain.criterion, rtol=1e-10)


def dense_marginal(fit):
    return fit.sigma**2 * dense_lmm_covariance(replace(fit.design, weights=np.ones(fit.nobs)), fit.theta.to_numpy())


# --- related levels --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def species():
    """Ten species on a line of descent, one to five animals each."""
    rng = np.random.default_rng(8)
    names = [f"sp{i}" for i in range(10)]
    position = np.sort(rng.uniform(0, 4, 10))
    A = pd.DataFrame(np.exp(-np.abs(position[:, None] - position)), index=names, columns=names)
    u = np.linalg.cholesky(A.to_numpy()) @ rng.normal(size=10)
    rows = np.repeat(np.arange(10), rng.integers(1, 6, 10))
    data = pd.DataFrame({"species": np.array(names)[rows], "x": rng.normal(size=len(rows))})
    data["mass"] = 1 + 0.5 * data.x + 1.2 * u[rows] + 0.5 * rng.normal(size=len(rows))
    return data, A


def test_levels_that_are_not_related_are_levels(species):
    data, A = species
    unit = pd.DataFrame(np.eye(10), index=A.index, columns=A.columns)
    plain = mx.lmer("mass ~ x + (1 | species)", data)
    fit = mx.lmer("mass ~ x + (1 | gr(species, cov=A))", data, env={"A": unit})
    np.testing.assert_allclose(fit.criterion, plain.criterion, rtol=1e-10)
    np.testing.assert_allclose(fit.ranef["gr(species)"], plain.ranef["species"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fit.tidy().df, plain.tidy().df, rtol=1e-5)


def test_the_order_of_a_relation_does_not_matter_and_others_are_left_out(species):
    data, A = species
    fit = mx.lmer("mass ~ x + (1 | gr(species, cov=A))", data, env={"A": A})
    more = A.copy()
    more.loc["sp10"], more["sp10"] = 0.0, 0.0
    more.loc["sp10", "sp10"] = 1.0
    order = np.random.default_rng(0).permutation(more.index)
    again = mx.lmer("mass ~ x + (1 | gr(species, cov=K))", data, env={"K": more.loc[order, order]})
    np.testing.assert_allclose(again.criterion, fit.criterion, rtol=1e-12)


def test_a_factor_and_its_relation_stand_side_by_side(species):
    """As in phylogenetic models: what species share by descent, and what they have of their own."""
    data, A = species
    fit = mx.lmer("mass ~ x + (1 | gr(species, cov=A)) + (1 | species)", data, env={"A": A})
    one = mx.lmer("mass ~ x + (1 | gr(species, cov=A))", data, env={"A": A})
    assert list(fit.varcorr.grp) == ["gr(species)", "species", "Residual"]
    assert fit.criterion <= one.criterion + 1e-8
    test = mx.lmer("mass ~ x + (1 + x | gr(species, cov=A))", data, env={"A": A})
    assert test.criterion <= one.criterion + 1e-8


def test_draws_of_related_effects_have_their_covariance(species):
    data, A = species
    fit = mx.lmer("mass ~ x + (1 | gr(species, cov=A))", data, env={"A": A})
    expected = dense_marginal(fit)
    found = np.cov(fit.simulate(4000, seed=3).to_numpy())
    np.testing.assert_allclose(found, expected, atol=0.1 * expected.max())
    effects = mx.effects(fit, "x")
    np.testing.assert_allclose(effects.table.estimate, fit.fixef["x"], rtol=1e-6)


def test_bad_relations_are_refused(species):
    data, A = species
    formula = "mass ~ x + (1 | gr(species, cov=A))"
    for env, error, words in (
        ({}, FormulaError, "not known"),
        ({"A": A.to_numpy()}, DataError, "which row belongs"),
        ({"A": A.iloc[1:, 1:]}, DataError, "no row or column for 1 of 10"),
        ({"A": A.replace(A.iloc[0, 1], np.nan)}, DataError, "not finite"),
        ({"A": A + np.triu(np.ones((10, 10)), 1)}, DataError, "not symmetric"),
        ({"A": A * 0 + 1.0}, DataError, "not positive definite"),
        ({"A": pd.concat([A, A])}, DataError, "twice"),
    ):
        with pytest.raises(error, match=words):
            mx.lmer(formula, data, env=env)
    fit = mx.lmer(formula, data, env={"A": A})
    new = data.head(2).assign(species="new")
    with pytest.raises(UnseenLevelError, match="how the levels"):
        fit.predict(new, new_levels="sample")
    assert np.isfinite(fit.predict(new, new_levels="population")).all()


def test_copies_of_related_levels_are_refused(species):
    data, A = species
    fit = mx.lmer("mass ~ x + (1 | gr(species, cov=A))", data, env={"A": A})
    for kind in ("cluster", "residual"):
        with pytest.raises(ModelError, match="related"):
            fit.bootstrap(5, kind, seed=1)
    assert np.isfinite(fit.bootstrap(20, seed=1).tidy().std_error).all()


# --- formulas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("y ~ cs(0 + o | g)", "y ~ 1 + cs(0 + o | g)"),
        ("y ~ x + us(z | g/h)", "y ~ 1 + x + (1 + z | g) + (1 + z | g:h)"),
        ("y ~ diag(z | g)", "y ~ 1 + (1 + z || g)"),
        ("y ~ homcs(log(z) + w | `my g`) + cs(x, df=4)", "y ~ 1 + cs(x, df=4) + homcs(1 + log(z) + w | `my g`)"),
        ("y ~ (1 | gr(s, cov=A)) + I(a | b)", "y ~ 1 + I(a | b) + (1 | gr(s, cov=A))"),
        ("y ~ id(0 + o | gr(s, cov=A))", "y ~ 1 + id(0 + o | gr(s, cov=A))"),
    ],
)
def test_formulas_print_what_they_are_and_are_read_again(text, printed):
    parsed = parse_formula(text)
    assert str(parsed) == printed
    assert parse_formula(printed).equivalent(parsed)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ x + toep(1 + z | g)", "no covariance structure `toep`"),
        ("y ~ x + cs(1 + z || g)", "one bar"),
        ("y ~ x * cs(1 + z | g)", "can only be added"),
        ("y ~ x - cs(1 + z | g)", "cannot be subtracted"),
        ("y ~ x + (1 | gr(g))", "named in the call"),
        ("y ~ x + (1 | gr(g, A))", "named in the call"),
        ("cs(y | g) ~ x", None),
    ],
)
def test_formulas_that_are_not_understood(formula, words):
    data = pd.DataFrame({"y": np.arange(8.0), "x": np.arange(8.0) % 3, "z": np.arange(8.0) % 2, "g": list("aabbccdd")})
    with pytest.raises((FormulaError, DataError), match=words):
        mx.lmer(formula, data)
