"""Effective draws per second of processor time: importance sampling against stanli, in turn in one process.

    python -m benchmarks.importance [runs]

Two models: cbpp (56 rows, 15 herds, rstanarm's priors) and a simulated Bernoulli response with varying slopes (2,000
rows, 100 groups). Effective draws are those of the weights, at most the 4,000 kept, and for stanli the smallest bulk
effective number over all parameters and effects. Times are of whole calls, formula and data included, processor time of
child processes counted; a first call of each, which imports and compiles, is not. Medians over runs.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import mixedfx as mx

CBPP = Path(__file__).resolve().parents[1] / "tests" / "data" / "cbpp.csv"


def slopes() -> pd.DataFrame:
    """2,000 answers in 100 groups."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(100), 20)
    x, z = rng.normal(size=2000), rng.integers(0, 2, 2000)
    u = rng.multivariate_normal([0, 0], [[0.8, 0.2], [0.2, 0.4]], 100)
    eta = -0.3 + 0.6 * z + 0.4 * x + u[g, 0] + u[g, 1] * z
    y = (rng.random(2000) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g.astype(str)})


def cases() -> dict[str, tuple]:
    """Name -> formula, data, family and priors."""
    cbpp = pd.read_csv(CBPP).astype({"herd": str, "period": str})
    return {
        "cbpp": ("incidence | trials(size) ~ period + (1 | herd)", cbpp, "binomial", "rstanarm"),
        "slopes": ("y ~ z + x + (1 + z | g)", slopes(), "bernoulli", None),
    }


def processor() -> float:
    """Seconds of this process and its children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def one(case: tuple, engine: str, seed: int) -> tuple[float, float, float]:
    """Seconds, effective draws and k-hat of one fit."""
    begin = processor()
    fit = mx.bayes(*case, engine=engine, seed=seed, progress=False)
    return processor() - begin, min(fit.sampling.ess, fit.n_draws), fit.sampling.k_hat


def main() -> None:
    """Print one line for each model."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, case in cases().items():
        found = {engine: [] for engine in ("importance", "stanli")}
        for seed in range(runs + 1):
            for engine, results in found.items():
                results.append(one(case, engine, seed))
        a, b = (np.median(np.array(results[1:]), axis=0) for results in found.values())
        print(
            f"{name}: importance {a[0]:.2f} s, {a[1]:.0f} effective, k-hat {a[2]:.2f}; stanli {b[0]:.2f} s, {b[1]:.0f} "
            f"effective; {a[1] / a[0]:.0f} and {b[1] / b[0]:.0f} a second, ratio {a[1] / a[0] / (b[1] / b[0]):.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
