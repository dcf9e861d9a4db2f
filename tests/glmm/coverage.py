"""Coverage of subgroup effects on a binary outcome, each data set with its truth redrawn from its own population.

    python -m tests.glmm.coverage 100 FOLDER          # prints the table; resumes from FOLDER

Data are those of the ladder of varying effects, ``y ~ z + x1*z + x2*z + (1 + z | x3) + (1 + z | x4)`` on the log odds:
3,000 rows, 20 levels of x3 and 15 of x4, so that a cell of the two has ten yes/no answers, half of them treated. For
each data set beta, u and the answers are new; true risk differences of every subgroup, and that over the population of
groups, are held against their 90 % intervals, as `mx.effects` answers by default and given theta-hat.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.datasets.varying_effects import simulate_varying_effects
from mixedfx.errors import MixedfxWarning
from mixedfx.linalg.quadrature import normal_rule
from tests.resumable import resumed

LEVEL, ROWS = 0.9, 3000
FORMULA = "y ~ z + x1*z + x2*z + (1 + z | x3) + (1 + z | x4)"
QUESTIONS = [["x1", "x2"], ["x3"], ["x4"], ["x3", "x4"]]
FITS = {"theta included": "full", "given theta": "given theta"}


def logistic(eta):
    """Inverse of the logit."""
    return 1.0 / (1.0 + np.exp(-eta))


def binary_ladder(rng: np.random.Generator, n: int = ROWS):
    """Data with y of zeros and ones; (n,) true log odds without and with the treatment; what was simulated."""
    names = {"Intercept": 0.0, "z": 0.5 + 0.3 * rng.normal()}
    names |= {name: 0.3 * rng.normal() for name in ("x1[a2]", "x2[b2]", "x1[a2]:z", "x2[b2]:z")}
    simulated = simulate_varying_effects(5, n=n, beta=names, sigma=1e-9, seed=rng)
    effect = simulated.treatment_effects().to_numpy()
    eta, z = simulated.data["y"].to_numpy(), simulated.data["z"].to_numpy()
    data = simulated.data.assign(y=(rng.random(n) < logistic(eta)).astype(int))
    without = eta - z * effect
    return data, without, without + effect, simulated, names


def over_population(data: pd.DataFrame, names: dict, simulated) -> float:
    """True risk difference over the population of groups: log odds are normal about the fixed part."""
    a, b = (data["x1"] == "a2").to_numpy(float), (data["x2"] == "b2").to_numpy(float)
    cov = sum(one.to_numpy() for one in simulated.truth.cov.values())
    base = names["Intercept"] + names["x1[a2]"] * a + names["x2[b2]"] * b
    effect = names["z"] + names["x1[a2]:z"] * a + names["x2[b2]:z"] * b
    means = []
    for eta, c in ((base, [1.0, 0.0]), (base + effect, [1.0, 1.0])):
        sd = float(np.sqrt(c @ cov @ c))
        nodes, weights = normal_rule(sd)
        means.append(np.mean(logistic(eta[:, None] + sd * nodes) @ weights))
    return float(means[1] - means[0])


def one_data_set(seed: int, n: int = ROWS) -> list[dict]:
    """Share of the subgroups of each question whose interval covers the truth, and the mean width, by fit."""
    data, without, treated, simulated, names = binary_ladder(np.random.default_rng([seed, 15]), n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer(FORMULA, data, family="bernoulli")
    risk = pd.Series(logistic(treated) - logistic(without))
    rows = []

    def report(what, name, table, true):
        inside = (table["lower"].to_numpy() <= true) & (true <= table["upper"].to_numpy())
        width = (table["upper"] - table["lower"]).mean()
        rows.append({"by": what, "fit": name, "subgroups": len(table), "covered": inside.mean(), "width": width})

    for name, uncertainty in FITS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            table = mx.effects(fit, "z", by=QUESTIONS, level=LEVEL, uncertainty=uncertainty).table
            population = mx.effects(fit, "z", groups="integrate", level=LEVEL, uncertainty=uncertainty).table
        for by in QUESTIONS:
            own = table[table["margin"] == ":".join(by)]
            keys = pd.MultiIndex.from_frame(own[by]) if len(by) > 1 else own[by[0]]
            truth = risk.groupby([data[c].to_numpy() for c in by], observed=True).mean()
            report(":".join(by), name, own, truth.loc[list(keys)].to_numpy())
        report("population", name, population, np.array([over_population(data, names, simulated)]))
    return rows


def table_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Coverage and width by question and fit."""
    return frame.groupby(["by", "fit"], sort=False)[["covered", "width"]].mean().unstack("fit")


def coverage(count: int, folder: Path) -> pd.DataFrame:
    """The table of `count` data sets."""
    return table_of(resumed("glmm-ladder", __file__, count, folder, one_data_set))


if __name__ == "__main__":
    print(coverage(int(sys.argv[1]), Path(sys.argv[2])).round(3).to_string())
