"""The left side of a formula on data: the response of each family, its categories, and what `se` and `trials` say.

Numeric responses are evaluated as they are. Responses that are categories become codes 0 to K - 1:

* bernoulli: zeros and ones and booleans stay numbers; of two levels of text or of a categorical column the second is
  the success;
* cumulative: the order is that of an ordered categorical column, of whole numbers, or of the formula, ``C(mood,
  levels=["sad", "calm", "happy"])``; text alone has none;
* categorical: levels sorted, or in one of these orders; the first is the reference.

What a family cannot have is refused here, with the rows, before anything is fitted or compiled.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import Frame
from mixedfx.design.expressions import Scope, column_of, finite_number, number, value_of
from mixedfx.design.frame import examples, kind
from mixedfx.design.labels import level_label, quoted
from mixedfx.errors import (
    DataError,
    FormulaError,
    ModelError,
    OptionError,
    UnusedCategoryWarning,
    counted_rows,
    outside,
)
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family, refuse
from mixedfx.formula.mixed_formula import Addition, MixedFormula
from mixedfx.formula.successes import as_trials
from mixedfx.priors.auxiliary import AUXILIARY

Array = NDArray[np.float64]

_BACKTICKS = re.compile("`[^`]*`")
_MANY = 50


@dataclass(frozen=True)
class Response:
    """What the left side of a formula says about each row.

    Attributes
    ----------
    y
        (n,) response, codes 0 to K - 1 of categories.
    categories
        Labels of the categories; None for a number.
    trials, known_sd
        (n,) numbers of trials, known sampling standard deviations; None where the formula gives none.
    """

    y: Array
    categories: tuple[str, ...] | None = None
    trials: Array | None = None
    known_sd: Array | None = None


def read_response(
    formula: MixedFormula,
    family: Family | None,
    frame: Frame,
    scope: Scope,
    rows: NDArray[np.intp],
    given: Frame | None = None,
) -> Response:
    """Evaluate the left side.

    Parameters
    ----------
    formula
        Its response and additions.
    family
        The family of the response; None where the fitter knows numbers only.
    frame
        Plain columns.
    scope
        What expressions may name.
    rows
        (n,) positions of the rows in the data as given, for messages.
    given
        The columns as given, which may list categories that no row has.

    Raises
    ------
    FormulaError
        An addition that the family does not have.
    DataError
        A response the family cannot have, naming the rows.

    Warns
    -----
    UnusedCategoryWarning
        Categories that no row has.
    """
    text = formula.response or ""
    trials, known_sd = _additions(formula, family, frame, scope, rows)
    if family is not None and (family.categories or family.outcome == "binary"):
        y, categories = _categories(text, family, frame, scope, rows)
        if categories is not None and family.categories:
            _warn_unused(text, categories, family, frame if given is None else given)
    else:
        y, categories = _number(text, family, frame, scope, rows), None
    if family is not None:
        family.check(y, RowFacts(trials), rows)
    return Response(y, categories, trials, known_sd)


def check_arguments(formula: MixedFormula, family: Family | None, weights: Any, V: Any, sigma: Any) -> None:
    """Refuse weights, known covariances and sigma that do not go with the left side, or with each other."""
    if weights is not None:
        check_weights(formula, family)
    check_sigma(sigma)
    if V is not None:
        check_covariance(formula, weights)


def check_weights(formula: MixedFormula, family: Family | None) -> None:
    """Refuse precision weights where there is no residual variance for them to divide.

    Raises
    ------
    OptionError
        For a family without a residual scale of its own.
    ModelError
        Beside ``se(...)``, which says what the standard deviation of each row is.
    """
    if formula.knows_errors:
        raise ModelError(
            "se(...) fixes the standard deviation of each row, so that weights= have nothing to scale",
            hint="Leave one of them out; se(s / sqrt(w)) combines them.",
        )
    if family is not None and not family.weights:
        raise OptionError(
            f"weights= divide a residual variance, and the {family.name} family has none",
            hint="Counts out of a total are k | trials(m) ~ ... with family='binomial'; exposure of counts is "
            "offset(log(time)).",
        )


def check_covariance(formula: MixedFormula, weights: Any) -> None:
    """Refuse a known covariance of sampling errors beside what else says how large they are.

    Raises
    ------
    ModelError
        Beside ``se(...)`` or precision weights.
    """
    if formula.knows_errors or weights is not None:
        other = "se(...)" if formula.knows_errors else "weights="
        raise ModelError(
            f"V says what the variance of each row is, and so does {other}",
            hint="Leave one of them out: squares of standard errors are the diagonal of V.",
        )


def check_sigma(sigma: Any) -> None:
    """Refuse what is no factor of residual standard deviations.

    Raises
    ------
    OptionError
        Neither None, ``"estimate"`` nor a positive number.
    """
    if sigma is None or (isinstance(sigma, str) and sigma == "estimate"):
        return
    if isinstance(sigma, int | float | np.number) and not isinstance(sigma, bool) and 0 < float(sigma) < np.inf:
        return
    raise OptionError(
        f"sigma={sigma!r} is no residual standard deviation",
        hint="Give a positive number, 'estimate', or None: estimated, and one beside known sampling errors.",
    )


def check_varies(response: Response, family: Family, name: str) -> None:
    """Refuse a constant response under a family whose scale it would send to its limit.

    Raises
    ------
    ModelError
        The density has no bound as sigma goes to 0 (gaussian, student, lognormal), or shape or phi to infinity.
    """
    y = response.y
    if not family.continuous or response.known_sd is not None or np.ptp(y) > 0:
        return
    parameter = family.auxiliary[-1]
    raise ModelError(
        f"the response '{name}' is {y[0]:g} in every row: nothing varies, and {parameter} goes to "
        f"{AUXILIARY[parameter].limit}",
        hint="Check that it is the column you mean, and which rows are left after dropping missing values.",
    )


def _number(text: str, family: Family | None, frame: Frame, scope: Scope, rows: NDArray[np.intp]) -> Array:
    """Evaluate a numeric response; for text, say which families have categories."""
    value = value_of(text, frame, scope, {}, "response")
    found = kind(value)
    if found in ("text", "category"):
        two = value.nunique() == 2
        name = "bernoulli" if two else "categorical"
        more = "" if two else ", or family='cumulative' for ordered categories"
        raise DataError(
            f"the response '{text}' is not numeric: it holds {found} values such as {examples(value)}",
            hint=f"Models of categories are mx.bayes(..., family='{name}'){more}.",
        )
    return finite_number(text, value, frame, rows, "response")


def _levels(values: pd.Series) -> list[object]:
    """Observed levels: those of a categorical column in its order, others sorted."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return list(values.cat.remove_unused_categories().cat.categories)
    return sorted(pd.unique(values).tolist())


def _categories(
    text: str, family: Family, frame: Frame, scope: Scope, rows: NDArray[np.intp]
) -> tuple[Array, tuple[str, ...] | None]:
    """Codes (n,) and labels of a response that is a category; zeros and ones of a bernoulli response have no labels."""
    value = value_of(text, frame, scope, {}, "response")
    found = kind(value)
    if found == "time":
        raise DataError(f"the response '{text}' holds dates, which are no categories", hint="Cut them into groups.")
    if family.outcome == "binary" and found in ("number", "boolean"):
        return number(text, frame, scope, {}, rows, "response"), None
    if found == "number":
        _refuse_fractions(text, number(text, frame, scope, {}, rows, "response"), family, rows)
    written = _written_order(text)
    if written is not None:
        value = _in_order(text, value, written, rows)
    levels = _levels(value)
    labels = tuple(level_label(v) for v in levels)
    if family.outcome == "binary":
        _check_two(text, labels, value, rows)
    if family.outcome == "ordered":
        _check_order(text, found, labels, value, frame)
    if len(labels) < 2:
        raise ModelError(
            f"the response '{text}' is {quoted(labels)} in every row: nothing varies",
            hint="Check that it is the column you mean, and which rows are left after dropping missing values.",
        )
    if len(labels) > _MANY:
        raise DataError(
            f"the response '{text}' has {len(labels)} categories, which {family.name} would each give parameters",
            hint="Is it a number? Then use a family for numbers, such as 'gaussian' or 'poisson'.",
        )
    codes = pd.Categorical(value, categories=pd.Index(levels)).codes
    return np.asarray(codes, dtype=np.float64), labels


def _written_order(text: str) -> list[object] | None:
    """The list of ``C(column, levels=[...])``; None for any other expression."""
    tree = ast.parse(_BACKTICKS.sub("name", text), mode="eval").body
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "C"):
        return None
    for keyword in tree.keywords:
        if keyword.arg == "levels" and isinstance(keyword.value, ast.List | ast.Tuple):
            return [ast.literal_eval(element) for element in keyword.value.elts]
    return None


def _in_order(text: str, value: pd.Series, written: list[object], rows: NDArray[np.intp]) -> pd.Series:
    """The values as an ordered categorical column."""
    unknown = ~value.isin(written).to_numpy()
    if unknown.any():
        raise DataError(
            f"the levels= of '{text}' leave out {quoted([level_label(v) for v in pd.unique(value[unknown])])}, in "
            f"{counted_rows(rows[unknown])}",
            hint="List every level of the data.",
        )
    order = pd.Categorical(value, categories=pd.Index(written), ordered=True)
    return pd.Series(order).cat.remove_unused_categories()


def _warn_unused(text: str, labels: tuple[str, ...], family: Family, given: Frame) -> None:
    """Say which categories that the data or the formula list are left out of the model, since no row has them."""
    listed = _written_order(text)
    if listed is None:
        dtype = given[column_of(text)].dtype if column_of(text) in given.columns else None
        listed = list(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else []
    unused = [label for label in map(level_label, listed) if label not in labels]
    if not unused:
        return
    what = "has no threshold" if family.outcome == "ordered" else "has no coefficients"
    warnings.warn(
        f"no row has the response {quoted(unused)} of '{text}': it {what}, "
        f"and probabilities are those of the {len(labels)} others, {quoted(labels)}",
        UnusedCategoryWarning,
        stacklevel=outside(),
    )


def _refuse_fractions(text: str, values: Array, family: Family, rows: NDArray[np.intp]) -> None:
    refuse(
        values != np.floor(values),
        values,
        rows,
        f"the categories of '{text}' are whole numbers or text, but the response is {{value}} in {{where}}",
        f"Use family='gaussian' for real numbers, or cut them into categories for {family.name}.",
    )


def _check_two(text: str, labels: tuple[str, ...], value: pd.Series, rows: NDArray[np.intp]) -> None:
    """A bernoulli response has two levels; of three, say where the third is."""
    if len(labels) > 2:
        third = np.flatnonzero(np.array([level_label(v) == labels[2] for v in value]))
        raise DataError(
            f"a bernoulli response has two levels, '{text}' has {len(labels)}: {quoted(labels)}; '{labels[2]}' is in "
            f"{counted_rows(rows[third])}",
            hint="Use family='categorical' (or 'cumulative' where they are ordered), or make a column of booleans such "
            f"as data['{column_of(text)}'] == '{labels[-1]}'.",
        )
    if len(labels) == 1:
        raise DataError(
            f"the response '{text}' has the one level {quoted(labels)}, which may be the success or the failure",
            hint=f"Make a column of booleans, such as data['{column_of(text)}'] == '{labels[0]}'.",
        )


def _check_order(text: str, found: str, labels: tuple[str, ...], value: pd.Series, frame: Frame) -> None:
    """Categories that are text, or a column without order, have none."""
    ordered = isinstance(value.dtype, pd.CategoricalDtype) and value.cat.ordered
    if found in ("number", "boolean") or ordered:
        return
    name, listed = column_of(text), ", ".join(repr(v) for v in labels[:6]) + (", ..." if len(labels) > 6 else "")
    what = "text" if found == "text" else "a categorical column without order"
    raise DataError(
        f"the categories of a cumulative response are ordered, but '{text}' is {what}",
        hint=f"Write C({text}, levels=[{listed}]) ~ ..., lowest first; or family='categorical'."
        if name in frame.columns
        else "Make it an ordered pandas.Categorical; or use family='categorical'.",
    )


def _additions(
    formula: MixedFormula, family: Family | None, frame: Frame, scope: Scope, rows: NDArray[np.intp]
) -> tuple[Array | None, Array | None]:
    """Numbers of trials and known standard deviations, as far as the formula gives them and the family has them."""
    trials = known = None
    for addition in formula.additions:
        _check_addition(formula, addition, family)
        if addition.name == "trials":
            trials = number(addition.argument, frame, scope, {}, rows, "number of trials")
            continue
        known = number(addition.argument, frame, scope, {}, rows, "standard deviation")
        if (known <= 0).any():
            first = rows[known <= 0][0]
            raise DataError(f"se({addition.argument}) is not positive in {counted_rows([first])}")
    if family is not None and family.outcome == "trials" and trials is None:
        raise FormulaError(
            "binomial needs the number of trials of each row",
            formula=formula.text,
            column=0,
            hint=f"{as_trials(str(formula.response))}; zeros and ones are family='bernoulli'.",
        )
    return trials, known


def _check_addition(formula: MixedFormula, addition: Addition, family: Family | None) -> None:
    if addition.name == "se":
        if family is None or family.known_sd:
            return
        what, hint = "has no sampling standard deviation", "se(s) goes with family='gaussian' or 'student'."
    else:
        if family is not None and family.outcome == "trials":
            return
        what = "has no number of trials"
        hint = "Successes out of trials: mx.glmer(..., family='binomial') or mx.bayes(..., family='binomial')."
    subject = "this model" if family is None else f"family '{family.name}'"
    raise FormulaError(
        f"{subject} {what}: {addition.name}(...) on the left is not for it",
        formula=formula.text,
        column=addition.column,
        hint=hint,
    )
