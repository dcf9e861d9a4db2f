"""Likelihood-ratio tests of nested fits: `mixedfx.anova(fit1, fit2, ...)`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.precision import same_precision
from mixedfx.errors import DataError, NestingWarning, OptionError, RefittedWarning
from mixedfx.inference.likelihood_ratio import comparison_table
from mixedfx.reml.fit import LmerFit
from mixedfx.reml.solution import maximum_likelihood

Vector = NDArray[np.float64]

SPAN = 1e-7  # part of a column outside a span, relative to what it varies about its mean, that is rounding
ROUNDING = 1e-10  # and relative to its whole size, for one that hardly varies


def anova(*fits: LmerFit, refit: bool = True) -> DataFrame:
    """Compare nested fits by likelihood-ratio tests.

    Parameters
    ----------
    *fits
        Two or more fits to the same response, in any order; they are sorted by their number of parameters. With a
        single fit this is its `LmerFit.anova`.
    refit
        True: fits by REML are refitted by maximum likelihood, since REML criteria of models with different fixed parts
        cannot be compared. False: REML criteria are compared; the fixed parts must then be the same.

    Returns
    -------
    DataFrame
        model (its formula), npar, aic, bic, loglik, deviance, chisq, df, p_value. Each row is tested against the one
        above.
        Where the models differ by a variance the p value is too large, about twice what it should be for one variance:
        `LmerFit.ranova` has the boundary's.

    Raises
    ------
    DataError
        Where the fits have different responses, weights or offsets.
    OptionError
        Where ``refit=False`` and the fixed parts differ.

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
    if not fits or not all(isinstance(fit, LmerFit) for fit in fits):
        raise OptionError("anova compares fits of mixedfx.lmer", hint="mx.anova(fit1, fit2)")
    if len(fits) == 1:
        return fits[0].anova()
    ordered = sorted(fits, key=lambda fit: fit.n_parameters)
    _check_same_data(ordered)
    solutions = [fit.solution for fit in ordered]
    if refit and any(fit.REML for fit in ordered):
        again = [m for m, fit in enumerate(ordered) if fit.REML]
        warnings.warn(
            f"{len(again)} fit(s) by REML refitted by maximum likelihood for the comparison", RefittedWarning, 2
        )
        for m in again:
            solutions[m] = maximum_likelihood(ordered[m].design, ordered[m].solution)
    elif len({fit.REML for fit in ordered}) > 1:
        raise OptionError("some fits are by REML and some by maximum likelihood", hint="Leave refit=True.")
    elif ordered[0].REML and not all(same_span(ordered[0].design.X, fit.design.X) for fit in ordered[1:]):
        raise OptionError(
            "REML criteria of models with different fixed parts cannot be compared", hint="Leave refit=True."
        )
    for small, large in pairwise(ordered):
        if not nested(small.design, large.design) or small.n_parameters == large.n_parameters:
            warnings.warn(
                f"{small.formula} is not seen to be nested in {large.formula}; a likelihood-ratio test supposes it",
                NestingWarning,
                2,
            )
    return comparison_table(
        [fit.formula for fit in ordered], [fit.n_parameters for fit in ordered],
        [s.criterion for s in solutions], ordered[0].nobs,
    )  # fmt: skip


def _check_same_data(fits: list[LmerFit]) -> None:
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
        if not alike or first.sigma != other.sigma or not np.array_equal(first.offset, other.offset):
            raise DataError(f"{fits[0].formula} and {fit.formula} have different weights or offsets, or known errors")


def in_span(inner: Vector, outer: Vector) -> bool:
    """Whether the columns of `inner` (n, a) are combinations of those of `outer` (n, b)."""
    if inner.shape[1] == 0:
        return True
    if outer.shape[1] == 0:
        return not np.any(inner)
    size = np.linalg.norm(inner, axis=0)
    size[size == 0] = 1.0
    Q = np.linalg.qr(outer)[0]
    scaled = inner / size
    rest = np.linalg.norm(scaled - Q @ (Q.T @ scaled), axis=0)
    varies = np.linalg.norm(scaled - scaled.mean(axis=0), axis=0)
    return bool(np.all(rest < np.maximum(SPAN * varies, ROUNDING)))


def same_span(first: Vector, second: Vector) -> bool:
    """Whether two matrices have the same column space."""
    return first.shape[1] == second.shape[1] and in_span(first, second)


def nested(small: Design, large: Design) -> bool:
    """Whether one model is seen to be a special case of another."""
    spread = [np.zeros((len(d.y), 0)) if d.dispersion is None else d.dispersion.columns for d in (small, large)]
    return (
        in_span(small.X, large.X)
        and in_span(*(np.column_stack([np.ones(len(D)), D]) for D in spread))
        and all(any(_term_nested(term, other) for other in large.random) for term in small.random)
    )


def _term_nested(small: RandomTerm, large: RandomTerm) -> bool:
    """Whether every covariance of one term is one of the other's."""
    if not np.array_equal(_canonical(small.codes), _canonical(large.codes)) or not _same_relation(small, large):
        return False
    if large.correlated or (small.n_columns == large.n_columns == 1):
        return in_span(small.z, large.z)
    alone = small.n_columns == 1
    pair = ("diag" if alone else small.structure, "diag" if large.n_columns == 1 else large.structure)
    if pair[0] == pair[1] or pair in SPECIAL_CASES:
        same = pair[0] == "diag" or small.n_columns == large.n_columns
        return same and all(any(np.array_equal(a, b) for b in large.z.T) for a in small.z.T)
    return False


SPECIAL_CASES = (("id", "diag"), ("id", "homcs"), ("id", "cs"), ("homcs", "cs"), ("diag", "cs"))
"""Structures, of the same columns, each of whose covariances is one of the other's."""


def _same_relation(small: RandomTerm, large: RandomTerm) -> bool:
    if small.relation is None or large.relation is None:
        return small.relation is large.relation
    at = [large.levels.index(level) for level in small.levels if level in large.levels]
    return len(at) == len(large.levels) and np.array_equal(small.relation, large.relation[np.ix_(at, at)])


def _canonical(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Codes numbered by first appearance, so that equal partitions have equal codes."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
