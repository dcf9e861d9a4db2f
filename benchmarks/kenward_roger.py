"""Time and memory of Kenward and Roger's method on crossed designs, and of Satterthwaite's.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.kenward_roger
"""

from __future__ import annotations

import resource
from time import perf_counter

import numpy as np
import pandas as pd

import mixedfx as mx

SHAPES = ((4_000, 200, 100), (100_000, 2_000, 1_000))


def crossed(n: int, first: int, second: int, seed: int = 1) -> pd.DataFrame:
    """Simulate n rows with two crossed factors, a covariate of the rows and one of the second factor's levels."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, first, n), rng.integers(0, second, n)
    x, w = rng.normal(size=n), rng.normal(size=second)[b]
    y = x + rng.normal(size=first)[a] + rng.normal(size=second)[b] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "w": w, "a": a.astype(str), "b": b.astype(str)})


def main() -> None:
    """Print a line for each design and method."""
    mx.lmer("y ~ x + w + (1 | a) + (1 | b)", crossed(2_000, 150, 80)).tidy(ddf="kenward-roger")  # compiled and loaded
    for shape in SHAPES:
        data = crossed(*shape)
        begin = perf_counter()
        fit = mx.lmer("y ~ x + w + (1 | a) + (1 | b)", data)
        print(f"{shape}: fit {perf_counter() - begin:.3f} s", flush=True)
        for ddf in ("satterthwaite", "kenward-roger"):
            begin = perf_counter()
            df = fit.tidy(ddf=ddf)["df"].round(1).tolist()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"  {ddf}: {perf_counter() - begin:.3f} s, peak {peak:.0f} MB, df {df}", flush=True)


if __name__ == "__main__":
    main()
