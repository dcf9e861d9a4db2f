"""Bias of standard deviations by Laplace's approximation, hybrid and nested quadrature, by simulation.

    python -m tests.glmm.quadrature_accuracy nested 60 FOLDER      # prints the table; resumes from FOLDER
    python -m tests.glmm.quadrature_accuracy crossed 200 FOLDER

*nested*: zeros and ones of 1,600 families of one to three (1.35 on average) in 160 places, standard deviations 2.3 of
families and 1.0 of places on the log odds. *crossed*: 300 persons answer 4 of 40 items each, standard deviations 1. The
error of an approximation is the mean of what it estimates less the truth; that of maximum likelihood itself is in it.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.families.registry import family
from mixedfx.glmm.course import minimise
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.hybrid import evaluate_hybrid
from mixedfx.glmm.model import build_model
from mixedfx.glmm.nested_quadrature import evaluate_nested
from mixedfx.glmm.solve import starting_point
from tests.resumable import resumed

FORMULAS = {"nested": "y ~ x + xf + (1 | family) + (1 | place)", "crossed": "y ~ x + (1 | person) + (1 | item)"}
TRUTH = {"nested": (-0.5, 0.5, 0.5, 2.3, 1.0), "crossed": (0.3, 0.5, 1.0, 1.0)}
NAMES = {
    "nested": ("(Intercept)", "x", "xf", "sd family", "sd place"),
    "crossed": ("(Intercept)", "x", "sd person", "sd item"),
}
CRITERIA = {
    "nested": {
        "Laplace": evaluate,
        "hybrid 15": partial(evaluate_hybrid, 15),
        "nested 15": partial(evaluate_nested, 15),
    },
    "crossed": {"Laplace": evaluate, "hybrid 7": partial(evaluate_hybrid, 7)},
}


def binary(rng: np.random.Generator, eta):
    """Zeros and ones with these log odds."""
    return (rng.random(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(int)


def nested(seed: int, families: int = 1600, places: int = 160) -> pd.DataFrame:
    """Families in places."""
    rng = np.random.default_rng([seed, 16])
    intercept, b, b_family, sd_family, sd_place = TRUTH["nested"]
    place = rng.integers(0, places, families)
    of_row = np.repeat(np.arange(families), rng.choice([1, 2, 3], families, p=[0.7, 0.25, 0.05]))
    x, xf = rng.normal(size=len(of_row)), rng.normal(size=families)[of_row]
    u, v = sd_family * rng.normal(size=families), sd_place * rng.normal(size=places)
    eta = intercept + b * x + b_family * xf + u[of_row] + v[place[of_row]]
    levels = {"family": [f"f{i}" for i in of_row], "place": [f"p{i}" for i in place[of_row]]}
    return pd.DataFrame({"y": binary(rng, eta), "x": x, "xf": xf, **levels})


def crossed(seed: int, persons: int = 300, answers: int = 4, items: int = 40) -> pd.DataFrame:
    """Persons who answer some of the items."""
    rng = np.random.default_rng([seed, 17])
    intercept, b, sd_person, sd_item = TRUTH["crossed"]
    person = np.repeat(np.arange(persons), answers)
    item = np.concatenate([rng.choice(items, answers, replace=False) for _ in range(persons)])
    x = rng.normal(size=len(person))
    u, v = sd_person * rng.normal(size=persons), sd_item * rng.normal(size=items)
    y = binary(rng, intercept + b * x + u[person] + v[item])
    return pd.DataFrame({"y": y, "x": x, "person": [f"p{i}" for i in person], "item": [f"i{i}" for i in item]})


SIMULATED = {"nested": nested, "crossed": crossed}


def one_data_set(study: str, seed: int) -> list[dict]:
    """Estimates by each criterion, with the CPU seconds of each fit."""
    kind = family("bernoulli")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        design = build_design(FORMULAS[study], SIMULATED[study](seed), family=kind)
    rows = []
    for name, criterion in CRITERIA[study].items():
        begun = time.process_time()
        model = build_model(design, kind)
        model, found, course = minimise(model, starting_point(model), criterion)
        seconds = time.process_time() - begun
        _, par, _ = model.split(found.psi)
        estimates = [*model.beta(found.mode.gamma), *np.abs(model.problem.theta(par))]
        row = dict(zip(NAMES[study], estimates, strict=True))
        converged = int(course.converged)
        rows.append({"criterion": name, **row, "seconds": seconds, "evaluations": course.evaluations, "ok": converged})
    return rows


def table_of(study: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and its standard error of each estimate, and the bias in standard errors, by criterion."""
    names = list(NAMES[study])
    groups = frame.groupby("criterion", sort=False)
    mean, se = groups[names].mean(), groups[names].sem()
    bias = (mean - np.array(TRUTH[study])) / se
    out = pd.concat({"mean": mean, "se": se, "bias / se": bias}, axis=1).stack(future_stack=True)
    out["seconds"] = groups["seconds"].median().reindex(out.index, level=0)
    out["converged"] = groups["ok"].mean().reindex(out.index, level=0)
    return out


def accuracy(study: str, count: int, folder: Path) -> pd.DataFrame:
    """The table of `count` data sets."""
    return table_of(study, resumed(f"quadrature-{study}", __file__, count, folder, partial(one_data_set, study)))


if __name__ == "__main__":
    print(accuracy(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).round(3).to_string())
