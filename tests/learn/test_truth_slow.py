"""Known truth: pooled scores are near it, and their intervals hold it as often as they say.

The same data sets and settings as ``python benchmarks/learn.py truth``, whose figures are in benchmarks/RESULTS.md.
"""

import numpy as np
import pytest

import mixedfx as mx

POOLING = "1 + (1 | schoolid) + (1 | ethnicity)"
pytestmark = pytest.mark.slow


def read(seed):
    data, truth = mx.datasets.simulate_mindset(seed)
    y, w = data["achievement_score"], data["intervention"]
    X = data.drop(columns=["achievement_score", "intervention"])
    return data, truth, X, y, w, mx.dr_scores(X, y, w, groups="schoolid")


@pytest.mark.filterwarnings("ignore::mixedfx.errors.SingularFitWarning")
def test_intervals_of_schools_and_ethnicities_hold_the_truth():
    """20 data sets, 1,520 schools and 300 ethnicities: .90 and .91 in the run reported; the issue asks .86 to .94."""
    held = {"schoolid": [], "ethnicity": []}
    for seed in range(20):
        data, truth, *_, scores = read(seed)
        for by, told in held.items():
            table, true = mx.pool_scores(scores, POOLING, data, by=by, level=0.9).table, truth.average(by).to_numpy()
            told += list((table["lower"] <= true) & (true <= table["upper"]))
    for told in held.values():
        assert 0.86 <= np.mean(told) <= 0.94


@pytest.mark.filterwarnings("ignore::mixedfx.errors.SingularFitWarning")
def test_effects_of_ethnicities_are_nearer_the_truth_than_those_of_default_learners():
    """4 data sets: mean errors of .058 against .113 (R), .103 (T) and .102 (X); at most .6 of each."""
    errors = {"pooled": [], "R": [], "T": [], "X": []}
    for seed in range(4):
        data, truth, X, y, w, scores = read(seed)
        true = truth.average("ethnicity").to_numpy()
        for name, told in errors.items():
            if name == "pooled":
                eff = mx.pool_scores(scores, POOLING, data, by="ethnicity")
            else:
                eff = mx.effects_from(mx.cate(name, X, y, w, groups="schoolid").out_of_fold, data, by="ethnicity")
            told.append(np.sqrt(np.mean((eff.table["estimate"] - true) ** 2)))
    means = {name: np.mean(told) for name, told in errors.items()}
    assert all(means["pooled"] <= 0.6 * means[name] for name in ("R", "T", "X"))
