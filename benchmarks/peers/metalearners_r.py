"""metalearners: the R-learner of `benchmarks/learn.py speed`, timed in a process of its own.

    python metalearners_r.py PATH/learning_mindset.csv

Prints versions once a first fit is done, then for each line that it reads the processor and clock seconds of one fit
with its predictions for the same rows, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

warnings.simplefilter("ignore")

Y, W = "achievement_score", "intervention"
CATEGORIES = ["schoolid", "ethnicity", "gender", "frst_in_family", "school_urbanicity"]


def once(data: Any) -> tuple[float, float]:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from metalearners import RLearner

    own = {"verbosity": -1, "n_jobs": 1, "random_state": 42}
    X = data.drop(columns=[Y, W])
    cpu, clock = time.process_time(), time.perf_counter()
    learner = RLearner(
        is_classification=False, n_variants=2, nuisance_model_factory=LGBMRegressor, nuisance_model_params=own,
        propensity_model_factory=LGBMClassifier, propensity_model_params=own,
        treatment_model_factory=LGBMRegressor, treatment_model_params=own, n_folds=10, random_state=42,
    )  # fmt: skip
    learner.fit(X=X, y=data[Y], w=data[W])
    learner.predict(X, is_oos=False)
    return time.process_time() - cpu, time.perf_counter() - clock


def main(path: str) -> None:
    import pandas as pd

    answers, sys.stdout = sys.stdout, sys.stderr  # the package prints now and then
    data = pd.read_csv(path).astype(dict.fromkeys(CATEGORIES, "category"))
    once(data)
    names = ("metalearners", "scikit-learn", "lightgbm")
    print(", ".join(f"{name} {version(name)}" for name in names), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(once(data)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
