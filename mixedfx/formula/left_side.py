"""The left side of a formula: the response, and additions such as ``se(s)`` and ``trials(m)``."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence

from mixedfx.errors import FormulaError
from mixedfx.formula.checker import check_code
from mixedfx.formula.mixed_formula import Addition
from mixedfx.formula.names import quote
from mixedfx.formula.python_code import read_code
from mixedfx.formula.safety import code_of
from mixedfx.formula.scan import Kind, Token
from mixedfx.formula.terms import at_top, factor_of, one_factor

ADDITIONS = ("se", "trials")
"""Additions on the left: known sampling standard deviations, and numbers of trials."""


def read_left(tokens: Sequence[Token], formula: str) -> tuple[str | None, tuple[Addition, ...]]:
    """Read what stands left of the tilde.

    Parameters
    ----------
    tokens
        Tokens left of the tilde; none for a one-sided formula.
    formula
        The whole formula.

    Returns
    -------
    str or None
        The response as one factor.
    tuple of Addition
        Its additions, in order.

    Raises
    ------
    FormulaError
        Two bars, an unknown addition, an addition without its argument, a response that is a number.
    UnsafeFormulaError
        The response asks for more than the documented functions.
    """
    if not tokens:
        return None, ()
    bars = [t for t in at_top(tokens) if t.kind is Kind.BAR]
    if not bars:
        return _response(tokens, formula), ()
    if len(bars) > 1 or bars[0].text != "|":
        raise FormulaError(
            "additions follow one bar, joined by `+`",
            formula=formula,
            column=bars[-1].start,
            hint="Write y | se(s) ~ x.",
        )
    index = list(tokens).index(bars[0])
    return _response(tokens[:index], formula), _additions(tokens[index:], formula)


def _response(tokens: Sequence[Token], formula: str) -> str:
    if len(tokens) == 1:
        token = tokens[0]
        if token.kind is Kind.CODE:
            return factor_of(token, formula)
        if token.kind in (Kind.NAME, Kind.QUOTED) and token.text != ".":
            return quote(token.name)
        raise FormulaError(
            f"`{token.text}` is not a response", formula=formula, column=token.start, hint="Name a column."
        )
    for token in tokens:
        if token.kind is Kind.BAR:
            raise FormulaError(
                "a random term cannot stand left of `~`", formula=formula, column=token.start, hint="Move it right."
            )
    start, end = tokens[0].start, tokens[-1].end
    code = read_code(formula[start:end], start, formula)
    check_code(code, None)
    return one_factor(code)


def _additions(tokens: Sequence[Token], formula: str) -> tuple[Addition, ...]:
    """Read ``| se(s) + trials(m)``, bar included."""
    found: list[Addition] = []
    # Operators and operands alternate, see `mixedfx.formula.terms.check_grammar`.
    for joint, token in zip(tokens[::2], tokens[1::2], strict=False):
        if joint is not tokens[0] and joint.text != "+":
            raise FormulaError("additions are joined by `+`", formula=formula, column=joint.start)
        name = token.text.partition("(")[0]
        if token.kind is not Kind.CODE or name not in ADDITIONS:
            near = difflib.get_close_matches(name, ADDITIONS, n=1)
            raise FormulaError(
                f"`{name or token.text}` is not an addition",
                formula=formula,
                column=token.start,
                hint=f"Did you mean {near[0]}(...)?"
                if near
                else "Known are se(s), sampling standard deviations, and trials(m), numbers of trials.",
            )
        if any(addition.name == name for addition in found):
            raise FormulaError(f"`{name}` is given twice", formula=formula, column=token.start)
        found.append(Addition(name, single_argument(token, formula), token.start))
    return tuple(found)


def single_argument(token: Token, formula: str) -> str:
    """Spell the argument of ``se(...)``, ``trials(...)`` or ``offset(...)`` as one factor.

    Raises
    ------
    FormulaError
        There is no argument, or more than one.
    """
    code = code_of(token, formula)
    call = code.tree
    if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords:
        name = token.text.partition("(")[0]
        column = token.start + len(name)
        raise FormulaError(f"`{name}` takes one argument", formula=formula, column=column)
    return one_factor(code, call.args[0])
