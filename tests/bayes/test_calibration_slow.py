"""Ranks of simulated truths are uniform, for what users read off a fit; and mutants are caught.

Each rank r has two Kolmogorov-Smirnov tests of 500 independent ranks: of r, and of its distance |2 r - 1| from the
middle, which sees intervals that are too narrow or too wide; at 1 % over all tests of the studies together
(Bonferroni). The figures of the last run are in benchmarks/studies.md.
"""

import pytest
from scipy import stats

from tests.bayes.calibration import STUDIES, run

DATA_SETS = 500
LEVEL = 0.01
RANKS = 29  # of all studies, mutants not counted


def smallest(ranks):
    """The smaller p value of the two tests."""
    return min(stats.kstest(values, "uniform").pvalue for values in (ranks, abs(2 * ranks - 1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STUDIES))
def test_ranks_of_the_truth_are_uniform_and_mutants_are_caught(name, request):
    table = run(STUDIES[name], DATA_SETS, request.config.cache.mkdir("calibration"))
    assert len(table) == DATA_SETS
    p = {column: smallest(table[column]) for column in table.columns if column != "index"}
    honest = {column: value for column, value in p.items() if not column.startswith("mutant")}
    mutants = {column: value for column, value in p.items() if column.startswith("mutant")}
    assert len(mutants) == 2 + (STUDIES[name].wrong is not None)
    assert {c: v for c, v in honest.items() if v < LEVEL / (2 * RANKS)} == {}
    assert {c: v for c, v in mutants.items() if v >= LEVEL / (2 * RANKS)} == {}
