"""The page of an averaged meta-analysis: what was averaged, on which scale, with which selection, and how exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfx.meta.averaging import report
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable

MOST_MODELS = 8
MECHANISM = {
    "conditional": "conditional: each estimate of a cluster passes by its own p value",
    "joint": "joint: a cluster is seen only if all of its estimates pass",
    "best": "best: a cluster is seen for its most significant estimate",
}
NAMES = {"SMD": "standardised mean difference", "COR": "correlation", "ZCOR": "Fisher's z", "OR": "log odds ratio"}


def page(fit: RobmaState) -> SummaryContent:
    """Facts and tables behind `RobmaFit.summary`."""
    clusters = f" in {len(fit.given.cluster_labels)} clusters" if fit.clustered else ""
    title = f"Bayesian model-averaged meta-analysis of {fit.k} estimates{clusters}: {len(fit.members)} models"
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(tuple(facts(fit)))]
    components = report.components(fit)
    components["inclusion_bf"] = [_number(value) for value in components["inclusion_bf"]]
    blocks.append(frame_table(components, "Components", whole=".components"))
    blocks.append(frame_table(report.estimates(fit, False, None, None), f"Averaged over all models ({_level(fit)})"))
    blocks.append(
        frame_table(report.estimates(fit, True, None, None), f"Averaged over the models that have it ({_level(fit)})")
    )
    if fit.pooled.omega.shape[1]:
        blocks.append(frame_table(report.counts(fit), "Estimates in the intervals of p values", whole=".counts"))
    if fit.checked is not None:
        which = int(np.argmax(fit.posterior))
        blocks.append(
            frame_table(fit.checked, f"Model {which}, the most probable one, sampled by Stan", whole=".checked")
        )
    blocks.append(frame_table(_best(fit), "Models by posterior probability", most=MOST_MODELS, whole=".models"))
    return SummaryContent(title, tuple(blocks))


def _level(fit: RobmaState) -> str:
    return f"{100 * fit.level:g} % intervals"


def facts(fit: RobmaState) -> list[tuple[str, str]]:
    """Labelled sentences."""
    given, found = fit.given, [("Priors", fit.ensemble.name)]
    measure = NAMES.get(fit.measure, fit.measure) or "that of the estimates"
    fitted = f"fitted as Fisher's z, parameters are about the {measure}" if given.fisher else f"{measure}, as given"
    found.append(("Scale", fitted))
    weights = [m for m in fit.members if m.kind == "weights"]
    biased = [m for m in fit.members if m.kind != "none"]
    if biased:
        ahead = "large" if given.sign > 0 else "small"
        chosen = "; chosen as that of the median" if fit.ensemble.direction == "detect" else ""
        found.append(("Direction", f"{ahead} estimates are likelier to be seen{chosen}"))
    if weights:
        found.append(("Ties", "a p value on a step belongs to the more significant interval"))
        critical = "t quantiles on the original scale" if given.fisher else "the normal distribution"
        found.append(("p values", f"one- and two-sided, from {critical}"))
        if any(m.clustered for m in weights):
            found.append(("Mechanism", MECHANISM[fit.mechanism] + "; the data cannot tell mechanisms apart"))
    found.append(("Evidence", evidence_words(fit)))
    return found


def evidence_words(fit: RobmaState) -> str:
    """By which methods evidences were found, and how exact they are."""
    parts = []
    for method in ("quadrature", "importance sampling", "bridge sampling"):
        mine = [e for e in fit.evidences if e.method == method]
        if mine:
            worst = max(e.error for e in mine)
            k_hat = max(e.k_hat for e in mine)
            more = f", k-hat at most {k_hat:.2f}" if method == "importance sampling" else ""
            parts.append(f"{len(mine)} by {method}, error of the log at most {max(worst, 1e-12):.1g}{more}")
    relevant = fit.posterior > 0
    error = float(
        np.sqrt(np.sum((fit.posterior[relevant] * np.array([e.error for e in fit.evidences])[relevant]) ** 2))
    )
    return "; ".join(parts) + f"; error of posterior probabilities about {max(error, 1e-12):.1g}"


def _best(fit: RobmaState) -> pd.DataFrame:
    table = report.models(fit).sort_values("posterior", ascending=False, kind="stable")
    table["error"] = [f"{value:.1g}" for value in table["error"]]
    return table.drop(columns=["method", "k_hat", "inclusion_bf"])


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"
