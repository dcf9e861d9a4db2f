"""Importance sampling over many data sets: ranks of truths are uniform, and forecasts come true.

The figures of the last run are in benchmarks/studies.md.
"""

import pytest
from scipy import stats

from tests.bayes.importance_calibration import run
from tests.bayes.importance_designs import compared

DATA_SETS, DESIGNS = 200, 100
LEVEL = 0.01


def smallest(ranks):
    """The smaller p value of tests of the ranks, and of their distance from the middle."""
    return min(stats.kstest(values, "uniform").pvalue for values in (ranks, abs(2 * ranks - 1)))


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform_and_a_mutant_is_caught(request):
    table = run(DATA_SETS, request.config.cache.mkdir("calibration"))
    assert len(table) == DATA_SETS
    p = {name: smallest(table[name]) for name in table.columns if name not in ("index", "refused")}
    mutants = {name: p.pop(name) for name in list(p) if name.startswith("mutant")}
    assert table["refused"].mean() < 0.05
    assert {name: value for name, value in p.items() if value < LEVEL / (2 * len(p))} == {}
    assert all(value < LEVEL / (2 * len(p)) for value in mutants.values())


@pytest.mark.slow
def test_the_forecast_is_right_for_95_of_100_random_designs(request):
    """Whether weights will be trusted, said before any draw, against k-hat and the share of effective points."""
    table = compared(DESIGNS, request.config.cache.mkdir("calibration"))
    assert len(table) == DESIGNS
    assert 0 < table["passes"].sum() < DESIGNS  # both answers occur
    assert (table["forecast"] == table["passes"]).sum() >= 95
