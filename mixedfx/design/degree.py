"""Degree of an expression as a polynomial in one column of the data, as far as it is 0 or 1."""

from __future__ import annotations

import ast
from collections.abc import Collection

from mixedfx.formula.python_code import PythonCode, read_code

_SAME_DEGREE = frozenset(("I", "center", "scale", "standardize"))


def degree(expression: str, column: str, env: Collection[str] = ()) -> int | None:
    """0, 1, or None (neither) for the degree of an expression in a column.

    Parameters
    ----------
    expression
        Python text in which columns may be written in backticks.
    column
        A column of the data.
    env
        Names that the caller passed: functions of their own, about which nothing is known.

    Examples
    --------
    >>> from mixedfx.design.degree import degree
    >>> [degree(text, "x") for text in ("I(2 * x + z)", "center(x)", "log(x)", "log(z)", "x * z")]
    [1, 1, None, 0, 1]
    """
    text = expression.strip()
    return _Degree(read_code(text, 0, text), column, env).of()


class _Degree:
    def __init__(self, code: PythonCode, column: str, env: Collection[str]) -> None:
        self.code, self.column, self.env = code, column, env

    def of(self, node: ast.expr | None = None) -> int | None:
        node = self.code.tree if node is None else node
        match node:
            case ast.Name(id=name):
                return int(self.code.quoted.get(name, name) == self.column)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self.of(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(self.of(left), op, self.of(right))
            case ast.Call(func=ast.Name(id="Q"), args=[ast.Constant(value=name)]) if "Q" not in self.env:
                return int(name == self.column)
            case ast.Call(func=func, args=args, keywords=keywords):
                degrees = [self.of(argument) for argument in (*args, *(k.value for k in keywords))]
                if not any(degrees) and None not in degrees:
                    return 0
                same = isinstance(func, ast.Name) and func.id in _SAME_DEGREE and func.id not in self.env
                return degrees[0] if same and not any(degrees[1:]) else None
        children = [self.of(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return None if any(degree != 0 for degree in children) else 0

    def _binary(self, left: int | None, op: ast.operator, right: int | None) -> int | None:
        if left is None or right is None:
            return None
        if left == right == 0:
            return 0
        match op:
            case ast.Add() | ast.Sub():
                return max(left, right)
            case ast.Mult():
                return left + right if left + right <= 1 else None
            case ast.Div() if right == 0:
                return left
        return None
