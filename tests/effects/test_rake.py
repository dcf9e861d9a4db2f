"""Raking: margins are reproduced, conflicts are errors, and the result is the nearest table."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ({"a": {0: 1, 1: 2}}, "w", "no column 'w'"),
    ],
)
def test_margins_that_cannot_hold_are_errors(margins, start, message):
    with pytest.raises(EffectsError, match=message):
        mx.rake(crossing(2, 2), margins, weights=start)
