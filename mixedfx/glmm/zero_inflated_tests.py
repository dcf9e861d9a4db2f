"""Tests of the terms of a zero-inflated model, of either part: the part made smaller, both stacked and fitted again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, check_count, check_option, check_seed
from mixedfx.glmm.pairs import stacked
from mixedfx.glmm.random_tests import reduced_row, table_of, whole_row
from mixedfx.glmm.refits import with_design
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.zero_inflation import Both
from mixedfx.inference.hypotheses import Constant, wald_terms
from mixedfx.inference.likelihood_ratio import chi_square_probability
from mixedfx.inference.reductions import reductions
from mixedfx.inference.terms import contrast_of_deletion, droppable, term_contrasts, without_term
from mixedfx.progress import Asked, Progress
from mixedfx.results.tables import aic

Vector = NDArray[np.float64]
Make = Callable[[Design], Both]  # both designs with one of them in the place of a part


def parts_of(both: Both) -> Iterator[tuple[str, Design, slice, Make]]:
    """Name, design, places of its coefficients, and both with another in its place, of each part."""
    p, d = len(both.count.fixed_names), len(both.zero.fixed_names)
    yield "count", both.count, slice(0, p), lambda design: replace(both, count=design)
    yield "zero", both.zero, slice(p, p + d), lambda design: replace(both, zero=design)


def _wald(
    both: Both, solution: GlmmSolution, vcov: Vector, contrasts: Callable[[Design], dict[str, Vector]]
) -> pd.DataFrame:  # fmt: skip
    found = []
    for name, design, at, _ in parts_of(both):
        table = wald_terms(contrasts(design), solution.beta[at], Constant(vcov[at, at], np.inf))
        table.insert(0, "part", name)
        found.append(table)
    return pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)


def anova(both: Both, solution: GlmmSolution, vcov: Vector, type: Any) -> pd.DataFrame:
    """Wald's chi square of each term of either part."""
    roman: Any = {1: "I", 2: "II", 3: "III"}.get(type, type) if isinstance(type, int) else type
    return _wald(both, solution, vcov, lambda design: term_contrasts(design, roman))


def drop1(both: Both, solution: GlmmSolution, vcov: Vector, test: str, progress: Asked) -> pd.DataFrame:
    """Table behind `ZeroInflatedFit.drop1`.

    Raises
    ------
    ModelError
        If neither part has a term to delete.
    """
    check_option("test", test, ("chisq", "wald"))
    terms = [(name, make, design, term) for name, design, _, make in parts_of(both) for term in droppable(design)]
    if not terms:
        raise ModelError("neither part has a term to delete")
    if test == "wald":
        return _wald(both, solution, vcov, lambda design: {
            t.text: L for t in droppable(design) if len(L := contrast_of_deletion(design, t))
        })  # fmt: skip
    k = len(solution.psi)
    rows = [("", "<none>", k, aic(solution.criterion, k), np.nan, np.nan, np.nan)]
    with Progress(progress, "deletions", len(terms), "terms") as report:
        for name, make, design, term in report.over(terms):
            X, names = without_term(design, term)
            df = design.X.shape[1] - X.shape[1]
            smaller = make(replace(design, X=X, fixed_names=names))
            criterion = with_design(stacked(smaller.count, smaller.zero), solution, solution.theta).criterion
            statistic = criterion - solution.criterion
            rows.append(
                (name, term.text, k - df, aic(criterion, k - df), statistic, df, chi_square_probability(statistic, df))
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["part", "term", "npar", "aic", "lrt", "df", "p_value"])


def ranova(
    both: Both, solution: GlmmSolution, simulate: int, seed: int | None, progress: Asked
) -> pd.DataFrame:  # fmt: skip
    """Table behind `ZeroInflatedFit.ranova`.

    Raises
    ------
    ModelError
        For a fit without random terms.
    """
    if not solution.design.random:
        raise ModelError("the fit has no random term to test")
    check_count("simulate", simulate, 0)
    check_seed(seed)
    rng, rows = np.random.default_rng(seed), [["", *whole_row(solution)]]
    for name, design, _, make in parts_of(both):
        for reduction in reductions(design):
            smaller = make(replace(design, random=reduction.random))
            small = with_design(stacked(smaller.count, smaller.zero), solution, None)
            rows.append([name, *reduced_row(solution, small, reduction, simulate, rng, progress)])
    return table_of(rows, ["part"], simulate)
