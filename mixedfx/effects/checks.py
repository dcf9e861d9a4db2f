"""Meaning before numbers: is the question one that this fit can answer, and does the answer have a caveat.

A table of subgroups invites the reader to compare its rows. Under ``y ~ z + (1 | race)`` the effect of z by race is one
number repeated; under ``y ~ z + (1 + z | school)`` it differs between races only as far as they go to different
schools. Neither is wrong, and both look like a finding about race. A column can tell rows apart if it shares a term
with the treatment, or if it is a property of one that does (the district of a school); for any other column the
reader is warned.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mixedfx.design.backtransform import Unknown, read_transformation
from mixedfx.design.design import Design
from mixedfx.design.frame import column as fetch
from mixedfx.design.functional import Functional
from mixedfx.design.transforms import Transformation
from mixedfx.effects.comparisons import Comparison
from mixedfx.effects.grid import Grid
from mixedfx.effects.modifiers import effect_modifiers, formula_with_variation
from mixedfx.effects.quantities import Quantities, null_of
from mixedfx.effects.treatment import Treatment
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError, NotEstimableWarning, NoVariationWarning, check_flag, check_seed
from mixedfx.results.protocol import Fit
from mixedfx.results.undetermined import needed_columns, reason

SCALES = ("response", "link")
GROUPS = ("fitted", "average", "integrate")
NEW_LEVELS = ("sample", "population", "error")


def check_options(scale: str, groups: str, new_levels: str, level: float, seed: int | None) -> None:
    """Refuse options that `effects` does not have.

    Raises
    ------
    EffectsError
        Naming the option, and the values it takes.
    """
    for name, value, allowed in (
        ("scale", scale, SCALES),
        ("groups", groups, GROUPS),
        ("new_levels", new_levels, NEW_LEVELS),
    ):
        if value not in allowed:
            raise EffectsError(f"{name}={value!r} is not known", hint=did_you_mean(value, allowed, all_of="Values"))
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise EffectsError(f"level must lie between 0 and 1, not {level!r}", hint="Write level=0.95.")
    check_seed(seed)


def check_comparison(fit: Fit, comparison: Comparison | None, scale: str) -> None:
    """Refuse comparisons that have no meaning for this response or scale.

    Raises
    ------
    EffectsError
        Naming one that has.
    """
    family = fit.family
    if scale == "link" and family.outcome == "nominal":
        raise EffectsError("a nominal response has a linear predictor for each category", hint='Use scale="response".')
    if comparison is None:
        return
    if not comparison.plain and scale == "link" and not family.identity:
        raise EffectsError(
            f"{comparison.name} compares average outcomes, which the scale of the linear predictor does not have",
            hint='Use scale="response", or comparison="difference".',
        )
    probability = family.categories or family.outcome in ("binary", "trials")
    if comparison.domain == "probability" and not probability and not np.isin(fit.design.y, (0.0, 1.0)).all():
        raise EffectsError(
            f"{comparison.name} is a difference of probabilities, and {fit.design.response_name} is not 0 or 1",
            hint='Use comparison="difference".',
        )


def check_transformation(
    fit: Fit, comparison: Comparison | None, scale: str, bias_adjust: bool
) -> Transformation | None:
    """The transformation of the response that the answer undoes; None where it is in units of the response.

    Raises
    ------
    EffectsError
        A response that cannot be given in other units, a comparison without meaning on the scale of the model, or means
        that do not exist.
    """
    check_flag("bias_adjust", bias_adjust)
    found = read_transformation(fit.design, fit.family)
    if found is None:
        return None
    if scale == "link":
        if bias_adjust or (comparison is not None and not comparison.plain):
            what = "bias_adjust=True" if bias_adjust else comparison.name if comparison else ""
            raise EffectsError(
                f'{what} is about a variable, and scale="link" about {found.text}, whose units and zero are others',
                hint='Use comparison="difference".'
                if isinstance(found, Unknown)
                else f'Use scale="response", which is that of {found.variable}.',
            )
        return None
    if isinstance(found, Unknown):
        raise EffectsError(
            f"the response {found.text} cannot be taken back to the scale of a variable: {found.reason}",
            hint=f'Ask with scale="link", for averages and differences of {found.text} as it was modelled; or make it '
            "a column of the data first, which is then the response.",
        )
    if bias_adjust and found.affine is None:
        _check_means(fit, found)
    return found


def _check_means(fit: Fit, found: Transformation) -> None:
    """Refuse arithmetic means that do not exist, or for which the residual variance is not known."""
    family = fit.family
    hint = f"Leave bias_adjust out: numbers are then {found.kind}s of {found.variable}."
    if not found.has_mean:
        raise EffectsError(f"under a normal distribution of {found.text}, {found.variable} has no mean", hint=hint)
    if not family.linear_gaussian:
        raise EffectsError(
            f"means behind {found.text} are known for the gaussian family with the identity link, not for "
            f"{family.name} ({family.link.name})",
            hint=hint,
        )
    if fit.design.known_sd is not None:
        raise EffectsError(
            "se(...) is the error of each row's own estimate, and no part of what varies in the population", hint=hint
        )


def warn_not_estimable(
    design: Design, quantities: Quantities, labels: Sequence[str], needed: Sequence[str], *, stacklevel: int = 3
) -> tuple[str, ...]:
    """Warn of numbers that the data do not determine, and say so in a note.

    Parameters
    ----------
    design
        The design of the fit.
    quantities
        The rows of a table.
    labels
        Name of each.
    needed
        Dropped columns that something behind the table needs; what rows need themselves is found from them.

    Returns
    -------
    tuple of str
        The note, or nothing.
    """
    lost = quantities.lost
    if not lost.any():
        return ()
    columns = needed_columns(design, null_of(quantities)) or tuple(needed)
    which = listed(list(dict.fromkeys(label for label, gone in zip(labels, lost, strict=True) if gone)))
    warnings.warn(
        f"the answer for {which} is not estimable and is NaN: {reason(columns)}",
        NotEstimableWarning,
        stacklevel=stacklevel,
    )
    return (f"Not estimable, NaN: {which}. It needs {listed(list(columns))}, dropped from the fit as aliased.",)


def warn_no_variation(
    design: Design,
    treatment: Treatment,
    columns: Sequence[str],
    grid: Grid,
    functional: Functional,
    *,
    groups: str,
) -> None:
    """Warn about columns that define subgroups but over which the effect cannot vary.

    Parameters
    ----------
    design
        The design of the fit.
    treatment
        What is compared.
    columns
        Columns that define the subgroups.
    grid
        The cells averaged over.
    functional
        One row for each subgroup, for one contrast; rows that are equal are the same effect whatever was estimated.
    groups
        ``"fitted"``, or another value under which random effects do not count.
    """
    constant = constant_over(design, treatment, columns, grid, random=groups == "fitted")
    same = len(functional) > 1 and functional.all_equal()
    if not constant and not same:
        return
    z = treatment.column
    if not constant:
        reason = f" ({listed(design.aliased)} were dropped from the fit)" if design.aliased else ""
        message = f"all {len(functional)} subgroups have the same effect of {z!r} by construction{reason}"
        warnings.warn(message, NoVariationWarning, stacklevel=2)
        return
    names = " and ".join(repr(c) for c in constant)
    effect = f"the effect of {z!r} cannot vary over {names}"
    if groups != "fitted" and not constant_over(design, treatment, constant, grid, random=True):
        where = f"with groups={groups!r}, which leaves out the random effects"
        hint = 'Use groups="fitted".'
    else:
        where = f"under {design.formula}"
        hint = f"To let it vary: {formula_with_variation(design, z, constant, grid.frame)}"
    seen = (
        "every subgroup has the same effect"
        if same or len(functional) == 1
        else "subgroups differ only through their mix of the columns it does vary over"
    )
    warnings.warn(f"{effect} {where}: {seen}.\n{hint}", NoVariationWarning, stacklevel=2)


def constant_over(
    design: Design, treatment: Treatment, columns: Sequence[str], grid: Grid, *, random: bool
) -> list[str]:
    """Columns that neither share a term with the treatment nor are a property of a grouping that does.

    A column that tells every row from every other, as for effects of single people, is no subgroup that an effect
    could be let vary over: each row has the effect of what else is known of it.
    """
    modifiers = effect_modifiers(design, treatment.column, random=random)
    frame, categorical = grid.frame, design.terms.categories
    groupings = [
        c for c in modifiers if c in frame and (c in categorical or not pd.api.types.is_numeric_dtype(frame[c]))
    ]
    found = []
    for column in columns:
        different = fetch(frame, column).nunique()
        if column in modifiers or column == treatment.column or different < 2 or different >= grid.count.sum():
            continue
        if not any(_is_property(frame, column, of=grouping) for grouping in groupings):
            found.append(column)
    return found


def _is_property(frame: pd.DataFrame, column: str, *, of: str) -> bool:
    """Say whether each level of a grouping has one value of the column, as a school has one district."""
    groups, levels = pd.factorize(fetch(frame, of))
    values, different = pd.factorize(fetch(frame, column))
    return len(pd.unique(groups * np.int64(len(different)) + values)) == len(levels)
