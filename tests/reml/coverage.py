"""Coverage of Wald, profile and bootstrap intervals: data sets from a known truth, one row of a file for each.

y ~ x + (x | g) with 15 groups of 6 rows. The simulator shares no code with the package. A run that is broken off goes
on where it stopped: data set i has seed i, and the file holds what is done.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from mixedfx.reml.lmer import lmer
from tests.resumable import resumed

GROUPS, ROWS = 15, 6
TRUTH = {
    "sd__Intercept|g": 1.0,
    "cor__Intercept.x|g": 0.4,
    "sd__x|g": 0.7,
    "sigma": 1.0,
    "Intercept": 2.0,
    "x": 0.5,
}
REPLICATES = 499
METHODS = ("wald", "profile", "percentile", "basic")


def simulate(seed):
    """One data set."""
    rng = np.random.default_rng([2026, seed])
    g = np.repeat(np.arange(GROUPS), ROWS)
    x = np.tile(np.linspace(-1.5, 1.5, ROWS), GROUPS)
    a, b = rng.normal(size=(2, GROUPS))
    slope = 0.7 * (0.4 * a + np.sqrt(1 - 0.4**2) * b)
    y = 2.0 + a[g] + (0.5 + slope[g]) * x + rng.normal(size=len(g))
    return pd.DataFrame({"g": g, "x": x, "y": y})


def intervals(seed):
    """Method and parameter -> interval, for one data set."""
    fit = lmer("y ~ x + (x | g)", simulate(seed))
    bootstrap = fit.bootstrap(REPLICATES, seed=seed, progress=False)
    tables = {
        "wald": fit.confint("wald", ddf="satterthwaite"),
        "profile": fit.confint("profile"),
        "percentile": bootstrap.confint(interval="percentile"),
        "basic": bootstrap.confint(interval="basic"),
    }
    out = {}
    for method, table in tables.items():
        names = ["Intercept", "x"] if method == "wald" else list(TRUTH)
        for name, low, high in zip(names, table["conf_low"], table["conf_high"], strict=True):
            out[method, name] = (low, high)
    return out


def covered(seed):
    """method:parameter -> 1 where the truth is covered, 0 where not, NaN where there is no interval."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = intervals(seed)
    return {
        f"{method}:{name}": np.nan if np.isnan([low, high]).any() else int(low <= TRUTH[name] <= high)
        for (method, name), (low, high) in found.items()
    }


def run(data_sets, folder):
    """(data sets, method:parameter) `covered` of each data set."""
    return resumed("coverage", __file__, data_sets, folder, lambda seed: [covered(seed)]).drop(columns="index")
