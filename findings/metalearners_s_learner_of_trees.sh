#!/usr/bin/env bash
# metalearners 0.13.0: an S-learner with models of trees predicts an effect of exactly zero for everybody.
#
# Expected: the effect is 2, so predictions near 2, as its own S-learner gives with linear models.
# Seen: 0 in every row with LightGBM and with scikit-learn's histogram trees. The treatment is made a category; before
# prediction its categories are set to others, which leaves it missing in every row, treated or not.
#
# usage: bash findings/metalearners_s_learner_of_trees.sh [python3.11]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --editable "$root" -r "$root/tests/peers/requirements-metalearners.txt"
"$folder/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from metalearners import SLearner
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

import mixedfx as mx

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.standard_normal((2000, 2)), columns=["a", "b"])
w = pd.Series(rng.integers(2, size=2000))
y = X["a"] + 2.0 * w + 0.1 * rng.standard_normal(2000)

print(f"metalearners {version('metalearners')}, scikit-learn {version('scikit-learn')}; the effect is 2")
for model, own in (
    (LGBMRegressor, {"verbosity": -1}), (HistGradientBoostingRegressor, {}), (LinearRegression, {})
):
    theirs = SLearner(is_classification=False, n_variants=2, nuisance_model_factory=model, nuisance_model_params=own)
    theirs.fit(X=X, y=y, w=w)
    tau = theirs.predict(X, is_oos=False).ravel()
    ours = mx.cate("S", X, y, w, outcome=model(**own)).out_of_fold.values
    print(f"{model.__name__:30s} metalearners: mean {tau.mean():5.2f}, {np.mean(tau == 0):4.0%} exactly 0;"
          f"  mixedfx: mean {ours.mean():5.2f}")
PYTHON
