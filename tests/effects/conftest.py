"""Data with every kind of column, and the oracle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.effects.dense_fit import fit_densely


@pytest.fixture(scope="session")
def dense_fit():
    return fit_densely


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    """240 people: binary, three-level and numeric treatments, demography, schools nested in districts."""
    rng = np.random.default_rng(20)
    n = 240
    school = rng.integers(0, 12, n)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "z": rng.integers(0, 2, n),
            "treated": rng.random(n) < 0.5,
            "style": pd.Categorical(rng.choice(["None", "Some", "Fully"], n), categories=["None", "Some", "Fully"]),
            "dose": rng.uniform(0, 3, n).round(1),
            "step": rng.integers(1, 4, n),
            "race": rng.choice(["Asian", "Black", "White"], n, p=[0.15, 0.35, 0.5]),
            "gender": pd.Categorical(rng.choice(["girl", "boy"], n), categories=["girl", "boy"]),
            "age": rng.integers(20, 60, n),
            "school": np.char.add("s", school.astype(str)).astype(object),
            "district": np.char.add("d", (school % 3).astype(str)).astype(object),
            "urban": rng.random(n) < 0.4,
            "w": rng.integers(1, 5, n).astype(float),
            "test score": rng.normal(size=n).round(1),
        }
    )
    frame["y"] += 0.5 * frame["z"] + 0.3 * (frame["race"] == "Black") * frame["z"]
    return frame
