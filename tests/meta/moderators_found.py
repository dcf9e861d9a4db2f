"""How often forests put true moderators above noise, and how often shuffled copies let noise pass.

    python -m tests.meta.moderators_found importance-alone 100 FOLDER      # prints the table; resumes from FOLDER
    python -m tests.meta.moderators_found importance 30 FOLDER
    python -m tests.meta.moderators_found shadow 100 FOLDER

*importance*: reviews of `mixedfx.datasets.simulate_review`, truth an interaction with a window of two moderators that
differ within studies, a tenth of the variance of true effects, 1,109 effects in 191 studies or (*alone*) each in a
study of its own; 500 trees on all 43 moderators. *shadow*: reviews without any truth. In one
repeat a share of at most 1 / 43 of the moderators of noise stays, by the docstring of
`mixedfx.meta.moderators.preselection`; with cutoff c = .5 a share of at most 2 / 43 is kept.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from pathlib import Path

import pandas as pd

import mixedfx as mx
from tests.meta.fair_comparison import FIRST, FOREST, MODERATORS
from tests.resumable import resumed

FORMULA = f"yi ~ {' + '.join(MODERATORS)}"


def ranks(studies: int, index: int) -> list[dict]:
    """The largest rank of a true moderator, the largest importance of noise, and that of each true one."""
    review, truth = mx.datasets.simulate_review(FIRST + index, "windows", studies=studies)
    options = {**FOREST, "n_trees": 500}
    table = mx.metaforest(FORMULA, review, cluster="study", seed=index, **options).importance
    by = table.set_index("moderator")["importance"]
    noise = by.drop(list(truth.moderators))
    true = by[list(truth.moderators)]
    return [
        {
            "above": int(true.min() > noise.max()), "noise": noise.max(), "which": noise.idxmax(),
            "median": noise.median(), "negative": float((noise < 0).mean()),
            **{f"is {name}": value for name, value in true.items()},
            **{f"above {name}": int(value > noise.max()) for name, value in true.items()},
        }
    ]  # fmt: skip


def shadows(index: int) -> list[dict]:
    """Share of the 43 moderators of noise that stay in a repeat, and that are kept."""
    review, _ = mx.datasets.simulate_review(FIRST + index, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forest = mx.metaforest(FORMULA, review, cluster="study", n_trees=60, importance=False, seed=index)
        table = forest.preselect(3, kind="shadow").table
    return [{"stays": table["share"].mean(), "kept": table["keep"].mean(), "any": int(table["keep"].any())}]


STUDIES = {"importance-alone": partial(ranks, 1109), "importance": partial(ranks, 191), "shadow": shadows}


def study(name: str, count: int, folder: Path) -> pd.DataFrame:
    """Means over `count` data sets, and their standard errors."""
    frame = resumed(f"moderators-{name}", __file__, count, folder, STUDIES[name])
    numbers = frame.drop(columns="index").select_dtypes("number")
    return pd.DataFrame({"mean": numbers.mean(), "se": numbers.sem()}).assign(sets=len(frame))


if __name__ == "__main__":
    print(study(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).round(5).to_string())
