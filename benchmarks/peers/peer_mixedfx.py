"""mixedfx itself."""

from __future__ import annotations

from typing import Any

DISTRIBUTION = "mixedfx"


def cannot(task: dict[str, Any]) -> str | None:
    return None


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    return frame


def fit(frame: Any, task: dict[str, Any]) -> Any:
    import mixedfx

    return mixedfx.lmer(task["formula"], frame)


def refit(model: Any, frame: Any, responses: Any, task: dict[str, Any]) -> Any:
    return model.refits(responses).criterion


def describe(model: Any, task: dict[str, Any]) -> dict[str, Any]:
    table = model.varcorr
    variances = table[table["var2"].isna() & (table["grp"] != "Residual")]
    sds = {group: rows["sdcor"].tolist() for group, rows in variances.groupby("grp", sort=False)}
    return {
        "method": "REML",
        "criterion": model.criterion,
        "sigma": model.sigma,
        "sds": sds,
        "evaluations": model.optimization.evaluations,
        "converged": model.converged,
        "message": model.optimization.message,
    }
