"""The reported error of Laplace's approximation against quadrature, and quadrature against the truth."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning
from mixedfx.glmm.integration import criterion_function
from tests.glmm.data import classic


def true_error(fit, nodes):
    """What quadrature gives at the same parameters, less what Laplace's approximation gives."""
    solution = fit.solution
    return criterion_function(nodes)(solution.model, solution.psi, solution.evaluation.mode.v).criterion - fit.criterion


def small_groups(seed):
    """300 groups of 3 to 5 yes/no answers, sd 1."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(300), rng.integers(3, 6, 300))
    x = rng.normal(size=len(g))
    y = (rng.random(len(g)) < 1 / (1 + np.exp(-x - rng.normal(size=300)[g]))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str)})


@pytest.mark.parametrize(
    ("text", "data", "family"),
    [
        ("incidence | trials(size) ~ period + (1 | herd)", "cbpp", "binomial"),
        ("r2 ~ Anger + Gender + btype + situ + mode + (1 | id)", "verbagg", "bernoulli"),
        ("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", "grouseticks", "poisson"),
        ("TICKS ~ YEAR + cHEIGHT + (1 | LOCATION)", "grouseticks", "negbinomial"),
        ("Reaction ~ Days + (Days | Subject)", "sleepstudy", "gamma"),
    ],
)
def test_reported_error_is_within_a_fifth_of_the_true_one(text, data, family):
    fit = mx.glmer(text, classic(data), family)
    true = true_error(fit, 25 if "Days |" not in text else 11)
    assert abs(true) < 5
    assert fit.laplace_error == pytest.approx(true, rel=0.2)


@pytest.mark.parametrize("seed", range(6))
def test_reported_error_of_small_groups(seed):
    fit = mx.glmer("y ~ x + (1 | g)", small_groups(seed), "bernoulli")
    true = true_error(fit, 25)
    assert fit.laplace_error == pytest.approx(true, rel=0.2)


def test_the_sum_over_pairs_is_that_of_all_rows():
    """Crossed factors: C laid out densely, its entries cubed; only pairs that share a level count."""
    fit = mx.glmer("r2 ~ Anger + (1 | item) + (1 + Gender | btype:situ)", classic("verbagg").iloc[::9], "bernoulli")
    design, solution = fit.design, fit.solution
    mode, model = solution.evaluation.mode, solution.model
    order = model.rows.order
    Z, eta = fit.design_for().random.toarray(), solution.eta
    from scipy import linalg

    Lam = linalg.block_diag(
        *(np.kron(np.eye(t.n_levels), T) for t, T in zip(design.random, solution.factors, strict=True))
    )
    w = np.empty(len(eta))
    w[order] = mode.w
    C = Z @ Lam @ np.linalg.inv(Lam.T @ (Z.T * w) @ Z @ Lam + np.eye(len(Lam))) @ Lam.T @ Z.T
    p = 1 / (1 + np.exp(-eta))
    third, fourth, c = w * (1 - 2 * p), w * (1 - 6 * p * (1 - p)), np.diag(C)
    shared = np.zeros_like(C, dtype=bool)
    for term in design.random:
        shared |= term.codes[:, None] == term.codes
    t = third * c
    eps = -(fourth @ c**2) / 8 + t @ C @ t / 8 + third @ np.where(shared, C**3, 0.0) @ third / 12
    assert fit.laplace_error == pytest.approx(-2 * eps, rel=1e-8)


def test_words_of_the_summary():
    few = mx.glmer("y ~ x + (1 | g)", small_groups(1), "bernoulli")
    assert "may be too small; nAGQ=11 or more is exact" in few.summary().text().replace("\n", " ").replace("  ", "")
    many = mx.glmer("r2 ~ Anger + mode + (mode | id)", classic("verbagg"), "bernoulli")
    text = " ".join(many.summary().text().split())
    assert "too small, and likelihoods of models do not compare; nAGQ=11 or more is exact" in text
    by_nodes = mx.glmer("y ~ x + (1 | g)", small_groups(0), "bernoulli", nAGQ=11)
    assert "11 nodes" in by_nodes.summary().text()
    assert np.isnan(by_nodes.laplace_error)


@pytest.mark.parametrize("nodes", [7, 11])
def test_vector_effects_by_quadrature_converge(nodes):
    """Seven nodes in each of two directions leave 1e-3 of what Laplace's approximation lacks."""
    fit = mx.glmer("r2 ~ Anger + mode + (mode | id)", classic("verbagg"), "bernoulli")
    exact = true_error(fit, 21)
    assert true_error(fit, nodes) == pytest.approx(exact, abs=2e-2 if nodes == 7 else 2e-3)
    assert exact < -5


@pytest.mark.slow
def test_quadrature_removes_the_bias_of_small_groups():
    """40 sets of 300 groups of 3 to 5 answers, sd 1: the mean distance to 25 nodes.

    Laplace's standard deviations are 0.07 to 0.08 too small; 11 nodes are within 0.01 of 25.
    """
    laplace, eleven, exact = [], [], []
    for seed in range(40):
        frame = small_groups(100 + seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            for nodes, into in ((1, laplace), (11, eleven), (25, exact)):
                into.append(mx.glmer("y ~ x + (1 | g)", frame, "bernoulli", nAGQ=nodes).theta.iloc[0])
    exact = np.array(exact)
    print("Laplace", np.abs(exact - laplace).mean(), "11 nodes", np.abs(exact - eleven).mean(), "mean", exact.mean())
    assert 0.06 < np.abs(exact - laplace).mean() < 0.09
    assert np.abs(exact - eleven).mean() < 0.01
    assert exact.mean() == pytest.approx(1.0, abs=3 * exact.std() / np.sqrt(40) + 0.02)
