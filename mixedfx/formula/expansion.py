"""formulaic's reading of a sum of terms, and a bound on its size found beforehand.

A power or a product of sums grows without limit in a text of a few characters, so the number of terms is bounded on
formulaic's syntax tree before formulaic expands it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from keyword import iskeyword
from math import comb
from typing import Any

from mixedfx.errors import FormulaError
from mixedfx.formula.checker import check_code
from mixedfx.formula.python_code import read_code
from mixedfx.formula.terms import Side

MAX_TERMS = 5_000
"""Most terms that a sum may expand to."""

MAX_DEGREE = 64
"""Most factors in one interaction."""

PLAIN = re.compile(r"[01](?: \+ [A-Za-z_]\w*)*", re.ASCII)

MAX_WORK = 500_000
"""Most factors that formulaic may have to multiply for a power."""


def check_terms(side: Side, formula: str) -> int:
    """Let formulaic read a sum of terms.

    Returns
    -------
    int
        The number of terms, the intercept counted.

    Raises
    ------
    FormulaError
        formulaic cannot read it, or it would expand to more than `MAX_TERMS` terms.
    """
    plain = plain_sum(side.text)
    if plain is not None and len(plain) <= MAX_TERMS:
        return len(plain)
    # formulaic is slow to import.
    from formulaic.errors import FormulaicError
    from formulaic.parser import DefaultFormulaParser

    parser = DefaultFormulaParser(feature_flags=DefaultFormulaParser.FeatureFlags.NONE)
    # What `.` stands for is not known yet; one name keeps its place.
    context = {"__formulaic_variables_available__": ["."], "__formulaic_variables_used_lhs__": []}
    try:
        tree = parser.get_ast(side.text, context=context)
        _bound(tree, side, formula)
        terms = list(parser.get_terms_from_ast(tree, context=context))
    except FormulaError:
        raise
    except (FormulaicError, SyntaxError, TypeError, ValueError, IndexError, KeyError, RecursionError) as error:
        message = str(error).split("\n\n")
        mark = re.sub(r"\x1b\[[0-9;]*m", "", message[-1]).find("⧛") if len(message) > 1 else 0
        reason = message[0] if isinstance(error, FormulaicError) else "these terms cannot be read"
        raise FormulaError(reason, formula=formula, column=side.column(max(mark, 0))) from error
    for term in terms:
        for factor in term.factors:
            if factor.eval_method.value == "python":
                # What formulaic will evaluate is checked too, whatever it has made of the text.
                _check_as_read(factor.expr, side, formula)
    return len(terms)


def plain_sum(text: str) -> tuple[tuple[str, ...], ...] | None:
    """The terms of an intercept and names with plus signs between, which need no expansion; None for any other text.

    Examples
    --------
    >>> from mixedfx.formula.expansion import plain_sum
    >>> plain_sum("1 + x + z"), plain_sum("0 + x"), plain_sum("1 + x * z")
    (((), ('x',), ('z',)), (('x',),), None)
    """
    if PLAIN.fullmatch(text) is None:
        return None
    first, *names = text.split(" + ")
    if any(map(iskeyword, names)):
        return None
    return (*(((),) if first == "1" else ()), *((name,) for name in dict.fromkeys(names)))


def _check_as_read(expression: str, side: Side, formula: str) -> None:
    try:
        check_code(read_code(expression, 0, expression), None)
    except FormulaError as error:
        column = side.column(max(side.text.find(expression), 0))
        raise type(error)(error.message, formula=formula, column=column, hint=error.hint) from None


@dataclass(frozen=True)
class _Size:
    """Upper bounds for what a sum of terms expands to: terms, factors in one term; and the factors written."""

    terms: int = 1
    degree: int = 1
    leaves: int = 1


def _bound(tree: Any, side: Side, formula: str) -> None:
    """Refuse a syntax tree whose expansion would be too large; without recursion, as sums are deep trees."""
    sizes: list[_Size] = []
    todo: list[tuple[Any, bool]] = [(tree, False)]
    while todo:
        node, visited = todo.pop()
        if not getattr(node, "args", None):
            sizes.append(_Size())
        elif not visited:
            todo += [(node, True), *((argument, False) for argument in reversed(node.args))]
        else:
            operands = [sizes.pop() for _ in node.args][::-1]
            size = _expansion(node, operands)
            if size.terms > MAX_TERMS or size.degree > MAX_DEGREE:
                raise FormulaError(
                    f"too large to expand: more than {MAX_TERMS:,} terms or {MAX_DEGREE} factors in one",
                    formula=formula,
                    column=side.column(_start(node)),
                    hint="Lower the power, or write out the interactions you mean.",
                )
            sizes.append(size)


def _expansion(node: Any, operands: list[_Size]) -> _Size:
    """Bounds for one operator, given those of its operands."""
    symbol, left, right = node.operator.symbol, operands[0], operands[-1]
    leaves = sum(operand.leaves for operand in operands)
    terms, degree = sum(operand.terms for operand in operands), max(left.degree, right.degree)
    if symbol in ("**", "^"):
        # What exponents can be, see `mixedfx.formula.terms.check_powers`.
        power = min(int(node.args[1].token), MAX_DEGREE + 1)
        terms = sum(comb(left.terms, k) for k in range(1, power + 1))
        degree = left.degree * power
        if left.terms**power * power > MAX_WORK:
            terms = MAX_TERMS + 1
    elif symbol in ("*", ":"):
        terms = left.terms * right.terms + (terms if symbol == "*" else 0)
        degree = left.degree + right.degree
    elif symbol == "/":
        degree = left.terms * left.degree + right.degree
    elif symbol == "in":
        degree = right.terms * right.degree + left.degree
    return _Size(terms, min(degree, leaves), leaves)


def _start(node: Any) -> int:
    """Position of the first token below a node of formulaic's syntax tree."""
    while getattr(node, "args", None):
        node = node.args[0]
    return getattr(node, "source_start", None) or 0
