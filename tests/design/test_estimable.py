"""A functional is estimable where it lies in the row space of all columns of the fixed part, and nowhere else."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from mixedfx.design.build import build_design
from mixedfx.design.estimable import Null, null_space
from mixedfx.design.rows import functional_for

TERMS = (
    "f", "f * h", "f * h + x", "x + twice", "f:h", "0 + f * h", "f * x",
    "f * x + twice", "cell + f * h", "poly(x, 3)",
)  # fmt: skip
CODINGS = ("treatment", "sum", "helmert", "poly", "diff")


def holed(seed: int, n: int = 60) -> pd.DataFrame:
    """Two crossed factors of which some cells are empty, columns that say the same twice, and one of a cell alone."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"f": rng.choice(list("abc"), n), "h": rng.choice(list("uvw"), n), "x": rng.normal(size=n)})
    for _ in range(rng.integers(1, 4)):
        data = data[~((data["f"] == rng.choice(list("abc"))) & (data["h"] == rng.choice(list("uvw"))))]
    data["x"] = np.where(data["f"] == "c", 1.5, data["x"]) if rng.random() < 0.4 else data["x"]
    data["twice"] = 3.0 - 2.0 * data["x"]
    data["cell"] = ((data["f"] == "a") & (data["h"] == "u")) * 1.0
    return data.assign(y=rng.normal(size=len(data))).reset_index(drop=True)


def anywhere(rng: np.random.Generator, m: int) -> pd.DataFrame:
    """New rows: every cell, covariates that keep to the rule of the data or do not."""
    new = pd.DataFrame({"f": rng.choice(list("abc"), m), "h": rng.choice(list("uvw"), m), "x": rng.normal(size=m)})
    new["twice"] = np.where(rng.random(m) < 0.5, 3.0 - 2.0 * new["x"], rng.normal(size=m))
    new["cell"] = np.where(rng.random(m) < 0.7, (new["f"] == "a") & (new["h"] == "u"), rng.random(m) < 0.5) * 1.0
    return new


def every_column(design, frame: pd.DataFrame) -> np.ndarray:
    """The fixed part with the columns that were dropped, as the specification writes it."""
    from mixedfx.design.expressions import Scope

    scope = Scope.of(design.spec.env, design.spec.contrasts)
    return design.spec.fixed.matrix(frame, scope, np.arange(len(frame)))


def in_row_space(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """By brute force: the residual of each row after a projection on the row space."""
    scale = np.maximum(np.abs(X).max(axis=0), 1.0)
    _, s, V = np.linalg.svd(X / scale, full_matrices=False)
    basis = V[s > 1e-8 * s[0]]
    scaled = rows / scale
    return np.abs(scaled - scaled @ basis.T @ basis).max(axis=1) < 1e-7


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(TERMS), st.sampled_from(CODINGS))
def test_rows_and_their_combinations_are_estimable_where_they_lie_in_the_row_space(seed, terms, coding):
    data = holed(seed)
    assume(data["f"].nunique() == 3 and data["h"].nunique() == 3)
    contrasts = {name: coding for name in ("f", "h") if name in terms.replace("poly", "")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = build_design(f"y ~ {terms}", data, contrasts=contrasts, sigma_free=False)
    rng = np.random.default_rng(seed)
    new = anywhere(rng, 40)
    rows = functional_for(design, new)
    X, full = every_column(design, design.frame), every_column(design, new)
    np.testing.assert_array_equal(rows.estimable, in_row_space(X, full))
    # averages, differences of two rows (of one cell sometimes), weights that cancel
    W = np.vstack([rng.dirichlet(np.ones(40), 3), np.eye(40)[:20] - np.eye(40)[20:], rng.normal(size=(5, 40))])
    W[3:10, :] -= W[3:10, ::-1]
    combined = rows.combine(W)
    np.testing.assert_array_equal(combined.estimable, in_row_space(X, W @ full))
    np.testing.assert_array_equal(combined.combine(np.eye(len(W))[:4]).estimable, combined.estimable[:4])
    np.testing.assert_array_equal(rows.take(np.arange(5, 9)).estimable, rows.estimable[5:9])
    # rows of the data are always determined
    assert functional_for(design).estimable.all()
    assert functional_for(design, design.frame).estimable.all()


def test_full_rank_carries_nothing():
    data = pd.DataFrame({"y": np.arange(6.0) % 4, "x": np.arange(6.0), "f": list("aabbcc")})
    design = build_design("y ~ f + x", data, sigma_free=False)
    assert design.spec.null is None
    rows = functional_for(design, data)
    assert rows.null is None
    assert rows.estimable.all()


@given(st.integers(0, 10_000), st.floats(-8, 8), st.floats(-8, 8))
def test_units_and_columns_that_are_nearly_aliased_do_not_matter(seed, unit, shift):
    """A column that is 1e-8 of its length from the others is aliased; the rows of the data stay determined."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=50) + shift
    other = 10.0**unit * (2 * x + 1 + 1e-9 * np.abs(x).max() * rng.normal(size=50))
    full = np.column_stack([np.ones(50), x, other])
    found = null_space(full, np.array([0, 1]), ["Intercept", "x", "other"])
    assert found is not None
    assert found.coordinates(full).estimable.all()
    moved = full[:2] + np.array([[0.0, 0.0, 10.0**unit], [0.0, 1.0, 2.0 * 10.0**unit]])
    assert found.coordinates(moved).estimable.tolist() == [False, True]


def test_what_cancels_is_estimable_again_and_large_numbers_do_not_hide_what_does_not():
    null = Null(np.array([[1.0], [1.0], [0.3], [0.0], [1e-6]]), np.array([[1.0], [1.0], [0.3], [0.0], [1e-6]]))
    W = sparse.csr_array(np.array([[1.0, -1, 0, 0, 0], [0.3, 0, -1, 0, 0], [0.1, 0.2, -1, 0, 0], [0, 0, 0, 1e9, 1]]))
    assert null.combine(W).estimable.tolist() == [True, True, True, False]
    stacked = Null.stack([null, None], [5, 2])
    assert stacked is not None
    assert stacked.estimable.tolist() == [False, False, False, True, False, True, True]
    assert Null.stack([None, None], [1, 2]) is None
    assert Null.total([None, None]) is None


def test_an_ordinal_response_has_its_intercept_in_the_thresholds():
    data = holed(3)
    data["grade"] = pd.Categorical(np.arange(len(data)) % 3, ordered=True)
    with pytest.warns(Warning, match="rank deficient"):
        design = build_design("grade ~ x + twice", data, family="cumulative")
    rows = functional_for(design, pd.DataFrame({"x": [0.0, 0.0], "twice": [3.0, 0.0]}))
    assert rows.estimable.tolist() == [True, False]
