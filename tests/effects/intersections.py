"""Calibration of effects in 2 x 5 x 4 x 6 intersections, some of them empty, under a prior that made the data.

    python -m tests.effects.intersections 500 FOLDER         # prints the tables; resumes from FOLDER

Nominal coverage is guaranteed only where the truth, variances included, is drawn from the prior the fit uses. For each
data set sigma, the standard deviations, beta and u are new; the simulator shares no code with the package. Every cell
of the census, empty ones too, is asked for its effect, and pairs of cells for their contrast, any pairs and pairs that
differ in one factor. Answers come from the exact posterior, from REML, and from two mutants: all unseen cells with the
draws of one, and contrasts from independently permuted columns of draws. Root-mean-square errors are held against raw
differences of means in each cell and against unpooled interactions (least squares with all levels as fixed effects).
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx import priors
from mixedfx.bayes.bayes import bayes
from mixedfx.bayes.posterior import estimate
from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer
from tests.resumable import resumed

FORMULA = "y ~ z * a + (1 + z || b) + (1 + z || c) + (1 + z || d) + (1 + z || a:b:c:d)"
SIZES = {"a": 2, "b": 5, "c": 4, "d": 6}
FACTORS = list(SIZES)
ROWS = 600
DRAWS = 1000
LEVELS = (0.5, 0.95)
PAIRS = 60
CLASSES = {"empty": (0, 0), "1 to 3": (1, 3), "4 to 9": (4, 9), "10 and more": (10, 10**9)}
PRIORS = {
    "intercept": priors.normal(0.0, 1.0),
    "coef": priors.normal(0.0, 0.5),
    "sd": priors.half_normal(0.4),
    "sigma": priors.half_normal(1.0),
}


def census() -> pd.DataFrame:
    """The 240 cells."""
    index = pd.MultiIndex.from_product([[f"{f}{i}" for i in range(k)] for f, k in SIZES.items()], names=FACTORS)
    return index.to_frame(index=False)


def simulate(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Data, the true effect of z in each cell of the census, and the rows in each."""
    cells = census()
    shares = np.ones(1)
    for k in SIZES.values():  # skewed margins leave some cells empty
        shares = np.outer(shares, rng.dirichlet(np.full(k, 2.0))).ravel()
    cell = rng.choice(len(cells), ROWS, p=shares)
    z = rng.integers(0, 2, ROWS).astype(float)
    a1 = (cells["a"] == "a1").to_numpy(dtype=float)
    slope, shift, more = 0.5 * rng.normal(size=3)
    a_row = a1[cell]
    # the prior of the intercept holds at the means of the columns of X
    intercept = rng.normal() - slope * z.mean() - shift * a_row.mean() - more * (z * a_row).mean()
    level, effect = intercept + shift * a1, slope + more * a1
    for name in ("b", "c", "d", None):
        codes = np.arange(len(cells)) if name is None else cells[name].str[1:].astype(int).to_numpy()
        u = np.abs(0.4 * rng.normal(size=2)) * rng.normal(size=(codes.max() + 1, 2))
        level, effect = level + u[codes, 0], effect + u[codes, 1]
    y = level[cell] + effect[cell] * z + np.abs(rng.normal()) * rng.normal(size=ROWS)
    data = cells.iloc[cell].reset_index(drop=True).assign(z=z, y=y)
    return data, effect, np.bincount(cell, minlength=len(cells))


def neighbours(rng: np.random.Generator) -> np.ndarray:
    """(PAIRS, 2) cells of the census that differ in one factor: what they share is most of what they are."""
    sizes = np.array(list(SIZES.values()))
    one = np.column_stack([rng.integers(0, k, PAIRS) for k in sizes])
    other = one.copy()
    which = rng.integers(0, len(sizes), PAIRS)
    rows = np.arange(PAIRS)
    other[rows, which] = (one[rows, which] + 1 + rng.integers(0, sizes[which] - 1)) % sizes[which]
    return np.column_stack([np.ravel_multi_index(tuple(part.T), tuple(sizes)) for part in (one, other)])


def size_class(n: np.ndarray) -> np.ndarray:
    """Name of the class of each cell size."""
    names = np.empty(len(n), dtype=object)
    for name, (low, high) in CLASSES.items():
        names[(low <= n) & (n <= high)] = name
    return names


def one_data_set(index: int) -> list[dict]:
    """For each method and class of cells: number, coverage at both levels, mean width, sum of squared errors."""
    rng = np.random.default_rng([20261121, index])
    data, truth, n = simulate(rng)
    cells, classes = census(), size_class(n)
    rows: list[dict] = []

    def report(method: str, what: str, true: np.ndarray, estimate: np.ndarray, intervals: dict | None) -> None:
        row = {"data": index, "method": method, "what": what, "count": len(true)}
        row["squared"] = float(((estimate - true) ** 2).sum())
        for level, (lower, upper) in (intervals or {}).items():
            row[f"in {level:g}"] = int(((lower <= true) & (true <= upper)).sum())
            row[f"width {level:g}"] = float((upper - lower).sum())
        rows.append(row)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        posterior = bayes(FORMULA, data, priors=PRIORS, draws=DRAWS, seed=index)
        fits = {"posterior": posterior, "REML": lmer(FORMULA, data)}
        answers = {name: effects(fit, "z", by=FACTORS, newdata=cells) for name, fit in fits.items()}
        original = estimate.new_effects
        try:
            estimate.new_effects = lambda level, *rest: original(replace(level, level="one for all"), *rest)
            shared = effects(posterior, "z", by=FACTORS, newdata=cells).draws()
        finally:
            estimate.new_effects = original
    place = _places(answers["posterior"].table, cells)
    anywhere = rng.choice(len(cells), (PAIRS, 2))
    contrasts = {"contrasts of cells": anywhere[anywhere[:, 0] != anywhere[:, 1]]}
    contrasts["contrasts of neighbours"] = neighbours(rng)
    for name, answer in answers.items():
        draws = answer.draws(4000, seed=index)[:, place] if name == "REML" else answer.draws()[:, place]
        quantiles = _quantiles(draws)
        for chosen in CLASSES:
            at = classes == chosen
            inside = {level: (low[at], high[at]) for level, (low, high) in quantiles.items()}
            report(name, f"cells: {chosen}", truth[at], draws.mean(axis=0)[at], inside)
        tried = {name: draws}
        if name == "posterior":
            tried["mutant: independent columns"] = rng.permuted(draws, axis=0)
        for what, pairs in contrasts.items():
            a, b = pairs.T
            for method, values in tried.items():
                gap = values[:, a] - values[:, b]
                report(method, what, truth[a] - truth[b], gap.mean(axis=0), _quantiles(gap))
        empty = classes == "empty"
        if empty.any():
            for method, values in ((name, draws), ("mutant: one draw for unseen", shared[:, place])):
                if method == name or name == "posterior":
                    mean = values[:, empty].mean(axis=1, keepdims=True)
                    report(method, "mean of empty cells", truth[empty].mean(keepdims=True), mean.mean(axis=0),
                           _quantiles(mean))  # fmt: skip
    for method, values in {"raw differences": raw(data, cells), "no pooling": unpooled(data, cells)}.items():
        known = np.isfinite(values)
        for chosen in CLASSES:
            at = (classes == chosen) & known
            report(method, f"cells: {chosen}", truth[at], values[at], None)
            # the pooled estimates on the same cells, for a fair ratio
            pooled = answers["posterior"].table["estimate"].to_numpy()[place]
            report(f"posterior, where {method}", f"cells: {chosen}", truth[at], pooled[at], None)
    return rows


def _places(table: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Row of the table of each cell of the census."""
    key = table[FACTORS].astype(str).agg("|".join, axis=1)
    order = pd.Series(np.arange(len(table)), index=key)
    return order[cells.astype(str).agg("|".join, axis=1)].to_numpy()


def _quantiles(draws: np.ndarray) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    return {level: tuple(np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)) for level in LEVELS}


def raw(data: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Difference of the means of treated and untreated in each cell; NaN where one is missing."""
    means = data.groupby([*FACTORS, "z"])["y"].mean().unstack("z")
    return (means[1.0] - means[0.0]).reindex(pd.MultiIndex.from_frame(cells)).to_numpy()


def unpooled(data: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Effect of z in each cell from least squares with z by every level of every factor, main effects as well."""

    def columns(frame: pd.DataFrame) -> np.ndarray:
        dummies = [(frame[f] == f"{f}{i}").to_numpy(dtype=float) for f, k in SIZES.items() for i in range(1, k)]
        return np.column_stack([np.ones(len(frame)), *dummies])

    X = columns(data)
    both = np.column_stack([X, X * data["z"].to_numpy()[:, None]])
    beta = np.linalg.lstsq(both, data["y"].to_numpy(), rcond=None)[0]
    return columns(cells) @ beta[X.shape[1] :]


def run(count: int, folder: Path) -> pd.DataFrame:
    """Results of `count` data sets, whose numbers are in the column data."""
    return resumed("intersections", __file__, count, folder, one_data_set)


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Coverage with standard errors clustered by data set, mean width and root-mean-square error."""
    rows = []
    for (what, method), part in results.groupby(["what", "method"], sort=False):
        total = part["count"].sum()
        if total == 0:
            continue
        row = {"what": what, "method": method, "n": int(total), "rmse": float(np.sqrt(part["squared"].sum() / total))}
        for level in LEVELS:
            inside = part[f"in {level:g}"]
            if inside.notna().all():
                share = inside.sum() / total
                # a ratio of sums over data sets: its linearised error
                influence = inside - share * part["count"]
                row[f"cover {level:g}"] = share
                row[f"se {level:g}"] = float(np.sqrt((influence**2).sum()) / total)
                row[f"width {level:g}"] = part[f"width {level:g}"].sum() / total
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(".benchmarks")
    where.mkdir(parents=True, exist_ok=True)
    print(summarise(run(asked, where)).round(3).to_string(index=False))
