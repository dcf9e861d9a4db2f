"""Moments of functionals at many points at once are those of the joint distribution at each point."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mixedfx.pls import conditional_moments as module
from mixedfx.pls.collapsed import CoefficientPrior, Collapsed
from mixedfx.pls.collapsed_batch import batch
from mixedfx.pls.conditional_moments import conditional_moments, rows_of
from mixedfx.pls.problem import build_problem
from tests.oracles import dense_lmm
from tests.oracles.random_designs import make_design, shapes


def points_of(design, problem, D, rng):
    """Collapsed likelihood with a flat prior, natural (r,) theta of D points, their used factors, and sigma."""
    p = problem.p
    collapsed = Collapsed(design, problem, CoefficientPrior(np.zeros((0, p)), np.zeros(0), np.zeros(0)))
    theta = rng.normal(size=(D, problem.n_parameters))
    used = [np.stack(T) for T in zip(*(problem.matrices(problem.parameters(t)) for t in theta), strict=True)]
    return collapsed, theta, used, np.exp(rng.normal(size=D) / 3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), shapes=shapes, weighted=st.booleans())
def test_they_are_the_dense_formulas_of_each_point(seed, shapes, weighted):
    design = make_design(seed, shapes, weighted=weighted)
    rng = np.random.default_rng(seed)
    problem = build_problem(design)
    collapsed, theta, used, sigma = points_of(design, problem, 3, rng)
    many = batch(collapsed)
    assert many is not None
    s, q = 5, design.n_random
    fixed = rng.normal(size=(s, problem.p))
    random = sparse.csr_array(rng.normal(size=(s, q)) * (rng.random((s, q)) < [[0.0], [0.1], [0.3], [0.6], [1.0]]))
    means, variances = conditional_moments(many, used, sigma, np.ones((3, 0)), rows_of(collapsed, fixed, random))
    for d in range(3):
        dense = dense_lmm.solution_at(design, theta[d])
        np.testing.assert_allclose(means[d], fixed @ dense.beta + random @ dense.u, rtol=1e-7, atol=1e-8)
        # the covariance is in units of sigma^2, which dense formulas profile out
        expected = np.diag(dense.joint.covariance(fixed, random)) * (sigma[d] / dense.sigma) ** 2
        np.testing.assert_allclose(variances[d], expected, rtol=1e-7, atol=1e-12)


def test_blocks_of_points_change_nothing(monkeypatch):
    design = make_design(3, [(7, 2, True, "g"), (4, 1, True, "h")])
    problem, rng = build_problem(design), np.random.default_rng(0)
    collapsed, _, used, sigma = points_of(design, problem, 7, rng)
    rows = rows_of(collapsed, rng.normal(size=(6, problem.p)), sparse.csr_array(rng.normal(size=(6, design.n_random))))
    whole = conditional_moments(batch(collapsed), used, sigma, np.ones((7, 0)), rows)
    monkeypatch.setattr(module, "CHUNK", 1)
    pieces = conditional_moments(batch(collapsed), used, sigma, np.ones((7, 0)), rows)
    np.testing.assert_allclose(pieces[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(pieces[1], whole[1], rtol=1e-12)
