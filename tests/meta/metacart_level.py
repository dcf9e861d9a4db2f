"""Type I error of the permutation test of meta-CART, beside that of the chi square that it replaces.

    python -m tests.meta.metacart_level 200 FOLDER      # prints the table; resumes from FOLDER

Forty studies of one to three estimates, effects that studies share (tau .3 between, .15 within), three moderators
of studies and two of estimates, none of which matters. *pruned*: the tree that cross-validation chooses (c = 1), a
rejection only where it has a split. *two splits*: trees of two splits whatever cross-validation says. *chi square*:
Q*_B of the latter as if the tree had been known.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import mixedfx as mx
from mixedfx.meta.moderators.cart import grow
from mixedfx.meta.moderators.metacart import permuted_Q, variables_of
from tests.resumable import resumed

FORMULA = "yi ~ grade + weeks + setting + measure + delay"
PERMUTATIONS = 39


def noise(seed: int) -> pd.DataFrame:
    """A review in which nothing matters."""
    rng = np.random.default_rng([seed, 18])
    study = np.repeat(np.arange(40), rng.integers(1, 4, 40))
    n = len(study)
    frame = pd.DataFrame({"study": study, "vi": rng.uniform(0.01, 0.08, n)})
    frame["grade"] = rng.integers(0, 13, 40)[study].astype(float)
    frame["weeks"] = rng.lognormal(2.5, 0.7, 40).round()[study]
    frame["setting"] = rng.choice(["clinic", "home", "school"], 40)[study]
    frame["measure"] = rng.choice(["own", "standard"], n)
    frame["delay"] = rng.exponential(6.0, n).round()
    effects = 0.3 + rng.normal(0, 0.3, 40)[study] + rng.normal(0, 0.15, n)
    return frame.assign(yi=effects + rng.normal(0, np.sqrt(frame["vi"])))


def one_data_set(seed: int) -> list[dict]:
    """Rejections at 5 %."""
    frame = noise(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = mx.metacart(FORMULA, frame, cluster="study", permutations=PERMUTATIONS, seed=seed)
    data = tree.data
    Q = grow(data.y, data.vi, variables_of(data), 2, 6, 3)[-1].Q
    reached = permuted_Q(data, 2, 6, 3, PERMUTATIONS, seed)
    p = (1 + int(np.sum(reached >= Q))) / (1 + PERMUTATIONS)
    return [
        {"splits": tree.size, "pruned": int(tree.size > 0 and tree.p_value <= 0.05), "two splits": int(p <= 0.05),
         "chi square": int(stats.chi2.sf(Q, 2) <= 0.05)}
    ]  # fmt: skip


def level(count: int, folder: Path) -> pd.DataFrame:
    """Shares of rejections and their standard errors."""
    frame = resumed("metacart-level", __file__, count, folder, one_data_set).drop(columns="index")
    return pd.DataFrame({"mean": frame.mean(), "se": frame.sem()}).assign(sets=len(frame))


if __name__ == "__main__":
    print(level(int(sys.argv[1]), Path(sys.argv[2])).round(4).to_string())
