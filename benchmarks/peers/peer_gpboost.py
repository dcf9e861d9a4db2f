"""gpboost: maximum likelihood, one variance for each component; iterative solvers where it chooses them.

It has no REML and no correlation between intercept and slope, so only its random intercepts are comparable, and its
criterion is -2 log likelihood.
"""

from __future__ import annotations

from typing import Any

DISTRIBUTION = "gpboost"


def cannot(task: dict[str, Any]) -> str | None:
    if any(slopes for _, slopes in task["terms"]):
        return "no correlated intercepts and slopes"
    return None


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    import numpy as np

    X = np.column_stack([np.ones(len(frame)), *(frame[c].to_numpy() for c in task["fixed"])])
    groups = np.column_stack([frame[group].cat.codes.to_numpy() for group, _ in task["terms"]])
    return frame[task["response"]].to_numpy(), X, groups


def fit(data: Any, task: dict[str, Any]) -> Any:
    import gpboost

    y, X, groups = data
    # The warm-up problem has a random slope; an intercept does there.
    model = gpboost.GPModel(group_data=groups, likelihood="gaussian", num_parallel_threads=1)
    model.fit(y=y, X=X)
    return model


def describe(model: Any, task: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    variances = np.asarray(model.get_cov_pars(format_pandas=False), dtype=float).ravel()
    groups = [group for group, _ in task["terms"]]
    return {
        "method": "ML",
        "criterion": 2 * float(model.get_current_neg_log_likelihood()),
        "sigma": float(np.sqrt(variances[0])),
        "sds": {group: [float(np.sqrt(v))] for group, v in zip(groups, variances[1:], strict=True)},
        "evaluations": model._get_num_optim_iter(),
        "converged": None,
        "message": "",
    }
