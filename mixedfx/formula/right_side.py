"""The right side of a formula: fixed terms, random terms and offsets told apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mixedfx.errors import FormulaError
from mixedfx.formula.expansion import check_terms
from mixedfx.formula.functions import FUNCTIONS
from mixedfx.formula.grouping import expand_groupings, read_relation
from mixedfx.formula.left_side import single_argument
from mixedfx.formula.mixed_formula import BARS, RandomPart
from mixedfx.formula.safety import check_tokens, code_of
from mixedfx.formula.scan import Kind, Token, scan
from mixedfx.formula.terms import (
    Side,
    Summand,
    at_top,
    canonical_side,
    check_grammar,
    check_powers,
    is_group,
    split_sum,
    unwrap,
)

PLAIN_CALLS = frozenset(FUNCTIONS) - {"cs"}
"""Functions in whose brackets a bar is Python's; ``cs``, a spline, and a structure, has no use for one."""

MAX_RANDOM = 200
"""Most random terms of a formula, after `/` and `*` between grouping factors are expanded."""


@dataclass
class RightSide:
    """What the right side consists of, in the order written."""

    fixed: list[Summand] = field(default_factory=list)
    random: list[RandomPart] = field(default_factory=list)
    offsets: list[str] = field(default_factory=list)


def read_right(tokens: Sequence[Token], formula: str, start: int) -> tuple[Side, RightSide]:
    """Tell fixed terms, random terms and offsets apart.

    Parameters
    ----------
    tokens
        Everything right of the tilde, operators and operands alternating.
    formula
        The whole formula.
    start
        Position in the formula where the right side begins.

    Returns
    -------
    Side
        The fixed part in its one spelling.
    RightSide
        Random terms, expanded, and offsets.
    """
    parts = RightSide()
    _sort(tokens, formula, parts)
    fixed = canonical_side(parts.fixed, formula, start)
    check_terms(fixed, formula)
    return fixed, parts


def _sort(tokens: Sequence[Token], formula: str, parts: RightSide) -> None:
    """Put each summand where it belongs."""
    for summand in split_sum(tokens):
        bars = [t for t in at_top(summand.tokens) if t.kind is Kind.BAR]
        if bars:
            raise _missing_brackets(summand, bars[0], formula)
        if not _is_special(summand.tokens, formula):
            parts.fixed.append(summand)
        elif is_group(summand.tokens):
            inside = summand.tokens[1:-1]
            if summand.negative:
                raise _subtracted(summand, formula)
            if any(t.kind is Kind.BAR for t in at_top(inside)):
                parts.random += read_random(summand.tokens, formula)
                _refuse_many(parts.random, formula)
            else:
                _refuse_inner_minus(inside, formula)
                _sort(inside, formula, parts)
        elif len(summand.tokens) == 1:
            if summand.negative:
                raise _subtracted(summand, formula)
            if is_structured(summand.tokens[0]):
                parts.random += read_structured(summand.tokens[0], formula)
                _refuse_many(parts.random, formula)
                continue
            parts.offsets.append(single_argument(summand.tokens[0], formula))
        else:
            raise _combined(summand, formula)


def _refuse_many(random: Sequence[RandomPart], formula: str) -> None:
    if len(random) > MAX_RANDOM:
        raise FormulaError(
            f"more than {MAX_RANDOM} random terms",
            formula=formula,
            column=random[MAX_RANDOM].column,
            hint="Write effects of the same groups as one term: (1 + x1 + x2 || g).",
        )


def read_random(tokens: Sequence[Token], formula: str) -> list[RandomPart]:
    """Expand one random term, brackets included, to one part for each grouping factor."""
    return _read_bar(tokens[1:-1], formula, None, tokens[0].start)


def read_structured(token: Token, formula: str) -> list[RandomPart]:
    """The same of ``name(left | grouping)``, a random term whose covariance structure is named."""
    name = token.text.partition("(")[0]
    begin = token.start + len(name) + 1
    inside = scan(" " * begin + token.text[len(name) + 1 : -1])  # positions stay those of the formula
    double = [t for t in at_top(inside) if t.kind is Kind.BAR and t.text == "||"]
    if double:
        raise FormulaError(
            "a term whose structure is named has one bar",
            formula=formula,
            column=double[0].start,
            hint=f"Write {formula[: double[0].start]}|{formula[double[0].end :]}",
        )
    check_tokens(inside, formula, None)
    check_grammar(inside, formula)
    check_powers(inside, formula)
    return _read_bar(inside, formula, name, token.start)


def is_structured(token: Token) -> bool:
    """Whether a token is ``name(left | grouping)``: a call of none of the functions, with a bar outside of others.

    Which structures there are is for those to say who build the design.
    """
    name, bracket, _ = token.text.partition("(")
    if token.kind is not Kind.CODE or not bracket or not re.fullmatch(r"[A-Za-z]\w*", name) or name in PLAIN_CALLS:
        return False
    # a bar before any inner bracket closes over it; inside brackets, quotes or braces it means something else
    depth, quote = 0, ""
    for character in token.text[len(name) + 1 : -1]:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "|" and depth == 0:
            return True
        elif character == "," and depth == 0:
            return False
    return False


def _read_bar(inside: Sequence[Token], formula: str, structure: str | None, start: int) -> list[RandomPart]:
    """Random terms of ``left | grouping``; `structure` is named, or follows from the bar."""
    top = at_top(inside)
    bars = [t for t in top if t.kind is Kind.BAR]
    if len(bars) > 1:
        raise FormulaError(
            "a random term has one bar",
            formula=formula,
            column=bars[1].start,
            hint="For crossed grouping factors write "
            f"{formula[: bars[1].start]} + {formula[bars[1].end :]}; for nested ones, "
            f"{formula[: bars[1].start]}/{formula[bars[1].end :]}",
        )
    index = inside.index(bars[0])
    left, right = inside[:index], inside[index + 1 :]
    for token in (*left, *right):
        if token.kind is Kind.BAR:
            raise FormulaError("a random term inside a random term", formula=formula, column=token.start)
        if _is_offset(token, formula):
            raise FormulaError("an offset inside a random term", formula=formula, column=token.start)
        if token.text == "." and token in left:
            raise FormulaError(
                "`.` can only be used in the fixed part",
                formula=formula,
                column=token.start,
                hint="Name the columns whose effects vary.",
            )
    side = canonical_side(split_sum(left), formula, left[0].start)
    if check_terms(side, formula) == 0:
        raise FormulaError(
            "this random term has no effects",
            formula=formula,
            column=left[0].start,
            hint=f"For an intercept that varies, write {formula[: left[0].start]}1{formula[left[-1].end :].rstrip()}",
        )
    name = structure or next(name for name, bar in BARS.items() if bar == bars[0].text)
    if related := read_relation(unwrap(right), formula):
        group, relation = related
        return [RandomPart(side.text, group, name, start, relation)]
    return [RandomPart(side.text, group, name, start) for group in expand_groupings(unwrap(right), formula)]


def _refuse_inner_minus(tokens: Sequence[Token], formula: str) -> None:
    """Refuse to take brackets off that limit what a minus takes away: ``a + (b - a + (1 | g))``."""
    for inner in split_sum(tokens):
        taken = inner.negative or inner.tokens[0].text == "0"
        if taken and not _is_special(inner.tokens, formula):
            raise FormulaError(
                "a term is taken away inside brackets that hold a random term or an offset",
                formula=formula,
                column=inner.sign.start if inner.sign else inner.start,
                hint="Write random terms and offsets outside of other brackets.",
            )


def _is_special(tokens: Sequence[Token], formula: str) -> bool:
    """Whether there is a random term or an offset among these tokens."""
    return any(t.kind is Kind.BAR or is_structured(t) or _is_offset(t, formula) for t in tokens)


def _is_offset(token: Token, formula: str) -> bool:
    if token.kind is not Kind.CODE or not token.text.startswith("offset("):
        return False
    tree = code_of(token, formula).tree
    return isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)


def _missing_brackets(summand: Summand, bar: Token, formula: str) -> FormulaError:
    mended = f"{formula[: summand.start]}({formula[summand.start : summand.end]}){formula[summand.end :]}"
    return FormulaError(
        "a random term needs brackets around it", formula=formula, column=bar.start, hint=f"Write {mended}"
    )


def _subtracted(summand: Summand, formula: str) -> FormulaError:
    what = _name_of(summand.tokens)
    column = summand.sign.start if summand.sign else summand.start
    return FormulaError(
        f"{what} cannot be subtracted",
        formula=formula,
        column=column,
        hint=f"Leave it out: {_cut(formula, column, summand.end)}",
    )


def _combined(summand: Summand, formula: str) -> FormulaError:
    """Error for a random term or an offset that is joined to something by another operator than plus."""
    top = at_top(summand.tokens)
    operators = [t for t in top if t.kind is Kind.OPERATOR]
    special = next(
        part
        for part in (_group_at(summand.tokens, t) if t.kind is Kind.OPEN else (t,) for t in top)
        if _is_special(part, formula)
    )
    before = [t for t in operators if t.start < special[0].start]
    culprit = before[-1] if before else operators[0]
    what = _name_of(special)
    if culprit.text in ("^", "**"):
        mended = _cut(formula, culprit.start, summand.end)
    else:
        mended = f"{formula[: culprit.start].rstrip()} + {formula[culprit.end :].lstrip()}"
    return FormulaError(f"{what} can only be added", formula=formula, column=culprit.start, hint=f"Write {mended}")


def _name_of(tokens: Sequence[Token]) -> str:
    return "a random term" if any(t.kind is Kind.BAR or is_structured(t) for t in tokens) else "an offset"


def _group_at(tokens: Sequence[Token], opening: Token) -> Sequence[Token]:
    """Tokens of the bracket group that begins with `opening`."""
    start = tokens.index(opening)
    depth = 0
    for end in range(start, len(tokens)):
        depth += (tokens[end].kind is Kind.OPEN) - (tokens[end].kind is Kind.CLOSE)
        if depth == 0:
            return tokens[start : end + 1]
    raise AssertionError("brackets are balanced")


def _cut(formula: str, start: int, end: int) -> str:
    return (formula[:start].rstrip() + " " + formula[end:].lstrip()).strip()
