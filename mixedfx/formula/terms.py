"""Sums of terms: their grammar, and one spelling for each.

The fixed part and the left side of a random term are ordinary formulas. Their operators are formulaic's; here their
intercept is made explicit and their spelling uniform, and most of what formulaic would trip over is found first, so
that an error points at the user's own text.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mixedfx.errors import FormulaError
from mixedfx.formula.names import quote
from mixedfx.formula.python_code import PythonCode
from mixedfx.formula.safety import code_of
from mixedfx.formula.scan import OPERANDS, Kind, Token

_SPACED = ("+", "-", "*", "/", "%in%")


@dataclass(frozen=True)
class Summand:
    """One summand of a sum of terms.

    Attributes
    ----------
    negative
        Whether it is subtracted.
    sign
        Its sign as written, None for a first summand without one.
    tokens
        What is added or subtracted.
    """

    negative: bool
    sign: Token | None
    tokens: tuple[Token, ...]

    @property
    def start(self) -> int:
        """Position of its first character, the sign left out."""
        return self.tokens[0].start

    @property
    def end(self) -> int:
        """Position after its last character."""
        return self.tokens[-1].end


@dataclass(frozen=True)
class Side:
    """A sum of terms in its one spelling.

    Attributes
    ----------
    text
        The sum, its intercept written out: ``"1 + z"``, ``"0 + z"``.
    positions
        Pairs (position in `text`, position in the formula), ascending.
    """

    text: str
    positions: tuple[tuple[int, int], ...]

    def column(self, position: int) -> int:
        """Position in the formula of a position in `text`."""
        index = bisect_right(self.positions, (position, 10**9)) - 1
        return self.positions[max(index, 0)][1]


def check_grammar(tokens: Sequence[Token], formula: str) -> None:
    """Check that operators and operands alternate, bars included.

    Raises
    ------
    FormulaError
        An operator with nothing on one of its sides, two terms with no operator between, an empty pair of brackets, a
        random term with an empty side.
    """
    previous: Token | None = None
    for token in tokens:
        after_operand = previous is not None and (previous.kind in OPERANDS or previous.kind is Kind.CLOSE)
        if token.kind is Kind.STRING:
            raise FormulaError(
                "text is not a term", formula=formula, column=token.start, hint="Put column names in backticks."
            )
        if token.kind in OPERANDS or token.kind is Kind.OPEN:
            if after_operand:
                raise FormulaError(
                    f"an operator is missing before `{token.text}`",
                    formula=formula,
                    column=token.start,
                    hint=f"To add it: {formula[: token.start].rstrip()} + {formula[token.start :]}",
                )
        elif token.kind is Kind.OPERATOR and token.text in "+-":
            if previous is not None and previous.kind is Kind.OPERATOR and previous.text not in "+-":
                raise _nothing(previous, "right", formula)
        elif not after_operand:
            raise _misplaced(previous, token, formula)
        previous = token
    if previous is not None and (previous.kind in (Kind.OPERATOR, Kind.BAR)):
        raise _nothing(previous, "right", formula)


def check_powers(tokens: Sequence[Token], formula: str) -> None:
    """Check that powers of terms are whole numbers.

    Raises
    ------
    FormulaError
        The power is a name, a sum, zero, a fraction, or a power itself.
    """
    for before, token, after in zip(tokens, tokens[1:], (*tokens[2:], None), strict=False):
        if before.text not in ("^", "**"):
            continue
        if after is not None and after.text in ("^", "**"):
            raise FormulaError(
                "a power of a power needs brackets",
                formula=formula,
                column=after.start,
                hint="Write (a + b)^2, with one power.",
            )
        if not re.fullmatch("[1-9][0-9]*", token.text):
            raise FormulaError(
                "a power of terms has to be a whole number, at least 1",
                formula=formula,
                column=token.start,
                hint="For a power of a column, write I(x**2).",
            )


def _misplaced(previous: Token | None, token: Token, formula: str) -> FormulaError:
    """Error for a token that needs an operand before it and has none."""
    if token.kind is Kind.CLOSE and previous is not None:
        if previous.kind is Kind.OPEN:
            return FormulaError("nothing between these brackets", formula=formula, column=previous.start)
        if previous.kind is Kind.BAR:
            return FormulaError(
                "the grouping factor is missing",
                formula=formula,
                column=token.start,
                hint="Name the column whose levels the effects vary over: (1 | g).",
            )
        return _nothing(previous, "right", formula)
    if token.kind is Kind.BAR and (previous is None or previous.kind is Kind.OPEN):
        return FormulaError(
            "nothing stands left of the bar",
            formula=formula,
            column=token.start,
            hint=f"For an intercept that varies, write 1: {formula[: token.start]}1 {formula[token.start :].rstrip()}",
        )
    if token.kind is Kind.BAR and previous is not None and previous.kind is Kind.OPERATOR:
        return _nothing(previous, "right", formula)
    return _nothing(token, "left", formula)


def _nothing(token: Token, side: str, formula: str) -> FormulaError:
    return FormulaError(f"`{token.text}` has nothing on its {side}", formula=formula, column=token.start)


def split_sum(tokens: Sequence[Token]) -> list[Summand]:
    """Split at the plus and minus signs outside brackets; brackets around the whole are taken off."""
    tokens = unwrap(tokens)
    summands: list[Summand] = []
    negative, sign, current, depth = False, None, [], 0
    for token in tokens:
        depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
        if depth == 0 and token.kind is Kind.OPERATOR and token.text in "+-":
            if current:
                summands.append(Summand(negative, sign, tuple(current)))
                negative, sign, current = False, None, []
            negative ^= token.text == "-"
            sign = sign or token
        else:
            current.append(token)
    if current:
        summands.append(Summand(negative, sign, tuple(current)))
    return summands


def unwrap(tokens: Sequence[Token]) -> Sequence[Token]:
    """Take off brackets that enclose all tokens, unless a bar makes them a random term."""
    while is_group(tokens) and not any(t.kind is Kind.BAR for t in at_top(tokens[1:-1])):
        tokens = tokens[1:-1]
    return tokens


def is_group(tokens: Sequence[Token]) -> bool:
    """Whether one pair of brackets encloses all tokens."""
    if not tokens or tokens[0].kind is not Kind.OPEN:
        return False
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
        if depth == 0:
            return index == len(tokens) - 1
    return False


def at_top(tokens: Sequence[Token]) -> list[Token]:
    """Tokens outside all brackets, the outermost brackets included."""
    found, depth = [], 0
    for token in tokens:
        if token.kind is Kind.CLOSE:
            depth -= 1
        if depth == 0:
            found.append(token)
        if token.kind is Kind.OPEN:
            depth += 1
    return found


def canonical_side(summands: Sequence[Summand], formula: str, start: int) -> Side:
    """One spelling of a sum of terms, its intercept written out.

    Parameters
    ----------
    summands
        What is added and subtracted; may be empty.
    formula
        The whole formula.
    start
        Position in the formula that stands for the intercept.

    Raises
    ------
    FormulaError
        The intercept is removed inside brackets, where formulaic would not see it.
    """
    intercept, pieces = True, []
    for summand in map(_without_brackets, summands):
        if len(summand.tokens) == 1 and summand.tokens[0].text in ("0", "1"):
            intercept = (summand.tokens[0].text == "1") != summand.negative
            continue
        _refuse_inner_zero(summand, formula)
        pieces.append((" - " if summand.negative else " + ", (summand.sign or summand.tokens[0]).start))
        pieces += render(summand.tokens, formula)
    text, positions = "1" if intercept else "0", [(0, start)]
    for piece, column in pieces:
        positions.append((len(text), column))
        text += piece
    return Side(text, tuple(positions))


def _without_brackets(summand: Summand) -> Summand:
    """Take brackets off a single term, so that ``- (1)`` is seen as what it is."""
    inner = split_sum(summand.tokens)
    return replace(summand, tokens=inner[0].tokens) if len(inner) == 1 and inner[0].sign is None else summand


def _refuse_inner_zero(summand: Summand, formula: str) -> None:
    for before, token in zip((None, *summand.tokens), summand.tokens, strict=False):
        minus_one = token.text == "1" and before is not None and before.text == "-"
        if token.kind is Kind.NUMBER and len(summand.tokens) > 1 and (token.text == "0" or minus_one):
            raise FormulaError(
                "the intercept can only be removed by a term of its own",
                formula=formula,
                column=token.start,
                hint="Write `0 +` in front of all terms.",
            )


def render(tokens: Sequence[Token], formula: str) -> list[tuple[str, int]]:
    """Tokens in their one spelling, with the position each comes from."""
    pieces: list[tuple[str, int]] = []
    previous: Token | None = None
    for token in tokens:
        text = token.text
        if token.kind in (Kind.NAME, Kind.QUOTED):
            text = "." if token.text == "." else quote(token.name)
        elif token.kind is Kind.CODE:
            text = factor_of(token, formula)
        elif token.kind is Kind.OPERATOR:
            text = "**" if text == "^" else re.sub(r"\s", "", text)
            unary = previous is None or previous.kind in (Kind.OPEN, Kind.OPERATOR)
            text = f" {text} " if text in _SPACED and not unary else text
        pieces.append((text, token.start))
        previous = token
    return pieces


def factor_of(token: Token, formula: str) -> str:
    """Spell a stretch of Python in one way; what is not a call or a name is put inside ``I(...)``."""
    return one_factor(code_of(token, formula))


def one_factor(code: PythonCode, node: ast.expr | None = None) -> str:
    """Spell a Python expression as one factor of a formula: a number, a name, a call, or ``I(...)``.

    Parameters
    ----------
    code
        The expression.
    node
        The part of its tree to spell; all of it where None.
    """
    node = code.tree if node is None else node
    text = code.render(node)
    if isinstance(node, ast.Name):
        return quote(code.quoted.get(node.id, node.id))
    if isinstance(node, ast.Call) or (isinstance(node, ast.Constant) and isinstance(node.value, (int, float))):
        return text
    return f"I({text})"
