"""Quadrature estimates standard deviations without bias where Laplace's approximation does not: by simulation.

Longer runs are in benchmarks/studies.md. Tolerances are three standard errors of the mean of the data sets simulated.
"""

from __future__ import annotations

import pandas as pd
import pytest

from tests.glmm.quadrature_accuracy import one_data_set, table_of


def bias(study, count):
    """Bias in standard errors, by criterion and estimate."""
    frame = pd.DataFrame([row for seed in range(count) for row in one_data_set(study, seed)])
    assert frame["ok"].all()
    return table_of(study, frame)["bias / se"]


@pytest.mark.slow
def test_standard_deviations_of_nested_factors():
    found = bias("nested", 12)
    for way in ("hybrid 15", "nested 15"):
        assert (found[way].abs() < 3.0).all()
    assert found["Laplace", "sd family"] < -20.0
    assert found["Laplace", "sd place"] < -5.0


@pytest.mark.slow
def test_standard_deviations_of_crossed_factors():
    found = bias("crossed", 60)
    assert (found["hybrid 7"].abs() < 3.0).all()
    assert found["Laplace", "sd person"] < -4.0
