"""Data shared by the tests of the design."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def data() -> pd.DataFrame:
    """Sixty rows with every kind of column; all combinations of race and gender occur in every level of g."""
    rng = np.random.default_rng(20)
    n = 60
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "w": rng.uniform(1.0, 3.0, size=n),
            "k": np.tile([1, 2, 3, 4, 5], 12),
            "b": rng.random(n) < 0.4,
            "race": np.tile(["White", "Black", "Asian"], 20),
            "gender": np.repeat(np.tile(["man", "woman"], 2), 15),
            "dose": pd.Categorical(
                np.tile(["low", "high", "mid", "low"], 15), categories=["low", "mid", "high", "never"]
            ),
            "g": np.repeat([30, 4, 17, 5, 6, 8], 10),
            "h": np.tile(list("pqrstuvwxy"), 6),
        }
    )
