"""The algebra of grouping factors: ``a/b``, ``a:b``, ``a*b``, ``a + b``, ``(a + b)^2``, with R's meaning.

A grouping is a set of columns; its levels are their observed combinations. An expression of groupings expands to a list
of them, main effects before interactions, each set once. Nesting joins everything on its left: ``(a + b)/c`` is
``a + b + a:b:c``, as in R (`?formula`).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from mixedfx.errors import FormulaError
from mixedfx.formula.python_code import PythonCode
from mixedfx.formula.safety import code_of
from mixedfx.formula.scan import Kind, Token

Grouping = tuple[str, ...]

MAX_GROUPINGS = 200
"""Most groupings that one random term may expand to."""

_PRECEDENCE = {"+": 1, "*": 2, "/": 2, ":": 3, "^": 4, "**": 4}


def expand_groupings(tokens: Sequence[Token], formula: str) -> tuple[Grouping, ...]:
    """Expand the right side of a bar to the groupings it stands for.

    Parameters
    ----------
    tokens
        The tokens right of the bar, operators and operands alternating, powers whole numbers.
    formula
        The whole formula, for messages.

    Returns
    -------
    tuple of tuple of str
        Column names; main effects first, else in the order written.

    Raises
    ------
    FormulaError
        A number or a function where a column is meant, an operator with no meaning here.

    Examples
    --------
    >>> from mixedfx.formula.grouping import expand_groupings
    >>> from mixedfx.formula.scan import scan
    >>> expand_groupings(scan("a/b"), "a/b")
    (('a',), ('a', 'b'))
    >>> expand_groupings(scan("x3*x4"), "x3*x4")
    (('x3',), ('x4',), ('x3', 'x4'))
    """
    reader = _Reader(tokens, formula)
    return tuple(sorted(reader.expression(0), key=len))


def read_relation(tokens: Sequence[Token], formula: str) -> tuple[Grouping, str] | None:
    """Column and name of the known correlations in ``gr(species, cov=A)``; None for any other grouping."""
    if len(tokens) != 1 or tokens[0].kind is not Kind.CODE or not tokens[0].text.startswith("gr("):
        return None
    code = code_of(tokens[0], formula)
    call = code.tree
    if (
        isinstance(call, ast.Call)
        and [type(a) for a in call.args] == [ast.Name]
        and [k.arg for k in call.keywords] == ["cov"]
        and isinstance(call.keywords[0].value, ast.Name)
    ):
        group = _columns_of(replace(code, tree=call.args[0]))
        return group, call.keywords[0].value.id
    raise FormulaError(
        "correlations between levels are named in the call",
        formula=formula,
        column=tokens[0].start,
        hint='Write (1 | gr(species, cov=A)), and say what A is: env={"A": A}, a data frame with the levels as its '
        "index and columns.",
    )


class _Reader:
    """Precedence climbing over the tokens of one grouping expression."""

    def __init__(self, tokens: Sequence[Token], formula: str) -> None:
        self.tokens = tokens
        self.formula = formula
        self.position = 0

    def expression(self, minimum: int) -> list[Grouping]:
        left = self.operand()
        while self.position < len(self.tokens) and self.tokens[self.position].kind is not Kind.CLOSE:
            token = self.tokens[self.position]
            precedence = _PRECEDENCE.get(token.text)
            if precedence is None:
                raise FormulaError(
                    f"`{token.text}` has no meaning between grouping factors",
                    formula=self.formula,
                    column=token.start,
                    hint="Write / for nested factors, : for their combinations, * or + for crossed ones.",
                )
            if precedence <= minimum:
                break
            self.position += 1
            if precedence == _PRECEDENCE["^"]:
                left = self.power(left, token)
            else:
                left = _combine(token.text, left, self.expression(precedence))
            if len(left) > MAX_GROUPINGS:
                raise FormulaError(
                    f"more than {MAX_GROUPINGS} grouping factors", formula=self.formula, column=token.start
                )
        return left

    def power(self, base: list[Grouping], operator: Token) -> list[Grouping]:
        token = self.tokens[self.position]
        self.position += 1
        result = base
        # Beyond as many factors as there are, a power adds nothing.
        for _ in range(min(int(token.text), len(base)) - 1):
            result = _union(result, [(*a, *b) for a in result for b in base])
            if len(result) > MAX_GROUPINGS:
                raise FormulaError(
                    f"more than {MAX_GROUPINGS} grouping factors", formula=self.formula, column=operator.start
                )
        return result

    def operand(self) -> list[Grouping]:
        token = self.tokens[self.position]
        self.position += 1
        if token.kind is Kind.OPEN:
            inside = self.expression(0)
            self.position += 1
            return inside
        if token.kind in (Kind.NAME, Kind.QUOTED) and token.text != ".":
            return [(token.name,)]
        if token.kind is Kind.CODE:
            return [_columns_of(code_of(token, self.formula))]
        what = "a number" if token.kind is Kind.NUMBER else f"`{token.text}`"
        raise FormulaError(
            f"{what} is not a grouping factor",
            formula=self.formula,
            column=token.start,
            hint="Name the column whose levels the effects vary over: (1 | g).",
        )


def _combine(operator: str, left: list[Grouping], right: list[Grouping]) -> list[Grouping]:
    crossed = [(*a, *b) for a in left for b in right]
    if operator == "+":
        return _union(left, right)
    if operator == "*":
        return _union(left, right, crossed)
    if operator == "/":
        every = [name for grouping in left for name in grouping]
        return _union(left, [(*every, *b) for b in right])
    return _union(crossed)


def _union(*parts: list[Grouping]) -> list[Grouping]:
    """All groupings in order, each set of columns once, each column once in a set."""
    found: dict[frozenset[str], Grouping] = {}
    for grouping in (g for part in parts for g in part):
        found.setdefault(frozenset(grouping), tuple(dict.fromkeys(grouping)))
    return list(found.values())


def _columns_of(code: PythonCode) -> Grouping:
    """Columns of ``factor(g)``, ``interaction(g, h)``, ``Q('g')`` or ``{g}``."""
    call = code.tree
    if isinstance(call, ast.Name):
        return (code.quoted.get(call.id, call.id),)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args and not call.keywords:
        function = call.func.id
        if function == "Q" and isinstance(call.args[0], ast.Constant):
            return (str(call.args[0].value),)
        names = tuple(code.quoted.get(a.id, a.id) for a in call.args if isinstance(a, ast.Name))
        if len(names) == len(call.args) and (function == "interaction" or (function == "factor" and len(names) == 1)):
            return tuple(dict.fromkeys(names))
    raise FormulaError(
        f"`{code.text}` is not a grouping factor",
        formula=code.formula,
        column=code.start,
        hint="Compute it as a column beforehand and name that column.",
    )
