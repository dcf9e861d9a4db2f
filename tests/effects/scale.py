"""Time and memory of a poststratification table of 10^6 distinct cells: 20 subgroups, 4,000 draws.

    OPENBLAS_NUM_THREADS=1 python -m tests.effects.scale [reml | posterior | deep | logit]

Every cell is a row of its own (race x gender x age x education x county, all in the model), so nothing collapses.
``deep`` adds slopes of 10^5 intersections, nearly all of them without data: each has a draw of its own. ``logit`` is a
binary response, for which the average of every draw is summed over the cells, block by block.
"""

from __future__ import annotations

import io
import resource
import sys
import time
import warnings

import numpy as np
import pandas as pd

from mixedfx.bayes.bayes import bayes
from mixedfx.effects.effects import effects
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer

FORMULA = "y ~ z*gender + edu + (1 + z | race) + (1 | age) + (1 | county)"
DEEP = f"{FORMULA} + (0 + z | race:age:county)"
SIZES = {"race": 5, "gender": 2, "age": 20, "edu": 4, "county": 1250}
DRAWS = 4000
KINDS = ("reml", "posterior", "deep", "logit")


class Terminal(io.StringIO):
    """Where progress is shown; keeps what was."""

    def isatty(self) -> bool:
        return True


def census(rng: np.random.Generator) -> pd.DataFrame:
    """10^6 cells with text in every column, and how many people are in each."""
    codes = np.indices(tuple(SIZES.values())).reshape(len(SIZES), -1)
    columns = {
        name: np.array([f"{name} {i:04d}" for i in range(size)], dtype=object)[code]
        for (name, size), code in zip(SIZES.items(), codes, strict=True)
    }
    return pd.DataFrame(columns).assign(N=rng.integers(1, 100, codes.shape[1]).astype(float))


def fitted(kind: str, cells: pd.DataFrame, rng: np.random.Generator):
    """A fit to a sample of people in these cells; for ``deep`` from 500 cells alone."""
    if kind == "deep":
        data = cells.sample(500, random_state=1).sample(20_000, replace=True, random_state=2)
    else:
        data = cells.sample(2_000 if kind == "logit" else 20_000, random_state=1)
    data = data.assign(z=rng.integers(0, 2, len(data)))
    data["y"] = rng.normal(size=len(data)) + 0.3 * data["z"]
    if kind == "reml":
        return lmer(FORMULA, data)
    if kind == "logit":
        data["y"] = (data["y"] > 0.5).astype(int)
        return bayes(FORMULA, data, family="bernoulli", draws=DRAWS, warmup=150, seed=1)
    return bayes(DEEP if kind == "deep" else FORMULA, data, draws=DRAWS, seed=1)


def measure(kind: str) -> dict[str, float]:
    """Seconds by the clock and of the processor, what the peak of the memory rose by in GB, and lines of progress."""
    rng = np.random.default_rng(1)
    cells = census(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = fitted(kind, cells, rng)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        screen, sys.stderr = sys.stderr, Terminal()
        try:
            clock, processor = time.perf_counter(), time.process_time()
            draws = effects(fit, "z", by=["race", "edu"], newdata=cells, weights="N").draws(DRAWS)
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            shown = sys.stderr.getvalue().count("%")
        finally:
            sys.stderr = screen
    if draws.shape != (DRAWS, 20):
        raise ValueError("20 subgroups and 4,000 draws were asked for")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": clock,
        "processor": processor,
        "peak GB": peak / 2**20,
        "rise GB": (peak - before) / 2**20,
        "progress": shown,
    }


if __name__ == "__main__":
    for asked in sys.argv[1:] or KINDS[:1]:
        print(f"{asked}: " + ", ".join(f"{name} {value:.2f}" for name, value in measure(asked).items()), flush=True)
