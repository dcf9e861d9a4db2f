"""What a weighted fit tells its reader: tables in broom's columns, intervals, and the page of the summary."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import check_level, check_option
from mixedfx.results import tables
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
from mixedfx.surveys.state import WeightedState

Array = NDArray[np.float64]
SCALED = {
    "size": "scaled within units to the number of their members",
    "effective": "scaled within units to the effective number of their members",
    "none": "as they are, not scaled within units",
}


def tidy(fit: WeightedState, effects: tables.Effects, level: float, df: float) -> pd.DataFrame:
    """Table behind `WeightedFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
    if effects == "fixed":
        return tables.fixed_table(fit.design.fixed_names, fit.solution.beta, fit.solution.spread.beta, df, level)
    if effects == "ran_vals":
        return tables.ran_vals_table(fit.ranef, fit.ranef_sd, np.inf, level)
    found = fit.varcorr
    low, high = component_intervals(found, level, df)
    return tables.ran_pars_table(found).assign(
        std_error=found["se_sdcor"].to_numpy(), df=df, conf_low=low, conf_high=high
    )  # fmt: skip


def component_intervals(table: pd.DataFrame, level: float, df: float) -> tuple[Array, Array]:
    """Intervals of standard deviations, on the scale of their logarithms, and of correlations, on Fisher's z."""
    from scipy import stats

    check_level(level)
    q = stats.t.ppf((1.0 + level) / 2.0, df)
    value, se = table["sdcor"].to_numpy(), table["se_sdcor"].to_numpy()
    pair = table["var2"].notna().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        half = q * np.where(pair, se / (1.0 - value**2), se / value)
        low = np.where(pair, np.tanh(np.arctanh(value) - half), value * np.exp(-half))
        high = np.where(pair, np.tanh(np.arctanh(value) + half), value * np.exp(half))
    known = np.isfinite(half)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def confint(fit: WeightedState, parm: str | None, level: float, df: float) -> pd.DataFrame:
    """Table behind `WeightedFit.confint`."""
    check_option("parm", parm, ("fixed", "components", None))
    parts = []
    if parm != "components":
        fixed = tidy(fit, "fixed", level, df)
        parts.append(fixed.assign(group="")[["group", "term", "estimate", "conf_low", "conf_high"]])
    if parm != "fixed":
        parts.append(tidy(fit, "ran_pars", level, df)[["group", "term", "estimate", "conf_low", "conf_high"]])
    return pd.concat(parts, ignore_index=True)


def sample_facts(fit: WeightedState) -> tuple[tuple[str, str], ...]:
    """What is known of the sample: kind of weights, scaling, units, design effect."""
    solution = fit.solution
    asked = solution.asked
    given = ", ".join(f"{key} {value!r}" if isinstance(value, str) else key for key, value in asked.weights.items())
    words = "as they are"
    if fit.design.random:
        kind = "within the unit above" if asked.conditional else "overall, made conditional on the unit above"
        words = f"{kind}; {SCALED[asked.scaling]}"
    effects = solution.weights.design_effects()
    row = effects.iloc[0]
    facts = [
        ("Sampling weights", f"{given}: {words}"),
        (
            "Design effect",
            f"{row['design_effect']:.2f} of unequal weights of rows: {row['effective_n']:.0f} effective rows",
        ),
        ("Variance", solution.spread.words),
    ]
    return (*facts, *(("Note", f"{note[0].upper()}{note[1:]}") for note in solution.weights.notes))


def summary(fit: WeightedState, df: float) -> SummaryContent:
    """Page behind `WeightedFit.summary`."""
    design, solution = fit.design, fit.solution
    course = solution.optimization
    table = fit.varcorr
    blocks: list[SummaryFacts | SummaryTable] = [
        SummaryFacts((*data_facts(design), *sample_facts(fit))),
        statistics_block({"-2 log pseudo L": solution.criterion, "Parameters": fit.n_parameters}),
    ]
    if design.random:
        blocks.append(groups_block(design.random))
        shown = variances_block(design.random, without_traces(table, design.random, fit.singularity))
        blocks.append(with_errors(shown, table))
    blocks += [
        fixed_block(tidy(fit, "fixed", 0.95, df)),
        quantiles_block("Scaled residuals", fit.residuals().to_numpy() / fit.sigma),
    ]
    conclusions = [
        ("Method", "pseudo maximum likelihood; REML has no weighted form"),
        ("Convergence", f"{course.message} ({course.evaluations} evaluations)" if course.steps else course.message),
    ]
    conclusions += last_facts(fit)
    title = f"Linear {'mixed ' if design.random else ''}model with sampling weights"
    return SummaryContent(title, (*blocks, SummaryFacts(tuple(conclusions))))


def last_facts(fit: WeightedState) -> list[tuple[str, str]]:
    """What is said of replicates and of singularity, where there is something to say."""
    found, certified = [], fit.solution.certified
    if certified is not None and not certified.all():
        found.append(("Replicates", f"{int((~certified).sum())} of {len(certified)} refits were not certified"))
    if fit.design.random:
        found.append(("Singularity", fit.singularity.found))
    return found


def with_errors(block: SummaryTable, table: pd.DataFrame) -> SummaryTable:
    """The table of variances with a column of standard errors of the standard deviations."""
    errors = column(table.loc[table["var2"].isna(), "se_sdcor"])
    header = (*block.header[:4], "Std. error", *block.header[4:])
    rows = tuple((*row[:4], error, *row[4:]) for row, error in zip(block.rows, errors, strict=True))
    return SummaryTable(block.title, header, rows, f"{block.align[:4]}r{block.align[4:]}")
