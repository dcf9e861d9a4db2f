"""The recursion is the pseudo likelihood: with weights of one the likelihood, with others what integration says."""

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.surveys.levels import nesting
from mixedfx.surveys.maximum import evaluate
from mixedfx.surveys.problem import products, weighted_problem, whole
from mixedfx.surveys.weights import LevelWeights
from tests.oracles.weighted_lmm import Level, by_quadrature, gradient, maximum, of_units
from tests.surveys.samples import pupils

FORMULAS = {
    "intercept": "y ~ x + sex + (1 | school)",
    "slope": "y ~ x + sex + (1 + x | school)",
    "no correlation": "y ~ x + (1 + x || school)",
    "two terms of one factor": "y ~ x + (1 | school) + (0 + x | school)",
    "compound symmetry": "y ~ x + cs(0 + sex | school)",
    "one variance": "y ~ x + homcs(0 + sex | school)",
    "nothing fixed": "y ~ 0 + (1 | school)",
    "three levels": "y ~ x + sex + (1 | district) + (1 | school)",
    "three levels with slopes": "y ~ x + (1 + x | district) + (1 + x | school)",
    "three levels, nested names": "y ~ x + (1 | district/school)",
    "an offset": "y ~ x + offset(x) + (1 | school)",
    "no random terms": "y ~ x + sex",
}


def one(data, *names):
    return {name: np.ones(len(data)) for name in names}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_weights_of_one_give_maximum_likelihood(name):
    data = pupils(seed=5, schools=24, districts=8)
    formula = FORMULAS[name]
    known = mx.lmer(formula, data, REML=False, control={"tolerance": 1e-14})
    labels = [term.label for term in known.design.random]
    fit = mx.lmer(formula, data, sampling_weights=one(data, "row", *dict.fromkeys(labels)))
    assert fit.converged
    # minimised to rounding, where lmer stops at differences of 1e-8 of a criterion near 500
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-8)
    assert fit.criterion <= known.criterion + 1e-9
    np.testing.assert_allclose(fit.fixef, known.fixef, rtol=0, atol=2e-7)
    np.testing.assert_allclose(fit.varcorr["vcov"], known.varcorr["vcov"], rtol=2e-6, atol=2e-7)
    for group, modes in known.ranef.items():
        np.testing.assert_allclose(fit.ranef[group], modes.loc[fit.ranef[group].index], rtol=1e-6, atol=1e-6)
        sd = known.ranef_sd[group].loc[fit.ranef[group].index]
        if len(set(labels)) == 1:  # given the levels above, and averaged over them, agree for one level
            np.testing.assert_allclose(fit.ranef_sd[group], sd, rtol=1e-6, atol=1e-6)
    # at lmer's theta everything is lmer's
    solved = fit.solution.solved
    at = evaluate(solved.problem, solved.given, solved.problem.used(parameters(solved.problem, known)))
    assert at.criterion.item() == pytest.approx(known.criterion, abs=1e-8)
    assert at.sigma.item() == pytest.approx(known.sigma, abs=1e-8)
    np.testing.assert_allclose(solved.problem.beta(at.gamma[0], 0), known.fixef, rtol=0, atol=1e-8)


def parameters(problem, known):
    """(1, r) parameters of lmer's theta, in the order of levels."""
    out, starts, at = np.zeros((1, problem.n_parameters)), [], 0
    for term in known.design.random:
        starts.append(at)
        at += term.covariance.n_parameters
    for level in problem.blocks:
        for block in level:
            own = known.theta.to_numpy()[starts[block.term] : starts[block.term] + block.structure.n_parameters]
            out[0, block.parameters] = block.structure.parameters(block.structure.factor_at(own))
    return out


def test_precision_weights_stay_what_they_are(two):
    """sigma^2 / w is the variance of a row, whatever the row stands for."""
    data = two.assign(precise=np.linspace(0.3, 2.0, len(two)))
    known = mx.lmer("y ~ x + (1 | school)", data, REML=False, weights="precise", control={"tolerance": 1e-14})
    fit = mx.lmer("y ~ x + (1 | school)", data, weights="precise", sampling_weights=one(data, "row", "school"))
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.fixef, known.fixef, rtol=0, atol=1e-8)
    assert fit.sigma == pytest.approx(known.sigma, abs=1e-8)


def test_the_sum_of_copies_is_the_weight(two):
    """A school of weight two is two schools alike; a pupil of weight two within it is two pupils alike."""
    w = {"row": np.where(two["x"] > 0, 2.0, 1.0), "school": np.where(two["school"] < "s05", 2.0, 1.0)}
    fit = mx.lmer(
        "y ~ x + (1 + x | school)", two,
        sampling_weights=mx.sampling_weights(w, conditional=True, scaling="none"),
    )  # fmt: skip
    copies = two.loc[np.repeat(two.index, w["row"].astype(int))]
    again = copies[copies["school"] < "s05"].assign(school=lambda d: d["school"] + " again")
    whole_sample = np.concatenate([copies.to_records(index=False), again.to_records(index=False)])
    known = mx.lmer("y ~ x + (1 + x | school)", mx_frame(whole_sample), REML=False, control={"tolerance": 1e-14})
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.fixef, known.fixef, atol=1e-7)  # lmer's own tolerance
    np.testing.assert_allclose(fit.varcorr["vcov"], known.varcorr["vcov"], rtol=1e-6)


def mx_frame(records):
    import pandas as pd

    return pd.DataFrame.from_records(records)


def levels_of(fit, order):
    """Levels for the oracle, top first: conditional scaled weights by code."""
    out = []
    for level, w in zip(order.levels, fit.solution.weights.conditional.units, strict=True):
        term = fit.design.random[level.terms[0]]
        by_code = np.empty(level.size)
        by_code[level.code] = w[0]
        z = np.column_stack([fit.design.random[t].z for t in level.terms])
        out.insert(0, Level(term.codes, z, by_code))
    rows = np.empty(len(fit.design.y))
    rows[order.order] = fit.solution.weights.conditional.rows[0]
    return out, rows


def factor_blocks(fit, order):
    out = []
    for level in order.levels:
        k = sum(fit.design.random[t].n_columns for t in level.terms)
        T, at = np.zeros((k, k)), 0
        for t in level.terms:
            own = fit.solution.factors[t]
            T[at : at + len(own), at : at + len(own)] = own
            at += len(own)
        out.insert(0, T)
    return out


@pytest.mark.parametrize("scaling", ["size", "effective", "none"])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | school)", "y ~ x + (1 + x | school)"])
def test_two_levels_are_what_quadrature_says(formula, scaling, two):
    fit = mx.lmer(formula, two, sampling_weights=mx.sampling_weights(row="w_pupil", school="w_school", scaling=scaling))
    order = nesting(fit.design)
    levels, rows = levels_of(fit, order)
    points = 161 if fit.design.random[0].n_columns == 1 else 121
    found = by_quadrature(
        fit.design.y, fit.design.X, rows, levels, fit.fixef.to_numpy(), factor_blocks(fit, order), fit.sigma, points
    )
    assert -2 * found == pytest.approx(fit.criterion, abs=1e-6)


def test_three_levels_are_what_quadrature_says(three):
    fit = mx.lmer(
        "y ~ x + (1 | district) + (1 | school)", three,
        sampling_weights={"row": "w_pupil", "school": "w_school", "district": "w_district"},
    )  # fmt: skip
    order = nesting(fit.design)
    levels, rows = levels_of(fit, order)
    assert [len(level.weights) for level in levels] == [6, 18]
    T = factor_blocks(fit, order)
    assert all(t.item() > 0.1 for t in T), "variances at both levels, or the test says little"

    def log_likelihood(x):
        sigma = np.exp(x[-1])
        factors = [np.array([[x[2]]]), np.array([[x[3]]])]
        return by_quadrature(fit.design.y, fit.design.X, rows, levels, x[:2], factors, sigma, 121)

    at = np.array([*fit.fixef, T[0].item(), T[1].item(), np.log(fit.sigma)])
    assert -2 * log_likelihood(at) == pytest.approx(fit.criterion, abs=1e-6)
    np.testing.assert_allclose(gradient(log_likelihood, at, 1e-4), 0.0, atol=2e-5)  # differences of step 1e-4


def test_three_levels_with_slopes_are_what_quadrature_says(three):
    """Two effects of a school within one of its district."""
    fit = mx.lmer(
        "y ~ x + (1 | district) + (1 + x || school)", three,
        sampling_weights={"row": "w_pupil", "school": "w_school", "district": "w_district"},
    )  # fmt: skip
    order = nesting(fit.design)
    levels, rows = levels_of(fit, order)
    T = [np.array([[0.6]]), np.diag([0.9, 0.7])]  # anywhere, since the slopes may not vary
    problem, given = fit.solution.solved.problem, fit.solution.solved.given
    par = np.zeros((1, 3))
    for level, factor in zip(problem.blocks, T[::-1], strict=True):
        for block in level:
            own = factor[block.columns, block.columns]
            par[:, block.parameters] = block.structure.parameters(block.basis @ own)
    point = evaluate(problem, given, par)
    beta = problem.beta(point.gamma[0], 0)
    found = by_quadrature(fit.design.y, fit.design.X, rows, levels, beta, T, point.sigma[0], 81)
    assert -2 * found == pytest.approx(point.criterion[0], abs=1e-6)


def test_the_maximum_is_that_of_a_general_optimiser(two):
    fit = mx.lmer("y ~ x + (1 + x | school)", two, sampling_weights={"row": "w_pupil", "school": "w_school"})
    levels, rows = levels_of(fit, nesting(fit.design))

    def log_likelihood(x):
        T = np.array([[x[2], 0.0], [x[3], x[4]]])
        return of_units(fit.design.y, fit.design.X, rows, levels[0], x[:2], T, np.exp(x[5])) @ levels[0].weights

    x, value = maximum(log_likelihood, np.array([1.5, 0.3, 0.8, 0.1, 0.5, 0.2]))
    assert -2 * value == pytest.approx(fit.criterion, abs=1e-7)
    np.testing.assert_allclose(fit.fixef, x[:2], atol=1e-5)  # the optimiser's own tolerance
    np.testing.assert_allclose(fit.theta, x[2:5] * np.sign(x[[2, 2, 4]]), atol=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_the_criterion(name):
    data = pupils(seed=5, schools=12, districts=4)
    design = build_design(FORMULAS[name], data)
    order = nesting(design)
    rng = np.random.default_rng(1)
    weights = LevelWeights(
        rng.uniform(0.5, 2, (3, len(design.y))), tuple(rng.uniform(0.5, 3, (3, level.size)) for level in order.levels)
    )
    problem = weighted_problem(design, order)
    given = products(problem, weights)
    par = rng.uniform(0.3, 1.0, (3, problem.n_parameters))
    point = evaluate(problem, given, par)

    def moved(what):
        return lambda x: getattr(evaluate(problem, given, par + x), what)

    zero = np.zeros(problem.n_parameters)
    if len(zero):
        np.testing.assert_allclose(gradient(moved("criterion"), zero).T, point.gradient, atol=1e-5)
        np.testing.assert_allclose(gradient(moved("gradient"), zero).transpose(1, 0, 2), point.hessian, atol=1e-4)
        first = gradient(lambda x: whole(problem, given, problem.factors(par + x)).S, zero)
        np.testing.assert_allclose(first, [whole(problem, given, problem.factors(par)).S1[a] for a in range(len(zero))],
                                   atol=1e-5)  # fmt: skip


def test_fits_side_by_side_are_fits_one_by_one(three):
    """Many sets of weights in one array change nothing."""
    design = build_design("y ~ x + (1 + x | district) + (1 | school)", three)
    order = nesting(design)
    rng = np.random.default_rng(2)
    weights = LevelWeights(
        rng.uniform(0.5, 2, (5, len(design.y))), tuple(rng.uniform(0.5, 3, (5, level.size)) for level in order.levels)
    )
    problem = weighted_problem(design, order)
    par = rng.uniform(0.3, 1.0, (5, problem.n_parameters))
    together = evaluate(problem, products(problem, weights), par)
    for f in range(5):
        alone = evaluate(problem, products(problem, weights.take(slice(f, f + 1))), par[f : f + 1])
        for what in ("criterion", "gradient", "hessian", "gamma", "sigma"):
            np.testing.assert_allclose(getattr(alone, what)[0], getattr(together, what)[f], rtol=1e-9, atol=1e-9)


def test_a_variance_of_zero_is_certified_at_the_boundary():
    data = pupils(seed=15, schools=12, size=6, slope=0.0, spread=0.0)
    with pytest.warns(mx.errors.SingularFitWarning):
        fit = mx.lmer("y ~ x + (1 | school)", data, sampling_weights={"row": "w_pupil", "school": "w_school"})
    assert fit.converged
    assert fit.theta.item() == 0.0
    assert fit.optimization.curvature > 0
    assert np.isnan(fit.varcorr["se_sdcor"].iloc[0])


def test_a_calendar_year_is_as_good_as_a_centred_one():
    """Columns far from zero: the same fit, to digits that the distance leaves."""
    data = pupils(seed=4, schools=20)
    data["year"] = 2000.0 + data["x"]
    w = {"row": "w_pupil", "school": "w_school"}
    near = mx.lmer("y ~ x + (1 + x | school)", data, sampling_weights=w)
    far = mx.lmer("y ~ year + (1 + year | school)", data, sampling_weights=w)
    assert far.converged
    assert far.criterion == pytest.approx(near.criterion, abs=1e-6)
    assert far.fixef["year"] == pytest.approx(near.fixef["x"], abs=1e-7)
