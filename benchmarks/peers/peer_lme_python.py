"""lme-python (the crate lme-rs): REML, derivative free."""

from __future__ import annotations

from typing import Any

from products import add_products, spell

DISTRIBUTION = "lme-python"


def cannot(task: dict[str, Any]) -> str | None:
    return None


def unknown(column: str, random: bool) -> bool:
    """Interactions of three, and any in a random term."""
    return random or column.count(":") > 1


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    """Make a polars frame, which it takes without a copy through pandas."""
    import polars

    return polars.from_pandas(add_products(frame, task, unknown))


def fit(frame: Any, task: dict[str, Any]) -> Any:
    import lme_python

    return lme_python.lmer(spell(task, unknown)[0], data=frame, reml=True)


def refit(model: Any, frame: Any, responses: Any, task: dict[str, Any]) -> list[float]:
    import lme_python

    prepared = lme_python.prepare_lmer(spell(task, unknown)[0], frame)
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
