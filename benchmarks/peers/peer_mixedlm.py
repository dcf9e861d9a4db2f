"""mixedlm (Rust core): REML by L-BFGS-B with exact gradients, COBYQA where that does not settle."""

from __future__ import annotations

from typing import Any

DISTRIBUTION = "mixedlm"


def cannot(task: dict[str, Any]) -> str | None:
    return None


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    return frame


def fit(frame: Any, task: dict[str, Any]) -> Any:
    import mixedlm

    if task["options"].get("lean"):
        return mixedlm.lmer(task["formula"], frame, control=mixedlm.lmerControl(calc_derivs=False, restart_edge=False))
    return mixedlm.lmer(task["formula"], frame)


def refit(model: Any, frame: Any, responses: Any, task: dict[str, Any]) -> list[float]:
    return [model.refit(response).REMLcrit() for response in responses.T]


def describe(model: Any, task: dict[str, Any]) -> dict[str, Any]:
    groups = model.VarCorr().groups
    return {
        "method": "REML",
        "criterion": model.REMLcrit(),
        "sigma": model.sigma,
        "sds": {name: list(group.stddev.values()) for name, group in groups.items()},
        "evaluations": model.function_evals,
        "converged": bool(model.converged),
        "message": f"{model.optimizer}: {model.message}"[:120],
    }
