r"""Likelihood-ratio statistics: their table, and what they are referred to where a variance may be zero.

Twice the difference of log likelihoods of nested models is chi square with as many df as there are fewer parameters,
as long as none lies on the boundary. Where the smaller model lacks one variance with its c covariances, the statistic
is half chi square with c and half with c + 1 df (Self & Liang 1987; Stram & Lee 1994), and the naive p value is too
large. Where several variances go at once the mixture depends on the design, and only simulation gives it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mixedfx.results.tables import aic, bic

NOTHING = 1e-8  # statistics below are what two optimisers leave of equal likelihoods


def chi_square_probability(statistic: float, df: int) -> float:
    """Upper tail of chi square; with 0 df all its mass is at zero."""
    if df == 0:
        return 1.0 if statistic <= NOTHING else 0.0
    from scipy import stats

    return float(stats.chi2.sf(max(statistic, 0.0), df))


def mixture_probability(statistic: float, variances: int, covariances: int) -> float:
    """P value of the loss of one variance and its covariances; NaN for several variances at once.

    Examples
    --------
    >>> from mixedfx.inference.likelihood_ratio import mixture_probability
    >>> round(mixture_probability(2.706, 1, 0), 3)
    0.05
    """
    if variances != 1:
        return np.nan
    if statistic <= NOTHING:
        return 1.0
    below = chi_square_probability(statistic, covariances)
    return (below + chi_square_probability(statistic, covariances + 1)) / 2.0


def comparison_table(
    names: Sequence[str], n_parameters: Sequence[int], criteria: Sequence[float], nobs: int
) -> pd.DataFrame:
    """Models in order of size, each tested against the one before.

    Parameters
    ----------
    names, n_parameters, criteria
        Of each model; the criterion is -2 log L.
    nobs
        Number of rows.

    Returns
    -------
    DataFrame
        model, npar, aic, bic, loglik, deviance, chisq, df, p_value; NaN where there is nothing to compare with.
    """
    rows = []
    for m, (name, k, criterion) in enumerate(zip(names, n_parameters, criteria, strict=True)):
        row = [name, k, aic(criterion, k), bic(criterion, k, nobs), -criterion / 2, criterion, np.nan, np.nan, np.nan]
        if m:
            statistic, df = criteria[m - 1] - criterion, k - n_parameters[m - 1]
            row[6:] = [statistic, df, chi_square_probability(statistic, df) if df > 0 else np.nan]
        rows.append(row)
    columns = ["model", "npar", "aic", "bic", "loglik", "deviance", "chisq", "df", "p_value"]
    return pd.DataFrame(rows, columns=columns)
