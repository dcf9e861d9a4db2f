"""From a call to a zero-inflated fit: two designs of the same rows, stacked, and one likelihood of both.

What the fit is asked is in `zero_inflated_fit.py`; how rows with two linear predictors become rows of the engine in
`pairs.py`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.checks import check_levels_of
from mixedfx.design.design import Design
from mixedfx.design.two_designs import two_designs
from mixedfx.errors import (
    ConvergenceWarning,
    DataError,
    IterativeSolverError,
    ModelError,
    NoOverdispersionWarning,
    NoZeroInflationWarning,
    OptionError,
    SeparationWarning,
    SingularFitWarning,
    outside,
)
from mixedfx.families.family import Family
from mixedfx.families.registry import find_two_parts
from mixedfx.families.zero_inflated import ZERO_INFLATED, ZeroInflated
from mixedfx.formula.part_formulas import right_side, zero_formula
from mixedfx.glmm.call import Call
from mixedfx.glmm.control import GlmmControl, read_control
from mixedfx.glmm.model import Model, build_model
from mixedfx.glmm.pairs import MARK, PairLikelihood, stacked
from mixedfx.glmm.solve import GlmmSolution, solve, solve_model, starting_point
from mixedfx.results.optimization import Outcome
from mixedfx.results.singularity import SingularityReport, singularity

Vector = NDArray[np.float64]

NAMES = {kind.name: name for name, kind in ZERO_INFLATED.items()}
"""Name of a zero-inflated family -> the family of its counts."""

MOSTLY = 0.8  # of the zeros, the share that is besides those of the counts in the second start
CALM = 2.0  # by which the logarithm of the family's parameter is moved towards Poisson counts there
SUSPECT = 8.0  # logit of a zero from which coefficients may be running off
FLAT = 1e-3  # units of deviance by which the criterion must rise on the way of those that do not
FAR = 4.0  # logits that a row is moved on that way


@dataclass(frozen=True, eq=False)
class Both:
    """The designs of the counts and of the zeros, of the same rows."""

    count: Design
    zero: Design


def of_counts(call: Call) -> Call:
    """The call with the family of the counts, which a zero-inflated model may have.

    Raises
    ------
    OptionError
        Families, links and options that go without a model of the zeros only.
    """
    name = call.family
    if isinstance(name, str) and name in NAMES:
        call = replace(call, family=NAMES[name])
    call.check()
    find_two_parts(call.found_family, True)
    if call.nAGQ != 1:
        raise OptionError(
            f"nAGQ={call.nAGQ!r} is for models with one linear predictor",
            hint="A zero-inflated model is fitted by Laplace's approximation, nAGQ=1; a hurdle model has quadrature.",
        )
    if call.priors is not None:
        raise OptionError(
            "priors= is for models with one linear predictor",
            hint="Leave it out; the parts of a hurdle model take priors.",
        )
    return call


def read_both(call: Call, zi: Any) -> Both:
    """Both designs; rows where a column of either is missing are in neither.

    Raises
    ------
    DataError, FormulaError
        As `mixedfx.design.build.build_design` has them; no column in the model of the zeros.
    ModelError
        Counts that are never or always zero.
    """
    text = zero_formula(zi)
    found = Both(*two_designs(call.of_design, text))
    names = (*found.count.fixed_names, *(name for term in found.count.random for name in term.columns))
    marked = [name for name in names if name.startswith(MARK)]
    if marked:
        raise DataError(
            f"a coefficient of the counts is named {marked[0]!r}, and names of the model of the zeros begin so",
            hint="Rename the column.",
        )
    zeros = found.count.y == 0.0
    if zeros.all() or not zeros.any():
        what = "no count is above zero: there is nothing to be told apart" if zeros.all() else (
            "no count is zero: the probability of zeros besides those of the counts is zero"
        )  # fmt: skip
        raise ModelError(what, hint="Leave zi= out.")
    return found


def family_of(counts: Family) -> ZeroInflated:
    """The zero-inflated family of counts."""
    return ZERO_INFLATED[counts.name](counts.link, counts.held)


def solved(both: Both, counts: Family, control: Any = None) -> GlmmSolution:
    """The estimates, with the warnings of `mixedfx.glmer`."""
    check_levels_of(both.count, counts)
    check_levels_of(both.zero, counts)
    family = family_of(counts)
    design = stacked(both.count, both.zero)
    said = read_control(control)
    if said.solver == "iterative":
        raise IterativeSolverError(
            "the iterative solver does not take zero-inflated models, whose rows have two linear predictors",
            hint='Leave solver= out, or say solver="direct".',
        )
    solution = estimated(design, family, said)
    told(both, solution)
    return solution


def estimated(design: Design, family: ZeroInflated, control: GlmmControl) -> GlmmSolution:
    """The estimates, sought from those of the model without random terms: the likelihood may have several maxima.

    Where the way from there leads to none, from a start that knows nothing.
    """
    quiet = replace(control, progress=False)
    plain = build_model(replace(design, random=()), family)
    found = [_from(plain, start, quiet) for start in (starting_point(plain), _mostly_besides(plain))]
    known = [one for one in found if one is not None]
    if not known or control.start is not None:
        return solve(design, family, 1, control)
    best = min(known, key=lambda one: one.criterion)
    if not design.random:
        return best
    model = build_model(design, family)
    ours = _from(model, _with_random(model, best), control)
    if ours is not None and ours.optimization.converged and not _never(ours):
        return ours
    other = _from(model, starting_point(model), control)
    both = [one for one in (ours, other) if one is not None]
    if not both:
        return solve(design, family, 1, control)  # which says what is wrong
    return min(both, key=lambda one: (not one.optimization.converged, one.criterion))


def _never(solution: GlmmSolution) -> bool:
    return solution.model.likelihood.vanished(solution.evaluation.mode.eta)


def _with_random(model: Model, plain: GlmmSolution) -> Vector:
    """(d,) psi at the estimates without random terms, logits of zeros no farther out than effects of groups move."""
    psi, p = starting_point(model), model.sizes[0]
    own, other = model.likelihood, plain.model.likelihood
    assert isinstance(own, PairLikelihood)
    assert isinstance(other, PairLikelihood)
    eta, zeta = other.pair(plain.evaluation.mode.eta)[0].T
    psi[:p] = (own.within(own.placed(eta, zeta, eta + zeta)) - model.offset) @ model.Q / len(model.offset)
    psi[p + model.sizes[1] :] = plain.psi[p:]
    return psi


def _from(model: Model, start: Vector, control: GlmmControl) -> GlmmSolution | None:
    """The estimates from a start; None where there are none."""
    try:
        return solve_model(model, start, 1, control)
    except ModelError:
        return None


def _mostly_besides(model: Model) -> Vector:
    """(d,) psi where most zeros are those besides, of counts that vary little more than Poisson's."""
    own = model.likelihood
    assert isinstance(own, PairLikelihood)
    psi, p = starting_point(model), model.sizes[0]
    psi[:p] = (own.centre(MOSTLY * float((own.y == 0.0).mean())) - model.offset) @ model.Q / len(model.offset)
    for name, sign in own.family.noise.items():
        if name in own.names:
            psi[p + own.names.index(name)] -= sign * CALM
    return psi


def told(both: Both, solution: GlmmSolution) -> None:
    """Warn of what speaks against an estimate."""
    names, never = runs_off(both, solution)
    course = solution.optimization
    if never:
        warnings.warn(runaway_in_words(names, never), NoZeroInflationWarning, outside())
    elif names:
        warnings.warn(runaway_in_words(names, never), SeparationWarning, outside())
    elif not course.converged:
        text = f"{course.message} after {course.evaluations} evaluations; the estimates may be off"
        if course.outcome is Outcome.FLAT:
            text += (
                ". Groups whose zeros may be of either source tell too little of their effects: leave random terms "
                "out of zi=, or fit a hurdle model, family='hurdle_poisson' or 'hurdle_negbinomial'"
            )
        warnings.warn(text, ConvergenceWarning, outside())
    for text in solution.model.likelihood.limits(solution.model.split(solution.psi)[2]).values():
        warnings.warn(text, NoOverdispersionWarning, outside())
    reports = singularities(both, solution)
    if reports["count"].singular:
        warnings.warn(reports["count"].text, SingularFitWarning, outside())
    if reports["zero"].singular:
        text = f"singular fit: in the model of the zeros {reports['zero'].found}. {smaller_zeros(reports['zero'])}"
        warnings.warn(text, SingularFitWarning, outside())


def smaller_zeros(report: SingularityReport) -> str:
    """The smaller model of the zeros to try; empty where there is none."""
    return "" if report.smaller is None else f"Try zi='{right_side(report.smaller)}'"


def singularities(both: Both, solution: GlmmSolution) -> dict[str, SingularityReport]:
    """Directions in which the random effects of each part do not vary."""
    first = len(both.count.random)
    return {
        part: singularity(design, solution.factors[at], solution.bases[at])
        for part, design, at in (("count", both.count, slice(0, first)), ("zero", both.zero, slice(first, None)))
    }


def runs_off(both: Both, solution: GlmmSolution) -> tuple[tuple[str, ...], bool]:
    """Coefficients of the zeros without a finite estimate, and whether there are no zeros besides those of the counts.

    Where the likelihood rises, or stays, as they run on in the direction in which its second derivatives are smallest.
    """
    if _never(solution):
        return both.zero.fixed_names, True
    X, p = both.zero.X, both.count.X.shape[1]
    beta = solution.beta[p:]
    if not X.shape[1] or np.abs(X @ beta + both.zero.offset).max() < SUSPECT:
        return (), False
    size, d = np.abs(X).max(axis=0), X.shape[1]
    turn = np.zeros((len(solution.psi), d))  # a change of the coefficients, others as they are
    turn[: p + d] = solution.model.problem.R[:, p:] / size
    second = turn.T @ solution.hessian @ turn
    way = np.linalg.eigh(second)[1][:, 0]
    moved = X @ (way / size)
    sign = 1.0 if moved @ (X @ beta) >= 0.0 else -1.0
    step = sign * FAR / max(float(np.abs(moved).max()), 1e-12)
    try:
        there = solution.criterion_function(
            solution.model, solution.psi + step * (turn @ way), solution.evaluation.mode.v, False
        )
    except np.linalg.LinAlgError:
        return (), False
    if there.criterion > solution.criterion + FLAT:
        return (), False
    chosen = np.abs(way) > 0.05
    names = [name for name, one in zip(both.zero.fixed_names, chosen, strict=True) if one]
    others = [name for name in names if name != "Intercept"]
    never = bool((X @ beta + both.zero.offset).max() < -SUSPECT / 2.0)
    return tuple(others or names), never


def refuse_separated(both: Both, solution: GlmmSolution, what: str) -> None:
    """Refuse what draws coefficients of the zeros where they have no finite estimate.

    Raises
    ------
    ModelError
        Naming them.
    """
    names, never = runs_off(both, solution)
    if names and not never:
        raise ModelError(
            f"{what} of coefficients that have no finite estimate: {', '.join(names)}, in the model of the zeros",
            hint="Leave a column out of zi=, or join levels.",
        )


def runaway_in_words(names: tuple[str, ...], never: bool) -> str:
    """What is said of coefficients that run off."""
    if never:
        return (
            "the counts have no more zeros than their family says, and the logit of the probability of others runs to "
            "minus infinity: the same model without zi= is as good, and estimates of the zeros mean nothing."
        )
    shown = ", ".join(names)
    return (
        f"separation in the model of the zeros: the likelihood grows, or stays, as the coefficients of {shown} run to "
        f"infinity; estimates and standard errors of {shown} mean nothing. Leave a column out of zi=, or join levels."
    )
