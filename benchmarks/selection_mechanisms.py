"""Bias and coverage of clustered selection models, by the mechanism that made the data and the one that is fitted.

OPENBLAS_NUM_THREADS=1 nice -n 15 python -m benchmarks.selection_mechanisms [data sets a row [rows]]
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

from mixedfx.errors import MixedfxWarning
from tests.meta.selection_simulation import TRUTHS, fits, simulated


def main() -> None:
    """Print the table."""
    sets = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    warnings.simplefilter("ignore", MixedfxWarning)
    print("bias and coverage of 95 % intervals of the mean: none, conditional, joint, best; most likely mechanism")
    wanted = sys.argv[2:] or list(TRUTHS)
    for truth in wanted:
        mean = TRUTHS[truth][0]
        rows = [fits(simulated(truth, seed)) for seed in range(sets)]
        parts = []
        for model in ("none", "conditional", "joint", "best"):
            estimate, se = np.array([row[model][:2] for row in rows]).T
            known = np.isfinite(se)
            inside = np.abs(estimate[known] - mean) <= 1.959963984540054 * se[known]
            parts.append(f"{np.mean(estimate[known] - mean):+.3f} / {inside.mean():.3f} ({known.sum()})")
        most = [max(("conditional", "joint", "best"), key=lambda m: np.nan_to_num(row[m][2], nan=-1e9)) for row in rows]
        shares = ", ".join(f"{m} {most.count(m) / len(most):.2f}" for m in ("conditional", "joint", "best"))
        print(f"{truth}: " + "; ".join(parts) + f"; {shares}", flush=True)


if __name__ == "__main__":
    main()
