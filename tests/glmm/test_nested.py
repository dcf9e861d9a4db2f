"""Nested intercepts go along the tree of their levels, and find what the general way finds.

The twin is the same model with its tree hidden. Both are sums of the same numbers in another order: their relative
difference is a few hundred roundings.
"""

from __future__ import annotations

import dataclasses
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.families.registry import family
from mixedfx.glmm.course import predicted_mode
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.hessian import hessian
from mixedfx.glmm.model import build_model
from mixedfx.glmm.solve import solve_model, starting_point

TIGHT = 1e-22
KINDS = (("bernoulli", "logit"), ("bernoulli", "cauchit"), ("poisson", "log"), ("negbinomial", "log"), ("gamma", "log"))
FORMULAS = (
    "y ~ x + (1 | a)",
    "y ~ x + (1 | b) + (1 | a)",
    "y ~ x + (1 | c) + (1 | a) + (1 | b)",
    "y ~ 0 + (1 | b) + (1 | a)",
)


def data_of(name, levels=(60, 17, 5), n=240, seed=0):
    """Levels a in b in c, numbered without regard to the levels above them, of unequal size."""
    rng = np.random.default_rng(seed)
    first, second, third = levels
    above = np.concatenate([np.arange(second), rng.integers(0, second, first - second)])
    top = np.concatenate([np.arange(third), rng.integers(0, third, second - third)])
    a = np.concatenate([np.arange(first), rng.integers(0, first, n - first)])
    rng.shuffle(a)
    b = above[a]
    x = rng.normal(size=n)
    eta = 0.2 + 0.3 * x + 0.6 * rng.normal(size=first)[a] + 0.5 * rng.normal(size=second)[b]
    mean = np.exp(eta)
    y = {
        "bernoulli": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": rng.poisson(mean).astype(float),
        "negbinomial": rng.negative_binomial(2.0, 2.0 / (2.0 + mean)).astype(float),
        "gamma": rng.gamma(3.0, mean / 3.0),
    }[name]
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "c": top[b]})


def twins(name, link, formula, levels=(60, 17, 5), n=240):
    """The model with its tree, and without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        kind = family(name, link)
        design = build_design(formula, data_of(name, levels, n), family=kind)
    model, plain = build_model(design, kind), build_model(design, kind)
    assert model.tree is not None
    plain.__dict__["tree"] = None
    return model, plain


def somewhere(model):
    """Parameters off the optimum, one standard deviation with its sign changed."""
    psi = starting_point(model)
    p, r, _ = model.sizes
    rng = np.random.default_rng(1)
    psi[:p] += 0.05 * rng.normal(size=p)
    psi[p : p + r] *= 0.8 + 0.2 * rng.random(r)
    psi[p] *= -1.0
    return psi


def same(a, b, share=1e-12):
    """Equal to a few hundred roundings of the largest number, or another share of it."""
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0.0, atol=share * max(1.0, float(np.abs(b).max(initial=0.0))))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(("name", "link"), KINDS)
def test_the_tree_finds_what_the_general_way_finds(name, link, formula):
    model, plain = twins(name, link, formula)
    psi = somewhere(model)
    at, twin = evaluate(model, psi, decrement=TIGHT), evaluate(plain, psi, decrement=TIGHT)
    same(at.criterion, twin.criterion)
    same(at.gradient, twin.gradient)
    same(at.average, twin.average)
    modes = (*at.mode.v, *at.mode.h, *at.beside), (*twin.mode.v, *twin.mode.h, *twin.beside)
    for ours, theirs in zip(*modes, strict=True):
        same(ours, theirs, 1e-11)  # the root of the decrement at which the search for the mode ends
    right = at.beside
    for ours, theirs in zip(at.mode.factorization.solve(right), twin.mode.factorization.solve(right), strict=True):
        same(ours, theirs)
    for ours, theirs in zip(at.mode.factorization.gram(right), twin.mode.factorization.gram(right), strict=True):
        same(ours, theirs)
    near = psi + 0.01
    for ours, theirs in zip(predicted_mode(model, at, near), predicted_mode(plain, twin, near), strict=True):
        same(ours, theirs, 1e-11)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(("name", "link"), KINDS)
def test_second_derivatives_are_exact_with_several_factors(name, link, formula):
    """Forward differences of the gradient over 1e-4 standard errors are good to 1e-4 of the units of information."""
    model, plain = twins(name, link, formula)
    psi = somewhere(model)
    at, twin = evaluate(model, psi, decrement=TIGHT), evaluate(plain, psi, decrement=TIGHT)
    found = hessian(plain, dataclasses.replace(twin, exact=False), evaluate)
    unit = np.sqrt(np.maximum(np.diag(at.average), 1e-8))
    known = slice(0, sum(model.sizes[:2]))  # the curvature in auxiliary parameters is learnt
    off = (at.curvature - found) / np.outer(unit, unit)
    assert at.exact == (model.sizes[2] == 0)
    assert np.abs(off[known, known]).max() < 2e-4


def test_zero_variances_are_exact():
    model, plain = twins("poisson", "log", FORMULAS[1])
    psi = somewhere(model)
    psi[model.sizes[0]] = 0.0
    at, twin = evaluate(model, psi, decrement=TIGHT), evaluate(plain, psi, decrement=TIGHT)
    same(at.criterion, twin.criterion)
    same(at.gradient, twin.gradient)
    assert at.gradient[model.sizes[0]] == 0.0


def test_many_levels_whose_columns_are_permuted():
    """From 401 effects of the second level on, these stand in an order that keeps a sparse factor sparse."""
    model, plain = twins("bernoulli", "logit", FORMULAS[1], (900, 420, 5), 1200)
    psi = somewhere(model)
    at, twin = evaluate(model, psi, decrement=TIGHT), evaluate(plain, psi, decrement=TIGHT)
    same(at.gradient, twin.gradient)
    same(at.mode.v[1], twin.mode.v[1], 1e-11)


def test_optima_agree_and_take_fewer_evaluations():
    model, plain = twins("bernoulli", "logit", FORMULAS[2])
    ours, theirs = (solve_model(one, starting_point(one)) for one in (model, plain))
    assert abs(ours.criterion - theirs.criterion) < 1e-7  # the tolerance of the optimiser
    assert ours.optimization.evaluations <= theirs.optimization.evaluations


def test_crossed_and_sloped_terms_have_no_tree():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        kind = family("poisson", "log")
        data = data_of("poisson").assign(h=np.arange(240) % 7)
        for formula in ("y ~ x + (1 | a) + (1 | h)", "y ~ x + (1 + x | a)", "y ~ x + (0 + x | a)", "y ~ x"):
            assert build_model(build_design(formula, data, family=kind), kind).tree is None


def test_a_fit_can_be_pickled_and_answers_as_before():
    fit = mx.glmer("y ~ x + (1 | b) + (1 | a)", data_of("bernoulli"), family="bernoulli")
    again = pickle.loads(pickle.dumps(fit.solution))
    same(again.vcov, fit.solution.vcov)
    same(again.u, fit.solution.u)
    same(again.laplace_error, fit.solution.laplace_error)
