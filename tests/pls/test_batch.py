"""Many responses, or data sets made of drawn levels, at once against one at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.pls.batch import Resamples, Responses, evaluate_batch
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from mixedfx.reml.refit import cross_products, with_response
from tests.oracles.random_designs import make_design

one_factor = st.lists(
    st.tuples(st.integers(3, 9), st.integers(1, 3), st.booleans(), st.just("g")), min_size=1, max_size=2
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000), shapes=one_factor, REML=st.booleans(), p=st.integers(0, 3), known=st.booleans(),
    zero=st.booleans(),
)  # fmt: skip
def test_batch_equals_single_evaluations(seed, shapes, REML, p, known, zero):
    design = make_design(seed, shapes, p=max(p, 1), weighted=not known, known_sd=known)
    if p == 0:
        object.__setattr__(design, "X", np.zeros((len(design.y), 0)))
    problem = build_problem(design, REML)
    rng = np.random.default_rng(seed)
    responses = cross_products(design, problem, rng.normal(size=(len(design.y), 4)) * 3.0 + 1.0)
    par = rng.normal(size=(4, problem.n_parameters)) * (0.0 if zero else 1.0)
    batch = evaluate_batch(problem, responses, par)
    for b in range(4):
        single = evaluate(with_response(problem, responses, b), par[b])
        assert single.gradient is not None
        assert single.information is not None
        assert batch.criterion[b] == pytest.approx(single.criterion, rel=1e-11)
        np.testing.assert_allclose(batch.gradient[b], single.gradient, rtol=1e-8, atol=1e-8)
        scale = np.abs(single.information).max()
        np.testing.assert_allclose(batch.information[b], single.information, rtol=1e-7, atol=1e-9 * scale)
        assert batch.sigma2[b] == pytest.approx(single.sigma2, rel=1e-11)
        np.testing.assert_allclose(batch.gamma[b], single.gamma, rtol=1e-8, atol=1e-10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), shapes=one_factor, REML=st.booleans(), p=st.integers(1, 3))
def test_levels_drawn_any_number_of_times(seed, shapes, REML, p):
    """A count for each level is the problem with its blocks repeated."""
    design = make_design(seed, shapes, p=p, weighted=True)
    problem = build_problem(design, REML)
    rng = np.random.default_rng(seed)
    q, B = problem.gram1.shape[2], 4
    drawn = rng.integers(0, q, (B, q))
    counts = np.array([np.bincount(d, minlength=q) for d in drawn], dtype=float)
    # any positive definite products do, with sizes and weights to go with them
    ww = np.array([problem.ww * (1.0 + 0.5 * j) + 5.0 * np.eye(p + 1) for j in range(q)])
    sizes, logs = rng.integers(3, 9, q), rng.normal(size=q)
    par = rng.normal(size=(B, problem.n_parameters))
    sums, n = np.einsum("bj,jac->acb", counts, ww), counts @ sizes
    responses = Responses(
        np.broadcast_to(problem.zw1[:, :, p, None], (*problem.zw1.shape[:2], B)), np.zeros((0, B)), sums[:p, p],
        sums[p, p], np.zeros((p, B)),
    )  # fmt: skip
    resamples = Resamples(counts.T, np.ascontiguousarray(sums[:p, :p]), n - p if REML else n, counts @ logs)
    batch = evaluate_batch(problem, responses, par, resamples)
    for b in range(B):
        levels = drawn[b]
        repeated = replace(
            problem, gram1=np.ascontiguousarray(problem.gram1[:, :, levels]), zw1=problem.zw1[levels],
            ww=sums[:, :, b], n=int(n[b]), log_weights=float(logs[levels].sum()),
        )  # fmt: skip
        single = evaluate(repeated, par[b])
        assert single.gradient is not None
        assert single.information is not None
        assert batch.criterion[b] == pytest.approx(single.criterion, rel=1e-10)
        scale = np.abs(single.information).max()
        np.testing.assert_allclose(batch.gradient[b], single.gradient, rtol=1e-8, atol=1e-8 * scale)
        np.testing.assert_allclose(batch.information[b], single.information, rtol=1e-7, atol=1e-9 * scale)
        assert batch.sigma2[b] == pytest.approx(single.sigma2, rel=1e-10)
        np.testing.assert_allclose(batch.gamma[b], single.gamma, rtol=1e-8, atol=1e-10)
