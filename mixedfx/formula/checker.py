"""The walk over the syntax tree of one expression: every node is found on the list, or the expression is refused.

The list, and why it is what it is, stands in `mixedfx.formula.safety`.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import operator
import re
from collections.abc import Callable, Collection, Iterable
from typing import NoReturn

from mixedfx.errors import FormulaError, UnsafeFormulaError
from mixedfx.formula.functions import (
    CONTRAST_NAMES,
    CONTRASTS,
    FUNCTIONS,
    MAX_COUNT,
    NUMPY,
    NUMPY_CONSTANTS,
    TRANSLATIONS,
    Signature,
)
from mixedfx.formula.python_code import PythonCode
from mixedfx.formula.successes import successes_of

MAX_EXPONENT = 100
"""Largest exponent of ``**`` inside Python."""

MAX_MULTIPLIER = 1_000_000
"""Largest product of whole numbers that a column may be multiplied with: text times a number repeats the text."""

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MENDS: dict[type[ast.AST], str] = {
    ast.BoolOp: "Join conditions with & and |, each in brackets: (x > 0) & (z > 0).",
    ast.IfExp: "Write np.where(condition, a, b).",
    ast.Subscript: "Make the column beforehand.",
    ast.Attribute: "A column whose name contains dots needs backticks.",
}
_FOLDS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def check_code(
    code: PythonCode, env: Collection[str] | None, nodes: Iterable[ast.expr] | None = None
) -> tuple[str, ...]:
    """Refuse a Python expression in which anything is not on the list.

    Parameters
    ----------
    code
        The expression.
    env
        Names the caller passes; None where they are not known yet: then a call of an unknown function is let through,
        to be judged later, unless Python itself knows the name.
    nodes
        The parts of the expression to check; all of it where None.

    Returns
    -------
    tuple of str
        Free names, columns or names in `env`, in order of appearance, each once.

    Raises
    ------
    UnsafeFormulaError
        Something is not on the list.
    FormulaError
        Something is on no list because it would not mean what it seems to: ``x^2``, ``0 < x < 1``.
    """
    checker = _Checker(code, env)
    for node in [code.tree] if nodes is None else nodes:
        checker.expression(node)
    return tuple(dict.fromkeys(name for _, name in sorted(checker.names)))


class _Checker:
    """Walks one syntax tree and collects its free names."""

    def __init__(self, code: PythonCode, env: Collection[str] | None) -> None:
        self.code = code
        self.env = env
        self.names: list[tuple[int, str]] = []
        self.multiplier = 1

    def refuse(self, node: ast.AST, message: str, hint: str | None = None) -> NoReturn:
        raise UnsafeFormulaError(message, formula=self.code.formula, column=self.code.column(node), hint=hint)

    def wrong(self, node: ast.AST, message: str, hint: str | None = None) -> NoReturn:
        raise FormulaError(message, formula=self.code.formula, column=self.code.column(node), hint=hint)

    def expression(self, node: ast.expr) -> None:
        """Check something that has a value for each row."""
        if isinstance(node, ast.BinOp):
            self.binary(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd, ast.Invert)):
            self.expression(node.operand)
        elif isinstance(node, ast.Compare):
            self.comparison(node)
        elif isinstance(node, ast.Call):
            self.call(node)
        elif isinstance(node, ast.Name):
            self.name(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
            pass
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.refuse(node, "text cannot be calculated with", "Use a column, or compare: (x == 'a').")
        elif isinstance(node, ast.Attribute) and self.qualified(node) in {f"np.{c}" for c in NUMPY_CONSTANTS}:
            pass
        else:
            self.other(node)

    def other(self, node: ast.expr) -> NoReturn:
        self.refuse(
            node,
            f"`{self.code.source(node)}` is not available in formulas",
            _MENDS.get(type(node), "Make the column beforehand."),
        )

    def binary(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.BitXor):
            self.wrong(node, "`^` is not a power inside a function", "Write **, for example I(x**2).")
        if not isinstance(node.op, _ARITHMETIC):
            self.other(node)
        self.expression(node.left)
        if isinstance(node.op, ast.Pow):
            self.power(node)
            return
        self.expression(node.right)
        if isinstance(node.op, ast.Mult):
            for factor in (node.left, node.right):
                value = _whole_number(factor)
                self.multiplier *= max(abs(value or 1), 1)
            if self.multiplier > MAX_MULTIPLIER:
                self.refuse(
                    node,
                    f"a whole number above {MAX_MULTIPLIER:,} as a factor",
                    "Write it with a decimal point: 1e9 * x.",
                )

    def power(self, node: ast.BinOp) -> None:
        exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        plain = isinstance(exponent, ast.Constant) and isinstance(exponent.value, (int, float))
        if not plain or abs(exponent.value) > MAX_EXPONENT:  # type: ignore[union-attr,operator]
            self.refuse(
                node.right,
                f"the exponent of ** has to be a number of at most {MAX_EXPONENT}",
                "For a power that varies, write np.power(x, z).",
            )
        if _has_power(node.left):
            self.refuse(node, "powers of powers are not available in formulas", "Multiply the exponents.")

    def comparison(self, node: ast.Compare) -> None:
        if len(node.ops) > 1:
            self.wrong(node, "comparisons cannot be chained", "Join them with &: (0 < x) & (x < 1).")
        if not isinstance(node.ops[0], _COMPARISONS):
            self.other(node)
        for side in (node.left, node.comparators[0]):
            if isinstance(side, ast.Constant) and isinstance(side.value, str):
                self.string(side)
            else:
                self.expression(side)

    def name(self, node: ast.Name) -> None:
        self.names.append((self.code.column(node), self.identifier(node)))

    def identifier(self, node: ast.Name) -> str:
        """Find the column or function that a name stands for."""
        name = self.code.quoted.get(node.id, node.id)
        if name.startswith("__"):
            self.refuse(node, f"`{name}` is not available in formulas")
        if name == node.id and name != self.code.source(node):
            # Python reads look-alike characters as one name; the column would not be found under it.
            self.refuse(node, f"`{self.code.source(node)}` would be read as `{name}`", "Rename the column.")
        return name

    def string(self, node: ast.Constant) -> None:
        if re.search(r"[\"'`\\]", str(node.value)):
            self.refuse(
                node,
                "text with quotation marks in it is not available in formulas",
                "Relabel the level, rename the column, or pass the text in env.",
            )
        if not _balanced(str(node.value)):
            # formulaic counts brackets inside text as if they were its own.
            self.wrong(
                node,
                "text with unbalanced brackets in it is not available in formulas",
                "Relabel the level, rename the column, or pass the text in env.",
            )

    def qualified(self, node: ast.expr) -> str | None:
        """Spell ``np.log`` or ``contr.sum``; None for anything else."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "contr"):
            return f"{node.value.id}.{node.attr}"
        return None

    def call(self, node: ast.Call) -> None:
        """Check a call of a function that gives a value for each row."""
        if isinstance(node.func, ast.Attribute):
            name = self.qualified(node.func)
            if name is None or not name.startswith("np."):
                self.other(node.func)
            signature = NUMPY.get(name.removeprefix("np."))
            if signature is None:
                self.unknown(node.func, name, list(NUMPY))
            self.arguments(node, name, signature)
            return
        if not isinstance(node.func, ast.Name):
            self.other(node.func)
        name = self.identifier(node.func)
        if self.env is not None and name in self.env:
            self.arguments(node, name, None)
        elif name in FUNCTIONS:
            self.arguments(node, name, FUNCTIONS[name])
        elif name == "offset":
            self.wrong(node, "an offset can only be added", "Write it as a term of its own: y ~ x + offset(w).")
        elif name in CONTRAST_NAMES:
            self.refuse(node, f"`{name}` only stands inside C", f"Write C(x, {name}(...)).")
        elif self.env is None and name.isidentifier() and not hasattr(builtins, name):
            self.arguments(node, name, None)
        else:
            self.unknown(node.func, name, list(FUNCTIONS), node)

    def unknown(self, node: ast.expr, name: str, known: list[str], call: ast.Call | None = None) -> NoReturn:
        if name == "cbind" and (form := successes_of(self.code, call)):
            hint = f"Write {form} ~ ..., with family='binomial'."
        elif name in TRANSLATIONS:
            hint = f"Write {TRANSLATIONS[name]}."
        elif near := difflib.get_close_matches(name.removeprefix("np."), known, n=1, cutoff=0.75):
            hint = f"Did you mean `{'np.' if name.startswith('np.') else ''}{near[0]}`?"
        elif name.startswith("np."):
            hint = "Only functions that work row by row are available; center(x) and scale(x) remember their means."
        elif hasattr(builtins, name):
            hint = f"Formulas may use {', '.join(FUNCTIONS)}, and functions that work row by row as np.<name>."
        else:
            hint = f"Write one of the documented functions, or pass your own: env={{'{name}': {name}}}."
        self.refuse(node, f"`{name}` is not a function that formulas may use", hint)

    def arguments(self, node: ast.Call, name: str, signature: Signature | None) -> None:
        """Check the arguments of a call; `signature` is None for a function of the caller's."""
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg.startswith("_"):
                self.refuse(keyword, f"this argument of `{name}` is not available in formulas")
        if signature is None:
            for argument in [*node.args, *(k.value for k in node.keywords)]:
                self.argument(argument)
            return
        positional = len(signature.parameters) if signature.positional is None else signature.positional
        given = dict(zip(signature.parameters[:positional], node.args, strict=False))
        if len(node.args) > positional:
            count = f"{positional} argument" if positional == 1 else f"{positional} arguments"
            self.refuse(node.args[positional], f"`{name}` takes at most {count} without a name")
        for keyword in node.keywords:
            if not signature.by_name or keyword.arg not in signature.parameters or keyword.arg in given:
                self.refuse(keyword, f"`{name}` has no argument `{keyword.arg}` in formulas")
            given[str(keyword.arg)] = keyword.value
        for parameter in signature.parameters[: signature.required]:
            if parameter not in given:
                needed = "an argument" if signature.required == 1 else f"{signature.required} arguments"
                self.wrong(node, f"`{name}` needs {needed}")
        # The first argument is the data, except for kinds of contrast, which have no data.
        data = signature.parameters[0] if name in FUNCTIONS or name.startswith("np.") else None
        for parameter, value in given.items():
            if name == "Q":
                self.quoted_column(value)
            elif parameter in signature.counts:
                self.count(value, parameter)
            elif signature.literals and parameter != data:
                self.argument(value)
            else:
                self.expression(value)

    def quoted_column(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            self.refuse(node, "Q takes the name of a column, as text", "Write Q('name').")
        self.string(node)
        self.names.append((self.code.column(node), node.value))

    def count(self, node: ast.expr, parameter: str) -> None:
        if isinstance(node, ast.Name):
            self.name(node)
            return
        if isinstance(node, ast.Constant) and node.value is None:
            return
        if not isinstance(node, ast.Constant) or type(node.value) is not int or node.value > MAX_COUNT:
            self.refuse(node, f"`{parameter}` has to be a whole number of at most {MAX_COUNT}")

    def argument(self, node: ast.expr) -> None:
        """Check something that may also be text, a collection, or a kind of contrast."""
        if isinstance(node, ast.Constant) and node.value is None:
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.string(node)
        elif isinstance(node, (ast.List, ast.Tuple)):
            for element in node.elts:
                self.argument(element)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if not isinstance(key, ast.Constant):
                    self.other(key or value)
                self.argument(key)
                self.argument(value)
        elif not self.contrast(node):
            self.expression(node)

    def contrast(self, node: ast.expr) -> bool:
        """Check ``contr.sum``, ``contr.treatment('a')``, ``Treatment('a')``; False if it is none of these."""
        call = node if isinstance(node, ast.Call) else None
        target = call.func if call else node
        if isinstance(target, ast.Name) and not (self.env and target.id in self.env):
            signature = CONTRAST_NAMES.get(target.id)
            name = target.id
        else:
            name = self.qualified(target) or ""
            signature = CONTRASTS.get(name.removeprefix("contr.")) if name.startswith("contr.") else None
        if signature is None:
            return False
        if call:
            self.arguments(call, name, signature)
        return True


def _balanced(text: str) -> bool:
    """Whether round and square brackets in a text come in pairs."""
    opened: list[str] = []
    for char in text:
        if char in "([":
            opened.append(")" if char == "(" else "]")
        elif char in ")]" and (not opened or opened.pop() != char):
            return False
    return not opened


def _has_power(node: ast.expr) -> bool:
    """Whether a power could reach the value of this node as a whole number: functions but I() give floats."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Pow) or _has_power(node.left) or _has_power(node.right)
    if isinstance(node, ast.UnaryOp):
        return _has_power(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return (node.func.id not in FUNCTIONS or node.func.id == "I") and any(map(_has_power, node.args))
    return False


def _whole_number(node: ast.expr) -> int | None:
    """Value of an expression of whole numbers; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.UnaryOp):
        return _whole_number(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _whole_number(node.left), _whole_number(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Pow):
            return left ** min(abs(right), MAX_EXPONENT)
        return _FOLDS[type(node.op)](left, right) if type(node.op) in _FOLDS else abs(left)
    return None
