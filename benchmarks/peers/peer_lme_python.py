"""lme-python (the crate lme-rs): REML, derivative free."""

from __future__ import annotations

from typing import Any

DISTRIBUTION = "lme-python"


def cannot(task: dict[str, Any]) -> str | None:
    return None


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    """Make a polars frame, which it takes without a copy through pandas.

    Its formulas know no interaction of three: such a column is made here, which saves it a little work.
    """
    import polars

    frame = frame.copy()
    for old, new in _products(task).items():
        frame[new] = frame[old.split(":")].prod(axis=1)
    return polars.from_pandas(frame)


def _products(task: dict[str, Any]) -> dict[str, str]:
    columns = [*task["fixed"], *(slope for _, slopes in task["terms"] for slope in slopes)]
    return {column: column.replace(":", "_") for column in columns if column.count(":") > 1}


def _formula(task: dict[str, Any]) -> str:
    formula = task["formula"]
    for old, new in _products(task).items():
        formula = formula.replace(old, new)
    return formula


def fit(frame: Any, task: dict[str, Any]) -> Any:
    import lme_python

    return lme_python.lmer(_formula(task), data=frame, reml=True)


def refit(model: Any, frame: Any, responses: Any, task: dict[str, Any]) -> list[float]:
    import lme_python

    prepared = lme_python.prepare_lmer(_formula(task), frame)
    return [prepared.fit(y=response.tolist(), reml=True).reml_criterion for response in responses.T]


def describe(model: Any, task: dict[str, Any]) -> dict[str, Any]:
    sds: dict[str, list[float]] = {}
    for group, row, column, _, sd in model.var_corr:
        if group != "Residual" and row == column:
            sds.setdefault(group, []).append(sd)
    return {
        "method": "REML",
        "criterion": model.reml_criterion,
        "sigma": model.sigma2**0.5,
        "sds": sds,
        "evaluations": model.iterations,
        "converged": bool(model.converged),
        "message": str(model.diagnostics.get("termination")) if model.diagnostics else "",
    }
