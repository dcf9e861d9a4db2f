"""Formula text is untrusted: what may be evaluated, and the refusal of everything else.

formulaic evaluates the Python in a formula with `eval`, Python's own functions in reach. So nothing goes to formulaic
before its syntax tree has been walked here and every node found on this list:

* columns, and the names the caller passed in ``env``, as values;
* numbers; ``+ - * / // %``, ``**`` with a plain number of at most 100 as exponent, ``& | ~``, one comparison at a time;
* calls of the functions in `mixedfx.formula.functions` with their documented parameters, ``np.<name>`` from the list,
  ``contr.<name>`` inside ``C(x, ...)``, and calls of names in ``env``;
* strings, lists, tuples, dictionaries, True, False and None as arguments of functions that take them.

Refused are therefore attributes (``x.values``), subscripts, lambdas, comprehensions, formatted strings, assignments,
starred arguments, ``and``/``or``/``if`` and names that begin with two underscores. A call of a name from ``env`` is as
safe as the function the caller passed.

Two finer points. formulaic copies the text of some calls into code of its own, its quotation marks not escaped as
Python would; so a string must not contain quotation marks or backslashes. And ``"text" * 10**9`` or ``9**9**9`` would
exhaust the memory: strings are never operands, powers are not nested, and whole numbers in products are bounded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable

from mixedfx.errors import FormulaError, UnsafeFormulaError
from mixedfx.formula.checker import check_code
from mixedfx.formula.functions import TRANSLATIONS, formula_functions
from mixedfx.formula.python_code import PythonCode, read_code
from mixedfx.formula.scan import Kind, Token, blank_lines, scan

__all__ = ["check_expression", "check_tokens", "code_of", "formula_functions", "relocate"]


def check_expression(expression: str, *, formula: str, env: Collection[str] = ()) -> frozenset[str]:
    """Refuse a piece of formula that asks for more than the documented functions and what is in `env`.

    Parameters
    ----------
    expression
        A piece of a formula: terms (``x + log(z)``), one term, or Python (``2 * x``).
    formula
        The whole formula, into which the column of an error points.
    env
        Names the caller passes to the evaluation; they may be called and used as values.

    Returns
    -------
    frozenset of str
        The free names: columns, or names in `env`. **Every one of them has to be found in the data or in `env` before
        anything is evaluated**: a name found in neither would fall through to Python's own functions.

    Raises
    ------
    UnsafeFormulaError
        The expression asks for anything that is not on the list.
    FormulaError
        It cannot be read.

    Examples
    --------
    >>> from mixedfx.formula.safety import check_expression
    >>> sorted(check_expression("x + np.log(z)", formula="y ~ x + np.log(z)"))
    ['x', 'z']
    >>> check_expression("open(x)", formula="y ~ open(x)")
    Traceback (most recent call last):
        ...
    mixedfx.errors.UnsafeFormulaError: `open` is not a function that formulas may use
      y ~ open(x)
          ^
    Formulas may use log, log2, log10, ...
    """
    expression = blank_lines(expression)
    try:
        return frozenset(check_tokens(scan(expression), expression, env))
    except FormulaError as error:
        raise relocate(error, expression, formula) from None


def check_tokens(
    tokens: Iterable[Token], formula: str, env: Collection[str] | None, own: Collection[str] = ()
) -> tuple[str, ...]:
    """Check every name and every stretch of Python among the tokens of a formula.

    Parameters
    ----------
    tokens
        Tokens of `formula`.
    formula
        The whole formula.
    env
        Names the caller passes; None where they are not known yet: then a call of an unknown function is let through,
        to be judged later, unless Python itself knows the name.
    own
        Words that look like functions and are part of the notation, ``offset`` and ``se``; only what stands between
        their brackets is checked.

    Returns
    -------
    tuple of str
        Free names in order of appearance, each once; ``.`` is none.
    """
    names: dict[str, None] = {}
    for token in tokens:
        if token.kind is Kind.NAME and token.text == ".":
            continue
        if token.kind is Kind.NAME:
            _check_name(token.text, token.start, formula)
            names[token.text] = None
        elif token.kind is Kind.QUOTED:
            names[token.name] = None
        elif token.kind is Kind.CODE:
            code = code_of(token, formula)
            nodes = None
            if isinstance(code.tree, ast.Call) and isinstance(code.tree.func, ast.Name) and code.tree.func.id in own:
                nodes = [*code.tree.args, *(k.value for k in code.tree.keywords)]
            names.update(dict.fromkeys(check_code(code, env, nodes)))
    return tuple(names)


def code_of(token: Token, formula: str) -> PythonCode:
    """Read the Python of a token; braces are taken off."""
    name = token.text.partition("(")[0]
    if "." in name and name in TRANSLATIONS:
        raise UnsafeFormulaError(
            f"`{name}` is not a function that formulas may use",
            formula=formula,
            column=token.start,
            hint=f"Write {TRANSLATIONS[name]}.",
        )
    if token.text.startswith("{"):
        return read_code(token.text[1:-1], token.start + 1, formula)
    return read_code(token.text, token.start, formula)


def relocate(error: FormulaError, piece: str, formula: str) -> FormulaError:
    """Point an error in a piece of a formula into the formula itself, as near as its text can be found there."""
    whole = blank_lines(formula)
    column = whole.find(piece)
    if column >= 0:
        column += error.column
    else:
        # The piece is spelt differently from what the user wrote; look for the offending word.
        word = re.match(r"`[^`]*`|[.\w]*", piece[error.column :])
        found = re.search(rf"(?<![\w.]){re.escape(word[0])}(?![\w.])", whole) if word and word[0] else None
        column = found.start() if found else 0
    return type(error)(error.message, formula=formula, column=column, hint=error.hint)


def _check_name(name: str, column: int, formula: str) -> None:
    if re.search(r"(^|\.)__", name) or name.startswith(("np.", "contr.")):
        raise UnsafeFormulaError(
            f"`{name}` is not available in formulas",
            formula=formula,
            column=column,
            hint=f"If it is a column, put it in backticks: `{name}`.",
        )
