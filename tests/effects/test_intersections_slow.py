"""Effects in intersections, empty ones too, cover at their nominal rate; two mutants do not.

Standard errors are clustered by data set. With fixed seeds a right program fails a bound of four standard errors with
about one in fifteen thousand of them; there are fourteen bounds. Figures of the last run: benchmarks/studies.md.
"""

import pytest

from tests.effects.intersections import CLASSES, LEVELS, run, summarise

DATA_SETS = 500


@pytest.mark.slow
def test_the_posterior_is_nominal_and_mutants_are_not(request, capsys):
    table = summarise(run(DATA_SETS, request.config.cache.mkdir("intersections")))
    with capsys.disabled():
        print(f"\n{table.round(3).to_string(index=False)}")
    by = table.set_index(["what", "method"])
    asked = [*(f"cells: {c}" for c in CLASSES), "contrasts of cells", "contrasts of neighbours", "mean of empty cells"]
    for level in LEVELS:
        gap = {what: by.loc[(what, "posterior"), f"cover {level:g}"] - level for what in asked}
        error = {what: by.loc[(what, "posterior"), f"se {level:g}"] for what in asked}
        assert all(abs(gap[what]) < 4 * error[what] for what in asked), f"not nominal at {level}: {gap}"
    for what, mutant in {
        "contrasts of neighbours": "mutant: independent columns",
        "mean of empty cells": "mutant: one draw for unseen",
    }.items():
        row = by.loc[(what, mutant)]
        assert max(abs(row[f"cover {v:g}"] - v) / row[f"se {v:g}"] for v in LEVELS) > 4, f"{mutant} passes: {row}"
    for chosen in CLASSES:  # pooling beats what does not pool
        for method in ("raw differences", "no pooling"):
            if (f"cells: {chosen}", method) in by.index:
                rival = by.loc[(f"cells: {chosen}", method), "rmse"]
                assert by.loc[(f"cells: {chosen}", f"posterior, where {method}"), "rmse"] < rival
