"""A suggestion that was tried: the smaller formula of a singular fit, fitted until it is not singular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mixedfx.errors import MixedfxError
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.results.singularity import SingularityReport

ATTEMPTS = 5  # smaller formulas that are fitted, each smaller than the one before
ROWS = 20_000  # up to which a suggestion is tried: beyond, a second fit is for the user to ask for


def tried(
    report: SingularityReport, rows: int, fit_smaller: Callable[[MixedFormula], SingularityReport]
) -> SingularityReport:
    """The report with a smaller formula that was fitted and is not singular, where there is one.

    Parameters
    ----------
    report
        Of a singular fit.
    rows
        How many the fit has.
    fit_smaller
        Fits a formula to the same data and looks at its random terms.

    Returns
    -------
    SingularityReport
        With `smaller` the formula that is not singular, and `fitted`; as it was where none was found, the formula could
        not be fitted, or there are too many rows to try.
    """
    smaller = report.smaller
    if rows > ROWS:
        return report
    for _ in range(ATTEMPTS):
        if smaller is None:
            break
        try:
            found = fit_smaller(smaller)
        except MixedfxError:
            break
        if not found.singular:
            return replace(report, smaller=smaller, fitted=True)
        smaller = found.smaller
    return report
