#!/usr/bin/env bash
# metalearners 0.13.0: an S-learner with models of trees predicts an effect of exactly zero for everybody.
#
# Input: 2,000 rows, two covariates, a treatment that is randomised and adds 2 to the outcome.
# Expected: predicted effects near 2, as its own S-learner gives with a linear model.
# Seen: 0 in every row with LightGBM 4.7.0 and with the histogram trees of scikit-learn 1.7.2; 2.0 with a linear model.
# Where: metalearners/slearner.py makes the treatment a category of text; before prediction its categories are set to
# numbers, which are not among them, so that it is missing in every row, treated or not.
#
# Fails if that changes. usage: bash findings/metalearners_s_learner_of_trees.sh [python3.11]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet metalearners==0.13.0 scikit-learn==1.7.2 lightgbm==4.7.0 polars narwhals
cd "$folder"
export OMP_NUM_THREADS=1
"$folder/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from metalearners import SLearner
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.standard_normal((2000, 2)), columns=["a", "b"])
w = pd.Series(rng.integers(2, size=2000))
y = X["a"] + 2.0 * w + 0.1 * rng.standard_normal(2000)

print(f"metalearners {version('metalearners')}, scikit-learn {version('scikit-learn')}; the effect is 2")
seen = {}
for model, own in (
    (LGBMRegressor, {"verbosity": -1}), (HistGradientBoostingRegressor, {}), (LinearRegression, {})
):
    learner = SLearner(is_classification=False, n_variants=2, nuisance_model_factory=model, nuisance_model_params=own)
    learner.fit(X=X, y=y, w=w)
    tau = seen[model] = learner.predict(X, is_oos=False).ravel()
    print(f"{model.__name__:30s} mean {tau.mean():5.2f}, {np.mean(tau == 0):4.0%} of the rows exactly 0")
changed = [m.__name__ for m in (LGBMRegressor, HistGradientBoostingRegressor) if (seen[m] != 0).any()]
if changed or abs(seen[LinearRegression].mean() - 2.0) > 0.1:
    raise SystemExit(f"this is not what was seen: {changed or 'LinearRegression'}")
PYTHON
