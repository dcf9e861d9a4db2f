"""Effects by learners of other packages, on the same rows, folds and models as ours (tests/learn/test_peers_agree.py).

    make peers
    .venv/bin/python tests/reference/gen_learners.py data
    .benchmarks/learners/metalearners/bin/python tests/reference/gen_learners.py metalearners
    .benchmarks/learners/econml/bin/python tests/reference/gen_learners.py econml

``data`` draws 400 people with their folds, and 40 others, to `learners/`. The others write what their package says of
them to a file of its name: effects of each learner by linear models and by LightGBM (one thread, fixed seed), and what
is needed to compare stage by stage where definitions differ. Folds are those of the file in every model that
metalearners cross-fits: it would choose others for each arm.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent / "learners"
NUMBERS, ALL = ["x1", "x2", "x3"], ["x1", "x2", "x3", "kind"]
TREES = {"n_estimators": 30, "num_leaves": 7, "random_state": 1, "n_jobs": 1, "verbosity": -1, "deterministic": True,
         "force_row_wise": True}  # fmt: skip
LOGIT = {"C": 1.0, "solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}
J = 4


def draw() -> None:
    rng = np.random.default_rng(17)
    for name, n in (("trial", 400), ("new", 40)):
        x = np.round(rng.standard_normal((n, 3)), 3)
        kind = rng.integers(4, size=n)
        w = (rng.random(n) < 1 / (1 + np.exp(-0.6 * x[:, 1]))).astype(int)
        tau = 1 + x[:, 0] + 0.5 * (kind == 2)
        y = np.round(0.5 * x[:, 0] - x[:, 1] + 0.3 * kind + w * tau + rng.standard_normal(n), 3)
        frame = pd.DataFrame(x, columns=NUMBERS).assign(kind=kind)
        if name == "trial":
            frame = frame.assign(w=w, y=y, fold=rng.permutation(np.arange(n) % J))
        frame.to_csv(HERE / f"{name}.csv", index=False)


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(HERE / f"{name}.csv")


def write(package: str, found: dict) -> None:
    names = (package, "scikit-learn", "lightgbm", "numpy")
    told = {"versions": {one: version(one) for one in names}, **found}
    (HERE / f"{package}.json").write_text(json.dumps(told, indent=None, separators=(",", ":")) + "\n")


def as_lists(found: dict) -> dict:
    return {name: np.round(np.asarray(values, dtype=float), 12).tolist() for name, values in found.items()}


def by_metalearners() -> None:
    import metalearners
    from lightgbm import LGBMClassifier, LGBMRegressor
    from metalearners import cross_fit_estimator
    from sklearn.linear_model import LinearRegression, LogisticRegression

    data, new = read("trial"), read("new")
    fold, original = data["fold"], cross_fit_estimator.CrossFitEstimator.fit

    def fit(self, X, y, *args, **kwargs):  # folds of the file, whichever rows a model is of
        own = fold.loc[X.index].to_numpy()
        kwargs["cv"] = [(np.flatnonzero(own != j), np.flatnonzero(own == j)) for j in range(J)]
        return original(self, X, y, *args, **kwargs)

    cross_fit_estimator.CrossFitEstimator.fit = fit
    models = {
        "linear": (NUMBERS, LinearRegression, {}, LogisticRegression, LOGIT),
        "trees": (ALL, LGBMRegressor, TREES, LGBMClassifier, TREES),
    }
    out = {}
    for name, (columns, regressor, own, classifier, of_classes) in models.items():
        X, others = data[columns], new[columns]
        if "kind" in columns:
            X, others = (one.assign(kind=one["kind"].astype(pd.CategoricalDtype([0, 1, 2, 3]))) for one in (X, others))
        out[name] = {}
        for letter in "TXRD":
            options = {"is_classification": False, "n_variants": 2, "n_folds": J,
                       "nuisance_model_factory": regressor, "nuisance_model_params": own}  # fmt: skip
            if letter != "T":
                options |= {"propensity_model_factory": classifier, "propensity_model_params": of_classes,
                            "treatment_model_factory": regressor, "treatment_model_params": own}  # fmt: skip
            kind = "DR" if letter == "D" else letter
            learner = getattr(metalearners, f"{kind}Learner")(**options)
            learner.fit(X=X, y=data["y"], w=data["w"])
            found = {
                "out_of_fold": learner.predict(X, is_oos=False).ravel(),
                "new": learner.predict(others, is_oos=True, oos_method="overall").ravel(),
            }
            if kind in ("T", "X", "DR"):
                found["mu"] = learner.predict_conditional_average_outcomes(X, is_oos=False)[:, :, 0]
            if kind in ("X", "R", "DR"):
                found["e"] = learner.predict_nuisance(X, model_kind="propensity_model", model_ord=0, is_oos=False)[:, 1]
            out[name][kind] = as_lists(found)
    write("metalearners", out)


def by_econml() -> None:
    from econml.dml import NonParamDML
    from econml.dr import DRLearner
    from econml.metalearners import SLearner, TLearner, XLearner
    from lightgbm import LGBMClassifier, LGBMRegressor
    from sklearn.base import BaseEstimator, RegressorMixin, clone
    from sklearn.linear_model import LinearRegression, LogisticRegression

    class ByArm(RegressorMixin, BaseEstimator):
        """A model for each value of the last column, which is where econml puts the arm."""

        def __init__(self, model=None):
            self.model = model

        def fit(self, X, y):
            self.models_ = [clone(self.model).fit(X[X[:, -1] == k, :-1], y[X[:, -1] == k]) for k in (0, 1)]
            return self

        def predict(self, X):
            first, second = (model.predict(X[:, :-1]) for model in self.models_)
            return np.where(X[:, -1] == 1, second, first)

    data, new = read("trial"), read("new")
    y, w, fold = (data[name].to_numpy() for name in ("y", "w", "fold"))
    splits = [(np.flatnonzero(fold != j), np.flatnonzero(fold == j)) for j in range(J)]
    out = {}
    for name, columns, regressor, classifier in (
        ("linear", NUMBERS, LinearRegression(), LogisticRegression(**LOGIT)),
        ("trees", ALL, LGBMRegressor(**TREES), LGBMClassifier(**TREES)),
    ):
        X, others = data[columns].to_numpy(float), new[columns].to_numpy(float)
        learners = {
            "S": SLearner(overall_model=regressor),
            "T": TLearner(models=regressor),
            "X": XLearner(models=regressor, propensity_model=classifier, cate_models=regressor),
            "R": NonParamDML(model_y=regressor, model_t=classifier, model_final=regressor, discrete_treatment=True,
                             cv=splits),
            "DR": DRLearner(model_propensity=classifier, model_regression=ByArm(regressor), model_final=regressor,
                            cv=splits),
        }  # fmt: skip
        out[name] = as_lists({
            kind: np.ravel(learner.fit(y, w, X=X).effect(others)) for kind, learner in learners.items()
        })  # fmt: skip
    write("econml", out)


if __name__ == "__main__":
    {"data": draw, "metalearners": by_metalearners, "econml": by_econml}[sys.argv[1]]()
