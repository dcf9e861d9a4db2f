"""A suggestion that is tried: the smaller formula of a singular fit, fitted until it is not singular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mixedfx.errors import MixedfxError
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.results.singularity import SingularityReport

ATTEMPTS = 5  # smaller formulas that are fitted, each smaller than the one before
ROWS = 20_000  # up to which a suggestion is tried: beyond, a second fit is for the user to ask for


def tried(
    report: SingularityReport, rows: int, fit_smaller: Callable[[MixedFormula], SingularityReport]
) -> SingularityReport:
    """The report with a way to a smaller formula that is not singular, gone when it is first asked for.

    Parameters
    ----------
    report
        Of a fit.
    rows
        How many the fit has.
    fit_smaller
        Fits a formula to the same data and looks at its random terms.

    Returns
    -------
    SingularityReport
        Its `smaller` was fitted and is not singular; as it was where none is found, the formula cannot be fitted, or
        there are too many rows to try.
    """
    if rows > ROWS or not report.singular:
        return report
    return replace(report, attempt=partial(_first_regular, report.untried, fit_smaller))


def _first_regular(
    smaller: MixedFormula | None, fit_smaller: Callable[[MixedFormula], SingularityReport]
) -> MixedFormula | None:
    """The first of smaller and smaller formulas whose fit is not singular."""
    for _ in range(ATTEMPTS):
        if smaller is None:
            break
        try:
            found = fit_smaller(smaller)
        except MixedfxError:
            break
        if not found.singular:
            return smaller
        smaller = found.untried
    return None
