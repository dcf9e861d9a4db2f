"""Reading the left side of a formula as a transformation of a variable, so that answers can be given in its units.

The syntax tree is peeled from the outside: each call or sum with one argument that holds a column is a step of a
`Transformation`; what is left in the middle is the variable. That may be several columns computed with, such as
``post - pre``, ``weight / height ** 2`` or ``y > 3``, which are a quantity of their own. A function of a column that
nobody here knows how to undo makes the left side `Unknown`, with the reason.

Constants are worked out where they are needed: those of ``scale(y)`` and its like from the data of the fit, which are
what the transform learnt from.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.expressions import Scope, evaluate
from mixedfx.design.transforms import CURVES, Affine, Curve, Transformation, power
from mixedfx.errors import MixedfxError
from mixedfx.families.family import Family
from mixedfx.formula.python_code import PythonCode, read_code

Array = NDArray[np.float64]
Step = Affine | Curve

LEARNT = ("center", "scale", "standardize")
# Functions whose value is a quantity in the units of their argument.
KEEP_UNITS = frozenset(
    ("abs", "absolute", "fabs", "maximum", "minimum", "fmax", "fmin", "clip", "round", "rint", "floor", "ceil", "trunc")
)
# Functions of conditions, whose value is one too.
CONDITIONS = frozenset(
    (
        *("isnan", "isfinite", "logical_and", "logical_or", "logical_xor", "logical_not"),
        *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    )
)
_OPERATORS: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "subtract": ast.Sub,
    "multiply": ast.Mult,
    "divide": ast.Div,
    "power": ast.Pow,
}


@dataclass(frozen=True)
class Unknown:
    """A left side that cannot be undone.

    Attributes
    ----------
    text
        As written.
    reason
        Why, as the end of a sentence.
    """

    text: str
    reason: str


class _CannotUndo(Exception):
    """The reason is its argument."""


def read_transformation(design: Design, family: Family | None = None) -> Transformation | Unknown | None:
    """How the response of a design depends on the variable that stands in it.

    Parameters
    ----------
    design
        The design of a fit.
    family
        Distribution of the response; categories, zeros and ones and successes out of trials are no transformations.

    Returns
    -------
    Transformation, Unknown or None
        None where the response is the variable itself.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.design.backtransform import read_transformation
    >>> star = mx.datasets.load("star")
    >>> found = read_transformation(mx.design("log(math / 100) ~ small", star))
    >>> found.variable, found.kind, [type(step).__name__ for step in found.steps]
    ('math', 'geometric mean', ['Curve', 'Affine'])
    >>> print(read_transformation(mx.design("math ~ small", star)))
    None
    """
    text = design.formula.response
    if text is None or design.categories is not None or design.trials is not None:
        return None
    if family is not None and family.outcome not in ("real", "positive", "unit", "count"):
        return None
    code = read_code(text, 0, text)
    reader = _Reader(design, code)
    try:
        steps, variable = reader.peel(code.tree)
    except _CannotUndo as reason:
        return Unknown(text, str(reason))
    except MixedfxError:
        return Unknown(text, "it cannot be evaluated on the data of the fit")
    return Transformation(text, variable, tuple(steps)) if steps else None


class _Reader:
    """Peels one left side."""

    def __init__(self, design: Design, code: PythonCode) -> None:
        self.frame, self.code = design.frame, code
        self.scope = Scope.of(design.spec.env, design.spec.contrasts)

    def peel(self, node: ast.expr) -> tuple[list[Step], str]:
        """Steps, outermost first, and the variable in the middle."""
        steps: list[Step] = []
        while True:
            if self.column(node) is not None:
                return steps, str(self.column(node))
            found = self.step(node)
            if found is None:
                self.check_quantity(node)
                return steps, self.code.render(node)
            step, inner = found
            if isinstance(step, Curve) and step.positive and not (self.values(inner) > 0).all():
                inside = self.code.render(inner)
                raise _CannotUndo(f"it is one to one where {inside} is positive, which it is not in all rows")
            steps += [] if step is None else [step]
            node = inner

    def step(self, node: ast.expr) -> tuple[Step | None, ast.expr] | None:
        """Undo the outermost function: what it is (None for ``I``), and its argument; None where nothing is to undo."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            return (Affine(0.0, -1.0) if isinstance(node.op, ast.USub) else None), node.operand
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        if not isinstance(node, ast.Call):
            return None
        name = self.function(node)
        if name == "I":
            return None, node.args[0]
        if name in ("negative", "reciprocal", *CURVES) and len(node.args) == 1 and not node.keywords:
            inner = node.args[0]
            if name == "negative":
                return Affine(0.0, -1.0), inner
            odds = self.odds(inner) if name in ("log", "log2", "log10") else None
            return (CURVES[name], inner) if odds is None else self.logit(node, name, odds)
        if name in LEARNT and node.args:
            return self.learnt(node), node.args[0]
        if name in _OPERATORS and len(node.args) == 2:
            return self.binary(ast.BinOp(node.args[0], _OPERATORS[name](), node.args[1]))
        return None

    def binary(self, node: ast.BinOp) -> tuple[Step | None, ast.expr] | None:
        """Undo arithmetic with a constant; None for arithmetic among columns."""
        left, right = self.reads(node.left), self.reads(node.right)
        if left and right:
            merged = self.log_of_ratio(node)
            return None if merged is None else (None, merged)
        if not (left or right):
            return None
        inner, c = (node.left, self.constant(node.right)) if left else (node.right, self.constant(node.left))
        match node.op:
            case ast.Add():
                return Affine(-c, 1.0), inner
            case ast.Sub():
                return (Affine(c, 1.0) if left else Affine(c, -1.0)), inner
            case ast.Mult() if c != 0:
                return Affine(0.0, 1.0 / c), inner
            case ast.Div() if left and c != 0:
                return Affine(0.0, c), inner
            case ast.Div() if c != 0:
                return Affine(0.0, 1.0 / c), self.call("reciprocal", inner)
            case ast.Pow() if left and c == 1:
                return None, inner
            case ast.Pow() if left and c != 0:
                named = {0.5: "sqrt", 2.0: "square", -1.0: "reciprocal"}.get(c)
                return (CURVES[named] if named else power(c)), inner
        return None

    def logit(self, node: ast.Call, name: str, odds: tuple[ast.expr, float]) -> tuple[Step, ast.expr]:
        """``log(p / (c - p))`` as a logit of p / c, in the base of the logarithm."""
        inner, c = odds
        base = CURVES[name].rate
        scaled = ast.BinOp(inner, ast.Div(), ast.Constant(c)) if c != 1 else inner
        call = self.call("logit", scaled)
        return (Affine(0.0, base), call) if base is not None and base != 1 else (CURVES["logit"], scaled)

    def odds(self, node: ast.expr) -> tuple[ast.expr, float] | None:
        """Find p and c of ``p / (c - p)``."""
        match node:
            case ast.BinOp(left=p, op=ast.Div(), right=ast.BinOp(left=c, op=ast.Sub(), right=q)) if (
                not self.reads(c) and self.reads(p) and self.code.render(p) == self.code.render(q)
            ):
                return p, self.constant(c)
        return None

    def log_of_ratio(self, node: ast.BinOp) -> ast.expr | None:
        """``log(a) - log(b)`` as ``log(a / b)``, and a sum as the logarithm of a product."""
        match node:
            case ast.BinOp(left=ast.Call(args=[a]) as first, op=ast.Sub() | ast.Add() as op, right=ast.Call(args=[b])):
                names = {self.function(first), self.function(node.right)}  # pyright: ignore[reportArgumentType]
                if len(names) == 1 and names <= {"log", "log2", "log10"}:
                    joined = ast.BinOp(a, ast.Div() if isinstance(op, ast.Sub) else ast.Mult(), b)
                    return ast.Call(first.func, [joined], [])
        return None

    def learnt(self, node: ast.Call) -> Affine:
        """Shift and factor of ``center(y)``, ``scale(y)``, ``standardize(y)``, from their values in the data."""
        before, after = self.values(node.args[0]), self.values(node)
        low, high = int(np.argmin(before)), int(np.argmax(before))
        if before[low] == before[high]:
            raise _CannotUndo(f"{self.code.render(node)} of a constant has no scale")
        factor = float((before[high] - before[low]) / (after[high] - after[low]))
        # At the value nearest zero, so that the shift of values without one is zero to the last digit.
        at = int(np.argmin(np.abs(before)))
        shift = float(before[at] - factor * after[at])
        return Affine(0.0 if abs(shift) < 1e-12 * float(np.max(np.abs(before))) else shift, factor)

    def check_quantity(self, node: ast.expr) -> None:
        """Refuse a variable in which a function bends a column."""
        if self.column(node) is not None or not self.reads(node) or isinstance(node, ast.Compare):
            return
        if isinstance(node, ast.BinOp) and isinstance(
            node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv | ast.Mod | ast.BitAnd | ast.BitOr
        ):
            self.check_quantity(node.left)
            self.check_quantity(node.right)
            return
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not self.reads(node.right):
            self.check_quantity(node.left)
            return
        if isinstance(node, ast.UnaryOp):
            self.check_quantity(node.operand)
            return
        if isinstance(node, ast.Call):
            name = self.function(node)
            if name in CONDITIONS:
                return
            if name in KEEP_UNITS or name == "I" or name in _OPERATORS:
                for argument in node.args:
                    self.check_quantity(argument)
                return
            if name == "where":
                for argument in node.args[1:]:
                    self.check_quantity(argument)
                return
            name = ast.unparse(node.func)
            if name.removeprefix("np.") in CURVES:
                raise _CannotUndo(f"{name}(...) is one part of it among others")
            raise _CannotUndo(f"{name}(...) is no function that can be undone")
        raise _CannotUndo(f"{self.code.render(node)} cannot be undone")

    def function(self, node: ast.expr) -> str | None:
        """Name of the documented function that is called; None for a function of the caller that is none of them."""
        func = node.func if isinstance(node, ast.Call) else None
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
            return func.attr if func.value.id == "np" and "np" not in self.scope.env else None
        if not isinstance(func, ast.Name):
            return None
        if func.id not in self.scope.env:
            return func.id
        return _documented(self.scope.env[func.id])

    def column(self, node: ast.expr) -> str | None:
        """The column that a node is."""
        if isinstance(node, ast.Name):
            name = self.code.quoted.get(node.id, node.id)
            return name if name in self.frame.columns else None
        match node:
            case ast.Call(func=ast.Name(id="Q"), args=[ast.Constant(value=str() as name)]) if "Q" not in self.scope.env:
                return name
        return None

    def reads(self, node: ast.expr) -> bool:
        """Whether a node depends on a column."""
        if self.column(node) is not None:
            return True
        if isinstance(node, ast.Call):
            arguments = [*node.args, *(k.value for k in node.keywords)]
            return any(self.reads(argument) for argument in arguments)
        return any(self.reads(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    def constant(self, node: ast.expr) -> float:
        """The value of a node that depends on no column."""
        value = np.asarray(self.evaluate(node), dtype=np.float64)
        if value.ndim or not np.isfinite(value):
            raise _CannotUndo(f"{self.code.render(node)} is no finite number")
        return float(value)

    def values(self, node: ast.expr) -> Array:
        """(n,) values of a node in the data of the fit."""
        value = self.evaluate(node)
        return np.asarray(getattr(value, "__wrapped__", value), dtype=np.float64).reshape(-1)

    def evaluate(self, node: ast.expr) -> Any:
        name = self.column(node)
        if name is not None:
            return self.frame[name]
        return evaluate(self.code.render(ast.fix_missing_locations(node)), self.frame, self.scope, {})

    def call(self, name: str, argument: ast.expr) -> ast.expr:
        """A call of a documented function, for the next turn."""
        return ast.Call(ast.Attribute(ast.Name("np"), name), [argument], [])


def _documented(function: Any) -> str | None:
    """Name of the entry of `CURVES` that a function of the caller is."""
    from scipy import special

    known = {"logit": special.logit, "probit": special.ndtri, "exp10": special.exp10}
    known |= {name: getattr(np, name) for name in (*CURVES, "negative") if hasattr(np, name)}
    return next((name for name, own in known.items() if own is function), None)
