"""Coverage of subgroup effects on the ladder of six models, each with its truth redrawn from its own population.

    python -m tests.effects.ladder 500          # prints the table

For each data set beta, u and the residuals are new, the model that made the data is fitted, and the true effect of
every subgroup is held against its 90 % interval. Two fits answer: REML, which takes theta-hat for theta, and the same
equations with the true theta and sigma, whose intervals cover exactly nine times in ten. What REML falls short of the
second is the price of the plug-in; what the second falls short of 0.9 would be an error.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd

from mixedfx.datasets.varying_effects import LADDER, simulate_varying_effects
from mixedfx.effects.effects import effects
from mixedfx.effects.subgroups import OVERALL
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer
from tests.effects.dense_fit import fit_densely

LEVEL = 0.9
SIGMA = 1.0

# The subgroups over which the effect can vary on each rung; [] is everybody.
QUESTIONS: dict[int, list[list[str]]] = {
    1: [[]],
    2: [["x1"], ["x2"], ["x1", "x2"]],
    3: [["x1", "x2"]],
    4: [["x1", "x2"]],
    5: [["x1", "x2"], ["x3"], ["x4"], ["x3", "x4"]],
    6: [["x1", "x2"], ["x3"], ["x4"], ["x3", "x4"]],
}


def one_data_set(rung: int, seed: int, n: int) -> pd.DataFrame:
    """Share of the subgroups of each margin whose interval covers the truth, and the mean width, by fit."""
    simulated = simulate_varying_effects(
        rung, n=n, x3_levels=12, x4_levels=10, sigma=SIGMA, seed=np.random.default_rng([seed, rung])
    )
    fits = {
        "known theta": fit_densely(simulated.formula, simulated.data, sigma=SIGMA, populations=simulated.truth.cov),
        "REML": lmer(simulated.formula, simulated.data),
    }
    effect = simulated.treatment_effects().mean()
    truth = {":".join(by): simulated.subgroup_effects(by).to_numpy() if by else effect for by in QUESTIONS[rung]}
    rows = []
    for name, fit in fits.items():
        every = effects(fit, "z", by=QUESTIONS[rung], level=LEVEL).table
        for by in map(":".join, QUESTIONS[rung]):
            table = every[every["margin"] == (by or OVERALL)]
            inside = (table["lower"] <= truth[by]) & (truth[by] <= table["upper"])
            rows.append(
                {
                    "rung": rung,
                    "by": by or OVERALL,
                    "fit": name,
                    "subgroups": len(table),
                    "covered": inside.mean(),
                    "width": (table["upper"] - table["lower"]).mean(),
                    "mse": ((table["estimate"] - truth[by]) ** 2).mean(),
                }
            )
    return pd.DataFrame(rows)


def coverage(rung: int, data_sets: int, n: int = 400, first_seed: int = 0) -> pd.DataFrame:
    """Coverage over many data sets; standard errors count data sets, since the subgroups of one are correlated.

    Returns
    -------
    DataFrame
        One row for each rung and margin: subgroups (their mean number), coverage of each fit with se, the shortfall of
        REML against known theta on the same data with se, and width and root-mean-square error of each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # a singular fit is an answer like any other here
        every = pd.concat(
            [one_data_set(rung, first_seed + s, n).assign(data=s) for s in range(data_sets)], ignore_index=True
        )
    rows = []
    for (step, by), part in every.groupby(["rung", "by"], sort=False):
        wide = part.pivot(index="data", columns="fit")
        covered, root = wide["covered"], np.sqrt(data_sets)
        shortfall = covered["known theta"] - covered["REML"]
        row = {"rung": step, "by": by, "subgroups": part["subgroups"].mean()}
        for fit in ("known theta", "REML"):
            row |= {fit: covered[fit].mean(), f"{fit} se": covered[fit].std() / root}
        row |= {"shortfall": shortfall.mean(), "shortfall se": shortfall.std() / root}
        row |= {f"{fit} width": wide["width"][fit].mean() for fit in ("known theta", "REML")}
        row |= {f"{fit} rmse": np.sqrt(wide["mse"][fit].mean()) for fit in ("known theta", "REML")}
        rows.append(row)
    return pd.DataFrame(rows)


def as_text(table: pd.DataFrame, data_sets: int) -> str:
    """Lay the table out for reading."""
    head = f"Coverage of {LEVEL:.0%} intervals, {data_sets} data sets per rung; standard errors clustered by data set"
    return f"{head}\n{table.round(3).to_string(index=False)}"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print(as_text(pd.concat([coverage(rung, count) for rung in LADDER], ignore_index=True), count))
