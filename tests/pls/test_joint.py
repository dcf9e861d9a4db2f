"""Estimates, covariances and draws of (beta, u) against the textbook's dense formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import build_problem
from tests.oracles import dense_lmm
from tests.oracles.random_designs import make_design, shapes


def joint_at(design, theta, REML=True):
    problem = build_problem(design, REML)
    return Joint(design, problem, evaluate(problem, problem.parameters(theta), derivatives=False))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), shapes=shapes, REML=st.booleans())
def test_joint_equals_dense(seed, shapes, REML):
    design = make_design(seed, shapes)
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=build_problem(design).n_parameters)
    joint, dense = joint_at(design, theta, REML), dense_lmm.solution_at(design, theta, REML)
    np.testing.assert_allclose(joint.beta, dense.beta, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(joint.u, dense.u, rtol=1e-8, atol=1e-8)
    assert joint.sigma == pytest.approx(dense.sigma, rel=1e-10)
    np.testing.assert_allclose(joint.vcov, dense.vcov, rtol=1e-8, atol=1e-12)
    fixed = rng.normal(size=(4, design.X.shape[1]))
    random = sparse.csr_array(rng.normal(size=(4, design.n_random)) * (rng.random((4, design.n_random)) < 0.4))
    expected = dense.joint.covariance(fixed, random)
    np.testing.assert_allclose(joint.covariance(fixed, random), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(joint.variances(fixed, random), np.diag(expected), rtol=1e-7)
    for term in range(len(design.random)):
        np.testing.assert_allclose(
            joint.conditional_covariances(term), dense.joint.conditional_covariances(term), rtol=1e-6, atol=1e-9
        )


def test_draws_have_the_joint_covariance():
    design = make_design(1, [(6, 2, True, "g"), (4, 1, True, "h")])
    theta = np.array([0.8, -0.3, 0.5, 0.9])
    joint = joint_at(design, theta)
    n = 200_000
    beta, u = joint.draw(n, np.random.default_rng(0))
    both = np.hstack([beta, u])
    p, q = 2, design.n_random
    fixed = np.vstack([np.eye(p), np.zeros((q, p))])
    random = sparse.csr_array(np.vstack([np.zeros((p, q)), np.eye(q)]))
    expected = joint.covariance(fixed, random)
    sd = np.sqrt(np.diag(expected))
    # a mean of n draws has error sd / sqrt(n), a correlation 1 / sqrt(n); 5 of them over some 200 entries
    assert np.abs((both.mean(axis=0) - np.concatenate([joint.beta, joint.u])) / sd).max() < 5 / np.sqrt(n)
    assert np.abs(np.cov(both.T) / np.outer(sd, sd) - expected / np.outer(sd, sd)).max() < 8 / np.sqrt(n)


def test_variances_of_many_rows_do_not_depend_on_the_block(monkeypatch):
    design = make_design(1, [(6, 2, True, "g"), (4, 1, True, "h")])
    joint = joint_at(design, np.array([0.8, -0.3, 0.5, 0.9]))
    random = sparse.csr_array(dense_lmm.dense_Z(design))
    whole = joint.variances(design.X, random)
    monkeypatch.setattr("mixedfx.pls.joint.BLOCK", 3 * design.n_random)
    np.testing.assert_allclose(joint.variances(design.X, random), whole, rtol=1e-12)
