"""Memory and time of expected responses of very many rows: 4,000 draws x 10^6 rows would be 32 GB at once.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.epred_memory [rows] [stream | effects | predict]
"""

from __future__ import annotations

import resource
import sys
import warnings
from time import perf_counter

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.errors import MixedfxWarning

FORMULA = "y ~ z * (race + gender) + x + (1 + z | race:gender) + (1 | school)"
BY = ["race", "gender"]


def people(n: int, seed: int) -> pd.DataFrame:
    """Simulate n people in ten subgroups and sixty schools, with a binary treatment and a binary outcome."""
    rng = np.random.default_rng(seed)
    columns = {"z": rng.integers(2, size=n) * 1.0, "x": rng.normal(size=n), "school": rng.integers(60, size=n)}
    columns |= {"race": rng.choice(list("ABCDE"), n), "gender": rng.choice(["man", "woman"], n)}
    eta = 0.3 * columns["z"] + 0.4 * columns["x"]
    return pd.DataFrame(columns | {"y": rng.random(n) < 1 / (1 + np.exp(-eta))})


def peak() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_hand(fit: PosteriorFit, new: pd.DataFrame) -> np.ndarray:
    """(D, subgroups) draws of mean responses, from the stream of blocks."""
    codes, levels = pd.factorize(new["race"] + new["gender"])
    share = np.eye(len(levels))[codes] / np.bincount(codes)
    total = np.zeros((fit.n_draws, len(levels)))
    for rows, values in fit.stream(fit.design_for(new)):
        total += values @ share[rows]
    return total


QUESTIONS = {
    "stream": by_hand,
    "effects": lambda fit, new: mx.effects(fit, "z", by=BY, newdata=new).table,
    "predict": lambda fit, new: fit.predict(new, se=True),
}


def main() -> None:
    """Print a line for each question."""
    n, names = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**6, sys.argv[2:] or list(QUESTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # what the draws are worth is not the question here
        fit = mx.bayes(FORMULA, people(600, 1), family="bernoulli", warmup=100, max_treedepth=4, seed=1, progress=False)
    new = people(n, 2)
    print(f"{fit.n_draws} draws, {n} rows; before: peak {peak():.0f} MB", flush=True)
    for name in names:
        begin = perf_counter()
        QUESTIONS[name](fit, new)
        print(f"  {name}: {perf_counter() - begin:.0f} s, peak {peak():.0f} MB", flush=True)


if __name__ == "__main__":
    main()
