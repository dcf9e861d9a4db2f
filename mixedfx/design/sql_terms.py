r"""What a formula needs of a database: keys that make cells of rows, and numbers whose products are summed within them.

A column of X or Z is a product: of numeric factors (``x``, ``log(z)``), and of the coding of categorical ones. Rows
with the same levels of every categorical factor and every grouping factor are a *cell*; within one the codings are
constant, and with v the distinct products of numeric factors (*monomials*) of the formula, 1 the first of them,

    x_j = c_j v_{m(j)}       for each row of the cell,

c_j the coding of column j and m(j) its monomial. All cross-products follow from the sums of w v v' of the cells.
Which monomials and keys there are is said by the formula and by the types of the columns, before any row is read.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.expressions import Scope, column_of, unquoted
from mixedfx.design.parts import FormulaicPart, NumericPart, Part, formula_of
from mixedfx.design.sql_expressions import NotInSQL, expression_text
from mixedfx.design.sql_learning import Learner, learner_of
from mixedfx.formula.mixed_formula import MixedFormula

Array = NDArray[np.float64]
Monomial = tuple[str, ...]  # the numeric factors that are multiplied, sorted; the empty product is one


@dataclass(frozen=True)
class Needed:
    """What is asked of a database for one formula.

    Attributes
    ----------
    columns
        The columns that are read; in SQL they are called r0, r1, ... in this order.
    keys
        Those whose levels make cells.
    valued
        Those of the keys that have levels in the fixed part or a left side.
    monomials
        Products of numeric factors -> SQL; the constant is not among them.
    response
        The response in SQL.
    offset
        The sum of the offsets in SQL; None where there are none.
    weights
        The weights in SQL; None where there are none.
    lacking
        For each column when it is missing, in SQL.
    learners
        Transforms whose means and standard deviations are asked for first.
    texts
        The columns of text: levels are told apart by all their characters.
    """

    columns: tuple[str, ...]
    keys: tuple[str, ...]
    valued: tuple[str, ...]
    monomials: Mapping[Monomial, str]
    response: str
    offset: str | None
    weights: str | None
    lacking: tuple[str, ...]
    learners: tuple[Learner, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def used(self) -> str:
        """Which rows are used, in SQL."""
        weighted = [] if self.weights is None else [f"{self.weights} > 0"]
        return " AND ".join([*(f"NOT {sql}" for sql in self.lacking), *weighted])


def needed(
    formula: MixedFormula, columns: Sequence[str], types: Mapping[str, Any], env: Mapping[str, Any],
    weights: str | None, offset: str | None, states: Mapping[str, Mapping[str, Any]] | None = None,
) -> Needed:  # fmt: skip
    """What a formula needs; `types` are narwhals' of the columns, `states` what transforms have learnt.

    Without the latter, transforms that learn stand for what they are applied to, and are listed.

    Raises
    ------
    NotInSQL
        Where the formula has something that is not asked of databases.
    """
    if formula.knows_errors:
        raise NotInSQL("known sampling errors, se(...), are not summed up by databases")
    if any(term.relation for term in formula.random):
        raise NotInSQL("levels with known correlations, gr(..., cov=), are not summed up by databases")
    place = {name: f"r{i}" for i, name in enumerate(columns)}
    kinds = {name: _kind(types[name]) for name in columns}

    def as_number(name: str, boolean: bool = False) -> str:
        if name not in place:
            raise KeyError(name)
        if kinds[name] != "number" and not (boolean and kinds[name] == "boolean"):
            raise NotInSQL(f"'{name}' is used as a number and is none")
        return f"CAST({place[name]} AS DOUBLE)"

    learners: dict[str, Learner] = {}

    def learnt(call: ast.Call, inner: str) -> str | None:
        found = learner_of(call, inner)
        if found is None:
            return None
        if states is None and any(one.key in found.key for one in learners.values() if one.key != found.key):
            raise NotInSQL(f"'{found.key}' learns of what learns itself")
        learners[found.key] = found
        return inner if states is None else found.applied(states[found.key])

    def value(expression: str) -> str:
        name = column_of(expression)
        return as_number(name, True) if name in place else expression_text(expression, as_number, env)

    monomials: dict[Monomial, str] = {}
    valued: dict[str, None] = {}
    for text in dict.fromkeys([formula.fixed, *(term.left for term in formula.random)]):
        for term in formula_of(text):
            numbers: dict[str, str] = {}
            for factor in term.factors:
                how = factor.eval_method.value
                if how == "literal":
                    if factor.expr not in ("0", "1"):
                        raise NotInSQL(f"the number {factor.expr} in '{text}' is not written in SQL")
                    continue
                key = _key(factor.expr, how, kinds)
                if key is not None:
                    if kinds.get(key) == "other":
                        raise NotInSQL(f"'{key}' holds neither numbers, text nor booleans")
                    valued[key] = None
                else:
                    numbers[factor.expr] = (
                        as_number(factor.expr)
                        if how == "lookup" and factor.expr in place
                        else expression_text(factor.expr, as_number, env, learnt)
                    )
            if numbers:
                monomials[tuple(sorted(numbers))] = "(" + " * ".join(numbers[name] for name in sorted(numbers)) + ")"
    keys = dict(valued) | {name: None for term in formula.random for name in term.group}
    for name in keys:
        if kinds[name] == "category":
            raise NotInSQL(f"the order of the levels of '{name}' is in the file, and databases do not read it")
        if kinds[name] == "other":
            raise NotInSQL(f"levels of '{name}', of type {types[name]}, are not taken from databases")
    offsets = [value(e) for e in formula.offsets] + ([] if offset is None else [as_number(offset, True)])
    return Needed(
        tuple(columns), tuple(keys), tuple(valued), monomials, value(formula.response or ""),
        " + ".join(offsets) if offsets else None, None if weights is None else as_number(weights, True),
        tuple(_lacking(place[name], types[name]) for name in columns), tuple(learners.values()),
        tuple(name for name in columns if _is_text(types[name])),
    )  # fmt: skip


def _kind(dtype: Any) -> str:
    """What a column of narwhals' type is: ``"number"``, ``"boolean"``, ``"levels"``, ``"category"`` or ``"other"``."""
    import narwhals as nw

    if isinstance(dtype, nw.Boolean):
        return "boolean"
    if isinstance(dtype, nw.Categorical):  # a dictionary of Arrow; an ENUM of DuckDB is another type
        return "category"
    if isinstance(dtype, nw.String | nw.Enum):
        return "levels"
    if isinstance(dtype, nw.Int128 | nw.UInt128 | nw.Decimal):
        return "number"
    return "number" if dtype.is_integer() or dtype.is_float() else "other"


def _is_text(dtype: Any) -> bool:
    import narwhals as nw

    return isinstance(dtype, nw.String)


def _lacking(sql: str, dtype: Any) -> str:
    return f"({sql} IS NULL OR ISNAN({sql}))" if dtype.is_float() else f"({sql} IS NULL)"


def _key(expression: str, how: str, kinds: Mapping[str, str]) -> str | None:
    """The column whose levels a factor has; None where it is a number."""
    if how == "lookup":
        return expression if kinds.get(expression, "number") != "number" else None
    text, aliases = unquoted(expression)
    tree = ast.parse(text, mode="eval").body
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("C", "factor")):
        return None
    first = tree.args[0] if tree.args else None
    name = aliases.get(first.id, first.id) if isinstance(first, ast.Name) else None
    if name not in kinds:
        raise NotInSQL(f"'{expression}' makes levels of more than a column")
    return name


def coded(part: Part, frame: pd.DataFrame, scope: Scope) -> tuple[Array, tuple[Monomial, ...]]:
    """(cells, k) coding c_j of the columns of a part in each cell, and the monomial of each column.

    Parameters
    ----------
    part
        The fixed part or a left side.
    frame
        A row of each cell, in plain columns.
    scope
        What expressions may name.
    """
    rows = np.arange(len(frame), dtype=np.intp)
    if isinstance(part, NumericPart):
        return np.ones((len(frame), len(part.columns))), tuple(tuple(sorted(set(p))) for p in part.products)
    if isinstance(part, FormulaicPart):
        from mixedfx.design.codings import CodingMaterializer

        found = CodingMaterializer(frame, scope, frozenset(_numeric(part)))
        matrix = found.build(part.model_spec, rows)[0]
        numeric = _numeric(part)
        products = [
            tuple(sorted({f.expr for f in term.term.factors if f.expr in numeric}))
            for term in part.model_spec.structure
            for _ in term.columns
        ]
        return matrix, tuple(products)
    products = []
    for product, places in zip(part.products, part.term_columns, strict=True):
        numbers = tuple(sorted(set(product))) if not product or product[0] not in part.levels else ()
        products += [numbers] * len(places)
    ones = frame.assign(**{name: 1.0 for p in part.products for name in p if name not in part.levels})
    return part.matrix(ones, scope, rows), tuple(products)


def _numeric(part: FormulaicPart) -> set[str]:
    """The factors of a part that are numbers."""
    return {
        name for name, (kind, _) in part.model_spec.encoder_state.items() if getattr(kind, "value", kind) == "numerical"
    }
