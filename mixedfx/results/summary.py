"""What the summary of a linear mixed model says: data, groups, variances, fixed effects, convergence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design, RandomTerm, RowReport
from mixedfx.design.dispersion import Dispersion
from mixedfx.results.numbers import column, decimals, p_values
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.singularity import SingularityReport
from mixedfx.results.tables import aic, bic, dispersion_table, term_names

TRACE = 1e-6  # of the largest standard deviation: below, one that is zero is shown as zero


def lmm_summary(
    design: Design,
    *,
    REML: bool,
    criterion: float,
    n_parameters: int,
    fixed: pd.DataFrame,
    varcorr: pd.DataFrame,
    scaled_residuals: NDArray[np.float64] | None,
    convergence: str,
    singularity: SingularityReport,
    tests: str = "",
    linear: Mapping[str, float] | None = None,
    response: str = "",
    engine: str = "",
) -> SummaryContent:
    """Content of the summary of a linear mixed model, or of a linear model.

    Parameters
    ----------
    design
        The design that was fitted.
    REML
        Whether the criterion is REML's or -2 log likelihood.
    criterion
        Its value.
    n_parameters
        Fixed effects, theta and sigma.
    fixed
        Table of fixed effects, broom's columns. Columns df and p are shown where any is known.
    varcorr
        Table of variances and correlations, lme4's columns.
    scaled_residuals
        (n,) residuals over their standard deviation; None where the rows are not held.
    convergence
        Why the optimiser stopped.
    singularity
        Null directions.
    tests
        What the tests of the fixed effects rest on; empty where there are none.
    linear
        Numbers of a linear model (R2, F and what belongs to it), shown instead of likelihoods; None of others.
    response
        What to know about the kind of response; empty for nothing.
    engine
        How it was solved where estimates are not exact, with their errors.
    """
    statistics: Mapping[str, float] = {
        "REML criterion" if REML else "-2 log L": criterion,
        "logLik": -criterion / 2,
        "AIC": aic(criterion, n_parameters),
        "BIC": bic(criterion, n_parameters, len(design.y)),
        "Parameters": n_parameters,
    }
    facts = (*data_facts(design), *((("Response", response),) if response else ()))
    shown = statistics_block(statistics) if linear is None else linear_block(linear)
    blocks: list[SummaryFacts | SummaryTable] = [SummaryFacts(facts), shown]
    if design.random:
        blocks.append(groups_block(design.random))
    if linear is None:
        blocks.append(variances_block(design.random, without_traces(varcorr, design.random, singularity)))
    if design.dispersion is not None:
        blocks.append(dispersion_block(design.dispersion, "Logarithm of the residual standard deviation"))
        tests += "; the ratios of residual standard deviations are taken as known" if tests else ""
    blocks.append(fixed_block(fixed))
    if scaled_residuals is not None:
        blocks.append(quantiles_block("Scaled residuals", scaled_residuals))
    conclusions = [("Tests", tests)] if tests else []
    if linear is None:
        conclusions.append(("Convergence", convergence))
    if engine:
        conclusions.append(("Solver", engine))
    if design.random:
        conclusions.append(("Singularity", singularity.found))
    if singularity.to_keep:
        conclusions.append(("Design", singularity.to_keep))
    if singularity.to_try:
        conclusions.append(("Smaller model", singularity.to_try))
    method = "REML" if REML else "maximum likelihood"
    if linear is not None:
        method = "least squares" if REML else "least squares (maximum likelihood)"
    title = f"Linear {'mixed ' if design.random else ''}model fit by {method}"
    return SummaryContent(title, (*blocks, *((SummaryFacts(tuple(conclusions)),) if conclusions else ())))


def linear_block(numbers: Mapping[str, float]) -> SummaryTable:
    """Numbers of a linear model in one row, its p value as p values are written."""
    cells = []
    for name, value in numbers.items():
        if name == "p":
            cells += p_values([value])
        elif name.endswith("df"):
            cells.append("" if np.isnan(value) else f"{value:.0f}")
        else:
            cells += column([value], 4 if name == "Residual sd" else 3)
    return SummaryTable("Fit", tuple(numbers), (tuple(cells),), "r" * len(cells))


def without_traces(
    varcorr: pd.DataFrame, random: tuple[RandomTerm, ...], singularity: SingularityReport
) -> pd.DataFrame:
    """The table with zeros where a standard deviation is zero but for traces of arithmetic (7.9e-49)."""
    names = term_names(random)
    null = set()
    for direction in singularity.directions:
        own = np.flatnonzero(direction.direction)
        if len(own) == 1:
            null.add((names[direction.term], direction.columns[own[0]]))
    found = varcorr.copy()
    largest = float(np.nanmax(varcorr["sdcor"].where(varcorr["var2"].isna()), initial=0.0))
    for row in range(len(found)):
        pair = found["var2"].iloc[row] is not None and isinstance(found["var2"].iloc[row], str)
        small = found["sdcor"].iloc[row] < TRACE * largest
        if not pair and small and (found["grp"].iloc[row], found["var1"].iloc[row]) in null:
            found.iloc[row, [found.columns.get_loc("vcov"), found.columns.get_loc("sdcor")]] = 0.0
    return found


def rows_text(rows: RowReport) -> str:
    """How many rows are used, and how many were dropped because of which columns.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.design import RowReport
    >>> from mixedfx.results.summary import rows_text
    >>> rows_text(RowReport(10, np.arange(7), {"y": 2, "x": 1}, dropped_missing=3))
    '7 of 10 rows used; 3 dropped for missing values: y (2), x (1)'
    """
    used = len(rows.used)
    if used == rows.total:
        return f"{used} rows, none dropped"
    text = f"{used} of {rows.total} rows used"
    if rows.dropped_missing:
        columns = ", ".join(f"{name} ({count})" for name, count in rows.missing.items() if count)
        text += f"; {rows.dropped_missing} dropped for missing values: {columns}"
    if rows.dropped_zero_weight:
        text += f"; {rows.dropped_zero_weight} dropped for a weight of zero"
    return text


def data_facts(design: Design) -> tuple[tuple[str, str], ...]:
    """Formula, rows, and what is unusual about them."""
    facts = [("Formula", " ".join(design.formula.text.split())), ("Data", rows_text(design.rows))]
    if design.weights is not None:
        facts.append(("Weights", "precision weights: the residual variance of a row is sigma^2 / weight"))
    if design.knows_errors:
        known = "each row's sampling error" if design.known_sd is not None else "the covariance of sampling errors"
        scale = "multiplied by a residual variance" if design.sigma is None else "as given"
        facts.append(("Errors", f"known: {known}, {scale}" + _factor(design)))
    elif design.sigma is not None:
        facts.append(("Residual", f"the residual standard deviation is fixed at {design.sigma:g}"))
    if design.has_offset:
        facts.append(("Offset", "an offset is part of the fitted values"))
    if design.aliased:
        facts.append(("Aliased", "dropped as linear combinations of other columns: " + ", ".join(design.aliased)))
    if design.streamed is not None:
        facts.append(("Rows", f"{design.streamed.how}: residuals() and predict() read them anew"))
    return tuple(facts)


def dispersion_block(dispersion: Dispersion, title: str) -> SummaryTable:
    """Coefficients of the logarithm of a standard deviation, or of another parameter, and its ratios."""
    table = dispersion_table(dispersion)
    columns = ["estimate", "std_error", "ratio"]
    cells = (tuple(table["term"]), *(column(table[name].to_list(), places=3) for name in columns))
    return SummaryTable(
        title, ("", "Estimate", "Std. error", "Times as large"),
        tuple(zip(*cells, strict=True)), "l" + "r" * len(columns),
    )  # fmt: skip


def _factor(design: Design) -> str:
    """The factor of known errors where it is known and not one."""
    return "" if design.sigma in (None, 1.0) else f" times {design.sigma:g}"


def statistics_block(statistics: Mapping[str, float]) -> SummaryTable:
    """Named numbers in one row."""
    cells = tuple(column([value], places=0 if isinstance(value, int) else 2)[0] for value in statistics.values())
    return SummaryTable("Fit", tuple(statistics), (cells,), "r" * len(cells))


def groups_block(random: tuple[RandomTerm, ...]) -> SummaryTable:
    """Levels of each grouping factor, and their rows."""
    rows = []
    for term in {t.label: t for t in random}.values():
        size = term.sizes
        rows.append((term.label, str(term.n_levels), str(size.min()), f"{np.median(size):g}", str(size.max())))
    header = ("Group", "Levels", "Rows per level: min", "median", "max")
    return SummaryTable("Groups", header, tuple(rows), "lrrrr")


def variances_block(random: tuple[RandomTerm, ...], varcorr: pd.DataFrame) -> SummaryTable:
    """Variances, standard deviations and correlations of the random effects."""
    pair = varcorr["var2"].notna()
    variances = varcorr.loc[~pair]
    correlations = _correlation_cells(random, varcorr.loc[pair])
    shown = zip(variances["grp"], variances["var1"], column(variances["vcov"]), column(variances["sdcor"]), strict=True)
    rows, previous = [], None
    for group, effect, variance, sd in shown:
        effect = effect if isinstance(effect, str) else ""
        cells = ("" if group == previous else group, effect, variance, sd, correlations.get((group, effect), ""))
        rows.append(cells)
        previous = group
    keep = 5 if correlations else 4
    header = ("Group", "Effect", "Variance", "Std. dev.", "Correlations")[:keep]
    return SummaryTable("Random effects", header, tuple(r[:keep] for r in rows), "llrrl"[:keep])


def _correlation_cells(random: tuple[RandomTerm, ...], pairs: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Correlations of each effect with those above it, in their order."""
    cells: dict[tuple[str, str], str] = {}
    keys = zip(pairs["grp"], pairs["var1"], pairs["var2"], strict=True)
    value = dict(zip(keys, pairs["sdcor"], strict=True))
    for name, term in zip(term_names(random), random, strict=True):
        if term.correlated:
            for j, second in enumerate(term.columns[1:], start=1):
                shown = (value[name, first, second] for first in term.columns[:j])
                cells[name, second] = " ".join("undefined" if np.isnan(r) else f"{r:5.2f}" for r in shown)
            continue
        for component in term.covariance.components:
            if component.kind == "cor":
                first, second = component.names(term.columns, term.shared)
                every = f" of {component.among}" if component.among else ""
                where = term.shared if len(term.covariance.components) == 2 else term.columns[1]
                cells[name, where] = f"{value[name, first, second]:5.2f}{every}"
    return cells


def fixed_block(fixed: pd.DataFrame, statistic: str = "t") -> SummaryTable:
    """Fixed effects; degrees of freedom where the statistic is t and any are known."""
    places = decimals(fixed["std_error"])
    columns = {
        "": list(fixed["term"]),
        "Estimate": column(fixed["estimate"], places=places),
        "Std. error": column(fixed["std_error"], places=places),
    }
    if statistic == "t" and not np.isnan(fixed["df"].to_numpy()).all():
        columns["df"] = column(fixed["df"], places=1)
    columns[statistic] = column(fixed["statistic"], places=2)
    if not np.isnan(fixed["p_value"].to_numpy()).all():
        columns["p"] = p_values(fixed["p_value"])
    rows = tuple(zip(*columns.values(), strict=True))
    return SummaryTable("Fixed effects", tuple(columns), rows, "l" + "r" * (len(columns) - 1))


def quantiles_block(title: str, values: NDArray[np.float64]) -> SummaryTable:
    """Quartiles and extremes of numbers."""
    cells = tuple(f"{q:.2f}" for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    return SummaryTable(title, ("Min", "1Q", "Median", "3Q", "Max"), (cells,), "rrrrr")
