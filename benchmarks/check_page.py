"""How often `fit.check()` raises an alarm on clean data, and how often it finds what was planted.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.check_page
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from tests.reml.test_check import DEFECTS, checked, simulated

CLEAN, PLANTED = 200, 100


def outlying(seed: int) -> pd.DataFrame:
    """One group of 30 eight standard deviations away from where it was."""
    data = simulated(seed)
    data.loc[data["g"] == "7", "y"] += 8.0
    return data


def unequal(seed: int) -> pd.DataFrame:
    """A third of the groups with a residual standard deviation of 1.5 instead of 1."""
    data = simulated(seed)
    wide = data["g"].astype(int) % 3 == 0
    data.loc[wide, "y"] += np.random.default_rng(seed + 1000).normal(size=int(wide.sum())) * 1.25**0.5
    return data


PLANTS: dict[str, Callable[[int], pd.DataFrame]] = {
    **DEFECTS,
    "outlying groups": outlying,
    "variance between groups": unequal,
}


def main() -> None:
    """Print the counts."""
    alarms: Counter[str] = Counter()
    fits = 0
    for seed in range(CLEAN):
        found = [finding.check for finding in checked(simulated(seed)).problems]
        alarms.update(found)
        fits += bool(found)
    print(f"{CLEAN} clean fits: {fits} with an alarm; by check: {dict(alarms)}", flush=True)
    for defect, plant in PLANTS.items():
        hits = sum(checked(plant(seed))[defect].status == "problem" for seed in range(PLANTED))
        print(f"{defect}: found in {hits} of {PLANTED}", flush=True)


if __name__ == "__main__":
    main()
