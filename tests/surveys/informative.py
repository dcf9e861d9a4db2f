"""Informative sampling of schools and pupils, many times: estimates with and without weights, and their intervals.

``python -m tests.surveys.informative 400 out.csv`` fits that many samples of 200 schools with 32 pupils each (a
data set takes some 0.2 s) and prints what test_informative.py records.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pandas as pd

import mixedfx as mx

FORMULA = "score ~ ses + (1 + ses | school)"
WEIGHTS = mx.sampling_weights(row="w_pupil", school="w_school", strata="region")
SIZE = {"schools": 200, "pupils": 32, "informative": 0.6}


def one(seed: int) -> list[dict[str, float | str]]:
    """Estimates, standard errors and whether intervals hold the truth, of one sample."""
    data, truth = mx.datasets.simulate_survey(seed, **SIZE)
    known = {
        "Intercept": truth.intercept, "ses": truth.slope, "sd__Intercept": truth.sd_school, "sd__ses": truth.sd_slope,
        "sd__Observation": truth.sigma,
    }  # fmt: skip
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)
        fits = {
            "weighted": mx.lmer(FORMULA, data, sampling_weights=WEIGHTS),
            "unweighted": mx.lmer(FORMULA, data, REML=False),
        }
        for name, fit in fits.items():
            table = pd.concat([fit.tidy(), fit.tidy("ran_pars")]).set_index("term")
            for term, value in known.items():
                line = table.loc[term]
                rows.append(
                    {
                        "seed": seed, "fit": name, "term": term, "truth": value, "estimate": float(line["estimate"]),
                        "std_error": float(line["std_error"]),
                        "holds": float(line["conf_low"] <= value <= line["conf_high"])
                        if np.isfinite(line["conf_low"]) else np.nan,
                    }
                )  # fmt: skip
    return rows


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Bias, its Monte Carlo error, standard errors against the spread, and coverage, by fit and term."""
    grouped = results.assign(error=results["estimate"] - results["truth"]).groupby(["fit", "term"], sort=False)
    table = grouped.agg(bias=("error", "mean"), spread=("error", "std"), se=("std_error", "mean"),
                        coverage=("holds", "mean"), n=("error", "size"), known=("holds", "count"))  # fmt: skip
    return table.assign(mc=table["spread"] / np.sqrt(table["n"]))


if __name__ == "__main__":
    count, path = int(sys.argv[1]), sys.argv[2]
    began, found = time.process_time(), []
    for seed in range(count):
        found += one(seed)
        if seed % 20 == 19:
            pd.DataFrame(found).to_csv(path, index=False)
    print(summary(pd.DataFrame(found)).round(4).to_string())
    print(f"{(time.process_time() - began) / count:.3f} s of one core for a data set")
