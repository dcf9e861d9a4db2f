"""Python inside a formula, read as a syntax tree and never run here.

Column names in backticks are not Python. Each is replaced by a stand-in of the same length, so that the positions in
the tree are the positions in the formula, and put back when the code is printed.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase, digits

from mixedfx.errors import FormulaError, UnsafeFormulaError

MAX_NODES = 500
"""Most nodes in the syntax tree of one Python expression."""

MAX_QUOTED = 100
"""Most different names in backticks in one Python expression."""

_QUOTED_OR_STRING = re.compile(r"""`([^`]*)`|'[^']*'|"[^"]*\"""")


@dataclass(frozen=True)
class PythonCode:
    """One Python expression of a formula.

    Attributes
    ----------
    text
        The expression as written.
    start
        Zero-based position of its first character in `formula`.
    formula
        The whole formula, for messages.
    masked
        The expression with Python names in place of columns in backticks, character for character as long.
    tree
        Syntax tree of `masked`.
    quoted
        Name in the tree -> column in backticks, where the two differ.
    """

    text: str
    start: int
    formula: str
    masked: str
    tree: ast.expr
    quoted: Mapping[str, str]

    def column(self, node: ast.AST) -> int:
        """Zero-based position of a node in the formula."""
        column = self._characters(getattr(node, "col_offset", 1))
        return self.start + column - (column > 0 and self.text[column - 1] == "`")

    def source(self, node: ast.expr) -> str:
        """Text of a node as written."""
        return self.text[self._characters(node.col_offset) : self._characters(node.end_col_offset or 1)]

    def _characters(self, offset: int) -> int:
        """Characters of the expression before a position in the tree, which counts bytes of UTF-8."""
        # One bracket stands in front of the expression, see `read_code`.
        return len(f"({self.masked}".encode()[:offset].decode()) - 1

    def render(self, node: ast.expr | None = None) -> str:
        """One spelling for all the ways to write a node (the whole expression where None)."""
        text = ast.unparse(self.tree if node is None else node)
        if not self.quoted:
            return text
        stand_ins = re.compile(r"\b(?:" + "|".join(map(re.escape, self.quoted)) + r")\b")
        return stand_ins.sub(lambda match: f"`{self.quoted[match[0]]}`", text)


def read_code(text: str, start: int, formula: str) -> PythonCode:
    """Read Python without running it.

    Parameters
    ----------
    text
        The expression, brackets and quotes closed, on one line.
    start
        Its position in the formula.
    formula
        The whole formula, for messages.

    Raises
    ------
    FormulaError
        Text that is not a Python expression, or a very long one.
    """
    if (backslash := text.find("\\")) >= 0:
        raise UnsafeFormulaError(
            "backslashes are not read in formulas",
            formula=formula,
            column=start + backslash,
            hint="Rename the column or relabel the level.",
        )
    if (private := text.find("_formulaic_")) >= 0:
        # formulaic puts names of this form in place of names in backticks, and then replaces them in the text.
        raise UnsafeFormulaError("`_formulaic_` is a private word", formula=formula, column=start + private)
    masked, quoted = _mask(text, start, formula)
    try:
        # The bracket lets an expression begin with a blank.
        tree = ast.parse(f"({masked})", mode="eval").body
    except SyntaxError as error:
        offset = min(max((error.offset or 2) - 2, 0), max(len(text) - 1, 0))
        raise FormulaError(f"`{text}` is not an expression", formula=formula, column=start + offset) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise FormulaError("this expression is too complicated", formula=formula, column=start) from error
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise FormulaError(
            "this expression is too long", formula=formula, column=start, hint="Compute it as a column beforehand."
        )
    return PythonCode(text, start, formula, masked, tree, quoted)


def _mask(text: str, start: int, formula: str) -> tuple[str, dict[str, str]]:
    """Replace names in backticks by Python names of the same length."""
    stand_ins: dict[str, str] = {}
    pieces: list[str] = []
    end = 0
    for match in _QUOTED_OR_STRING.finditer(text):
        name = match[1]
        if name is None:
            continue
        pieces.append(text[end : match.start()])
        end = match.end()
        if re.search(r"\w$", text[: match.start()]) or re.match(r"\w", text[end:]):
            raise FormulaError(f"an operator is missing beside `{name}`", formula=formula, column=start + match.start())
        if keyword.iskeyword(name) or "'" in name or '"' in name:
            # formulaic would read these as Python words and quotation marks, and so might run something else.
            raise UnsafeFormulaError(
                f"the name `{name}` cannot be used inside a function",
                formula=formula,
                column=start + match.start(),
                hint="Rename the column, or compute this term as a column beforehand.",
            )
        if name.isidentifier():
            pieces.append(f" {name} ")
            continue
        if name not in stand_ins:
            stand_in = _stand_in(len(match[0]), text, set(stand_ins.values()))
            if stand_in is None or len(stand_ins) == MAX_QUOTED:
                raise FormulaError("too many names in backticks", formula=formula, column=start)
            stand_ins[name] = stand_in
        pieces.append(stand_ins[name])
    _refuse_confusable(list(stand_ins), start, formula)
    pieces.append(text[end:])
    return "".join(pieces), {stand_in: name for name, stand_in in stand_ins.items()}


def _refuse_confusable(names: list[str], start: int, formula: str) -> None:
    """Refuse names in one expression that formulaic would confuse.

    It writes each as a Python name, other characters becoming underscores, and later replaces these names by plain
    substitution of text; so none may be the beginning of another.
    """
    for name in names:
        for other in names:
            if name != other and python_name(other).startswith(python_name(name)):
                raise FormulaError(
                    f"the names `{name}` and `{other}` cannot be used in one expression",
                    formula=formula,
                    column=formula.index(f"`{other}`", start),
                    hint="Rename one of the columns.",
                )


def python_name(name: str) -> str:
    """Name under which formulaic evaluates a column whose own name is not a Python name."""
    word = re.sub(r"\W", "_", name)
    return f"_{word}" if word[0].isdigit() else word


def _stand_in(length: int, text: str, taken: set[str]) -> str | None:
    """Return a Python name of `length` characters, at least three, that does not occur in `text`; None if all do."""
    alphabet = ascii_lowercase + digits
    for number in range(len(alphabet) ** 2):
        name = "v"
        for _ in range(length - 1):
            number, digit = divmod(number, len(alphabet))
            name += alphabet[digit]
        if name not in text and name not in taken and not keyword.iskeyword(name):
            return name
    return None
