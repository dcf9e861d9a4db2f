"""glmm (Rust): REML by BFGS or BOBYQA.

Option ``lean``: without Satterthwaite's degrees of freedom and the exact Hessian behind the standard errors, which its
default computes in the fit.
"""

from __future__ import annotations

from typing import Any

from products import add_products, spell

DISTRIBUTION = "glmm"


def cannot(task: dict[str, Any]) -> str | None:
    return None


def unknown(column: str, random: bool) -> bool:
    """Interactions in a random term."""
    return random


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    return add_products(frame, task, unknown)


def fit(frame: Any, task: dict[str, Any]) -> Any:
    import glmm

    formula = spell(task, unknown)[0]
    if task["options"].get("lean"):
        return glmm.fit(frame, formula, satterthwaite=False, wald_se="rx", anova_test="Wald")
    return glmm.fit(frame, formula)


def refit(model: Any, frame: Any, responses: Any, task: dict[str, Any]) -> list[float]:
    """Fit after fit from the first estimate; the package says this is how to refit."""
    import glmm

    start = {"beta": model.beta, "theta": _theta(model)}
    columns = {name: frame[name] for name in task["columns"]}
    criteria = []
    for response in responses.T:
        columns[task["response"]] = response
        fitted = glmm.fit(
            columns, task["formula"], satterthwaite=False, wald_se="rx", anova_test="Wald", warm_start=start
        )
        criteria.append(-2 * fitted.loglik)
    return criteria


def _theta(model: Any) -> Any:
    """Its warm start is the relative Cholesky factor by columns, group after group; it reports covariances."""
    import numpy as np

    parts = []
    for packed in model.varcorr:
        size = int((np.sqrt(8 * len(packed) + 1) - 1) / 2)
        columns = np.triu_indices(size)
        covariance = np.zeros((size, size))
        covariance[columns[1], columns[0]] = 0.0
        covariance[_lower_by_columns(size)] = packed
        covariance = covariance + np.tril(covariance, -1).T
        parts.append(np.linalg.cholesky(covariance / model.dispersion)[_lower_by_columns(size)])
    return np.concatenate(parts)


def _lower_by_columns(size: int) -> tuple[list[int], list[int]]:
    return [i for j in range(size) for i in range(j, size)], [j for j in range(size) for _ in range(j, size)]


def describe(model: Any, task: dict[str, Any]) -> dict[str, Any]:
    sds = {group: list(model.stddev_corr(index)[0]) for index, (group, _) in enumerate(model.re_groups)}
    return {
        "method": "REML",
        "criterion": -2 * model.loglik,
        "sigma": model.dispersion**0.5,
        "sds": sds,
        "evaluations": model.n_eval + model.n_grad,
        "converged": bool(model.converged),
        "message": "; ".join(w["title"] for w in model.warnings),
    }
