"""Raking: margins are reproduced, conflicts are errors, and the result is the nearest table."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import mixedfx as mx
from mixedfx.errors import EffectsError


def crossing(*sizes: int) -> pd.DataFrame:
    rows = list(itertools.product(*(range(size) for size in sizes)))
    return pd.DataFrame(rows, columns=list("abcd")[: len(sizes)])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(2, 5), min_size=2, max_size=4))
def test_margins_are_reproduced(seed, sizes):
    rng = np.random.default_rng(seed)
    cells = crossing(*sizes)
    truth = rng.gamma(1.0, size=len(cells)) + 0.05
    margins = {c: pd.Series(truth).groupby(cells[c]).sum() for c in cells.columns}
    weight = mx.rake(cells, margins, weights=rng.uniform(0.2, 2.0, len(cells)))
    for name, target in margins.items():
        # The default tolerance is a relative error of 1e-9 of each total.
        np.testing.assert_allclose(weight.groupby(cells[name]).sum(), target, rtol=1e-8)
    assert weight.attrs["largest_error"] <= 1e-9
    assert weight.attrs["iterations"] >= 1


def test_what_the_margins_do_not_say_stays():
    """Raking keeps all odds ratios of the starting table."""
    cells = crossing(2, 2)
    start = np.array([8.0, 1.0, 2.0, 3.0])
    w = mx.rake(cells, {"a": {0: 10, 1: 90}, "b": {0: 40, 1: 60}}, weights=start).to_numpy()
    assert w[0] * w[3] / (w[1] * w[2]) == pytest.approx(8 * 3 / (1 * 2), rel=1e-9)


def test_two_margins_by_hand():
    """From equal cells the answer is the product of the margins, in one pass."""
    cells = crossing(2, 3)
    w = mx.rake(cells, {"a": {0: 1, 1: 3}, "b": {0: 1, 1: 1, 2: 2}})
    np.testing.assert_allclose(w, np.outer([1, 3], [1, 1, 2]).ravel() / 4, rtol=1e-12)
    assert w.attrs["iterations"] == 1


def test_a_joint_margin_and_a_margin_of_people():
    """Rows may be people: several share a cell. A joint margin has tuples of levels."""
    people = pd.concat([crossing(2, 2, 2)] * 3, ignore_index=True).iloc[:-1]
    people.index = people.index + 100
    joint = {(0, 0): 10, (0, 1): 20, (1, 0): 30, (1, 1): 40}
    w = mx.rake(people, {("a", "b"): joint, "c": {0: 70, 1: 30}})
    for (a, b), total in joint.items():
        assert w[(people["a"] == a) & (people["b"] == b)].sum() == pytest.approx(total, rel=1e-8)
    assert w[people["c"] == 0].sum() == pytest.approx(70, rel=1e-8)
    assert w.index.equals(people.index)


def test_a_level_with_a_total_of_zero_has_no_weight():
    w = mx.rake(crossing(2, 2), {"a": {0: 0, 1: 10}, "b": {0: 4, 1: 6}})
    assert w.tolist() == pytest.approx([0, 0, 4, 6])


@pytest.mark.parametrize(
    ("margins", "start", "message"),
    [
        ({"a": {0: 1, 1: 2}, "b": {0: 2, 1: 2}}, None, "the margins conflict: a adds up to 3, b to 4"),
        ({"a": {0: 1}, "b": {0: 1, 1: 1}}, None, "the margin a has no total for '1'"),
        ({"a": {0: 1, 1: 1, 2: 1}}, None, "no cell with a positive weight can make up the total of a = '2'"),
        ({"a": {0: 1, 1: 1}}, [0, 0, 1, 1], "no cell with a positive weight can make up the total of a = '0'"),
        ({"a": {0: 9, 1: 1}, "b": {0: 9, 1: 1}}, [0, 1, 1, 0], "the margins cannot all hold"),
        ({"a": {0: 3, 1: 1}, "b": {0: 3, 1: 1}}, [0, 1, 1, 1], "the margins cannot all hold"),
        ({"a": {0: -1, 1: 2}}, None, "totals of a must be zero or more"),
        ({"A": {0: 1, 1: 2}}, None, "no column 'A'"),
        ({}, None, "at least one margin"),
        ({"a": {0: 1, 1: 2}}, [1, 2], "must be 4 numbers"),
        ({"a": {0: 1, 1: 2}}, [1, -2, 1, 1], r"zero or more, and none missing: they are not in row 1 "),
        ({"a": {0: 1, 1: 2}}, [0, 0, 0, 0], "zero in every row"),
        ({"a": {0: 1, 1: 2}}, ["1", "two", "1", "1"], "weights must be 4 numbers"),
        ({"a": {0: 1, 1: 2}}, np.ones((2, 4)), r"not an array of shape \(2, 4\)"),
        ([{"a": {0: 1, 1: 2}}], None, "must be a dictionary of columns .* not a list"),
        ({"a": [1, 2]}, None, "the totals of a must be a dictionary or a Series by level, not a list"),
        ({"a": pd.DataFrame({"a": [0, 1], "N": [1, 2]})}, None, r"frame.groupby\('a'\)\['N'\].sum\(\)"),
        ({"a": pd.Series([1.0, 2, 3], index=[0, 1, 0])}, None, r"level 0 more than once\n.*groupby\(level=0\).sum"),
        ({"a": {0: "1", 1: 2}}, None, "that of 0 is '1'"),
        ({"a": {0: np.nan, 1: 2}}, None, "that of 0 is nan"),
        ({"a": {0: 0, 1: 0}}, None, "not all zero"),
        ({"a": {}}, None, "the margin a has no levels"),
        ({"a": {0: 1, 1: 2, None: 1}}, None, "a total for a missing level"),
        ({("a", "b"): {0: 1, 1: 2}}, None, "the level 0, which is no tuple of 2 levels"),
        ({("a", "a"): {(0, 0): 1}}, None, "a joint margin is of different columns"),
        ({"a": {0: 0, 1: 3}, "b": {0: 1, 1: 2}}, [1, 1, 1, 0], "b = 1 has only cells whose other totals are zero"),
        ({"a": {0: 1, 1: 2}}, "w", "no column 'w'"),
    ],
)
def test_margins_that_cannot_hold_are_errors(margins, start, message):
    with pytest.raises(EffectsError, match=message):
        mx.rake(crossing(2, 2), margins, weights=start)


def random_cells(rng) -> pd.DataFrame:
    """A crossing with holes."""
    cells = crossing(*rng.integers(2, 6, rng.integers(2, 4)))
    kept = rng.random(len(cells)) < rng.uniform(0.4, 1.0)
    kept[:2] = True
    return cells[kept].reset_index(drop=True)


def indicators(cells: pd.DataFrame) -> np.ndarray:
    return np.hstack([pd.get_dummies(cells[c]).to_numpy(float) for c in cells])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_margins_of_a_sparse_table_are_reproduced_by_the_nearest_weights_in_any_order_of_rows(seed):
    """Margins that come from a table hold, if that table has zeros too: cells that must be zero become zero.

    The weights are nearest to the start where log(weight / start) of the positive cells is a sum over their levels
    (Kuhn-Tucker), which makes them unique.
    """
    rng = np.random.default_rng(seed)
    cells = random_cells(rng)
    truth = rng.gamma(0.3, size=len(cells)) * (rng.random(len(cells)) < rng.uniform(0.5, 1.0))
    truth[0] += 0.1
    start = rng.uniform(0.1, 10.0, len(cells))
    margins = {c: pd.Series(truth).groupby(cells[c]).sum() for c in cells}
    weight = mx.rake(cells, margins, weights=start)
    for name, target in margins.items():
        np.testing.assert_allclose(weight.groupby(cells[name]).sum(), target, rtol=2e-9)
    # Cells on their way to zero are stopped where the margins hold to 1e-9 of their totals, which may be small.
    positive = (weight > 1e-6 * weight.sum()).to_numpy()
    A, change = indicators(cells)[positive], np.log(weight.to_numpy()[positive] / start[positive])
    fitted = A @ np.linalg.lstsq(A, change, rcond=None)[0]
    np.testing.assert_allclose(change, fitted, atol=1e-5)
    order = rng.permutation(len(cells))
    again = mx.rake(cells.iloc[order], margins, weights=start[order]).sort_index()
    np.testing.assert_allclose(again, weight, rtol=1e-6, atol=1e-9 * weight.sum())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_conflict_is_called_one_exactly_where_no_weights_exist(seed):
    rng = np.random.default_rng(seed)
    cells = random_cells(rng)
    levels = {c: sorted(set(cells[c])) for c in cells}
    margins = {c: dict(zip(own, 100 * rng.dirichlet(np.ones(len(own))), strict=True)) for c, own in levels.items()}
    totals = [total for margin in margins.values() for total in margin.values()]
    if linprog(np.zeros(len(cells)), A_eq=indicators(cells).T, b_eq=totals).status == 0:
        assert mx.rake(cells, margins).attrs["largest_error"] <= 1e-9
    else:
        with pytest.raises(EffectsError, match="the margins cannot all hold"):
            mx.rake(cells, margins)


def test_margins_that_hold_at_once_are_found_however_slowly_passes_converge():
    """Three cells, two margins, one solution: 29.9, 0.1 and 70; passes over the margins gain a digit in 700."""
    cells = pd.DataFrame({"age": ["young", "young", "old"], "work": ["student", "other", "other"]})
    weight = mx.rake(cells, {"age": {"young": 30, "old": 70}, "work": {"student": 29.9, "other": 70.1}})
    np.testing.assert_allclose(weight, [29.9, 0.1, 70.0], rtol=1e-6)
    assert weight.attrs["iterations"] < 100
    forced = mx.rake(cells, {"age": {"young": 30, "old": 70}, "work": {"student": 30, "other": 70}})
    np.testing.assert_allclose(forced, [30, 0, 70], atol=1e-6)


def test_a_table_that_did_not_converge_is_not_called_a_conflict():
    cells = pd.DataFrame({"age": ["young", "young", "old"], "work": ["student", "other", "other"]})
    margins = {"age": {"young": 30, "old": 70}, "work": {"student": 29.9, "other": 70.1}}
    with pytest.raises(
        EffectsError, match=r"did not converge: after 5 .*\n.*do not conflict: raise max_iter \(now 5\)"
    ):
        mx.rake(cells, margins, max_iter=5)
    for option in ({"max_iter": 0}, {"max_iter": 1.5}, {"tol": 0}, {"tol": "1"}):
        with pytest.raises(EffectsError, match=next(iter(option))):
            mx.rake(cells, margins, **option)


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_a_missing_level_is_an_error_that_names_the_column_and_the_rows(gap):
    people = pd.DataFrame({"party": pd.Series(["L", "C", gap, "C", "L", gap], dtype=object), "age": [1, 1, 2, 2, 1, 2]})
    margins = {"party": {"L": 40, "C": 60}, ("party", "age"): {("L", 1): 40, ("C", 1): 30, ("C", 2): 30}}
    for key, totals in margins.items():
        message = r"the column 'party', which is missing in rows 2 and 5 .*\n.*dropna\(subset=\['party'\]\).*fillna"
        with pytest.raises(EffectsError, match=message):
            mx.rake(people, {key: totals})
        # Those who start from nothing belong to nobody's total.
        weight = mx.rake(people, {key: totals}, weights=[1, 1, 0, 1, 1, 0])
        assert weight[people["party"] == "L"].sum() == pytest.approx(40)
        assert weight.sum() == pytest.approx(100)
    named = people.assign(party=people["party"].fillna("unknown"))
    weight = mx.rake(named, {"party": {"L": 40, "C": 60, "unknown": 10}})
    assert weight.tolist() == pytest.approx([20, 30, 5, 30, 20, 5])


def test_levels_of_categories_and_truth_values_are_found():
    cells = pd.DataFrame({"a": pd.Categorical(["u", "v", "u"], categories=["v", "u", "w"]), "b": [True, False, False]})
    weight = mx.rake(cells, {"a": {"u": 3, "v": 1}, "b": {True: 1, False: 3}})
    assert weight.tolist() == pytest.approx([1, 1, 2])
