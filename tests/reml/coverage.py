"""Coverage of Wald, profile and bootstrap intervals: data sets from a known truth, one row of a file for each.

y ~ x + (x | g) with 15 groups of 6 rows. The simulator shares no code with the package. A run that is broken off goes
on where it stopped: data set i has seed i, and the file holds what is done.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx.reml.lmer import lmer

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


def run(data_sets, folder):
    """(data sets, method:parameter) 1 where the truth is covered, 0 where not, NaN where there is no interval."""
    path = Path(folder) / "coverage.csv"
    columns = [f"wald:{p}" for p in ("Intercept", "x")] + [f"{m}:{p}" for m in METHODS[1:] for p in TRUTH]
    done = len(pd.read_csv(path)) if path.exists() else 0
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(columns)
        for seed in range(done, data_sets):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = intervals(seed)
            row = []
            for column in columns:
                method, name = column.split(":")
                low, high = found[method, name]
                row.append("" if np.isnan(low) or np.isnan(high) else int(low <= TRUTH[name] <= high))
            writer.writerow(row)
            file.flush()
    return pd.read_csv(path).iloc[:data_sets]
