"""From formula text to a `MixedFormula`.

The stages: text -> tokens (`scan`) -> every name and every stretch of Python checked (`safety`) -> left side, fixed
terms, random terms and offsets told apart (`left_side`, `right_side`) -> each sum of terms in one spelling and read by
formulaic (`terms`), each grouping expanded (`grouping`). Data play no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from mixedfx.errors import FormulaError
from mixedfx.formula.expansion import check_terms
from mixedfx.formula.left_side import ADDITIONS, read_left
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.formula.right_side import is_structured, read_right
from mixedfx.formula.safety import check_tokens
from mixedfx.formula.scan import Kind, Token, blank_lines, scan
from mixedfx.formula.terms import Side, at_top, check_grammar, check_powers
from mixedfx.formula.variables import free_names


@lru_cache(maxsize=512)
def parse_formula(text: str) -> MixedFormula:
    """Read a mixed-model formula.

    Parameters
    ----------
    text
        A formula in lme4's notation, ``"y ~ x + (1 + x | g)"``.

    Returns
    -------
    MixedFormula
        The formula taken apart; random terms are expanded to one for each grouping factor.

    Raises
    ------
    FormulaError
        The text cannot be read; the error points at the character where reading stopped making sense.
    UnsafeFormulaError
        The text asks for more than the documented functions (`mixedfx.formula.functions`). Calls of functions that
        neither this list nor Python itself knows are let through here, because the caller may pass them in ``env``;
        `mixedfx.formula.variables` judges them before anything is evaluated.

    Notes
    -----
    Fixed terms have formulaic's operators: ``+ - * / : ^ ** %in%``, ``0`` or ``-1`` for no intercept, ``.`` for every
    column not used elsewhere. A name that is not a plain word stands in backticks. ``offset(w)`` adds a known term,
    ``y | se(s) ~`` gives known sampling standard deviations, ``k | trials(m) ~`` numbers of trials. Python stands in
    function calls and in ``I(...)`` or braces; there a power is ``**``.

    Random terms are lme4's [1]_, ``(left | grouping)``, with an intercept of their own unless the left side removes
    it. Differences, each on purpose:

    * a covariance structure may be named, ``cs(0 + outcome | study)``, ``ar1(0 + occasion | pupil)``
      (`mixedfx.covariance.structures`), and correlations between levels be known, ``(1 | gr(species, cov=A))``;
    * ``||`` makes the covariance diagonal for factors too, where lme4 leaves the columns of a factor correlated;
    * ``(z | a*b)`` is ``(z | a) + (z | b) + (z | a:b)``, each with its own covariance; ``+`` and ``^`` likewise;
    * ``(1 | factor(g))``, ``(1 | interaction(g, h))`` and ``(1 | Q('g'))`` are read;
    * ``y ~ x + 1 | g``, ``(1 | g)*z`` and ``z:(1 | g)``, which lme4 reads as something else, are errors.

    References
    ----------
    .. [1] Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4.
       Journal of Statistical Software 67(1), section 2.2.

    Examples
    --------
    >>> from mixedfx.formula.parse import parse_formula
    >>> print(parse_formula("score ~ z + (z | school/class)"))
    score ~ 1 + z + (1 + z | school) + (1 + z | school:class)
    >>> parse_formula("y ~ x + 1|g")
    Traceback (most recent call last):
        ...
    mixedfx.errors.FormulaError: a random term needs brackets around it
      y ~ x + 1|g
               ^
    Write y ~ x + (1|g)
    """
    if not isinstance(text, str):
        raise TypeError(f"a formula is text, not {type(text).__name__}")
    formula = blank_lines(text)
    if not formula.strip():
        raise FormulaError("the formula is empty", formula=formula, column=0, hint="Write y ~ x + (1 | g).")
    tokens = scan(formula)
    tilde = _tilde(tokens, formula)
    index = tokens.index(tilde)
    left, right = tokens[:index], tokens[index + 1 :]
    check_tokens(left, formula, None, own=ADDITIONS)
    check_tokens([t for t in right if not is_structured(t)], formula, None, own=("offset",))
    if left and left[0].kind is Kind.BAR:
        raise FormulaError(
            "no response before the bar", formula=formula, column=left[0].start, hint="Write y | se(s) ~ x."
        )
    check_grammar(left, formula)
    if not right:
        raise FormulaError(
            "nothing stands right of `~`", formula=formula, column=tilde.start, hint=f"Write {formula.rstrip()} 1"
        )
    check_grammar(right, formula)
    check_powers(right, formula)
    response, additions = read_left(left, formula)
    fixed, parts = read_right(right, formula, right[0].start)
    return MixedFormula(formula, response, additions, fixed.text, tuple(parts.random), tuple(parts.offsets))


def _tilde(tokens: Sequence[Token], formula: str) -> Token:
    tildes = [t for t in tokens if t.kind is Kind.TILDE]
    if not tildes:
        raise FormulaError(
            "there is no `~` between response and model",
            formula=formula,
            column=len(formula.rstrip()),
            hint=f"Write the response first, y ~ {formula.strip()}, or ~ {formula.strip()} for a formula without one.",
        )
    if len(tildes) > 1:
        raise FormulaError("a formula has one `~`", formula=formula, column=tildes[1].start)
    if tildes[0] not in at_top(tokens):
        raise FormulaError("`~` cannot stand inside brackets", formula=formula, column=tildes[0].start)
    return tildes[0]


def expand_dot(formula: MixedFormula, columns: Sequence[str]) -> MixedFormula:
    """Replace ``.`` in the fixed part by every column that the formula does not use elsewhere.

    A column that appears only in a random term, as a grouping factor or with an effect that varies, is used elsewhere:
    ``y ~ . + (z | g)`` has no fixed effect of z or g.

    Parameters
    ----------
    formula
        A parsed formula.
    columns
        The columns of the data, in order; leave out those that serve as weights or offset.

    Returns
    -------
    MixedFormula
        The formula without ``.``; the same object if there was none.

    Raises
    ------
    FormulaError
        There is no column left for ``.`` to stand for, or one whose name holds a backtick.

    Examples
    --------
    >>> from mixedfx.formula.parse import expand_dot, parse_formula
    >>> print(expand_dot(parse_formula("y ~ . + (1 | g)"), ["y", "x", "my z", "g"]))
    y ~ 1 + x + `my z` + (1 | g)
    """
    tokens = scan(formula.fixed) if "." in formula.fixed else []
    if not any(map(_is_dot, tokens)):
        return formula
    used = set(free_names(formula, None))
    names = [str(name) for name in columns if name not in used]
    column = next((t.start for t in scan(formula.text) if _is_dot(t)), 0)
    if not names:
        raise FormulaError(
            "`.` stands for every column not used elsewhere, and there is none",
            formula=formula.text,
            column=column,
            hint="Write 1.",
        )
    for name in names:
        if "`" in name or "\\" in name or name.strip() in ("", "."):
            raise FormulaError(
                f"the column {name!r} cannot be written in a formula",
                formula=formula.text,
                column=column,
                hint="Rename it, or name the columns you mean.",
            )
    columns_text = " + ".join(quote(name) for name in names)
    pieces: list[str] = []
    end = 0
    for index, token in enumerate(tokens):
        if not _is_dot(token):
            continue
        before = tokens[index - 1].text
        after = tokens[index + 1].text if index + 1 < len(tokens) else "+"
        alone = before == "+" and after in "+-"
        pieces += [formula.fixed[end : token.start], columns_text if alone else f"({columns_text})"]
        end = token.end
    fixed = "".join([*pieces, formula.fixed[end:]])
    check_terms(Side(fixed, ((0, column),)), formula.text)
    return replace(formula, fixed=fixed)


def _is_dot(token: Token) -> bool:
    return token.kind is Kind.NAME and token.text == "."
