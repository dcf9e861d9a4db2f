"""Likelihood-ratio tests of nested fits: `mixedfx.anova(fit1, fit2, ...)`.

What fits of one kind must have in common, and by which likelihoods they compare, the fits say themselves
(`Comparable.criteria`); designs and tables are the same for all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from mixedfx.design.design import Design
from mixedfx.design.precision import same_precision
from mixedfx.errors import (
    BoundaryTestWarning,
    DataError,
    FewGroupsWarning,
    NestingWarning,
    OptionError,
    ResamplingWarning,
    check_seed,
    outside,
)
from mixedfx.inference.likelihood_ratio import comparison_table
from mixedfx.inference.linear_fit import f_comparison, is_linear
from mixedfx.inference.nesting import nested
from mixedfx.inference.replicates import check_count as check_number
from mixedfx.inference.replicates import run_blocks
from mixedfx.progress import Asked
from mixedfx.results.protocol import parts_in_words

Vector = NDArray[np.float64]

TIE = 1e-6  # statistics that differ by less are equal: both fits are minimised to about 1e-8
FEW_GROUPS = 20
SEEN = 1e-12  # relative, of sums over rows that are read in batches: the order in which they come rounds differently


@runtime_checkable
class Comparable(Protocol):
    """A fit by a likelihood, as `anova` needs it."""

    @property
    def design(self) -> Design:
        """What was fitted."""
        ...

    @property
    def designs(self) -> tuple[Design, ...]:
        """That of each linear predictor, the same first; what another fit has beyond them is zero in this one."""
        ...

    @property
    def compared_with(self) -> str:
        """Fits whose likelihoods compare: the function that makes them."""
        ...

    @property
    def formula(self) -> str:
        """Its formula."""
        ...

    @property
    def n_parameters(self) -> int:
        """How many parameters were estimated."""
        ...

    @property
    def chi_square_only(self) -> bool:
        """Whether its tests know no degrees of freedom, so that few groups need a bootstrap."""
        ...

    def criteria(self, fits: Sequence[Any], refit: bool) -> list[float]:
        """-2 log likelihood of each of `fits`, smallest model first, all of this kind; refuses what has none."""
        ...

    def anova(self) -> DataFrame:
        """Tests of the terms of this fit alone."""
        ...

    def null_blocks(self, larger: Any, refit: bool) -> tuple[Callable[[int, np.random.SeedSequence], Vector], int]:
        """Statistics of responses simulated from this fit, (size, seeds) -> (size,), and how many at once.

        They are those of the test of this fit against `larger`; NaN where a refit broke down.
        """
        ...


def anova(
    *fits: Any,
    refit: bool = True,
    bootstrap: int = 0,
    seed: int | None = None,
    n_jobs: int | None = 1,
    progress: Asked = None,
) -> DataFrame:
    """Compare nested fits by likelihood-ratio tests, linear models (without random terms) by F.

    Parameters
    ----------
    *fits
        Two or more fits of `mixedfx.lmer`, or of `mixedfx.glmer`, to the same response, in any order; they are sorted
        by their number of parameters. With a single fit this is its own ``anova``.
    refit
        True: fits by REML are refitted by maximum likelihood, since REML criteria of models with different fixed parts
        cannot be compared. False: REML criteria are compared; the fixed parts must then be the same. Fits of
        `mixedfx.glmer` are by maximum likelihood anyway.
    bootstrap
        Number of responses to simulate from each smaller model; both models are fitted to each, and the share of
        statistics at least as large as that of the data is a p value that needs neither many groups nor an interior
        estimate (parametric bootstrap; Davison & Hinkley 1997, section 4.2). 0: none.
    seed
        Seed of the simulation.
    n_jobs
        Processes of joblib that refit, as in `LmerFit.bootstrap`; one process fits small models of one grouping factor
        a thousand times in about a second.
    progress
        Whether to show how many are done, as in `LmerFit.bootstrap`.

    Returns
    -------
    DataFrame
        model (its formula), npar, aic, bic, loglik, deviance, chisq, df, p_value. Each row is tested against the one
        above. With ``bootstrap`` also p_bootstrap = (1 + count) / (1 + B), B the refits that were certified, and
        mc_error, its standard error.
        Where the models differ by a variance the p value is too large, about twice what it should be for one variance:
        `LmerFit.ranova` and `GlmerFit.ranova` have the boundary's.
        Of linear models, without ``bootstrap``: model, den_df, rss, num_df, sum_sq, f_value, p_value.

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
    BoundaryTestWarning
        Where a fit of `mixedfx.glmer` without ``zi=`` is compared with one that has it.
    FewGroupsWarning
        Where fixed parts of generalised linear mixed models differ and there are few groups: chi square's p values are
        too small then.
    ResamplingWarning
        Where refits of the bootstrap broke down or were not certified; they are left out.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> small = mx.lmer("score ~ 1 + (1 | professor)", course, REML=False)
    >>> large = mx.lmer("score ~ style + (1 | professor)", course, REML=False)
    >>> print(mx.anova(small, large)[["npar", "deviance", "chisq", "df"]].round(2).to_string(index=False))
     npar  deviance  chisq  df
        3   2750.94    NaN NaN
        5   2749.41   1.53 2.0
    """
    if not fits or not all(isinstance(fit, Comparable) for fit in fits):
        parts = next((words for words in map(parts_in_words, fits) if words), None)
        raise OptionError(
            "anova compares fits of mixedfx.lmer or of mixedfx.glmer", hint=parts or "mx.anova(fit1, fit2)"
        )
    check_number("bootstrap", bootstrap, 0)
    check_seed(seed)
    if len(fits) == 1 and bootstrap:
        raise OptionError("bootstrap= compares two fits", hint="mx.anova(smaller, larger, bootstrap=1000)")
    if len(fits) == 1:
        return fits[0].anova()
    ordered: list[Comparable] = sorted(fits, key=lambda fit: fit.n_parameters)
    if len({fit.compared_with for fit in ordered}) > 1:
        raise OptionError(
            "fits of mixedfx.lmer and of mixedfx.glmer are not compared with each other",
            hint="Fit all of them with mx.glmer; family='gaussian' is lmer's model.",
        )
    _check_same_data(ordered)
    linear = not bootstrap and all(is_linear(fit) for fit in ordered)
    criteria = [0.0] if linear else ordered[0].criteria(ordered, refit)
    for small, large in pairwise(ordered):
        inside = len(small.designs) <= len(large.designs) and all(map(nested, small.designs, large.designs))
        if not inside or small.n_parameters == large.n_parameters:
            warnings.warn(
                f"{small.formula} is not seen to be nested in {large.formula}; a likelihood-ratio test supposes it",
                NestingWarning,
                outside(),
            )
    if linear:
        return f_comparison(ordered)
    sizes = [fit.n_parameters for fit in ordered]
    table = comparison_table([fit.formula for fit in ordered], sizes, criteria, len(ordered[0].design.y))
    if bootstrap:
        return table.assign(**_bootstrapped(ordered, criteria, refit, int(bootstrap), seed, n_jobs, progress))
    _warn_of_few_groups(ordered)
    _warn_of_zero_inflation(ordered)
    return table


def _bootstrapped(
    fits: Sequence[Comparable], criteria: Sequence[float], refit: bool, count: int, seed: int | None,
    n_jobs: int | None, progress: Asked,
) -> dict[str, list[float]]:  # fmt: skip
    """P values of each model against the one before, by simulation from that, and their Monte Carlo errors."""
    p_values, errors = [np.nan], [np.nan]
    for m, (small, large) in enumerate(pairwise(fits)):
        work, size = small.null_blocks(large, refit)
        title = f"bootstrap of {small.formula}"
        found = np.concatenate(
            run_blocks(work, count, block=size, seed=seed, n_jobs=n_jobs, progress=progress, title=title)
        )
        null = found[~np.isnan(found)]
        if len(null) < count:
            warnings.warn(
                f"{count - len(null)} of {count} bootstrap fits broke down or were not certified and were left out",
                ResamplingWarning,
                outside(),
            )
        p = (1 + int(np.sum(null >= criteria[m] - criteria[m + 1] - TIE))) / (1 + len(null))
        p_values.append(p)
        errors.append(float(np.sqrt(p * (1 - p) / len(null))) if len(null) else np.nan)
    return {"p_bootstrap": p_values, "mc_error": errors}


def _warn_of_few_groups(fits: Sequence[Comparable]) -> None:
    """Say where chi square misleads: fixed parts of generalised linear mixed models that differ, over few groups."""
    groups = {term.label: term.n_levels for one in fits[-1].designs for term in one.random}
    sizes = {tuple(one.X.shape[1] for one in fit.designs) for fit in fits}
    differ = len(sizes) > 1
    if not groups or not differ or not fits[0].chi_square_only or min(groups.values()) >= FEW_GROUPS:
        return
    label = min(groups, key=lambda name: groups[name])
    warnings.warn(
        f"{groups[label]} levels of '{label}': with so few groups the chi-square p values of a generalised linear "
        "mixed model tend to be too small. mx.anova(..., bootstrap=1000) simulates them.",
        FewGroupsWarning,
        outside(),
    )


def _warn_of_zero_inflation(fits: Sequence[Comparable]) -> None:
    """Say where a test is of the end of a range: no zeros besides those of the counts."""
    for small, large in pairwise(fits):
        if len(small.designs) < len(large.designs):
            warnings.warn(
                f"{small.formula} has no zeros besides those of the counts, a probability of zero, which is the end of "
                "its range: the chi-square p value is too large, about twice what it should be for zi='~ 1'. "
                "mx.anova(..., bootstrap=1000) simulates it.",
                BoundaryTestWarning,
                outside(),
            )


def _check_same_data(fits: Sequence[Comparable]) -> None:
    first = fits[0].design
    for fit in fits[1:]:
        other = fit.design
        if not _same_response(first, other):
            raise DataError(
                f"the fits have different responses ({len(first.y)} and {len(other.y)} rows): {fits[0].formula} and "
                f"{fit.formula}",
                hint="Fit both to the same rows; missing values in a column of one formula drop rows of that fit only.",
            )
        alike = _same_errors(first, other) and first.sigma == other.sigma
        if not alike or not _same_trials(first, other):
            what = "weights or offsets, or known errors" if _same_trials(first, other) else "numbers of trials"
            raise DataError(f"{fits[0].formula} and {fit.formula} have different {what}")


def _same_response(first: Design, other: Design) -> bool:
    """Whether responses are the same; of rows that are not held, whether their extremes and sums of squares are."""
    if len(first.y) != len(other.y):
        return False
    if first.held and other.held:
        return np.array_equal(first.y, other.y)
    return first.response_name == other.response_name and np.allclose(*map(_seen, (first, other)), rtol=SEEN, atol=0.0)


def _seen(design: Design) -> tuple[float, float, float]:
    """Least and greatest response less its offset, and the sum of squared responses."""
    if design.streamed is not None:
        facts = design.streamed.facts
        return facts.lowest, facts.highest, facts.square
    centred = design.y - design.offset
    return float(centred.min()), float(centred.max()), float(design.y @ design.y)


def _same_errors(first: Design, other: Design) -> bool:
    """Whether weights, known errors and offsets are the same; of rows that are not held, by their names."""
    if first.held and other.held:
        alike = same_precision(*(replace(d, dispersion=None).precision for d in (first, other)))
        return alike and np.array_equal(first.offset, other.offset)

    def named(d: Design) -> tuple[object, ...]:
        weights, offsets = (d.weights is None, d.spec.weights), (d.spec.given_offset, *d.formula.offsets)
        return (*weights, *offsets, *map(str, d.formula.additions))

    return named(first) == named(other)


def _same_trials(first: Design, other: Design) -> bool:
    if first.trials is None or other.trials is None:
        return first.trials is other.trials
    return np.array_equal(first.trials, other.trials)
