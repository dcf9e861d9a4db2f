"""Tables and the summary of a zero-inflated fit: those of the stacked design, by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.errors import check_option
from mixedfx.formula.part_formulas import right_side
from mixedfx.glmm import report
from mixedfx.glmm.pairs import MARK
from mixedfx.glmm.questions import estimated_dispersion
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.state import GlmerState
from mixedfx.glmm.zero_inflation import Both, singularities, smaller_zeros
from mixedfx.results import tables

if TYPE_CHECKING:
    from mixedfx.results.render import SummaryContent

PARTS = ("count", "zero")
WORDS = {"count": "counts, on the logarithm of their mean", "zero": "probability of a zero besides, on its log odds"}


def coefficients(both: Both) -> pd.MultiIndex:
    """Part and name of each coefficient."""
    pairs = [(part, name) for part, d in zip(PARTS, (both.count, both.zero), strict=True) for name in d.fixed_names]
    return pd.MultiIndex.from_tuples(pairs, names=["part", "term"])


def varcorr(both: Both, solution: GlmmSolution) -> pd.DataFrame:
    """Variances and covariances by part."""
    first = len(both.count.random)
    found = []
    for part, design, factors in (
        ("count", both.count, solution.factors[:first]), ("zero", both.zero, solution.factors[first:])
    ):  # fmt: skip
        table = tables.varcorr_table(design.random, factors, None)
        table.insert(0, "part", part)
        found.append(table)
    return pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)


def ranef(both: Both, solution: GlmmSolution) -> dict[str, dict[str, pd.DataFrame]]:
    """Conditional modes by part and grouping factor."""
    effects, first = tables.split_effects(solution.design, solution.u), len(both.count.random)
    return {
        "count": tables.ranef_tables(both.count.random, effects[:first]),
        "zero": tables.ranef_tables(both.zero.random, effects[first:]),
    }


def tidy(both: Both, stacked: GlmerState, effects: tables.Effects, level: float) -> pd.DataFrame:
    """Tables behind `ZeroInflatedFit.tidy`."""
    check_option("effects", effects, ("fixed", "ran_pars", "ran_vals", "auxiliary"))
    table = report.tidy(stacked, effects, level).reset_index(drop=True)
    later = table["term"].astype(str).str.contains(MARK, regex=False)
    table["term"] = table["term"].str.replace(MARK, "", regex=False)
    if effects == "fixed" and stacked.solution.model.likelihood.vanished(stacked.solution.evaluation.mode.eta):
        table.loc[later, ["std_error", "statistic", "p_value", "conf_low", "conf_high"]] = np.nan
    table.insert(0, "part", later.map({True: "zero", False: "count"}))
    return table.sort_values("part", kind="stable", ignore_index=True)


def summary(both: Both, stacked: GlmerState, name: str) -> SummaryContent:
    """Page of the whole, and then of each part."""
    from mixedfx.results.numbers import column
    from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
    from mixedfx.results.summary import (
        data_facts,
        dispersion_block,
        fixed_block,
        groups_block,
        quantiles_block,
        statistics_block,
        variances_block,
    )

    solution = stacked.solution
    n, k = len(both.count.y), stacked.n_parameters
    statistics = {
        "-2 log L": solution.criterion, "logLik": -solution.criterion / 2, "AIC": tables.aic(solution.criterion, k),
        "BIC": tables.bic(solution.criterion, k, n), "Parameters": k,
    }  # fmt: skip
    zeros = int((both.count.y == 0).sum())
    facts = (*data_facts(both.count), ("Family", f"{name}: {zeros} zeros of {n} rows"))
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(facts), statistics_block(statistics)]
    fixed, variances = tidy(both, stacked, "fixed", 0.95), varcorr(both, solution)
    for part, design in zip(PARTS, (both.count, both.zero), strict=True):
        blocks.append(SummaryFacts((("Part", f"{WORDS[part]}: {right_side(design.formula)}"),)))
        own = variances.loc[variances["part"] == part].drop(columns="part")
        if design.random:
            blocks += [groups_block(design.random), variances_block(design.random, own)]
        others = {x: v for x, v in solution.auxiliary.items() if not x.startswith("dispersion__")}
        if part == "count" and others:
            cells = tuple(column([value])[0] for value in others.values())
            blocks.append(SummaryTable("Distribution", tuple(others), (cells,), "r" * len(cells)))
        spread = estimated_dispersion(solution.design, solution) if part == "count" else None
        if spread is not None:
            blocks.append(dispersion_block(spread, f"Logarithm of {solution.model.family.dispersed}"))
        if design.fixed_names:
            blocks.append(fixed_block(fixed.loc[fixed["part"] == part].drop(columns="part"), "z"))
    mode, course = solution.evaluation.mode, solution.optimization
    blocks.append(quantiles_block("Pearson residuals", solution.model.likelihood.pearson(mode.eta, mode.phi)))
    conclusions = [("Tests", report.TESTS), ("Integral", report.approximation(stacked))]
    conclusions.append(("Convergence", f"{course.message} ({course.evaluations} evaluations)"))
    reports = singularities(both, solution)
    for part, one, try_this in (
        ("count", reports["count"], reports["count"].to_try), ("zero", reports["zero"], smaller_zeros(reports["zero"]))
    ):  # fmt: skip
        if one.singular:
            conclusions.append((f"Singularity, {part}", one.found))
        if try_this:
            conclusions.append((f"Smaller model, {part}", try_this))
    blocks.append(SummaryFacts(tuple(conclusions)))
    return SummaryContent("Zero-inflated model fit by maximum likelihood", tuple(blocks))
