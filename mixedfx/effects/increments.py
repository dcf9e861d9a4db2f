r"""What one unit more of a numeric treatment adds to the linear predictor, whatever numbers it is measured in.

With x in nanoseconds since 1970, x + 1 is x in double precision, and a second is lost to seven digits: differences of
rows at x + 1 and x round. A row c(x) of the design is affine in x in most models, c(x) = a + b x with b made of the
other columns, and then the slope b follows from any two values without such a loss,

    b = (c(X) - c(x)) / (X - x),    X so much larger than every x that x hardly counts: the error is a few units of
                                    rounding, whatever was added to x.

Where a column bends (``log(x)``, ``poly(x, 2)``), one unit more is what counts, X = x + 1, as long as it is not lost.
Of numbers beyond 2^26, whose unit keeps less than half of the digits, the step is 2^-26 of the largest, and the answer
is the slope over that step. The division is by the step that was taken after rounding, (x + h) - x.
"""

from __future__ import annotations

import ast
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.effects.modifiers import columns_of, terms_of
from mixedfx.formula.python_code import PythonCode, read_code

Array = NDArray[np.float64]

# How many times larger than the largest number a number is beside which it hardly counts.
FAR = 2.0**60
# Half of the digits of a double.
HALF = 2.0**-26

_SAME_DEGREE = frozenset(("I", "center", "scale", "standardize"))


def affine_in(design: Design, column: str) -> bool:
    """Whether every column of the design, and the offset, is affine in a column of the data.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.effects.increments import affine_in
    >>> star = mx.datasets.load("star")
    >>> [affine_in(mx.design(f"math ~ {x} * race", star), "read") for x in ("read", "center(read)", "log(read)")]
    [True, True, False]
    """
    sides = [terms_of(side) for side in (design.formula.fixed, *(part.left for part in design.formula.random))]
    terms = [factors for side in sides for factors in side]
    terms += [(offset.expression,) for offset in design.spec.offsets]
    for factors in terms:
        reading = [f for f in factors if column in columns_of((f,), design)]
        if len(reading) > 1 or any(_degree_of(f, column, design) != 1 for f in reading):
            return False
    return True


def far_from(values: Array) -> float:
    """A power of two beside which `values` hardly count."""
    return FAR * 2.0 ** np.ceil(np.log2(max(float(np.max(np.abs(values), initial=0.0)), 1.0)))


def unit_step(values: Array) -> float:
    """The step taken from `values`: 1, or the power of two that leaves them half of their digits."""
    largest = float(np.max(np.abs(values), initial=0.0)) * HALF
    return 1.0 if largest <= 1 else float(2.0 ** np.ceil(np.log2(largest)))


def increments(rows: Functional, step: Array) -> Functional:
    """The first m rows, and for each what a unit adds.

    Parameters
    ----------
    rows
        2 m rows: those of m cells as they are, and those of the same cells some steps further.
    step
        (m,) the steps.
    """
    m = len(step)
    slope = sparse.diags_array(1.0 / step)
    eye = sparse.eye_array(m)
    found = rows.combine(sparse.csr_array(sparse.block_array([[eye, None], [-slope, slope]])))
    return replace(found, unseen=rows.unseen)


def _degree_of(factor: str, column: str, design: Design) -> int | None:
    """0, 1 or None (neither) for the degree of a factor of a term in a column."""
    if factor in design.frame.columns:
        return int(factor == column)
    text = factor.strip()
    return _Degree(read_code(text, 0, text), column, design).of()


class _Degree:
    """Degree of an expression as a polynomial in one column, up to 1."""

    def __init__(self, code: PythonCode, column: str, design: Design) -> None:
        self.code, self.column, self.env = code, column, design.spec.env

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
