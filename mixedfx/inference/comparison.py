"""Likelihood-ratio tests of nested fits: `mixedfx.anova(fit1, fit2, ...)`.

What fits of one kind must have in common, and by which likelihoods they compare, the fits say themselves
(`Comparable.criteria`); designs and tables are the same for all.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from pandas import DataFrame

from mixedfx.design.design import Design
from mixedfx.design.precision import same_precision
from mixedfx.errors import DataError, NestingWarning, OptionError, outside
from mixedfx.inference.likelihood_ratio import comparison_table
from mixedfx.inference.nesting import nested


@runtime_checkable
class Comparable(Protocol):
    """A fit by a likelihood, as `anova` needs it."""

    @property
    def design(self) -> Design:
        """What was fitted."""
        ...

    @property
    def formula(self) -> str:
        """Its formula."""
        ...

    @property
    def n_parameters(self) -> int:
        """How many parameters were estimated."""
        ...

    def criteria(self, fits: Sequence[Any], refit: bool) -> list[float]:
        """-2 log likelihood of each of `fits`, smallest model first, all of this kind; refuses what has none."""
        ...

    def anova(self) -> DataFrame:
        """Tests of the terms of this fit alone."""
        ...


def anova(*fits: Any, refit: bool = True) -> DataFrame:
    """Compare nested fits by likelihood-ratio tests.

    Parameters
    ----------
    *fits
        Two or more fits of `mixedfx.lmer`, or of `mixedfx.glmer`, to the same response, in any order; they are sorted
        by their number of parameters. With a single fit this is its own ``anova``.
    refit
        True: fits by REML are refitted by maximum likelihood, since REML criteria of models with different fixed parts
        cannot be compared. False: REML criteria are compared; the fixed parts must then be the same. Fits of
        `mixedfx.glmer` are by maximum likelihood anyway.

    Returns
    -------
    DataFrame
        model (its formula), npar, aic, bic, loglik, deviance, chisq, df, p_value. Each row is tested against the one
        above.
        Where the models differ by a variance the p value is too large, about twice what it should be for one variance:
        `LmerFit.ranova` and `GlmerFit.ranova` have the boundary's.

    Raises
    ------
    DataError
        Where the fits have different responses, weights or offsets.
    OptionError
        Where ``refit=False`` and the fixed parts differ; fits of `mixedfx.glmer` of different families, links or nAGQ,
        whose likelihoods are not of one function of the data.

    Warns
    -----
    RefittedWarning
        Where REML fits were refitted.
    NestingWarning
        Where a model is not seen to be nested in the next.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> small = mx.lmer("score ~ 1 + (1 | professor)", course, REML=False)
    >>> large = mx.lmer("score ~ style + (1 | professor)", course, REML=False)
    >>> print(mx.anova(small, large)[["npar", "deviance", "chisq", "df"]].round(2).to_string(index=False))
     npar  deviance  chisq  df
        3   2809.75    NaN NaN
        5   2766.86  42.89 2.0
    """
    if not fits or not all(isinstance(fit, Comparable) for fit in fits):
        raise OptionError("anova compares fits of mixedfx.lmer or of mixedfx.glmer", hint="mx.anova(fit1, fit2)")
    if len(fits) == 1:
        return fits[0].anova()
    ordered: list[Comparable] = sorted(fits, key=lambda fit: fit.n_parameters)
    if len({type(fit) for fit in ordered}) > 1:
        raise OptionError(
            "fits of mixedfx.lmer and of mixedfx.glmer are not compared with each other",
            hint="Fit all of them with mx.glmer; family='gaussian' is lmer's model.",
        )
    _check_same_data(ordered)
    criteria = ordered[0].criteria(ordered, refit)
    for small, large in pairwise(ordered):
        if not nested(small.design, large.design) or small.n_parameters == large.n_parameters:
            warnings.warn(
                f"{small.formula} is not seen to be nested in {large.formula}; a likelihood-ratio test supposes it",
                NestingWarning,
                outside(),
            )
    sizes = [fit.n_parameters for fit in ordered]
    return comparison_table([fit.formula for fit in ordered], sizes, criteria, len(ordered[0].design.y))


def _check_same_data(fits: Sequence[Comparable]) -> None:
    first = fits[0].design
    for fit in fits[1:]:
        other = fit.design
        same = len(other.y) == len(first.y) and np.array_equal(other.y, first.y)
        if not same:
            raise DataError(
                f"the fits have different responses ({len(first.y)} and {len(other.y)} rows): {fits[0].formula} and "
                f"{fit.formula}",
                hint="Fit both to the same rows; missing values in a column of one formula drop rows of that fit only.",
            )
        alike = same_precision(*(replace(d, dispersion=None).precision for d in (first, other)))
        alike = alike and first.sigma == other.sigma and np.array_equal(first.offset, other.offset)
        if not alike or not _same_trials(first, other):
            what = "weights or offsets, or known errors" if _same_trials(first, other) else "numbers of trials"
            raise DataError(f"{fits[0].formula} and {fit.formula} have different {what}")


def _same_trials(first: Design, other: Design) -> bool:
    if first.trials is None or other.trials is None:
        return first.trials is other.trials
    return np.array_equal(first.trials, other.trials)
