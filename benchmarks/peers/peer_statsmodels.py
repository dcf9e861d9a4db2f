"""statsmodels MixedLM: REML with one grouping factor, further factors nested in it as variance components."""

from __future__ import annotations

from typing import Any

DISTRIBUTION = "statsmodels"


def cannot(task: dict[str, Any]) -> str | None:
    if not task["nested"]:
        return "one grouping factor; crossed ones as a single group need a dense n x n matrix"
    return None


def prepare(frame: Any, task: dict[str, Any]) -> Any:
    frame = frame.copy()
    for group, _ in task["terms"]:
        frame[group] = frame[group].astype(str)
    return frame


def fit(frame: Any, task: dict[str, Any]) -> Any:
    import statsmodels.formula.api as smf

    terms = sorted(task["terms"], key=lambda term: frame[term[0]].nunique())
    (outer, slopes), inner = terms[0], terms[1:]
    components = {group: f"0 + C({group})" for group, _ in inner} or None
    fixed = f"{task['response']} ~ {' + '.join(['1', *task['fixed']])}"
    random = f"~ {' + '.join(['1', *slopes])}"
    return smf.mixedlm(fixed, frame, groups=outer, re_formula=random, vc_formula=components).fit(reml=True)


def describe(model: Any, task: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    outer = model.model.data.frame[[t[0] for t in task["terms"]]].nunique().idxmin()
    sds = {outer: np.sqrt(np.diag(np.asarray(model.cov_re))).tolist()}
    inner = [group for group, _ in task["terms"] if group != outer]
    sds |= {group: [float(np.sqrt(v))] for group, v in zip(inner, np.atleast_1d(model.vcomp), strict=False)}
    return {
        "method": "REML",
        "criterion": -2 * float(model.llf),
        "sigma": float(np.sqrt(model.scale)),
        "sds": sds,
        "evaluations": None,
        "converged": bool(model.converged),
        "message": "",
    }
