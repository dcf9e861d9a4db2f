"""What a weighted generalised fit tells its reader: the family's parameters, and the page of the summary."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from mixedfx.results.glmm_summary import OUTCOMES
from mixedfx.results.numbers import column
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import (
    data_facts,
    fixed_block,
    groups_block,
    quantiles_block,
    statistics_block,
    variances_block,
    without_traces,
)
from mixedfx.surveys.generalised.state import GeneralState
from mixedfx.surveys.report import last_facts, sample_facts, tidy, with_errors


def auxiliary_table(fit: GeneralState, level: float, df: float) -> pd.DataFrame:
    """The family's estimated parameters: term, estimate, std_error, statistic, df, p_value, conf_low, conf_high.

    Intervals are on the scale of their logarithms; no value is that of nothing, and there is no test.
    """
    names = list(fit.solution.problem.responses.names)
    value = np.array([fit.solution.auxiliary[name] for name in names])
    se = fit.solution.spread.auxiliary
    half = stats.t.ppf((1.0 + level) / 2.0, df) * se / value
    return pd.DataFrame(
        {
            "term": names, "estimate": value, "std_error": se, "statistic": np.nan, "df": df, "p_value": np.nan,
            "conf_low": value * np.exp(-half), "conf_high": value * np.exp(half),
        }
    )  # fmt: skip


def integral_words(fit: GeneralState) -> str:
    """How the integral over the random effects was taken."""
    if not fit.design.random:
        return "none needed: there are no random effects"
    text = f"adaptive Gauss-Hermite quadrature, {fit.nAGQ} nodes for each effect of a level"
    return f"{text} (more nodes change -2 log pseudo L by {fit.solution.change:.1g} at a mean weight of one)"


def summary(fit: GeneralState, df: float) -> SummaryContent:
    """Page behind `WeightedGlmerFit.summary`."""
    design, course, link = fit.design, fit.optimization, fit.family.link.name
    table = fit.varcorr
    family = ("Family", f"{fit.family.name}, link {link}: effects on the {OUTCOMES[link]}")
    blocks: list[SummaryFacts | SummaryTable] = [
        SummaryFacts((*data_facts(design), family, *sample_facts(fit))),
        statistics_block({"-2 log pseudo L": fit.criterion, "Parameters": fit.n_parameters}),
    ]
    if design.random:
        blocks.append(groups_block(design.random))
        shown = variances_block(design.random, without_traces(table, design.random, fit.singularity))
        blocks.append(with_errors(shown, table))
    others = {name: value for name, value in fit.auxiliary.items() if not (fit.family.normal and name == "sigma")}
    if others:
        cells = tuple(column([value])[0] for value in others.values())
        blocks.append(SummaryTable("Distribution", tuple(map(str, others)), (cells,), "r" * len(cells)))
    blocks += [
        fixed_block(tidy(fit, "fixed", 0.95, df)),
        quantiles_block("Pearson residuals", fit.residuals("pearson").to_numpy() / fit.sigma),
    ]
    conclusions = [
        ("Method", "pseudo maximum likelihood"),
        ("Integral", integral_words(fit)),
        ("Convergence", f"{course.message} ({course.evaluations} evaluations)"),
        *last_facts(fit),
    ]
    title = f"Generalised linear {'mixed ' if design.random else ''}model with sampling weights"
    return SummaryContent(title, (*blocks, SummaryFacts(tuple(conclusions))))
