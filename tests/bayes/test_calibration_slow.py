"""Ranks of simulated truths are uniform, for what users read off a fit; and two mutants are caught.

Each rank has a Kolmogorov-Smirnov test of 500 independent ranks: the band of its ECDF, at 1 % over all ranks of both
studies together (Bonferroni). The figure of the last run is in benchmarks/RESULTS.md.
"""

import pytest
from scipy import stats

from tests.bayes.calibration import STUDIES, run

DATA_SETS = 500
LEVEL = 0.01
RANKS = 17  # of both studies, mutants not counted


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STUDIES))
def test_ranks_of_the_truth_are_uniform_and_mutants_are_caught(name, request):
    table = run(STUDIES[name], DATA_SETS, request.config.cache.mkdir("calibration"))
    assert len(table) == DATA_SETS
    p = {column: stats.kstest(table[column], "uniform").pvalue for column in table.columns if column != "index"}
    honest = {column: value for column, value in p.items() if not column.startswith("mutant")}
    mutants = {column: value for column, value in p.items() if column.startswith("mutant")}
    assert len(mutants) == 2
    assert {c: v for c, v in honest.items() if v < LEVEL / RANKS} == {}
    assert {c: v for c, v in mutants.items() if v >= LEVEL / RANKS} == {}
