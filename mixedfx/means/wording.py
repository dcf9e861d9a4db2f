"""Marginal means and contrasts in words: one table for each family, and how its numbers came about."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfx.design.labels import level_label
from mixedfx.inference.degrees_of_freedom import find_ddf
from mixedfx.inference.robust import covariance_words
from mixedfx.means.state import MeansState
from mixedfx.results.numbers import column, decimals, p_values
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable

TITLES = {"emmean": "Marginal means", "trend": "Slopes", "estimate": "Contrasts"}
ADJUST_NAMES = {
    "tukey": "Tukey's, families of {means} means; p values and intervals",
    "mvt": "multivariate t, families of {tests} contrasts; p values and intervals",
    "holm": "p values Holm's, intervals Bonferroni's; families of {tests}",
    "bonferroni": "Bonferroni's, families of {tests}; p values and intervals",
    "sidak": "Sidak's, families of {tests}; p values and intervals",
}


def content(means: MeansState) -> SummaryContent:
    """What a set of marginal means or contrasts says of itself."""
    table = means.table
    spread = "sd" if "sd" in table else "SE"
    places = decimals(table[spread])
    labels = [c for c in means.cells.columns if c not in means.by]
    blocks: list[SummaryFacts | SummaryTable] = []
    for group in means.families:
        part = table.iloc[group]
        columns = {c: [level_label(v) for v in part[c]] for c in labels}
        columns |= {c: column(part[c], places=places) for c in (means.column, spread)}
        if "df" in part:
            columns["df"] = column(part["df"], places=1)
        columns |= {c: column(part[c], places=places) for c in ("lower", "upper")}
        if "statistic" in part:
            columns |= {_statistic(part["df"]): column(part["statistic"], places=2), "p": p_values(part["p_value"])}
        if "prob_above" in part:
            null = 1 if means.units is not None and means.units.ratio else 0
            columns[f"prob > {null}"] = column(part["prob_above"], places=3)
        rows = tuple(zip(*columns.values(), strict=True))
        first = means.cells.iloc[group[0]]
        title = ", ".join([_title(means), *(f"{c} = {level_label(first[c])}" for c in means.by)])
        align = "l" * len(labels) + "r" * (len(columns) - len(labels))
        blocks.append(SummaryTable(title, tuple(columns), rows, align))
    return SummaryContent(str(means.asker.fit.design.formula), (*blocks, SummaryFacts(_facts(means))))


def _statistic(df: pd.Series) -> str:
    """What an estimate over its standard error is called: z where it is referred to the normal distribution."""
    return "z" if np.isinf(df).all() else "t"


def _title(means: MeansState) -> str:
    return f"{TITLES[means.quantity]} of {means.response}"


def _facts(means: MeansState) -> tuple[tuple[str, str], ...]:
    facts = [("Intervals", f"{100 * means.level:g} %" + (", equal tails" if means.asker.posterior else ""))]
    if means.asker.ddf is not None:
        facts.append(("df", find_ddf(means.asker.ddf, sample=True).words))
        if means.asker.vcov is not None:
            facts.append(("Covariance", covariance_words(means.asker.vcov)))
    if means.adjust != "none" and len(means.families[0]) > 1:
        words = ADJUST_NAMES[means.adjust].format(means=means.means, tests=len(means.families[0]))
        facts.append(("Adjustment", words))
    if np.isnan(means.answer.estimate).any():
        facts.append(("Empty", "cannot be estimated from these data"))
    if means.units is not None:
        facts.append(("Scale", means.units.note))
        if means.family is not None:
            facts.append(("Tests", "on the scale of the linear predictor"))
    facts += [("Note", note) for note in means.notes]
    return tuple(facts)
