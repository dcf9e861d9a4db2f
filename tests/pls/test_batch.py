"""Many responses at once against one at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.pls.batch import evaluate_batch
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
