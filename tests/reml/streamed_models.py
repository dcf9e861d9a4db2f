"""Models and data that rows in batches, databases and Spark are asked for, and what it is to be the same fit."""

import warnings

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.errors import MixedfxWarning

SAME = 1e-10  # of estimates, relative: sums of the same numbers in another order, and an optimiser that squares errors

MODELS = {
    "star": ("math ~ small * race + gender + lunch + (1 + small | sch)", {}),
    "weighted nested": ("y ~ x + arm + offset(o) + (1 + x | school) + (1 | school:class)", {"weights": "w"}),
    "insteval": ("y ~ service * dept + (1 | s) + (1 | d)", {}),
}


def nested(n: int = 6000) -> pd.DataFrame:
    """Pupils in classes in schools, with weights, an offset, missing values and a weight of zero."""
    rng = np.random.default_rng(11)
    school = rng.integers(0, 60, n)
    data = pd.DataFrame(
        {
            "school": school + 1000,
            "class": np.char.add("c", rng.integers(0, 6, n).astype(str)),
            "x": rng.normal(2015.0, 3.0, n),  # far from zero, as a calendar year is
            "arm": pd.Categorical(rng.choice(["low", "mid", "high"], n), ["low", "mid", "high"]),
            "w": rng.uniform(0.2, 5.0, n),
            "o": rng.normal(size=n),
        }
    )
    slope, level = rng.normal(0, 0.2, 60), rng.normal(0, 2.0, 60)
    data["y"] = 500 + data["o"] + level[school] + (0.4 + slope[school]) * (data["x"] - 2015) + rng.normal(size=n)
    data["y"] += (data["arm"] == "high") * 1.5 + rng.normal(size=360)[school * 6 + data["class"].str[1:].astype(int)]
    data.loc[rng.choice(n, 40, replace=False), "y"] = np.nan
    data.loc[rng.choice(n, 30, replace=False), "x"] = np.nan
    data.loc[7, "w"] = 0.0
    return data


def quiet(formula, source, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.lmer(formula, source, **options)


def same(found, expected):
    """The estimates of two fits, their uncertainty and their likelihood."""
    assert found.nobs == expected.nobs
    assert found.fixef.index.tolist() == expected.fixef.index.tolist()
    for name in ("fixef", "theta"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=SAME, atol=SAME * abs(expected.fixef).max()
        )
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=SAME)
    np.testing.assert_allclose(found.criterion, expected.criterion, rtol=SAME)
    scale = np.sqrt(np.diag(expected.vcov))
    np.testing.assert_allclose(found.vcov / np.outer(scale, scale), expected.vcov / np.outer(scale, scale), atol=1e-9)
    for name, table in expected.ranef.items():
        assert found.ranef[name].index.tolist() == table.index.tolist()
        np.testing.assert_allclose(
            found.ranef[name], table, rtol=1e-8, atol=1e-9 * float(np.abs(table).to_numpy().max())
        )
