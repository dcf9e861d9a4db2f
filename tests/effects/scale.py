"""Time and memory of a poststratification table of 10^6 distinct cells: 20 subgroups, 4,000 draws.

    OPENBLAS_NUM_THREADS=1 python -m tests.effects.scale

Every cell is a row of its own (race x gender x age x education x county, all in the model), so nothing collapses.
"""

from __future__ import annotations

import resource
import time
import warnings

import numpy as np
import pandas as pd

from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer

FORMULA = "y ~ z*gender + edu + (1 + z | race) + (1 | age) + (1 | county)"
SIZES = {"race": 5, "gender": 2, "age": 20, "edu": 4, "county": 1250}


def census(rng: np.random.Generator) -> pd.DataFrame:
    """10^6 cells with text in every column, and how many people are in each."""
    codes = np.indices(tuple(SIZES.values())).reshape(len(SIZES), -1)
    columns = {
        name: np.array([f"{name} {i:04d}" for i in range(size)], dtype=object)[code]
        for (name, size), code in zip(SIZES.items(), codes, strict=True)
    }
    return pd.DataFrame(columns).assign(N=rng.integers(1, 100, codes.shape[1]).astype(float))


def measure() -> dict[str, float]:
    """Seconds by the clock and of the processor, and what the peak of the memory rose by, in GB."""
    rng = np.random.default_rng(1)
    cells = census(rng)
    data = cells.sample(20_000, random_state=1).assign(z=rng.integers(0, 2, 20_000))
    data["y"] = rng.normal(size=len(data)) + 0.3 * data["z"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = lmer(FORMULA, data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clock, processor = time.perf_counter(), time.process_time()
        draws = effects(fit, "z", by=["race", "edu"], newdata=cells, weights="N").draws(4000)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    if draws.shape != (4000, 20):
        raise ValueError("20 subgroups and 4,000 draws were asked for")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": clock, "processor": processor, "peak GB": peak / 2**20, "rise GB": (peak - before) / 2**20}


if __name__ == "__main__":
    print(", ".join(f"{name} {value:.2f}" for name, value in measure().items()))
