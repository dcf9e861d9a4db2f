"""What random effects explain of rows, by blocks of the inverse, against a solve for each row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mixedfx as mx
from mixedfx.design.rows import functional_for
from mixedfx.pls.projection import Projection

FORMULAS = [
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (1 + x | g) + (1 | h)",
    "y ~ x + (1 | g) + (1 + x | h)",
    "y ~ 1 + (1 | a/g) + (1 | h)",
    "y ~ x + (1 + x | g) + (0 + x | h) + (1 | a)",
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    n, g, h = 300, rng.integers(0, 25, 300), rng.integers(0, 9, 300)
    x = 2.0 + rng.normal(size=n)
    y = rng.normal(size=25)[g] * (1 + 0.5 * x) + rng.normal(size=9)[h] + rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": h.astype(str), "a": (g // 5).astype(str)})
    return frame.assign(w=rng.uniform(0.2, 3.0, n))


def projection_of(fit):
    rows = functional_for(fit.design, None, "error")
    return Projection(fit.design, fit.solution.joint, rows.fixed, rows.random)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_blocks_are_those_of_a_solve_for_each_row(data, formula, weights):
    found = projection_of(mx.lmer(formula, data, weights=weights))
    fixed, random = found.rows
    sigma2 = found.joint.sigma**2
    codes = found.design.random[0].codes
    sets = [np.flatnonzero(codes == 3), np.arange(0, 300, 7), np.array([5])]
    for rows in sets:
        direct = found.joint.covariance(fixed[rows], sparse.csr_array(random[rows])) / sigma2
        np.testing.assert_allclose(found.explained(rows), direct, atol=1e-9)
    np.testing.assert_allclose(found.leverage, found.joint.variances(fixed, random) / sigma2, atol=1e-9)


def test_a_set_that_meets_few_of_many_columns_is_multiplied_as_it_is_stored(data):
    """400 columns of the second level, of which a row meets a dozen: no dense block is formed; the same numbers."""
    rng = np.random.default_rng(1)
    g, h = rng.integers(0, 500, 2000), rng.integers(0, 400, 2000)
    frame = pd.DataFrame({"y": rng.normal(size=2000) + rng.normal(size=500)[g] + rng.normal(size=400)[h]})
    fit = mx.lmer("y ~ 1 + (1 | g) + (1 | h)", frame.assign(g=g.astype(str), h=h.astype(str)))
    found = projection_of(fit)
    fixed, random = found.rows
    rows = np.arange(0, 2000, 20)
    a = found._blocks._across[found._blocks.place[rows]]
    assert len(np.unique(a.indices)) ** 2 > 8 * a.nnz
    direct = found.joint.covariance(fixed[rows], sparse.csr_array(random[rows])) / found.joint.sigma**2
    np.testing.assert_allclose(found.explained(rows), direct, atol=1e-10)
