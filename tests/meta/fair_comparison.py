"""What a meta-regression and a forest explain of studies left out, where the truth is linear and where it is not.

    python -m tests.meta.fair_comparison windows-alone 100 FOLDER      # prints the table; resumes from FOLDER
    python -m tests.meta.fair_comparison linear-alone 100 FOLDER
    python -m tests.meta.fair_comparison windows 20 FOLDER

Reviews of `mixedfx.datasets.simulate_review`: 1,109 effects, 43 moderators of which two to five have a tenth of the
variance of true effects; in 191 studies, or (*alone*) each effect in a study of its own. Both approaches predict the
same five parts of the studies. A comparison is fair where each has its own way of choosing among 43 moderators, without
the studies left out: the regression screens by block in every fold (p below a tenth, no block always in, since methods
are noise here), and a forest takes all moderators.

R2 can compare them where effects stand alone. In 191 studies it mostly asks how well the means of studies are
predicted, of which there are 191 and no more: predictions that are right within studies take variance away there, and
the slope that they call for carries their noise between studies into the variance between. So the squared error and the
correlation with the true means stand beside R2.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.datasets.reviews import BLOCKS
from tests.resumable import resumed

MODERATORS = [name for part in BLOCKS.values() for name in part]
FORMULA = f"yi ~ {' + '.join(MODERATORS)} + (1 | {{}})"
FOREST = {"n_trees": 150, "mtry": 60, "min_node_size": 25}  # of 81 columns; chosen on seeds 0 to 5, which are not used
FIRST = 1000  # seed of data set 0
WAYS = {
    "regression": {"approaches": ["regression"], "selection": "nested", "blocks": BLOCKS},
    "forest": {"approaches": ["forest"], "forest": FOREST},
}


def one_data_set(study: str, index: int) -> list[dict]:
    """R2, slope and squared error of each way, the correlation of its predictions with the true means, CPU seconds."""
    seed = FIRST + index
    kind, alone = study.removesuffix("-alone"), study.endswith("-alone")
    review, truth = mx.datasets.simulate_review(seed, kind, studies=1109 if alone else 191)
    formula = FORMULA.format("study" if alone else "study/esid")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, options in WAYS.items():
            begun = time.process_time()
            found = mx.explained_heterogeneity(formula, review, cluster="study", folds=5, seed=seed, **options)
            row = found.table.iloc[0]
            predicted = found.predictions[row["approach"]].to_numpy()
            told = np.corrcoef(predicted, truth.mean)[0, 1] if np.ptp(predicted) > 0 else 0.0
            rows.append(
                {"way": name, "r2": row["r2"], "slope": row["slope"], "mse": row["mse"], "told": told,
                 "moderators": row["moderators"], "seconds": time.process_time() - begun}
            )  # fmt: skip
    return rows


def table_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Means by way, and in how many data sets the forest is above it, by R2, by squared error and by correlation."""
    out = frame.groupby("way", sort=False)[["r2", "slope", "mse", "told", "moderators", "seconds"]].mean()
    wide = frame.pivot(index="index", columns="way")
    for name, sign in (("r2", 1), ("mse", -1), ("told", 1)):
        ahead = wide[name].rsub(wide[name]["forest"], axis=0) * sign > 0
        out[f"forest above, {name}"] = ahead.sum().reindex(out.index)
    return out.assign(sets=len(wide))


def comparison(study: str, count: int, folder: Path) -> pd.DataFrame:
    """The table of `count` data sets."""
    return table_of(resumed(f"comparison-{study}", __file__, count, folder, partial(one_data_set, study)))


if __name__ == "__main__":
    print(comparison(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).round(4).to_string())
