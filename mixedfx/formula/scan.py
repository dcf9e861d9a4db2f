"""Formula text to tokens that know their position.

The scanner finds what mixedfx has to see by itself: the tilde, the bars of random terms, brackets, quoted names and the
stretches of Python (``log(x)``, ``{x + 1}``) inside which a bar or a tilde means something else. What a fixed-effects
operator does is left to formulaic; the words here follow formulaic's own: a name directly followed by a bracket is
Python, a name with dots in it is one name, text in backticks is a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from mixedfx.errors import FormulaError

MAX_LENGTH = 10_000
"""Longest formula text that is read, in characters."""

MAX_DEPTH = 40
"""Deepest nesting of brackets that is read."""

_WORD = re.compile(r"[.\w]+")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20}")
_OPERATOR = re.compile(r"\*\*|%\s*in\s*%|[-+*/:^]")
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_FOREIGN = {
    "$": "Name the column alone; the data frame is passed separately.",
    "=": "Separate the response from its model with `~`, and put comparisons inside I(...): I(x == 1).",
    "<": "Put comparisons inside I(...): I(x < 1).",
    ">": "Put comparisons inside I(...): I(x > 1).",
    "!": "Put conditions inside I(...): I(x != 1).",
    "&": "Put conditions inside I(...): I((x > 0) & (z > 0)).",
    "%": "The only operator written with percent signs is %in%.",
    ",": "Add terms with `+`.",
    "[": "Group terms with round brackets.",
    "]": "Group terms with round brackets.",
}


class Kind(Enum):
    """What a token is."""

    NAME = auto()
    QUOTED = auto()
    NUMBER = auto()
    STRING = auto()
    CODE = auto()
    OPERATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    BAR = auto()
    TILDE = auto()


OPERANDS = frozenset({Kind.NAME, Kind.QUOTED, Kind.NUMBER, Kind.STRING, Kind.CODE})
"""Kinds of token that stand for something, as opposed to joining or grouping."""


@dataclass(frozen=True, slots=True)
class Token:
    """A stretch of the formula: ``formula[start:end] == text``.

    Attributes
    ----------
    kind
        What it is.
    text
        The characters as written, quotes and backticks included.
    start, end
        Zero-based half-open position in the formula.
    """

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """The column meant by a name, its backticks removed."""
        return self.text[1:-1] if self.kind is Kind.QUOTED else self.text


def blank_lines(text: str) -> str:
    """Replace every white-space character by one blank, so that positions stay and a formula prints on one line."""
    return re.sub(r"\s", " ", text)


def scan(text: str) -> tuple[Token, ...]:
    """Split formula text into tokens, and check that brackets and quotes are closed.

    Parameters
    ----------
    text
        A formula or a part of one, on one line (see `blank_lines`).

    Returns
    -------
    tuple of Token
        In order; white space is left out.

    Raises
    ------
    FormulaError
        Text that is too long, too deeply nested, has an unclosed bracket or quote, or a character with no meaning.

    Examples
    --------
    >>> from mixedfx.formula.scan import scan
    >>> [t.text for t in scan("log(y) ~ x + (1 | `my school`)")]
    ['log(y)', '~', 'x', '+', '(', '1', '|', '`my school`', ')']
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            f"a formula of {len(text):,} characters is longer than the {MAX_LENGTH:,} that are read",
            formula=text[:60] + " ...",
            column=0,
            hint="Select the columns beforehand and write `.` for all of them.",
        )
    for position, char in enumerate(text):
        if not char.isprintable():
            raise FormulaError(f"the character {char!r} has no meaning in a formula", formula=text, column=position)
    tokens: list[Token] = []
    opened: list[Token] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        token = _next_token(text, position)
        if token.kind is Kind.OPEN:
            opened.append(token)
            if len(opened) > MAX_DEPTH:
                raise FormulaError(f"more than {MAX_DEPTH} nested brackets", formula=text, column=token.start)
        elif token.kind is Kind.CLOSE:
            if not opened:
                raise _unopened(text, token.start)
            opened.pop()
        tokens.append(token)
        position = token.end
    if opened:
        raise _unclosed(text, opened[-1].start)
    return tuple(tokens)


def _next_token(text: str, position: int) -> Token:
    """Read the token that begins at `position`, which is not white space."""
    char = text[position]
    if char == "`":
        return _quoted(text, position, Kind.QUOTED)
    if char in "'\"":
        return _quoted(text, position, Kind.STRING)
    if char == "{":
        return _token(Kind.CODE, text, position, end_of_code(text, position))
    for single, kind in (("(", Kind.OPEN), (")", Kind.CLOSE), ("~", Kind.TILDE)):
        if char == single:
            return _token(kind, text, position, position + 1)
    if char == "|":
        return _token(Kind.BAR, text, position, position + (2 if text.startswith("||", position) else 1))
    if match := _OPERATOR.match(text, position):
        return _token(Kind.OPERATOR, text, position, match.end())
    if match := _WORD.match(text, position):
        return _word(text, position, match.end())
    raise FormulaError(f"`{char}` has no meaning in a formula", formula=text, column=position, hint=_FOREIGN.get(char))


def _word(text: str, start: int, end: int) -> Token:
    """Read a number, a name, or a name with the brackets that follow it."""
    word = text[start:end]
    if _NUMBER.fullmatch(word):
        return _token(Kind.NUMBER, text, start, end)
    if word[0].isdigit():
        raise FormulaError(
            f"`{word}` is neither a number nor a name",
            formula=text,
            column=start,
            hint=f"Put a column name that begins with a digit in backticks: `{word}`.",
        )
    if len(word) > 1 and not word.strip("."):
        raise FormulaError(f"`{word}` has no meaning in a formula", formula=text, column=start)
    kind = Kind.NAME
    while end < len(text) and text[end] in "([":
        kind = Kind.CODE
        end = end_of_code(text, end)
    return _token(kind, text, start, end)


def end_of_code(text: str, start: int) -> int:
    """Position after the bracket that closes the one at `start`, strings and quoted names skipped.

    Parameters
    ----------
    text
        Formula text.
    start
        Position of an opening bracket of any kind.

    Raises
    ------
    FormulaError
        The bracket or a quote inside it is not closed, or a bracket of another kind closes it.
    """
    opened = [start]
    position = start + 1
    while opened:
        if position >= len(text):
            raise _unclosed(text, opened[-1])
        char = text[position]
        if char in "'\"":
            position = _quoted(text, position, Kind.STRING).end
            continue
        if char == "`":
            position = _quoted(text, position, Kind.QUOTED).end
            continue
        if char in _CLOSER:
            opened.append(position)
            if len(opened) > MAX_DEPTH:
                raise FormulaError(f"more than {MAX_DEPTH} nested brackets", formula=text, column=position)
        elif char in _CLOSER.values():
            if _CLOSER[text[opened[-1]]] != char:
                raise _unclosed(text, opened[-1])
            opened.pop()
        elif char == "#":
            raise FormulaError("`#` has no meaning in a formula", formula=text, column=position)
        position += 1
    return position


def _quoted(text: str, start: int, kind: Kind) -> Token:
    """Read a string or a name in backticks."""
    quote = text[start]
    position = start + 1
    while position < len(text) and text[position] != quote:
        position += 2 if text[position] == "\\" and kind is Kind.STRING else 1
    if position >= len(text):
        what = "backtick" if kind is Kind.QUOTED else "quotation mark"
        raise FormulaError(f"a {what} is not closed", formula=text, column=start)
    if kind is Kind.QUOTED and not text[start + 1 : position].strip():
        raise FormulaError("the name between these backticks is empty", formula=text, column=start)
    if kind is Kind.QUOTED and text[start + 1 : position] == ".":
        # formulaic takes it for the dot that stands for all columns, backticks or not.
        raise FormulaError(
            "a column called `.` cannot be used in a formula", formula=text, column=start, hint="Rename the column."
        )
    if kind is Kind.QUOTED and text[start + 1 : position] == "1":
        # formulaic takes a term of this name for the intercept, which would then be left out of the model.
        raise FormulaError(
            "a column called `1` cannot be used in a formula, where 1 is the intercept", formula=text, column=start,
            hint="Rename the column.",
        )  # fmt: skip
    if kind is Kind.QUOTED and "\\" in text[start:position]:
        raise FormulaError(
            "a name in backticks cannot contain a backslash",
            formula=text,
            column=text.index("\\", start),
            hint="Rename the column.",
        )
    return _token(kind, text, start, position + 1)


def _token(kind: Kind, text: str, start: int, end: int) -> Token:
    return Token(kind, text[start:end], start, end)


def _unclosed(text: str, column: int) -> FormulaError:
    bracket = text[column]
    return FormulaError(
        f"unbalanced brackets: `{bracket}` is never closed",
        formula=text,
        column=column,
        hint=f"Close it with `{_CLOSER[bracket]}`, or remove it.",
    )


def _unopened(text: str, column: int) -> FormulaError:
    return FormulaError(
        f"unbalanced brackets: `{text[column]}` closes nothing",
        formula=text,
        column=column,
        hint=f"Remove it: {text[:column] + text[column + 1 :]}",
    )
