"""The model that the docstring of `pooled_interactions` names, and data from its own population.

Eight effects vary over x3, over x4 and over their combinations: 108 variances and correlations with ``|``, 24 with
``||``, between 4, 5 and 20 levels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CORRELATED = "y ~ x1*x2*z + (1 + x1*x2*z | x3*x4)"
INDEPENDENT = "y ~ x1*x2*z + (1 + x1*x2*z || x3*x4)"
BETA = np.array([1.0, 0.5, -0.3, 0.4, 0.2, 0.1, -0.2, 0.1])
ORDER = np.array([0, 1, 1, 1, 2, 2, 2, 3])  # of the interaction that each column is
SDS = {"x3": 0.5, "x4": 0.3, "x3:x4": 0.3}  # of the intercept; halved for each order of interaction


def draw_data(n: int, seed: int = 1) -> pd.DataFrame:
    """Draw n rows: x1, x2, z binary, x3 and x4 of four and five levels, sigma one."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({name: rng.integers(0, 2, n) for name in ("x1", "x2", "z")})
    x3, x4 = rng.integers(0, 4, n), rng.integers(0, 5, n)
    x1, x2, z = (data[name].to_numpy() for name in ("x1", "x2", "z"))
    X = np.column_stack([np.ones(n), x1, x2, z, x1 * x2, x1 * z, x2 * z, x1 * x2 * z])
    y = X @ BETA + rng.normal(size=n)
    for codes, levels, sd in ((x3, 4, SDS["x3"]), (x4, 5, SDS["x4"]), (5 * x3 + x4, 20, SDS["x3:x4"])):
        y += (X * (rng.normal(size=(levels, 8)) * sd * 0.5**ORDER)[codes]).sum(axis=1)
    return data.assign(x3=[f"a{j}" for j in x3], x4=[f"b{j}" for j in x4], y=y)
