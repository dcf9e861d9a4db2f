"""Changing a formula by another: ``. ~ . + x - (1 | g)``, where a dot stands for what was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mixedfx.errors import FormulaError
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.parse import parse_formula
from mixedfx.formula.right_side import is_structured
from mixedfx.formula.scan import Kind, Token, blank_lines, scan
from mixedfx.formula.terms import Summand, split_sum


def update_formula(old: MixedFormula, change: str) -> MixedFormula:
    """Change a formula.

    Parameters
    ----------
    old
        The formula to start from.
    change
        Formula text. On the left of ``~`` a lone ``.``, or nothing, is the old response with its additions; on the
        right a summand ``.`` is the old right side. Fixed terms are added and taken away as in any formula; a random
        term is taken away by ``- (1 | g)``.

    Returns
    -------
    MixedFormula
        The changed formula; its text is its one spelling.

    Raises
    ------
    FormulaError
        If `change` cannot be read, or takes away a random term that is not there.

    Examples
    --------
    >>> from mixedfx.formula.parse import parse_formula
    >>> old = parse_formula("y ~ x + (1 + x | g)")
    >>> str(update_formula(old, ". ~ . + z - (1 + x | g) + (1 | g)"))
    'y ~ 1 + x + z + (1 | g)'
    """
    change = blank_lines(change)
    tokens = scan(change)
    tildes = [t for t in tokens if t.text == "~"]
    if len(tildes) != 1:
        raise FormulaError(
            "a change of a formula has one '~'", formula=change, column=tildes[1].start if tildes else 0,
            hint='Write for instance ". ~ . + x".',
        )  # fmt: skip
    where = tokens.index(tildes[0])
    left, right = tokens[:where], tokens[where + 1 :]
    old_left = str(replace(old, fixed="1", random=(), offsets=())).removesuffix("~ 1").strip()
    new_left = old_left if _is_dot(left) or not left else change[: tildes[0].start].strip()

    fixed: list[str] = []
    random = []
    offsets: list[str] = []
    for summand in split_sum(right):
        text = change[summand.start : summand.end]
        if _is_dot(summand.tokens):
            fixed.append(old.fixed)
            random += list(old.random)
            offsets += [f"offset({o})" for o in old.offsets]
        elif any(t.text in ("|", "||") or is_structured(t) for t in summand.tokens):
            parts = parse_formula(f"{old_left or 'y'} ~ 1 + {text}").random
            for part in parts:
                key = (part.left, part.group, part.structure, part.relation)
                same = [r for r in random if (r.left, r.group, r.structure, r.relation) == key]
                if not summand.negative:
                    random.append(part)
                elif same:
                    random.remove(same[0])
                else:
                    raise _not_there(summand, text, change)
        else:
            fixed.append(("- " if summand.negative else "") + text)
    pieces = [" + ".join(fixed).replace("+ - ", "- ") or "1"]
    pieces += [str(part) for part in random]
    return parse_formula(f"{new_left} ~ {' + '.join([*pieces, *offsets])}".strip())


def _is_dot(tokens: Sequence[Token]) -> bool:
    return len(tokens) == 1 and tokens[0].kind is not Kind.QUOTED and tokens[0].text == "."


def _not_there(summand: Summand, text: str, change: str) -> FormulaError:
    return FormulaError(
        f"the formula has no random term {text} to take away",
        formula=change,
        column=summand.start,
        hint="Take away a term exactly as the fit's formula prints it.",
    )
