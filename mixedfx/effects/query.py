"""Subgroup queries: ``"race == 'Black' and age >= 30"`` as a boolean for each row.

A query is text from anywhere, so it is never evaluated as code. Python's own grammar reads it into a syntax tree, and
the small evaluator below walks the tree; what it has no rule for is refused. The rules are: comparisons (also
chained) of a column with a constant or with another column, ``in`` and ``not in`` a list of constants, ``and``,
``or``, ``not``, parentheses, and a boolean column on its own. A column whose name is not an identifier stands in
backticks.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import column as fetch
from mixedfx.design.labels import level_label
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError

Levels = Mapping[str, Collection[Any]]
NO_LEVELS: Levels = {}

# Longer or deeper text is not a subgroup a person wrote; the limits keep the parser and the recursion below safe.
MAX_CHARACTERS = 2000
MAX_DEPTH = 50

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
_PYTHON_WORDS = {ast.BitAnd: ("&", "and"), ast.BitOr: ("|", "or")}


@dataclass(frozen=True)
class Query:
    """A parsed query.

    Attributes
    ----------
    text
        The query as written, without surrounding blanks.
    tree
        Its syntax tree; only nodes the evaluator knows.
    quoted
        Position -> name of the columns written in backticks.
    """

    text: str
    tree: ast.expr
    quoted: dict[int, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns the query needs, in order of appearance."""
        names = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name)]
        names.sort(key=lambda n: n.col_offset)
        return tuple(dict.fromkeys(self._name(n) for n in names))

    def rows(self, frame: pd.DataFrame, known: Levels = NO_LEVELS) -> NDArray[np.bool_]:
        """Which rows of `frame` the query selects.

        Parameters
        ----------
        frame
            (m, .) with the columns of the query, without missing values.
        known
            Column -> levels that it may have besides those in `frame`.

        Returns
        -------
        ndarray
            (m,) booleans.

        Raises
        ------
        EffectsError
            A column or level that `frame` does not have, or a comparison that has no meaning for a column's type.

        Examples
        --------
        >>> import pandas as pd
        >>> from mixedfx.effects.query import parse_query
        >>> frame = pd.DataFrame({"race": ["Black", "White", "Black"], "age": [20, 30, 40]})
        >>> parse_query("race == 'Black' and age >= 30").rows(frame)
        array([False, False,  True])
        """
        return self._truth(self.tree, frame, known)

    def _name(self, node: ast.Name) -> str:
        # The source text, not node.id: Python folds identifiers to NFKC, and a column's name is what the user sees.
        return self.quoted.get(node.col_offset) or self.text[node.col_offset : node.end_col_offset]

    def _error(self, message: str, node: ast.expr, hint: str | None = None) -> EffectsError:
        return _error(message, self.text, node.col_offset, hint)

    def _truth(self, node: ast.expr, frame: pd.DataFrame, known: Levels) -> NDArray[np.bool_]:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return np.logical_and.reduce([self._truth(v, frame, known) for v in values])
            case ast.BoolOp(values=values):
                return np.logical_or.reduce([self._truth(v, frame, known) for v in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._truth(operand, frame, known)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                lefts = [left, *rights[:-1]]
                pairs = zip(lefts, ops, rights, strict=True)
                parts = [self._compare(a, op, b, node, frame, known) for a, op, b in pairs]
                return np.logical_and.reduce(parts)
            case ast.Name():
                column = self._column(node, frame)
                if _kind(column) != "boolean":
                    raise self._error(
                        f"{self._name(node)!r} is not a boolean column, so it is no condition by itself",
                        node,
                        f"Compare it with a value, such as {self._name(node)} == {_example(column)}.",
                    )
                return column.to_numpy(dtype=bool)
        raise self._error("a condition was expected here", node, "Write a comparison, such as race == 'Black'.")

    def _column(self, node: ast.Name, frame: pd.DataFrame) -> pd.Series:
        name = self._name(node)
        if name not in frame.columns:
            raise self._error(
                f"there is no column {name!r}",
                node,
                did_you_mean(name, frame.columns, all_of="Columns"),
            )
        return fetch(frame, name)

    def _compare(
        self, left: ast.expr, op: ast.cmpop, right: ast.expr, node: ast.Compare, frame: pd.DataFrame, known: Levels
    ) -> NDArray[np.bool_]:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(left, ast.Name) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise self._error(
                    "'in' takes a column on the left and a list of values on the right",
                    node,
                    "Write race in ['Black', 'White'].",
                )
            column = self._column(left, frame)
            values = [self._constant(e, left, column, known) for e in right.elts]
            found = column.isin(values).to_numpy(dtype=bool)
            return found if isinstance(op, ast.In) else ~found
        kind = type(op)
        if not isinstance(left, ast.Name):
            left, right, kind = right, left, _MIRRORED[kind]
        if not isinstance(left, ast.Name):
            raise self._error("a comparison needs a column on one side", node)
        column = self._column(left, frame)
        other: Any
        if isinstance(right, ast.Name):
            other = self._column(right, frame)
            if _kind(column) != _kind(other):
                raise self._error(f"{self._name(left)!r} and {self._name(right)!r} are of different types", node)
            column, other = _plain(column), _plain(other)
        else:
            other = self._constant(right, left, column, known, equal=kind in (ast.Eq, ast.NotEq))
        if kind not in (ast.Eq, ast.NotEq) and not _ordered(column):
            raise self._error(
                f"the values of {self._name(left)!r} have no order",
                node,
                "Use ==, != or in; or make it an ordered pandas category.",
            )
        return np.asarray(_COMPARISONS[kind](column, other), dtype=bool)

    def _constant(
        self, node: ast.expr, name: ast.Name, column: pd.Series, known: Levels, equal: bool = True
    ) -> Any:  # fmt: skip
        """Return a constant that can be compared with `column`; for text, one of its levels.

        Where it is to be equal, text and numbers that are written alike are the same: "2019" and 2019.
        """
        value = _literal(node)
        label, kind = self._name(name), _kind(column)
        if kind == "other":
            raise self._error(
                f"{label!r} holds {column.dtype}; only text, numbers and booleans can be compared in a query",
                name,
                f"Add a column with the groups you mean, such as data['{label}_group'].",
            )
        if (kind == "text") != isinstance(value, str) and equal:
            levels = {level_label(level): level for level in [*known.get(label, ()), *_levels(column)]}
            value = levels.get(level_label(value), value)
        if (kind == "text") != isinstance(value, str):
            raise self._error(
                f"{label!r} holds {'text' if kind == 'text' else kind + 's'}, and {value!r} does not compare with that",
                node,
                f"A value of {label!r} is {_example(column)}.",
            )
        if kind == "text":
            levels = {*_levels(column), *known.get(label, ())}
            if value not in levels:
                hint = did_you_mean(value, sorted(levels), all_of=f"Levels of {label!r}")
                raise self._error(f"{label!r} has no level {value!r}", node, hint)
        return value


def parse_query(text: str) -> Query:
    """Read a query, refusing everything but comparisons of columns and how they combine.

    Parameters
    ----------
    text
        Such as ``"race == 'Black' and gender in ['boy', 'girl']"``, ``"20 <= age < 30"``, ``"not `free lunch`"``.

    Raises
    ------
    EffectsError
        Text that is no such query; the message points at the character.

    Examples
    --------
    >>> from mixedfx.effects.query import parse_query
    >>> parse_query("race == 'Black' and `test score` > 3").columns
    ('race', 'test score')
    >>> parse_query("__import__('os').system('true')")
    Traceback (most recent call last):
        ...
    mixedfx.errors.EffectsError: a call is not allowed in a query
      __import__('os').system('true')
      ^
    Allowed: columns, constants, == != < <= > >=, in, not in, and, or, not, parentheses.
    """
    if not isinstance(text, str):
        raise EffectsError(f"a query must be text, not {type(text).__name__}", hint="Write it as \"race == 'Black'\".")
    # A line break inside parentheses is legal Python; as a blank it keeps every position on one line.
    text = text.replace("\r", " ").replace("\n", " ").strip()
    if not text:
        raise EffectsError("the query is empty", hint="Write a condition, such as \"race == 'Black'\".")
    if len(text) > MAX_CHARACTERS:
        raise EffectsError(f"the query has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    plain, quoted = _without_backticks(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(plain, mode="eval").body
    except SyntaxError as error:
        column = min(max((error.offset or 1) - 1, 0), len(text))
        hint = "Write == for 'equal to'." if _single_equals(plain) else None
        raise _error(f"this query cannot be read: {error.msg}", text, column, hint) from None
    except (ValueError, RecursionError, MemoryError):
        raise EffectsError("this query cannot be read: it is nested too deeply or holds illegal characters") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            # The tree counts bytes of UTF-8; every message below counts characters.
            node.col_offset = len(plain.encode()[: node.col_offset].decode())
            node.end_col_offset = len(plain.encode()[: node.end_col_offset].decode())
    _refuse_unknown(tree, text)
    return Query(text, tree, quoted)


def _without_backticks(text: str) -> tuple[str, dict[int, str]]:
    """Replace each name in backticks by an identifier of the same length; return position -> name."""
    out, quoted, position, quote = [], {}, 0, ""
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                out.append(text[position : position + 2])
                position += 2
                continue
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "`":
            end = text.find("`", position + 1)
            if end < 0:
                raise _error("a backtick is not closed", text, position)
            if end == position + 1:
                raise _error("there is no name between these backticks", text, position)
            quoted[position] = text[position + 1 : end]
            out.append("_" * (end + 1 - position))
            position = end + 1
            continue
        out.append(character)
        position += 1
    return "".join(out), quoted


def _refuse_unknown(tree: ast.expr, text: str) -> None:
    """Walk the whole tree before any of it is used: a part that would not be evaluated must be legal too."""
    pending: list[tuple[ast.expr, int]] = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _error(f"conditions are nested more than {MAX_DEPTH} deep", text, 0)
        children: Iterable[ast.expr]
        match node:
            case ast.BoolOp(values=values):
                children = values
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                children = [operand]
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                wrong = next((o for o in ops if isinstance(o, ast.Is | ast.IsNot)), None)
                if wrong is not None:
                    raise _error("'is' is not allowed in a query", text, node.col_offset, "Write == or !=.")
                children = [left, *comparators]
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                bad = next((e for e in elements if _literal(e) is None), None)
                if bad is not None:
                    raise _error("a list in a query holds constants only", text, bad.col_offset)
                children = []
            case ast.Name():
                children = []
            case ast.expr() if _literal(node) is not None:
                children = []
            case ast.BinOp(op=op) if type(op) in _PYTHON_WORDS:
                symbol, word = _PYTHON_WORDS[type(op)]
                raise _error(f"'{symbol}' is not allowed in a query", text, node.col_offset, f"Write '{word}'.")
            case ast.UnaryOp(op=ast.Invert()):
                raise _error("'~' is not allowed in a query", text, node.col_offset, "Write 'not'.")
            case _:
                raise _error(
                    f"{_described(node)} is not allowed in a query",
                    text,
                    node.col_offset,
                    "Allowed: columns, constants, == != < <= > >=, in, not in, and, or, not, parentheses.",
                )
        pending += [(child, depth + 1) for child in children]


def _literal(node: ast.AST) -> str | float | bool | None:
    """Return the value of a text, number or boolean constant; None for anything else."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(
            value, bool
        ):
            return -value
    return None


def _described(node: ast.AST) -> str:
    names: dict[type[ast.AST], str] = {
        ast.Call: "a call",
        ast.Attribute: "an attribute",
        ast.Subscript: "an index",
        ast.Lambda: "a function",
        ast.BinOp: "arithmetic",
        ast.UnaryOp: "arithmetic",
        ast.JoinedStr: "a formatted string",
        ast.NamedExpr: "an assignment",
        ast.IfExp: "a conditional expression",
        ast.Constant: "this kind of constant",
        ast.Starred: "a star",
        ast.Dict: "a dictionary",
    }
    return names.get(type(node), "this")


def _kind(column: pd.Series) -> str:
    """Say what the values are: text, number, boolean or other."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred in ("string", "empty"):
        return "text"
    if inferred == "boolean":
        return "boolean"
    return "number" if inferred in ("integer", "floating", "mixed-integer-float", "decimal") else "other"


def _levels(column: pd.Series) -> list[Any]:
    """Values that a column has, or as a category may have."""
    return list(column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique())


def _ordered(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return bool(column.dtype.ordered)
    return _kind(column) == "number"


def _plain(column: pd.Series) -> pd.Series:
    """Values without categories: two category columns compare only if their categories are the same."""
    return column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column


def _example(column: pd.Series) -> str:
    values = column.dropna()
    return repr(values.iloc[0].item() if hasattr(values.iloc[0], "item") else values.iloc[0]) if len(values) else "1"


def _single_equals(text: str) -> bool:
    stripped = text
    for pair in ("==", "!=", "<=", ">="):
        stripped = stripped.replace(pair, "  ")
    return "=" in stripped


def _error(message: str, text: str, column: int, hint: str | None = None) -> EffectsError:
    return EffectsError(f"{message}\n  {text}\n  {' ' * column}^", hint=hint)
