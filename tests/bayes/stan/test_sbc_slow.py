"""Ranks of simulated truths are uniform under generated Stan programs, and a program with a wrong scale is caught.

Each rank has a Kolmogorov-Smirnov test of 200 independent ranks, at 1 % over all ranks of both studies together
(Bonferroni). About ten minutes for each study on one core; a run that is broken off continues where it stopped.
"""

import pytest
from scipy import stats

from tests.bayes.stan.sbc import STUDIES, run

DATA_SETS = 200
LEVEL = 0.01
RANKS = 16  # of both studies, the mutant not counted


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STUDIES))
def test_ranks_of_the_truth_are_uniform_and_the_mutant_is_caught(name, request):
    table = run(STUDIES[name], DATA_SETS, request.config.cache.mkdir("sbc"))
    assert len(table) == DATA_SETS
    p = {column: stats.kstest(table[column], "uniform").pvalue for column in table.columns if column != "index"}
    honest = {column: value for column, value in p.items() if not column.startswith("mutant")}
    mutant = {column: value for column, value in p.items() if column.startswith("mutant")}
    assert len(honest) == len(mutant) == RANKS / len(STUDIES)
    assert {c: v for c, v in honest.items() if v < LEVEL / RANKS} == {}
    assert {c: v for c, v in mutant.items() if v < LEVEL / RANKS} != {}
