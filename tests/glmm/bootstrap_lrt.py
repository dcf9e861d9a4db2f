"""Type I error of likelihood-ratio tests over ten groups: by chi square, and by parametric bootstrap.

    python -m tests.glmm.bootstrap_lrt 1000 FOLDER          # prints the table; resumes from FOLDER

Ten groups of eight yes/no answers, log odds 0.3 plus a group effect of standard deviation 1; five groups are treated,
without effect. Each data set is tested by chi square and by a bootstrap of 199 responses.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.errors import MixedfxWarning
from tests.resumable import resumed

GROUPS, SIZE, REFITS = 10, 8, 199


def one_data_set(seed: int) -> list[dict]:
    """P values of one data set without an effect."""
    rng = np.random.default_rng([seed, 16])
    g = np.repeat(np.arange(GROUPS), SIZE)
    eta = 0.3 + rng.normal(size=GROUPS)[g]
    y = (rng.random(len(g)) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    data = pd.DataFrame({"y": y, "treated": (g < GROUPS // 2).astype(float), "g": g.astype(str)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        small, large = (mx.glmer(f"y ~ {x} + (1 | g)", data, "bernoulli") for x in ("1", "treated"))
        table = mx.anova(small, large, bootstrap=REFITS, seed=seed)
    return [{"chi_square": table["p_value"][1], "bootstrap": table["p_bootstrap"][1]}]


def type_one_errors(count: int, folder: Path) -> pd.DataFrame:
    """Share of data sets in which each test rejects at 5 %, with its standard error."""
    found = resumed("bootstrap-lrt", __file__, count, folder, one_data_set)[["chi_square", "bootstrap"]]
    rejected = (found <= 0.05).mean()
    return pd.DataFrame({"rejected": rejected, "error": np.sqrt(rejected * (1 - rejected) / len(found))})


if __name__ == "__main__":
    print(type_one_errors(int(sys.argv[1]), Path(sys.argv[2])).round(4).to_string())
