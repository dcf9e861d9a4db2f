"""Folds spread groups or hold them out, as is said, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.errors import OptionError
from mixedfx.learn.folds import group_codes, make_folds, read_folds


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(6, 12))
@settings(max_examples=30, deadline=None)
def test_rows_of_each_group_and_arm_are_spread_evenly(seed, n_folds, n_groups):
    rng = np.random.default_rng(seed)
    groups, arms = rng.integers(n_groups, size=300), rng.integers(2, size=300)
    folds = make_folds(n_folds, arms, groups, seed=seed)
    assert np.ptp(np.bincount(folds, minlength=n_folds)) <= 1
    for g in range(n_groups):
        for a in range(2):
            own = np.bincount(folds[(groups == g) & (arms == a)], minlength=n_folds)
            assert np.ptp(own) <= 1


@given(st.integers(0, 1000), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_new_groups_are_held_out_whole_and_folds_are_of_like_size(seed, n_folds):
    rng = np.random.default_rng(seed)
    groups = np.r_[np.arange(12), rng.integers(12, size=300)]
    folds = make_folds(n_folds, groups % 2, groups, "new groups", seed)
    assert all(len(set(folds[groups == g])) == 1 for g in range(12))
    assert set(folds) == set(range(n_folds))
    # the greedy rule: no fold is larger than the smallest by more than one group
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()


def test_seeds_decide():
    arms = np.arange(50) % 2
    assert np.array_equal(make_folds(5, arms, None, seed=1), make_folds(5, arms, None, seed=1))
    assert not np.array_equal(make_folds(5, arms, None, seed=1), make_folds(5, arms, None, seed=2))


def test_folds_of_the_caller_are_read():
    assert read_folds(5, 10) is None
    assert read_folds([3, 3, 7, 7], 4).tolist() == [0, 0, 1, 1]
    with pytest.raises(OptionError, match="all rows are in one fold"):
        read_folds([1, 1, 1], 3)
    with pytest.raises(OptionError, match="one of each row"):
        read_folds([0.5, 1.5], 2)


def test_more_folds_than_there_can_be_are_refused():
    with pytest.raises(OptionError, match="5 folds of 3 rows"):
        make_folds(5, np.zeros(3, int), None)
    with pytest.raises(OptionError, match="3 folds of 2 groups"):
        make_folds(3, np.zeros(8, int), np.arange(8) % 2, "new groups")


def test_groups_are_coded_in_the_order_of_their_labels():
    codes, labels = group_codes(pd.Categorical(["b", "a", "b"]), 3)
    assert (codes.tolist(), list(labels)) == ([1, 0, 1], ["a", "b"])
    codes, labels = group_codes(np.array([10, 2]), 2)
    assert (codes.tolist(), list(labels)) == ([1, 0], [2, 10])
