"""Python expressions inside a formula, evaluated on columns: the response, offsets, ``I(...)``, ``log(x)``, ``bs(x)``.

Names mean the following, and only this: a name that is called (``log`` in ``log(x)``) or whose attribute is taken
(``np`` in ``np.log(x)``) is a function from the documented list or from ``env``; every other name is a column of the
data, and where there is no such column a value from ``env``. A column may therefore be called ``log`` or ``np``.
Columns of whole numbers enter as double precision, as in R, so that ``x ** 10`` of an int8 column does not wrap
around; ``C(x)`` alone sees them as they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import Frame, column
from mixedfx.design.frame import examples, kind, nearest
from mixedfx.errors import DataError, MixedfxError, counted_rows
from mixedfx.formula.mixed_formula import MixedFormula

# Quoted strings first, so that a backtick inside one is not taken for a name.
_QUOTED = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)""")


@dataclass(frozen=True)
class Scope:
    """What expressions may name besides columns: the documented functions, the caller's values, contrasts by factor."""

    env: Mapping[str, Any] = field(default_factory=dict)
    contrasts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, env: Mapping[str, Any] | None, contrasts: Mapping[str, Any] | None = None) -> Scope:
        """What the caller passed, beside the documented functions."""
        return cls(dict(env or {}), dict(contrasts or {}))

    @property
    def functions(self) -> Mapping[str, Any]:
        """The documented functions, whose import takes long: columns alone need none."""
        from mixedfx.formula.functions import formula_functions

        return formula_functions()

    def names(self) -> dict[str, Any]:
        """Functions and the caller's values in one mapping; the caller's win."""
        return {**self.functions, **self.env}


def columns_read(formula: MixedFormula, env: Collection[str], available: Collection[Any]) -> tuple[str, ...]:
    """Name the data columns a formula reads, in order of appearance; a column hides a value of `env`, as in R.

    Raises
    ------
    UnsafeFormulaError
        Where it asks for a function that is neither documented nor in `env`.
    """
    from mixedfx.formula.variables import free_names

    return tuple(name for name in free_names(formula, env) if name in available or name not in env)


def column_of(expression: str) -> str:
    """Take the backticks off a bare name; any other expression stays as it is."""
    text = expression.strip()
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "`" and text.count("`") == 2 else text


def _alias(name: str) -> str:
    # A function of the name alone: formulaic files the state of center(), poly() ... under the text of the call, and
    # must find it again for new data.
    return "column_" + name.encode().hex()


class _Names(ast.NodeTransformer):
    """Replace ``Q("name")``, and each name that stands for a column and that a function has too, by an alias."""

    def __init__(self, clashing: set[str]) -> None:
        self.clashing = clashing
        self.aliases: dict[str, str] = {}

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "Q" and len(node.args) == 1:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                return self._column(name.value, node)
        if not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
        node.args = [self.visit(a) for a in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.value, ast.Name):
            node.value = self.visit(node.value)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self.clashing:
            return node
        return self._column(node.id, node)

    def _column(self, name: str, node: ast.expr) -> ast.AST:
        self.aliases[_alias(name)] = name
        return ast.copy_location(ast.Name(_alias(name), ast.Load()), node)


class _Columns(Mapping[str, Any]):
    """The columns an expression sees, under their names and aliases; whole numbers as float64 unless `raw`."""

    def __init__(self, frame: Frame, aliases: Mapping[str, str], hidden: set[str], raw: bool) -> None:
        self.frame, self.aliases, self.hidden, self.raw = frame, aliases, hidden, raw

    def __contains__(self, name: object) -> bool:
        return name in self.aliases or (name in self.frame.columns and name not in self.hidden)

    def __getitem__(self, name: str) -> Any:
        values = column(self.frame, self.aliases.get(name, name))
        if not self.raw and kind(values) == "number" and values.dtype != np.float64:
            return values.astype(np.float64)
        return values

    def __iter__(self) -> Iterator[str]:
        yield from self.aliases
        yield from (str(c) for c in self.frame.columns if c not in self.hidden)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def unquoted(expression: str) -> tuple[str, dict[str, str]]:
    """An expression as Python reads it: names in backticks replaced by aliases; alias -> name."""
    aliases: dict[str, str] = {}
    pieces = _QUOTED.split(expression)
    for i, piece in enumerate(pieces):
        if piece.startswith("`"):
            aliases[_alias(piece[1:-1])] = piece[1:-1]
            pieces[i] = _alias(piece[1:-1])
    return "".join(pieces).strip(), aliases


def _is_factor_call(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("C", "factor")


def evaluate(expression: str, frame: Frame, scope: Scope, state: dict[str, Any], model_spec: Any = None) -> Any:
    """Value of a checked expression on the columns of `frame`.

    Parameters
    ----------
    expression
        Python text in which columns may be written in backticks; it has passed `mixedfx.formula.safety`.
    frame
        Plain columns.
    scope
        Functions and the caller's values.
    state
        What stateful transforms (center, poly, bs ...) learnt; filled on the first call, read on later ones.
    model_spec
        Passed on to transforms that ask for it.
    """
    from formulaic.utils.layered_mapping import LayeredMapping
    from formulaic.utils.stateful_transforms import stateful_eval

    text, aliases = unquoted(expression)
    tree = ast.parse(text, mode="eval")
    names = scope.names()
    clashing = {str(c) for c in frame.columns if c in names}
    if clashing or "Q(" in text:
        rename = _Names(clashing)
        tree = ast.Expression(rename.visit(tree.body))
        aliases |= rename.aliases
        text = ast.unparse(tree)
    columns = _Columns(frame, aliases, clashing, raw=_is_factor_call(tree.body))
    for node in ast.walk(tree):  # a name found nowhere must not fall through to Python's own functions
        if isinstance(node, ast.Name) and node.id not in names:
            name = aliases.get(node.id, node.id)
            if name not in frame.columns:
                raise DataError(f"the data have no column '{name}'", hint=nearest(name, frame.columns))
    with np.errstate(all="ignore"):  # what is not finite is reported by `finite`, with the expression and the rows
        return stateful_eval(text, LayeredMapping(columns, names), None, state, model_spec)


def finite(name: str, values: NDArray[np.float64], rows: NDArray[np.intp]) -> None:
    """Refuse infinities and NaN.

    Parameters
    ----------
    name
        The expression, for the message.
    values
        (n,) or (n, k) values.
    rows
        (n,) positions of the rows in the data as given; -1 where they are not known.

    Raises
    ------
    DataError
        Naming the expression and the first rows.
    """
    ok = np.isfinite(values)
    if ok.all():
        return
    bad = ~(ok if values.ndim == 1 else ok.all(axis=1))
    what = "infinite" if np.isinf(values).any() else "not a number"
    raise DataError(
        f"'{name}' is {what} in {counted_rows(rows[bad])}",
        hint="Drop or repair these rows, or choose a transform that is defined for them.",
    )


def value_of(expression: str, frame: Frame, scope: Scope, state: dict[str, Any], what: str) -> pd.Series:
    """(n,) value of an expression, of any kind; `what` says in messages what the expression is for.

    Raises
    ------
    DataError
        Where it cannot be evaluated, or is not one column.
    """
    name = column_of(expression)
    try:
        value = column(frame, name) if name in frame.columns else evaluate(expression, frame, scope, state)
    except MixedfxError:
        raise
    except Exception as error:
        raise DataError(f"the {what} '{expression}' could not be evaluated: {error}") from error
    value = getattr(value, "__wrapped__", value)
    if np.ndim(value) == 0 and isinstance(value, (int, float, np.number)):
        value = np.full(len(frame), float(value))
    if np.shape(value) != (len(frame),):
        raise DataError(f"the {what} '{expression}' is not one column of {len(frame)} values")
    return value if isinstance(value, pd.Series) else pd.Series(np.asarray(value))


def number(
    expression: str, frame: Frame, scope: Scope, state: dict[str, Any], rows: NDArray[np.intp], what: str
) -> NDArray[np.float64]:
    """(n,) float64 value of an expression that must be a column of finite numbers; booleans count as 0 and 1.

    `what` says in messages what the expression is for: ``response``, ``offset``.

    Raises
    ------
    DataError
        Where the value is text, a category, a date, not one column, or not finite.
    """
    return finite_number(expression, value_of(expression, frame, scope, state, what), frame, rows, what)


def finite_number(
    expression: str, series: pd.Series, frame: Frame, rows: NDArray[np.intp], what: str
) -> NDArray[np.float64]:
    """(n,) float64 of the value of an expression; arguments and errors as those of `number`."""
    name, found = column_of(expression), kind(series)
    if found not in ("number", "boolean"):
        first = examples(series.iloc[:1])
        raise DataError(
            f"the {what} '{expression}' is not numeric: it holds {found} values such as {examples(series)}",
            hint=f"Code it as a number first, for instance data['{name}'] == {first} for a 0/1 {what}."
            if name in frame.columns
            else None,
        )
    values = series.to_numpy(dtype=np.float64)
    finite(expression, values, rows)
    return values
