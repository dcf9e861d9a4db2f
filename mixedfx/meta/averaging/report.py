"""What an averaged meta-analysis tells its reader: tables, draws, and the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.draws import Draws, Key
from mixedfx.errors import OptionError, check_level
from mixedfx.meta.averaging.given import cells
from mixedfx.meta.averaging.pooled import described, quantiles
from mixedfx.meta.averaging.read import moderator_rows
from mixedfx.meta.averaging.scales import converter
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.averaging.truths import new_effects
from mixedfx.meta.averaging.truths import true_effects as draw_true_effects
from mixedfx.meta.measure import Array
from mixedfx.meta.selection.intervals import interval_names
from mixedfx.sampling.importance import resample

TAKEN = ("mu", "tau", "rho", "PET", "PEESE", "effect", "heterogeneity", "hierarchical", "bias")
STATISTICS = ["mean", "median", "lower", "upper"]


def _log_sum(logs: Array) -> float:
    top = logs.max(initial=-np.inf)
    return float(top + np.log(np.exp(logs - top).sum())) if np.isfinite(top) else -np.inf


def inclusion(fit: RobmaState, present: list[bool | None]) -> tuple[int, float, float, float]:
    """Models with a component; its prior and posterior probability among models that speak of it; its Bayes factor."""
    known = np.array([flag is not None for flag in present])
    yes = known & np.array([bool(flag) for flag in present])
    no = known & ~yes
    prior = fit.prior[yes].sum() / fit.prior[known].sum() if known.any() else np.nan
    logs = fit.log_evidence + np.log(fit.prior)
    if not (yes.any() and no.any()):
        posterior = float(yes.any()) if known.any() else np.nan
        return int(yes.sum()), float(prior), posterior, np.nan
    odds = _log_sum(logs[yes]) - _log_sum(logs[no])
    with np.errstate(over="ignore"):
        bf = float(np.exp(odds + np.log(fit.prior[no].sum()) - np.log(fit.prior[yes].sum())))
    return int(yes.sum()), float(prior), float(1 / (1 + np.exp(min(-odds, 700.0)))), bf


def component_flags(fit: RobmaState) -> dict[str, list[bool | None]]:
    """Whether each model has each component."""
    names = ["effect", "heterogeneity", *(["hierarchical"] if fit.clustered else []), "bias"]
    flags = {name: [member.alternative(name) for member in fit.members] for name in names}
    for j, moderator in enumerate(fit.given.moderators):
        flags[_row_name(("beta", moderator.name))] = [not member.moderators[j].null for member in fit.members]
    return flags


def components(fit: RobmaState) -> pd.DataFrame:
    """Table behind `RobmaFit.components`."""
    rows = {name: inclusion(fit, present) for name, present in component_flags(fit).items() if any(present)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["models", "prior", "posterior", "inclusion_bf"])
    return table.rename_axis("component")


def models(fit: RobmaState) -> pd.DataFrame:
    """Table behind `RobmaFit.models`."""
    rows = []
    for i, (member, evidence) in enumerate(zip(fit.members, fit.evidences, strict=True)):
        row: dict[str, Any] = {"effect": str(member.effect), "heterogeneity": str(member.heterogeneity)}
        if fit.clustered:
            row["hierarchical"] = "" if member.hierarchical is None else str(member.hierarchical)
        row["bias"] = str(member.bias)
        for option, moderator in zip(member.moderators, fit.given.moderators, strict=True):
            row[moderator.name] = str(option)
        row |= {"prior": member.prior, "log_evidence": evidence.value, "error": evidence.error}
        row["posterior"] = float(fit.posterior[i])
        row["inclusion_bf"] = inclusion(fit, [j == i for j in range(len(fit.members))])[3]
        row |= {"method": evidence.method, "k_hat": evidence.k_hat if np.isfinite(evidence.k_hat) else np.nan}
        rows.append(row)
    return pd.DataFrame(rows)


def parameters(fit: RobmaState) -> dict[Key, tuple[Array, list[bool | None]]]:
    """Values of each parameter in all draws, and which models have it."""
    at, flags = fit.pooled, component_flags(fit)
    kinds = [member.kind for member in fit.members]
    found: dict[Key, tuple[Array, list[bool | None]]] = {
        ("mu",): (at.mu, flags["effect"]),
        ("tau",): (at.tau, flags["heterogeneity"]),
    }
    if fit.clustered:
        found["rho",] = at.rho, [bool(flag) for flag in flags["hierarchical"]]
    for name, values in (("PET", at.pet), ("PEESE", at.peese)):
        if name in kinds:
            found[name,] = values, [kind == name for kind in kinds]
    for j in range(at.omega.shape[1]):
        key = ("omega", f"{at.edges[j]:g},{at.edges[j + 1]:g}")
        found[key] = at.omega[:, j], [kind == "weights" for kind in kinds]
    for moderator in fit.given.moderators:
        values = at.moderators[:, list(moderator.columns)] @ moderator.report.T
        for j, label in enumerate(moderator.labels):
            key = ("beta", moderator.name, label) if moderator.factor else ("beta", moderator.name)
            found[key] = values[:, j], flags[_row_name(("beta", moderator.name))]
    return found


def _row_name(key: Key) -> str:
    if key[0] == "omega":
        return f"omega[{key[1]}]"
    if key[0] != "beta":
        return key[0]
    name = f"beta[{key[1]}]" if key[1] in TAKEN else key[1]  # a moderator may be called as a parameter is
    return name if len(key) == 2 else f"{name}[{key[2]}]"


def _level(fit: RobmaState, level: float | None) -> float:
    if level is not None:
        check_level(level)
    return fit.level if level is None else level


def estimates(fit: RobmaState, conditional: bool, measure: str | None, level: float | None) -> pd.DataFrame:
    """Table behind `RobmaFit.tidy`."""
    level = _level(fit, level)
    convert, factor = converter(fit.measure, measure)
    rows = {}
    for key, (values, present) in parameters(fit).items():
        weights = fit.pooled.weights
        if conditional:
            weights = weights * np.array([bool(flag) for flag in present])[fit.pooled.model]
        if key == ("mu",):
            values = convert(values)
        elif key[0] in ("tau", "beta"):
            values = values * factor
        elif key == ("PEESE",):
            values = values / factor
        rows[_row_name(key)] = described(values, weights, level)
    return pd.DataFrame.from_dict(rows, orient="index", columns=STATISTICS).rename_axis("parameter")


def weights(fit: RobmaState) -> pd.DataFrame:
    """Table behind `RobmaFit.weights`."""
    at, given = fit.pooled, fit.given
    L = at.omega.shape[1]
    if not L:
        raise OptionError(
            "no model of the ensemble has a weight function",
            hint="Fit with bias='PSMA', '2w', '6w', or weight_function(...).",
        )
    y = given.sign * given.y
    cuts = np.column_stack([given.critical(edge) for edge in at.edges[1:-1]])
    counts = np.bincount(np.sum(y[:, None] < cuts, axis=1), minlength=L)
    table = pd.DataFrame({"interval": interval_names(list(at.edges[1:-1])), "k": counts})
    table[STATISTICS] = [described(at.omega[:, j], at.weights, fit.level) for j in range(L)]
    return table


def counts(fit: RobmaState) -> pd.DataFrame:
    """Table behind `RobmaFit.counts`."""
    rows = []
    for prior in dict.fromkeys(member.bias.prior for member in fit.members if member.kind == "weights"):
        found = cells(fit.given, prior).counts
        names = interval_names(prior.steps)
        rows += [{"bias": str(prior), "interval": name, "k": int(n)} for name, n in zip(names, found, strict=True)]
    return pd.DataFrame(rows, columns=["bias", "interval", "k"])


def moderator_levels(fit: RobmaState, level: float | None) -> pd.DataFrame:
    """Table behind `RobmaFit.moderator_levels`."""
    level = _level(fit, level)
    at, rows = fit.pooled, []
    for moderator in fit.given.moderators:
        values = at.moderators[:, list(moderator.columns)] @ moderator.report.T
        if moderator.factor:
            where = list(zip(moderator.labels, values.T, strict=True))
        else:
            ends = moderator.centre - moderator.sd, moderator.centre, moderator.centre + moderator.sd
            where = [(f"{end:.4g}", step * values[:, 0]) for end, step in zip(ends, (-1, 0, 1), strict=True)]
        for label, part in where:
            rows.append([moderator.name, label, *described(at.mu + part, at.weights, level)])
    return pd.DataFrame(rows, columns=["moderator", "at", *STATISTICS])


def _resampled(fit: RobmaState) -> tuple[Array, np.random.Generator]:
    rng = np.random.default_rng(fit.seed)
    return resample(fit.pooled.weights, fit.n_draws, rng), rng


def _truths(fit: RobmaState) -> tuple[Array, Array, Array]:
    """Rows of the parameters, and true effects of estimates and clusters."""
    rows, rng = _resampled(fit)
    return rows, *draw_true_effects(fit.given, fit.members, fit.mechanism, fit.pooled, rows, rng)


def _column_table(values: Array, convert: Callable[[Array], Array], level: float) -> pd.DataFrame:
    even = np.full(len(values), 1 / len(values))
    return pd.DataFrame([described(convert(column), even, level) for column in values.T], columns=STATISTICS)


def true_effects(fit: RobmaState, measure: str | None, level: float | None) -> pd.DataFrame:
    """Table behind `RobmaFit.true_effects`."""
    level = _level(fit, level)
    given = fit.given
    _, theta, _ = _truths(fit)
    table = _column_table(theta, converter(fit.measure, measure)[0], level)
    table.insert(0, "yi", given.original)
    if fit.clustered:
        table.insert(0, "cluster", [given.cluster_labels[c] for c in given.owner])
    table.insert(0, "label", list(given.labels))
    return table.iloc[np.argsort(given.order)].reset_index(drop=True)


def cluster_effects(fit: RobmaState, measure: str | None, level: float | None) -> pd.DataFrame:
    """Table behind `RobmaFit.cluster_effects`."""
    level = _level(fit, level)
    if fit.given.start is None:
        raise OptionError("the fit has no clusters", hint="Fit with cluster='...'.")
    _, _, effects = _truths(fit)
    table = _column_table(effects, converter(fit.measure, measure)[0], level)
    table.insert(0, "k", np.diff(fit.given.start))
    table.insert(0, "cluster", list(fit.given.cluster_labels))
    return table


def predict(fit: RobmaState, newdata: Any, measure: str | None, level: float | None) -> pd.DataFrame:
    """Table behind `RobmaFit.predict`."""
    level = _level(fit, level)
    at, convert = fit.pooled, converter(fit.measure, measure)[0]
    labels: Any = None
    M = np.zeros((1, fit.given.M.shape[1]))
    if newdata is not None:
        M, labels = moderator_rows(fit.given, fit.source, newdata)
    mean = at.mu[:, None] + at.moderators @ M.T
    new = new_effects(at, mean)
    tail = (1 - level) / 2
    rows = [
        [*described(convert(m), at.weights, level), *map(float, quantiles(convert(t), at.weights, (tail, 1 - tail)))]
        for m, t in zip(mean.T, new.T, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*STATISTICS, "pred_low", "pred_high"], index=labels)


def draws(fit: RobmaState) -> Draws:
    """Draws behind `RobmaFit.draws`."""
    rows, theta, effects = _truths(fit)
    keys: list[Key] = [("model",)]
    columns = [fit.pooled.model[rows].astype(np.float64)]
    for key, (values, _) in parameters(fit).items():
        keys.append(key)
        columns.append(values[rows])
    back = np.argsort(fit.given.order)
    keys += [("theta", label) for label in _distinct([fit.given.labels[i] for i in back])]
    keys += [("cluster", label) for label in (fit.given.cluster_labels if fit.clustered else ())]
    array = np.column_stack([*columns, theta[:, back], effects])
    note = (
        f"Draws of the posterior averaged over {len(fit.members)} models: a parameter that a model does not have is 0, "
        "a weight 1."
    )
    return Draws(tuple(keys), array[None], note)


def _distinct(labels: list[str]) -> list[str]:
    """Labels, numbered where they repeat."""
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return out
