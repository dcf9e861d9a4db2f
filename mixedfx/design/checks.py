"""What can be known to go wrong before anything is fitted.

Three kinds of finding. `check_estimable` raises where a model with a free sigma has no estimate at all.
`warn_few_levels` warns where a variance rests on fewer than five levels. `warn_unidentified` warns where two parts of
the model explain the same variation, so that the data cannot say how much belongs to which; it reports only what is
so exactly, whatever the response:

* the random effects of one column lie in the space of X: with Z_c the columns (n, q) of Z for it, Z_c = X B. REML
  then has no information about its variance at all. As the columns of Z_c do not overlap, this needs q <= p, and the
  distance of each from X takes one pass over the rows;
* two terms group the rows identically (whatever their levels are called), and a column of one is in the other already;
* the columns of one term are linearly dependent;
* the columns of a correlated term are constant within each level. The level's total effect z'b then has the variance
  z' Sigma z, and Sigma is determined only if the products of the entries of z, over the levels, span all k (k + 1) /
  2 of them.

Every check is linear in the number of rows. A term whose effects another one has is compared with no more terms, so
that copies of a term cost no more than their number.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.structures import structure_for
from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.identifiers import warn_identifiers
from mixedfx.design.rank import independent_columns
from mixedfx.errors import FewLevelsWarning, IdentifiabilityWarning, ModelError, OptionError, StructureWarning, outside
from mixedfx.families.family import Family
from mixedfx.formula.mixed_formula import BARS
from mixedfx.priors.auxiliary import AUXILIARY

FEW_LEVELS = 5
_EXACT = 1e-10
_NEAR = 1e-6  # share of a squared length up to which the distance from X is measured row by row
_ROUNDING = 1e-24  # share of a squared length below which a column is constant, to rounding
_PREFIX = 4096


def _shown(design: Design, term: int) -> str:
    part = design.formula.random[term]
    if part.structure in BARS:
        return f"({part.left} {BARS[part.structure]} {part.label})"
    return f"{part.structure}({part.left} | {part.label})"


def check_design(design: Design, family: Family | None, sigma_free: bool) -> None:
    """Every check that holds for a model of this family; arguments as in `mixedfx.design.build.build_design`."""
    warn_identifiers(design)
    if family is not None and not family.identity:
        warn_unidentified(_with_intercept(design) if family.outcome == "ordered" else design)
        warn_structures(design)
        return
    free = sigma_free and design.sigma is None
    if free:
        check_estimable(design)
    warn_unidentified(design)
    warn_structures(design)
    if free and family is None:
        warn_few_levels(design)


def warn_structures(design: Design) -> None:
    """Warn of structures that say nothing of their columns, or hold variances of several units equal."""
    for t, term in enumerate(design.random):
        of_two, covariance = structure_for(2, term.structure), term.covariance
        alone = bool(of_two.n_correlations and not of_two.free and term.n_columns == 1)
        if not (alone or covariance.n_sds < term.n_columns or covariance.in_order):
            continue  # whatever its columns are
        shown, numbers = _shown(design, t), _numbers(term)
        if alone and numbers:
            warnings.warn(
                f"`{numbers[0]}` is a number, so {shown} has one slope and no correlation. For an effect of each "
                f"value write {term.structure}(0 + factor({numbers[0]}) | {term.label}).",
                StructureWarning,
                stacklevel=outside(),
            )
        if covariance.n_sds < term.n_columns and numbers:
            warnings.warn(
                f"{shown} gives {', '.join(term.columns)} one standard deviation, and {numbers[0]} is a number: the "
                "model, and its fit, depend on the unit it is measured in. diag() and cs() give each its own.",
                StructureWarning,
                stacklevel=outside(),
            )
        elif covariance.in_order and (numbers or "Intercept" in term.columns):
            left = design.formula.random[t].left
            warnings.warn(
                f"{shown} correlates neighbours among its columns, {', '.join(term.columns)}, which are not one "
                f"occasion after the other: there is an intercept, or a number. Write {term.structure}(0 + occasion | "
                f"{term.label}), occasion a factor, in the place of {left}.",
                StructureWarning,
                stacklevel=outside(),
            )


def _numbers(term: RandomTerm) -> list[str]:
    """Columns of a term that hold more than zeros and ones."""
    return [
        column
        for column, z in zip(term.columns, term.z.T, strict=True)
        if not all(np.isin(z[rows], (0.0, 1.0)).all() for rows in (slice(0, _PREFIX), slice(None)))
    ]


def _with_intercept(design: Design) -> Design:
    """The design with the intercept that thresholds stand for, as the checks need it."""
    ones = np.ones((len(design.y), 1))
    return replace(design, X=np.hstack([ones, design.X]), fixed_names=("Intercept", *design.fixed_names))


def check_estimable(design: Design) -> None:
    """Refuse models whose residual variance cannot be estimated.

    Raises
    ------
    ModelError
        A constant response; no more rows than fixed effects; a grouping factor with one level; a term with at least
        as many random effects as there are rows.
    """
    n, p = design.X.shape
    lowest, highest = _range(design)
    if lowest == highest:
        less = " less its offset" if design.has_offset else ""
        raise ModelError(
            f"the response '{design.response_name}'{less} is {lowest:g} in every row: nothing varies",
            hint="Check that it is the column you mean, and which rows are left after dropping missing values.",
        )
    if p >= n:
        raise ModelError(
            f"{n} rows cannot determine {p} fixed effects and a residual variance",
            hint="Leave terms out of the fixed part.",
        )
    check_levels(design)
    for t, term in enumerate(design.random):
        shown, q, k = _shown(design, t), term.n_levels, term.n_columns
        if (
            _effects_met(term) < n
            or term.relation is not None
            or (design.knows_errors and np.ptp(design.precision.variances) > 0)
        ):
            continue
        if k == 1:
            raise ModelError(
                f"the grouping factor '{term.label}' of {shown} has {q} levels for {n} rows: its variance and the "
                "residual variance cannot be told apart",
                hint=f"Leave {shown} out, or group by a factor with several rows for each level.",
            )
        raise ModelError(
            f"{shown} has {q * k} random effects ({k} for each of {q} levels of '{term.label}') for {n} rows: their "
            "variances and the residual variance cannot be told apart",
            hint=f"Take columns out of the left side; (1 | {term.label}) would have {q} random effects.",
        )


def _range(design: Design) -> tuple[float, float]:
    """Smallest and largest value of the response less the offset."""
    if design.streamed is not None:
        return design.streamed.facts.lowest, design.streamed.facts.highest
    centred = design.y - design.offset
    return float(centred.min()), float(centred.max())


def check_levels(design: Design) -> None:
    """Refuse grouping factors with one level (`ModelError`)."""
    for t, term in enumerate(design.random):
        if term.n_levels < 2:
            shown = _shown(design, t)
            raise ModelError(
                f"the grouping factor '{term.label}' of {shown} has one level, '{term.levels[0]}': "
                "a variance between levels needs at least two",
                hint=f"Leave {shown} out.",
            )


def check_levels_of(design: Design, family: Family) -> None:
    """What is known beforehand of the grouping factors of a model of this family, fitted by maximum likelihood.

    Raises
    ------
    ModelError
        A grouping factor with one level; one with as many levels as rows beside a residual variance.

    Warns
    -----
    FewLevelsWarning, IdentifiabilityWarning
    """
    check_levels(design)
    for t, term in enumerate(design.random):
        if _effects_met(term) < len(design.y) or term.relation is not None or term.n_columns > 1:
            continue
        shown = _shown(design, t)
        what = f"the grouping factor '{term.label}' of {shown} has {term.n_levels} levels for {len(design.y)} rows"
        if family.continuous and not design.knows_errors:
            raise ModelError(
                f"{what}: its variance and that of the {family.name} family cannot be told apart",
                hint=f"Leave {shown} out, or group by a factor with several rows for each level.",
            )
        if family.outcome == "binary":
            warnings.warn(
                f"{what}: of a response that is 0 or 1 their variance is not determined. Leave {shown} out.",
                IdentifiabilityWarning,
                stacklevel=outside(),
            )
    warn_few_levels(design)


def _effects_met(term: RandomTerm) -> int:
    """Number of random effects that some row has: a level without an outcome has no effect of it.

    Where there are more rows than effects, the number of all.
    """
    if term.n_columns == 1:
        return term.n_levels
    most = term.n_levels * term.n_columns
    if most < len(term.codes) or term.counts is not None:  # few beside the rows, whichever of them are met
        return most
    return sum(int(np.count_nonzero(np.bincount(term.codes[column != 0.0]))) for column in term.z.T)


def check_held(family: Family) -> None:
    """Refuse known values of a family's parameters that they cannot have (`OptionError`)."""
    for name, value in family.held:
        lower, upper = AUXILIARY[name].bounds
        if not lower < value < upper:
            raise OptionError(
                f"{name}={value:g} is outside its range, {lower:g} to {upper:g}",
                hint=f"Leave it out to have the {AUXILIARY[name].what} estimated.",
            )


def warn_few_levels(design: Design) -> None:
    """Warn of grouping factors with fewer than five levels (FewLevelsWarning)."""
    few = {t.label: t.n_levels for t in design.random if t.n_levels < FEW_LEVELS}
    if few:
        listed = ", ".join(f"'{label}' ({q})" for label, q in few.items())
        warnings.warn(
            f"fewer than five levels: {listed}. A variance between so few levels is barely identified; "
            "mx.bayes, with a prior on it, says how much is known.",
            FewLevelsWarning,
            stacklevel=outside(),
        )


def warn_unidentified(design: Design) -> None:
    """Warn of parts of the model that explain the same variation (IdentifiabilityWarning), naming both."""
    for message in unidentified(design):
        warnings.warn(message, IdentifiabilityWarning, stacklevel=outside())


def unidentified(design: Design) -> list[str]:
    """List what `warn_unidentified` warns of, as text."""
    messages: list[str] = []
    for t, term in enumerate(design.random):
        messages += _within_term(design, t, term)
        messages += _in_fixed_part(design, t, term)
    distinct: list[int] = []  # terms none of which has all its effects in one before
    for b, term in enumerate(design.random):
        again = False
        for a in distinct:
            message, shared = _between_terms(design, a, b)
            messages += message
            again |= shared == term.columns
            if again:  # said once; against others it would say no more than the term that has its effects
                break
        if not again:
            distinct.append(b)
    return messages


def _within_term(design: Design, t: int, term: RandomTerm) -> list[str]:
    """Dependent columns, and correlated columns that are constant within levels."""
    shown = _shown(design, t)
    kept = independent_columns(term.z)
    if len(kept) < term.n_columns:
        if not term.correlated and _distinct_directions(term.z):
            return []  # a diagonal term may well have an intercept beside all dummies
        extra = [c for j, c in enumerate(term.columns) if j not in set(kept.tolist())]
        return [
            f"the columns {', '.join(term.columns)} of {shown} are linearly dependent: the data cannot tell the "
            f"effects of {', '.join(extra)} from those of the others. Take {', '.join(extra)} out of the left side."
        ]
    if not term.correlated or term.n_columns == 1 or term.relation is not None:
        return []
    first = _within_levels(term)
    if first is None:
        return []
    needed = term.n_columns * (term.n_columns + 1) // 2
    combined = np.linalg.qr(first)[0]  # the same combinations of effects, free of location and scale
    rows, columns = np.tril_indices(combined.shape[1])
    products = combined[:, rows] * combined[:, columns]
    size = np.linalg.norm(products, axis=0)
    products[:, size < _EXACT * size.max()] = 0.0  # two columns that no level has both of
    if len(independent_columns(products)) == needed:
        return []
    constant = [c for c in term.columns if c != "Intercept"]
    names, verb = ", ".join(constant), "does" if len(constant) == 1 else "do"
    return [
        f"{names} {verb} not vary within the levels of '{term.label}': {shown} has {needed} variances and "
        f"covariances, but each level shows one combination of its effects only, and these determine fewer than "
        f"{needed}. Take {names} out of the left side, or write "
        f"({design.formula.random[t].left} || {term.label}) for effects without correlation."
    ]


def _within_levels(term: RandomTerm) -> NDArray[np.float64] | None:
    """(q, k) values of the columns in each level, or None where they vary within one."""
    first = np.zeros((term.n_levels, term.n_columns))
    for rows in (slice(0, _PREFIX), slice(None)):  # where columns vary, a few rows show it
        codes, z = term.codes[rows], term.z[rows]
        first[codes] = z
        if not np.array_equal(first[codes], z):
            return None
    return first


def _distinct_directions(z: NDArray[np.float64]) -> bool:
    """Whether no two columns are multiples of each other, and none is zero."""
    pairs = [(a, b) for a in range(z.shape[1]) for b in range(a)]
    return bool(z.any(axis=0).all()) and all(len(independent_columns(z[:, list(pair)])) == 2 for pair in pairs)


def _in_fixed_part(design: Design, t: int, term: RandomTerm) -> list[str]:
    """Columns of a random term whose effects the fixed part has as well, one for each level."""
    X, q = design.X, term.n_levels
    p = X.shape[1]
    if q > p:
        return []
    found = []
    basis, R = np.linalg.qr(X / np.sqrt((X * X).sum(axis=0)))
    for c, column in enumerate(term.columns):
        z = term.z[:, c]
        length2 = np.bincount(term.codes, weights=z * z, minlength=q)
        if not (length2 > 0).all():
            continue
        along = np.stack([np.bincount(term.codes, weights=z * basis[:, j], minlength=q) for j in range(p)])
        if (length2 - (along * along).sum(axis=0) > _NEAR * length2).any():
            continue
        # What is this close is measured row by row: the difference of two squares has half the digits. And it is
        # measured against what z varies within the level, since a constant far from zero says nothing of a slope.
        mean = np.bincount(term.codes, weights=z, minlength=q) / np.bincount(term.codes, minlength=q)
        about2 = np.bincount(term.codes, weights=(z - mean[term.codes]) ** 2, minlength=q)
        distance2 = np.array([np.sum((np.where(term.codes == j, z, 0.0) - basis @ along[:, j]) ** 2) for j in range(q)])
        if (distance2 <= _EXACT * np.where(about2 > _ROUNDING * length2, about2, length2)).all():
            part = np.flatnonzero(np.abs(np.linalg.solve(R, along)).max(axis=1) > 1e-6)
            found.append((column, [design.fixed_names[j] for j in part]))
    return [said_twice(design, t, column, names) for column, names in found]


def said_twice(design: Design, t: int, column: str, names: Sequence[str]) -> str:
    """What to say of effects of a random term that the fixed effects `names` have as well."""
    what = "intercept" if column == "Intercept" else f"slope of {column}"
    listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return (
        f"the random {what} of {_shown(design, t)} and the fixed part say the same: the fixed effects {listed} "
        f"already give every level of '{design.random[t].label}' its own {what}, and nothing is left from which to "
        f"estimate its variance. Take either {_shown(design, t)} or these fixed effects out."
    )


def _same_partition(a: RandomTerm, b: RandomTerm) -> bool:
    if a.n_levels != b.n_levels:
        return False
    if a.codes is b.codes:
        return True
    match = np.empty(a.n_levels, dtype=np.intp)
    match[a.codes] = b.codes
    # With as many levels on both sides, a map that is a function is one to one: every level of b is observed.
    return bool((match[a.codes] == b.codes).all())


def _between_terms(design: Design, a: int, b: int) -> tuple[list[str], tuple[str, ...]]:
    """What two terms over the same groups have in common, as text; columns of the second that the first has."""
    first, second = design.random[a], design.random[b]
    if not _same_partition(first, second) or not _same_relation(first, second):
        return [], ()
    found = tuple(c for j, c in enumerate(second.columns) if _contains(first, second.z[:, j]))
    shared = found or tuple(c for j, c in enumerate(first.columns) if _contains(second, first.z[:, j]))
    if not shared:
        return [], ()
    same_name = first.label == second.label
    groups = "" if same_name else f" ('{first.label}' and '{second.label}' group the rows identically)"
    hint = "Write one term for both" if same_name else "Keep one of the two grouping factors"
    return [
        f"{_shown(design, a)} and {_shown(design, b)} both have effects of {', '.join(shared)} for the same groups of "
        f"rows{groups}: only the sum of their variances is determined. {hint}."
    ], found


def _same_relation(a: RandomTerm, b: RandomTerm) -> bool:
    if a.relation is None or b.relation is None:
        return a.relation is b.relation
    return a.levels == b.levels and np.array_equal(a.relation, b.relation)


def _contains(term: RandomTerm, column: NDArray[np.float64]) -> bool:
    """Whether effects of `column` are among those the term has.

    These are multiples of one of its columns and, where they are correlated, any combination of them.
    """
    if not column.any():
        return False
    if not term.correlated:
        return any(len(independent_columns(np.column_stack([z, column]))) < 2 for z in term.z.T if z.any())
    both = np.column_stack([term.z, column])
    return term.n_columns not in independent_columns(both).tolist()
