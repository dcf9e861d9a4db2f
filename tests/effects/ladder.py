"""Coverage of subgroup effects on the ladder of six models, each with its truth redrawn from its own population.

    python -m tests.effects.ladder 500 FOLDER          # prints the tables; resumes from FOLDER

For each data set beta, u and the residuals are new, the model that made the data is fitted, and the true effect of
every subgroup, the differences of neighbours (levels that follow each other; cells that share one of two factors) and
the effects in cells without rows are held against their 90 % intervals. Three answer: REML, as `mx.effects` answers by
default; REML given theta-hat; and the same equations with the true theta and sigma, whose intervals cover exactly nine
times in ten. What the first falls short of 0.9 is the fault of the weak prior; what the second does is the price of the
plug-in; what the last does would be an error.

Below the ladder stand few groups: ``y ~ z + (1 + z | g)`` with 4, 5 or 8 of them in 200 rows, from none to large
differences between their effects, and the effect in a group without rows.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx.datasets.varying_effects import LADDER, simulate_varying_effects
from mixedfx.effects.effects import effects
from mixedfx.effects.quantities import Exact
from mixedfx.effects.subgroups import OVERALL
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer
from tests.effects.dense_fit import fit_densely
from tests.resumable import resumed

LEVEL = 0.9
SIGMA = 1.0
PAIRS = 60

# The subgroups over which the effect can vary on each rung; [] is everybody.
QUESTIONS: dict[int, list[list[str]]] = {
    1: [[]],
    2: [["x1"], ["x2"], ["x1", "x2"]],
    3: [["x1", "x2"]],
    4: [["x1", "x2"]],
    5: [["x1", "x2"], ["x3"], ["x4"], ["x3", "x4"]],
    6: [["x1", "x2"], ["x3"], ["x4"], ["x3", "x4"]],
}
GROUPED = (["x3"], ["x4"], ["x3", "x4"])
# Number of groups, standard deviations of intercepts and of effects.
FEW = ((4, 0.6, 0.4), (4, 3.0, 2.0), (5, 0.3, 0.2), (5, 0.6, 0.4), (8, 0.3, 0.3), (8, 1.0, 0.5))


def names_of(rung: int) -> list[str]:
    """What is asked about on a rung, in order."""
    names = []
    for by in QUESTIONS[rung]:
        names += [":".join(by) or OVERALL] + ([f"neighbours: {':'.join(by)}"] if by in GROUPED else [])
    return names + (["empty cells"] if rung >= 5 else [])


def one_data_set(rung: int, seed: int, n: int) -> list[dict]:
    """Share of the subgroups of each question whose interval covers the truth, and the mean width, by fit."""
    rng = np.random.default_rng([seed, rung])
    simulated = simulate_varying_effects(rung, n=n, x3_levels=12, x4_levels=10, sigma=SIGMA, seed=rng)
    known = fit_densely(simulated.formula, simulated.data, sigma=SIGMA, populations=simulated.truth.cov)
    fit = lmer(simulated.formula, simulated.data)
    effect = simulated.treatment_effects().mean()
    truth = {":".join(by): simulated.subgroup_effects(by).to_numpy() if by else effect for by in QUESTIONS[rung]}
    empty = empty_cells(simulated.data) if rung >= 5 else simulated.data.iloc[:0]
    rows: list[dict] = []

    def report(what: str, name: str, table: pd.DataFrame, true: np.ndarray) -> None:
        inside = (table["lower"].to_numpy() <= true) & (true <= table["upper"].to_numpy())
        row = {"rung": rung, "by": what, "fit": name, "subgroups": len(table), "covered": inside.mean()}
        row["width"] = (table["upper"] - table["lower"]).mean()
        rows.append(row | {"mse": ((table["estimate"].to_numpy() - true) ** 2).mean()})

    for name, one, options in (
        ("known theta", known, {}),
        ("REML", fit, {}),
        ("given theta", fit, {"uncertainty": "given theta"}),
    ):
        answer = effects(one, "z", by=QUESTIONS[rung], level=LEVEL, **options)
        margins = answer.table["margin"] if "margin" in answer.table else answer.table.assign(m=OVERALL)["m"]
        if len(QUESTIONS[rung]) == 1:
            margins = pd.Series([":".join(QUESTIONS[rung][0]) or OVERALL] * len(answer))
        for by in map(":".join, QUESTIONS[rung]):
            at = np.flatnonzero(margins == (by or OVERALL))
            report(by or OVERALL, name, answer.table.iloc[at], truth[by])
            if by.split(":") in list(GROUPED):
                W = neighbours(answer.table.iloc[at], by.split(":"), np.random.default_rng([seed, rung, 1]))
                quantities = answer.quantities.take(at).combine(W)
                assert isinstance(quantities, Exact)
                report(f"neighbours: {by}", name, quantities.summary(LEVEL, 0.0), W @ truth[by])
        if len(empty):
            cells = effects(one, "z", by=["x3", "x4"], newdata=empty, level=LEVEL, **options).table
            report("empty cells", name, cells, simulated.subgroup_effects(["x3", "x4"], empty).to_numpy())
    return rows


def empty_cells(data: pd.DataFrame) -> pd.DataFrame:
    """Rows for the combinations of x3 and x4 that no row of the data has, each with every x1 and x2."""
    index = pd.MultiIndex.from_product([data[c].cat.categories for c in ("x3", "x4", "x1", "x2")])
    every = index.to_frame(index=False, name=["x3", "x4", "x1", "x2"]).astype(data[["x3", "x4", "x1", "x2"]].dtypes)
    held = set(zip(data["x3"], data["x4"], strict=True))
    return every[[pair not in held for pair in zip(every["x3"], every["x4"], strict=True)]].assign(z=0)


def neighbours(table: pd.DataFrame, by: list[str], rng: np.random.Generator) -> np.ndarray:
    """(PAIRS or fewer, s) contrasts of rows that follow each other, or that share all columns but one."""
    s = len(table)
    if len(by) == 1:
        first, second = np.arange(s - 1), np.arange(1, s)
    else:
        levels = table[by].astype(str).to_numpy()
        first, second = np.nonzero(np.triu((levels[:, None] != levels).sum(axis=2) == 1))
        chosen = rng.choice(len(first), min(PAIRS, len(first)), replace=False)
        first, second = first[chosen], second[chosen]
    W = np.zeros((len(first), s))
    W[np.arange(len(first)), first], W[np.arange(len(first)), second] = 1.0, -1.0
    return W


def few_groups(groups: int, sds: tuple[float, float], seed: int) -> list[dict]:
    """The same for one data set of few groups: their effects, differences of neighbours, the effect in a new group."""
    rng = np.random.default_rng([seed, groups, int(100 * sds[1])])
    n = 200
    g, z = rng.permutation(np.arange(n) % groups), rng.permutation(np.arange(n) % 2).astype(float)
    u = rng.normal(size=(groups + 1, 2)) * sds
    y = u[g, 0] + (0.5 + u[g, 1]) * z + SIGMA * rng.normal(size=n)
    data = pd.DataFrame({"y": y, "z": z, "g": [f"g{k}" for k in g]})
    fit, true = lmer("y ~ z + (1 + z | g)", data), 0.5 + u[:, 1]
    rows: list[dict] = []
    for name, options in (("REML", {}), ("given theta", {"uncertainty": "given theta"})):
        answer = effects(fit, "z", by="g", level=LEVEL, **options)
        W = neighbours(answer.table, ["g"], rng)
        between = answer.quantities.combine(W).summary(LEVEL, 0.0)
        new = effects(fit, "z", newdata=pd.DataFrame({"g": ["new"], "z": [0.0]}), level=LEVEL, **options).table
        for what, table, truth in (
            ("groups", answer.table, true[:-1]),
            ("neighbours", between, W @ true[:-1]),
            ("a new group", new, true[-1:]),
        ):
            inside = (table["lower"].to_numpy() <= truth) & (truth <= table["upper"].to_numpy())
            row = {"rung": f"{groups} groups, sds {sds[0]:g} and {sds[1]:g}", "by": what, "fit": name}
            row |= {"subgroups": len(table), "covered": inside.mean()}
            row["width"] = (table["upper"] - table["lower"]).mean()
            rows.append(row | {"mse": ((table["estimate"].to_numpy() - truth) ** 2).mean()})
    return rows


def coverage(rung: int, data_sets: int, n: int = 400, folder: Path | None = None) -> pd.DataFrame:
    """Coverage over many data sets; standard errors count data sets, since the subgroups of one are correlated.

    Returns
    -------
    DataFrame
        One row for each rung and question: subgroups (their mean number), coverage of each fit with se, the shortfall
        of REML given theta against known theta on the same data with se, and width and root-mean-square error of each.
    """
    return summarised(_results(f"ladder-{rung}", data_sets, folder, lambda s: one_data_set(rung, s, n)))


def coverage_of_few(groups: int, sds: tuple[float, float], data_sets: int, folder: Path | None = None) -> pd.DataFrame:
    """The same for few groups, without known theta."""
    name = f"few-{groups}-{sds[0]:g}-{sds[1]:g}"
    return summarised(_results(name, data_sets, folder, lambda s: few_groups(groups, sds, s)))


def _results(name: str, data_sets: int, folder: Path | None, one) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # a singular fit is an answer like any other here
        if folder is not None:
            return resumed(name, __file__, data_sets, folder, one)
        parts = [pd.DataFrame(one(s)).assign(index=s) for s in range(data_sets)]
    return pd.concat(parts, ignore_index=True)


def summarised(every: pd.DataFrame) -> pd.DataFrame:
    """One row for each question."""
    rows = []
    for (step, by), part in every.groupby(["rung", "by"], sort=False):
        wide = part.pivot(index="index", columns="fit")
        covered, root = wide["covered"], np.sqrt(len(wide))
        row = {"rung": step, "by": by, "subgroups": part["subgroups"].mean()}
        fits = [fit for fit in ("known theta", "REML", "given theta") if fit in covered]
        for fit in fits:
            row |= {fit: covered[fit].mean(), f"{fit} se": covered[fit].std() / root}
        if "known theta" in covered:
            shortfall = covered["known theta"] - covered["given theta"]
            row |= {"shortfall": shortfall.mean(), "shortfall se": shortfall.std() / root}
        row |= {f"{fit} width": wide["width"][fit].mean() for fit in fits}
        row |= {f"{fit} rmse": np.sqrt(wide["mse"][fit].mean()) for fit in fits}
        rows.append(row)
    return pd.DataFrame(rows)


def as_text(table: pd.DataFrame, data_sets: int) -> str:
    """Lay the table out for reading."""
    head = f"Coverage of {LEVEL:.0%} intervals, {data_sets} data sets per rung; standard errors clustered by data set"
    return f"{head}\n{table.round(3).to_string(index=False)}"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(".benchmarks")
    where.mkdir(parents=True, exist_ok=True)
    tables = [coverage(rung, count, folder=where) for rung in LADDER]
    print(as_text(pd.concat(tables, ignore_index=True), count))
    tables = [coverage_of_few(groups, (a, b), count, where) for groups, a, b in FEW]
    print(as_text(pd.concat(tables, ignore_index=True), count))
