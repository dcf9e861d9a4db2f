"""From a fit and a question to a table, for effects and for average outcomes.

The steps, one file for each: the treatment and its values (treatment.py), the subgroups asked for (subgroups.py,
query.py), the rows averaged over as distinct cells (grid.py), the average outcome of every subgroup under every value
(averages.py), and the comparison of two averages (comparisons.py). Averages and comparison are linear functionals on
the identity link, so the fit is asked about a few rows, and their covariance stays joint.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx.design.frame import column as fetch
from mixedfx.design.transforms import Transformation
from mixedfx.effects.averages import Averages, subgroup_averages
from mixedfx.effects.checks import (
    check_comparison,
    check_options,
    check_transformation,
    constant_over,
    warn_no_variation,
    warn_not_estimable,
)
from mixedfx.effects.comparisons import SLOPE, Comparison
from mixedfx.effects.grid import Grid, build_grid
from mixedfx.effects.increments import affine_in, stepped
from mixedfx.effects.mean_fit import MeanFit, as_fit, check_predicts, notes_on_means
from mixedfx.effects.outcome import is_identity
from mixedfx.effects.pooled import pooled_answer
from mixedfx.effects.quantities import Drawn, Exact, Quantities, functional_of
from mixedfx.effects.reading import Reading, compared, outcomes
from mixedfx.effects.result import Effects
from mixedfx.effects.row_counts import WeightsLike
from mixedfx.effects.singular import warn_singular
from mixedfx.effects.state import Overall, Question
from mixedfx.effects.subgroups import OVERALL, ByLike, Subgroups, everybody, find_subgroups, read_plan
from mixedfx.effects.treatment import NO_TREATMENT, Treatment
from mixedfx.effects.wording import listed
from mixedfx.errors import MixedfxWarning, check_option
from mixedfx.results.protocol import (
    UNCERTAINTIES,
    Fit,
    NewLevels,
    PredictsMean,
    Uncertainty,
)
from mixedfx.surveys.pooled_fit import PooledFit


def ask(
    fit: Fit | PredictsMean | PooledFit, treated: Treatment, comparison: Comparison | None, **options: Any
) -> Effects:
    """Answer a question; see `mixedfx.effects.effects.effects` and `mixedfx.effects.poststratify.poststratify`.

    Parameters
    ----------
    treated
        The treatment, or `NO_TREATMENT`.
    comparison
        How two averages become one number; None for the averages themselves.
    **options
        All the others, as they have them.

    Returns
    -------
    Effects
        Which holds the warnings too: a report that is read elsewhere needs them.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if isinstance(fit, PooledFit):
            answer = pooled_answer(fit, [_answer(as_fit(one), treated, comparison, **options) for one in fit.fits])
        else:
            answer = _answer(as_fit(fit), treated, comparison, **options)
    heard: list[str] = []
    for warning in caught:
        if issubclass(warning.category, MixedfxWarning):
            if str(warning.message) in heard:
                continue
            heard.append(str(warning.message))
            # At the line that called `effects`, whichever function found the reason.
            warnings.warn(warning.message, stacklevel=3)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return replace(answer, warnings=tuple(text for text in heard if text not in answer.notes))


def _answer(
    fit: Fit,
    treated: Treatment,
    comparison: Comparison | None,
    *,
    by: ByLike | None,
    subgroups: Mapping[str, str] | None,
    newdata: Any,
    weights: WeightsLike,
    scale: str,
    groups: str,
    level: float,
    new_levels: NewLevels,
    seed: int | None,
    uncertainty: Uncertainty,
    bias_adjust: bool,
) -> Effects:
    check_options(scale, groups, new_levels, level, seed)
    fit = _answering(fit, uncertainty)
    design = fit.design
    check_comparison(fit, comparison, scale)
    back = check_transformation(fit, comparison, scale, bias_adjust)
    curved = back is not None and back.affine is None
    predicts = isinstance(fit, MeanFit)
    if predicts:
        check_predicts(scale, groups, bias_adjust)
    linear = not predicts and (scale == "link" or (is_identity(fit) and not (curved and bias_adjust)))
    plan = read_plan(by, subgroups)
    cancels = linear and Reading(back).only_difference(comparison)
    grid = build_grid(design, treated, plan.columns, newdata, weights, offsets_cancel=cancels)
    if predicts:
        grid = replace(grid, coded=grid.frame)  # whatever predicts has seen text, not categories
    if treated.kind == "unit":
        treated = stepped(treated, design, fetch(grid.frame, treated.column).to_numpy(dtype=float))
    asked = find_subgroups(plan, grid)
    membership = sparse.csr_array(sparse.vstack([asked.membership, everybody(grid).membership]))
    averages = subgroup_averages(
        fit,
        grid,
        treated,
        membership,
        scale=scale,
        groups=groups,
        new_levels=new_levels,
        seed=seed,
        back=back,
        bias_adjust=bias_adjust,
    )
    labels = (*asked.labels, OVERALL)
    if comparison is None:
        numbers: Quantities = outcomes(averages.quantities, averages.reading)
    else:
        numbers = compared(averages.quantities, averages.shape, treated.pairs, comparison, labels, averages.reading)
    per = max(len(treated.pairs), 1) * averages.shape[2]
    s = len(asked.labels)
    rows = np.arange(s * per)
    by_row = tuple(np.repeat(np.array(asked.labels, dtype=object), per))
    lost = warn_not_estimable(design, numbers.take(rows), by_row, averages.needed)
    overall = Overall(
        numbers.take(s * per + np.arange(per)),
        count=int(grid.count.sum()),
        weight=float(grid.weight.sum()),
    )
    notes = _notes(
        fit,
        grid,
        averages,
        treated,
        comparison,
        scale=scale,
        groups=groups,
        new_levels=new_levels,
        back=back,
        bias_adjust=bias_adjust,
    )
    notes += lost
    if not isinstance(numbers, Drawn):
        notes += numbers.notes
    first = functional_of(numbers.take(per * np.arange(s)))
    if comparison is not None:
        if isinstance(fit, MeanFit):
            points = isinstance(averages.quantities, Drawn) and len(averages.quantities.values) == 1
            notes += notes_on_means(fit, plan.columns, points)
        elif first is not None:
            warn_no_variation(design, treated, plan.columns, grid, first, groups=groups)
        else:
            notes += _variation(
                fit, treated, plan.columns, grid, comparison, groups=groups, linear=linear and not curved
            )
    if groups == "fitted":
        if first is not None:
            warn_singular(fit, first, asked.labels, uncertainty)
        elif isinstance(averages.quantities, Exact):
            first = averages.quantities.take(averages.rows()[0, :s, 0]).functional
            warn_singular(fit, first, asked.labels, uncertainty)
    table = _table(asked, averages, treated, comparison, numbers.take(rows), level)
    notes += _concerns(fit)
    table.attrs = {"level": level, "uncertainty": fit.uncertainty, "notes": list(notes)}
    return Effects(
        table=table,
        quantities=numbers.take(rows),
        fit=fit,
        labels=by_row,
        keys=tuple(asked.keys.columns),
        question=Question(
            treated,
            plan,
            comparison,
            scale,
            groups,
            new_levels,
            newdata is not None,
            _named(weights),
            uncertainty,
            back,
            bias_adjust,
        ),
        level=level,
        notes=notes,
        overall=overall,
        averages=averages,
        seed=seed,
        overlap=asked.overlap(grid.count) if plan.queries is not None or len(plan.margins) > 1 else None,
    )


def _concerns(fit: Fit) -> tuple[str, ...]:
    """What speaks against the numbers of the fit; warned of here too, since the fit may come from a file."""
    for kind, text in fit.concerns:
        warnings.warn(text, kind, stacklevel=2)
    return tuple(text for _, text in fit.concerns)


def _units(fit: Fit, back: Transformation, comparison: Comparison | None, bias_adjust: bool) -> str:
    """Which averages of which variable an answer is about."""
    subject = "Averages are" if comparison is None else "The averages compared are"
    if back.affine is not None:
        return f"{subject} means of {back.variable}, taken back from {back.text}."
    if bias_adjust:
        weight = " of a row of weight 1" if fit.design.weights is not None else ""
        return (
            f"{subject} arithmetic means of {back.variable}, under normal residuals{weight} of {back.text} with the "
            "estimated variance."
        )
    also = f' (bias_adjust=True: arithmetic means; scale="link": {back.text} itself)' if back.has_mean else ""
    return f"{subject} {back.kind}s of {back.variable}, taken back from {back.text}{also}."


def _answering(fit: Fit, uncertainty: Uncertainty) -> Fit:
    """The fit as the one who answers with the uncertainty that is asked for."""
    check_option("uncertainty", uncertainty, UNCERTAINTIES)
    return fit.with_uncertainty(uncertainty)


def _named(weights: WeightsLike) -> str | float | None:
    return weights if weights is None or isinstance(weights, str | int | float) else "weights"


def _table(
    asked: Subgroups,
    averages: Averages,
    treated: Treatment,
    comparison: Comparison | None,
    numbers: Quantities,
    level: float,
) -> pd.DataFrame:
    """One row for each subgroup, contrast and category."""
    K, s = averages.shape[2], len(asked.labels)
    contrasts = [treated.label(pair, comparison.label) for pair in treated.pairs] if comparison else [""]
    per = len(contrasts) * K
    table = asked.keys.loc[asked.keys.index.repeat(per)].reset_index(drop=True)
    if comparison is not None:
        table = table.assign(contrast=np.repeat(np.array(contrasts, dtype=object), K).tolist() * s)
    if averages.categories is not None:
        table = table.assign(category=list(averages.categories) * (len(contrasts) * s))
    table = table.assign(n=np.repeat(asked.count, per), weight=np.repeat(asked.weight, per))
    summary = numbers.summary(level, comparison.null if comparison else 0.0)
    if comparison is None:
        summary = summary.drop(columns=["null", "prob_above_null"])
    return pd.concat([table, summary, pd.DataFrame({"unseen": numbers.unseen})], axis=1)


def _variation(
    fit: Fit,
    treated: Treatment,
    columns: tuple[str, ...],
    grid: Grid,
    comparison: Comparison,
    *,
    groups: str,
    linear: bool,
) -> tuple[str, ...]:
    """Say which differences between subgroups come from their baselines alone."""
    constant = constant_over(fit.design, treated, columns, grid, random=groups == "fitted")
    if not constant:
        return ()
    scale = "difference" if linear else "effect on the scale of the linear predictor"
    return (
        f"Under {fit.design.formula} the {scale} cannot vary over {listed(constant)}: over these, {comparison.title} "
        "differs through the baselines of subgroups only.",
    )


def _of_steps(treated: Treatment, comparison: Comparison | None, grid: Grid) -> list[str]:
    """What a numeric treatment's steps are where they are not one unit up."""
    x = treated.column
    if comparison is SLOPE:
        return [f"Slopes are taken at the value of {x} that each row has, and averaged over rows."]
    if treated.slope:
        return [f"One unit is more than the range of {x} in the data: effects per unit are average slopes."]
    if treated.within is None or not (fetch(grid.frame, x) + treated.step > treated.within[1]).any():
        return []
    return [
        f"A spline in {x} ends at {treated.within[1]:g}: rows less than a unit below have the unit that ends there."
    ]


def _notes(
    fit: Fit,
    grid: Grid,
    averages: Averages,
    treated: Treatment,
    comparison: Comparison | None,
    *,
    scale: str,
    groups: str,
    new_levels: str,
    back: Transformation | None,
    bias_adjust: bool,
) -> tuple[str, ...]:
    """Collect what a reader must know to read the table."""
    notes = [] if back is None else [_units(fit, back, comparison, bias_adjust)]
    curved = back is not None and back.affine is None
    predicts = isinstance(fit, MeanFit)
    linear = not predicts and (scale == "link" or (is_identity(fit) and not (curved and bias_adjust)))
    what = "estimates" if treated is NO_TREATMENT else "effects"
    if averages.averaged:
        names = " and ".join(averages.averaged)
        notes.append(
            f"newdata does not hold {names}: {what} are averages over the population of {names}."
            if linear or groups != "average"
            else f"newdata does not hold {names}, whose effects are zero here."
        )
    notes += grid.notes
    if grid.left_out:
        left = "row was" if grid.left_out == 1 else "rows were"
        notes.append(f"{grid.left_out} {left} left out because of a weight of zero.")
    if len(grid.weight_draws) > 1:
        notes.append(
            f"The weights are uncertain: {len(grid.weight_draws):,} draws of them are joined with those of the fit, "
            "and the column weight holds their means."
        )
    if new_levels == "population" and averages.any_unseen:
        notes.append("Levels that the fit has not seen are at their population mean, without uncertainty of their own.")
    if groups != "fitted" and linear:
        counted = f"fixed effects of {treated.column}" if treated.column else "fixed effects"
        notes.append(f'groups="{groups}": random effects are at their population mean; {counted} count.')
    elif groups == "average":
        notes.append('groups="average": all random effects are zero, as in an average group.')
    elif groups == "integrate":
        notes.append('groups="integrate": outcomes are averages over the population of groups.')
    difference = averages.reading.only_difference(comparison)
    if comparison is not None and not difference:
        notes.append(f"{comparison.title} is taken draw by draw: estimates are medians of joint draws.")
    elif isinstance(averages.quantities, Drawn) and len(grid.weight_draws) > 1 and linear:
        notes.append("Averages are taken draw by draw: estimates are means of joint draws.")
    notes += _of_steps(treated, comparison, grid)
    if treated.step > 1 and not (difference and linear and affine_in(fit.design, treated.column)):
        notes.append(
            f"Values of {treated.column} are so large that one unit is lost in them: effects per unit are those of "
            f"{treated.step:,.0f} units, divided by {treated.step:,.0f}."
        )
    response = fit.design.formula.response
    if scale == "link" and not is_identity(fit):
        link = fit.family.link.name
        notes.append(f"{what.capitalize()} are on the scale of the linear predictor ({link}).")
    elif (
        back is None
        and response is not None
        and response not in fit.design.frame.columns
        and averages.categories is None
        and (comparison is None or comparison.plain)
    ):
        notes.append(f"{what.capitalize()} are in units of {response}.")
    return tuple(notes)
