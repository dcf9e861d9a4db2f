"""Arithmetic of formulas in SQL: what databases compute as `mixedfx.design.expressions` does, and nothing else.

Numbers are doubles from the start, as they are in memory, so that neither whole numbers nor decimals overflow. What is
no number in memory (the logarithm of a negative number, a division by zero) is missing here, and whoever asks counts
what is finite: the two agree on which rows have a value, and a formula that has none in some row is refused.

Left out is what would not be the same number to a few units in the last place, or no number at all: comparisons make
factors, ``log1p`` would lose digits, and functions that learn from the data have to learn first.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mixedfx.design.expressions import unquoted


class NotInSQL(Exception):
    """What a database is not asked for; the reason, in words, is its text."""


_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "({0} + {1})",
    ast.Sub: "({0} - {1})",
    ast.Mult: "({0} * {1})",
    ast.Div: "(CASE WHEN {1} = 0 THEN NULL ELSE {0} / {1} END)",
    ast.Pow: "POWER({0}, {1})",
}

_PLAIN = {
    "abs": "ABS({0})",
    "exp": "EXP({0})",
    "log": "(CASE WHEN {0} > 0 THEN LN({0}) END)",
    "log2": "(CASE WHEN {0} > 0 THEN LOG2({0}) END)",
    "log10": "(CASE WHEN {0} > 0 THEN LOG10({0}) END)",
    "sqrt": "(CASE WHEN {0} >= 0 THEN SQRT({0}) END)",
}

_NAMED = _PLAIN | {"I": "{0}"}

_NUMPY = _PLAIN | {
    "absolute": "ABS({0})",
    "square": "({0} * {0})",
    "negative": "(-{0})",
    "reciprocal": "(CASE WHEN {0} = 0 THEN NULL ELSE CAST('1' AS DOUBLE) / {0} END)",
    "add": _OPERATORS[ast.Add],
    "subtract": _OPERATORS[ast.Sub],
    "multiply": _OPERATORS[ast.Mult],
    "divide": _OPERATORS[ast.Div],
    "power": _OPERATORS[ast.Pow],
    "minimum": "(CASE WHEN {0} <= {1} THEN {0} WHEN {1} < {0} THEN {1} END)",
    "maximum": "(CASE WHEN {0} >= {1} THEN {0} WHEN {1} > {0} THEN {1} END)",
}

MOST_TEXT = 20_000  # characters of an expression: nested functions repeat their arguments


def number_text(value: float) -> str:
    """A number as a double in SQL, to the last bit: a decimal literal would be one of fixed point.

    Examples
    --------
    >>> from mixedfx.design.sql_expressions import number_text
    >>> number_text(0.1)
    "CAST('0.1' AS DOUBLE)"
    """
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def expression_text(
    expression: str, column: Callable[[str], str], env: Mapping[str, Any],
    learnt: Callable[[ast.Call, str], str | None] | None = None,
) -> str:  # fmt: skip
    """An expression in SQL, of type DOUBLE; NULL, NaN or infinite where it is no finite number.

    Parameters
    ----------
    expression
        Python text in which columns may be written in backticks; it has passed `mixedfx.formula.safety`.
    column
        Name of a column -> its number in SQL; raises `NotInSQL` where it is none, `KeyError` where there is none.
    env
        The caller's values: numbers are used, functions are not.
    learnt
        A call of a transform that learns, and its argument in SQL -> the transform in SQL, None where it is none.

    Raises
    ------
    NotInSQL
        For anything else than arithmetic.

    Examples
    --------
    >>> from mixedfx.design.sql_expressions import expression_text
    >>> expression_text("I(`a b` - x)", {"a b": "r0", "x": "r1"}.__getitem__, {})
    '(r0 - r1)'
    """
    text, aliases = unquoted(expression)
    tree = ast.parse(text, mode="eval").body
    refused = NotInSQL(f"'{expression}' is not written in SQL")

    def visit(node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return number_text(node.value)
        if isinstance(node, ast.Name):
            return named(aliases.get(node.id, node.id))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = visit(node.operand)
            return f"(-{inner})" if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return filled(_OPERATORS[type(node.op)], [node.left, node.right])
        if isinstance(node, ast.Call) and not node.keywords and (found := called(node)) is not None:
            return found
        if isinstance(node, ast.Call) and learnt is not None and node.args and _function(node) not in env:
            found = learnt(node, visit(node.args[0]))
            if found is not None:
                return found
        if isinstance(node, ast.Attribute) and _of_numpy(node) and node.attr in ("pi", "e") and "np" not in env:
            return number_text(getattr(np, node.attr))
        raise refused

    def named(name: str) -> str:
        try:
            return column(name)
        except KeyError:
            value = env.get(name)
            if isinstance(value, int | float | np.number) and not isinstance(value, bool):
                return number_text(float(value))
            raise refused from None

    def called(node: ast.Call) -> str | None:
        function = node.func
        if isinstance(function, ast.Name) and function.id not in env:
            if function.id == "Q" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
                return named(str(node.args[0].value))
            if function.id in _NAMED:
                return filled(_NAMED[function.id], node.args)
        if isinstance(function, ast.Attribute) and _of_numpy(function) and "np" not in env and function.attr in _NUMPY:
            return filled(_NUMPY[function.attr], node.args)
        return None

    def filled(template: str, arguments: list[ast.expr]) -> str:
        if len(arguments) != (2 if "{1}" in template else 1):
            raise refused
        out = template.format(*map(visit, arguments))
        if len(out) > MOST_TEXT:
            raise refused
        return out

    return visit(tree)


def _function(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _of_numpy(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "np"
