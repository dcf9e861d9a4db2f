"""Forests, regressions and trees on many simulated reviews: the bounds of short runs; longer ones are in studies.md."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.meta import fair_comparison, metacart_level, moderators_found


def frame_of(one, count):
    return pd.DataFrame([{"index": i, **row} for i in range(count) for row in one(i)])


@pytest.mark.slow
def test_forests_explain_more_where_the_truth_is_no_line_and_regressions_where_it_is():
    """Ten reviews of each; the long run's shares, less three standard errors of ten, are 7 and 6."""
    bent = fair_comparison.table_of(frame_of(lambda i: fair_comparison.one_data_set("windows-alone", i), 10))
    straight = fair_comparison.table_of(frame_of(lambda i: fair_comparison.one_data_set("linear-alone", i), 10))
    assert bent.loc["regression", "forest above, r2"] >= 7
    assert straight.loc["regression", "forest above, r2"] <= 4
    assert bent.loc["forest", "r2"] > bent.loc["regression", "r2"] + 0.01
    assert straight.loc["forest", "r2"] < straight.loc["regression", "r2"]


@pytest.mark.slow
def test_true_moderators_are_above_every_one_of_noise():
    found = frame_of(moderators_found.STUDIES["importance-alone"], 10)
    assert found["above"].sum() >= 8


@pytest.mark.slow
def test_shuffled_copies_let_noise_pass_as_rarely_as_they_promise():
    """The share of 43 moderators that stay in a repeat is at most 1 / 43; three standard errors of the data sets."""
    found = frame_of(moderators_found.STUDIES["shadow"], 15)
    assert found["stays"].mean() <= 1 / 43 + 3 * found["stays"].sem()
    assert found["kept"].mean() <= 2 / 43 + 3 * found["kept"].sem()


@pytest.mark.slow
def test_the_permutation_test_of_trees_keeps_its_level_and_the_chi_square_does_not():
    """Sixty reviews without any truth: five per cent and three standard errors, which are .084."""
    found = frame_of(metacart_level.one_data_set, 60)
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert found["two splits"].mean() <= limit
    assert found["pruned"].mean() <= limit
    assert found["chi square"].mean() > 0.3
