"""Informative sampling of schools and pupils with a binary response, many times: with and without weights.

``python -m tests.surveys.informative_glmer 200 out.csv`` fits that many samples and prints what
test_informative.py records.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pandas as pd
from scipy import special

import mixedfx as mx
from tests.surveys.informative import summary

TRUTH = {"Intercept": -0.4, "x": 0.7, "sd__Intercept": 0.8}
SCHOOLS, POPULATION, PUPILS = 200, 20, 40


def sample(seed: int) -> pd.DataFrame:
    """Schools drawn by their effect, and in each pupils by their response: successes with two thirds of the chance."""
    rng = np.random.default_rng(seed)
    u = TRUTH["sd__Intercept"] * rng.standard_normal(SCHOOLS * POPULATION)
    size = np.exp(-0.5 * u / TRUTH["sd__Intercept"] + 0.3 * rng.standard_normal(len(u)))
    chance = SCHOOLS * size / size.sum()
    drawn = np.flatnonzero(rng.random(len(u)) < chance)
    school = np.repeat(drawn, 2 * PUPILS)
    x = rng.standard_normal(len(school))
    passed = rng.random(len(school)) < special.expit(TRUTH["Intercept"] + TRUTH["x"] * x + u[school])
    share = np.where(passed, 0.4, 0.6)
    kept = rng.random(len(school)) < share
    frame = pd.DataFrame({"school": school.astype(str), "x": x, "passed": passed.astype(int)})
    frame["w_school"] = 1 / chance[school]
    frame["w_pupil"] = frame["w_school"] / share
    return frame[kept].reset_index(drop=True)


def one(seed: int) -> list[dict[str, float | str]]:
    """Estimates, standard errors and whether intervals hold the truth, of one sample."""
    data, rows = sample(seed), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)
        weights = {"row": "w_pupil", "school": "w_school"}
        weighted = mx.glmer("passed ~ x + (1 | school)", data, "bernoulli", sampling_weights=weights)
        plain = mx.glmer("passed ~ x + (1 | school)", data, "bernoulli", nAGQ=7)
    for name, fit in (("weighted", weighted), ("unweighted", plain)):
        table = pd.concat([fit.tidy(), fit.tidy("ran_pars")]).set_index("term")
        for term, value in TRUTH.items():
            line = table.loc[term]
            holds = float(line["conf_low"] <= value <= line["conf_high"]) if np.isfinite(line["conf_low"]) else np.nan
            rows.append(
                {
                    "seed": seed, "fit": name, "term": term, "truth": value, "estimate": float(line["estimate"]),
                    "std_error": float(line["std_error"]), "holds": holds,
                }
            )  # fmt: skip
    return rows


if __name__ == "__main__":
    count, path = int(sys.argv[1]), sys.argv[2]
    began, found = time.process_time(), []
    for seed in range(count):
        found += one(seed)
    pd.DataFrame(found).to_csv(path, index=False)
    print(summary(pd.DataFrame(found)).round(4).to_string())
    print(f"{(time.process_time() - began) / count:.3f} s of one core for a data set")
