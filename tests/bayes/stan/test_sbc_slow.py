"""Ranks of simulated truths are uniform under generated Stan programs, and a program with a wrong scale is caught.

Each rank r has two Kolmogorov-Smirnov tests of 200 independent ranks: of r, and of its distance |2 r - 1| from the
middle, which sees intervals that are too narrow or too wide; at 1 % over all tests of both studies together
(Bonferroni). The mutant is caught by the sd that it got wrong, and by an effect on the response scale. Two and a half
minutes of CPU for each study; a run that is broken off continues where it stopped.
"""

import pytest
from scipy import stats

from tests.bayes.stan.sbc import STUDIES, run

DATA_SETS = 200
LEVEL = 0.01
RANKS = 18  # of both studies, the mutant not counted


def smallest(ranks):
    """The smaller p value of the two tests."""
    return min(stats.kstest(values, "uniform").pvalue for values in (ranks, abs(2 * ranks - 1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STUDIES))
def test_ranks_of_the_truth_are_uniform_and_the_mutant_is_caught(name, request):
    table = run(STUDIES[name], DATA_SETS, request.config.cache.mkdir("sbc")).drop(columns="index")
    assert table.shape == (DATA_SETS, RANKS)
    rejected = {column for column in table if smallest(table[column]) < LEVEL / (2 * RANKS)}
    assert {column for column in rejected if not column.startswith("mutant")} == set()
    assert {"mutant: sd g t", "mutant: effect, newcomer"} <= rejected
