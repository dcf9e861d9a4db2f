"""Generalised linear mixed models: mixedfx.glmer against its peers in one run, as a table in Markdown.

    python benchmarks/glmer.py --peer-python .benchmarks/peers/bin/python --out benchmarks/GLMER.md

Every program meets the same CSV files, in a process of its own with one thread. Times are CPU seconds from formula and
data frame to the fit, the median of some repetitions after a first one, which compiles; criteria are -2 log likelihood.
The peers are the Python packages glmm and gpboost (where an interpreter that has them is named), and lme4 and glmmTMB
(where there is an ``Rscript``); lme4 without its differences for standard errors. gpboost reads no formulas: its
matrices are made before the clock starts; it fits random intercepts only, here by Cholesky factors, since its criterion
by iteration is a noisy one (its choice for several factors; 3 units off on grouseticks). The criterion of lme4 off the
canonical link is another one. Standard errors of mixedfx are worked out when asked for and timed apart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Case:
    """One model: our formula, that of R and glmm where it differs, family, and columns that are categories."""

    name: str
    data: str
    formula: str
    family: str
    categories: tuple[str, ...]
    theirs: str | None = None
    repeats: int = 7


CASES = (
    Case("cbpp", "cbpp", "incidence | trials(size) ~ period + (1 | herd)", "binomial", ("period", "herd"),
         "cbind(incidence, failures) ~ period + (1 | herd)"),
    Case("grouseticks, three factors", "grouseticks",
         "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "poisson",
         ("YEAR", "BROOD", "INDEX", "LOCATION")),
    Case("verbagg", "verbagg", "r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)", "bernoulli",
         ("Gender", "btype", "situ", "mode", "id", "item")),
    Case("nested: 1,600 families in 160 places", "nested", "y ~ x + (1 | place) + (1 | family)", "bernoulli",
         ("place", "family")),
    Case("slopes: 200,000 rows", "slopes", "y ~ x + z + (1 + x | g)", "bernoulli", ("g",), None, 3),
    Case("crossed: 100,000 rows, 5,000 x 1,000", "crossed", "y ~ x + (1 | g) + (1 | h)", "bernoulli", ("g", "h"),
         None, 3),
)  # fmt: skip


def answers(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    """Zeros and ones with these log odds."""
    return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(int)


def write_data(folder: Path) -> None:
    """The classics as the tests have them, and three simulations."""
    sys.path.insert(0, str(HERE.parent))
    from tests.glmm.data import classic

    cbpp = classic("cbpp")
    cbpp.assign(failures=cbpp["size"] - cbpp["incidence"]).to_csv(folder / "cbpp.csv", index=False)
    classic("grouseticks").to_csv(folder / "grouseticks.csv", index=False)
    classic("verbagg").to_csv(folder / "verbagg.csv", index=False)
    rng = np.random.default_rng(1)
    g, h, x = rng.integers(0, 5000, 100_000), rng.integers(0, 1000, 100_000), rng.normal(size=100_000)
    y = answers(rng, -0.3 + 0.5 * x + rng.normal(size=5000)[g] + 0.7 * rng.normal(size=1000)[h])
    pd.DataFrame({"y": y, "x": x, "g": g, "h": h}).to_csv(folder / "crossed.csv", index=False)
    rng = np.random.default_rng(2)
    g, x, z = rng.integers(0, 2000, 200_000), rng.normal(size=200_000), rng.normal(size=200_000)
    u = rng.normal(size=(2000, 2)) @ np.array([[0.9, 0.2], [0.0, 0.5]])
    y = answers(rng, -0.3 + 0.5 * x + 0.3 * z + u[g, 0] + u[g, 1] * x)
    pd.DataFrame({"y": y, "x": x, "z": z, "g": g}).to_csv(folder / "slopes.csv", index=False)
    rng = np.random.default_rng(3)
    family = np.repeat(np.arange(1600), rng.choice([1, 2, 3], 1600, p=[0.8, 0.15, 0.05]))
    place, x = family // 10, rng.normal(size=len(family))
    y = answers(rng, -0.5 + 0.7 * x + 1.5 * rng.normal(size=1600)[family] + 0.9 * rng.normal(size=160)[place])
    pd.DataFrame({"y": y, "x": x, "family": family, "place": place}).to_csv(folder / "nested.csv", index=False)


def timed(fit: Any, repeats: int, compiles: bool = True) -> tuple[Any, float]:
    """The last fit, and the median CPU time, after a first one where that compiles."""
    if compiles:
        fit()
    seconds, found = [], None
    for _ in range(repeats):
        began = time.process_time()
        found = fit()
        seconds.append(time.process_time() - began)
    return found, float(np.median(seconds))


def frame_of(case: Case, folder: str) -> pd.DataFrame:
    """The data of a case, categories as text."""
    return pd.read_csv(Path(folder) / f"{case.data}.csv").astype(dict.fromkeys(case.categories, str))


def run_mixedfx(case: Case, folder: str) -> dict[str, float]:
    """One case with this package."""
    import mixedfx as mx

    frame = frame_of(case, folder)
    fit, seconds = timed(lambda: mx.glmer(case.formula, frame, case.family), case.repeats)
    began = time.process_time()
    _ = fit.vcov
    errors = time.process_time() - began
    count = fit.optimization.evaluations
    return {"seconds": seconds, "criterion": fit.criterion, "evaluations": count, "standard errors": errors}


def run_glmm(case: Case, folder: str) -> dict[str, float]:
    """One case with the Python package glmm, without the tables of tests that it adds."""
    import warnings

    import glmm

    warnings.simplefilter("ignore")
    frame = frame_of(case, folder)
    family = {"bernoulli": "binomial"}.get(case.family, case.family)
    text = case.theirs or case.formula
    repeats = 3 if case.repeats > 3 else 1
    fit, seconds = timed(lambda: glmm.fit(frame, text, family=family, anova_test="Wald"), repeats, False)
    return {"seconds": seconds, "criterion": -2 * fit.loglik}


LIKELIHOODS = {"bernoulli": "bernoulli_logit", "poisson": "poisson"}


def run_gpboost(case: Case, folder: str) -> dict[str, float] | None:
    """One case with gpboost, its matrices made beforehand; None for trials and for correlated slopes."""
    import gpboost

    left, right = case.formula.split(" ~ ")
    groups = re.findall(r"\(1 \| (\w+)\)", right)
    if case.family not in LIKELIHOODS or len(groups) < right.count("|"):
        return None
    frame = frame_of(case, folder)
    X = pd.get_dummies(frame[[name for name in right.split(" + ") if "|" not in name]], drop_first=True, dtype=float)
    X.insert(0, "Intercept", 1.0)
    y = pd.factorize(frame[left], sort=True)[0] if case.family == "bernoulli" else frame[left].to_numpy()
    codes = frame[groups].apply(lambda column: pd.factorize(column)[0]).to_numpy()

    def fit() -> Any:
        model = gpboost.GPModel(
            group_data=codes, likelihood=LIKELIHOODS[case.family], num_parallel_threads=1,
            matrix_inversion_method="cholesky",
        )  # fmt: skip
        model.fit(y=y.astype(float), X=X.to_numpy())
        return model

    repeats = 3 if case.repeats > 3 else 1
    model, seconds = timed(fit, repeats, False)
    return {"seconds": seconds, "criterion": 2 * float(model.get_current_neg_log_likelihood())}


R_SCRIPT = r"""
args <- commandArgs(TRUE); task <- jsonlite::fromJSON(args[1]); program <- args[2]
suppressMessages({library(lme4); library(glmmTMB)})
d <- read.csv(task$file); for (column in task$categories) d[[column]] <- factor(d[[column]])
f <- as.formula(task$formula); family <- if (task$family == "poisson") poisson() else binomial()
fit <- function() if (program == "lme4") glmer(f, d, family, control = glmerControl(optimizer = "nloptwrap", calc.derivs = FALSE)) else glmmTMB(f, d, family)
seconds <- c(); for (i in seq_len(task$repeats)) { began <- proc.time(); m <- suppressWarnings(fit()); seconds <- c(seconds, sum((proc.time() - began)[c(1, 2)])) }
cat(jsonlite::toJSON(list(seconds = median(seconds), criterion = -2 * as.numeric(logLik(m))), digits = NA, auto_unbox = TRUE))
"""  # noqa: E501


def run_r(case: Case, folder: str, program: str, limit: int) -> dict[str, float] | None:
    """One case with lme4 or glmmTMB; None where it takes too long."""
    task = {
        "file": str(Path(folder) / f"{case.data}.csv"), "formula": case.theirs or case.formula, "family": case.family,
        "categories": list(case.categories), "repeats": 3 if case.repeats > 3 else 1,
    }  # fmt: skip
    script = Path(folder) / "fit.R"
    script.write_text(R_SCRIPT)
    command = ["Rscript", str(script), json.dumps(task), program]
    return asked(command, limit)


RUNS = {"mixedfx": run_mixedfx, "glmm": run_glmm, "gpboost": run_gpboost}


def asked(command: list[str], limit: int) -> dict[str, float] | None:
    """What a process prints last."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=os.environ | ONE_THREAD)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(done.stderr[-400:], file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def page(results: dict[str, dict[str, dict[str, float] | None]]) -> str:
    """The table."""
    programs = ("mixedfx", "glmm", "gpboost", "lme4", "glmmTMB")
    lines = [
        "# Generalised linear mixed models", "",
        "Made by `benchmarks/glmer.py`: CPU seconds from formula and data to the fit, all programs in one run; in",
        "brackets what the criterion, -2 log likelihood, is above the lowest (and evaluations of mixedfx).", "",
        "| case | " + " | ".join(programs) + " | standard errors of mixedfx |", "|---|" + "---|" * (len(programs) + 1),
    ]  # fmt: skip
    for name, found in results.items():
        lowest = min(one["criterion"] for one in found.values() if one)
        cells = []
        for program in programs:
            one = found.get(program)
            if one is None:
                cells.append("-")
                continue
            excess = one["criterion"] - lowest
            beside = f", {one['evaluations']}" if "evaluations" in one else ""
            cells.append(f"{one['seconds']:.4f} (+{excess:.1g}{beside})")
        ours = found["mixedfx"]
        cells.append(f"{ours['standard errors']:.4f}" if ours else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all cases and write the page; with ``--one`` a single case in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="an interpreter that has glmm and gpboost")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--limit", type=int, default=600, help="seconds for one program on one case")
    parser.add_argument("--without-r", action="store_true", help="leave lme4 and glmmTMB out")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of the cases to run")
    parser.add_argument("--one", nargs=3, metavar=("PROGRAM", "CASE", "FOLDER"), help=argparse.SUPPRESS)
    asked_for = parser.parse_args()
    if asked_for.one:
        program, name, folder = asked_for.one
        case = next(one for one in CASES if one.name == name)
        print(json.dumps(RUNS[program](case, folder)))
        return
    results: dict[str, dict[str, dict[str, float] | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        for case in CASES:
            if asked_for.only and not any(word in case.name for word in asked_for.only):
                continue
            own = [str(Path(__file__).resolve()), "--one"]
            found = {"mixedfx": asked([sys.executable, *own, "mixedfx", case.name, folder], asked_for.limit)}
            if asked_for.peer_python:
                for program in ("glmm", "gpboost"):
                    command = [asked_for.peer_python, *own, program, case.name, folder]
                    found[program] = asked(command, asked_for.limit)
            if shutil.which("Rscript") and not asked_for.without_r:
                for program in ("lme4", "glmmTMB"):
                    found[program] = run_r(case, folder, program, asked_for.limit)
            results[case.name] = found
            print(case.name, found, flush=True)
    text = page(results)
    print(text)
    if asked_for.out:
        asked_for.out.write_text(text)


if __name__ == "__main__":
    main()
