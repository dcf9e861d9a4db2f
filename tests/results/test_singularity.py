"""Singular fits are told in words, with the direction that is null and a smaller formula that can be parsed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixedfx.design.build import build_design
from mixedfx.formula.parse import parse_formula
from mixedfx.results.singularity import singularity

RNG = np.random.default_rng(20)
N = 240
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "w": RNG.normal(size=N),
        "f": pd.Categorical(RNG.choice(list("abc"), N)),
        "g": RNG.integers(0, 12, N).astype(str),
        "h": RNG.integers(0, 8, N).astype(str),
    }
)


def report(formula, *factors, **options):
    design = build_design(formula, DATA, **options)
    return singularity(design, [np.atleast_2d(np.asarray(T, dtype=float)) for T in factors])


def smaller(formula, *factors):
    found = report(formula, *factors).smaller
    assert found is not None
    again = parse_formula(str(found))
    assert again.random == parse_formula(found.text).random
    build_design(str(found), DATA)  # the formula to try can be fitted to the same data
    return [f"({r.left} {'|' if r.correlated else '||'} {r.label})" for r in again.random]


def test_a_regular_fit_has_nothing_to_report():
    found = report("y ~ x + (x | g)", [[1.0, 0.0], [0.2, 0.5]])
    assert not found.singular
    assert found.smaller is None
    assert found.text == "not singular: every variance is positive and no correlation is one"


def test_a_zero_sd_is_named_and_its_column_dropped():
    found = report("y ~ x + (x | g)", [[1.0, 0.0], [0.0, 0.0]])
    assert [d.text for d in found.directions] == ["the sd of `x` within `g` is zero"]
    np.testing.assert_array_equal(found.directions[0].direction, [0, 1])
    assert smaller("y ~ x + (x | g)", [[1.0, 0.0], [0.0, 0.0]]) == ["(1 | g)"]


def test_a_zero_intercept_is_dropped_from_a_numeric_term():
    assert smaller("y ~ x + (x | g)", [[0.0, 0.0], [0.0, 0.7]]) == ["(0 + x | g)"]
    # the first column of T may be zero while the slope's variance sits in it
    assert smaller("y ~ x + (x | g)", [[0.0, 0.0], [0.7, 0.0]]) == ["(0 + x | g)"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_correlation_is_named_with_its_sign(sign):
    T = [[0.8, 0.0], [sign * 0.5, 0.0]]
    found = report("y ~ x + (x | g)", T)
    [direction] = found.directions
    assert direction.text == f"Intercept and `x` within `g` are perfectly correlated (r = {'' if sign > 0 else '-'}1)"
    # var(a'u) = a'TT'a = 0 by the definition of a null direction
    assert direction.direction @ np.array(T) == pytest.approx([0, 0], abs=1e-12)
    assert smaller("y ~ x + (x | g)", T) == ["(1 + x || g)"]


def test_a_term_that_does_not_vary_at_all_is_dropped():
    assert smaller("y ~ x + (x | g) + (1 | h)", np.zeros((2, 2)), 1.0) == ["(1 | h)"]
    found = report("y ~ x + (1 | g)", 0.0)
    assert found.text == (
        "singular fit: the sd of Intercept within `g` is zero. "
        "Try the smaller model y ~ 1 + x (a linear model: no random term is left)"
    )
    assert str(found.smaller) == "y ~ 1 + x"


def test_terms_are_judged_one_by_one():
    found = report("y ~ x + (x | g) + (1 | h)", [[1.0, 0.0], [0.0, 0.0]], 0.0)
    assert [d.label for d in found.directions] == ["g", "h"]
    assert smaller("y ~ x + (x | g) + (1 | h)", [[1.0, 0.0], [0.0, 0.0]], 0.0) == ["(1 | g)"]


def test_a_combination_of_three_effects_is_written_out():
    T = np.array(
        [[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [2.0, 1.6, 0.0]]
    )  # the third row is the first plus twice the second
    [direction] = report("y ~ x + (x + w | g)", T).directions
    assert direction.text.startswith("within `g` the effect of `w` is a fixed combination of the others: `w` = ")
    assert direction.text.endswith("1 Intercept + 2 `x`")
    np.testing.assert_allclose(direction.direction @ T, 0, atol=1e-12)
    assert smaller("y ~ x + (x + w | g)", T) == ["(1 + x + w || g)"]


def test_two_null_directions_are_two_sentences():
    T = np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.0], [-2.0, 0.0, 0.0]])
    texts = [d.text for d in report("y ~ x + (x + w | g)", T).directions]
    assert len(texts) == 2
    assert all("perfectly correlated" in text for text in texts)


def test_a_zero_column_and_a_perfect_correlation_together():
    T = np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert smaller("y ~ x + (x + w | g)", T) == ["(1 + x || g)"]


@given(unit=st.floats(1e-6, 1e6), sd=st.floats(0.01, 10))
@settings(max_examples=50, deadline=None)
def test_units_of_a_column_do_not_matter(unit, sd):
    data = DATA.assign(x=DATA["x"] * unit)
    design = build_design("y ~ x + (x | g)", data)
    T = np.array([[1.0, 0.0], [0.3 * sd / unit, sd / unit]])
    assert not singularity(design, [T]).singular
    T[1, 1] = 0.0
    assert singularity(design, [T]).singular


def test_weights_count_as_they_do_in_the_model():
    # tau = 1e-3 is small beside sigma = 1, but not beside rows known to sd 1e-3 (weight 1e6)
    light = build_design("y ~ x + (1 | g)", DATA)
    heavy = build_design("y ~ x + (1 | g)", DATA, weights=np.full(N, 1e6))
    T = [np.array([[5e-5]])]
    assert singularity(light, T).singular
    assert not singularity(heavy, T).singular


@given(
    k=st.integers(2, 4),
    rank=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    correlated=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_null_directions_span_the_null_space(k, rank, seed, correlated):
    assume(rank <= k)
    rng = np.random.default_rng(seed)
    data = DATA.assign(**{f"v{i}": rng.normal(size=N) for i in range(k)})
    left = " + ".join(f"v{i}" for i in range(k))
    design = build_design(f"y ~ x + (0 + {left} {'|' if correlated else '||'} g)", data)
    if correlated:
        root = np.zeros((k, k))
        root[:, :rank] = rng.normal(size=(k, rank))
        T = np.linalg.qr(root.T, mode="r").T
    else:
        T = np.diag(rng.uniform(0.1, 2, k) * (rng.permutation(k) < rank))
    found = singularity(design, [T])
    assert len(found.directions) == k - rank
    for direction in found.directions:
        assert np.abs(direction.direction @ T).max() < 1e-6
        assert np.abs(direction.direction).max() == pytest.approx(1)
    if found.directions:
        stacked = np.array([d.direction for d in found.directions])
        assert np.linalg.matrix_rank(stacked, tol=1e-8) == k - rank
        assert len(found.smaller.random) <= 1


def test_levels_of_a_category_that_vary_and_some_that_do_not():
    # unconstrained: || first
    T = np.diag([1.0, 0.0, 0.5])
    assert smaller("y ~ x + (f | g)", T) == ["(1 + f || g)"]
    # already diagonal: one variance for all levels of f
    assert smaller("y ~ x + (f || g)", T) == ["(1 | g)", "(1 | g:f)"]
    assert smaller("y ~ x + (f + x || g)", np.diag([1.0, 0.0, 0.5, 0.3])) == ["(1 + x || g)", "(1 | g:f)"]


def test_a_category_without_any_variance_leaves_whole():
    assert smaller("y ~ x + (f | g)", np.diag([1.0, 0.0, 0.0])) == ["(1 | g)"]


def test_an_intercept_does_not_leave_alone_where_a_category_would_be_recoded():
    # (0 + f | g) is the same model as (1 + f | g): dropping the intercept would gain nothing
    T = np.diag([0.0, 0.7, 0.5])
    assert smaller("y ~ x + (f | g)", T) == ["(1 + f || g)"]
    assert smaller("y ~ x + (f || g)", T) == ["(1 | g:f)"]


def test_a_main_effect_leaves_a_numeric_interaction_but_not_a_categorical_one():
    numeric = np.diag([1.0, 0.0, 0.4, 0.3])
    assert smaller("y ~ x + (x * w | g)", numeric) == ["(1 + w + x:w | g)"]
    # Intercept, f[b], f[c], x, f[b]:x, f[c]:x with x null
    categorical = np.diag([1.0, 0.5, 0.5, 0.0, 0.4, 0.4])
    assert smaller("y ~ x + (f * x | g)", categorical) == ["(1 + f * x || g)"]
    # diagonal: x and what contains it go
    assert smaller("y ~ x + (f * x || g)", categorical) == ["(1 + f || g)"]
